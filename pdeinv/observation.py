"""Sensors as a linear operator from a state on a grid to the sensor values, and their noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.interpolation import interpolation_stencil

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Observation"]

_LARGEST = 1e100  # size of a reading and of its noise, whose squares are finite
_GATHERED = 2**19  # values of nodes that are held at a time
_SCALARS = ("channel", "values", "noise_std")  # one number for each sensor


@dataclass(frozen=True)
class Observation:
    """y = H x + B b + e, for a state x of shape (batch, channel, ny, nx) and m sensors.

    H interpolates each sensor's channel at its position by a tensor product of Lagrange
    polynomials. A sensor on a node reads that node exactly. The noise is Gaussian: e independent
    for each reading, and b, standard normal, the biases that several readings share. Its covariance
    is R = diag(noise_std²) + B Bᵀ.

    Of a censored reading it is known only that y is below, or above, the value.

    A subclass that overrides `stencil` reads something else than points, such as averages. It may
    have fields of its own: a tensor has one row for each sensor, all sensors share anything else.

    Arguments:
        grid: grid of the state.
        points: (m, 2), sensor positions (x, y) in the domain, in its unit.
        channel: (m,), integers, the channel that each sensor reads.
        values: (m,), readings y; of censored ones the limit.
        noise_std: (m,), standard deviation of each reading's own noise; 0 for an exact reading.
        order: polynomial degree of the interpolation for each channel; 0 uses the nearest node.
        censored: (m,), integers: -1 where y is below the value, 1 where it is above, 0 for a plain
            reading. None is 0 for all.
        common: (m, k), B. None is without biases.
        common_names: of the k biases, for results; empty numbers them.

    Raises:
        InputError: a shape, a position, a channel or a stencil is wrong, or a value or a noise is
            not finite or too large to be squared.

    Example:
        >>> from pdeinv import Grid
        >>> points = torch.tensor([[0.5, 0.25]], dtype=torch.float64)
        >>> H = Observation(Grid(5), points, torch.tensor([1]), torch.zeros(1), torch.zeros(1))
        >>> H(torch.arange(50.0).reshape(1, 2, 5, 5))
        tensor([[32.]])
    """

    grid: Grid
    points: torch.Tensor
    channel: torch.Tensor
    values: torch.Tensor
    noise_std: torch.Tensor
    order: tuple[int, ...] = (3, 3)
    censored: torch.Tensor | None = None
    common: torch.Tensor | None = None
    common_names: tuple[str, ...] = ()
    _index: torch.Tensor = field(init=False, repr=False)
    _weight: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        m = len(self.points)
        if self.points.shape != (m, 2):
            raise InputError(
                f"points must be (x, y) pairs, (m, 2), got shape {tuple(self.points.shape)}; give "
                f"one row for each sensor"
            )
        outside = ~self.grid.domain.contains(self.points)
        if bool(outside.any()):
            i = int(outside.nonzero()[0])
            raise InputError(
                f"points must be in the domain {self.grid.domain}, got "
                f"{tuple(self.points[i].tolist())} in reading {i}; use its coordinates"
            )
        given = {name: getattr(self, name) for name in _SCALARS} | self._rows()
        for name, tensor in given.items():
            shape = (m,) if name in _SCALARS else (m, *tensor.shape[1:])
            if tensor.shape != shape or (name == "common" and tensor.ndim != 2):
                raise InputError(
                    f"{name} must have the shape {shape}, got {tuple(tensor.shape)}; give one "
                    f"entry for each point"
                )
        for name, low in (("values", -_LARGEST), ("noise_std", 0.0)):
            wrong = ~((given[name] >= low) & (given[name] <= _LARGEST))
            if bool(wrong.any()):
                i = int(wrong.nonzero()[0])
                raise InputError(
                    f"{name} must be from {low:g} to {_LARGEST:g}, got {float(given[name][i]):g} "
                    f"in reading {i}; drop it or use another unit"
                )
        self._check_noise()
        if not ((self.channel >= 0) & (self.channel < len(self.order))).all():
            raise InputError(
                f"channel must be an integer from 0 to {len(self.order) - 1}, got "
                f"{sorted(set(self.channel.tolist()))}; give one entry of order for each channel"
            )
        # All sensors share the widest stencil, padded with weights of 0
        chosen = [self.channel == channel for channel in range(len(self.order))]
        parts = [self._checked_stencil(*part) for part in zip(chosen, self.order, strict=True)]
        width = max(nodes.shape[1] for nodes, _ in parts)
        index = torch.zeros(m, width, dtype=torch.long)
        weight = torch.zeros(m, width, dtype=torch.float64)
        for channel, (mine, (nodes, w)) in enumerate(zip(chosen, parts, strict=True)):
            index[mine, : nodes.shape[1]] = nodes + channel * self.grid.nodes
            weight[mine, : w.shape[1]] = w
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_weight", weight)

    def _check_noise(self) -> None:
        wrong = None if self.censored is None else ~torch.isin(self.censored, torch.arange(-1, 2))
        if wrong is not None and bool(wrong.any()):
            raise InputError(
                f"censored must be -1 (below the value), 0 or 1 (above it), got "
                f"{float(self.censored[wrong][0]):g}; correct it"  # type: ignore[index]
            )
        if self.common_names and len(self.common_names) != self.biases:
            raise InputError(
                f"common_names must have one name for each of {self.biases} biases, got "
                f"{len(self.common_names)}; give one for each column of common"
            )
        if self.common is not None and not bool((self.common.abs() <= _LARGEST).all()):
            raise InputError(
                f"common must be finite and at most {_LARGEST:g} in size, got other numbers; use "
                f"another unit"
            )

    def stencil(self, chosen: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the nodes that sensors of one channel read, and their weights, both (k, w).

        Nodes are flat indices y * nx + x. They may repeat; pad short rows with weights of 0.

        Arguments:
            chosen: mask (m,) of the k sensors of the channel; k may be 0.
            order: degree of the interpolation between the nodes of the channel.

        Raises:
            InputError: the grid has too few nodes.
        """
        return interpolation_stencil(self.points[chosen], self.grid, order)

    @property
    def pointwise(self) -> bool:
        """Whether the sensors read points, and nothing else."""
        return type(self).stencil is Observation.stencil

    @property
    def read_points(self) -> torch.Tensor:
        """The points (m, 2), for a method that uses them in the place of the operator.

        Raises:
            InputError: the sensors read something else than points.
        """
        if len(self) and not self.pointwise:
            raise InputError(
                f"sensors must read points for a method that uses positions in the place of the "
                f"operator, got {type(self).__name__}; leave these readings out, or choose another "
                f"solver"
            )
        return self.points

    @property
    def biases(self) -> int:
        """Number of biases, k."""
        return 0 if self.common is None else self.common.shape[1]

    @property
    def shared(self) -> torch.Tensor:
        """B, (m, k), with k = 0 without biases."""
        return self.noise_std.new_zeros(len(self), 0) if self.common is None else self.common

    @property
    def below_or_above(self) -> torch.Tensor:
        """Whether each reading is censored, (m,)."""
        if self.censored is None:
            return torch.zeros(len(self), dtype=torch.bool)
        return self.censored != 0

    def noise_covariance(self) -> torch.Tensor:
        """Return R, (m, m)."""
        own = torch.diag(self.noise_std**2)
        return own if self.common is None else own + self.common @ self.common.T

    def noise(self, white: torch.Tensor) -> torch.Tensor:
        """Return draws of the noise (n, m), from standard normal numbers (n, m + k)."""
        own = self.noise_std * white[:, : len(self)]
        return own if self.common is None else own + white[:, len(self) :] @ self.common.T

    def without_bias(self, residual: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        """Return residuals y - H x less their most probable biases, (batch, m).

        With r the residual and q the result, rᵀ (V + B Bᵀ)⁻¹ r is the sum of r q / v.

        Arguments:
            residual: (batch, m).
            variance: v, the diagonal of V, of the readings' own noise and whatever else is
                independent, (m,), positive.
        """
        if self.common is None:
            return residual
        weighted = self.common / variance[:, None]
        gram = torch.eye(self.biases, dtype=self.common.dtype) + self.common.T @ weighted
        return residual - torch.linalg.solve(gram, weighted.T @ residual.T).T @ self.common.T

    def __len__(self) -> int:
        """Number of sensors, m."""
        return len(self.points)

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        """Return the noise-free sensor values (batch, m) of states (batch, channel, ny, nx)."""
        self._check(state, (len(self.order), *self.grid.shape))
        index, weight = self._index.to(state.device), self._weight.to(state)
        return self._in_blocks(
            lambda part: part[:, index].mul_(weight).sum(dim=-1), state.flatten(1), len(self)
        )

    def adjoint(self, v: torch.Tensor) -> torch.Tensor:
        """Return Hᵀ v: sensor-space vectors (batch, m) to states (batch, channel, ny, nx)."""
        self._check(v, (len(self),))
        index, weight = self._index.to(v.device), self._weight.to(v)
        size = len(self.order) * self.grid.nodes

        def spread(part: torch.Tensor) -> torch.Tensor:
            state = part.new_zeros(len(part), size)
            return state.index_add_(1, index.flatten(), (part[:, :, None] * weight).flatten(1))

        states = self._in_blocks(spread, v, size)
        return states.reshape(len(v), len(self.order), *self.grid.shape)

    def subset(self, chosen: torch.Tensor) -> Self:
        """Return the observation of some of the sensors.

        Arguments:
            chosen: indices of sensors, or a mask (m,).
        """
        rows: dict[str, Any] = {name: rows[chosen] for name, rows in self._rows().items()}
        return replace(self, **rows)

    def on_grid(self, grid: Grid) -> Self:
        """Return the same readings of a state on another grid."""
        return replace(self, grid=grid)

    def _rows(self) -> dict[str, torch.Tensor]:
        """Return the tensors that have one row for each sensor."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}

    def _checked_stencil(
        self, chosen: torch.Tensor, order: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        nodes, weights = self.stencil(chosen, order)
        if self.pointwise:
            return nodes, weights
        k = int(chosen.sum())
        if nodes.ndim != 2 or len(nodes) != k or weights.shape != nodes.shape:
            raise InputError(
                f"nodes and weights of {type(self).__name__}.stencil must have one shape "
                f"({k}, w), got {tuple(nodes.shape)} and {tuple(weights.shape)}; give one row for "
                f"each chosen sensor"
            )
        if not bool(((nodes >= 0) & (nodes < self.grid.nodes) & weights.isfinite()).all()):
            raise InputError(
                f"{type(self).__name__}.stencil must return nodes from 0 to {self.grid.nodes - 1} "
                f"and finite weights, got others; correct it"
            )
        return nodes, weights

    def _in_blocks(
        self, function: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor, width: int
    ) -> torch.Tensor:
        """A function of the rows of a batch, (batch, width), in parts of it: each row takes as many
        numbers as there are weights."""
        size = max(1, _GATHERED // max(1, self._weight.numel()))
        if len(batch) <= size:
            return function(batch)
        result = batch.new_empty(len(batch), width)
        for start in range(0, len(batch), size):
            result[start : start + size] = function(batch[start : start + size])
        return result

    def _check(self, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
        # A state on another grid would be read at the wrong nodes in silence
        if tuple(tensor.shape[1:]) != shape:
            raise InputError(
                f"the shape must be ({', '.join(map(str, ('batch', *shape)))}), got "
                f"{tuple(tensor.shape)}; use the observation's own grid"
            )

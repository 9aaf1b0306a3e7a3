"""Sensors as a linear operator from a state on a grid to the sensor values, and their noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.interpolation import interpolation_stencil
from pdeinv.reading_noise import LARGEST, ReadingNoise
from pdeinv.torch_state import moved
from pdeinv.unknown import Unknown
from pdeinv.weighted_nodes import NodeBlock, WeightedNodes

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Observation"]

_UNIT = 1e-9  # rounding of weights that add up to 1
_SCALARS = ("channel", "values", "noise_std")  # one number for each sensor


@dataclass(frozen=True)
class Observation(ReadingNoise):
    """y = H x + B b + e, for a state x of shape (batch, channel, ny, nx) and m sensors.

    H interpolates each sensor's channel at its position by a tensor product of Lagrange
    polynomials. A sensor on a node reads that node exactly. The noise is Gaussian: e independent
    for each reading, and b, standard normal, the biases that several readings share. Its covariance
    is R = diag(noise_std²) + B Bᵀ.

    Of a censored reading it is known only that y is below, or above, the value. Values, noise and
    biases are kept in double precision, as solvers compute with them.

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
        noise_group: (m,), integers: the index in `unknown_noise` of a reading with an unknown
            noise, -1 for others; its `noise_std` is the middle of the range. None is -1 for all.
        unknown_noise: the unknown standard deviations, each a name, such as "noise of head", and an
            `Unknown`.
        noise_factor: (m,), what multiplies an unknown standard deviation; None is 1 for all.

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
    noise_group: torch.Tensor | None = None
    unknown_noise: tuple[tuple[str, Unknown], ...] = ()
    noise_factor: torch.Tensor | None = None
    _operator: WeightedNodes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.points.device.type != "cpu":
            vars(self).update(vars(self._of(lambda rows: rows.cpu()).to(self.points.device)))
            return
        m = len(self.points)
        if self.points.shape != (m, 2):
            raise InputError(
                f"points must be (x, y) pairs, (m, 2), got shape {tuple(self.points.shape)}; give "
                f"one row for each sensor"
            )
        outside = ~self.grid.domain.covers(self.points)  # inactive nodes may be read as well
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
        for name, low in (("values", -LARGEST), ("noise_std", 0.0)):
            wrong = ~((given[name] >= low) & (given[name] <= LARGEST))
            if bool(wrong.any()):
                i = int(wrong.nonzero()[0])
                raise InputError(
                    f"{name} must be from {low:g} to {LARGEST:g}, got {float(given[name][i]):g} "
                    f"in reading {i}; drop it or use another unit"
                )
        self._check_noise()
        for name in ("values", "noise_std", "common"):
            if (tensor := getattr(self, name)) is not None:
                object.__setattr__(self, name, tensor.double())
        if not ((self.channel >= 0) & (self.channel < len(self.order))).all():
            raise InputError(
                f"channel must be an integer from 0 to {len(self.order) - 1}, got "
                f"{sorted(set(self.channel.tolist()))}; give one entry of order for each channel"
            )
        label = self.similar()
        blocks = tuple(self._block(label == one) for one in (label.unique() if m else [0]))
        size = len(self.order) * self.grid.nodes
        object.__setattr__(self, "_operator", WeightedNodes(blocks, size))

    def to(self, device: torch.device | str) -> Self:
        """Return the same readings with their tensors on a device.

        The stencils are made on the processor, before, and moved with them.

        Arguments:
            device: that of the states that are read.
        """
        made = moved(self, device)
        object.__setattr__(made, "_operator", self._operator.to(device))
        return made

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

    def similar(self) -> torch.Tensor:
        """Return a label for each sensor, (m,): those of one label have rows of similar length.

        `stencil` is called for the sensors of one label and channel at a time, and pads them alone.
        """
        return torch.zeros(len(self), dtype=torch.long, device=self.points.device)

    @property
    def at_points(self) -> torch.Tensor:
        """Which sensors read the value at their point, (m,)."""
        same = type(self).stencil is Observation.stencil
        return torch.full_like(self.channel, same, dtype=torch.bool)

    @property
    def pointwise(self) -> bool:
        """Whether the sensors read points, and nothing else."""
        return bool(self.at_points.all())

    @property
    def of_field(self) -> torch.Tensor:
        """Which sensors read a value of the field or a mean of it, (m,): their weights add up to 1.

        The others, such as differences, say nothing of its level by themselves.
        """
        return (self._operator.totals() - 1).abs() < _UNIT

    @property
    def read_points(self) -> torch.Tensor:
        """The points (m, 2), for a method that uses them in the place of the operator.

        Raises:
            InputError: the sensors read something else than points.
        """
        if not self.pointwise:
            raise InputError(
                f"sensors must read points for a method that uses positions in the place of the "
                f"operator, got {self.described}; leave these readings out, or choose another "
                f"solver"
            )
        return self.points

    @property
    def described(self) -> str:
        """What the sensors read, for messages."""
        return type(self).__name__

    def __len__(self) -> int:
        """Number of sensors, m."""
        return len(self.points)

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        """Return the noise-free sensor values (batch, m) of states (batch, channel, ny, nx)."""
        self._check(state, (len(self.order), *self.grid.shape))
        return self._operator.read(state.flatten(1))

    def adjoint(self, v: torch.Tensor) -> torch.Tensor:
        """Return Hᵀ v: sensor-space vectors (batch, m) to states (batch, channel, ny, nx)."""
        self._check(v, (len(self),))
        return self._operator.spread(v).reshape(len(v), len(self.order), *self.grid.shape)

    def rows(self, chosen: torch.Tensor, channels: range) -> torch.Tensor:
        """Return rows of H at some channels of a state, (k, len(channels), ny, nx), float64.

        Arguments:
            chosen: indices of sensors, (k,).
            channels: adjacent ones; weights elsewhere are left out.
        """
        first, last = (channel * self.grid.nodes for channel in (channels.start, channels.stop))
        rows = self._operator.rows_at(chosen, first, last)
        return rows.reshape(len(chosen), len(channels), *self.grid.shape)

    def subset(self, chosen: torch.Tensor) -> Self:
        """Return the observation of some of the sensors.

        Arguments:
            chosen: indices of sensors, or a mask (m,).
        """
        return self._of(lambda rows: rows[chosen.to(rows.device)])

    def on_grid(self, grid: Grid) -> Self:
        """Return the same readings of a state on another grid."""
        return replace(self, grid=grid)

    def _of(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        """Return the observation with each tensor of rows changed."""
        changed: dict[str, Any] = {name: change(rows) for name, rows in self._rows().items()}
        return replace(self, **changed)

    def _rows(self) -> dict[str, torch.Tensor]:
        """Return the tensors that have one row for each sensor."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}

    def _block(self, mine: torch.Tensor) -> NodeBlock:
        """Return the rows of the sensors in a mask (m,)."""
        chosen = [mine & (self.channel == channel) for channel in range(len(self.order))]
        parts = [self._checked_stencil(*part) for part in zip(chosen, self.order, strict=True)]
        k, width = int(mine.sum()), max(nodes.shape[1] for nodes, _ in parts)
        index = torch.zeros(k, width, dtype=torch.long, device=mine.device)
        weight = torch.zeros(k, width, dtype=torch.float64, device=mine.device)
        for channel, (its, (nodes, w)) in enumerate(zip(chosen, parts, strict=True)):
            index[its[mine], : nodes.shape[1]] = nodes + channel * self.grid.nodes
            weight[its[mine], : w.shape[1]] = w
        return NodeBlock(mine.nonzero()[:, 0], index, weight)

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
        return nodes, self._of_active(nodes, weights)

    def _of_active(self, nodes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return weights (k, w) without those of inactive nodes, each row with the sum it had."""
        if self.grid.active_nodes is None:
            return weights
        kept = weights * self.grid.active_nodes.flatten()[nodes]
        before, after = (w.sum(dim=1, keepdim=True) for w in (weights, kept))
        return torch.where(after.abs() > _UNIT, kept * before / after, kept)

    def _check(self, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
        # A state on another grid would be read at the wrong nodes in silence
        if tuple(tensor.shape[1:]) != shape:
            raise InputError(
                f"the shape must be ({', '.join(map(str, ('batch', *shape)))}), got "
                f"{tuple(tensor.shape)}; use the observation's own grid"
            )

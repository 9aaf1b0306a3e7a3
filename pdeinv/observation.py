"""Point sensors as a linear operator from a state on a grid to the sensor values."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Observation", "interpolation_stencil"]


@dataclass(frozen=True)
class Observation:
    """y = H x + noise, for a state x of shape (batch, channel, n, n) and m sensors.

    H interpolates each sensor's channel at its position by a tensor product of Lagrange
    polynomials; a sensor on a node reads that node exactly. Noise is independent and Gaussian,
    sensor by sensor.

    Arguments:
        grid: the grid of the state.
        points: sensor positions as (x, y), shape (m, 2), in the unit square.
        channel: the channel that each sensor reads, shape (m,), integers.
        values: readings y, shape (m,).
        noise_std: standard deviation of each reading's noise, shape (m,); 0 for an exact reading.
        order: polynomial degree of the interpolation for each channel; 0 takes the nearest node.

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
    _index: torch.Tensor = field(init=False, repr=False)
    _weight: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self):
        m = len(self.points)
        if self.points.shape != (m, 2) or not ((self.points >= 0) & (self.points <= 1)).all():
            raise InputError(
                "points must be (x, y) pairs in the unit square, shape (m, 2); rescale "
                "coordinates to [0, 1]"
            )
        for name in ("channel", "values", "noise_std"):
            if getattr(self, name).shape != (m,):
                raise InputError(
                    f"{name} has shape {tuple(getattr(self, name).shape)}; {m} points need ({m},)"
                )
        if not ((self.channel >= 0) & (self.channel < len(self.order))).all():
            raise InputError(
                f"channels must be integers from 0 to {len(self.order) - 1}, one for each entry "
                f"of order"
            )
        # All sensors share the widest stencil, padded with weights of 0
        width = (max(self.order) + 1) ** 2
        index = torch.zeros(m, width, dtype=torch.long)
        weight = torch.zeros(m, width, dtype=torch.float64)
        for channel, order in enumerate(self.order):
            mine = self.channel == channel
            node, w = interpolation_stencil(self.points[mine], self.grid, order)
            index[mine, : node.shape[1]] = node + channel * self.grid.n**2
            weight[mine, : w.shape[1]] = w
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_weight", weight)

    def __len__(self) -> int:
        """Number of sensors, m."""
        return len(self.points)

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        """Noise-free sensor values (batch, m) of states (batch, channel, n, n)."""
        self._check(state, (len(self.order), *self.grid.shape))
        index, weight = self._index.to(state.device), self._weight.to(state)
        return (state.flatten(1)[:, index] * weight).sum(dim=-1)

    def adjoint(self, v: torch.Tensor) -> torch.Tensor:
        """H^T v: sensor-space vectors (batch, m) to states (batch, channel, n, n)."""
        self._check(v, (len(self),))
        index, weight = self._index.to(v.device), self._weight.to(v)
        channels, n = len(self.order), self.grid.n
        state = v.new_zeros(len(v), channels * n * n)
        state.index_add_(1, index.flatten(), (v[:, :, None] * weight).flatten(1))
        return state.reshape(len(v), channels, n, n)

    def subset(self, chosen: torch.Tensor) -> Observation:
        """The observation by some of the sensors only; `chosen` is an index or a mask over the m
        sensors."""
        picked = (
            getattr(self, name)[chosen] for name in ("points", "channel", "values", "noise_std")
        )
        return Observation(self.grid, *picked, order=self.order)

    def on_grid(self, grid: Grid) -> Observation:
        """The same readings, taken from a state on another grid."""
        return Observation(grid, self.points, self.channel, self.values, self.noise_std, self.order)

    def _check(self, tensor, shape):
        # a state of another grid would be read at the wrong nodes in silence
        if tuple(tensor.shape[1:]) != shape:
            raise InputError(
                f"a tensor of shape {tuple(tensor.shape)} does not fit; give "
                f"({', '.join(map(str, ('batch', *shape)))})"
            )


def interpolation_stencil(
    points: torch.Tensor, grid: Grid, order: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat node indices and weights, both (m, (order+1)²), that interpolate a field at points (m,
    2) given as (x, y).

    The stencil wraps around on a periodic grid and moves inwards at the boundary of a vertex grid.
    """
    if not 0 <= order < grid.n:
        raise InputError(
            f"interpolation order {order} is not possible on {grid.n} nodes; use 0, 1 or 3"
        )
    (ix, wx), (iy, wy) = (_stencil_1d(points[:, d].double(), grid, order) for d in (0, 1))
    index = iy[:, :, None] * grid.n + ix[:, None, :]
    return index.flatten(1), (wy[:, :, None] * wx[:, None, :]).flatten(1)


def _stencil_1d(x, grid, order):
    s = x * grid.cells
    nearest = s.round()
    # On a node exactly, whatever 0.3 * 10 rounds to
    s = torch.where((s - nearest).abs() < 1e-9, nearest, s)
    first = (nearest if order == 0 else s.floor() - (order - 1) // 2).long()
    if not grid.periodic:
        first = first.clamp(0, grid.n - 1 - order)
    offsets = torch.arange(order + 1)
    t = s - first
    weight = torch.ones(len(x), order + 1, dtype=torch.float64)
    for j in range(order + 1):
        for i in range(order + 1):
            if i != j:
                weight[:, j] *= (t - i) / (j - i)
    return (first[:, None] + offsets) % grid.n, weight

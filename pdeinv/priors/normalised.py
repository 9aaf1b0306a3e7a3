"""Normalised fields as tables of coefficients, with the noise that a diffusion adds to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pdeinv.basis import Basis
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Domain, Grid
from pdeinv.priors.noise import Noise

__all__ = ["NormalisedFields", "check_trained_grid", "isotropic", "trained_grid_of"]

_SAME_ASPECT = 1e-3  # relative difference of aspects that are equal
_SAME_CELLS = 1.2  # ratio of the shapes of cells that are equal, up to rounding of the nodes
_BAND = 28  # modes per direction of a square between which covariances are fitted


@dataclass(eq=False, repr=False)
class NormalisedFields:
    """The coordinates in which a Gaussian prior works: normalised fields in a basis, and noise.

    The *band* holds the lowest modes of every channel, at most 28 per direction of a square, and as
    many on a rectangle, up to the same frequency in both directions.

    Arguments:
        fields: the fields of the channels.
        bases: one for each channel.
        grid: the grid of the training data.
        noise: the noise that σ multiplies.
        shift, scale: (channel,), float64; a normalised field is (field - shift) / scale.
    """

    fields: tuple[Field, ...]
    bases: tuple[Basis, ...]
    grid: Grid
    noise: Noise
    shift: torch.Tensor
    scale: torch.Tensor

    @property
    def band(self) -> tuple[int, int]:
        """Numbers of modes along y and x in the band."""
        capacities = [b.capacity(self.grid) for b in self.bases]
        lowest = isotropic(_BAND, self.grid.domain)
        my, mx = map(min, zip(lowest, *capacities, strict=True))
        # A periodic basis has a constant, and pairs of cosine and sine
        return (my - 1 + my % 2, mx - 1 + mx % 2) if self.grid.periodic else (my, mx)

    @property
    def band_size(self) -> int:
        """Number of modes in the bands of all channels."""
        return len(self.bases) * self.band[0] * self.band[1]

    def normalise(self, states: torch.Tensor) -> torch.Tensor:
        """Return (states - shift) / scale in single precision, (batch, channel, ny, nx)."""
        self._check(states)
        shift, scale = (v.to(states)[:, None, None] for v in (self.shift, self.scale))
        return ((states - shift) / scale).float()

    def physical(self, x: torch.Tensor) -> torch.Tensor:
        """Return the states of normalised fields in double precision; inverts `normalise`."""
        scale, shift = (v[:, None, None].to(x.device) for v in (self.scale, self.shift))
        return x.double() * scale + shift

    def coefficients(self, x: torch.Tensor, grid: Grid) -> list[torch.Tensor]:
        """Return a table (batch, my, mx) for each channel of fields (batch, channel, ny, nx)."""
        return [basis.analysis(x[:, c], grid) for c, basis in enumerate(self.bases)]

    def synthesis(self, tables: list[torch.Tensor], grid: Grid) -> torch.Tensor:
        """Return the fields (batch, channel, ny, nx) of a table for each channel."""
        return torch.stack(
            [b.synthesis(t, grid) for b, t in zip(self.bases, tables, strict=True)], dim=1
        )

    def to_band(self, tables: list[torch.Tensor]) -> torch.Tensor:
        """Return the coefficients in the band as rows, (batch, band_size)."""
        return torch.stack(
            [b.resize(t, self.band) for b, t in zip(self.bases, tables, strict=True)], dim=1
        ).flatten(1)

    def from_band(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the tables (..., channel, my, mx) of rows (..., band_size)."""
        return rows.unflatten(-1, (len(self.bases), *self.band))

    def white(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return standard normals (n, channel, my, mx) for `noise_fields`.

        The same tables give the same noise on every grid.
        """
        my, mx = map(max, zip(*(b.capacity(grid) for b in self.bases), strict=True))
        shape = (n, len(self.bases), my, mx)
        return torch.randn(shape, dtype=torch.float32, generator=generator)

    def noise_fields(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the noise (n, channel, ny, nx) of level 1, in physical units, of the standard
        normals xi (n, channel, my, mx)."""
        scale = self.scale[:, None, None].to(xi.device)
        return self.noise.sample(self.bases, grid, xi).double() * scale

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return n draws (n, channel, ny, nx) of the noise of level 1, in physical
        units."""
        return self.noise_fields(self.white(n, self.check_grid(grid), generator), grid)

    def noise_covariance(self, v: torch.Tensor) -> torch.Tensor:
        """Return the covariance matrix of the nodes' values of normalised noise of level 1, times
        v (batch, channel, ny, nx)."""
        grid = self.grid_of(v)
        tables = [
            b.synthesis_adjoint(v[:, c], grid) * self.noise.variance(b, grid).to(v)
            for c, b in enumerate(self.bases)
        ]
        return self.synthesis(tables, grid)

    def relative_noise_variance(self, grid: Grid) -> float:
        """Return the variance of the noise's coefficients on a grid, relative to the training
        grid.

        It is 1 but for white noise.
        """
        return grid.relative_area / self.grid.relative_area if self.noise.kind == "white" else 1.0

    def grid_of(self, x: torch.Tensor) -> Grid:
        """Return the grid of states (batch, channel, ny, nx), on the domain of the training data.

        Raises:
            InputError: the shape does not fit the channels or the domain.
        """
        self._check(x)
        return trained_grid_of(self.grid, x)

    def check_grid(self, grid: Grid) -> Grid:
        """Return the grid.

        Raises:
            InputError: it is of the other kind, of a domain of another aspect, or of other cells.
        """
        return check_trained_grid(self.grid, grid)

    def _check(self, x: torch.Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != len(self.bases):
            names = ", ".join(f.name for f in self.fields)
            raise InputError(
                f"states of this prior must be (batch, {len(self.bases)}, ny, nx) with the "
                f"channels {names}, got {tuple(x.shape)}; reshape them"
            )


def check_trained_grid(trained: Grid, grid: Grid) -> Grid:
    """Return a grid on which a learned model can be evaluated.

    The model's lengths are in units of the domain's shorter side, so that only the aspect must
    agree, not the extent or the unit. The number of nodes is free, with cells that are about square
    or of about the shape that they had in training.

    Arguments:
        trained: the grid of the training data.
        grid: the other one.

    Raises:
        InputError: the grid is of the other kind, of a domain of another aspect, or of other cells.
    """
    if grid.kind != trained.kind:
        raise InputError(
            f"the grid of this prior must be {trained.kind}, got a {grid.kind} one; use "
            f"Grid(n, kind={trained.kind!r})"
        )
    pairs = zip(trained.domain.aspect, grid.domain.aspect, strict=True)
    if max(abs(a / b - 1) for a, b in pairs) > _SAME_ASPECT:
        raise InputError(
            f"the domain of this prior must have the aspect {_aspect(trained)} of its training "
            f"data, got the aspect {_aspect(grid)} of {grid.domain}; train a prior for this domain"
        )
    shape = grid.hx / grid.hy
    if not any(1 / _SAME_CELLS < shape / known < _SAME_CELLS for known in _cells(trained)):
        ny, nx = _square_cells(trained, grid)
        raise InputError(
            f"the nodes of this prior must be as many as on {ny} x {nx}, for the aspect "
            f"{_aspect(trained)} of its training data, got {grid}, of the aspect "
            f"{grid.cells[1] / grid.cells[0]:.4g} to 1 with square cells; use such a grid, or "
            f"train a prior for this domain"
        )
    return grid


def trained_grid_of(trained: Grid, x: torch.Tensor) -> Grid:
    """Return the grid of fields (..., ny, nx) on the domain of the training data.

    Raises:
        InputError: the shape is that of a domain of another aspect.
    """
    ny, nx = x.shape[-2:]
    return check_trained_grid(trained, trained.resized(ny, nx))


def isotropic(count: int, domain: Domain) -> tuple[int, int]:
    """Return numbers along y and x whose product is about count², in the ratio of the sides."""
    width, height = domain.aspect
    ratio = (height / width) ** 0.5
    return (max(3, round(count * ratio)), max(3, round(count / ratio)))


def _cells(trained: Grid) -> tuple[float, float]:
    """Return the ratios hx / hy that a model allows."""
    return (1.0, trained.hx / trained.hy)


def _square_cells(trained: Grid, grid: Grid) -> tuple[int, int]:
    """Return the nodes on the domain of the training data, as many on the shorter side."""
    ends = 0 if trained.periodic else 1
    cells = min(grid.cells)
    nx, ny = (round(cells * length) + ends for length in trained.domain.aspect)
    return (ny, nx)


def _aspect(grid: Grid) -> str:
    """Return the ratio of width to height in words."""
    width, height = grid.domain.aspect
    return f"{width:.4g} to {height:.4g}"

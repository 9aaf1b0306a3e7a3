"""Normalised fields as tables of coefficients, with the noise that a diffusion adds to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pdeinv.basis import Basis
from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.priors.noise import Noise

__all__ = ["NormalisedFields", "check_trained_grid"]

_SAME_ASPECT = 1e-3
_BAND = 28  # modes per direction between which covariances are fitted


@dataclass(eq=False, repr=False)
class NormalisedFields:
    """The coordinates in which a Gaussian prior works: normalised fields in a basis, and noise.

    The *band* holds the lowest modes per direction of every channel, at most 28 of them.

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
        my, mx = (min(_BAND, *modes) for modes in zip(*capacities, strict=True))
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
            InputError: the shape does not fit the channels.
        """
        self._check(x)
        return self.grid.resized(*x.shape[-2:])

    def check_grid(self, grid: Grid) -> Grid:
        """Return the grid.

        Raises:
            InputError: it is of the other kind, or of a domain of another aspect.
        """
        check_trained_grid(self.grid, grid)
        return grid

    def _check(self, x: torch.Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != len(self.bases):
            names = ", ".join(f.name for f in self.fields)
            raise InputError(
                f"states of this prior must be (batch, {len(self.bases)}, ny, nx) with the "
                f"channels {names}, got {tuple(x.shape)}; reshape them"
            )


def check_trained_grid(trained: Grid, grid: Grid) -> None:
    """Refuse a grid on which a learned model cannot be evaluated.

    Its lengths are in units of the domain's shorter side, so that only the aspect must agree.

    Arguments:
        trained: the grid of the training data.
        grid: the other one.

    Raises:
        InputError: the grid is of the other kind, or of a domain of another aspect.
    """
    if grid.kind != trained.kind:
        raise InputError(
            f"the grid of this prior must be {trained.kind}, got a {grid.kind} one; use "
            f"Grid(n, kind={trained.kind!r})"
        )
    pairs = zip(trained.domain.aspect, grid.domain.aspect, strict=True)
    if max(abs(a / b - 1) for a, b in pairs) > _SAME_ASPECT:
        width, height = trained.domain.aspect
        raise InputError(
            f"the domain of this prior must have the aspect {width:.4g} to {height:.4g} of its "
            f"training data, got {grid.domain}; train a prior for this domain"
        )

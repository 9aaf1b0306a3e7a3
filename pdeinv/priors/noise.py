"""The random fields that a diffusion adds to a state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from pdeinv.basis import Basis
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Noise", "NoiseKind"]

NoiseKind = Literal["exponential", "white"]


@dataclass(frozen=True)
class Noise:
    """A centred Gaussian field of unit variance, independent in every channel and diagonal in the
    basis of the channel.

    `exponential` has the covariance exp(-|x - y| / length) away from the boundary: white below the
    frequency 1 / length, and falling as |κ|⁻³ above it. The covariance is trace-class, so that the
    noised field has a limit as the grid is refined, which white noise lacks. It falls no faster
    than the spectrum of a field with jumps, so that the noise covers every detail of the data. With
    the default length of 0.02 it is almost white on the scales that 64 nodes resolve.

    `white` has independent values on the nodes of any grid, as the noise of DiffusionPDE.

    Arguments:
        kind: `"exponential"` or `"white"`.
        length: correlation length in units of the domain's shorter side; ignored for white noise.

    Reference:
        Lim et al., *Score-based diffusion models in function space*, JMLR 26, 2025 (arXiv
        2302.07400), section 3; Yao et al., *Guided diffusion sampling on function spaces* (FunDPS),
        NeurIPS 2025 (arXiv 2505.17004), section 3.1.
    """

    kind: NoiseKind = "exponential"
    length: float = 0.02

    def __post_init__(self) -> None:
        if self.kind not in get_args(NoiseKind):
            raise InputError(
                f"the noise must be exponential or white, got {self.kind!r}; choose one of them"
            )
        if not 0 < self.length < math.inf:
            raise InputError(
                f"the correlation length of the noise must be positive, got {self.length}; use a "
                f"share of the domain's shorter side such as 0.02"
            )

    def variance(self, basis: Basis, grid: Grid) -> torch.Tensor:
        """Return the variances of the coefficients that the grid resolves, (my, mx), float64."""
        modes = basis.capacity(grid)
        if self.kind == "white":
            y, x = (
                torch.full((m,), h / grid.domain.shorter, dtype=torch.float64)
                for m, h in zip(modes, grid.spacing, strict=True)
            )
            if modes == grid.shape and not grid.periodic:
                # The cosine that alternates from node to node has twice the norm of the others
                y[-1] /= 2
                x[-1] /= 2
            return y[:, None] * x
        kappa = basis.frequencies(modes, grid.domain) * self.length
        # Of unit variance when summed over all modes
        return 2 * math.pi * self.length**2 * (1 + kappa**2) ** -1.5

    def sample(self, bases: tuple[Basis, ...], grid: Grid, xi: torch.Tensor) -> torch.Tensor:
        """Return fields (batch, channel, ny, nx) with the coefficients √variance · xi.

        The tables of one draw give the same function on every grid, up to the modes that a grid
        does not resolve.

        Arguments:
            bases: one for each channel.
            grid: of the fields.
            xi: (batch, channel, my, mx), standard normals, one for each coefficient.
        """
        fields = []
        for channel, basis in enumerate(bases):
            table = basis.resize(xi[:, channel], basis.capacity(grid))
            fields.append(
                basis.synthesis(self.variance(basis, grid).sqrt().to(table) * table, grid)
            )
        return torch.stack(fields, dim=1)

"""The random fields that turn a state into noise, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from pdeinv.basis import Basis
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Noise"]


@dataclass(frozen=True)
class Noise:
    """A centred Gaussian field of unit variance, independent in every channel and diagonal in the
    channel's basis.

    `exponential` has the covariance exp(-|x - y| / length) away from the boundary: white below the
    frequency 1 / length, falling as |κ|⁻³ above it. That is a trace-class covariance, so that the
    noised field has a limit as the grid is refined (as white noise has not); and it falls no faster
    than the spectrum of a field with jumps, so that no detail of the data outlives the noise. The
    default length of 0.02 keeps it almost white on the scales that 64 nodes resolve.

    `white` has independent values on the nodes of whatever grid, as DiffusionPDE's noise.

    Arguments:
        kind: `"exponential"` or `"white"`.
        length: correlation length in units of the domain's side; ignored for white noise.

    Reference:
        Lim et al., *Score-based diffusion models in function space*, JMLR 26, 2025 (arXiv
        2302.07400), section 3; Yao et al., *Guided diffusion sampling on function spaces* (FunDPS),
        NeurIPS 2025 (arXiv 2505.17004), section 3.1.
    """

    kind: Literal["exponential", "white"] = "exponential"
    length: float = 0.02

    def __post_init__(self):
        if self.kind not in ("exponential", "white"):
            raise InputError(f"noise {self.kind!r} is unknown; use 'exponential' or 'white'")
        if not 0 < self.length < math.inf:
            raise InputError(f"the noise's correlation length = {self.length} must be positive")

    def variance(self, basis: Basis, grid: Grid) -> torch.Tensor:
        """Variance of each coefficient that the grid tells apart, (m, m), float64."""
        modes = basis.capacity(grid)
        if self.kind == "white":
            line = torch.full((modes,), grid.h, dtype=torch.float64)
            if modes == grid.n and not grid.periodic:
                # The cosine that alternates from node to node is twice as large as the others
                line[-1] /= 2
            return line[:, None] * line
        kappa = basis.frequencies(modes) * self.length
        # Of unit variance when summed over all modes
        return 2 * math.pi * self.length**2 * (1 + kappa**2) ** -1.5

    def sample(self, bases: tuple[Basis, ...], grid: Grid, xi: torch.Tensor) -> torch.Tensor:
        """Fields (batch, channel, n, n) of tables of standard normals (batch, channel, m, m), one
        for each coefficient.

        Tables of one draw mean the same function on every grid, but for the modes that a grid does
        not tell apart.
        """
        fields = []
        for channel, basis in enumerate(bases):
            table = basis.resize(xi[:, channel], basis.capacity(grid))
            fields.append(
                basis.synthesis(self.variance(basis, grid).sqrt().to(table) * table, grid)
            )
        return torch.stack(fields, dim=1)

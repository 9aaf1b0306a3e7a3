"""The published random fields: powers of the Laplacian, stated by alpha and tau."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

from pdeinv.checks import Bounds, Positive
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.errors import InputError
from pdeinv.grid import Domain, GridKind
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Symmetry

__all__ = ["SpectralField"]


@dataclass(frozen=True)
class SpectralField(CoefficientPrior):
    """A zero-mean Gaussian field of covariance c τ^(2α-2) (-Δ + τ²)^-α, without a constant mode.

    It is that of the published benchmark: a `GaussianRandomField`. On a rectangle its variance
    doubles at the sides, where cosines are used; `GaussianField` has a constant one.

    Arguments:
        boundary: "neumann" for cosines on a rectangle, "periodic" for a torus.
        alpha: smoothness, above 1.
        tau: inverse correlation length in units of 1 / shorter side of the domain.
        modes: wavenumbers per direction, as of `GaussianRandomField`.

    Raises:
        InputError: a number is out of range; on use, the boundary is not that of the domain.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021, appendix A.3 (arXiv
        2010.08895).

    Example:
        >>> from pdeinv import Grid, SpectralField
        >>> SpectralField("periodic", alpha=2.5, tau=7.0).sample(4, Grid(16, kind="periodic")).shape
        torch.Size([4, 1, 16, 16])
    """

    boundary: Literal["neumann", "periodic"] = "neumann"
    alpha: Annotated[float, Bounds(above=1)] = 2.0
    tau: Positive = 3.0
    modes: int = 128

    name = "spectral-field"
    never_unknown = ("modes",)

    def __post_init__(self) -> None:
        super().__post_init__()
        _field(self, (1.0, 1.0))  # checks the numbers

    def latent(self, domain: Domain, kind: GridKind) -> GaussianRandomField:
        if (self.boundary == "periodic") != (kind == "periodic"):
            wanted = "periodic" if kind == "periodic" else "neumann"
            raise InputError(
                f"boundary of the {self.name} prior must be {wanted!r} on this domain, got "
                f"{self.boundary!r}; use a prior with boundary {wanted!r}"
            )
        if kind == "cell":
            raise InputError(
                f"the grid of the {self.name} prior must have nodes on its sides, got a cell grid; "
                f"use a gaussian-field, or a vertex grid"
            )
        return _field(self, domain.aspect)

    def phrase(self, domain: Domain) -> str:
        return (
            f"a Gaussian random field ({self.boundary}) with alpha {self.alpha:g}, tau "
            f"{self.tau:g}, modes {self.modes}"
        )

    @property
    def symmetric(self) -> bool:
        return True

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return True


@lru_cache(maxsize=64)
def _field(prior: SpectralField, aspect: tuple[float, float]) -> GaussianRandomField:
    return GaussianRandomField(prior.boundary, prior.alpha, prior.tau, prior.modes, aspect)

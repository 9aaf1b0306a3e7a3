"""The latent Gaussian field whose threshold is a two-valued coefficient with the covariance of a
prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from pdeinv.basis import Boundary, eigenfunctions, wavenumbers
from pdeinv.coefficients import CoefficientPrior, TwoPhase
from pdeinv.grid import Domain, GridKind
from pdeinv.priors.gaussian import GaussianPrior
from pdeinv.priors.normalised import isotropic
from pdeinv.priors.spectrum import extrapolate_power_law
from pdeinv.random_field import TabulatedField
from pdeinv.symmetry import Symmetry

__all__ = ["threshold_prior"]

_NODES = 49  # per side of a square, between which correlations are evaluated
_MAX_WAVENUMBER = 12  # of a square, up to which they determine the spectrum, beyond it a power law
_MODES = 128  # of the field
_MIN_VARIANCE = 1e-9  # relative to the largest
_ANGLES = 2001  # of the table of the integral below


@dataclass(frozen=True, eq=False)
class _Tabulated(CoefficientPrior):
    """A Gaussian field that is known on one domain, by the table of its spectrum."""

    field: TabulatedField

    name = "learned-field"

    def latent(self, domain: Domain, kind: GridKind) -> TabulatedField:
        return self.field

    def phrase(self, domain: Domain) -> str:
        return "a Gaussian field with a learned spectrum"

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return element == Symmetry()


def threshold_prior(gaussian: GaussianPrior, low: float, high: float) -> TwoPhase:
    """Return the distribution of media of two phases with the mean and the correlations of a
    learned prior.

    Arguments:
        gaussian: the prior; its first channel is the coefficient.
        low, high: the two values of the coefficient.
    """
    return TwoPhase(_Tabulated(_latent_field(gaussian, low, high)), low, high)


def _latent_field(gaussian: GaussianPrior, low: float, high: float) -> TabulatedField:
    """Return the Gaussian field g whose threshold, `high` where g >= 0, has the prior's mean and
    correlations.

    For g = t + a field of variance one, whose values at two nodes have the correlation r, the signs
    have the covariance

        cov(1[g >= 0], 1[g' >= 0]) = 1/(2π) ∫ exp(-t² / (1 + sin θ)) dθ,    θ from 0 to arcsin r,

    which is solved for r. For equal shares of both values r = sin(π/2 · correlation of the signs).
    The result is made diagonal in the basis of the prior's coefficient. A `TabulatedField` has no
    mean, so t² is added to the variance of the constant coefficient.

    Arguments:
        gaussian: the prior; its first channel is the coefficient.
        low, high: the two values of the coefficient.

    Reference:
        Plackett, *A reduction formula for normal multivariate integrals*, Biometrika 41, 1954 (the
        derivative with respect to r); Armstrong et al., *Plurigaussian Simulations in Geosciences*,
        2011 (fields that are thresholds of Gaussian ones).
    """
    basis, domain = gaussian.bases[0], gaussian.grid.domain
    sizes = [n - 1 + n % 2 for n in isotropic(_NODES, domain)]  # odd, as periodic fields need
    lines = [(torch.arange(n, dtype=torch.float64) + 0.5) / n for n in sizes]
    mean = gaussian.mean(gaussian.grid)[0, 0].double()
    share = float(((mean - low) / (high - low)).mean().clamp(0.01, 0.99))
    threshold = float(torch.special.ndtri(torch.tensor(share, dtype=torch.float64)))
    correlation = _latent_correlation(_correlation(gaussian, *lines), share, threshold)

    pairs, kept = [], []
    for x, most in zip(lines, isotropic(_MAX_WAVENUMBER, domain), strict=True):
        few = wavenumbers(basis.boundary, len(x))
        inverse = torch.linalg.pinv(eigenfunctions(basis.boundary, few, x))
        pairs.append((inverse[:, :, None] * inverse[:, None, :]).flatten(1))
        kept.append(int((few <= most).sum()))
    across = correlation.permute(0, 2, 1, 3).reshape(len(lines[0]) ** 2, -1)
    spectrum = basis.resize(pairs[0] @ across @ pairs[1].T, (kept[0], kept[1]))
    spectrum = spectrum.clamp(min=_MIN_VARIANCE * float(spectrum.max()))
    modes = len(wavenumbers(basis.boundary, _MODES))
    eigenvalues = extrapolate_power_law(basis, spectrum, (modes, modes), domain).double()
    if basis.boundary != "dirichlet":
        eigenvalues[0, 0] += threshold**2
    # Of eigenfunctions that are orthonormal on the rectangle
    width, height = domain.aspect
    return TabulatedField(basis.boundary, width * height * eigenvalues, domain.aspect)


def _correlation(gaussian: GaussianPrior, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the correlations (q, p, q, p), indexed [y, x, y', x'], of the first channel at the
    points of a lattice with the coordinates y (q,) and x (p,), in shares of the sides."""
    basis, q, p = gaussian.bases[0], len(y), len(x)
    fine = gaussian.grid.resized(2 * gaussian.grid.ny, 2 * gaussian.grid.nx)
    _, diagonal_variances, noises, _ = gaussian.tables_for(fine, gaussian.shift)
    variances = diagonal_variances[0].double()
    pairs_y, pairs_x = (
        (phi[:, None] * phi).flatten(0, 1) for phi in _lines(basis.boundary, variances.shape, y, x)
    )
    covariance = (
        (pairs_y @ variances @ pairs_x.T)
        .reshape(q, q, p, p)
        .permute(0, 2, 1, 3)
        .reshape(q * p, q * p)
    )
    weight = basis.resize(noises[0].double().sqrt(), gaussian.band)
    few_y, few_x = _lines(basis.boundary, gaussian.band, y, x)
    for places, values, vectors in gaussian.blocks:
        band = torch.zeros(
            vectors.shape[1], gaussian.band_size, dtype=torch.float64, device=y.device
        )
        band[:, places] = (vectors * values.sqrt()).double().T
        rows = (few_y @ (gaussian.from_band(band)[:, 0] * weight) @ few_x.T).flatten(1)
        covariance.addmm_(rows.T, rows)
    scale = covariance.diagonal().rsqrt()
    return covariance.mul_(scale).mul_(scale[:, None]).reshape(q, p, q, p)


def _lines(
    boundary: Boundary, modes: tuple[int, ...], y: torch.Tensor, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the eigenfunctions along y and x at coordinates (q,) and (p,), (q, my) and (p, mx)."""
    along_y, along_x = (
        eigenfunctions(boundary, wavenumbers(boundary, m), line)
        for m, line in zip(modes, (y, x), strict=True)
    )
    return along_y, along_x


def _latent_correlation(correlation: torch.Tensor, share: float, threshold: float) -> torch.Tensor:
    """Return the correlation of the field, from the correlation of its signs."""
    theta = np.linspace(-math.pi / 2, math.pi / 2, _ANGLES)
    density = np.exp(-(threshold**2) / np.maximum(1 + np.sin(theta), 1e-300)) / (
        2 * math.pi * share * (1 - share)
    )
    steps = (density[1:] + density[:-1]) / 2 * (theta[1] - theta[0])
    integral = np.concatenate([[0.0], steps.cumsum()])
    integral -= integral[_ANGLES // 2]
    return torch.from_numpy(np.sin(np.interp(correlation.numpy(), integral, theta)))

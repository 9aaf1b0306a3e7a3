"""The Gaussian field whose threshold is a coefficient with two values, from what a prior knows of
that coefficient."""

from __future__ import annotations

import math

import numpy as np
import torch

from pdeinv.basis import eigenfunctions, wavenumbers
from pdeinv.grid import Grid
from pdeinv.priors.gaussian import GaussianPrior, extrapolate_power_law
from pdeinv.random_field import TabulatedField

__all__ = ["latent_field"]

_NODES = 49  # per side, between which correlations are taken; odd, as periodic fields need
_TOLD = 12  # wavenumber up to which they tell the spectrum; beyond it goes on as a power law
_MODES = 128  # of the field
_LEAST = 1e-9  # variance, relative to the largest
_ANGLES = 2001  # of the table of the integral below


def latent_field(gaussian: GaussianPrior, low: float, high: float) -> TabulatedField:
    """The field g for which a coefficient that is `high` where g >= 0 has the share and the
    correlations that a prior knows.

    For g = t + a field of variance one, whose values at two nodes have the correlation r, the signs
    have the covariance

        cov(1[g >= 0], 1[g' >= 0]) = 1/(2π) ∫ exp(-t² / (1 + sin θ)) dθ,    θ from 0 to arcsin r,

    which is solved for r; for equal shares r = sin(π/2 · correlation of the signs). The result is
    made diagonal in the basis of the prior's coefficient. A field here has no mean: t enters as one
    more t² of the constant coefficient's variance.

    Arguments:
        gaussian: of the coefficient, its first channel.
        low, high: the two values.

    Reference:
        Plackett, *A reduction formula for normal multivariate integrals*, Biometrika 41, 1954 (the
        derivative with respect to r); Armstrong et al., *Plurigaussian Simulations in Geosciences*,
        2011 (fields that are thresholds of Gaussian ones).
    """
    basis = gaussian.bases[0]
    x = (torch.arange(_NODES, dtype=torch.float64) + 0.5) / _NODES
    correlation = _correlation(gaussian, x)
    share = float(
        ((gaussian.mean(gaussian.grid)[0, 0].double() - low) / (high - low))
        .mean()
        .clamp(0.01, 0.99)
    )
    threshold = float(torch.special.ndtri(torch.tensor(share, dtype=torch.float64)))
    correlation = _latent_correlation(correlation, share, threshold)

    few = wavenumbers(basis.boundary, _NODES)
    inverse = torch.linalg.pinv(eigenfunctions(basis.boundary, few, x))
    pairs = (inverse[:, :, None] * inverse[:, None, :]).flatten(1)
    told = pairs @ correlation.permute(0, 2, 1, 3).reshape(_NODES**2, -1) @ pairs.T
    told = basis.resize(told, int((few <= _TOLD).sum()))
    told = told.clamp(min=_LEAST * float(told.max()))
    eigenvalues = extrapolate_power_law(
        basis, told, len(wavenumbers(basis.boundary, _MODES))
    ).double()
    if basis.boundary != "dirichlet":
        eigenvalues[0, 0] += threshold**2
    return TabulatedField(basis.boundary, eigenvalues)


def _correlation(gaussian: GaussianPrior, x: torch.Tensor) -> torch.Tensor:
    """Of the first channel at the points of a lattice with the coordinates x (p,), indexed [y, x,
    y', x']."""
    basis, p = gaussian.bases[0], len(x)
    _, diagonal_variances, noises = gaussian.tables_for(
        Grid(2 * gaussian.grid.n, gaussian.grid.kind), torch.zeros(1)
    )
    phi = eigenfunctions(basis.boundary, wavenumbers(basis.boundary, len(diagonal_variances[0])), x)
    pairs = (phi[:, None] * phi).flatten(0, 1)
    covariance = (
        (pairs @ diagonal_variances[0].double() @ pairs.T)
        .reshape(p, p, p, p)
        .permute(0, 2, 1, 3)
        .reshape(p * p, p * p)
    )
    weight = basis.resize(noises[0].double().sqrt(), gaussian.band)
    few = eigenfunctions(basis.boundary, wavenumbers(basis.boundary, gaussian.band), x)
    for places, values, vectors in gaussian.blocks:
        band = torch.zeros(
            vectors.shape[1], len(gaussian.bases) * gaussian.band**2, dtype=torch.float64
        )
        band[:, places] = (vectors * values.sqrt()).double().T
        rows = (few @ (gaussian.unbanded(band)[:, 0] * weight) @ few.T).flatten(1)
        covariance.addmm_(rows.T, rows)
    scale = covariance.diagonal().rsqrt()
    return covariance.mul_(scale).mul_(scale[:, None]).reshape(p, p, p, p)


def _latent_correlation(correlation: torch.Tensor, share: float, threshold: float) -> torch.Tensor:
    """Of the field, from the correlation of its signs."""
    theta = np.linspace(-math.pi / 2, math.pi / 2, _ANGLES)
    density = np.exp(-(threshold**2) / np.maximum(1 + np.sin(theta), 1e-300)) / (
        2 * math.pi * share * (1 - share)
    )
    steps = (density[1:] + density[:-1]) / 2 * (theta[1] - theta[0])
    integral = np.concatenate([[0.0], steps.cumsum()])
    integral -= integral[_ANGLES // 2]
    return torch.from_numpy(np.sin(np.interp(correlation.numpy(), integral, theta)))

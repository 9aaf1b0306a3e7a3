"""Sensitivities of readings to a latent Gaussian field, from an ensemble, without derivatives."""

from __future__ import annotations

from typing import NamedTuple

import torch

from pdeinv.solvers.latent_map import LatentMap

__all__ = ["Sensitivities", "nodewise_sensitivities", "regressed_sensitivities"]

_RIDGE = 1e-5  # relative to the mean square of a member in the kernel
_LASTING = 0.1  # share of the squared error of the regression that does not fall with the spread
_SMOOTHNESS = 2  # power of the prior's variances in the kernel
_CHUNK = 32  # fields transformed at a time


class Sensitivities(NamedTuple):
    """A linear model of readings F(ξ), of members ξ that are standard normal a priori.

    Arguments:
        rows: dF/dξ, (m, size).
        error: variance of what it leaves of each reading, (m,).
    """

    rows: torch.Tensor
    error: torch.Tensor

    def of(self, chosen: torch.Tensor) -> Sensitivities:
        """Return those of some of the readings, a mask (m,)."""
        return Sensitivities(self.rows[chosen], self.error[chosen])


def regressed_sensitivities(
    xi: torch.Tensor, values: torch.Tensor, eigenvalues: torch.Tensor
) -> Sensitivities:
    """Return the sensitivities by ridge regression of the readings on the members.

    There are fewer members than functions of the latent field: what they leave open is taken from
    an assumption. The sensitivities to the functions are independent a priori, with variances that
    fall as the squares of the functions' own. A reading of a solution averages over the field, and
    small-scale functions hardly move it. The kernel of the regression is then ξᵀ Λ² ξ′.

    The error is a share of the mean square error of predicting each member from all others. The
    rest is taken to be the curvature of F, which vanishes as the members draw together.

    Arguments:
        xi: the members, (N, *shape).
        values: their readings, (N, m).
        eigenvalues: Λ, variances of the functions, (*shape).

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, sections 2.1 and
        5.4.2.
    """
    x, y = xi.flatten(1), values - values.mean(dim=0)
    x = x - x.mean(dim=0)
    weighted = x * (eigenvalues / eigenvalues.max()).flatten() ** _SMOOTHNESS
    kernel = weighted @ x.T
    ridge = _RIDGE * kernel.diagonal().mean()
    inverse = torch.linalg.inv(kernel + ridge * torch.eye(len(x), dtype=x.dtype, device=x.device))
    coefficients = inverse @ y
    # Constants are fitted without a penalty; they are an eigenvector of the inverse
    left = coefficients / (inverse.diagonal() - 1 / (len(x) * ridge))[:, None]
    return Sensitivities(coefficients.T @ weighted, _LASTING * left.square().mean(dim=0))


def nodewise_sensitivities(
    forward: LatentMap, xi: torch.Tensor, values: torch.Tensor
) -> Sensitivities:
    """Return the sensitivities of readings of the coefficient, or of functions of it node by node.

    They depend on the latent field at a few nodes. At each node the function is linearised by its
    regression on the latent field over the members, which is exact where it is affine.

    Arguments:
        forward: the map to these readings.
        xi: the members, (N, *shape).
        values: their readings, (N, m).
    """
    latent, grid, H = forward.problem.latent, forward.grid, forward.observation
    g = latent.square_root(xi, grid)
    g = g - g.mean(dim=0)
    fields = forward.nodewise(forward.coefficient(xi))
    variance = g.square().sum(dim=0)
    slope = (g * (fields - fields.mean(dim=0))).sum(dim=0) / torch.where(variance > 0, variance, 1)
    parts = [
        latent.square_root_adjoint(
            (H.adjoint(unit)[:, forward.nodewise_channels] * slope).sum(dim=1, keepdim=True),
            grid,
        ).flatten(1)
        for unit in torch.eye(len(H), dtype=torch.float64, device=xi.device).split(_CHUNK)
    ]
    rows, x = torch.cat(parts), xi.flatten(1)
    left = values - values.mean(dim=0) - (x - x.mean(dim=0)) @ rows.T
    return Sensitivities(rows, left.square().sum(dim=0) / (len(xi) - 1))

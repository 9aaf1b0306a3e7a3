"""The exact posterior of a linear PDE with a Gaussian prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.checks import NotNegative
from pdeinv.datasets.base import PDE
from pdeinv.grid import Grid
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import MisfitTest, Solver, progress_bar
from pdeinv.solvers.forward import ForwardMap, TensorMap
from pdeinv.solvers.linear_algebra import (
    carries_weight,
    cholesky_with_nugget,
    degrees_of_freedom,
    explained_variance,
    nugget_variance,
    unit_vectors,
)

__all__ = ["GaussianSolver"]

_CHUNK = 64  # fields transformed at a time
_KEPT = 8  # prior variances

_variances: dict[tuple[PDE, Grid], torch.Tensor] = {}


@dataclass(frozen=True)
class GaussianSolver(Solver):
    """The exact posterior where the PDE is linear in a Gaussian coefficient (Poisson, Helmholtz):
    the first choice there.

    The state x = (a, u) is T ξ with ξ standard normal (Karhunen–Loève coefficients) and T a chain
    of fast transforms, so its covariance C = T Tᵀ is applied, never formed. Given y = H x + noise
    of covariance R, with G = H C Hᵀ + R,

        mean = C Hᵀ G⁻¹ y,    cov = C - C Hᵀ G⁻¹ H C,
        sample = x + C Hᵀ G⁻¹ (y - H x - noise),    x a prior draw.

    Each sensor costs one application of T and one of Tᵀ. The Cholesky factorisation grows with the
    cube of their number.

    Arguments:
        nugget: variance added to each reading, relative to the mean prior variance of the readings
            of its field; it keeps repeated and clustered exact sensors well conditioned.

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eqs 2.23–2.24;
        samples by Matheron's rule (Wilson et al., ICML 2020, eq. 8, arXiv 2002.09309).
    """

    nugget: NotNegative = 1e-12

    name: ClassVar[str] = "gaussian"
    needs: ClassVar[str] = "it needs a PDE that is linear in a Gaussian coefficient"
    misfit: ClassVar[MisfitTest] = "two-sided"

    def accepts(self, pde: PDE) -> bool:
        return pde.linear

    def memory(
        self, pde: PDE, prior: Prior | None, observation: Observation, n_samples: int
    ) -> float:
        m, nodes, modes = len(observation), observation.grid.nodes, pde.latent_prior.modes**2
        ours = m * (2 * nodes + 3 * m) + 3 * _CHUNK * modes
        return super().memory(pde, prior, observation, n_samples) + NUMBER * ours

    def condition(
        self,
        pde: PDE,
        prior: Prior | None,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        grid, m = observation.grid, len(observation)
        forward = ForwardMap(pde, observation)
        covariance = _cross_covariance(forward, progress)
        gram = observation(covariance)
        reading_variances = gram.diagonal().clone()
        gram = (gram + gram.T).div_(2)
        gram.diagonal().add_(observation.noise_std**2)
        lower = cholesky_with_nugget(
            gram, nugget_variance(reading_variances, observation, self.nugget)
        )
        del gram

        def update(innovation: torch.Tensor) -> torch.Tensor:  # (b, m) to C Hᵀ G⁻¹ of it
            weights = torch.cholesky_solve(innovation.T, lower).T
            return (weights @ covariance.flatten(1)).reshape(-1, 2, *grid.shape)

        y = observation.values[None]
        explained = explained_variance(lower, covariance.flatten(1))
        variance = _prior_variance(pde, grid, progress) - explained.reshape(2, *grid.shape)
        draws = forward.sample(n_samples, grid, generator)
        noise = observation.noise_std * torch.randn(
            n_samples, m, dtype=torch.float64, generator=generator
        )
        white = torch.linalg.solve_triangular(lower, y.T, upper=False)
        weighty = carries_weight(reading_variances, observation)
        freedom = degrees_of_freedom(lower, reading_variances, observation)
        return Posterior(
            pde.fields,
            grid,
            mean=update(y)[0],
            std=variance.clamp(min=0).sqrt(),
            samples=draws + update(y - observation(draws) - noise),
            record={
                "reduced_chi_squared": float(white[weighty].square().sum()) / max(1.0, freedom),
                "degrees_of_freedom": freedom,
                "solver_calls": forward.solver_calls,
            },
        )


def _adjoint(forward: ForwardMap) -> TensorMap:
    """Tᵀ Hᵀ: vectors of readings (k, m) to tables of coefficients (k, 1, modes, modes)."""
    modes = len(forward.pde.latent_prior.wavenumbers)
    origin = torch.zeros(1, 1, modes, modes, dtype=torch.float64)
    return forward.whitened_adjoint_at(origin)


def _cross_covariance(forward: ForwardMap, progress: bool) -> torch.Tensor:
    """C Hᵀ, one state for each reading: (m, 2, n, n)."""
    m, adjoint = len(forward.observation), _adjoint(forward)
    covariance = torch.empty(m, 2, *forward.grid.shape, dtype=torch.float64)
    parts = torch.arange(m).split(_CHUNK)
    for rows in progress_bar(parts, "sensors' covariances", progress, "batch"):
        covariance[rows] = forward.state(adjoint(unit_vectors(rows, m)))
    return covariance


def _prior_variance(pde: PDE, grid: Grid, progress: bool) -> torch.Tensor:
    """`_compute_prior_variance`, kept for the last few pairs of a PDE and a grid."""
    key = (pde, grid)
    if key not in _variances:
        found = _compute_prior_variance(pde, grid, progress)
        if len(_variances) >= _KEPT:
            del _variances[next(iter(_variances))]
        _variances[key] = found
    return _variances[key]


def _compute_prior_variance(pde: PDE, grid: Grid, progress: bool) -> torch.Tensor:
    """Pointwise prior variance of the state, (2, n, n).

    The coefficient's has a closed form. The solution's is that of the readings of sensors on the
    nodes, |Tᵀ Hᵀ e|², at one node of each orbit of the symmetry group.
    """
    index = torch.arange(grid.nodes, dtype=torch.float64).reshape(1, *grid.shape)
    orbit = torch.stack([g(index, grid).abs() for g in pde.symmetries]).amin(dim=0).long().flatten()
    nodes, member = torch.unique(orbit, return_inverse=True)
    zeros = torch.zeros(len(nodes), dtype=torch.float64)
    on_solution = torch.ones(len(nodes), dtype=torch.long)
    sensors = Observation(grid, grid.points()[nodes], on_solution, zeros, zeros)
    adjoint = _adjoint(ForwardMap(pde, sensors))
    parts = torch.arange(len(nodes)).split(max(1, _CHUNK * 64**2 // grid.nodes))
    variance = []
    for part in progress_bar(parts, "prior variance", progress, "batch"):
        variance.append(adjoint(unit_vectors(part, len(nodes))).square().sum(dim=(1, 2, 3)))
    return torch.stack(
        [pde.coefficient_variance(grid), torch.cat(variance)[member].reshape(grid.shape)]
    )

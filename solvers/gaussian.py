"""The exact posterior of a linear PDE with a Gaussian prior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch

from pdeinv.datasets.base import PDE
from pdeinv.grid import Grid
from pdeinv.posterior import Posterior
from pdeinv.solvers.base import (
    Solver,
    check_memory,
    cholesky_with_nugget,
    count_informative,
    nugget_variance,
    progress_bar,
)

__all__ = ["GaussianSolver"]

_CHUNK = 64  # fields transformed at a time: more do not run faster, fewer do


@dataclass(frozen=True)
class GaussianSolver(Solver):
    """The exact posterior where the PDE is linear in a Gaussian coefficient (Poisson, Helmholtz):
    the first choice there.

    The state x = (a, u) is T ξ with ξ standard normal (Karhunen–Loève coefficients) and T a chain
    of fast transforms, so its covariance C = T Tᵀ is applied, never formed. Given y = H x + noise
    of covariance R, with G = H C Hᵀ + R,

        mean = C Hᵀ G⁻¹ y,    cov = C - C Hᵀ G⁻¹ H C,    sample = x + C Hᵀ G⁻¹ (y - H x - noise), x
        a prior draw.

    The cost is two applications of T a sensor and a Cholesky factorisation of their number.

    Arguments:
        nugget: variance added to each reading, relative to the mean prior variance of the readings
            of its field; it keeps repeated and clustered exact sensors well conditioned.

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eqs 2.23–2.24;
        samples by Matheron's rule (Wilson et al., ICML 2020, eq. 8, arXiv 2002.09309).
    """

    nugget: float = 1e-12

    name: ClassVar[str] = "gaussian"
    needs: ClassVar[str] = "it needs a PDE that is linear in a Gaussian coefficient"

    def accepts(self, pde):
        return pde.linear

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        grid, m = observation.grid, len(observation)
        size = 2 * m * (2 * grid.n**2 + m)
        check_memory(
            size,
            f"{m} sensors on a grid of {grid.n} nodes",
            "use a coarser grid or average neighbouring readings",
        )
        covariance = torch.empty(m, 2, *grid.shape, dtype=torch.float64)  # row i: C Hᵀ e_i
        eye = torch.eye(m, dtype=torch.float64)
        for rows in progress_bar(
            torch.arange(m).split(_CHUNK), "sensors' covariances", progress, "batch"
        ):
            covariance[rows] = pde.state(
                _state_adjoint(pde, observation.adjoint(eye[rows]), grid), grid
            )
        gram = observation(covariance)
        own = gram.diagonal()
        lower = cholesky_with_nugget(
            (gram + gram.T) / 2 + torch.diag(observation.noise_std**2),
            nugget_variance(own, observation, self.nugget),
        )

        def update(innovation):  # (b, m) -> C Hᵀ G⁻¹ innovation, (b, 2, n, n)
            weights = torch.cholesky_solve(innovation.T, lower).T
            return (weights @ covariance.flatten(1)).reshape(-1, 2, *grid.shape)

        y = observation.values[None]
        explained = (
            torch.linalg.solve_triangular(lower, covariance.flatten(1), upper=False)
            .square_()
            .sum(dim=0)
        )
        variance = _prior_variance(pde, grid, progress) - explained.reshape(2, *grid.shape)
        draws = pde.state(pde.latent_prior.white(n_samples, generator), grid)
        noise = observation.noise_std * torch.randn(
            n_samples, m, dtype=torch.float64, generator=generator
        )
        white = torch.linalg.solve_triangular(lower, y.T, upper=False)
        chi2 = float(white.square().sum()) / count_informative(own, observation)
        return Posterior(
            pde.fields,
            grid,
            mean=update(y)[0],
            std=variance.clamp(min=0).sqrt(),
            samples=draws + update(y - observation(draws) - noise),
            record={"reduced_chi_squared": chi2, "solver_calls": 2 * m + n_samples},
        )


def _state_adjoint(pde: PDE, v: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Tᵀ: states to coefficients, by reverse-mode differentiation of T = `pde.state`."""
    m = len(pde.latent_prior.wavenumbers)
    with torch.enable_grad():
        xi = v.new_zeros(len(v), 1, m, m, requires_grad=True)
        return torch.autograd.grad(pde.state(xi, grid), xi, v)[0]


@lru_cache(maxsize=8)
def _prior_variance(pde: PDE, grid: Grid, progress: bool) -> torch.Tensor:
    """Pointwise prior variance of the state, (2, n, n).

    The coefficient's is known; the solution's is |Tᵀ e|² at one node of each orbit of the symmetry
    group.
    """
    index = torch.arange(grid.n**2, dtype=torch.float64).reshape(1, *grid.shape)
    orbit = torch.stack([g(index, grid).abs() for g in pde.symmetries]).amin(dim=0).long().flatten()
    nodes, member = torch.unique(orbit, return_inverse=True)
    parts = nodes.split(max(1, _CHUNK * 64**2 // grid.n**2))
    variance = []
    for part in progress_bar(parts, "prior spread", progress, "batch"):
        unit = torch.zeros(len(part), 2, grid.n**2, dtype=torch.float64)
        unit[torch.arange(len(part)), 1, part] = 1.0
        variance.append(
            _state_adjoint(pde, unit.reshape(-1, 2, *grid.shape), grid).square().sum(dim=(1, 2, 3))
        )
    return torch.stack(
        [pde.coefficient_variance(grid), torch.cat(variance)[member].reshape(grid.shape)]
    )

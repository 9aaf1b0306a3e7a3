"""Gauss–Newton inversion of a nonlinear PDE with a Gaussian coefficient, and a posterior ensemble
about its mode."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.solvers.base import (
    Solver,
    check_memory,
    cholesky_with_nugget,
    count_informative,
    nugget_variance,
    progress_bar,
)

__all__ = ["GaussNewton"]

_CONVERGED = 1e-4  # relative change of ξ that ends the iteration
_CHUNK = 32  # rows of the Jacobian at a time; larger chunks fall out of the cache


@dataclass(frozen=True)
class GaussNewton(Solver):
    """The most probable field of a nonlinear PDE and an ensemble around it: for Navier–Stokes,
    where accuracy counts.

    The unknown is the vector ξ of Karhunen–Loève coefficients of the latent Gaussian field,
    standard normal a priori; F(ξ) are the sensors' values of (a, solve(a)). With J the Jacobian of
    F at ξ, row by row from the adjoint of the PDE's cheap `surrogate` (F itself is always solved in
    full), and G = J Jᵀ + R,

        ξ <- Jᵀ G⁻¹ (y - F(ξ) + J ξ),    shortened where the posterior density would fall,

    ends at the mode, in about three Jacobians and a few more solves with the last one.

    The ensemble is randomised maximum likelihood: for a prior draw η and a noise draw ε the same
    problem with prior mean η and data y + ε, solved by the same iteration with J frozen at the
    mode. Draws come in antithetic pairs (±η, ±ε), which cancels their sampling error in the mean to
    first order. The mean and the solution's spread are the ensemble's; the coefficient's spread is
    the linearised one, diag(C - C Jᵀ G⁻¹ J C).

    Arguments:
        iterations: Jacobians at most.
        tolerance: relative change of ξ below which the next step keeps the Jacobian.
        nugget: variance added to each reading, relative to the mean prior variance of the readings
            of its field.
        ensemble: members behind the mean and the spread, an even number.
        chords: iterations with the frozen Jacobian, for the mode and for each member.

    Reference:
        Tarantola, *Inverse Problem Theory*, 2005, eq. 3.51; Oliver, Reynolds & Liu, *Inverse Theory
        for Petroleum Reservoir Characterization and History Matching*, 2008, sections 8.4 and 10.8
        (randomised maximum likelihood).
    """

    iterations: int = 10
    tolerance: float = 0.1
    nugget: float = 1e-10
    ensemble: int = 32
    chords: int = 3

    name: ClassVar[str] = "gauss-newton"
    needs: ClassVar[str] = "it needs a Gaussian coefficient"

    def accepts(self, pde):
        return pde.gaussian_coefficient

    def __post_init__(self):
        if self.ensemble < 4 or self.ensemble % 2:
            raise InputError(f"ensemble = {self.ensemble} must be an even number of at least 4")

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        problem = _Problem(pde, observation)
        m, modes = len(observation), problem.zero.numel()
        size = m * (2 * modes + observation.grid.n**2 + 2 * m)
        check_memory(
            size,
            f"the Jacobian of {m} sensors",
            "average neighbouring readings or lower the PDE's modes",
        )
        xi, values, jacobian, lower, chi2 = self._mode(problem, progress)

        size = max(self.ensemble, n_samples + n_samples % 2) // 2
        eta = problem.pde.latent_prior.white(size, generator)
        noise = observation.noise_std * torch.randn(
            size, m, dtype=torch.float64, generator=generator
        )
        # So that the first half is independent
        eta, noise = torch.cat([eta, -eta]), torch.cat([noise, -noise])

        def towards(values, members):  # the fixed-point map of each member's own problem
            data = observation.values + noise - values + (members - eta).flatten(1) @ jacobian.T
            return eta + (torch.cholesky_solve(data.T, lower).T @ jacobian).reshape(eta.shape)

        # Its solution if F were linear
        members = towards(values + (eta - xi).flatten(1) @ jacobian.T, eta)
        for _ in progress_bar(
            range(self.chords if problem.nonlinear else 0), "ensemble", progress, "iteration"
        ):
            reached = problem.values(members)
            if not bool(torch.isfinite(reached).all()):
                break
            members = towards(reached, members)
        states, scale = problem.settle(members, xi)
        half = torch.linalg.solve_triangular(lower, jacobian, upper=False).reshape(m, *xi.shape[1:])
        std = states.std(dim=0)
        std[0] = _coefficient_std(problem, half)
        return Posterior(
            pde.fields,
            observation.grid,
            mean=states.mean(dim=0),
            std=std,
            samples=states[:n_samples],
            record={
                "reduced_chi_squared": chi2,
                "solver_calls": problem.calls,
                "ensemble_scale": scale,
            },
            latent=(xi + scale * (members - xi)).flatten(1)[:n_samples],
        )

    def _mode(self, problem, progress):
        """The mode, F and J there, the factor of G, and twice the least objective for each sensor
        that can vary."""
        observation = problem.observation
        xi, best, stale = problem.zero, float("inf"), True
        values = observation(
            problem.states(xi)
        )  # unstable even from the prior's mean: the user's to mend, so it raises
        for i in progress_bar(
            range(self.iterations + self.chords), "Gauss–Newton", progress, "iteration"
        ):
            if stale:
                rows = problem.jacobian(xi)
                # Readings that no such flow can have make it blow up
                if not bool(torch.isfinite(rows).all()):
                    if i == 0:
                        raise InputError(
                            "the PDE has no finite derivative at the prior's mean; use a smaller dt"
                        )
                    break
                jacobian, gram = rows, rows @ rows.T
                if i == 0:
                    own = gram.diagonal()
                    variance = observation.noise_std**2 + nugget_variance(
                        own, observation, self.nugget
                    )
                lower = cholesky_with_nugget(gram, variance)
            data = observation.values - values + xi.flatten(1) @ jacobian.T
            target = (torch.cholesky_solve(data.T, lower).T @ jacobian).reshape(xi.shape)
            for halving in range(8):
                trial = xi + 0.5**halving * (target - xi)
                trial_values = problem.values(trial)
                misfit = ((observation.values - trial_values) ** 2 / variance).sum()
                objective = float(trial.square().sum() + misfit)
                if objective < best:
                    break
            # No step in this direction lowers the objective: the mode, to the precision of the
            # Jacobian
            else:
                break
            change = float((trial - xi).norm() / trial.norm().clamp(min=1e-300))
            xi, values, best = trial, trial_values, objective
            if change < _CONVERGED or not problem.nonlinear:
                break
            # a short step can do with the same Jacobian
            stale = change > self.tolerance and i + 1 < self.iterations
        return xi, values, jacobian, lower, best / count_informative(own, observation)


class _Problem:
    """F and its Jacobian, on states that may blow up on the way."""

    def __init__(self, pde: PDE, observation: Observation):
        self.pde, self.observation = pde, observation
        modes = len(pde.latent_prior.wavenumbers)
        self.zero = torch.zeros(1, 1, modes, modes, dtype=torch.float64)
        self.sees_solution = bool((observation.channel == 1).any())
        self.nonlinear = self.sees_solution and not pde.linear
        self.calls = 0

    def states(self, xi: torch.Tensor) -> torch.Tensor:
        self.calls += len(xi)
        return self.pde.state(xi, self.observation.grid)

    def values(self, xi: torch.Tensor) -> torch.Tensor:
        """F for a batch of ξ, (batch, m); infinite where a coefficient is too wild for the PDE's
        solver."""
        if not self.sees_solution:
            a = self.pde.coefficient(self.pde.latent_prior.square_root(xi, self.observation.grid))
            return self.observation(torch.cat([a, torch.zeros_like(a)], dim=1))
        try:
            return self.observation(self.states(xi))
        except InputError:
            return torch.full((len(xi), len(self.observation)), torch.inf, dtype=torch.float64)

    def settle(self, members: torch.Tensor, centre: torch.Tensor) -> tuple[torch.Tensor, float]:
        """States of the members, drawn towards the centre while one is too wild for the PDE's
        solver, and by how much."""
        for scale in (0.5**halving for halving in range(10)):
            try:
                states = self.states(centre + scale * (members - centre))
            except InputError as error:
                reason = error
                continue
            if scale < 1:
                warnings.warn(
                    f"the spread is {scale:g} of what it should be, for {reason}", stacklevel=2
                )
            return states, scale
        raise reason

    def jacobian(self, xi: torch.Tensor) -> torch.Tensor:
        """Rows dF_i/dξ, (m, modes²), by reverse differentiation of the PDE's `surrogate`."""
        grid, prior = self.observation.grid, self.pde.latent_prior
        eye = torch.eye(len(self.observation), dtype=torch.float64)
        rows = torch.empty(len(eye), xi.numel(), dtype=torch.float64)
        with torch.enable_grad():
            latent = prior.square_root(xi, grid).requires_grad_()
            a = self.pde.coefficient(latent)
            outputs = [a, self.pde.surrogate(a)] if self.sees_solution else [a]
        for chunk in torch.arange(len(eye)).split(_CHUNK):
            v = self.observation.adjoint(eye[chunk])
            cotangents = [v[:, None, c : c + 1] for c in range(len(outputs))]
            (gradient,) = torch.autograd.grad(
                outputs, latent, cotangents, retain_graph=True, is_grads_batched=True
            )
            rows[chunk] = prior.square_root_adjoint(gradient[:, 0], grid).flatten(1)
        self.calls += len(eye) if self.sees_solution else 0
        return rows


def _coefficient_std(problem: _Problem, half: torch.Tensor) -> torch.Tensor:
    """Linearised posterior standard deviation (n, n) of the coefficient; half (m, 1, modes, modes)
    holds L⁻¹ J."""
    pde, grid = problem.pde, problem.observation.grid
    variance = pde.coefficient_variance(grid)
    for part in half.split(_CHUNK):
        variance -= (
            pde.coefficient(pde.latent_prior.square_root(part, grid)).square().sum(dim=(0, 1))
        )
    return variance.clamp(min=0).sqrt()

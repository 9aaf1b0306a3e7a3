"""Gauss–Newton inversion of a nonlinear PDE with a Gaussian coefficient, and a posterior ensemble
about its mode."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import Solver, antithetic, check_memory, progress_bar
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.linear_algebra import cholesky_with_nugget, count_informative, nugget_variance

__all__ = ["GaussNewton"]

_CONVERGED = 1e-4  # relative change of ξ that ends the iteration
_CHUNK = 32  # fields transformed at a time
_HALVINGS = 8  # of a step, until the posterior density rises
_NARROWEST = 2.0**-9  # scale of the ensemble at which the search for a stable one ends


@dataclass(frozen=True)
class GaussNewton(Solver):
    """The most probable field of a nonlinear PDE and an ensemble around it: for Navier–Stokes,
    where accuracy counts.

    The unknown is the vector ξ of Karhunen–Loève coefficients of the latent Gaussian field,
    standard normal a priori; F(ξ) are the readings of (a, solve(a)). J is the Jacobian of F at ξ,
    by the adjoint of the PDE's cheap `surrogate`; F itself is always solved in full. With
    G = J Jᵀ + R,

        ξ <- Jᵀ G⁻¹ (y - F(ξ) + J ξ),    shortened where the posterior density would fall,

    ends at the mode, in about three Jacobians and a few more solves with the last one.

    The ensemble is randomised maximum likelihood: for a prior draw η and a noise draw ε the same
    problem with prior mean η and data y + ε. The same iteration solves it, with J frozen at the
    mode. Draws come in antithetic pairs (±η, ±ε), which cancels their sampling error in the mean to
    first order. The mean and the solution's standard deviation are the ensemble's; the
    coefficient's standard deviation is the linearised one, diag(C - C Jᵀ G⁻¹ J C).

    Arguments:
        iterations: Jacobians at most.
        tolerance: relative change of ξ below which the next step keeps the Jacobian.
        nugget: variance added to each reading, relative to the mean prior variance of the readings
            of its field.
        ensemble: members behind the mean and the standard deviation, an even number.
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

    def accepts(self, pde: PDE) -> bool:
        return pde.gaussian_coefficient

    def __post_init__(self) -> None:
        if self.ensemble < 4 or self.ensemble % 2:
            raise InputError(
                f"ensemble must be an even number of at least 4, got {self.ensemble}; use 32"
            )

    def condition(
        self,
        pde: PDE,
        prior: Prior | None,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        problem = _Problem(pde, observation)
        m, modes = len(observation), problem.zero.numel()
        check_memory(
            m * (2 * modes + observation.grid.n**2 + 2 * m),
            f"the Jacobian of {m} sensors",
            "average neighbouring readings or lower the PDE's modes",
        )
        mode = self._mode(problem, progress)
        size = max(self.ensemble, n_samples + n_samples % 2)
        members = self._ensemble(problem, mode, size, generator, progress)
        states, scale = problem.settle(members, mode.xi)
        std = states.std(dim=0)
        std[0] = _coefficient_std(problem, mode)
        return Posterior(
            pde.fields,
            observation.grid,
            mean=states.mean(dim=0),
            std=std,
            samples=states[:n_samples],
            record={
                "reduced_chi_squared": mode.chi2,
                "solver_calls": problem.forward.solver_calls,
                "ensemble_scale": scale,
            },
            latent=(mode.xi + scale * (members - mode.xi)).flatten(1)[:n_samples],
            pairs=True,
        )

    def _mode(self, problem: _Problem, progress: bool) -> _Mode:
        y = problem.observation.values
        xi, best, stale = problem.zero, float("inf"), True
        # Where even the prior's mean is unstable, nothing can be done: this raises
        values = problem.observation(problem.forward.state(xi))
        steps = range(self.iterations + self.chords)
        for i in progress_bar(steps, "Gauss–Newton", progress, "iteration"):
            if stale:
                rows = problem.jacobian(xi)
                # Readings that no coefficient can give may lead to where the PDE is unstable
                if not bool(torch.isfinite(rows).all()):
                    if i == 0:
                        raise NumericalError(
                            "the derivative of the PDE must be finite at the prior's mean, and is "
                            "not; change the PDE's parameters"
                        )
                    break
                jacobian, gram = rows, rows @ rows.T
                if i == 0:
                    reading_variances = gram.diagonal()
                    variance = problem.observation.noise_std**2 + nugget_variance(
                        reading_variances, problem.observation, self.nugget
                    )
                lower = cholesky_with_nugget(gram, variance)
            data = y - values + xi.flatten(1) @ jacobian.T
            target = (torch.cholesky_solve(data.T, lower).T @ jacobian).reshape(xi.shape)
            step = problem.shortened_step(xi, target, variance, best)
            if step is None:  # the mode, to the precision of the Jacobian
                break
            change = float((step.xi - xi).norm() / step.xi.norm().clamp(min=1e-300))
            xi, values, best = step
            if change < _CONVERGED or not problem.nonlinear:
                break
            # A short step can do with the same Jacobian
            stale = change > self.tolerance and i + 1 < self.iterations
        chi2 = best / count_informative(reading_variances, problem.observation)
        return _Mode(xi, values, jacobian, lower, chi2)

    def _ensemble(
        self,
        problem: _Problem,
        mode: _Mode,
        size: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> torch.Tensor:
        """ξ of the members, (size, 1, modes, modes), by randomised maximum likelihood."""
        observation, jacobian = problem.observation, mode.jacobian
        eta = antithetic(lambda k: problem.forward.pde.latent_prior.white(k, generator), size)
        noise = observation.noise_std * antithetic(
            lambda k: torch.randn(k, len(observation), dtype=torch.float64, generator=generator),
            size,
        )

        # The fixed-point map of each member's own problem
        def towards(values: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
            data = observation.values + noise - values + (members - eta).flatten(1) @ jacobian.T
            return eta + (torch.cholesky_solve(data.T, mode.lower).T @ jacobian).reshape(eta.shape)

        # Its solution if F were linear
        members = towards(mode.values + (eta - mode.xi).flatten(1) @ jacobian.T, eta)
        chords = range(self.chords if problem.nonlinear else 0)
        for _ in progress_bar(chords, "ensemble", progress, "iteration"):
            reached = problem.values(members)
            if not bool(torch.isfinite(reached).all()):
                break
            members = towards(reached, members)
        return members


class _Mode(NamedTuple):
    """The mode ξ, the readings and the Jacobian there, the factor of G, and twice the least
    objective for each sensor that can vary."""

    xi: torch.Tensor
    values: torch.Tensor
    jacobian: torch.Tensor
    lower: torch.Tensor
    chi2: float


class _Step(NamedTuple):
    """A point ξ, its readings, and twice the negative logarithm of its posterior density."""

    xi: torch.Tensor
    values: torch.Tensor
    objective: float


class _Problem:
    """The forward map of ξ, for tables whose coefficients the PDE's solver may refuse."""

    def __init__(self, pde: PDE, observation: Observation):
        self.forward, self.observation = ForwardMap(pde, observation), observation
        modes = len(pde.latent_prior.wavenumbers)
        self.zero = torch.zeros(1, 1, modes, modes, dtype=torch.float64)
        self.nonlinear = not self.forward.linear

    def values(self, xi: torch.Tensor) -> torch.Tensor:
        """Return F for a batch of ξ, (batch, m); infinite where a solve is unstable."""
        try:
            return self.forward(self.forward.coefficient(xi))
        except NumericalError:
            return torch.full((len(xi), len(self.observation)), torch.inf, dtype=torch.float64)

    def jacobian(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the rows dF_i/dξ, (m, modes²)."""
        return self.forward.whitened_jacobian(xi)

    def shortened_step(
        self, xi: torch.Tensor, target: torch.Tensor, variance: torch.Tensor, best: float
    ) -> _Step | None:
        """Return the first of target, half-way, ... whose objective is below the best, if any."""
        for halving in range(_HALVINGS):
            trial = xi + 0.5**halving * (target - xi)
            values = self.values(trial)
            misfit = ((self.observation.values - values) ** 2 / variance).sum()
            objective = float(trial.square().sum() + misfit)
            if objective < best:
                return _Step(trial, values, objective)
        return None

    def settle(self, members: torch.Tensor, centre: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Return the states of the members, drawn towards the centre until all are stable, and
        the factor by which they were drawn."""
        scale = 1.0
        while True:
            try:
                states = self.forward.state(centre + scale * (members - centre))
                break
            except NumericalError as error:
                if scale <= _NARROWEST:
                    raise
                reason, scale = str(error), scale / 2
        if scale < 1:
            warnings.warn(
                f"the ensemble was narrowed to {scale:g} of its standard deviation, since {reason}",
                stacklevel=2,
            )
        return states, scale


def _coefficient_std(problem: _Problem, mode: _Mode) -> torch.Tensor:
    """Linearised posterior standard deviation (n, n) of the coefficient."""
    forward = problem.forward
    half = torch.linalg.solve_triangular(mode.lower, mode.jacobian, upper=False)
    variance = forward.pde.coefficient_variance(forward.grid)
    for part in half.reshape(-1, *problem.zero.shape[1:]).split(_CHUNK):
        variance -= forward.coefficient(part).square().sum(dim=(0, 1))
    return variance.clamp(min=0).sqrt()

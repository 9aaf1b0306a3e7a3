"""Gauss–Newton inversion of a nonlinear PDE with a Gaussian coefficient, and a posterior ensemble
about its mode."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from pdeinv.checks import MOST, Bounds, Count, EvenCount, Positive
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import NumericalError
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import MisfitTest, Solver, antithetic, progress_bar
from pdeinv.solvers.mode import Mode, ModeSearch, WhitenedProblem

__all__ = ["GaussNewton"]

_CHUNK = 32  # fields transformed at a time
_FEWEST = 4  # members that an ensemble must have
_ROUNDS = 8  # of drawing others in the place of unstable members


@dataclass(frozen=True)
class GaussNewton(Solver):
    """The most probable field of a nonlinear PDE and an ensemble around it: for Navier–Stokes,
    where accuracy counts.

    The unknown is the draw ξ of the latent Gaussian field, standard normal a priori; F(ξ) are the
    readings of (a, respond(a)). J is the Jacobian of F at ξ, by the adjoint of the PDE's cheap
    `surrogate`; F itself is always solved in full. With G = J Jᵀ + R,

        ξ <- Jᵀ G⁻¹ (y - F(ξ) + J ξ),    shortened where the posterior density would fall,

    ends at the mode, in about three Jacobians and a few more solves with the last one.

    Exact readings tell what the least noise would hide, so that the variance R that stands in for
    their noise must be tiny. It starts at 1e-10 of their own and falls tenfold down to `nugget`,
    but only as long as the iteration converges with the last Jacobian, as the members' must.

    Where the mode does not meet the readings, the search begins again: with a variance added to the
    readings that is removed in steps, with the derivative of the solve itself, and from other
    starting points (`search_again`). The record states whether the search `converged` (1 or 0), its
    `iterations` and its `final_gradient`, preconditioned to the next step and relative to ξ.

    The ensemble is randomised maximum likelihood: for a prior draw η and a noise draw ε the same
    problem with prior mean η and data y + ε. The same iteration solves it, with J frozen at the
    mode. Draws come in antithetic pairs (±η, ±ε), which cancels their sampling error in the mean to
    first order. A pair of which a member's solve is unstable is left out, and another drawn. The
    mean and the standard deviations of the outputs are the ensemble's; the coefficient's standard
    deviation is the linearised one, diag(C - C Jᵀ G⁻¹ J C).

    Arguments:
        iterations: Jacobians at most.
        tolerance: relative change of ξ below which the next step keeps the Jacobian.
        nugget: least variance added to each reading, relative to the mean prior variance of the
            readings of its field.
        ensemble: members behind the mean and the standard deviation, an even number.
        chords: iterations with the frozen Jacobian, for the mode and for each member.

    Reference:
        Tarantola, *Inverse Problem Theory*, 2005, eq. 3.51; Oliver, Reynolds & Liu, *Inverse Theory
        for Petroleum Reservoir Characterization and History Matching*, 2008, sections 8.4 and 10.8
        (randomised maximum likelihood).
    """

    iterations: Count = 10
    tolerance: Positive = 0.1
    nugget: Positive = 1e-13
    ensemble: EvenCount = 32
    chords: Annotated[int, Bounds(least=0, most=MOST)] = 3

    name: ClassVar[str] = "gauss-newton"
    needs: ClassVar[str] = (
        "it needs a smooth function of a Gaussian field, whose mean may be flat only where all is "
        "linear"
    )
    misfit: ClassVar[MisfitTest] = "two-sided"
    memory_remedy: ClassVar[str] = "average neighbouring readings, or use a smoother prior"
    misfit_remedy: ClassVar[str] = (
        "the iteration may have ended in a local minimum: raise iterations, or add readings of the "
        "coefficient"
    )

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return (
            isinstance(prior, CoefficientPrior)
            and prior.phases is None
            and (prior.proper or (pde.linear and prior.affine))
        )

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        m, size = len(observation), Problem(pde, prior).latent.size
        members = max(self.ensemble, n_samples)
        states = super().memory(pde, prior, observation, members)
        return states + NUMBER * m * (2.8 * size + 3 * m)

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        problem = WhitenedProblem(Problem(pde, prior), observation)
        search = ModeSearch(problem, self.iterations, self.chords, self.tolerance, progress)
        mode = search(self.nugget)
        size = max(self.ensemble, n_samples + n_samples % 2)
        members, states, left_out = self._ensemble(problem, mode, size, generator, progress)
        if len(members) < max(_FEWEST, n_samples):
            raise NumericalError(
                f"{left_out} of {left_out + len(members)} members were unstable: {problem.reason}, "
                f"or check the units of the readings"
            )
        if left_out:
            warnings.warn(
                f"{left_out} members of the ensemble were left out, since {problem.reason}",
                stacklevel=2,
            )
        std = states.std(dim=0)
        if problem.forward.problem.affine:
            std[0] = _coefficient_std(problem, mode)
        chi2, freedom = mode.chi_squared(observation)
        return Posterior(
            pde.fields,
            observation.grid,
            mean=states.mean(dim=0),
            std=std,
            samples=states[:n_samples],
            record={
                "reduced_chi_squared": chi2,
                "degrees_of_freedom": freedom,
                "nugget": mode.nugget,
                "converged": int(mode.converged),
                "iterations": mode.iterations,
                "final_gradient": mode.gradient,
                "solver_calls": problem.forward.solver_calls,
                "members_left_out": left_out,
            },
            latent=members.flatten(1)[:n_samples],
            pairs=True,
        )

    def _ensemble(
        self,
        problem: WhitenedProblem,
        mode: Mode,
        size: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """ξ of the members, (size, *shape), their states, and how many were unstable.

        Others are drawn in the place of those, but not without end: there may be fewer than wanted.
        """
        members, drawn = problem.zero[:0], 0
        states = problem.states(members)
        for _ in range(_ROUNDS):
            missing = size - len(members)
            if not missing:
                break
            xi = self._draw(problem, mode, missing, generator, progress)
            reached = problem.states(xi)
            kept = _stable_pairs(reached)
            members, drawn = torch.cat([members, xi[kept]]), drawn + missing
            states = torch.cat([states, reached[kept]])
        return members, states, drawn - len(members)

    def _draw(
        self,
        problem: WhitenedProblem,
        mode: Mode,
        size: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> torch.Tensor:
        """ξ of members, by randomised maximum likelihood, without pairs that became unstable."""
        observation, jacobian = problem.observation, mode.jacobian
        eta = antithetic(lambda k: problem.latent.white(k, generator), size)
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
            values = problem.values(members)
            kept = _stable_pairs(values)
            members, values, eta, noise = (x[kept] for x in (members, values, eta, noise))
            members = towards(values, members)
        return members


def _stable_pairs(solved: torch.Tensor) -> torch.Tensor:
    """Whether a member and its partner are finite, (members,)."""
    finite = solved.flatten(1).isfinite().all(dim=1)
    return finite.unflatten(0, (-1, 2)).all(dim=1).repeat_interleave(2)


def _coefficient_std(problem: WhitenedProblem, mode: Mode) -> torch.Tensor:
    """Linearised posterior standard deviation (ny, nx) of the coefficient."""
    forward, origin = problem.forward, problem.forward.coefficient(problem.zero)
    half = torch.linalg.solve_triangular(mode.lower, mode.jacobian, upper=False)
    variance = forward.problem.coefficient_variance(forward.grid)
    for part in half.reshape(-1, *problem.zero.shape[1:]).split(_CHUNK):
        variance -= (forward.coefficient(part) - origin).square().sum(dim=(0, 1))
    return variance.clamp(min=0).sqrt()

"""Gauss–Newton inversion of a nonlinear problem with a latent Gaussian field, and a posterior
ensemble about its mode."""

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
from pdeinv.solvers.base import MisfitTest, Solver
from pdeinv.solvers.censored import numbers_held, plain_first
from pdeinv.solvers.censored_mode import mode_with_limits
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.further_results import further_fields, further_parameters
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.leave_one_out import closed_leave_one_out
from pdeinv.solvers.linear_algebra import levels_of
from pdeinv.solvers.members import draw_around_mode
from pdeinv.solvers.mode import Mode, ModeSearch
from pdeinv.solvers.nodewise import moments_through
from pdeinv.solvers.number_law import NumberLaw, law_of_numbers
from pdeinv.solvers.number_starts import from_other_numbers
from pdeinv.solvers.supported_readings import (
    BIASES,
    CENSORED,
    FOOTPRINTS,
    UNCERTAIN,
    UNKNOWNS,
    Special,
)
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["GaussNewton", "linearised_about", "linearised_at"]

_FEWEST = 4  # members that an ensemble must have


@dataclass(frozen=True)
class GaussNewton(Solver):
    """The most probable field of a nonlinear problem and an ensemble around it: for Navier–Stokes,
    where accuracy counts, and for flow through a log-normal medium.

    The unknown is the draw ξ of the latent Gaussian field, standard normal a priori, and behind it
    the biases b that readings share; F(ξ) are the readings of (a, respond(a)), with biases. J is
    the Jacobian of F at ξ, by the adjoint of the PDE's cheap `surrogate`, or of its solve where the
    coefficient is not affine in ξ; F itself is always solved in full. With G = J Jᵀ + R,

        ξ <- Jᵀ G⁻¹ (y - F(ξ) + J ξ)

    ends at the mode, in about three Jacobians and a few more solves with the last one. A step that
    would raise the objective |ξ|² + |y - F(ξ)|² is damped, by a trust region (`TrustRegion`).

    Exact readings tell what the least noise would hide, so that the variance R that stands in for
    their noise must be tiny. It starts at 1e-10 of their own and falls tenfold down to `nugget`,
    but only as long as the iteration converges with the last Jacobian, as the members' must.

    Where the mode does not meet the readings, the search begins again (`search_again`). A variance
    is added to the readings and removed as fast as the objective allows. The search then uses the
    derivative of the solve itself, and starts from the means of ensembles. One that meets them but
    stops short takes a few more steps with that derivative (`settle`). The record states the number
    of `searches`, whether the last one `converged` (1 or 0) and the `iterations` of all. Its
    `final_gradient` is preconditioned to the next step and relative to ξ. Both are with the
    Jacobian at hand, which is kept after a step below the tolerance.

    The ensemble is randomised maximum likelihood (`draw_around_mode`): for a prior draw η and a
    noise draw ε the same problem with prior mean η and data y + ε. Where the coefficient is affine
    in ξ, J is frozen at the mode, unless that leads a member far from its readings or the prior;
    else each member is searched for with Jacobians of its own. Draws come in antithetic pairs (±η,
    ±ε), which cancels their sampling error in the mean to first order. A pair is left out, and
    another drawn, if a member's solve is unstable, or its readings are not met.

    Unknown numbers of the physics are further unknowns z, with derivatives by differences of F. The
    search begins again from other values of a number (`from_other_numbers`), unless the mode meets
    the readings as well as the right one would. The law of z has ξ integrated out
    (`law_of_numbers`); each member has its own draw of z, and is searched for given it. The
    record's `number_points` are the z at which ξ was searched for. `log_evidence` is Laplace's
    approximation, for readings of which none is censored.

    The true values of censored readings have a truncated Gaussian law in the problem linearised at
    the mode. The mode is that given their mean, which the search finds together with it
    (`mode_with_limits`), and each member has its own draw of them. Their spread is part of the
    linearised variance, and the reduced chi-squared is its expectation over them.

    The mean and the standard deviation of the solution and of what derives from it are the
    ensemble's. Those of the coefficient, and of channels that are functions of it node by node, are
    of a Gaussian latent field: its mean is the ensemble's, its variance the linearised
    one, diag(C - C Jᵀ G⁻¹ J C).

    Arguments:
        iterations: Jacobians at most.
        tolerance: relative change of ξ below which the next step keeps the Jacobian. The search for
            the mode uses a tighter one where the coefficient is not affine in ξ.
        nugget: least variance added to each reading, relative to the mean prior variance of the
            readings of its field.
        ensemble: members behind the mean and the standard deviation, an even number.
        chords: iterations with a frozen Jacobian, for the mode and for each member.

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
    takes: ClassVar[frozenset[Special]] = frozenset(
        {FOOTPRINTS, BIASES, CENSORED, UNCERTAIN, UNKNOWNS}
    )
    needs: ClassVar[str] = (
        "it needs a smooth function of a Gaussian field, whose mean may be flat only where all is "
        "linear"
    )
    misfit: ClassVar[MisfitTest] = "two-sided"
    memory_remedy: ClassVar[str] = "average neighbouring readings, or use a smoother prior"
    misfit_remedy: ClassVar[str] = (
        "the iteration may have ended in a local minimum: add readings of the coefficient, or in "
        "Python raise GaussNewton(iterations=...)"
    )

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return True

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return (
            isinstance(prior, CoefficientPrior)
            and prior.phases is None
            and (prior.proper or Problem(pde, prior).linear)
        )

    def linearised(
        self, pde: PDE, prior: Prior, observation: Observation, progress: bool = False
    ) -> LinearisedReadings:
        """Return the readings about the mode; censored ones are left out."""
        assert isinstance(prior, CoefficientPrior)
        plain = observation.subset(~observation.below_or_above)
        search = self._search(pde, prior, plain, progress)
        mode = search(self.nugget)
        if len(search.problem.few):
            mode = from_other_numbers(search, mode)
        return linearised_at(search.problem, mode)

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        m, problem = len(observation), Problem(pde, prior)
        jacobians = 2.8 if problem.affine else 3.8  # in copies, that of the mode besides a member's
        members = max(self.ensemble, n_samples)
        states = super().memory(pde, prior, observation, members)
        ours = m * (jacobians * problem.latent.size + 3 * m) + numbers_held(observation, members)
        return states + NUMBER * ours

    def _search(
        self, pde: PDE, prior: CoefficientPrior, observation: Observation, progress: bool
    ) -> ModeSearch:
        centred = prior.centred(levels_of(observation, channel=0))
        problem = WhitenedProblem(Problem(pde, centred), observation)
        return ModeSearch(problem, self.iterations, self.chords, self.tolerance, progress)

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        assert isinstance(prior, CoefficientPrior)
        as_given, observation = observation, plain_first(observation)
        search = self._search(pde, prior, observation, progress)
        problem = search.problem
        size = max(self.ensemble, n_samples + n_samples % 2)
        mode = mode_with_limits(search, self.nugget, size)
        mode, law, about = _with_numbers(search, mode)
        centre = law.mode if law else mode
        members, states, left_out = draw_around_mode(about, centre, size, generator, progress, law)
        _check_members(len(members), left_out, n_samples, about.problem.reason)
        half, more = _deviations(search, centre, law)
        left = 1 - half.square().sum(dim=0) + more.square().sum(dim=0)
        mean, std = states.mean(dim=0), states.std(dim=0)
        tables = problem.tables(members)
        field = problem.latent.square_root(tables, observation.grid).mean(dim=(0, 1))
        forward, channels = problem.forward, problem.forward.nodewise_channels
        changed = observation.grid, problem.tables(half), problem.tables(more)
        mean[channels], std[channels] = moments_through(
            lambda latent: forward.nodewise(problem.problem.coefficient(latent)),
            field,
            problem.latent.changed_variance(*changed),
        )
        chi2, freedom = mode.chi_squared(search.observation, search.true.excess)
        return Posterior(
            pde.fields,
            observation.grid,
            mean=mean,
            std=std,
            samples=states[:n_samples],
            record={
                "reduced_chi_squared": chi2,
                "degrees_of_freedom": freedom,
                "nugget": mode.nugget,
                "converged": int(mode.converged),
                "iterations": mode.iterations,
                "final_gradient": mode.gradient,
                "searches": mode.searches,
                **({} if law is None else {"number_points": law.points}),
                "solver_calls": problem.forward.solver_calls,
                "members_left_out": left_out,
                **({} if search.true.draws is not None else {"log_evidence": mode.log_evidence}),
                **search.true.diagnostics,
            },
            latent=tables.flatten(1)[:n_samples],
            pairs=True,
            parameters=further_parameters(
                problem, members, left, n_samples, law.draws if law else None
            ),
            leave_one_out=closed_leave_one_out(mode.lower, mode.expected, observation, as_given),
            inferred=further_fields(problem, members, half, n_samples, more),
        )


def linearised_at(problem: WhitenedProblem, mode: Mode) -> LinearisedReadings:
    """Return the readings as a linear function of the latent field about a mode."""
    problem.forward_at(problem.numbers(mode.xi)[0]).exact_derivatives = True
    columns = mode.jacobian[:, problem.size :]
    return linearised_about(problem, mode.xi, mode.values, columns, mode.nugget)


def linearised_about(
    problem: WhitenedProblem,
    xi: torch.Tensor,
    values: torch.Tensor,
    columns: torch.Tensor,
    nugget: float,
) -> LinearisedReadings:
    """Return the readings as a linear function of the latent field.

    Arguments:
        problem: the problem.
        xi: where, (1, size + inner + k).
        values: the readings there, (1, m).
        columns: their derivatives to the numbers behind those of the coefficient, (m, inner + k).
        nugget: as of `LinearisedReadings`.
    """
    forward = problem.forward_at(problem.numbers(xi)[0])
    assert isinstance(forward, LatentMap)
    latent = problem.latent.square_root(problem.tables(xi), forward.grid)
    rows = forward.latent_jacobian(latent)
    further = xi[0, problem.size :]
    expected = values[0] - rows.flatten(1) @ latent.flatten() - columns @ further
    exact = not problem.nonlinear
    return LinearisedReadings(problem.observation, rows, columns, expected, nugget, exact)


def _with_numbers(search: ModeSearch, mode: Mode) -> tuple[Mode, NumberLaw | None, ModeSearch]:
    """The mode from any start, the law of the numbers that are few, and the search given them."""
    if not len(search.problem.few):
        return mode, None, search
    mode = from_other_numbers(search, mode)
    return (mode, *law_of_numbers(search, mode))


def _deviations(
    search: ModeSearch, mode: Mode, law: NumberLaw | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ξ with the covariance 1 - lessᵀ less + moreᵀ more: less, and more."""
    half = torch.linalg.solve_triangular(mode.lower, mode.jacobian, upper=False)
    more = search.true.added(half)
    return half, more if law is None else torch.cat([more, law.spread])


def _check_members(members: int, left_out: int, n_samples: int, reason: str) -> None:
    """Refuse an ensemble of too few members, and warn of members that were left out.

    Raises:
        NumericalError: there are too few.
    """
    if members < max(_FEWEST, n_samples):
        raise NumericalError(
            f"{left_out} of {left_out + members} members were unstable: {reason}, or check the "
            f"units of the readings"
        )
    if left_out:
        warnings.warn(
            f"{left_out} members of the ensemble were left out, since {reason}", stacklevel=3
        )

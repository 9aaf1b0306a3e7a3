"""Gauss–Newton inversion of a nonlinear problem with a latent Gaussian field, and a posterior
ensemble about its mode."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from pdeinv.checks import MOST, Bounds, Count, EvenCount, Positive
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import MisfitTest, Solver
from pdeinv.solvers.censored import numbers_held, plain_first
from pdeinv.solvers.censored_mode import mode_with_limits
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.further_results import further_fields, further_parameters
from pdeinv.solvers.leave_one_out import closed_leave_one_out
from pdeinv.solvers.linear_algebra import levels_of
from pdeinv.solvers.linearised_mode import linearised_at
from pdeinv.solvers.low_wavenumbers import start_at_low_wavenumbers
from pdeinv.solvers.member_weights import effective
from pdeinv.solvers.members import ModeEnsemble, draw_around_mode
from pdeinv.solvers.mode import Mode, ModeSearch
from pdeinv.solvers.nodewise import moments_through
from pdeinv.solvers.number_law import NumberLaw, law_of_numbers
from pdeinv.solvers.number_starts import from_other_numbers
from pdeinv.solvers.posterior_checks import check_members
from pdeinv.solvers.supported_readings import (
    BIASES,
    CENSORED,
    FOOTPRINTS,
    UNCERTAIN,
    UNKNOWNS,
    Special,
)
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["GaussNewton"]


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
    as long as the iteration converges with the last Jacobian, as the members' must.

    Experiments with waves of several wavenumbers are searched from low to high ones
    (`start_at_low_wavenumbers`). Where the mode does not meet the readings, the search begins again
    (`search_again`). A variance is added to the readings and removed as fast as the objective
    allows. The search then uses the derivative of the solve itself, and starts from the means of
    ensembles. One that meets them but stops short takes a few more steps with that derivative
    (`settle`). The record states the number of `searches`, whether the last one `converged` (1 or
    0) and the `iterations` of all. Its `final_gradient` is preconditioned to the next step and
    relative to ξ. Both are with the Jacobian at hand, which is kept after a step below the
    tolerance.

    The ensemble is randomised maximum likelihood (`draw_around_mode`): for a prior draw η and a
    noise draw ε the same problem with prior mean η and data y + ε. Where the coefficient is affine
    in ξ, J is frozen at the mode, unless that leads a member far from its readings or the prior;
    else each member is searched for with Jacobians of its own, and has a weight that makes up for
    the law of such members. A pair (±η, ±ε) is left out, and another drawn, if a member's solve is
    unstable, or its readings are not met.

    Unknown numbers of the physics are further unknowns z, with derivatives by differences of F. The
    search begins again from other values of a number (`from_other_numbers`), unless the mode meets
    the readings as well as the right one would. The law of z has ξ integrated out
    (`law_of_numbers`), at `number_points` of the record; each member is searched for given its own
    draw. `log_evidence` is Laplace's approximation, where no reading is censored.

    The true values of censored readings have a truncated Gaussian law in the problem linearised at
    the mode. The mode is that given their mean, which the search finds together with it
    (`mode_with_limits`), and each member has its own draw of them. Their spread is part of the
    linearised variance, and the reduced chi-squared is its expectation over them.

    The mean and the standard deviation of the solution and of what derives from it are the
    ensemble's. Those of the coefficient, and of its functions node by node, are of a Gaussian
    latent field, with the ensemble's mean and the linearised variance diag(C - C Jᵀ G⁻¹ J C).

    Arguments:
        iterations: Jacobians at most.
        tolerance: relative change of ξ below which the next step keeps the Jacobian; a tighter one
            for the mode where the coefficient is not affine in ξ.
        nugget: least variance added to each reading, relative to the mean prior variance of the
            readings of its field.
        ensemble: members behind the mean and the standard deviation, an even number; with weights
            at least two for each sample.
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

    _start: ClassVar[torch.Tensor | None] = None  # where the search starts, in place of the mean

    def starting_at(self, mode: torch.Tensor) -> GaussNewton:
        other = copy.copy(self)
        object.__setattr__(other, "_start", mode)
        return other

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return True

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return (
            isinstance(prior, CoefficientPrior)
            and prior.has_latent
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

    def most_probable(
        self, pde: PDE, prior: CoefficientPrior, observation: Observation, progress: bool = False
    ) -> torch.Tensor:
        """Return the most probable draw of the latent field, (1, *shape)."""
        search = self._search(pde, prior, observation, progress)
        return search.problem.tables(search(self.nugget).xi)

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        m, problem = len(observation), Problem(pde, prior)
        jacobians = 2.8 if problem.affine else 3.8  # in copies, that of the mode besides a member's
        members = max(self.ensemble, n_samples if problem.affine else 2 * n_samples)
        states = super().memory(pde, prior, observation, members)
        ours = m * (jacobians * problem.latent.size + 3 * m) + numbers_held(observation, members)
        return states + NUMBER * ours

    def _search(
        self, pde: PDE, prior: CoefficientPrior, observation: Observation, progress: bool
    ) -> ModeSearch:
        centred = prior.centred(levels_of(observation, channel=0))
        problem = WhitenedProblem(Problem(pde, centred), observation)
        search = ModeSearch(problem, self.iterations, self.chords, self.tolerance, progress)
        if self._start is not None and self._start.shape == problem.zero.shape:
            search.start = self._start
        else:
            start_at_low_wavenumbers(search, self.nugget)
        return search

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
        drawn = draw_around_mode(about, centre, size, generator, progress, law, n_samples)
        members, states = drawn.xi, drawn.states
        check_members(drawn, n_samples, about.problem.reason)
        half, more = _deviations(search, centre, law)
        left = 1 - half.square().sum(dim=0) + more.square().sum(dim=0)
        mean, std, middle = drawn.mean(states), drawn.std(states), drawn.mean(members)
        tables = problem.tables(members)
        field = drawn.mean(problem.latent.square_root(tables, observation.grid))[0]
        forward, channels = problem.forward, problem.forward.nodewise_channels
        changed = observation.grid, problem.tables(half), problem.tables(more)
        mean[channels], std[channels] = moments_through(
            lambda latent: forward.nodewise(problem.problem.coefficient(latent)),
            field,
            problem.latent.changed_variance(*changed),
        )
        return Posterior(
            pde.fields,
            observation.grid,
            mean=mean,
            std=std,
            samples=states[:n_samples],
            record=_record(search, mode, centre, law, drawn),
            latent=tables.flatten(1)[:n_samples],
            pairs=drawn.weights is None,
            parameters=further_parameters(
                problem, members, middle, left, n_samples, law.draws if law else None
            ),
            leave_one_out=closed_leave_one_out(
                law.lower if law else mode.lower, centre.expected, observation, as_given
            ),
            mode=centre.xi,
            inferred=further_fields(problem, members, middle, half, n_samples, more),
        )


def _with_numbers(search: ModeSearch, mode: Mode) -> tuple[Mode, NumberLaw | None, ModeSearch]:
    """The mode from any start, the law of the numbers that are few, and the search given them."""
    if not len(search.problem.few):
        return mode, None, search
    mode = from_other_numbers(search, mode)
    return (mode, *law_of_numbers(search, mode))


def _record(
    search: ModeSearch, mode: Mode, centre: Mode, law: NumberLaw | None, drawn: ModeEnsemble
) -> dict[str, str | float | int]:
    """What a result states of the search and of the ensemble."""
    chi2, freedom = centre.chi_squared(search.observation, search.true.excess)
    found: dict[str, str | float | int] = {
        "reduced_chi_squared": chi2,
        "degrees_of_freedom": freedom,
        "nugget": mode.nugget,
        "converged": int(mode.converged),
        "iterations": mode.iterations,
        "final_gradient": mode.gradient,
        "searches": mode.searches,
        "solver_calls": search.problem.forward.solver_calls,
        "members_left_out": drawn.left_out,
    }
    if law is not None:
        found["number_points"] = law.points
    if drawn.weights is not None:
        found["effective_members"] = effective(drawn.weights)
    if search.true.draws is None:
        found["log_evidence"] = law.log_evidence if law else mode.log_evidence
    return found | search.true.diagnostics


def _deviations(
    search: ModeSearch, mode: Mode, law: NumberLaw | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ξ with the covariance 1 - lessᵀ less + moreᵀ more: less, and more."""
    half = torch.linalg.solve_triangular(mode.lower, mode.jacobian, upper=False)
    more = search.true.added(half)
    return half, more if law is None else torch.cat([more, law.spread])

"""Bayesian level-set inversion: a two-valued coefficient, the threshold of a Gaussian field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch

from pdeinv.checks import MOST, Bounds, EvenCount
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.annealing import (
    DIRECTIONS,
    Members,
    anneal,
    derivative_grid,
    values_given,
    values_of,
)
from pdeinv.solvers.base import ProgressBar, Solver, progress_bar
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.linear_algebra import carries_weight, reduced
from pdeinv.solvers.phase_readings import linearise_phases
from pdeinv.solvers.phase_values import PhaseValues, as_arguments
from pdeinv.solvers.signs import CHAINS
from pdeinv.solvers.simulated_values import FITTED, SIMULATIONS, World
from pdeinv.solvers.smoothed_problem import TOGETHER
from pdeinv.solvers.stages import SCHEDULES
from pdeinv.solvers.supported_readings import BIASES, FOOTPRINTS, UNKNOWNS, Special

__all__ = ["LevelSet"]

_TOLERATED = 5e-3  # misfit of an exact reading of the solution, relative to the readings' std
_BATCH = 16  # members that are solved at a time
_LEAST_SHARED = 6  # members at each of several points of unknown numbers
_LEAST_BATCH = 4  # members that are drawn at a time


@dataclass(frozen=True)
class LevelSet(Solver):
    """The posterior of a coefficient with two values, the threshold of a Gaussian field: the first
    choice for such a medium.

    The unknown is the draw ξ of the latent field g, standard normal a priori. A reading of the
    coefficient implies (up to its noise) on which side of the threshold g is at its node. Given
    these alone, draws of g are exact (`sample_given_signs` at the sensors, conditional simulation
    between them) and their solves are the posterior.

    Readings of the solution, and of fields derived from it, are met by randomised maximum
    likelihood: from each such draw η and a noise draw ε the member

        argmin ½|ξ - η|² + ½|(y + ε - F(ξ)) / σ|²

    is found by annealing: the jump of the coefficient is first as wide as the latent field's
    standard deviation and then narrowed, while σ, an allowance for that smoothing added to the
    stated noise, falls, and the grid is refined. Each stage is a few Gauss–Newton steps of each
    member, with derivatives of its own: adjoint solves on a grid that suits the number of readings,
    and a system of the size of the readings. Several steps share derivatives. Of many readings, the
    directions that vary most are linearised. A step is shortened where the objective would not
    fall. Members whose objective stays far above that of the best quarter are left out.

    Values low and high that are unknown are two more numbers of each member, of standard normal z.
    Readings of the coefficient belong to the phase for which they are probable, and narrow the laws
    of the values. A Gaussian field with the mean and the covariance of the medium stands in for it
    first (`PhaseReadings`). Simulations about its most probable values show how far these, and
    values that are fitted with a field, are from those of a medium (`infer_values`), and narrow the
    laws further. The reported mean and interval are those of these laws. The members start from
    values of them, and in the later stages move these where the readings outweigh the law by far.

    Unknown numbers of the latent field and the share are integrated over by the evidence of the
    stand-in. Members are drawn at a few weighted points of them, of which each has a share of the
    `ensemble`; the values have one law for all points.

    The coefficient's mean is low + (high - low) P where both are known, with P the share of members
    with g above the threshold, the posterior probability of the high value. The solution's samples
    belong to the coefficient with the last stage's narrow jump, for which the readings were met.

    Arguments:
        ensemble: members where the solution is read, an even number, or as many as there are
            samples if these are more. No sample is repeated: others are drawn in the place of
            members that are left out, if fewer remain than there are samples.
        draws: draws where only the coefficient is read.
        stages: of the annealing: "thorough" or "brief"; the former take longer and have a lower
            error.

    Reference:
        Iglesias, Lu & Stuart, *A Bayesian level set method for geometric inverse problems*,
        Interfaces and Free Boundaries 18(2), 2016; Oliver, Reynolds & Liu, *Inverse Theory for
        Petroleum Reservoir Characterization and History Matching*, 2008, section 10.8 (randomised
        maximum likelihood).
    """

    ensemble: EvenCount = 20
    draws: Annotated[int, Bounds(least=CHAINS, most=MOST)] = 128
    stages: Literal["thorough", "brief"] = "thorough"

    name: ClassVar[str] = "level-set"
    needs: ClassVar[str] = (
        "it needs a coefficient with two values, the threshold of a Gaussian field"
    )

    on_processor: ClassVar[bool] = True
    takes: ClassVar[frozenset[Special]] = frozenset({FOOTPRINTS, BIASES, UNKNOWNS})
    mixture_points: ClassVar[int] = 6
    amplifies_rounding: ClassVar[bool] = True
    misfit_remedy: ClassVar[str] = (
        "use a larger ensemble, and the thorough stages if not these (in Python, LevelSet(...))"
    )

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return True

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return isinstance(prior, CoefficientPrior) and prior.has_latent and prior.phases is not None

    def check(self, pde: PDE, prior: Prior) -> None:
        super().check(pde, prior)
        unknown = [n.name for n in Problem(pde, prior).unknowns if n.role == "physics"]
        if unknown:
            raise InputError(
                f"numbers of {pde.name} must be known for the {self.name} solver, got unknown "
                f"{', '.join(unknown)}; state them, or choose the solver 'ensemble-smoother'"
            )

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        problem = Problem(pde, prior)
        nodes, size = observation.grid.nodes, problem.latent.size
        on_solution = int((observation.channel >= 1).sum())
        members = max(self.ensemble if on_solution else self.draws, n_samples)
        rows = (len(observation) - on_solution) * (size + nodes) + on_solution * nodes
        if on_solution:
            inferred = PhaseValues.of(problem).size > 0
            coarse = derivative_grid(observation.grid, on_solution).nodes
            directions = min(on_solution, DIRECTIONS)
            fitted = max(members, FITTED) if inferred else members
            rows += on_solution * (2 * on_solution + 6 * coarse) + 8 * fitted * size
            linearised = directions + len(observation) - on_solution
            rows += fitted * linearised * (coarse + linearised)  # their systems
            rows += 25 * max(TOGETHER, directions * coarse)
            members = max(members, SIMULATIONS) if inferred else members
        return super().memory(pde, prior, observation, members) + NUMBER * rows

    def linearised(
        self, pde: PDE, prior: Prior, observation: Observation, progress: bool = False
    ) -> LinearisedReadings | None:
        problem = Problem(pde, prior)
        return linearise_phases(LatentMap(problem, observation), values_of(problem, observation))

    def for_points(
        self,
        points: Sequence[tuple[Problem, Observation, float]],
        generator: torch.Generator | None,
        progress: bool,
    ) -> LevelSet:
        shared, shared_draws = self.ensemble // len(points), max(CHAINS, self.draws // len(points))
        ensemble = min(self.ensemble, max(_LEAST_SHARED, shared + shared % 2))
        worlds = [World(*point) for point in points]
        most = max(worlds, key=lambda world: world.weight)
        bar = partial(progress_bar, show=progress)
        values = values_given(LatentMap(most.problem, most.observation), worlds, generator, bar)
        return _WithValues(ensemble=ensemble, draws=shared_draws, stages=self.stages, values=values)

    def draw_latent(
        self,
        forward: LatentMap,
        n: int,
        least: int,
        generator: torch.Generator | None,
        bar: ProgressBar,
    ) -> Members:
        """Return draws of the latent field given the readings; arguments as in `anneal`.

        Arguments:
            least: draws that must converge, however many more it takes; at most n.

        Raises:
            NumericalError: no draw of a batch converged.
        """
        stages, values = SCHEDULES[self.stages], self.values_given(forward, generator, bar)
        found = anneal(forward, n, generator, bar, stages, values)
        while (missing := least - len(found.xi)) > 0:
            batch = max(_LEAST_BATCH, missing + missing % 2)
            more = anneal(forward, batch, generator, bar, stages, values)
            if not len(more.xi):
                raise NumericalError(
                    "members must come near the readings, and none of a batch did; check the "
                    "readings and their noise"
                )
            found = found.joined(more)
        return found

    def values_given(
        self, forward: LatentMap, generator: torch.Generator | None, bar: ProgressBar
    ) -> PhaseValues:
        """Return the values of the phases, with the law that the readings leave."""
        world = World(forward.problem, forward.observation)
        return values_given(forward, [world], generator, bar)

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        problem = Problem(pde, prior)
        forward = LatentMap(problem, observation)
        wanted = max(self.ensemble if forward.sees_solution else self.draws, n_samples)
        bar = partial(progress_bar, show=progress)
        found = self.draw_latent(forward, wanted + wanted % 2, n_samples, generator, bar)
        g = found.field(observation.grid)
        own = as_arguments(found.values)
        a = problem.coefficient(g, **own)
        batches = (a if found.width is None else problem.smoothed(g, found.width, **own)).split(
            _BATCH
        )
        u = [forward.solve(part) for part in bar(batches, description="solves", unit="batch")]
        states = _of_sharp_coefficients(pde, a, torch.cat(u))
        mean = states.mean(dim=0)
        return Posterior(
            pde.fields,
            observation.grid,
            mean=mean,
            std=states.std(dim=0),
            samples=states[:n_samples],
            record={
                "reduced_chi_squared": max(
                    found.misfit, _misfit(observation, mean, found.reading_std)
                ),
                "solver_calls": forward.solver_calls,
                "members_kept": len(states),
                **found.diagnostics,
            },
            probability=found.high(g, problem.coefficient_prior.threshold).mean(dim=0)[0],
            latent=found.xi[:n_samples],
            pairs=forward.sees_solution,
            parameters=found.law.parameters(found.values, n_samples, pde.coefficient_field.units),
        )


@dataclass(frozen=True)
class _WithValues(LevelSet):
    """The solver of one of several points, with the law that the values of the phases have for all
    of them."""

    values: PhaseValues | None = None

    def values_given(
        self, forward: LatentMap, generator: torch.Generator | None, bar: ProgressBar
    ) -> PhaseValues:
        assert self.values is not None
        return self.values


def _of_sharp_coefficients(pde: PDE, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Return the states of coefficients a whose other channels u are of smoothed ones: those that
    are functions of the coefficient alone become functions of a."""
    alone = [c for c, field in enumerate(pde.fields) if pde.of_coefficient(field)]
    states = torch.cat([a, u], dim=1)
    states[:, alone] = pde.functions_of_coefficient(a)
    return states


def _misfit(
    observation: Observation, mean: torch.Tensor, reading_std: torch.Tensor | None
) -> float:
    """Mean square residual of the readings of all but the coefficient, less their biases, over
    their variance with an allowance for the smoothing."""
    if reading_std is None:  # there are none
        return 0.0
    observation = observation.subset(observation.channel >= 1)
    prior = reading_std**2
    variance = observation.noise_std**2 + _TOLERATED**2 * prior
    left = observation.values - observation(mean[None])
    terms = (left * observation.without_bias(left, variance) / variance)[0]
    return reduced(terms, carries_weight(prior, observation))

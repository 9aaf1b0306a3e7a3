"""Draws of a latent Gaussian field whose threshold is a two-valued coefficient, given readings.

The signs that readings of the coefficient imply are drawn exactly; readings of the solution are met
by annealed randomised maximum likelihood. See `LevelSet` for the method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from pdeinv import seeds
from pdeinv.datasets.problem import Problem
from pdeinv.grid import Grid
from pdeinv.latent_field import LatentField
from pdeinv.observation import Observation
from pdeinv.solvers.antithetic import antithetic_normal
from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.linear_algebra import of_one_size
from pdeinv.solvers.phase_values import PhaseValues
from pdeinv.solvers.signs import EXACT, Signs, readings_of_phases
from pdeinv.solvers.simulated_values import World, infer_values
from pdeinv.solvers.smoothed_problem import SmoothedProblem, leading_directions
from pdeinv.solvers.stages import SCHEDULES, Stage
from pdeinv.solvers.whitening import Whitening

__all__ = ["DIRECTIONS", "Members", "anneal", "derivative_grid", "values_given", "values_of"]


DIRECTIONS = 200
"""Of the readings that are linearised, at most."""

_NODES_PER_READING = 8  # of the derivatives' grid
_DERIVATIVE_NODES = 32, 64  # on its shorter side, at least and at most
_STATISTICS_NODES = 32  # on the shorter side, for the readings' standard deviation
_PRIOR_DRAWS = 16  # behind the typical standard deviation of the readings
_MOST_SHARED = 10.0  # of the spread between sensors, in standard deviations of the prior
_CONVERGED = 0.25  # share of the members that converge at least
_STUCK = 3.0  # times their objective, and chance, beyond which a member has not converged
_FREED = 0.3  # width of the jump from which unknown values are moved: not with the widest
_HELD = 3.0  # weight of their law, which has the readings already: those that outweigh it move them
_FITTED = tuple(stage for stage in SCHEDULES["brief"] if stage.refinement is not None)


@dataclass(frozen=True)
class Members:
    """Draws of the latent field given the readings.

    Arguments:
        xi: draws of the latent field, flat, (k, size); antithetic pairs first where the solution is
            read.
        paired: how many of them are in pairs.
        latent: the field.
        width: of the jump with which they meet readings of the solution; None without such.
        reading_std: prior standard deviations of these readings, (m,); None without them.
        misfit: mean square misfit of the readings of the coefficient over its variance.
        diagnostics: of the sampler of signs.
        law: of the values of the phases, which all readings leave.
        values: low and high of each member, (k, 2); None where both are known.
    """

    xi: torch.Tensor
    paired: int
    latent: LatentField
    width: float | None
    reading_std: torch.Tensor | None
    misfit: float
    diagnostics: dict[str, float]
    law: PhaseValues
    values: torch.Tensor | None = None

    def joined(self, others: Members) -> Members:
        """Return the members of both, drawn for the same readings."""

        def both(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
            pairs, more_pairs = mine[: self.paired], theirs[: others.paired]
            return torch.cat([pairs, more_pairs, mine[self.paired :], theirs[others.paired :]])

        values = self.values
        if values is not None and others.values is not None:
            values = both(values, others.values)
        paired = self.paired + others.paired
        return replace(self, xi=both(self.xi, others.xi), paired=paired, values=values)

    def high(self, g: torch.Tensor, threshold: float) -> torch.Tensor:
        """Return 1 where the coefficient of latent fields g has the high one of its values, else
        0."""
        above = g >= threshold
        if self.values is not None:  # of which the second may be the smaller one
            above = above ^ (self.values[:, 0] > self.values[:, 1])[:, None, None, None]
        return above.double()

    def field(self, grid: Grid) -> torch.Tensor:
        """Return the values of the latent field, (k, 1, ny, nx)."""
        return self.latent.square_root(self.xi.unflatten(1, self.latent.shape), grid)


def anneal(
    forward: LatentMap,
    n: int,
    generator: torch.Generator | None,
    bar: ProgressBar,
    stages: Sequence[Stage],
    values: PhaseValues,
) -> Members:
    """Draw the latent field given the readings.

    Arguments:
        forward: the map to the readings, with the prior; it counts the solves.
        n: draws, an even number where the solution is read; fewer are returned where some did not
            converge.
        generator: source of all randomness.
        bar: shows progress.
        stages: of the annealing, such as `SCHEDULES["thorough"]`.
        values: of the phases, with the law that all readings leave (`values_given`).
    """
    latent, observation = forward.problem.latent, forward.observation
    forward = _with_middle(forward, values)
    signs = Signs(forward.problem, observation)
    eta, diagnostics = signs.sample(n, generator, bar)
    numbers = antithetic_normal(n, values.size, generator)
    if not forward.sees_solution:
        phases = values.at(numbers) if values.size else None
        return Members(eta, 0, latent, None, None, signs.misfit, diagnostics, values, phases)
    eye = torch.eye(values.size, dtype=torch.float64)
    held = values.narrowed(torch.zeros(values.size, dtype=torch.float64), eye / _HELD)
    annealing = _Annealing(forward, signs, held, stages)
    centre = torch.cat([eta, _HELD * numbers], dim=1)
    xi, value = annealing.minimise(_Drawn(centre, *annealing.errors(n, generator)), bar, _FREED)
    stable = value.isfinite()
    typical = value[stable].quantile(_CONVERGED) if bool(stable.any()) else value.new_zeros(())
    kept = stable & (value <= _largest(typical, annealing.m))
    whole = kept.unflatten(0, (-1, 2)).all(dim=1).repeat_interleave(2)
    ordered = torch.cat([xi[whole], xi[kept & ~whole]])
    xi, z = ordered[:, : latent.size], ordered[:, latent.size :]
    return Members(
        *(xi, int(whole.sum()), latent, stages[-1].width * latent.std, annealing.reading_std),
        *(signs.misfit, diagnostics, values.moved(z / _HELD)),
        held.at(z) if values.size else None,
    )


class _Drawn(NamedTuple):
    """What each member is drawn to: its prior mean (k, size), standard normal errors of the
    readings (k, m) and biases (k, b), and what is added to the readings, (k, m)."""

    centre: torch.Tensor
    own: torch.Tensor
    biases: torch.Tensor
    added: torch.Tensor | float = 0.0


class _Annealing:
    """The stages, for readings of the solution.

    Arguments:
        forward, stages: as of `anneal`, with the values of the phases from which statistics are.
        signs: the readings of the coefficient.
        values: of the phases.
    """

    def __init__(
        self, forward: LatentMap, signs: Signs, values: PhaseValues, stages: Sequence[Stage]
    ):
        observation = forward.observation
        self.seen = forward.observing(observation.subset(observation.channel >= 1))
        self.signs, self.values, self.stages = signs, values, stages
        self.m, self.reading_std = len(self.seen.observation), _typical_std(self.seen)
        self.common = self.seen.observation.shared
        self.nodes = min(observation.grid.shape)
        self.finest = min(derivative_grid(observation.grid, self.m).shape)
        self.directions = leading_directions(
            _on_grid_of(self.seen, self.finest),
            Whitening(_allowed(self.seen, stages[-1].error * self.reading_std), self.common),
            DIRECTIONS,
        )

    def errors(
        self, n: int, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return n draws of the readings' errors and of the biases, standard normal."""
        own, biases = (antithetic_normal(n, size, generator) for size in self.common.shape)
        return own, biases

    def minimise(
        self, drawn: _Drawn, bar: ProgressBar, freed: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where the stages lead members from their prior means, (k, size), and their
        objectives (k,).

        Arguments:
            freed: width of the jump from which unknown values are moved.
        """
        xi, std = drawn.centre, self.seen.problem.latent.std
        for stage in bar(self.stages, description="level set", unit="stage"):
            width, error, refinement, iterations, chords = stage
            sigma = _allowed(self.seen, error * self.reading_std)
            shorter = self.nodes
            if refinement is not None:
                shorter = min(shorter, round(refinement * self.finest))
            on_grid = _on_grid_of(self.seen, shorter)
            linearised = _on_grid_of(self.seen, min(shorter, self.finest))
            problem = SmoothedProblem(
                *(on_grid, linearised, self.signs),
                *(width * std, Whitening(sigma, self.common), drawn.centre),
                sigma * drawn.own + drawn.biases @ self.common.T + drawn.added,
                self.directions,
                self.values,
                free=width <= freed,
            )
            xi, value = problem.minimise(xi, iterations, chords)
        return xi, value


def values_given(
    forward: LatentMap,
    worlds: Sequence[World],
    generator: torch.Generator | None,
    bar: ProgressBar,
) -> PhaseValues:
    """Return the values of the phases given all readings; arguments as of `infer_values`."""
    values = values_of(forward.problem, forward.observation)
    if not values.size or not forward.sees_solution:
        return values

    def fit(values: PhaseValues, added: torch.Tensor) -> torch.Tensor:
        known, n = _with_middle(forward, values), len(added)
        signs = Signs(known.problem, forward.observation)
        annealing = _Annealing(known, signs, values, _FITTED)
        eta, _ = signs.sample(n, generator, bar)
        numbers = antithetic_normal(n, values.size, generator)
        centre = torch.cat([eta, numbers], dim=1)
        drawn = _Drawn(centre, *annealing.errors(n, generator), added)
        xi, _ = annealing.minimise(drawn, bar, _FITTED[0].width)
        return xi[:, known.problem.latent.size :]

    return infer_values(forward, values, worlds, fit, generator, bar)


def _with_middle(forward: LatentMap, values: PhaseValues) -> LatentMap:
    """The map with the values in the middle of their law."""
    return forward.with_problem(forward.problem.at(values.middle))


def _largest(typical: torch.Tensor, m: int) -> torch.Tensor:
    """Return the objective beyond which a search has not converged, for that of one that has: half
    a chi-squared of m degrees of freedom."""
    return _STUCK * typical + 3 * (2 * m) ** 0.5


def values_of(problem: Problem, observation: Observation) -> PhaseValues:
    """Return the values of the phases, given the readings of the coefficient."""
    values = PhaseValues.of(problem)
    if not values.size:
        return values
    read = readings_of_phases(problem, observation)
    return values.given(read.values, read.noise_std, EXACT)


def derivative_grid(grid: Grid, readings: int) -> Grid:
    """Return the grid, at most as fine as the result's, of derivatives of so many readings."""
    least, most = _DERIVATIVE_NODES
    return grid.at_most(max(least, min(most, math.ceil((_NODES_PER_READING * readings) ** 0.5))))


def _allowed(forward: LatentMap, error: torch.Tensor) -> torch.Tensor:
    """Standard deviations (m,) of the readings' own noise and a further error."""
    return (forward.observation.noise_std**2 + error**2).sqrt()


def _on_grid_of(forward: LatentMap, nodes: int) -> LatentMap:
    """The map to the same readings on a grid of so many nodes on the shorter side."""
    observation = forward.observation
    return forward.observing(observation.on_grid(observation.grid.at_most(nodes)))


def _typical_std(forward: LatentMap) -> torch.Tensor:
    """Standard deviations (m,) of the readings over the prior and the sensors of their field.

    A slope that all draws share, such as that between two sides, counts up to a multiple of what
    the prior varies.
    """
    observation = forward.observation
    grid = observation.grid.at_most(_STATISTICS_NODES)
    generator = seeds.generator(seeds.STATISTICS)
    a = forward.problem.sample_coefficient(_PRIOR_DRAWS, grid, generator)
    coarse = forward.observing(observation.on_grid(grid))
    readings = coarse.approximate(a)
    typical = torch.ones_like(observation.values)
    for mine in of_one_size(observation):
        varied = _MOST_SHARED * readings[:, mine].var(dim=0).mean().sqrt()
        std = torch.minimum(readings[:, mine].std(), varied)
        # Sensors where the field is fixed have no scale of their own
        typical[mine] = std if std > 0 else 1.0
    return typical

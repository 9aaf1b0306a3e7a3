"""Readings with gross errors: Student-t noise by reweighting, around any solver."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

import torch

from pdeinv import seeds
from pdeinv.caught import ignored_warnings
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, warn_caller
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.progress import Progress
from pdeinv.solvers.base import LEAST_SAMPLES, Solver
from pdeinv.solvers.evidence.infer import most_probable
from pdeinv.solvers.parameter_columns import with_inferred_noise
from pdeinv.solvers.student_noise import (
    DEGREES,
    REJECTED,
    StudentReadings,
    evidence_of,
    spreads,
    student_predictions,
    weights_of,
)

__all__ = ["NOISE_MODEL", "SUSPECT", "Robust"]

NOISE_MODEL = f"Student-t with {DEGREES:g} degrees of freedom, by reweighting"
"""What results state of the noise."""
SUSPECT = 0.2
"""Weight of a reading below which it is a suspect."""
_FRESH = 3  # solves, at least, of which the weights are searched for from several starts
_RAISED = 2  # solves of which an unknown noise is raised
_SIZES, _SAME_SIZE = 30, 0.02  # updates of an unknown size of the noise, and its relative change
_FALL = 10.0  # by which the noise falls from one solve to the next
_ROUNDS, _SETTLED = 12, 0.1  # solves at most, and the change of a weight that ends them


@dataclass(frozen=True)
class Robust:
    """A solver for readings of which some are grossly wrong.

    The noise of a reading is s t, with s its stated size and t a Student-t number with ν = 4
    degrees of freedom: a Gaussian number of variance s² / λ, with λ ~ Gamma(ν/2, ν/2). Given the
    noise's distribution under the posterior, the mean of λ is the reading's weight

        w = (ν + 1) / (ν + E[e²] / s²),    E[e²] = (y - E[H x])² + Var[H x],

    and given the weights, the posterior is that of Gaussian noise of the variances s² / w. The two
    alternate until the weights settle. Where the solver has the readings linearised
    (`Solver.linearised`), `StudentReadings` finds the weights without a solve, and they settle once
    the linearisation does; else E[e²] is that of the solver's mean and samples.

    An outlier can pull the first posterior onto itself, and so keep its weight. Where all is not
    linear, the noise of the first solve is therefore the spread of the readings of a field, that of
    the next a tenth of it, and so on to s.

    An unknown size of the noise, within its range, is that of the readings that are no suspects. A
    gross error would count as much as ν readings in the likelihood of Student-t noise. The noise of
    a suspect is therefore held at the size that gave it its weight.

    The record has the number of `reweighting_solves`, and the posterior the `weight` of each
    reading. `log_evidence` is the variational bound. Censored readings keep the weight 1, and have
    no part in a search in closed form.

    Arguments:
        solver: of the readings with Gaussian noise.

    Reference:
        Lange, Little & Taylor, *Robust statistical modeling using the t distribution*, JASA 84,
        1989; Tipping & Lawrence, *Variational inference for Student-t models*, Neurocomputing 69,
        2005; for the noise that falls, Blake & Zisserman, *Visual Reconstruction*, 1987.
    """

    solver: Solver

    def __call__(
        self,
        pde: PDE,
        prior: Prior | None,
        observation: Observation,
        *,
        n_samples: int = 16,
        generator: torch.Generator | None = None,
        progress: bool = False,
    ) -> Posterior:
        """Return the posterior; arguments as of `Solver.__call__`.

        Raises:
            InputError: a reading is exact, or the solver does not use the noise.
            NumericalError: as of `Solver.__call__`.
        """
        self._check(observation)
        prior = Problem.of(pde, prior).prior
        generator = generator or seeds.generator(seeds.SOLVER)
        start = time.perf_counter()
        weights = _Weights(self.solver, pde, prior, observation)
        with (
            ignored_warnings(),  # those of the last solve remain
            Progress(None, "weights of the readings", progress, unit="solve", keep=False) as bar,
        ):
            weights.settle(max(n_samples, LEAST_SAMPLES), generator, bar)
        if not weights.settled:
            warn_caller(
                f"the weights of the readings must settle, and still changed by "
                f"{weights.change:.2g} after {weights.solves} solves; compare sensor_weight with "
                f"that of another solver or seed",
                UserWarning,
            )
        found = self.solver(
            pde,
            prior,
            weights.observation(),
            n_samples=n_samples,
            generator=generator,
            progress=progress,
        )
        found.weight = weights.values
        if found.leave_one_out is not None:
            size = with_inferred_noise(observation, found).noise_std
            used = with_inferred_noise(weights.observation(), found).noise_std
            found.leave_one_out = student_predictions(found.leave_one_out, size, used)
        if "log_evidence" in found.record:
            more = evidence_of(weights.values[weights.plain])
            found.record["log_evidence"] = float(found.record["log_evidence"]) + more
        found.record["noise_model"] = NOISE_MODEL
        found.record["reweighting_solves"] = weights.solves
        found.record["seconds"] = round(time.perf_counter() - start, 4)
        return found

    def _check(self, observation: Observation) -> None:
        if not self.solver.uses_noise:
            raise InputError(
                f"the solver must use the noise of each reading for robust, which the "
                f"{self.solver.name} solver with these settings does not; choose the solver 'auto'"
            )
        if observation.unknown_noise and type(self.solver).linearised is Solver.linearised:
            raise InputError(
                f"noise_std must be known for robust with the {self.solver.name} solver, got "
                f"unknown {', '.join(name for name, _ in observation.unknown_noise)}; state it, or "
                f"choose the solver 'auto'"
            )
        exact = int((observation.noise_std == 0).sum())
        if exact:
            raise InputError(
                f"noise_std must be positive for robust, got 0 for {exact} of {len(observation)} "
                f"readings; state the noise of these, or leave out robust"
            )


@dataclass
class _Weights:
    """The weights of readings, (m,), and how they were found.

    Arguments:
        solver, pde, prior, stated: the solver, the problem and the readings as they are stated.
    """

    solver: Solver
    pde: PDE
    prior: Prior
    stated: Observation
    solves: int = 0
    change: float = math.inf
    values: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.values = torch.ones_like(self.stated.noise_std)
        self.rejected = torch.zeros_like(self.values, dtype=torch.bool)
        self.plain = ~self.stated.below_or_above
        group = self.stated.noise_group
        self.unknown = self.rejected if group is None else group >= 0
        self.size = self.stated.noise_std

    @property
    def settled(self) -> bool:
        """Whether the last solve left the weights as they were."""
        return self.change <= _SETTLED

    def observation(self, level: torch.Tensor | float = 1.0) -> Observation:
        """Return the readings with a level (m,) times the noise that the weights imply.

        An unknown noise is known where it is raised.
        """
        factor, group = self.values.rsqrt(), self.stated.noise_group
        given = replace(
            self.stated,
            noise_std=level * self.size * factor,
            noise_factor=factor,
            noise_group=None if group is None else torch.where(self._suspect, -1, group),
        )
        if bool((level * self.unknown > self.unknown).any()):
            given = replace(given, noise_group=None, unknown_noise=())
        return given

    @property
    def _suspect(self) -> torch.Tensor:
        return self.values < SUSPECT

    def settle(self, n_samples: int, generator: torch.Generator, bar: Progress) -> None:
        """Update the weights until they settle, each time with the same random numbers."""
        at_once, level = self._at_once(), spreads(self.stated)
        level = torch.ones_like(level) if at_once else level
        while self.solves < _ROUNDS and not self.settled:
            before, last = self.values, bool((level == 1).all())
            lower = (level / _FALL).clamp(min=1)
            if self.solves + 1 >= _RAISED:
                lower = torch.where(self.unknown, 1.0, lower)
            if self._closed():
                self.values = self._searched(level, lower, fresh=not last or self.solves < _FRESH)
            else:
                squares = self._squares(self.observation(level), n_samples, generator.clone_state())
                scaled = squares / (level * self.stated.noise_std).square()
                self.values = torch.where(self.plain, weights_of(scaled), 1.0)
            self.solves += 1
            bar.update()
            if last:
                self.change = 0.0 if at_once else float((self.values - before).abs().max())
            level = lower

    def _closed(self) -> bool:
        """Whether the solver has the readings linearised."""
        return type(self.solver).linearised is not Solver.linearised

    def _at_once(self) -> bool:
        """Whether one linearisation is that of all weights."""
        if not (self._closed() and isinstance(self.prior, CoefficientPrior)):
            return False
        problem = Problem(self.pde, self.prior)
        return problem.linear and not (problem.unknowns or self.stated.unknown_noise)

    def _searched(self, level: torch.Tensor, lower: torch.Tensor, fresh: bool) -> torch.Tensor:
        """The weights by readings that are linearised with a level of noise (m,), for noise of the
        next; `fresh`: from several starts, which might later lead back and forth."""
        problem, observation = Problem.of(self.pde, self.prior), self.observation(level)
        if problem.unknowns or observation.unknown_noise:
            problem, observation = most_probable(self.solver, problem, observation)
        size = self._shared(lower * observation.noise_std * self.values.sqrt() / level)
        readings = self.solver.linearised(problem.physics, problem.prior, observation)
        assert readings is not None
        readings, size = readings.subset(self.plain), size[self.plain]
        student = StudentReadings(readings, readings.gram(problem.latent), size)
        found = self._of_size(student, fresh)
        for _ in range(_SIZES if self.stated.unknown_noise else 0):
            fitted = self._fitted_size(student, found)
            change = float((fitted / student.size).log().abs().max())
            student = replace(student, size=fitted)
            found = self._of_size(student, fresh)
            if change < _SAME_SIZE:
                break
        if bool((lower == 1).all()):
            self.size = self.size.masked_scatter(self.plain, student.size)
        whole = torch.ones_like(self.values)
        whole[self.plain] = found
        self.rejected |= whole < SUSPECT
        return whole

    def _shared(self, size: torch.Tensor) -> torch.Tensor:
        """The sizes of the noise (m,), with those of suspects as of the others of their group."""
        for j in range(len(self.stated.unknown_noise)):
            mine = self.stated.noise_group == j
            others = mine & ~self._suspect
            size[mine] = size[others if bool(others.any()) else mine].mean()
        return size

    def _of_size(self, student: StudentReadings, fresh: bool) -> torch.Tensor:
        """The weights of the plain readings for noise of a known size."""
        values, rejected = self.values[self.plain], self.rejected[self.plain]
        ones = torch.ones_like(values)
        starts = [ones, REJECTED * ones, torch.where(rejected, REJECTED, ones)]
        return student.search(starts if fresh else [values])

    def _fitted_size(self, student: StudentReadings, weight: torch.Tensor) -> torch.Tensor:
        """The sizes of the noise, of which unknown ones are nearer to the most probable ones."""
        size = student.size.clone()
        for j, (_, number) in enumerate(self.stated.unknown_noise):
            assert self.stated.noise_group is not None
            mine = self.stated.noise_group[self.plain] == j
            fitted = size[mine] * student.fitted(weight, mine & (weight >= SUSPECT))
            size[mine] = fitted.clamp(number.low, number.high)
        return size

    def _squares(
        self, observation: Observation, n_samples: int, generator: torch.Generator
    ) -> torch.Tensor:
        """E[e²], (m,), by a posterior's mean and samples."""
        o = observation
        found = self.solver(self.pde, self.prior, o, n_samples=n_samples, generator=generator)
        variance = o(found.samples.double()).var(dim=0)
        left = o.values - o(found.mean[None].double())
        return o.without_bias(left, variance + o.noise_std.square())[0].square() + variance

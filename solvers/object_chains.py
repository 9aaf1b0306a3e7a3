"""Markov chains over the objects of a scene: the posterior of channels, inclusions or spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch

from pdeinv.checks import MOST, Bounds, Count, Positive
from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.datasets.base import PDE
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import Solver, progress_bar
from pdeinv.solvers.parallel_tempering import ParallelTempering
from pdeinv.solvers.scene_likelihood import AT_ONCE, SceneLikelihood
from pdeinv.solvers.supported_readings import FOOTPRINTS, Special
from pdeinv.solvers.truncated_gaussian import chain_diagnostics

__all__ = ["ObjectChains", "SceneDraws"]

_POOL = 2  # draws of the prior in a run, in steps
_DRAWS = 400  # states behind the mean and the standard deviation, about
_ROUNDS = (1 / 32, 1 / 32, 1 / 16, 1 / 8, 1 / 4)  # of the steps, after which the ladder is spaced


class SceneDraws(NamedTuple):
    """Scenes of the posterior of several runs.

    Arguments:
        scenes: draws of the first step for each run, then those of the next.
        values: their log-likelihoods, (draws, runs), without a constant.
        record: rates of acceptance and of exchange, and the evidence.
    """

    scenes: Scenes
    values: torch.Tensor
    record: dict[str, float]

    def convergence(self, coefficients: torch.Tensor) -> dict[str, float]:
        """Return R̂ and the effective sample size, the worst of a few numbers of the scenes; nothing
        of one run, or of few draws.

        Arguments:
            coefficients: of the scenes, (batch, ny, nx).
        """
        y, x = (
            torch.linspace(-1, 1, n, dtype=torch.float64, device=coefficients.device)
            for n in coefficients.shape[-2:]
        )
        means = [(coefficients * w).mean(dim=(-2, -1)) for w in (torch.ones_like(x), x, y[:, None])]
        table = torch.stack([self.values, *(m.reshape(self.values.shape) for m in means)], dim=-1)
        table = table.transpose(0, 1)
        if min(table.shape[:2]) < 2 or table.shape[1] < 4:
            return {}
        return chain_diagnostics(table)


@dataclass(frozen=True)
class ObjectChains(Solver):
    """Markov chains over the number of objects and the numbers of each, for a prior such as
    `Channels`, `Inclusions` or `Spikes`: the posterior itself, without derivatives.

    A state of a chain is a scene: how many objects there are, and the numbers of each. Its
    neighbours differ in an object, in what all objects share, or in the number of objects
    (`SceneMoves`). Each run draws a pool of the prior's scenes, and fits promising ones of them to
    the readings (`fit_scenes`): chains start there. They end in modes that fit a part of the
    readings. Chains of the likelihood to a power between 0 and 1 leave these, and exchange their
    states with their neighbours (`ParallelTempering`). The first half of the steps spaces the
    powers, adapts the moves, and is left out.

    The runs are independent. The record has `r_hat`, by which runs differ from one another (1 where
    they do not), and `effective_sample_size`: the worst of the log-likelihood, the mean of the
    coefficient and its first moments. It has `log_evidence` too, unless there is one level.

    Likelihoods are those of the PDE's `surrogate`; the states of the result are those of `solve`.
    For a nonlinear PDE a likelihood on a coarse grid comes before that on the grid of the result:
    levels near the prior use the coarse one alone, and those near the posterior both
    (`SceneLikelihood`).

    Arguments:
        steps: of each chain. In a step each of its proposals takes a solve on one of the grids or
            on both, and the levels of the coarse grid alone have several proposals.
        levels: powers of the likelihood, of which the last is 1; 1 for plain Metropolis–Hastings.
        runs: independent runs.
        coarse: nodes of the shorter side of the coarse grid.
        nugget: variance added to readings, relative to that of their field's.
        start: scene at which the chains of the coldest third of the levels start, such as the truth
            in a study; scenes that are found from draws of the prior if None.

    Reference:
        Green, *Reversible jump Markov chain Monte Carlo computation and Bayesian model
        determination*, Biometrika 82, 1995; Vehtari et al., *Rank-normalization, folding, and
        localization: an improved R̂*, Bayesian Analysis 16, 2021.
    """

    steps: Annotated[int, Bounds(least=2, most=MOST)] = 2000
    levels: Count = 12
    runs: Count = 4
    coarse: Annotated[int, Bounds(least=4, most=MOST)] = 22
    nugget: Positive = 1e-6
    start: Scenes | None = None

    name: ClassVar[str] = "object-chains"
    on_processor: ClassVar[bool] = True
    takes: ClassVar[frozenset[Special]] = frozenset({FOOTPRINTS})
    wants_prior: ClassVar[str] = "a prior of objects, such as Channels"
    misfit_remedy: ClassVar[str] = "use more steps (in Python, ObjectChains(steps=...))"

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return isinstance(prior, ObjectPrior)

    def accepts_prior(self, prior: Prior) -> bool:
        return isinstance(prior, ObjectPrior)

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        assert isinstance(prior, ObjectPrior)
        nodes, chains = observation.grid.nodes, max(self.levels * self.runs, AT_ONCE)
        moved = chains * nodes * (2 * prior.most + 5 * len(pde.fields))
        drawn = max(_DRAWS, n_samples) * nodes * len(pde.fields)
        pool = _POOL * self.steps * self.runs * (len(observation) + prior.most * prior.each)
        return super().memory(pde, prior, observation, n_samples) + NUMBER * (moved + drawn + pool)

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        assert isinstance(prior, ObjectPrior)
        target = SceneLikelihood(pde, prior, observation, self.nugget, self.coarse, generator)
        found = self.draw_scenes(target, max(_DRAWS, n_samples), generator, progress)
        states = target.states(found.scenes)
        draws = states[torch.linspace(0, len(states) - 1, n_samples, dtype=torch.float64).long()]
        record: dict[str, str | float | int] = {
            "reduced_chi_squared": target.reduced_chi_squared(states),
            "solver_calls": target.forward.solver_calls,
            **found.convergence(states[:, 0]),
            **found.record,
        }
        probability = None
        if prior.phases is not None:
            probability = (states[:, 0] > sum(prior.phases) / 2).double().mean(dim=0)
        return Posterior(
            pde.fields,
            observation.grid,
            mean=states.mean(dim=0),
            std=states.std(dim=0),
            samples=draws,
            record=record,
            probability=probability,
        )

    def draw_scenes(
        self,
        target: SceneLikelihood,
        n: int,
        generator: torch.Generator | None,
        progress: bool = False,
    ) -> SceneDraws:
        """Return about n scenes of the posterior, those of the runs by turns.

        Arguments:
            target: the likelihoods, which hold the prior.
            n: number of scenes, at least where there are enough steps.
            generator: of random numbers.
            progress: show a progress bar.
        """
        sampler = ParallelTempering(
            target.prior,
            target.log_likelihoods,
            self.levels,
            self.runs,
            _POOL * self.steps,
            self.start,
            generator,
        )
        bar = iter(progress_bar(range(self.steps), "chains", progress, "step"))
        left = self.steps
        for share in _ROUNDS:
            for _ in range(int(share * self.steps)):
                next(bar)
                sampler.step()
                left -= 1
            sampler.respace(changed=target.learn_errors(sampler.refined))
        sampler.moves.settle()
        every = max(1, left * self.runs // n)
        # Whole from the start: small arrays between the large ones of the steps would keep these
        scenes = sampler.coldest.repeated(-(-left // every) * self.runs)
        values = torch.zeros(len(scenes) // self.runs, self.runs, dtype=torch.float64)
        for k, _ in enumerate(bar):
            sampler.step()
            if (left - 1 - k) % every == 0:
                first = k // every * self.runs
                scenes.put(slice(first, first + self.runs), sampler.coldest)
                values[k // every] = sampler.coldest_values
        record = {"acceptance_rate": round(sampler.acceptance_rate, 4)}
        if self.levels > 1:
            record["exchange_rate"] = round(sampler.exchange_rate, 4)
            record["log_evidence"] = sampler.log_evidence + target.log_constant
        return SceneDraws(scenes, values, record)

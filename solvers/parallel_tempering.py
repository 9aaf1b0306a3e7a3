"""Markov chains over scenes at several powers of the likelihood, which exchange their states."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator

from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.solvers.scene_moves import SceneMoves

__all__ = ["LogLikelihood", "ParallelTempering"]

LogLikelihood: TypeAlias = Callable[[Scenes], torch.Tensor]

_PROBES = 64  # draws of the prior that set the lowest power
_ROOT = 0.2  # power of the powers that is interpolated
_LEAST_STEP = 0.02  # of the rejection that separates two levels, at least


class ParallelTempering:
    """Independent runs, each of one chain at every level of a ladder of powers from 0 to 1.

    The chain at the power β samples the prior times the likelihood to the power β. Those at 0 draw
    from the prior at each step. After each step, pairs of neighbouring levels may exchange their
    states, even and odd pairs by turns, so that scenes found at low powers reach the posterior. A
    single level is the power 1.

    Arguments:
        prior: of the scenes.
        log_likelihood: of scenes, (batch,), without its constant.
        levels, runs: number of powers, and of independent runs.
        start: the first scene of each chain, level by level; draws of the prior if None.
        generator: of random numbers.

    Reference:
        Syed, Bouchard-Côté, Deligiannidis & Doucet, *Non-reversible parallel tempering: a scalable
        highly parallel MCMC scheme*, J. R. Stat. Soc. B 84, 2022: the exchange, and the ladder that
        `respace` makes.
    """

    def __init__(
        self,
        prior: ObjectPrior,
        log_likelihood: LogLikelihood,
        levels: int,
        runs: int,
        start: Scenes | None,
        generator: torch.Generator | None,
    ):
        self.prior, self.log_likelihood, self.generator = prior, log_likelihood, generator
        self.moves, self.runs, self.levels = SceneMoves(prior, generator), runs, levels
        self.powers = torch.ones(levels, dtype=torch.float64)
        if levels > 1:
            self.powers = self._first_powers(levels)
        chains = levels * runs
        self.scenes = prior.draw_scenes(chains, generator) if start is None else start
        self.values = log_likelihood(self.scenes)
        self.taken = 0
        self.clear()

    def _first_powers(self, levels: int) -> torch.Tensor:
        """A geometric ladder, from the power at which the likelihood begins to matter."""
        drawn = self.log_likelihood(self.prior.draw_scenes(_PROBES, self.generator))
        spread = float(drawn.quantile(0.75) - drawn.quantile(0.25))
        lowest = min(0.5, 1 / max(spread, 1e-300))
        rising = torch.logspace(math.log10(lowest), 0, levels - 1, dtype=torch.float64)
        return torch.cat([rising.new_zeros(1), rising])

    def clear(self) -> None:
        """Forget the rates of acceptance and of exchange, and the evidence, so far."""
        self.accepted = torch.zeros(self.levels, dtype=torch.float64)
        self.rejected = torch.zeros(self.levels - 1, dtype=torch.float64)
        shape = (self.levels - 1, self.runs)
        self.raised = torch.full(shape, -math.inf, dtype=torch.float64)
        self.steps = 0

    @property
    def coldest(self) -> Scenes:
        """The scenes of the power 1, one of each run."""
        return self.scenes.chosen(torch.arange(len(self.scenes) - self.runs, len(self.scenes)))

    @property
    def coldest_values(self) -> torch.Tensor:
        """Their log-likelihoods, (runs,)."""
        return self.values[-self.runs :]

    def step(self) -> None:
        """Move each chain once, then exchange states between neighbours."""
        proposed, allowed = self.moves(self.scenes)
        if self.levels > 1:
            proposed.put(0, self.prior.draw_scenes(self.runs, self.generator))
            allowed[: self.runs] = True
        values = self.log_likelihood(proposed)
        powers = self.powers.repeat_interleave(self.runs)
        taken = allowed & (self._uniform(len(values)).log() < powers * (values - self.values))
        self.scenes = proposed.where(taken, self.scenes)
        self.values = torch.where(taken, values, self.values)
        self.accepted += taken.double().reshape(self.levels, self.runs).mean(dim=1)
        if self.levels > 1:
            self._exchange()
        self.steps, self.taken = self.steps + 1, self.taken + 1

    def _exchange(self) -> None:
        values = self.values.reshape(self.levels, self.runs)
        rise = self.powers.diff()[:, None]
        self.raised = torch.logaddexp(self.raised, rise * values[:-1])
        gain = rise * (values[:-1] - values[1:])  # of the exchange, as a logarithm
        self.rejected += 1 - gain.clamp(max=0).exp().mean(dim=1)
        swapped = self._uniform(*gain.shape).log() < gain
        swapped[1 - self.taken % 2 :: 2] = False
        rows = torch.arange(len(self.scenes)).reshape(self.levels, self.runs)
        lower, upper = rows[:-1].clone(), rows[1:].clone()
        order = rows.clone()
        order[:-1] = torch.where(swapped, upper, order[:-1])
        order[1:] = torch.where(swapped, lower, order[1:])
        self.scenes = self.scenes.chosen(order.flatten())
        self.values = self.values[order.flatten()]

    def respace(self) -> None:
        """Set the powers so that all pairs of neighbours reject equally many exchanges, by the
        rates since the last `clear`, and clear them."""
        if self.levels > 2 and self.steps:
            rates = (self.rejected / self.steps).clamp(min=_LEAST_STEP)
            barrier = np.concatenate([[0.0], rates.cumsum(0).numpy()])
            wanted = np.linspace(0.0, barrier[-1], self.levels)
            # Monotone, so that the powers stay in order; of the roots, since they span decades
            roots = PchipInterpolator(barrier, self.powers.numpy() ** _ROOT)(wanted)
            self.powers = torch.from_numpy(roots.clip(0, 1) ** (1 / _ROOT))
        self.clear()

    @property
    def log_evidence(self) -> float:
        """The logarithm of the mean likelihood of the prior, by the steps since the last `clear`:
        a product of the ratios between neighbouring powers."""
        return float((self.raised.logsumexp(dim=1) - math.log(self.steps * self.runs)).sum())

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=self.generator)

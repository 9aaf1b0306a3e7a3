"""Markov chains over scenes on a ladder of likelihoods, which exchange their states."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy
import torch

from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.solvers.scene_likelihood import NormalReadings
from pdeinv.solvers.scene_moves import SceneMoves
from pdeinv.solvers.scene_pool import ScenePool
from pdeinv.solvers.scene_search import FittedScenes, fit_scenes

__all__ = ["ParallelTempering"]

_FITTED, _PAST = 12, 20  # half the scenes of a pool that are fitted; first past scenes of a chain
_ROOT = 0.2  # power of the heights that is interpolated
_LEAST_STEP = 0.02  # of the rejection that separates two levels, at least
_EXTRA = 2  # moves by the first likelihood alone in a step
_REFINED = 0.3  # share of the first ladder's levels that are cold: between two likelihoods


class ParallelTempering:
    """Independent runs, each of one chain at every level of a ladder from near the prior to the
    posterior.

    The likelihoods begin with the cheapest and end with the exact one. At the height h ≤ 1 of the
    ladder a chain samples the prior times the first likelihood to the power h; from there to the
    height 2 it exchanges the first likelihood for the second, as L₁^(2 - h) L₂^(h - 1), and so on.
    The lowest height is so small that a run's pool of the prior's draws, weighted, stands for the
    distribution there; its chain takes another of them at each step. A proposal is first accepted
    by the cheaper likelihoods, and only then are the others evaluated (delayed acceptance), which
    leaves the distribution as it is. After each step neighbouring levels may exchange their states,
    even and odd pairs by turns, so that scenes found at low heights reach the posterior. A single
    level samples the posterior.

    Arguments:
        prior: of the scenes.
        log_likelihoods: of scenes.
        levels, runs: number of heights, and of independent runs.
        pool: draws of the prior in each run's pool.
        start: the scene at which the coldest third of the levels starts; the others start at scenes
            of the pools, fitted to the readings.
        generator: of random numbers.

    Reference:
        Syed, Bouchard-Côté, Deligiannidis & Doucet, *Non-reversible parallel tempering: a scalable
        highly parallel MCMC scheme*, J. R. Stat. Soc. B 84, 2022: the exchange, and the ladder that
        `respace` makes. Christen & Fox, *Markov chain Monte Carlo using an approximation*, J.
        Comput. Graph. Stat. 14, 2005: delayed acceptance.
    """

    def __init__(
        self,
        prior: ObjectPrior,
        log_likelihoods: Sequence[NormalReadings],
        levels: int,
        runs: int,
        pool: int,
        start: Scenes | None,
        generator: torch.Generator | None,
    ):
        self.prior, self.log_likelihoods, self.generator = prior, log_likelihoods, generator
        self.runs, self.levels = runs, levels
        self.moves = SceneMoves(prior, levels, runs, generator)
        self.pool = ScenePool(prior, log_likelihoods[0], runs, pool, generator)
        self.heights = self._first_heights()
        if self.pool.suffices(1.0):
            self.scenes = Scenes.joined(self._drawn())
        else:
            fitted = fit_scenes(prior, log_likelihoods, self.pool.promising(_FITTED))
            for _ in range(_PAST):
                self.moves.keep(self._drawn_or_fitted(fitted))
            self.scenes = self._drawn_or_fitted(fitted)
        if start is not None:
            cold = runs * max(1, round(_REFINED * levels))
            self.scenes.put(slice(-cold, None), start.repeated(cold))
        self.values = torch.full((levels * runs, len(log_likelihoods)), math.nan).double()
        self._evaluate_own()
        self.turn = 0  # even and odd pairs by turns
        self.clear()

    def _first_heights(self) -> torch.Tensor:
        """A geometric ladder, from the power at which the first likelihood begins to matter, and
        an even one from there."""
        top = float(len(self.log_likelihoods))
        if self.levels == 1:
            return torch.full((1,), top, dtype=torch.float64)
        even = min(self.levels - 2, round(_REFINED * self.levels)) if top > 1 else 0
        rising = torch.logspace(
            math.log10(self.pool.lowest_power()), 0.0, self.levels - even, dtype=torch.float64
        )
        heights = torch.cat([rising, torch.linspace(1, top, even + 1, dtype=torch.float64)[1:]])
        heights[-1] = top
        return heights

    def _drawn(self) -> list[Scenes]:
        """Return scenes of the pools by their weights at each level."""
        return [self.pool.draw(min(float(height), 1.0))[0] for height in self.heights]

    def _drawn_or_fitted(self, fitted: FittedScenes) -> Scenes:
        """Return scenes of the pools, or fitted ones, for each chain by their weights at its
        level."""
        drawn = self._drawn()
        n = len(fitted.scenes) // self.runs
        for scenes, powers in zip(drawn, self._weights(), strict=True):
            weights = fitted.log_weights(powers).reshape(self.runs, n)
            unfitted = self.pool.log_means(min(float(powers.sum()), 1.0))[:, None]
            shares = torch.cat([weights, unfitted], dim=1).softmax(dim=1)
            chosen = torch.multinomial(shares, 1, generator=self.generator)[:, 0]
            rows = (chosen < n).nonzero()[:, 0]
            scenes.put(rows, fitted.scenes.chosen(chosen[rows] + n * rows))
        return Scenes.joined(drawn)

    def _weights(self) -> torch.Tensor:
        """The power of each likelihood at each level, (levels, likelihoods)."""
        ranks = torch.arange(1, 1 + len(self.log_likelihoods), dtype=torch.float64)
        return (1 - (self.heights[:, None] - ranks).abs()).clamp(min=0)

    def clear(self) -> None:
        """Forget the rates of acceptance and of exchange, and the evidence, so far."""
        self.moved, self.accepted = torch.zeros(2, self.levels, dtype=torch.float64)
        self.compared, self.rejected = torch.zeros(2, self.levels - 1, dtype=torch.float64)
        shape = (self.levels - 1, self.runs)
        self.raised = torch.full(shape, -math.inf, dtype=torch.float64)

    @property
    def coldest(self) -> Scenes:
        """The scenes of the posterior, one of each run."""
        return self.scenes.chosen(torch.arange(len(self.scenes) - self.runs, len(self.scenes)))

    @property
    def refined(self) -> Scenes:
        """The scenes of the levels that are beyond the first likelihood."""
        return self.scenes.chosen((self.heights > 1).repeat_interleave(self.runs))

    @property
    def coldest_values(self) -> torch.Tensor:
        """Their log-likelihoods, (runs,)."""
        return self.values[-self.runs :, -1]

    @property
    def acceptance_rate(self) -> float:
        """Share of the proposals at the posterior that were accepted."""
        return float(self.accepted[-1] / self.moved[-1])

    @property
    def exchange_rate(self) -> float:
        """Share of the proposed exchanges between neighbours that took place."""
        return 1 - float(self.rejected.sum() / self.compared.sum())

    def step(self) -> None:
        """Move the chains, those of the first likelihood alone several times."""
        first = int((self.heights <= 1).sum())
        for _ in range(_EXTRA if first < self.levels else 0):
            self._advance(first)
        self._advance(self.levels)
        self.moves.keep(self.scenes)

    def _advance(self, levels: int) -> None:
        """Move each chain of the first so many levels once, then exchange states between
        neighbours."""
        lowest = int(self.levels > 1)
        if lowest:
            drawn, values = self.pool.draw(float(self.heights[0]))
            self.scenes.put(slice(self.runs), drawn)
            self.values[: self.runs] = math.nan
            self.values[: self.runs, 0] = values
        rows = torch.arange(lowest * self.runs, levels * self.runs)
        scenes, values = self.scenes.chosen(rows), self.values[rows]
        proposed, allowed = self.moves(scenes, rows)
        taken, found = self._accepted(proposed, allowed, values, rows // self.runs)
        self.moves.learn(taken)
        self.scenes.put(rows, proposed.where(taken, scenes))
        self.values[rows] = torch.where(taken[:, None], found, values)
        self.moved[lowest:levels] += 1
        self.accepted[lowest:levels] += taken.double().reshape(-1, self.runs).mean(dim=1)
        lower = range(self.turn, levels - 1, 2)
        if lower:
            self._exchange(torch.tensor(lower))
        self.turn = 1 - self.turn

    def _accepted(
        self,
        proposed: Scenes,
        allowed: torch.Tensor,
        before: torch.Tensor,
        level: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which proposals are accepted in the place of the first scenes, and their
        log-likelihoods, by one likelihood after the other.

        Arguments:
            proposed: scenes.
            allowed: by the prior, (batch,).
            before: log-likelihoods of the scenes in their place, (batch, likelihoods).
            level: of each, (batch,).
        """
        weights = self._weights()[level]
        values = torch.full_like(before, math.nan)
        passed = values.new_zeros(len(values))  # gain by which it came so far
        taken = allowed.clone()
        for rank in range(weights.shape[1]):
            more = weights[:, rank + 1 :].any(dim=1)  # later likelihoods decide
            here = (more | (weights[:, rank] > 0) | (rank == 0)) & taken
            rows = here.nonzero()[:, 0]
            if not len(rows):
                break
            values[rows, rank] = self.log_likelihoods[rank](proposed.chosen(rows))
            rise = values - before
            whole = (weights * rise).where(weights > 0, 0.0).sum(dim=1)
            gain = torch.where(more, rise[:, rank], whole)
            decided = self._uniform(len(values)).log() < gain - passed
            taken = torch.where(here, decided, taken)
            passed = torch.where(here, gain, passed)
        return taken, values

    def _evaluate_own(self) -> None:
        """Evaluate the likelihoods that a move at the level of each chain compares."""
        used = self._weights() > 0
        needed = used.flip(1).cumsum(dim=1).flip(1) > 0  # those before the last one too
        needed[:, 0] = True
        self._evaluate(
            torch.arange(len(self.scenes)).reshape(1, self.levels, self.runs),
            needed[:, None].expand(-1, self.runs, -1),
        )

    def _exchange(self, lower: torch.Tensor) -> None:
        """Exchange states between levels and those above them."""
        rise = self._weights().diff(dim=0)[lower, None]
        chains = torch.arange(len(self.scenes), device=lower.device).reshape(self.levels, self.runs)
        pair = torch.stack([chains[lower], chains[lower + 1]])
        self._evaluate(pair, (rise != 0).expand(-1, self.runs, -1))
        lift, fall = (rise * self.values[pair]).where(rise != 0, 0.0).sum(dim=-1)
        self.raised[lower] = torch.logaddexp(self.raised[lower], lift)
        gain = lift - fall  # of the exchange, as a logarithm
        self.compared[lower] += 1
        self.rejected[lower] += 1 - gain.clamp(max=0).exp().mean(dim=1)
        swapped = self._uniform(*gain.shape).log() < gain
        order = chains.flatten()
        order[pair[:, swapped]] = pair[:, swapped].flip(0)
        self.scenes, self.values = self.scenes.chosen(order), self.values[order]

    def _evaluate(self, pair: torch.Tensor, compared: torch.Tensor) -> None:
        """Evaluate the likelihoods that an exchange compares, where they are missing."""
        missing = torch.zeros_like(self.values, dtype=torch.bool)
        for chains in pair:
            missing[chains] |= compared
        for rank, column in enumerate((missing & self.values.isnan()).unbind(dim=1)):
            rows = column.nonzero()[:, 0]
            if len(rows):
                self.values[rows, rank] = self.log_likelihoods[rank](self.scenes.chosen(rows))

    def respace(self, changed: bool = False) -> None:
        """Set the heights so that all pairs of neighbours reject equally many exchanges, by the
        rates since the last `clear`, and clear them.

        Arguments:
            changed: whether the likelihoods are other ones than before.
        """
        if self.levels > 2 and bool(self.compared.all()):
            rates = (self.rejected / self.compared).clamp(min=_LEAST_STEP)
            barrier = np.concatenate([[0.0], rates.cumsum(0).numpy()])
            wanted = np.linspace(0.0, barrier[-1], self.levels)
            # Monotone, so that the heights stay in order; of the roots, since they span decades
            top = len(self.log_likelihoods)
            roots = scipy.interpolate.PchipInterpolator(barrier, self.heights.numpy() ** _ROOT)(
                wanted
            )
            self.heights = torch.from_numpy(roots.clip(0, top**_ROOT) ** (1 / _ROOT))
        if changed:
            self.pool.weigh()
            self.values.fill_(math.nan)
        if self.levels > 1:
            lowest = self.pool.lowest_power()
            self.heights.clamp_(min=lowest)
            self.heights[0], self.heights[-1] = lowest, len(self.log_likelihoods)
        self._evaluate_own()
        self.clear()

    @property
    def log_evidence(self) -> float:
        """The logarithm of the mean likelihood of the prior, by the steps since the last `clear`:
        a product of the ratios between neighbouring levels."""
        counts = (self.compared * self.runs).log()
        rises = (self.raised.logsumexp(dim=1) - counts).sum()
        first = self.pool.log_means(float(self.heights[0]))
        return float(rises + first.logsumexp(dim=0)) - math.log(len(first))

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=self.generator)

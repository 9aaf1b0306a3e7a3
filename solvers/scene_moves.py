"""Moves of Markov chains over the objects of a scene."""

from __future__ import annotations

import math

import torch

from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.solvers.scene_archive import SceneArchive, ordered

__all__ = ["SceneMoves"]

# Shares of the moves; the others change an object
_REDRAWN, _BORN, _COMMON, _ALONG = 0.1, 0.2, 0.15, 0.25
_FIRST, _LARGEST = 0.1, 0.5  # standard deviation of a step in widths of the prior, and the largest
_TOGETHER = 0.5  # first size of a step in all numbers, in sizes of those in one
_FREE, _ANY_SIZE = 0.2, (1e-3, 0.5)  # share of the steps of any size, and their sizes
_WHOLE = 0.15  # of the steps along a difference that take the whole of it, from mode to mode
_ACCEPTED = 0.3  # share of the steps to which their sizes are adapted,
_SLOWING = 0.6  # ever more slowly, with this power of the number of steps


class SceneMoves:
    """Proposals that leave the prior of scenes as it is.

    Each chain takes one of these moves at random: an object takes a step in all its numbers or in
    one; one of the common numbers takes a step; all numbers take a step along the difference of two
    past scenes; another object is drawn in its place; or one is added or removed. Every move is
    reversible with respect to the prior, so that the likelihoods alone decide.

    The size of a step is random, about one for each number and level of a ladder. Until `settle`
    these sizes adapt to the share of the steps that were accepted, and past scenes are kept.

    Reference:
        Green, *Reversible jump Markov chain Monte Carlo computation and Bayesian model
        determination*, Biometrika 82, 1995; Roberts & Rosenthal, *Coupling and ergodicity of
        adaptive Markov chain Monte Carlo algorithms*, J. Appl. Probab. 44, 2007.

    Arguments:
        prior: of the scenes.
        levels, runs: of the ladder; chain k is at the level k // runs.
        generator: of random numbers.
    """

    def __init__(
        self, prior: ObjectPrior, levels: int, runs: int, generator: torch.Generator | None
    ):
        self.prior, self.runs, self.generator = prior, runs, generator
        # Of steps in one number of an object or a common one, in all of an object's, and along
        # differences
        shape = (levels, prior.each + prior.common + 2)
        self.log_sizes = torch.full(shape, math.log(_FIRST), dtype=torch.float64)
        self.log_sizes[:, -2:] = math.log(_TOGETHER)
        self.steps = torch.zeros(shape, dtype=torch.float64)
        self.archive = SceneArchive(prior, levels * runs, generator)
        self.learning = True

    def __call__(self, scenes: Scenes, chain: torch.Tensor) -> tuple[Scenes, torch.Tensor]:
        """Return a proposal for each scene, and whether the prior allows it, (batch,).

        Arguments:
            scenes: where the chains are.
            chain: number of each, (batch,).
        """
        n, level, scenes = len(scenes), chain // self.runs, ordered(scenes)
        shares = [_COMMON if self.prior.common else 0.0, _REDRAWN, _BORN, _ALONG]
        bounds = torch.tensor(shares, dtype=torch.float64, device=chain.device).cumsum(0)
        kind = torch.bucketize(self._uniform(n), bounds, right=True)
        common, redrawn, born, along, stepped = (kind == k for k in range(5))

        objects, numbers, count = (
            scenes.objects.clone(),
            scenes.common.clone(),
            scenes.count.clone(),
        )
        rows = torch.arange(n, device=chain.device)
        one = (self._uniform(n) * count).long()  # an object that is there
        fresh = self._uniform(n, self.prior.each)
        objects[rows[redrawn], one[redrawn]] = fresh[redrawn]
        step, shared = self._steps(level, common, stepped, along)
        objects[rows[stepped], one[stepped]] += step[stepped]
        numbers[common] += shared[common]
        moved_common, moved, found = self.archive.differences(scenes.count, chain)
        size = self._normal(n) * self.log_sizes[level, -1].exp()
        size = torch.where(self._uniform(n) < _WHOLE, 1.0, size)[along]
        numbers[along] += size[:, None] * moved_common[along]
        objects[along] += size[:, None, None] * moved[along]
        count[born] += torch.where(self._uniform(n) < 0.5, -1, 1)[born]
        allowed = (count >= self.prior.fewest) & (count <= self.prior.most)
        allowed &= ~(stepped | redrawn) | (scenes.count > 0)
        allowed &= ~along | found
        count = count.clamp(self.prior.fewest, self.prior.most)
        more, fewer = count > scenes.count, count < scenes.count
        objects[rows[more], scenes.count[more]] = fresh[more]
        last = (scenes.count - 1).clamp(min=0)  # takes the place of the one that is removed
        objects[rows[fewer], one[fewer]] = scenes.objects[rows[fewer], last[fewer]]
        proposed = self.prior.wrapped(Scenes(numbers, objects, count))
        # The way back takes the objects in the same order
        first = proposed.objects[..., 0].where(proposed.present, 2.0)
        allowed &= ~along | (first.diff(dim=1) >= 0).all(dim=1)
        return proposed, allowed

    def learn(self, taken: torch.Tensor) -> None:
        """Adapt the sizes of the steps to those of the last proposals that were accepted.

        Arguments:
            taken: which were, (batch,).
        """
        if not self.learning:
            return
        rate = (1 + self.steps[self._used]) ** -_SLOWING
        change = rate * (taken[self._moved].double() - _ACCEPTED)
        self.log_sizes.index_put_(self._used, change, accumulate=True)
        self.steps.index_put_(self._used, torch.ones_like(change), accumulate=True)
        self.log_sizes.clamp_(max=math.log(_LARGEST))

    def keep(self, scenes: Scenes) -> None:
        """Keep a scene of each chain, of whose differences steps are made."""
        if self.learning:
            self.archive.keep(scenes)

    def settle(self) -> None:
        """Leave the sizes of steps and the past scenes as they are from here on."""
        self.learning = False

    def _steps(
        self,
        level: torch.Tensor,
        common: torch.Tensor,
        stepped: torch.Tensor,
        along: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Steps of the numbers of an object (n, each) and of the common ones (n, common), and notes
        which sizes they are of."""
        n, each, shared = len(level), self.prior.each, self.prior.common
        one = (each * self._uniform(n)).long()
        one = torch.where(self._uniform(n) < 0.5, one, each + shared)  # all numbers
        if shared:
            one = torch.where(common, each + (shared * self._uniform(n)).long(), one)
        one = torch.where(along, each + shared + 1, one)
        self._moved = common | stepped | along
        self._used = (level[self._moved], one[self._moved])
        sizes = self.log_sizes[level].exp()
        sizes[:, :-2] *= torch.where(one == each + shared, sizes[:, -2], 1.0)[:, None]
        alone = torch.arange(each + shared, device=level.device) == one[:, None]
        alone |= (one == each + shared)[:, None]
        size = self._normal(n, 1).exp() * sizes[:, :-2]
        low, high = (math.log(size) for size in _ANY_SIZE)
        free = (low + (high - low) * self._uniform(n, 1)).exp()
        size = torch.where(self._uniform(n, 1) < _FREE, free, size)
        steps = torch.where(alone, size, 0.0) * self._normal(n, each + shared)
        return steps[:, :each], steps[:, each:]

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=self.generator)

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=self.generator)

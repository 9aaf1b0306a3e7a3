"""Moves of Markov chains over the objects of a scene."""

from __future__ import annotations

import math

import torch

from pdeinv.coefficients.objects import ObjectPrior, Scenes

__all__ = ["SceneMoves"]

_SIZES = (1e-3, 0.5)  # standard deviations of a step, in widths of the prior
_REDRAWN, _BORN, _COMMON = 0.15, 0.25, 0.2  # shares of the moves; the others change an object


class SceneMoves:
    """Proposals that leave the prior of scenes as it is.

    Each chain takes one of these moves at random: an object takes a step in all its numbers or in
    one; the common numbers take a step; another object is drawn in its place; or one is added or
    removed. The size of a step is random, over several orders of magnitude. Every move is
    reversible with respect to the prior, so that the likelihoods alone decide.

    Reference:
        Green, *Reversible jump Markov chain Monte Carlo computation and Bayesian model
        determination*, Biometrika 82, 1995.

    Arguments:
        prior: of the scenes.
        generator: of random numbers.
    """

    def __init__(self, prior: ObjectPrior, generator: torch.Generator | None):
        self.prior, self.generator = prior, generator

    def __call__(self, scenes: Scenes) -> tuple[Scenes, torch.Tensor]:
        """Return a proposal for each scene, and whether the prior allows it, (batch,)."""
        n, kind = len(scenes), self._uniform(len(scenes))
        common = kind < (_COMMON if self.prior.common else 0.0)
        left = (kind - _COMMON) / (1 - _COMMON) if self.prior.common else kind
        redrawn = ~common & (left < _REDRAWN)
        born = ~common & ~redrawn & (left < _REDRAWN + _BORN)
        stepped = ~(common | redrawn | born)

        objects, numbers, count = (
            scenes.objects.clone(),
            scenes.common.clone(),
            scenes.count.clone(),
        )
        rows = torch.arange(n)
        one = (self._uniform(n) * count).long()  # an object that is there
        fresh = self._uniform(n, self.prior.each)
        objects[rows[redrawn], one[redrawn]] = fresh[redrawn]
        step = self._steps(n, self.prior.each)
        objects[rows[stepped], one[stepped]] += step[stepped]
        if self.prior.common:
            numbers[common] += self._steps(n, self.prior.common)[common]
        count[born] += torch.where(self._uniform(n) < 0.5, -1, 1)[born]
        allowed = (count >= self.prior.fewest) & (count <= self.prior.most)
        allowed &= ~(stepped | redrawn) | (scenes.count > 0)
        count = count.clamp(self.prior.fewest, self.prior.most)
        more, fewer = count > scenes.count, count < scenes.count
        objects[rows[more], scenes.count[more]] = fresh[more]
        last = (scenes.count - 1).clamp(min=0)  # takes the place of the one that is removed
        objects[rows[fewer], one[fewer]] = scenes.objects[rows[fewer], last[fewer]]
        return self.prior.wrapped(Scenes(numbers, objects, count)), allowed

    def _steps(self, n: int, k: int) -> torch.Tensor:
        """Steps (n, k), of which half move one number alone."""
        low, high = (math.log(size) for size in _SIZES)
        size = (low + (high - low) * self._uniform(n, 1)).exp()
        steps = size * torch.randn(n, k, dtype=torch.float64, generator=self.generator)
        alone = torch.arange(k) == (k * self._uniform(n, 1)).long()
        return torch.where((self._uniform(n, 1) < 0.5) & ~alone, 0.0, steps)

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=self.generator)

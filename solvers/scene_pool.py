"""Draws of a prior that stand, weighted, for a distribution near it."""

from __future__ import annotations

import math

import torch

from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.solvers.scene_likelihood import NormalReadings

__all__ = ["ScenePool"]

_EFFECTIVE = 50  # scenes of a run that count at the lowest power, if it has four times more
_LARGEST = 0.5  # of these powers


class ScenePool:
    """Scenes of a prior for each of several runs, and their likelihoods.

    Arguments:
        prior: of the scenes.
        likelihood: by whose powers they are weighted.
        runs, size: number of runs, and of scenes in each.
        generator: of random numbers.
    """

    def __init__(
        self,
        prior: ObjectPrior,
        likelihood: NormalReadings,
        runs: int,
        size: int,
        generator: torch.Generator | None,
    ):
        self.likelihood, self.generator = likelihood, generator
        self.scenes = prior.draw_scenes(runs * size, generator)
        self._readings = likelihood.read(self.scenes)
        self._first = size * torch.arange(runs)
        self.weigh()

    def weigh(self) -> None:
        """Evaluate the likelihood, which may have other values or another noise than before."""
        self.values = self.likelihood.of(self._readings).reshape(len(self._first), -1)

    def suffices(self, power: float) -> bool:
        """Return whether enough of each run's scenes count at a power."""
        weights = (power * self.values).softmax(dim=1)
        least = min(_EFFECTIVE, self.values.shape[1] / 4)
        return bool((1 / weights.square().sum(dim=1) >= least).all())

    def lowest_power(self) -> float:
        """Return the largest power up to a half at which enough of each run's scenes count."""
        low, high = -30.0, math.log(_LARGEST)
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self.suffices(math.exp(middle)) else (low, middle)
        return math.exp(low)

    def draw(self, power: float) -> tuple[Scenes, torch.Tensor]:
        """Return a scene of each run, weighted by a power of the likelihood, and their
        log-likelihoods."""
        weights = (power * self.values).softmax(dim=1)
        rows = torch.multinomial(weights, 1, generator=self.generator)[:, 0] + self._first
        return self.scenes.chosen(rows), self.values.flatten()[rows]

    def promising(self, n: int) -> Scenes:
        """Return 2 n scenes of each run, run by run: those of the largest likelihood, of which each
        may meet a few readings alone, and others by weights of the lowest power."""
        n = min(n, self.values.shape[1] // 2)
        best = self.values.topk(n, dim=1).indices
        # Those of the largest sums with Gumbel's numbers are draws by these weights
        shape = self.values.shape
        uniform = torch.rand(shape, dtype=torch.float64, generator=self.generator)
        by_weight = self.lowest_power() * self.values - (-uniform.log()).log()
        others = by_weight.scatter(1, best, -torch.inf).topk(n, dim=1).indices
        return self.scenes.chosen((torch.cat([best, others], 1) + self._first[:, None]).flatten())

    def log_means(self, power: float) -> torch.Tensor:
        """Return the logarithm of the mean of a power of the likelihood in each run, (runs,)."""
        return (power * self.values).logsumexp(dim=1) - math.log(self.values.shape[1])

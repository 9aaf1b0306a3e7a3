"""Past scenes of Markov chains, whose differences are steps along the directions of a posterior."""

from __future__ import annotations

import torch

from pdeinv.coefficients.objects import ObjectPrior, Scenes

__all__ = ["SceneArchive", "ordered"]

_SIZE = 200  # scenes of a chain


class SceneArchive:
    """The last scenes of each chain of a ladder.

    Two of them that have equally many objects differ in all numbers at once, by about the spread
    and along the correlations of the distribution at this level, or by the way from one mode to
    another.

    Arguments:
        prior: of the scenes.
        chains: number of chains.
        generator: of random numbers.

    Reference:
        ter Braak & Vrugt, *Differential evolution Markov chain with snooker updater and fewer
        chains*, Stat. Comput. 18, 2008.
    """

    def __init__(self, prior: ObjectPrior, chains: int, generator: torch.Generator | None):
        self.prior, self.generator = prior, generator
        empty = prior.draw_scenes(chains * _SIZE, generator)
        self.common = empty.common.reshape(chains, _SIZE, -1)
        self.objects = empty.objects.reshape(chains, _SIZE, *empty.objects.shape[1:])
        self.count = torch.full((chains, _SIZE), -1)
        self.kept = 0

    def keep(self, scenes: Scenes) -> None:
        """Keep a scene of each chain in the place of the oldest one."""
        scenes, place = ordered(scenes), self.kept % _SIZE
        self.common[:, place], self.objects[:, place] = scenes.common, scenes.objects
        self.count[:, place] = scenes.count
        self.kept += 1

    def differences(
        self, count: torch.Tensor, chain: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return differences of two random scenes of a chain, of so many objects.

        Arguments:
            count: number of objects, (batch,).
            chain: (batch,), integers.

        Returns:
            Those of the common numbers (batch, common) and of the objects (batch, most, each), in
            the order of `ordered`, and whether there are two such scenes, (batch,).
        """
        alike = (self.count[chain] == count[:, None]).double()
        found = alike.sum(dim=1) > 1
        alike[~found] = 1.0
        pair = torch.multinomial(alike, 2, generator=self.generator).T
        one, other = ((self.common[chain, p], self.objects[chain, p]) for p in pair)
        common, objects = (a - b for a, b in zip(one, other, strict=True))
        for numbers, cyclic in (
            (common, self.prior.cyclic_common),
            (objects, self.prior.cyclic),
        ):
            around = numbers[..., list(cyclic)]
            numbers[..., list(cyclic)] = (around + 0.5).remainder(1) - 0.5
        return common, objects, found


def ordered(scenes: Scenes) -> Scenes:
    """Return the same scenes with the objects in the order of their first numbers."""
    first = scenes.objects[..., 0].where(scenes.present, torch.inf)
    places = first.argsort(dim=1)[..., None].expand_as(scenes.objects)
    return Scenes(scenes.common, scenes.objects.gather(1, places), scenes.count)

"""How far samples of a prior are from the fields of its training, next to fresh data.

The coefficients of the training are drawn again from the seed that the prior's file states. A
prior that memorised them has samples that are far nearer to one of them than fresh data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import gcd

import torch

from pdeinv import seeds
from pdeinv.benchmarks.records import Record
from pdeinv.datasets import Problem
from pdeinv.datasets.blocks import sample_generator
from pdeinv.grid import Grid
from pdeinv.priors import DiffusionPrior
from pdeinv.priors.data import digest_indices, digest_of, held_out
from pdeinv.symmetry import Group

__all__ = ["memorised", "nearest_distances", "nearest_training", "training_coefficients"]

_BLOCK = 512  # training fields that are in memory at a time
_SHARE = 0.5  # of the smallest distance of fresh data, below which a sample counts as memorised


def nearest_training(
    prior: DiffusionPrior, problem: Problem, samples: torch.Tensor, fresh: torch.Tensor
) -> Record | None:
    """Return the distances of samples and of fresh data to the training, as `nearest_distances`.

    Samples of a coefficient of two values are rounded to the nearer one.

    Arguments:
        prior: that was trained.
        problem: of its training.
        samples, fresh: (batch, channel, ny, nx) on the grid of the training, the coefficient first.

    Returns:
        The record, or None where the training's coefficients cannot be drawn again.
    """
    g = prior.gaussian
    if g.fields[0].name != problem.physics.coefficient_field.name:
        return None
    draw = training_coefficients(prior, problem)
    if draw is None:
        return None
    samples, fresh = samples[:, :1].double(), fresh[:, :1].double()
    phases = problem.coefficient_prior.phases
    if phases:
        low, high = phases
        samples = torch.where(samples > (low + high) / 2, high, low)
    group, n = problem.symmetries.on_grid(g.grid).acting_on(g.fields[:1]), prior.record["samples"]
    blocks = (draw(range(i, min(i + _BLOCK, n))) for i in range(0, n, _BLOCK))
    found = nearest_distances(torch.cat([samples, fresh]), blocks, group, g.grid)
    distances = [float(f"{d:.4g}") for d in found.tolist()]
    return {
        "training_fields": n,
        "symmetries": len(group),
        "translations": bool(group.translations),
        "to_samples": distances[: len(samples)],
        "to_fresh": distances[len(samples) :],
    }


def memorised(nearest: Record) -> int:
    """Return the number of samples that are nearer to the training than half of the smallest
    distance of fresh data.

    Arguments:
        nearest: as `nearest_training` returns it.
    """
    limit = _SHARE * min(nearest["to_fresh"])
    return sum(distance < limit for distance in nearest["to_samples"])


def training_coefficients(
    prior: DiffusionPrior, problem: Problem
) -> Callable[[Sequence[int]], torch.Tensor] | None:
    """Return what draws the training's coefficients (samples, 1, ny, nx), float32, by their index.

    It is None where the file states no seed of this package's generator, or a hash of the data that
    the draws do not have. A joint prior's hash is not compared, as it is of solutions too.

    Arguments:
        prior: that was trained.
        problem: of its training.
    """
    stated, grid = prior.record, prior.gaussian.grid
    if stated.get("data_seed_range") != [seeds.TRAINING.start, seeds.TRAINING.stop]:
        return None

    def draw(indices: Sequence[int]) -> torch.Tensor:
        generators = (sample_generator(stated["data_seed"], i) for i in indices)
        return torch.cat([problem.sample_coefficient(1, grid, g).float() for g in generators])

    if len(prior.gaussian.fields) == 1 and "digest" in stated:
        used = stated["samples"]
        totals = [n for n in range(used + 1, used + used // 2) if n - held_out(n) == used]
        if all(digest_of(draw(digest_indices(n))) != stated["digest"] for n in totals):
            return None
    return draw


def nearest_distances(
    fields: torch.Tensor, blocks: Iterable[torch.Tensor], group: Group, grid: Grid
) -> torch.Tensor:
    """Return the relative L2 distance (n,) of each field to the nearest image of others.

    The images are those under the group; its translations are by whole cells.

    Arguments:
        fields: (n, 1, ny, nx), float64, relative to whose norms the distances are.
        blocks: of the others, each (batch, 1, ny, nx).
        group: symmetries of the fields.
        grid: of the fields.
    """
    images = torch.cat([element(fields, grid)[:, 0] for element in group])
    shifts = _shifts(group, grid)
    squares = fields.square().sum(dim=(1, 2, 3))
    nearest = torch.full_like(squares, torch.inf)
    for block in blocks:
        others = block[:, 0].double()
        inner = _largest_products(images, others, shifts).unflatten(0, (len(group), -1))
        apart = squares[:, None] + others.square().sum(dim=(1, 2)) - 2 * inner.amax(dim=0)
        nearest = torch.minimum(nearest, apart.amin(dim=1))
    return (nearest.clamp(min=0) / squares).sqrt()


def _shifts(group: Group, grid: Grid) -> torch.Tensor | None:
    """Return which shifts (ny, nx) by whole cells the group has, None where it has none."""
    if not group.translations:
        return None
    ny, nx = grid.shape
    allowed = torch.zeros(grid.shape, dtype=torch.bool)
    steps = {(0, 0)}
    for dx, dy in group.translations:
        cells = gcd(*(n for n, d in zip(grid.cells, (dy, dx), strict=True) if d))
        along = [(k * dy * ny // cells, k * dx * nx // cells) for k in range(cells)]
        steps = {((i + a) % ny, (j + b) % nx) for i, j in steps for a, b in along}
    for i, j in steps:
        allowed[i, j] = True
    return allowed


def _largest_products(
    images: torch.Tensor, others: torch.Tensor, shifts: torch.Tensor | None
) -> torch.Tensor:
    """Return the inner products (images, others), the largest ones over shifts of the others."""
    if shifts is None:
        return images.flatten(1) @ others.flatten(1).T
    spectra = torch.fft.rfft2(images)
    columns = []
    for other in others:
        products = torch.fft.irfft2(spectra * torch.fft.rfft2(other).conj(), s=other.shape)
        columns.append(products[:, shifts].amax(dim=1))
    return torch.stack(columns, dim=1)

"""The fit of a Gaussian prior to samples of fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from pdeinv import seeds
from pdeinv.priors.data import TrainingData
from pdeinv.priors.gaussian import Block, GaussianPrior
from pdeinv.priors.noise import Noise
from pdeinv.priors.normalised import NormalisedFields
from pdeinv.progress import Progress
from pdeinv.symmetry import Group, trivial_group

__all__ = ["fit_gaussian"]

# Entries of the eigenvectors that are kept, 2.5 MB: all where reflections split two channels into
# four blocks
_MAX_ENTRIES = 620_000
_MIN_CORRELATION = 0.05  # smaller correlations join no blocks,
# Nor those of fewer standard errors than the first; but always those of more than the second
_CHANCE, _CERTAIN = 2.7, 5.0
_MIN_EIGENVALUE = 1e-7  # far below the squares of all noise levels
_MAX_DRAWS = 100_000  # pairs of a sample and a symmetry
_TRANSLATED_PASSES = 8  # over the samples, where translations are drawn at random
_CHUNK = 512
_ROUNDING = 1e-6  # relative variance that is left by rounding alone


class _Moments(NamedTuple):
    """Moments of normalised coefficients, float64.

    Arguments:
        means, variances: a table (my, mx) for each channel.
        covariance: (band_size,) squared, of the band whitened by the noise.
        weights: (band_size,), the weights of that whitening.
    """

    means: list[torch.Tensor]
    variances: list[torch.Tensor]
    covariance: torch.Tensor
    weights: torch.Tensor


def fit_gaussian(
    data: TrainingData,
    noise: Noise,
    *,
    symmetry: bool = True,
    rank: int | None = None,
    scale: torch.Tensor | None = None,
    progress: bool = False,
) -> GaussianPrior:
    """Fit the mean and the covariance of samples, averaged over the symmetries of their PDE.

    Arguments:
        data: the samples.
        noise: the noise of the diffusion.
        symmetry: average over the symmetries.
        rank: eigenvectors of correlated coefficients to keep at most, which keeps the prior's file
            small; all that are not too many if None.
        scale: (channel,), float64, of the normalised fields; to the standard deviation 0.5 if
            None.
        progress: show a progress bar.
    """
    bases, shift, own_scale = data.normalisation()
    space = NormalisedFields(
        data.fields, bases, data.grid, noise, shift, own_scale if scale is None else scale
    )
    group = data.symmetries if symmetry else trivial_group()
    moments = _moments(space, _symmetrised(data, group, progress))
    error = len(data) ** -0.5
    blocks = _blocks(
        moments.covariance, max(_CHANCE * error, min(_MIN_CORRELATION, _CERTAIN * error)), rank
    )
    return GaussianPrior(
        space.fields,
        space.bases,
        space.grid,
        space.noise,
        space.shift,
        space.scale,
        means=tuple(m.float() for m in moments.means),
        diagonal_variances=_diagonal_rest(space, moments, blocks),
        blocks=blocks,
        record=data.provenance(),
        **data.stated(),
    )


def _moments(space: NormalisedFields, chunks: Iterable[torch.Tensor]) -> _Moments:
    """Return the moments of chunks of states (batch, channel, ny, nx)."""
    grid, bases, band = space.grid, space.bases, space.band
    shift, scale = space.shift[:, None, None], space.scale[:, None, None]
    weights = torch.stack(
        [b.resize(space.noise.variance(b, grid), band).rsqrt() for b in bases]
    ).flatten()
    first = [torch.zeros(b.capacity(grid), dtype=torch.float64) for b in bases]
    second = [torch.zeros_like(t) for t in first]
    products, count = torch.zeros(len(weights), len(weights), dtype=torch.float64), 0
    for states in chunks:
        # In single precision the rounding of the large variances would drown the small ones
        tables = space.coefficients((states.double() - shift) / scale, grid)
        for c, table in enumerate(tables):
            first[c] += table.sum(dim=0)
            second[c] += table.square().sum(dim=0)
        rows = space.to_band(tables) * weights
        products += rows.T @ rows
        count += len(states)
    means = [t / count for t in first]
    variances = [(t / count - m**2).clamp(min=0) for t, m in zip(second, means, strict=True)]
    centre = space.to_band([m[None] for m in means])[0] * weights
    return _Moments(means, variances, products / count - centre[:, None] * centre, weights)


def _diagonal_rest(
    space: NormalisedFields, moments: _Moments, blocks: tuple[Block, ...]
) -> tuple[torch.Tensor, ...]:
    """Return the variances that the blocks do not explain, a table for each channel."""
    explained = torch.zeros_like(moments.weights)
    for places, values, vectors in blocks:
        explained[places] = vectors.double().square() @ values.double()
    tables = space.from_band(explained / moments.weights**2)
    rests = []
    for basis, variance, table in zip(space.bases, moments.variances, tables, strict=True):
        rest = variance - basis.resize(table, basis.capacity(space.grid))
        rests.append(torch.where(rest > _ROUNDING * variance, rest, 0.0).float())
    return tuple(rests)


def _blocks(
    covariance: torch.Tensor, min_correlation: float, rank: int | None
) -> tuple[Block, ...]:
    """Return the blocks into which a covariance falls, with the leading eigenvectors if all are too
    many to keep."""
    # Slow to import, and not needed to load a prior
    from scipy.sparse.csgraph import connected_components

    root = covariance.diagonal().clamp(min=0).sqrt()
    related = covariance.abs() > min_correlation * root[:, None] * root
    number, label = connected_components(related.numpy(), directed=False)
    blocks = []
    # A coefficient that is correlated with no other needs no vector
    for i in np.flatnonzero(np.bincount(label, minlength=number) > 1):
        places = torch.from_numpy(np.flatnonzero(label == i))
        values, vectors = torch.linalg.eigh(covariance[places[:, None], places])
        blocks.append(Block(places, values.clamp(min=0), vectors))
    if not blocks:
        return ()
    sizes = torch.cat([torch.full_like(b.values, len(b.places)) for b in blocks])
    values, order = torch.cat([b.values for b in blocks]).sort(descending=True)
    kept = int((sizes[order].cumsum(0) <= _MAX_ENTRIES).sum())
    least = values[min(kept, rank or kept) - 1].clamp(min=_MIN_EIGENVALUE)
    return tuple(
        Block(p, v[v >= least].float(), e[:, v >= least].float())
        for p, v, e in blocks
        if bool((v >= least).any())
    )


def _symmetrised(data: TrainingData, group: Group, progress: bool) -> Iterator[torch.Tensor]:
    """Yield the samples under each symmetry of the group in turn, up to a number of draws.

    Translations are drawn at random.
    """
    generator = seeds.generator(seeds.TRAINING)
    most = max(1, _MAX_DRAWS // len(data))
    passes = min(_TRANSLATED_PASSES if group.translations else len(group), most)
    with Progress(passes * len(data), "covariance", progress, unit="field") as bar:
        for turn in range(passes):
            for start in range(0, len(data), _CHUNK):
                states = data.states[start : start + _CHUNK]
                element = group.element(turn + start // _CHUNK, generator, data.grid)
                yield element(states, data.grid)
                bar.update(len(states))

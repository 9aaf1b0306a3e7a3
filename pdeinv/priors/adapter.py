"""A Gaussian part for a denoiser that a user has written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pdeinv import seeds
from pdeinv.basis import Basis
from pdeinv.datasets import PDE
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.base import Denoiser, DenoisingPrior
from pdeinv.priors.data import TrainingData
from pdeinv.priors.gaussian import GaussianPrior
from pdeinv.priors.gaussian_fit import fit_gaussian
from pdeinv.priors.noise import Noise

__all__ = ["AdaptedDenoiser", "as_denoising_prior"]

_NODES = 64  # on the shorter side of the grid on which a denoiser is sampled
_DRAWS = 1000  # of states
_NOISE_DRAWS = 256
_CHUNK = 100  # draws at a time
_LENGTHS = 0.002, 0.5, 500  # least, largest and number of the noise's lengths that are compared
# Of the noise's covariance with its model, as a relative squared distance; and what chance makes
_MAX_MISMATCH, _CHANCE = 0.2, 0.02
_UNIT_RANGE = 0.25, 4.0  # of the noise's standard deviation over twice the field's


def as_denoising_prior(
    prior: Denoiser, pde: PDE, *, grid: Grid | None = None, draws: int = _DRAWS
) -> DenoisingPrior:
    """Return a denoiser with a Gaussian part, which is fitted if the denoiser has none.

    A `DenoisingPrior` is returned unchanged. Otherwise the Gaussian part is fitted to draws of
    `prior.sample`, without symmetries. Its noise is the exponential or the white one, whichever has
    the covariance of draws of `prior.sample_noise`. The same denoiser gives the same result, and
    the global random state is left as it was. The fit takes all these draws, so adapt a denoiser
    once where several reconstructions use it.

    Arguments:
        prior: an object with `fields`, `denoise`, `sample_noise` and `sample`; see `Denoiser`.
        pde: the PDE whose fields it describes.
        grid: the grid of the draws; 64 nodes on the shorter side if None.
        draws: number of states to draw.

    Raises:
        InputError: the draws have another shape or hold nan or inf, or the noise is neither
            exponential nor white, or its units do not fit the fields.

    Example:
        >>> prior = as_denoising_prior(MyDenoiser(), Darcy())    # doctest: +SKIP
        >>> reconstruct(table, "darcy", prior=prior)             # doctest: +SKIP
    """
    if isinstance(prior, DenoisingPrior):
        return prior
    if not isinstance(prior, Denoiser):
        raise InputError(
            f"a denoiser must have fields, denoise, sample_noise and sample, got "
            f"{type(prior).__name__}; add what it lacks"
        )
    grid = grid or pde.grid(_NODES)
    shape = (len(prior.fields), *grid.shape)
    with seeds.global_state(seeds.STATISTICS):  # for a prior that ignores the generator
        generator = seeds.generator(seeds.STATISTICS)
        states = [
            _drawn(prior, "sample", (min(_CHUNK, draws - i), *shape), grid, generator)
            for i in range(0, draws, _CHUNK)
        ]
        noises = _drawn(prior, "sample_noise", (_NOISE_DRAWS, *shape), grid, generator).double()
    name = type(prior).__name__
    known = {f.name: f for f in pde.fields}  # which state how they behave under reflections
    fields = tuple(known.get(f.name, f) for f in prior.fields)
    data = TrainingData(torch.cat(states).float(), fields, grid, None, f"{name}.sample")
    data.check()
    bases, _, scale = data.normalisation()
    noise, noise_scale = _noise(noises, bases, grid, name)
    _check_units(fields, noise_scale, scale)
    return AdaptedDenoiser(prior, fit_gaussian(data, noise, symmetry=False, scale=noise_scale))


@dataclass(frozen=True, eq=False)
class AdaptedDenoiser:
    """A user's denoiser with a Gaussian part.

    Arguments:
        prior: the denoiser.
        gaussian: the Gaussian part.
    """

    prior: Denoiser
    gaussian: GaussianPrior
    evaluations_per_call: int = 1

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the channels."""
        return self.gaussian.fields

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Return the denoiser's E[x0 | x = x0 + σ noise], in the shape and units of x."""
        return self.prior.denoise(x, sigma)

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return the denoiser's draws (n, channel, ny, nx) of the noise of level 1."""
        return self.prior.sample_noise(n, grid, generator)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return the denoiser's states (n, channel, ny, nx)."""
        return self.prior.sample(n, grid, generator)


def _drawn(
    prior: Denoiser, method: str, shape: tuple[int, ...], grid: Grid, generator: torch.Generator
) -> torch.Tensor:
    """Return draws of that shape by a method of the prior.

    Raises:
        InputError: they have another shape, or hold nan or inf.
    """
    with torch.no_grad():
        x: torch.Tensor = getattr(prior, method)(shape[0], grid, generator)
    what = f"{type(prior).__name__}.{method}"
    if tuple(x.shape) != shape:
        raise InputError(f"{what} must return the shape {shape}, got {tuple(x.shape)}; reshape it")
    if not bool(x.isfinite().all()):
        raise InputError(f"{what} must return finite values, got nan or inf; check the denoiser")
    return x


def _noise(
    draws: torch.Tensor, bases: tuple[Basis, ...], grid: Grid, name: str
) -> tuple[Noise, torch.Tensor]:
    """Return the noise whose covariance draws (n, channel, ny, nx) have, and its standard
    deviation in each channel (channel,).

    Raises:
        InputError: neither kind of noise has it.
    """
    tables = [b.analysis(draws[:, c], grid) for c, b in enumerate(bases)]
    white = Noise("white")
    exponential = Noise("exponential", _likeliest_length(tables, bases, grid))
    # White noise is white on the nodes, or in a basis that represents no boundary values
    candidates = [
        (white, *_mismatch(list(draws.unbind(1)))),
        *(
            (noise, *_mismatch(_whitened(tables, bases, grid, noise)))
            for noise in (white, exponential)
        ),
    ]
    noise, scale, mismatch = min(
        candidates, key=lambda c: c[2] + (_CHANCE if c[0] is exponential else 0.0)
    )
    if not mismatch < _MAX_MISMATCH:
        raise InputError(
            f"the draws of {name}.sample_noise must have the covariance of pdeinv.priors.Noise, "
            f"white or exponential and independent in every channel; draw them with Noise.sample"
        )
    return noise, scale


def _whitened(
    tables: list[torch.Tensor], bases: tuple[Basis, ...], grid: Grid, noise: Noise
) -> list[torch.Tensor]:
    return [t / noise.variance(b, grid).sqrt() for t, b in zip(tables, bases, strict=True)]


def _mismatch(whitened: list[torch.Tensor]) -> tuple[torch.Tensor, float]:
    """Compare draws with white noise of one amplitude for each channel.

    Arguments:
        whitened: for each channel (n, my, mx), n draws.

    Returns:
        The amplitudes (channel,), and an unbiased estimate of |C - I|² / |I|². C is the covariance
        of the draws divided by their amplitudes, which has the trace of I.

    Reference:
        Chen, Zhang & Zhong, *Tests for high-dimensional covariance matrices*, JASA 105, 2010.
    """
    scale = torch.stack([w.square().mean().sqrt() for w in whitened])
    rows = torch.cat([(w / s).flatten(1) for w, s in zip(whitened, scale, strict=True)], dim=1)
    n, size = rows.shape
    products = rows @ rows.T
    squares = products.square().sum() - products.diagonal().square().sum()
    return scale, float(squares / (n * (n - 1) * size)) - 1


def _likeliest_length(tables: list[torch.Tensor], bases: tuple[Basis, ...], grid: Grid) -> float:
    """Return the length of the exponential noise under which coefficients are most probable.

    Arguments:
        tables: for each channel (n, my, mx), the coefficients of n draws, of any amplitude.
        bases: one for each channel.
        grid: of the draws.
    """
    means = [t.square().mean(dim=0) for t in tables]

    def cost(length: float) -> float:
        total = 0.0
        for mean, basis in zip(means, bases, strict=True):
            variance = Noise("exponential", length).variance(basis, grid)
            total += mean.numel() * float((mean / variance).mean().log())
            total += float(variance.log().sum())
        return total

    low, high, count = _LENGTHS
    return min(np.geomspace(low, high, count).tolist(), key=cost)


def _check_units(fields: tuple[Field, ...], noise: torch.Tensor, scale: torch.Tensor) -> None:
    """Refuse noise whose level 1 is far from twice the standard deviation of a field."""
    for f, ratio in zip(fields, (noise / scale).tolist(), strict=True):
        if not _UNIT_RANGE[0] < ratio < _UNIT_RANGE[1]:
            raise InputError(
                f"noise of level 1 must have about twice the standard deviation of {f.name}, got "
                f"{2 * ratio:.2g} times; rescale sample_noise and the sigma of denoise"
            )

"""The Gaussian prior: mean and covariance of fields, kept as functions."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.priors.base import Model
from pdeinv.priors.blocks import Block, restore_blocks
from pdeinv.priors.covariance import CovarianceRoot
from pdeinv.priors.data import TrainingData
from pdeinv.priors.description import describe_channels, restore_channels
from pdeinv.priors.headers import GaussianDescription
from pdeinv.priors.noise import Noise
from pdeinv.priors.normalised import NormalisedFields
from pdeinv.priors.spectrum import extrapolate_power_law
from pdeinv.priors.stored import Tensors

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Block", "GaussianPrior", "Tables", "as_sigma_batch"]


_LARGEST = 1e6  # of a coefficient and of a variance, of normalised fields


class Tables(NamedTuple):
    """What a Gaussian prior is on a grid: for each channel a table (my, mx) of the coefficients
    that the grid resolves.

    Arguments:
        means: of the coefficients.
        diagonal_variances: the variances d.
        noise_variances: of noise of level 1, as on the grid of the fit.
        blocks: the correlated parts of the band, which are those of every grid.
    """

    means: list[torch.Tensor]
    diagonal_variances: list[torch.Tensor]
    noise_variances: list[torch.Tensor]
    blocks: list[Block]


@dataclass(eq=False, repr=False)
class GaussianPrior(NormalisedFields, Model):
    """A Gaussian prior of one or several fields, which is also the optimal linear denoiser.

    Use it where samples are few or the fields nearly Gaussian. The fit takes seconds; the prior is
    exact for Gaussian fields, and the best linear estimate for all others.

    Fields are normalised to the standard deviation 0.5 and represented by coefficients in a basis
    for each channel, whitened by the noise. Among the wavenumbers of the band the
    covariance is E diag(l) Eᵀ + diag(d), with E its leading eigenvectors; E is complete where
    symmetries split the covariance into small blocks. Among the others it is diagonal, extrapolated
    by a power law beyond the wavenumbers of the fit. The prior is therefore the same on every grid.

    Shapes: states are (batch, channel, ny, nx) in physical units; σ is a number or (batch,), in
        units of the normalised fields.

    Arguments:
        fields: the fields of the channels.
        bases: one for each channel.
        grid: the grid of the fit.
        noise: the noise that σ multiplies.
        shift, scale: (channel,), float64; a normalised field is (field - shift) / scale.
        means: a table (my, mx) of the mean coefficients for each channel.
        diagonal_variances: a table (my, mx) of the variances d for each channel.
        blocks: the correlated parts of the band.
        pde, coefficient_prior: as of `Model`.
        record: how the prior was made; of a fit, its data.

    Reference:
        Karras et al., *Elucidating the design space of diffusion-based generative models* (EDM),
        NeurIPS 2022, appendix B.3 (the ideal denoiser); Wiener, *Extrapolation, Interpolation, and
        Smoothing of Stationary Time Series*, 1949.

    Example:
        >>> prior = GaussianPrior.fit("darcy.h5")                       # doctest: +SKIP
        >>> prior.denoise(prior.sample(4, Grid(64)), sigma=0.1).shape   # doctest: +SKIP
        torch.Size([4, 2, 64, 64])
    """

    kind = "gaussian"
    description = GaussianDescription
    evaluations_per_call = 1

    means: tuple[torch.Tensor, ...]
    diagonal_variances: tuple[torch.Tensor, ...]
    blocks: tuple[Block, ...]
    pde: tuple[str, dict] | None = None
    coefficient_prior: dict | None = None
    record: dict = field(default_factory=dict)
    _tables: dict[tuple[Grid, torch.device], Tables] = field(init=False, default_factory=dict)
    _roots: dict[tuple[Grid, torch.device], CovarianceRoot] = field(
        init=False, default_factory=dict
    )

    @classmethod
    def fit(
        cls,
        data: TrainingData | str | os.PathLike,
        *,
        channels: str = "both",
        noise: Noise | None = None,
        symmetry: bool = True,
        rank: int | None = None,
        progress: bool = False,
    ) -> GaussianPrior:
        """Fit the mean and the covariance of a dataset.

        Arguments:
            data: a dataset file (see `pdeinv.datasets.generation`), or what was read from it.
            channels: the fields to read from a file: `both`, `coefficient` or `solution`.
            noise: the noise of the diffusion; determines which directions are the leading ones.
            symmetry: average over the symmetries of the PDE; set it to False for samples that lack
                them.
            rank: eigenvectors of correlated coefficients to keep at most; all that are not too
                many if None.
            progress: show a progress bar.
        """
        from pdeinv.priors.gaussian_fit import fit_gaussian

        data = data if isinstance(data, TrainingData) else TrainingData.read(data, channels)
        return fit_gaussian(data, noise or Noise(), symmetry=symmetry, rank=rank, progress=progress)

    @property
    def gaussian(self) -> GaussianPrior:
        """The prior itself."""
        return self

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Return E[x0 | x = x0 + σ noise] of the Gaussian, in the shape and units of x."""
        grid, sigma = self.grid_of(x), as_sigma_batch(sigma, x)
        noised = self.normalise(x)
        tables = self.coefficients(noised, grid)
        denoised = self.synthesis(self.denoise_coefficients(tables, sigma, grid), grid)
        return self.physical(denoised + self.remainder(noised, tables, grid)).to(x)

    def remainder(self, x: torch.Tensor, tables: list[torch.Tensor], grid: Grid) -> torch.Tensor:
        """Return the part of normalised fields x that the bases do not represent.

        It holds Nyquist modes and fixed boundary values. The noise has no such part, so it stays
        as it is and passes no gradient.
        """
        return (x - self.synthesis(tables, grid)).detach()

    def denoise_coefficients(
        self, tables: list[torch.Tensor], sigma: torch.Tensor, grid: Grid
    ) -> list[torch.Tensor]:
        """Return the denoised tables of normalised coefficients; sigma is (batch,)."""
        means, diagonal_variances, noises, blocks = self.tables_for(grid, tables[0])
        departures = [t - m for t, m in zip(tables, means, strict=True)]
        variance = self.relative_noise_variance(grid) * sigma[:, None].square()
        rows = self.to_band([d / n.sqrt() for d, n in zip(departures, noises, strict=True)])
        projected_rows, shrunk_rows = torch.zeros_like(rows), torch.zeros_like(rows)
        for places, values, vectors in blocks:
            along = rows[:, places] @ vectors
            both = torch.stack([along, along * (values / (values + variance))]) @ vectors.T
            projected_rows[:, places], shrunk_rows[:, places] = both
        projected, shrunk = self.from_band(projected_rows), self.from_band(shrunk_rows)
        results = []
        for c, (basis, departure) in enumerate(zip(self.bases, departures, strict=True)):
            modes, root = basis.capacity(grid), noises[c].sqrt()
            rest = departure - basis.resize(projected[:, c], modes) * root
            noise = (variance * noises[c].flatten()).unflatten(1, root.shape)
            rest = rest * (diagonal_variances[c] / (diagonal_variances[c] + noise))
            results.append(means[c] + rest + basis.resize(shrunk[:, c], modes) * root)
        return results

    def error(self, sigma: torch.Tensor) -> torch.Tensor:
        """Return the root mean square of x0 - denoise(x, σ) over the nodes that the Gaussian
        predicts, (batch, channel); sigma is (batch,)."""
        _, diagonal_variances, noises, blocks = self.tables_for(self.grid, sigma)
        variance = sigma.float()[:, None].square()
        rows = variance.new_zeros(len(sigma), self.band_size)
        for places, values, vectors in blocks:
            rows[:, places] = (variance * values / (values + variance)) @ vectors.square().T
        left = self.from_band(rows)
        errors = []
        for c, basis in enumerate(self.bases):
            noise = (variance * noises[c].flatten()).unflatten(1, noises[c].shape)
            rest = noise * diagonal_variances[c] / (noise + diagonal_variances[c])
            total = rest + basis.resize(left[:, c], basis.capacity(self.grid)) * noises[c]
            errors.append((total * basis.mean_squares(self.grid, total)).sum(dim=(1, 2)).sqrt())
        return torch.stack(errors, dim=1)

    def mean(self, grid: Grid) -> torch.Tensor:
        """Return the mean state (1, channel, ny, nx) in physical units."""
        means = self.tables_for(self.check_grid(grid), self.shift).means
        return self.physical(self.synthesis([m[None] for m in means], grid))

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n states (n, channel, ny, nx) in physical units."""
        self.check_grid(grid)
        xi = self.white(n, grid, generator)
        means, diagonal_variances, noises, blocks = self.tables_for(grid, xi)
        rows = torch.zeros(n, self.band_size, dtype=torch.float32)
        for places, values, vectors in blocks:
            xi_block = torch.randn(n, len(values), dtype=torch.float32, generator=generator)
            rows[:, places] = (xi_block * values.sqrt()) @ vectors.T
        leading = self.from_band(rows)
        tables = []
        for c, basis in enumerate(self.bases):
            modes = basis.capacity(grid)
            part = basis.resize(leading[:, c], modes) * noises[c].sqrt()
            rest = basis.resize(xi[:, c], modes) * diagonal_variances[c].sqrt()
            tables.append(means[c] + part + rest)
        return self.physical(self.synthesis(tables, grid))

    def covariance(self, v: torch.Tensor, sigma: float | None = None) -> torch.Tensor:
        """Return the covariance matrix of the nodes' values, in physical units, times v.

        Arguments:
            v: (batch, channel, ny, nx).
            sigma: use the posterior covariance given a state with noise of this level, which does
                not depend on that state; None for the covariance of the prior.
        """
        root = self.covariance_root(self.grid_of(v), v)
        return root.apply(root.adjoint(v) * root.variances(sigma)).to(v)

    def covariance_root(self, grid: Grid, like: torch.Tensor | None = None) -> CovarianceRoot:
        """Return a square root of the covariance on a grid, on the device of `like`."""
        key = (grid, self.shift.device if like is None else like.device)
        if key not in self._roots:
            self._roots[key] = CovarianceRoot(self, *key)
        return self._roots[key]

    @torch.inference_mode(False)  # a cached inference tensor would break every later gradient
    def tables_for(self, grid: Grid, like: torch.Tensor) -> Tables:
        """Return the tables for the modes of a grid, on the device of `like`."""
        key = (grid, like.device)
        if key not in self._tables:
            device, ratio = like.device, self.relative_noise_variance(grid)
            blocks = [Block(*(part.to(device) for part in block)) for block in self.blocks]
            tables = Tables([], [], [], blocks)
            for basis, mean, rest in zip(
                self.bases, self.means, self.diagonal_variances, strict=True
            ):
                modes = basis.capacity(grid)
                variances = extrapolate_power_law(basis, rest, modes, self.grid.domain)
                noises = self.noise.variance(basis, grid).float() / ratio
                tables.means.append(basis.resize(mean, modes).to(device))
                tables.diagonal_variances.append(variances.to(device))
                tables.noise_variances.append(noises.to(device))
            self._tables[key] = tables
        return self._tables[key]

    def describe(self, half: bool) -> tuple[dict[str, torch.Tensor], dict]:
        """Return the tensors and the header from which `restore` makes the prior; ignores
        `half`."""
        tensors, header = describe_channels(self)
        header["noise"] = asdict(self.noise)
        for c, (mean, rest) in enumerate(zip(self.means, self.diagonal_variances, strict=True)):
            tensors |= {f"mean.{c}": mean, f"rest.{c}": rest}
        for i, block in enumerate(self.blocks):
            tensors |= {f"block.{i}.{key}": value for key, value in block._asdict().items()}
        if self.record:
            header["record"] = self.record
        return tensors, header

    @classmethod
    def restore(cls, tensors: Tensors, described: GaussianDescription) -> Self:
        """Return the prior of a description."""
        c = restore_channels(tensors, described)
        sizes = [basis.capacity(c.grid) for basis in c.bases]
        means, rests = (
            tuple(
                tensors.take(f"{name}.{i}", size, least=least, most=_LARGEST)
                for i, size in enumerate(sizes)
            )
            for name, least in (("mean", -_LARGEST), ("rest", 0.0))
        )
        noise = Noise(**described.noise.model_dump())
        normal = (c.fields, c.bases, c.grid, noise, c.shift, c.scale)
        prior = cls(*normal, means, rests, (), c.pde, c.coefficient_prior, described.record)
        return replace(prior, blocks=restore_blocks(tensors, prior.band_size))


def as_sigma_batch(sigma: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return σ as (batch,) in single precision.

    Raises:
        InputError: a level is not positive.
    """
    sigma = torch.as_tensor(sigma, dtype=torch.float32, device=x.device).expand(len(x))
    if not bool((sigma > 0).all()):
        raise InputError(
            f"the noise level σ must be positive, got {float(sigma.min()):g}; use at least 1e-6"
        )
    return sigma

"""The Gaussian part of a prior: mean and covariance of fields, fitted to examples and kept as
functions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from pdeinv.basis import Basis
from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.priors.covariance import CovarianceRoot
from pdeinv.priors.data import TrainingData
from pdeinv.priors.noise import Noise
from pdeinv.symmetry import Group, trivial_group

__all__ = ["GaussianPrior"]

_BAND = 28  # modes per direction between which covariances are fitted
# Of eigenvectors that are kept, 2.5 MB: all, where reflections split two channels into four blocks
_ENTRIES = 620_000
_UNRELATED = 0.05  # a correlation below this joins no blocks;
# Nor one of less standard errors than the first; but always one of more than the second
_CHANCE, _CERTAIN = 2.7, 5.0
_NEGLIGIBLE = 1e-7  # eigenvalue, far below the squares of all noise levels
_DRAWS = 100_000  # of a sample and a symmetry, at most
_CHUNK = 512


class Block(NamedTuple):
    """Coordinates of the band (k,), int64, and of their whitened covariance the leading eigenvalues
    (r,) and vectors (k, r)."""

    places: torch.Tensor
    values: torch.Tensor
    vectors: torch.Tensor


@dataclass
class GaussianPrior:
    """A Gaussian prior for one field or several on the unit square, at once the optimal linear
    denoiser.

    The first choice where samples are few or the fields nearly Gaussian: fitted in seconds, exact
    for Gaussian fields, the best linear estimate for all others. Fields are normalised to the
    standard deviation 0.5 and carried by the coefficients of each channel's basis, whitened by the
    noise. Among the first 28 wavenumbers per direction the covariance is E diag(l) Eᵀ + diag(d),
    with E its leading eigenvectors (all of them where symmetries split it into small blocks); among
    the others it is diagonal, and continued by a power law beyond the wavenumbers of the fit. So it
    means the same on every grid.

    Shapes: states are (batch, channel, n, n) in physical units; σ is a number or (batch,), in units
        of the normalised fields.

    Arguments:
        fields, bases: of the channels.
        grid: where it was fitted.
        noise: what σ multiplies.
        shift, scale: (channel,); a normalised field is (field - shift) / scale.
        means, diagonal_variances: for each channel a table (m, m) of normalised coefficients' means
            and of the variances d.
        blocks: the parts of the band that are correlated, one `Block` each.
        pde: name and parameters of the PDE, where there is one.

    Reference:
        Karras et al., *Elucidating the design space of diffusion-based generative models* (EDM),
        NeurIPS 2022, appendix B.3 (the ideal denoiser); Wiener, *Extrapolation, Interpolation, and
        Smoothing of Stationary Time Series*, 1949.

    Example:
        >>> prior = GaussianPrior.fit("darcy.h5")                       # doctest: +SKIP
        >>> prior.denoise(prior.sample(4, Grid(64)), sigma=0.1).shape   # doctest: +SKIP
        torch.Size([4, 2, 64, 64])
    """

    evaluations_per_call: ClassVar[int] = 1

    fields: tuple[Field, ...]
    bases: tuple[Basis, ...]
    grid: Grid
    noise: Noise
    shift: torch.Tensor
    scale: torch.Tensor
    means: tuple[torch.Tensor, ...]
    diagonal_variances: tuple[torch.Tensor, ...]
    blocks: tuple[Block, ...]
    pde: tuple[str, dict] | None = None
    _tables: dict = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(
        cls,
        data: TrainingData | str | os.PathLike,
        *,
        channels: str = "both",
        noise: Noise | None = None,
        symmetry: bool = True,
        progress: bool = False,
    ) -> GaussianPrior:
        """Mean and covariance of a dataset, averaged over the symmetries of its PDE.

        Arguments:
            data: a dataset file (see `pdeinv.datasets.generation`), or what was read from it.
            channels: which fields: `both`, `coefficient` or `solution`.
            noise: of the diffusion; decides which directions count as the leading ones.
            symmetry: average over the symmetries; not to be done where the samples do not have
                those of their PDE.
        """
        data = data if isinstance(data, TrainingData) else TrainingData.read(data, channels)
        noise, grid = noise or Noise(), data.grid
        bases, shift, scale = data.normalisation()
        prior = cls(data.fields, bases, grid, noise, shift, scale, (), (), ())
        prior.pde = (data.pde.name, dict(data.pde.parameters)) if data.pde else None

        band = prior.band
        weight = torch.stack(
            [b.resize(noise.variance(b, grid), band).rsqrt() for b in bases]
        ).flatten()
        first = [
            torch.zeros(b.capacity(grid), b.capacity(grid), dtype=torch.float64) for b in bases
        ]
        second = [torch.zeros_like(t) for t in first]
        products, count = torch.zeros(len(weight), len(weight), dtype=torch.float64), 0
        for states in _transformed(
            data, data.symmetries if symmetry else trivial_group(), progress
        ):
            # In single precision the rounding of the large variances would drown the small ones.
            tables = prior.coefficients(
                (states.double() - shift[:, None, None]) / scale[:, None, None], grid
            )
            for c, table in enumerate(tables):
                first[c] += table.sum(dim=0)
                second[c] += table.square().sum(dim=0)
            rows = prior.banded(tables) * weight
            products += rows.T @ rows
            count += len(states)
        means = tuple(t / count for t in first)
        variances = [(t / count - m**2).clamp(min=0) for t, m in zip(second, means, strict=True)]
        centre = prior.banded([m[None] for m in means])[0] * weight
        covariance = products / count - centre[:, None] * centre
        error = len(data) ** -0.5
        prior.blocks = _blocks(covariance, max(_CHANCE * error, min(_UNRELATED, _CERTAIN * error)))
        told = torch.zeros_like(weight)
        for places, values, vectors in prior.blocks:
            told[places] = vectors.double().square() @ values.double()
        told = (told / weight**2).reshape(len(bases), band, band)
        diagonal_variances = []
        for c, (basis, variance) in enumerate(zip(bases, variances, strict=True)):
            rest = variance - basis.resize(told[c], len(variance))
            diagonal_variances.append(
                torch.where(rest > 1e-6 * variance, rest, 0.0).float()
            )  # what is left of rounding is none
        prior.means, prior.diagonal_variances = (
            tuple(m.float() for m in means),
            tuple(diagonal_variances),
        )
        return prior

    @property
    def gaussian(self) -> GaussianPrior:
        """The prior itself."""
        return self

    @property
    def band(self) -> int:
        """Modes per direction between which the covariance is not diagonal."""
        modes = min(_BAND, *(b.capacity(self.grid) for b in self.bases))
        # a constant, and pairs of cosine and sine
        return modes - 1 + modes % 2 if self.grid.periodic else modes

    def normalise(self, states: torch.Tensor) -> torch.Tensor:
        """(states - shift) / scale, in single precision."""
        self._check(states)
        shift, scale = (v.to(states)[:, None, None] for v in (self.shift, self.scale))
        return ((states - shift) / scale).float()

    def physical(self, x: torch.Tensor) -> torch.Tensor:
        """Inverse of `normalise`, in double precision."""
        return x.double() * self.scale[:, None, None].to(x.device) + self.shift[:, None, None].to(
            x.device
        )

    def coefficients(self, x: torch.Tensor, grid: Grid) -> list[torch.Tensor]:
        """A table (batch, m, m) for each channel of normalised fields."""
        return [basis.analysis(x[:, c], grid) for c, basis in enumerate(self.bases)]

    def synthesis(self, tables: list[torch.Tensor], grid: Grid) -> torch.Tensor:
        """Normalised fields (batch, channel, n, n) of the channels' tables."""
        return torch.stack(
            [b.synthesis(t, grid) for b, t in zip(self.bases, tables, strict=True)], dim=1
        )

    def white(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Standard normals (n, channel, m, m) for `noise_fields`: the same tables mean the same
        noise on every grid."""
        modes = max(b.capacity(grid) for b in self.bases)
        return torch.randn(n, len(self.bases), modes, modes, generator=generator)

    def noise_fields(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Noise (n, channel, n, n) of level σ = 1 in physical units, of tables of standard
        normals."""
        return self.noise.sample(self.bases, grid, xi).double() * self.scale[:, None, None].to(
            xi.device
        )

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """n draws of the noise of level σ = 1, (n, channel, grid.n, grid.n), in physical units."""
        return self.noise_fields(self.white(n, self.check_grid(grid), generator), grid)

    def noise_covariance(self, v: torch.Tensor) -> torch.Tensor:
        """Covariance matrix of the nodes' values of normalised noise of level σ = 1, times v
        (batch, channel, n, n)."""
        grid = self.grid_of(v)
        tables = [
            b.synthesis_adjoint(v[:, c], grid) * self.noise.variance(b, grid).to(v)
            for c, b in enumerate(self.bases)
        ]
        return self.synthesis(tables, grid)

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """E[x0 | x = x0 + σ noise] of the Gaussian, shape and units of x."""
        grid, sigma = self.grid_of(x), as_sigma_batch(sigma, x)
        noised = self.normalise(x)
        tables = self.coefficients(noised, grid)
        denoised = self.synthesis(self.denoise_coefficients(tables, sigma, grid), grid)
        return self.physical(denoised + self.remainder(noised, tables, grid)).to(x)

    def remainder(self, x: torch.Tensor, tables: list[torch.Tensor], grid: Grid) -> torch.Tensor:
        """What the bases do not carry of normalised fields: Nyquist modes, boundary values that are
        held.

        The noise does not touch it and it is no unknown: it stays as it is, and no gradient goes
        through it.
        """
        return (x - self.synthesis(tables, grid)).detach()

    def denoise_coefficients(
        self, tables: list[torch.Tensor], sigma: torch.Tensor, grid: Grid
    ) -> list[torch.Tensor]:
        """The same for tables of normalised coefficients; σ (batch,)."""
        means, diagonal_variances, noises = self.tables_for(grid, tables[0])
        departures = [t - m for t, m in zip(tables, means, strict=True)]
        variance = self.relative(grid) * sigma[:, None].square()
        inside = self.banded([d / n.sqrt() for d, n in zip(departures, noises, strict=True)])
        told, shrunk = torch.zeros_like(inside), torch.zeros_like(inside)
        for places, values, vectors in self.blocks:
            seen = inside[:, places] @ vectors
            both = torch.stack([seen, seen * (values / (values + variance))]) @ vectors.T
            told[:, places], shrunk[:, places] = both
        told, shrunk = self.unbanded(told), self.unbanded(shrunk)
        results = []
        for c, (basis, departure) in enumerate(zip(self.bases, departures, strict=True)):
            modes, root = departure.shape[-1], noises[c].sqrt()
            other = departure - basis.resize(told[:, c], modes) * root
            other = other * (
                diagonal_variances[c]
                / (
                    diagonal_variances[c]
                    + (variance * noises[c].flatten()).unflatten(1, root.shape)
                )
            )
            results.append(means[c] + other + basis.resize(shrunk[:, c], modes) * root)
        return results

    def error(self, sigma: torch.Tensor) -> torch.Tensor:
        """Root mean square over the nodes of x0 - denoise(x, σ) as the Gaussian predicts it,
        (batch, channel); σ (batch,)."""
        _, diagonal_variances, noises = self.tables_for(self.grid, sigma)
        variance = sigma.float()[:, None].square()
        left = torch.zeros(len(sigma), len(self.bases) * self.band**2)
        for places, values, vectors in self.blocks:
            left[:, places] = (variance * values / (values + variance)) @ vectors.square().T
        left = self.unbanded(left)
        result = []
        for c, basis in enumerate(self.bases):
            spread = (variance * noises[c].flatten()).unflatten(1, noises[c].shape)
            rest = spread * diagonal_variances[c] / (spread + diagonal_variances[c])
            total = rest + basis.resize(left[:, c], rest.shape[-1]) * noises[c]
            result.append((total * basis.mean_squares(self.grid)).sum(dim=(1, 2)).sqrt())
        return torch.stack(result, dim=1)

    def mean(self, grid: Grid) -> torch.Tensor:
        """(1, channel, grid.n, grid.n) in physical units."""
        means, _, _ = self.tables_for(self.check_grid(grid), torch.zeros(1))
        return self.physical(self.synthesis([m[None] for m in means], grid))

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """n states (n, channel, grid.n, grid.n) in physical units."""
        self.check_grid(grid)
        xi = self.white(n, grid, generator)
        means, diagonal_variances, noises = self.tables_for(grid, xi)
        leading = torch.zeros(n, len(self.bases) * self.band**2)
        for places, values, vectors in self.blocks:
            leading[:, places] = (
                torch.randn(n, len(values), generator=generator) * values.sqrt()
            ) @ vectors.T
        leading = self.unbanded(leading)
        tables = []
        for c, basis in enumerate(self.bases):
            modes = len(means[c])
            part = basis.resize(leading[:, c], modes) * noises[c].sqrt()
            tables.append(
                means[c] + part + basis.resize(xi[:, c], modes) * diagonal_variances[c].sqrt()
            )
        return self.physical(self.synthesis(tables, grid))

    def covariance(self, v: torch.Tensor, sigma: float | None = None) -> torch.Tensor:
        """Covariance matrix of the nodes' values, in physical units, times v (batch, channel, n,
        n).

        With σ, of the posterior given a state noised by σ (which does not depend on that state).
        """
        spread = self.spread(self.grid_of(v))
        return spread.apply(spread.adjoint(v) * spread.variances(sigma)).to(v)

    def spread(self, grid: Grid) -> CovarianceRoot:
        """A square root of that covariance."""
        if (grid, "spread") not in self._tables:
            self._tables[grid, "spread"] = CovarianceRoot(self, grid)
        return self._tables[grid, "spread"]

    def grid_of(self, x: torch.Tensor) -> Grid:
        self._check(x)
        return Grid(x.shape[-1], self.grid.kind)

    def check_grid(self, grid: Grid) -> Grid:
        if grid.kind != self.grid.kind:
            raise InputError(
                f"this prior lives on a {self.grid.kind} grid, not on a {grid.kind} one"
            )
        return grid

    def _check(self, x: torch.Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != len(self.bases) or x.shape[2] != x.shape[3]:
            names = ", ".join(f.name for f in self.fields)
            raise InputError(
                f"a state of shape {tuple(x.shape)} does not fit this prior; it needs (batch, "
                f"{len(self.bases)}, n, n) "
                f"with the channels {names}"
            )

    def banded(self, tables: list[torch.Tensor]) -> torch.Tensor:
        """The first wavenumbers of all channels as rows, (batch, channel · band²)."""
        return torch.stack(
            [b.resize(t, self.band) for b, t in zip(self.bases, tables, strict=True)], dim=1
        ).flatten(1)

    def unbanded(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.unflatten(-1, (len(self.bases), self.band, self.band))

    def relative(self, grid: Grid) -> float:
        """The noise's variance on a grid over that on the grid of the fit: 1 but for white
        noise."""
        return (grid.h / self.grid.h) ** 2 if self.noise.kind == "white" else 1.0

    @torch.inference_mode(False)  # a cached inference tensor would break every later gradient
    def tables_for(self, grid: Grid, like: torch.Tensor):
        """Means, diagonal_variances and noise variances (as on the grid of the fit) for the modes
        of a grid, a list of tables each."""
        key = (grid, like.device)
        if key not in self._tables:
            means, diagonal_variances, noises = [], [], []
            for basis, mean, rest in zip(
                self.bases, self.means, self.diagonal_variances, strict=True
            ):
                modes = basis.capacity(grid)
                means.append(basis.resize(mean, modes))
                diagonal_variances.append(extrapolate_power_law(basis, rest, modes))
                noises.append(self.noise.variance(basis, grid).float() / self.relative(grid))
            self._tables[key] = [
                [t.to(like.device) for t in group] for group in (means, diagonal_variances, noises)
            ]
        return self._tables[key]


def as_sigma_batch(sigma: float | torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """σ as (batch,) in single precision, checked."""
    sigma = torch.as_tensor(sigma, dtype=torch.float32, device=x.device).expand(len(x))
    if not bool((sigma > 0).all()):
        raise InputError(f"the noise level σ = {float(sigma.min()):g} must be positive")
    return sigma


def _blocks(covariance: torch.Tensor, unrelated: float) -> tuple[Block, ...]:
    """The eigenvectors of the blocks into which a covariance falls apart, the leading ones if all
    are too many to keep."""
    # Slow to import, and not needed to load a prior
    from scipy.sparse.csgraph import connected_components

    root = covariance.diagonal().clamp(min=0).sqrt()
    related = covariance.abs() > unrelated * root[:, None] * root
    number, label = connected_components(related.numpy(), directed=False)
    blocks = []
    # a coefficient by itself needs no vector
    for i in np.flatnonzero(np.bincount(label, minlength=number) > 1):
        places = torch.from_numpy(np.flatnonzero(label == i))
        values, vectors = torch.linalg.eigh(covariance[places[:, None], places])
        blocks.append(Block(places, values.clamp(min=0), vectors))
    if not blocks:
        return ()
    sizes = torch.cat([torch.full_like(b.values, len(b.places)) for b in blocks])
    values, order = torch.cat([b.values for b in blocks]).sort(descending=True)
    least = values[(sizes[order].cumsum(0) <= _ENTRIES).sum() - 1].clamp(min=_NEGLIGIBLE)
    return tuple(
        Block(p, v[v >= least].float(), e[:, v >= least].float())
        for p, v, e in blocks
        if bool((v >= least).any())
    )


def _transformed(data: TrainingData, group: Group, progress: bool) -> Iterator[torch.Tensor]:
    """The samples under each of the group's symmetries in turn, as often as is worth it;
    translations are random."""
    generator = torch.Generator().manual_seed(0)
    most = max(1, _DRAWS // len(data))
    passes = min(len(group), most) if not group.translations else min(8, most)
    with tqdm(
        total=passes * len(data), desc="covariance", unit="field", disable=not progress
    ) as bar:
        for turn in range(passes):
            for start in range(0, len(data), _CHUNK):
                states = data.states[start : start + _CHUNK]
                element = group.element(turn + start // _CHUNK, generator, data.grid)
                yield element(states, data.grid)
                bar.update(len(states))


def extrapolate_power_law(basis: Basis, rest: torch.Tensor, modes: int) -> torch.Tensor:
    """Variances of more modes than were fitted, by the power law of the last octave; or of
    fewer."""
    have = len(rest)
    if modes <= have:
        return basis.resize(rest, modes)
    known, wanted = basis.frequencies(have), basis.frequencies(modes)
    # Along an axis; beyond it only the corners of the table are known
    edge = float(known[0, :].max())
    ring = (known > edge / 2) & (known <= edge)
    x, y = known[ring].log(), rest.double()[ring].clamp(min=1e-300).log()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    slope = min(slope, -2.5)  # a field of finite variance
    law = (y.mean() + slope * (wanted.clamp(min=1e-9).log() - x.mean())).exp()
    fitted = basis.resize(torch.ones_like(known), modes) > 0
    return torch.where(fitted, basis.resize(rest.double(), modes), law).float()

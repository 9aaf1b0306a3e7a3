"""Function-space diffusion priors: a Gaussian denoiser and a network that corrects it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, get_args

import torch

from pdeinv import seeds
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.base import Trainable
from pdeinv.priors.data import STD, TrainingData
from pdeinv.priors.description import restore_network, weight_tensors
from pdeinv.priors.gaussian import GaussianPrior, as_sigma_batch
from pdeinv.priors.headers import DiffusionDescription, Preconditioning, network_nodes
from pdeinv.priors.schedule import SMALLEST_TRAINED, random_levels, sample_flow
from pdeinv.priors.stored import Tensors
from pdeinv.priors.unet import UShapedOperator
from pdeinv.priors.validation import LEVELS, denoising_errors
from pdeinv.torch_state import on_device_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DiffusionPrior", "Preconditioning"]


class _Base(NamedTuple):
    """What the network corrects.

    Arguments:
        tables: for each channel (batch, my, mx), normalised coefficients.
        scale: (batch, channel), c_out, which multiplies the network.
        error: (batch, channel), the expected error.
    """

    tables: list[torch.Tensor]
    scale: torch.Tensor
    error: torch.Tensor


@dataclass(eq=False, repr=False)
class DiffusionPrior(Trainable):
    """A prior learned from samples of fields, for fields that are far from Gaussian.

    The denoiser is D(x, σ) = D_gauss(x, σ) + c_out(σ) · network(x, D_gauss, σ), with D_gauss the
    optimal linear denoiser. For each channel c_out is e · sqrt(1 - (e / std)²), with e the error
    that D_gauss predicts for itself. The correction therefore vanishes at large σ, and where the
    fields are Gaussian the network has nothing to learn. With `preconditioning="edm"` the denoiser
    is c_skip x + c_out · network(x, σ) as usual.

    The network works on functions. On any grid of x its inputs are the lowest modes of each
    channel, on a fixed grid of its own, and it corrects these modes. D_gauss alone denoises the
    finer ones. With white noise use the grid of the training data or a finer one: a coarser one
    lacks the noise of the finest modes, which the network has always seen.

    Shapes and units are as in `GaussianPrior`.

    Arguments:
        gaussian: mean, covariance, normalisation and noise.
        network: the correction.
        preconditioning: `"gaussian"` or `"edm"`.
        record: how the prior was trained.

    Reference:
        Karras et al., *Elucidating the design space of diffusion-based generative models* (EDM),
        NeurIPS 2022, equation 7 and table 1; Lim et al., *Score-based diffusion models in function
        space*, JMLR 26, 2025 (arXiv 2302.07400).
    """

    kind = "diffusion"
    description = DiffusionDescription
    evaluations_per_call = 1

    gaussian: GaussianPrior
    network: UShapedOperator
    preconditioning: Preconditioning = "gaussian"
    record: dict = field(default_factory=dict)
    fields: tuple[Field, ...] = field(init=False)
    pde: tuple[str, dict] | None = field(init=False)
    coefficient_prior: dict | None = field(init=False)

    def __post_init__(self) -> None:
        if self.preconditioning not in get_args(Preconditioning):
            raise InputError(
                f"preconditioning must be gaussian or edm, got {self.preconditioning!r}; choose "
                f"one of them"
            )
        g = self.gaussian
        self.fields, self.pde, self.coefficient_prior = g.fields, g.pde, g.coefficient_prior

    @classmethod
    def untrained(
        cls,
        gaussian: GaussianPrior,
        *,
        widths: Sequence[int] = (64, 96, 128),
        modes: int = 8,
        preconditioning: Preconditioning = "gaussian",
        seed: int = 0,
    ) -> DiffusionPrior:
        """Return a prior with a new network, whose correction is zero.
        Arguments:
            gaussian: the Gaussian part.
            widths: channels of the network's levels, multiples of 16.
            modes: Fourier modes of its spectral convolutions along the shorter side.
            preconditioning: `"gaussian"` or `"edm"`.
            seed: of the weights.
        """
        if preconditioning == "edm":
            gaussian = replace(gaussian, blocks=())  # unused, and large
        channels, periodic = len(gaussian.fields), gaussian.grid.periodic
        inputs = 2 * channels if preconditioning == "gaussian" else channels
        filters = [round(modes * n / min(gaussian.grid.shape)) for n in gaussian.grid.shape]
        with seeds.global_state(seeds.TRAINING, seed):
            network = UShapedOperator(inputs, channels, tuple(widths), filters, periodic)
        return cls(gaussian, network, preconditioning)

    @property
    def grid(self) -> Grid:
        """The grid of the network: that of the data, with nodes whose number suits the network."""
        levels = len(self.network.down)
        return self.gaussian.grid.resized(
            *(network_nodes(n, levels) for n in self.gaussian.grid.shape)
        )

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Return an approximation of E[x0 | x = x0 + σ noise], in the shape and units of x.

        It is differentiable.
        """
        g = self.gaussian
        grid, sigma = g.grid_of(x), as_sigma_batch(sigma, x)
        noised = g.normalise(x)
        tables = g.coefficients(noised, grid)
        level = sigma * self._training_level(grid)
        base = self._base(tables, sigma, level, grid)
        correction = self._correction(tables, base.tables, level)
        results = []
        for c, basis in enumerate(g.bases):
            learned = basis.resize(correction[c], basis.capacity(grid))
            results.append(base.tables[c] + base.scale[:, c, None, None] * learned)
        return g.physical(g.synthesis(results, grid) + g.remainder(noised, tables, grid)).to(x)

    def _training_level(self, grid: Grid) -> float:
        """Return the level, on the grid of the training data, of noise that has level 1 on a grid.

        White noise has as much power per node on every grid, and so less per mode on a finer one.
        """
        return self.gaussian.relative_noise_variance(grid) ** 0.5

    def _base(
        self, tables: list[torch.Tensor], sigma: torch.Tensor, level: torch.Tensor, grid: Grid
    ) -> _Base:
        """Return what the network corrects, for tables of noised coefficients.

        Arguments:
            tables: of the noised states on a grid.
            sigma, level: (batch,), of their noise on that grid and on that of the training data.
            grid: of the states.
        """
        if self.preconditioning == "gaussian":
            error = self.gaussian.error(level)
            # Tends to zero at large σ, where the Gaussian part is all that can be inferred
            weight = (1 - (error / STD).square()).clamp(min=0).sqrt()
            denoised = self.gaussian.denoise_coefficients(tables, sigma, grid)
            return _Base(denoised, weight * error, error)
        skip = STD**2 / (level**2 + STD**2)
        out = (level * STD / (level**2 + STD**2).sqrt())[:, None].expand(-1, len(tables))
        denoised = [skip[:, None, None] * t for t in tables]
        modes = [basis.capacity(self.grid) for basis in self.gaussian.bases]
        if any(n > own for n, own in zip(grid.shape, self.grid.shape, strict=True)):
            fine = self.gaussian.denoise_coefficients(tables, sigma, grid)
            for c, (basis, m) in enumerate(zip(self.gaussian.bases, modes, strict=True)):
                known = tables[c].new_ones(1, *m)
                seen = basis.resize(known, basis.capacity(grid)) > 0
                denoised[c] = torch.where(seen, denoised[c], fine[c])
        return _Base(denoised, out, out)

    def _correction(
        self, tables: list[torch.Tensor], base: list[torch.Tensor], sigma: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return the output of the network as tables, of order one."""
        g, own = self.gaussian, self.grid
        x = g.synthesis(tables, own) / (sigma**2 + STD**2).sqrt()[:, None, None, None]
        if self.preconditioning == "gaussian":
            x = torch.cat([x, g.synthesis(base, own) / STD], dim=1)
        level = sigma.clamp(min=SMALLEST_TRAINED).log() / 4
        return g.coefficients(on_device_of(self.network, x)(x, level).float(), own)

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return n draws (n, channel, ny, nx) of the noise of level 1, in physical units."""
        return self.gaussian.sample_noise(n, grid, generator)

    def sample(
        self,
        n: int,
        grid: Grid,
        generator: torch.Generator | None = None,
        *,
        steps: int = 40,
        batch: int = 32,
        progress: bool = False,
    ) -> torch.Tensor:
        """Return n states (n, channel, ny, nx) in physical units, by the probability flow.

        Arguments:
            n: number of states.
            grid: of the states.
            generator: source of the initial noise.
            steps: number of noise levels.
            batch: states computed together.
            progress: show a progress bar.
        """
        return sample_flow(self, n, grid, generator, steps=steps, batch=batch, progress=progress)

    def draws(self, states: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """Return noise levels σ (batch,), and standard normals as of `white`."""
        sigma = random_levels(len(states), generator)
        return sigma, self.gaussian.white(len(states), self.gaussian.grid_of(states), generator)

    def loss_given(self, states: torch.Tensor, *draws: torch.Tensor) -> torch.Tensor:
        """Return the mean square of (x0 - D(x, σ)) / expected error, for random σ and noise.

        It is 1 where D is as good as D_gauss predicts for itself.
        """
        g, own = self.gaussian, self.grid
        grid = g.grid_of(states)
        sigma, xi = (t.to(states.device) for t in draws)
        clean = g.coefficients(g.normalise(states), grid)
        noise = g.coefficients(g.noise.sample(g.bases, grid, xi), grid)
        tables = [a + sigma[:, None, None] * b for a, b in zip(clean, noise, strict=True)]
        base = self._base(tables, sigma, sigma, grid)
        cpu = states.device.type == "cpu"
        with torch.autocast("cpu", torch.bfloat16, enabled=cpu and _bfloat16_pays()):
            correction = self._correction(tables, base.tables, sigma)
        relative = base.scale / base.error
        left = [
            (a - b) / base.error[:, c, None, None]
            - relative[:, c, None, None] * basis.resize(t, basis.capacity(grid))
            for c, (basis, a, b, t) in enumerate(
                zip(g.bases, clean, base.tables, correction, strict=True)
            )
        ]
        return g.synthesis(left, own).square().mean()

    def validate(self, data: TrainingData) -> tuple[dict, str]:
        """Return the denoising errors on data, with those of the Gaussian part if the network
        corrects it, and a line that sums them up."""
        errors = denoising_errors(self, data)
        scores, shown, what = {"levels": list(LEVELS), "errors": errors}, errors, "error / std"
        if self.preconditioning == "gaussian":
            reference = denoising_errors(self.gaussian, data)
            scores["gaussian_errors"] = reference
            shown = {
                k: [a / b for a, b in zip(v, reference[k], strict=True)] for k, v in errors.items()
            }
            what = "error / Gaussian's"
        cells = "; ".join(f"{name} " + " ".join(f"{x:.3f}" for x in v) for name, v in shown.items())
        return scores, f"{what} at σ = {LEVELS[0]:g} to {LEVELS[-1]:g}: {cells}"

    def describe(self, half: bool) -> tuple[dict[str, torch.Tensor], dict]:
        """Return the tensors and the header from which `restore` makes the prior."""
        tensors, header = self.gaussian.describe(half)
        header |= {
            "kind": self.kind,
            "preconditioning": self.preconditioning,
            "network": self.network.arguments,
            "record": self.record,
        }
        return tensors | weight_tensors(self.network, half), header

    @classmethod
    def restore(cls, tensors: Tensors, described: DiffusionDescription) -> Self:
        """Return the prior of a description."""
        gaussian = GaussianPrior.restore(tensors, described.model_copy(update={"record": {}}))
        arguments = described.network.model_dump()
        network = restore_network(lambda: UShapedOperator(**arguments), tensors)
        return cls(gaussian, network, described.preconditioning, described.record)


def _bfloat16_pays() -> bool:
    """Return whether the CPU has matrix units for bfloat16 (AMX), without which it does not pay."""
    return bool(torch.cpu._is_amx_tile_supported())

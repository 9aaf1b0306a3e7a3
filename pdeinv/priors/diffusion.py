"""Function-space diffusion priors: a Gaussian denoiser and a network that corrects it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.priors.data import STD, TrainingData
from pdeinv.priors.gaussian import GaussianPrior, as_sigma_batch
from pdeinv.priors.schedule import heun, noise_levels
from pdeinv.priors.unet import UShapedOperator

__all__ = ["LEVELS", "DiffusionPrior", "denoising_errors"]

_SMALLEST = 16  # nodes of the network's own grid
_P_MEAN, _P_STD = -1.2, 1.2  # of log σ in training, as in EDM,
# But for a share that is log-uniform over all levels: EDM's never sees the largest
_WIDE = 0.15, 0.005, 80.0

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
"""Noise levels at which a prior is validated."""


@dataclass
class DiffusionPrior:
    """A prior learned from samples of fields: the first choice where these are far from Gaussian.

    The denoiser is D(x, σ) = D_gauss(x, σ) + c_out(σ) · network(x, D_gauss, σ), with D_gauss the
    optimal linear denoiser and c_out the error e that it predicts for itself times sqrt(1 - (e /
    std)²), channel by channel: where the fields are Gaussian the network has nothing to learn, and
    at large σ nothing to say. With `preconditioning="edm"` it is the usual c_skip x + c_out ·
    network(x, σ) instead.

    The network works on functions: whatever the grid of x, it sees the first modes of each channel
    on a fixed grid of its own and answers in the same modes; finer ones are D_gauss's.

    Shapes and units as in `GaussianPrior`.

    Arguments:
        gaussian: mean, covariance, normalisation and noise.
        network: corrects it.
        preconditioning: `"gaussian"` or `"edm"`.
        record: how it was trained.

    Reference:
        Karras et al., *Elucidating the design space of diffusion-based generative models* (EDM),
        NeurIPS 2022, equation 7 and table 1; Lim et al., *Score-based diffusion models in function
        space*, JMLR 26, 2025 (arXiv 2302.07400).
    """

    evaluations_per_call: ClassVar[int] = 1

    gaussian: GaussianPrior
    network: UShapedOperator
    preconditioning: Literal["gaussian", "edm"] = "gaussian"
    record: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.preconditioning not in ("gaussian", "edm"):
            raise InputError(
                f"preconditioning {self.preconditioning!r} is unknown; use 'gaussian' or 'edm'"
            )

    @classmethod
    def untrained(
        cls, gaussian: GaussianPrior, *, widths=(64, 96, 128), modes=8, preconditioning="gaussian"
    ):
        """With a new network that as yet adds nothing."""
        if preconditioning == "edm":
            gaussian = replace(gaussian, blocks=())  # of no use, and large
        channels = len(gaussian.fields)
        inputs = 2 * channels if preconditioning == "gaussian" else channels
        network = UShapedOperator(inputs, channels, tuple(widths), modes, gaussian.grid.periodic)
        return cls(gaussian, network.to(memory_format=torch.channels_last), preconditioning)

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.gaussian.fields

    @property
    def grid(self) -> Grid:
        """The grid of the network, that of the training data unless its number of nodes does not
        suit the network."""
        factor = 2 ** len(self.network.down)
        return Grid(
            max(_SMALLEST, self.gaussian.grid.n // factor * factor), self.gaussian.grid.kind
        )

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Approximately E[x0 | x = x0 + σ noise], shape and units of x; differentiable."""
        g = self.gaussian
        grid, sigma = g.grid_of(x), as_sigma_batch(sigma, x)
        noised = g.normalise(x)
        tables = g.coefficients(noised, grid)
        base, scale, _ = self.base(tables, sigma, grid)
        correction = self.correction(tables, base, sigma)
        results = []
        for c, basis in enumerate(g.bases):
            learned = basis.resize(correction[c], tables[c].shape[-1])
            results.append(base[c] + scale[:, c, None, None] * learned)
        return g.physical(g.synthesis(results, grid) + g.remainder(noised, tables, grid)).to(x)

    def base(self, tables, sigma, grid) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """What the network corrects, tables of normalised coefficients; c_out and the expected
        error, (batch, channel)."""
        if self.preconditioning == "gaussian":
            error = self.gaussian.error(sigma)
            # At large σ next to nothing is known of x0 and the Gaussian knows it all: there is no
            # more to learn.
            known = (1 - (error / STD).square()).clamp(min=0).sqrt()
            return self.gaussian.denoise_coefficients(tables, sigma, grid), known * error, error
        skip = STD**2 / (sigma**2 + STD**2)
        out = (sigma * STD / (sigma**2 + STD**2).sqrt())[:, None].expand(-1, len(tables))
        return [skip[:, None, None] * t for t in tables], out, out

    def correction(self, tables, base, sigma) -> list[torch.Tensor]:
        """The network's answer as tables, of order one."""
        g, own = self.gaussian, self.grid
        x = g.synthesis(tables, own) / (sigma**2 + STD**2).sqrt()[:, None, None, None]
        if self.preconditioning == "gaussian":
            x = torch.cat([x, g.synthesis(base, own) / STD], dim=1)
        return g.coefficients(self.network(x, sigma.clamp(min=_WIDE[1]).log() / 4).float(), own)

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """n draws of the noise of level σ = 1, (n, channel, grid.n, grid.n), in physical units."""
        return self.gaussian.sample_noise(n, grid, generator)

    @torch.no_grad()
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
        """n states (n, channel, grid.n, grid.n) in physical units, by `steps` deterministic steps
        from pure noise."""
        g, sigmas = self.gaussian, noise_levels(steps)
        centre = g.physical(torch.zeros(1, len(g.fields), 1, 1))
        starts = (centre + sigmas[0] * self.sample_noise(n, grid, generator)).split(batch)
        return torch.cat([heun(self.denoise, x, sigmas, progress) for x in starts])

    def loss(self, states: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mean square of (x0 - D(x, σ)) / expected error for random σ and noise: 1 is what D_gauss
        predicts for itself."""
        g, own = self.gaussian, self.grid
        grid = g.grid_of(states)
        share, low, high = _WIDE
        wide = low * (high / low) ** torch.rand(len(states), generator=generator)
        usual = (_P_MEAN + _P_STD * torch.randn(len(states), generator=generator)).exp()
        sigma = torch.where(torch.rand(len(states), generator=generator) < share, wide, usual)
        clean = g.coefficients(g.normalise(states), grid)
        noise = g.coefficients(
            g.noise.sample(g.bases, grid, g.white(len(states), grid, generator)), grid
        )
        tables = [a + sigma[:, None, None] * b for a, b in zip(clean, noise, strict=True)]
        base, scale, error = self.base(tables, sigma, grid)
        with torch.autocast("cpu", torch.bfloat16, enabled=_bfloat16_pays()):
            answer = self.correction(tables, base, sigma)
        left = [
            (a - b) / error[:, c, None, None]
            - (scale / error)[:, c, None, None] * basis.resize(t, a.shape[-1])
            for c, (basis, a, b, t) in enumerate(zip(g.bases, clean, base, answer, strict=True))
        ]
        return g.synthesis(left, own).square().mean()

    def validate(self, data: TrainingData) -> tuple[dict, str]:
        """Denoising errors on these samples, beside the Gaussian part's own where there is one; and
        a line that tells them."""
        errors = denoising_errors(self, data)
        scores, shown, what = {"levels": list(LEVELS), "errors": errors}, errors, "error / std"
        if self.preconditioning == "gaussian":
            reference = scores["gaussian_errors"] = denoising_errors(self.gaussian, data)
            shown = {
                k: [a / b for a, b in zip(v, reference[k], strict=True)] for k, v in errors.items()
            }
            what = "error / Gaussian's"
        cells = "; ".join(f"{name} " + " ".join(f"{x:.3f}" for x in v) for name, v in shown.items())
        return scores, f"{what} at σ = {LEVELS[0]:g} to {LEVELS[-1]:g}: {cells}"


@torch.no_grad()
def denoising_errors(
    prior: GaussianPrior | DiffusionPrior, data: TrainingData, sigmas=LEVELS, seed: int = 1
) -> dict[str, list[float]]:
    """Root mean square of x0 - D(x0 + σ noise, σ) in units of each field's standard deviation, by
    field and level."""
    gaussian = getattr(prior, "gaussian", prior)
    noise = prior.sample_noise(len(data), data.grid, torch.Generator().manual_seed(seed))
    std = STD * gaussian.scale[:, None, None]
    rows = []
    for sigma in sigmas:
        squares = []
        for states, part in zip(data.states.double().split(64), noise.split(64), strict=True):
            denoised = prior.denoise(states + sigma * part, sigma)
            squares.append(((denoised - states) / std).square().mean(dim=(2, 3)))
        rows.append(torch.cat(squares).mean(dim=0).sqrt())
    table = torch.stack(rows, dim=1)
    return {
        f.name: [round(float(v), 6) for v in row] for f, row in zip(data.fields, table, strict=True)
    }


def _bfloat16_pays() -> bool:
    """Whether the CPU has matrix units for bfloat16 (AMX); with vector instructions alone it is
    slower than float32."""
    return bool(torch.cpu._is_amx_tile_supported())

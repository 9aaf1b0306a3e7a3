"""A U-shaped neural operator, conditioned on the noise level."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Annotated, Literal, cast

import torch
from pydantic import Field as Limits
from torch import nn
from torch.nn import functional as F

from pdeinv.priors.description import Described, Modes
from pdeinv.torch_state import default_dtype

__all__ = ["UShapedArguments", "UShapedOperator", "without_wandb"]

_GROUP = 16  # channels that are normalised together


@contextmanager
def without_wandb() -> Iterator[None]:
    """Import `neuralop` without the experiment tracker that its trainer would load, which takes
    seconds."""
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    absent = "wandb" not in modules
    if absent:
        modules["wandb"] = None  # makes `import wandb` fail, which neuralop allows for
    try:
        yield
    finally:
        if absent:
            modules.pop("wandb", None)  # another thread may have removed it


class UShapedArguments(Described):
    """The arguments of a `UShapedOperator`, as files state them."""

    channels_in: Annotated[int, Limits(ge=1, le=32)]
    channels_out: Annotated[int, Limits(ge=1, le=32)]
    widths: Annotated[
        list[Annotated[int, Limits(ge=_GROUP, le=2048, multiple_of=_GROUP)]],
        Limits(min_length=1, max_length=8),
    ]
    modes: Annotated[list[Modes], Limits(min_length=2, max_length=2)]
    periodic: bool


class UShapedOperator(nn.Module):
    """A map from functions on a fixed grid to functions: local convolutions at every scale, global
    ones at coarse scales.

    Patches of 2 x 2 nodes are lifted to `widths[0]` channels, and each further level halves the
    grid. A block is a residual pair of 3 x 3 convolutions, modulated by the noise level. From the
    second level on it begins with a spectral convolution of neuraloperator, one filter for each
    channel, which covers the whole domain. The last layer starts at zero.

    The network is deliberately not equivariant: the coordinates of the patches are among its
    inputs. Its weights are stored channels last, which the CPU's convolutions prefer.

    Arguments:
        channels_in, channels_out: number of channels of the functions.
        widths: number of channels of each level.
        modes: Fourier modes of the spectral convolutions along y and x; one number for both.
        periodic: use circular convolutions; otherwise they are padded with zeros.

    Reference:
        Rahman, Ross & Azizzadenesheli, *U-NO: U-shaped neural operators*, TMLR 2023 (arXiv
        2204.11127); Karras et al. (EDM), NeurIPS 2022, appendix F (conditioning on the noise
        level).
    """

    frequencies: torch.Tensor

    @default_dtype(torch.float32)
    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        widths: Sequence[int] = (64, 96, 128),
        modes: int | Sequence[int] = 8,
        periodic: bool = False,
    ):
        super().__init__()
        modes = [modes, modes] if isinstance(modes, int) else list(modes)
        self.arguments = {
            "channels_in": channels_in,
            "channels_out": channels_out,
            "widths": list(widths),
            "modes": modes,
            "periodic": periodic,
        }
        self.periodic = periodic
        features = 2 * widths[-1]
        # On the CPU also where the weights have no memory yet, for it is not stored
        frequencies = torch.linspace(0, 4, 16, dtype=torch.float32, device="cpu").exp2()
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.level = nn.Sequential(
            nn.Linear(32, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )
        self.lift = _convolution(4 * channels_in + (4 if periodic else 2), widths[0], periodic)
        self.down = nn.ModuleList(
            _Block(w, features, modes if i else [], periodic) for i, w in enumerate(widths)
        )
        self.coarser = nn.ModuleList(nn.Conv2d(4 * a, b, 1) for a, b in itertools.pairwise(widths))
        self.finer = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(
            _Block(w, features, modes if i else [], periodic) for i, w in enumerate(widths[:-1])
        )
        self.norm = nn.GroupNorm(widths[0] // _GROUP, widths[0])
        self.project = _convolution(widths[0], 4 * channels_out, periodic)
        _zero(self.project)
        for p in self.parameters():
            if p.ndim == 4:
                p.data = p.data.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Return functions (batch, channels_out, ny, nx).

        Arguments:
            x: (batch, channels_in, ny, nx), multiples of 2^levels.
            level: (batch,), of order one, a function of the noise level.
        """
        angle = level[:, None] * self.frequencies
        features = self.level(torch.cat([angle.cos(), angle.sin()], dim=1).to(x))
        x = F.pixel_unshuffle(x, 2)
        places = self._places(x).expand(len(x), -1, -1, -1)
        h = self.lift(torch.cat([x, places], dim=1).contiguous(memory_format=torch.channels_last))
        kept = []
        for i, block in enumerate(self.down):
            h = block(h, features)
            if i < len(self.coarser):
                kept.append(h)
                h = self.coarser[i](F.pixel_unshuffle(h, 2))
        for i in reversed(range(len(self.up))):
            h = self.up[i](kept[i] + F.pixel_shuffle(self.finer[i](h), 2), features)
        return F.pixel_shuffle(self.project(F.silu(self.norm(h))), 2)

    def _places(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coordinates of the patches, (1, 2, ny, nx); of a torus as points on circles,
        (1, 4, ny, nx)."""
        lines_y, lines_x = (
            [(2 * torch.pi * s).cos(), (2 * torch.pi * s).sin()] if self.periodic else [2 * s - 1]
            for n in x.shape[-2:]
            for s in [torch.arange(n, device=x.device, dtype=x.dtype) / n]
        )
        ny, nx = x.shape[-2:]
        maps = [
            t
            for along_y, along_x in zip(lines_y, lines_x, strict=True)
            for t in (along_x.expand(ny, -1), along_y[:, None].expand(-1, nx))
        ]
        return torch.stack(maps)[None]


class _Block(nn.Module):
    def __init__(self, width: int, features: int, modes: Sequence[int], periodic: bool):
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(width // _GROUP, width) for _ in range(2))
        self.first = _convolution(width, width, periodic)
        self.second = _convolution(width, width, periodic)
        self.modulate = nn.Linear(features, 2 * width)
        _zero(self.second)
        if modes:
            with without_wandb():
                from neuralop.layers.spectral_convolution import SpectralConv
            self.spectral = SpectralConv(
                width, width, tuple(modes), separable=True, bias=False, init_std=0.02
            )
            self.mix = nn.Conv2d(width, width, 1)
        else:
            self.spectral = None

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        if self.spectral is not None:
            # There is no Fourier transform in bfloat16
            with torch.autocast(x.device.type, enabled=False):
                waves = _filtered(self.spectral, x.float())
            x = x + self.mix(waves.to(x.dtype).contiguous(memory_format=torch.channels_last))
        scale, shift = self.modulate(features)[:, :, None, None].chunk(2, dim=1)
        h = self.first(F.silu(self.norms[0](x)))
        h = self.second(F.silu(self.norms[1](h) * (1 + scale) + shift))
        return x + h


def _filtered(spectral: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return the spectral convolution of functions (batch, channel, ny, nx).

    That of neuraloperator puts the frequencies of an odd number of rows back one place off.
    """
    ny, nx = x.shape[-2:]
    if ny % 2 == 0:
        return spectral(x)
    weight = cast("torch.Tensor", spectral.weight)[:]
    my, mx = (min(m, n) for m, n in zip(weight.shape[-2:], (ny, nx // 2 + 1), strict=True))
    first = weight.shape[-2] // 2 - my // 2
    waves = torch.fft.fftshift(torch.fft.rfft2(x, norm="forward"), dim=-2)
    kept = waves[..., ny // 2 - my // 2 :, :][..., :my, :mx] * weight[:, first : first + my, :mx]
    filtered = torch.zeros_like(waves)
    filtered[..., ny // 2 - my // 2 : ny // 2 - my // 2 + my, :mx] = kept
    return torch.fft.irfft2(torch.fft.ifftshift(filtered, dim=-2), s=(ny, nx), norm="forward")


def _convolution(channels_in: int, channels_out: int, periodic: bool) -> nn.Conv2d:
    mode: Literal["circular", "zeros"] = "circular" if periodic else "zeros"
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, padding_mode=mode)


def _zero(convolution: nn.Conv2d) -> None:
    for p in convolution.parameters():
        nn.init.zeros_(p)

"""The states of a user's denoiser: examples of them, or draws of its probability flow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
import torch

from pdeinv import seeds
from pdeinv.checks import tensor
from pdeinv.datasets import field_values
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.data import STD, TrainingData
from pdeinv.priors.denoiser_calls import DenoiserCalls
from pdeinv.priors.denoiser_checks import PROBES, check_denoises, check_std, probe
from pdeinv.priors.noise import Noise
from pdeinv.priors.normalised import NormalisedFields
from pdeinv.priors.schedule import heun, noise_levels
from pdeinv.progress import Progress

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Examples", "denoiser_data"]

Examples: TypeAlias = Union[torch.Tensor, np.ndarray, "xr.Dataset"]
"""States (n, channel, ny, nx), or a dataset of the fields."""

_BATCH = 32  # states sampled together
_STEPS = 20  # noise levels of the draws
_CHECKED = 8  # states that the denoiser must keep


def denoiser_data(
    calls: DenoiserCalls,
    grid: Grid,
    noise: Noise,
    examples: Examples | None,
    draws: int,
    progress: bool,
) -> TrainingData:
    """Return the examples, or else states that are drawn; arguments as of `prior_from_denoiser`.

    Raises:
        InputError: the function is no denoiser of these states.
    """
    generator = seeds.generator(seeds.STATISTICS)
    if examples is None and noise.kind != "white":
        raise InputError(
            f"examples must be given for a denoiser of {noise.kind} noise, got none; give states "
            f"(n, {len(calls.fields)}, {grid.ny}, {grid.nx})"
        )

    def data(states: torch.Tensor, source: str) -> TrainingData:
        found = TrainingData(states.float(), calls.fields, grid, None, source)
        found.check()
        check_std(calls, states, source)
        return found

    draw: Callable[[int], torch.Tensor] = partial(
        calls.white_noise, shape=grid.shape, generator=generator
    )
    if examples is None:
        probe(calls, draw(PROBES))
        made = data(_drawn(calls, grid, draws, generator, progress), "the draws")
    else:
        made = data(_states(examples, calls.fields, grid), "the examples")
        if noise.kind != "white":
            scale, (bases, shift, _) = calls.std.flatten() / STD, made.normalisation()
            space = NormalisedFields(calls.fields, bases, grid, noise, shift, scale)
            draw = partial(space.sample_noise, grid=grid, generator=generator)
        probe(calls, draw(PROBES))
    check_denoises(calls, made.states[:_CHECKED], draw(len(made.states[:_CHECKED])))
    return made


def _states(examples: Examples, fields: tuple[Field, ...], grid: Grid) -> torch.Tensor:
    """Return the examples as states (n, channel, ny, nx).

    Raises:
        InputError: they have another shape, or lack a field.
    """
    import xarray as xr

    if isinstance(examples, xr.Dataset):
        names = [f.name for f in fields]
        if missing := [name for name in names if name not in examples]:
            raise InputError(
                f"examples must have the variable {missing[0]!r}, got "
                f"{', '.join(map(str, examples.data_vars))}; rename one"
            )
        states = torch.from_numpy(field_values(examples, names, None))
    else:
        states = tensor("examples", examples)
    wanted = (len(fields), *grid.shape)
    if states.ndim != 4 or tuple(states.shape[1:]) != wanted:
        raise InputError(
            f"examples must be (n, {', '.join(map(str, wanted))}), with the fields on the grid of "
            f"the denoiser, got {tuple(states.shape)}; reshape them"
        )
    return states.double().cpu()


def _drawn(
    calls: DenoiserCalls, grid: Grid, draws: int, generator: torch.Generator, show: bool
) -> torch.Tensor:
    """Return states (draws, channel, ny, nx) of the probability flow of the denoiser.

    Raises:
        InputError: a state is not finite.
    """
    sigmas = noise_levels(_STEPS)
    evaluations = draws * (2 * _STEPS - 1)
    parts = []
    with (
        torch.no_grad(),
        Progress(evaluations, "draws of the denoiser", show, unit="evaluation") as bar,
    ):

        def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
            bar.update(len(x))
            return calls(x, sigma)

        for first in range(0, draws, _BATCH):
            n = min(_BATCH, draws - first)
            start = calls.mean + sigmas[0] * calls.white_noise(n, grid.shape, generator)
            parts.append(heun(denoise, start, sigmas))
    states = torch.cat(parts)
    if not bool(states.isfinite().all()):
        raise InputError(
            f"the states drawn with the denoiser {calls.name} must be finite, got nan or inf; "
            f"check sigma_data and predicts, or give examples"
        )
    return states

"""Whether a user's function is a denoiser: what it returns where the answer is known."""

from __future__ import annotations

import torch

from pdeinv.errors import InputError
from pdeinv.priors.denoiser_calls import DenoiserCalls
from pdeinv.priors.schedule import SIGMA_MIN

__all__ = ["PROBES", "check_denoises", "check_std", "probe"]

PROBES = 3
"""Draws of noise that `probe` takes."""
_BATCH_LEVELS = (0.1, 1.0, 10.0)  # of these states
_HIGH, _LOW = 80.0, 0.05  # levels of which the answer is known
# In standard deviations of the field: of answers to two batches, to pure noise, to little noise
_ALONE, _MAX_SPREAD, _MAX_ERROR = 0.05, 1.5, 0.3
# Answers to pure noise may vary by as much as the fields, but not in the form of that noise
_SOME_SPREAD, _MAX_CORRELATION = 0.5, 0.7
_STD_RANGE = 0.6, 1.7  # of the standard deviation of the fields over the stated one


def probe(calls: DenoiserCalls, noise: torch.Tensor) -> None:
    """Refuse a function that cannot be a denoiser.

    Arguments:
        calls: the denoiser.
        noise: (3, channel, ny, nx), draws of the noise of level 1, in physical units.

    Raises:
        InputError: it fails, returns nan or another shape, mixes the states of a batch, or does
            not return about the mean for pure noise.
    """
    levels = torch.tensor(_BATCH_LEVELS, dtype=torch.float64, device=noise.device)
    x = calls.mean + levels[:, None, None, None] * noise
    with torch.no_grad():
        try:
            together = calls(x, levels)
            alone = torch.cat([calls(x[i : i + 1], levels[i]) for i in range(PROBES)])
            pure = calls(calls.mean + _HIGH * noise, _HIGH)
        except InputError:
            raise
        except Exception as error:  # of a user's code
            reason = " ".join(str(error).split())
            raise InputError(
                f"the denoiser {calls.name} must accept x {tuple(x.shape)} and sigma "
                f"({PROBES},) in {calls.precision(x)}, got {type(error).__name__}: "
                f"{reason[:200]}; use sigma[:, None, None, None] where it multiplies fields"
            ) from error
    for found in (together, alone, pure):
        _check_finite(calls, found)
    apart = float(((together - alone) / calls.std).abs().max())
    if apart > _ALONE:
        raise InputError(
            f"the denoiser {calls.name} must treat each state of a batch alone, got results "
            f"that differ by {apart:.2g} standard deviations; use one sigma for each state, "
            f"and nothing random"
        )
    answers = (pure - pure.mean(dim=0)) / calls.std
    spread = float(answers.square().mean().sqrt()) * (PROBES / (PROBES - 1)) ** 0.5
    stack = torch.stack([answers.flatten(), (noise - noise.mean(dim=0)).flatten()])
    alike = spread > _SOME_SPREAD and float(stack.corrcoef()[0, 1].abs()) > _MAX_CORRELATION
    if spread > _MAX_SPREAD or alike:
        raise InputError(
            f"the denoiser {calls.name} must return about the mean for pure noise, got fields "
            f"that vary by {spread:.2g} standard deviations at sigma = "
            f"{calls.network_level(_HIGH):g}; check predicts, sigma_data and its sigma"
        )


def check_denoises(calls: DenoiserCalls, states: torch.Tensor, noise: torch.Tensor) -> None:
    """Refuse a function that does not keep states with little noise.

    Arguments:
        calls: the denoiser.
        states, noise: (batch, channel, ny, nx), in physical units, the noise of level 1.

    Raises:
        InputError: what it returns is far from the states, or not finite.
    """
    with torch.no_grad():
        found = calls(states.double() + _LOW * noise, _LOW)
    _check_finite(calls, found)
    error = float(((found - states) / calls.std).square().mean().sqrt())
    if error > _MAX_ERROR:
        raise InputError(
            f"the denoiser {calls.name} must return about its input for little noise, got an "
            f"error of {error:.2g} standard deviations at sigma = "
            f"{calls.network_level(_LOW):g}; check mean, std, sigma_data and predicts"
        )


def _check_finite(calls: DenoiserCalls, found: torch.Tensor) -> None:
    if not bool(found.isfinite().all()):
        raise InputError(
            f"the denoiser {calls.name} must return finite values, got nan or inf; check it at "
            f"sigma from {calls.network_level(SIGMA_MIN):g} to {calls.network_level(_HIGH):g}"
        )


def check_std(calls: DenoiserCalls, states: torch.Tensor, source: str) -> None:
    """Refuse a stated standard deviation that is far from that of states (batch, channel, ny, nx).

    Arguments:
        calls: the denoiser.
        states: in physical units.
        source: where they come from, for the message.

    Raises:
        InputError: it is.
    """
    found = states.transpose(0, 1).flatten(1).std(dim=1)
    low, high = _STD_RANGE
    for f, own, stated in zip(calls.fields, found, calls.std.flatten(), strict=True):
        if not low < float(own / stated) < high:
            raise InputError(
                f"std of prior_from_denoiser must be the standard deviation of {f.name}, got "
                f"{float(stated):.3g} where that of {source} is {float(own):.3g}; correct std or "
                f"sigma_data"
            )

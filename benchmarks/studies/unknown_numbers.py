"""What it costs not to know the numbers of a prior: `pdeinv study unknown-numbers`.

Truths have lengths over a factor of 8 and amplitudes over one of 30, and any smoothness; the first
four have the ends of both ranges. Each is reconstructed with its numbers known, with all of them
left out, and with the built-in prior of the physics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from pdeinv import seeds
from pdeinv.benchmarks.studies.assumed_cases import Case, Reads, Setting, Size, draw_case
from pdeinv.coefficients import CoefficientPrior, GaussianField, LogNormal, TwoPhase
from pdeinv.datasets import Problem, pde_by_name

__all__ = ["CASES", "LINEAR"]

LENGTHS = (0.06, 0.48)
"""Correlation lengths in sides of the domain."""
FACTOR = 30.0
"""Between the ends of a range of amplitudes."""
SMOOTHNESSES = (0.5, 3.0)
_CONTRASTS = (2.0, 20.0)  # of two phases
_FIRST = 2**28  # number of the first draw of numbers among the test instances
_ENDS = ((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0))


def _shares(instance: int) -> list[float]:
    """Return where the length, the amplitude, the smoothness and the contrast are in their ranges,
    from 0 to 1."""
    generator = seeds.generator(seeds.TEST, _FIRST + instance)
    drawn = torch.rand(4, dtype=torch.float64, generator=generator).tolist()
    return [*_ENDS[instance], *drawn[2:]] if instance < len(_ENDS) else drawn


def _within(low: float, high: float, share: float) -> float:
    return float(f"{low * (high / low) ** share:.4g}")


def _field(amplitude: float, length: float, smoothness: float, _: float) -> CoefficientPrior:
    return GaussianField(0.0, amplitude, length, smoothness)


def _log_normal(amplitude: float, length: float, smoothness: float, _: float) -> CoefficientPrior:
    return LogNormal(1.0, amplitude, length, smoothness)


def _two_phase(
    amplitude: float, length: float, smoothness: float, share: float
) -> CoefficientPrior:
    ratio = _within(*_CONTRASTS, share) ** 0.5
    shape = GaussianField(0.0, 1.0, length, smoothness)
    return TwoPhase(shape, float(f"{amplitude / ratio:.4g}"), float(f"{amplitude * ratio:.4g}"))


def _case(
    pde: str,
    least: float,
    known: Callable[[float, float, float, float], CoefficientPrior],
    left_out: CoefficientPrior,
    size: Size,
    instance: int,
) -> Case:
    """Return a truth of a physics and its three settings.

    Arguments:
        pde: name of the physics.
        least: amplitude.
        known: returns the prior of numbers.
        left_out: the same kind of prior without numbers.
        size, instance: as of `draw_case`.
    """
    at_length, at_amplitude, at_smoothness, at_contrast = _shares(instance)
    prior = known(
        _within(least, FACTOR * least, at_amplitude),
        _within(*LENGTHS, at_length),
        _within(*SMOOTHNESSES, at_smoothness),
        at_contrast,
    )
    physics = pde_by_name(pde)
    settings = {
        "known": Setting(Problem(physics, prior)),
        "left out": Setting(Problem(physics, left_out)),
        "defaults": Setting(Problem(physics)),
    }
    reads = [Reads(physics.solution_field.name, size.sensors)]
    numbers = {k: v for k, v in prior.numbers.items() if isinstance(v, float)}
    return draw_case(Problem(physics, prior), reads, size, instance, settings, numbers)


CASES: Mapping[str, Callable[[Size, int], Case]] = {
    "poisson": partial(_case, "poisson", 0.1, _field, GaussianField()),
    "helmholtz": partial(_case, "helmholtz", 0.1, _field, GaussianField()),
    "darcy, log-normal": partial(_case, "darcy", 0.1, _log_normal, LogNormal()),
    "navier-stokes": partial(_case, "navier-stokes", 0.05, _field, GaussianField()),
    "darcy, two phases": partial(_case, "darcy", 0.2, _two_phase, TwoPhase(GaussianField())),
}
"""A truth of each physics by its name: a function of the size and of the number of the truth."""
LINEAR = ("poisson", "helmholtz")
"""The cases of which twice as many truths are drawn."""

"""Causes of an alarm that lie in the prior: its amplitude, its length, its smoothness, its mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.problem import Problem
from pdeinv.solvers.alarms.cause import Cause, of_number
from pdeinv.solvers.alarms.model import Model, Tried, best_factor, lasting
from pdeinv.unknown import is_unknown

__all__ = ["causes_in_prior"]

_AMPLITUDE, _SHAPE, _SMOOTHNESS = 30.0, 10.0, 3.0  # factors either way
_AMPLITUDES = ("std", "log_std")
_SHAPES = {
    "length": ("correlation length", _SHAPE),
    "tau": ("tau", _SHAPE),
    "smoothness": ("smoothness", _SMOOTHNESS),
    "alpha": ("alpha", _SMOOTHNESS),
}
"""Numbers of the shape of a field, in words, and the factor either way that likely holds each."""


def causes_in_prior(model: Model, base: float) -> Iterator[Cause]:
    """Yield the number of the prior that suits the readings, for each."""
    prior, m = model.problem.coefficient_prior, len(model.observation)
    numbers = {k: v for k, v in prior.numbers.items() if isinstance(v, int | float)}
    stated = {k: float(v) for k, v in numbers.items() if not is_unknown(v)}
    if not any(name in numbers and name not in stated for name in _AMPLITUDES):
        yield _amplitude(model, base, m, stated)
    for name, (words, width) in _SHAPES.items():
        if name in stated and 0 < stated[name] < math.inf:
            yield _shape(model, base, m, name, words, stated[name], width)
    if any(name in stated for name in ("mean", "median")):
        yield _level(model, base, m, stated)


def _amplitude(model: Model, base: float, m: int, stated: dict[str, float]) -> Cause:
    def evidence(factor: float) -> float:
        return replace(model, gram=factor**2 * model.gram).log_evidence()

    found = best_factor(evidence, 1 / _AMPLITUDE**2, _AMPLITUDE**2, 33, 12)
    gain = of_number(found, base, m, _AMPLITUDE)
    name = next((name for name in _AMPLITUDES if name in stated), "")
    if name:
        return _in_place(name, "standard deviation", stated[name], found.value, gain)
    text = f"they fit with an amplitude of the prior {found.value:.2g} times the stated one"
    return Cause("prior", "amplitude", found.value, gain, text)


def _in_place(name: str, words: str, old: float, factor: float, gain: float) -> Cause:
    text = f"they fit with a {words} of the prior of {old * factor:.2g} in place of {old:g}"
    return Cause("prior", name, old * factor, gain, text)


def _shape(
    model: Model, base: float, m: int, name: str, words: str, old: float, width: float
) -> Cause:
    def evidence(factor: float) -> float:
        prior = model.problem.coefficient_prior.with_numbers(**{name: old * factor})
        latent = _latent(model.problem, prior)
        return replace(model, gram=model.readings.gram(latent.latent)).log_evidence()

    found = best_factor(evidence, 1 / width, width, 11, 5)
    return _in_place(name, words, old, found.value, of_number(found, base, m, width))


def _latent(problem: Problem, prior: CoefficientPrior) -> Problem:
    return replace(problem, prior=prior)


def _level(model: Model, base: float, m: int, stated: dict[str, float]) -> Cause:
    """A constant in the latent field: it shifts a mean, and multiplies a median."""
    column = model.readings.rows.sum(dim=(1, 2))
    inverse, off = model.precision, model.observation.values - model.expected
    weight = float(column @ inverse @ column)
    shift = float(column @ inverse @ off) / weight if weight > 0 else 0.0
    moved = replace(model, expected=model.expected + shift * column)
    found = Tried(1.0, lasting(moved.log_evidence))
    gain = of_number(found, base, m, math.inf)
    # As far as a deviation of the field it costs nothing
    spread = model.problem.latent.std
    gain -= math.log1p(abs(shift) / spread) if spread > 0 else 0.0
    if "median" in stated:
        return _in_place("median", "median", stated["median"], math.exp(min(shift, 500.0)), gain)
    new = stated["mean"] + shift
    text = f"they fit with a mean of the prior of {new:.3g} in place of {stated['mean']:g}"
    return Cause("prior", "mean", new, gain, text)

"""Causes of an alarm that lie in the physics: a parameter, a source or a forcing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import mul

import numpy as np
import torch

from pdeinv.datasets.base import PDE
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.problem import Problem
from pdeinv.datasets.uncertain import Uncertain
from pdeinv.errors import InputError, NumericalError
from pdeinv.solvers.alarms.cause import Cause, of_number
from pdeinv.solvers.alarms.model import Model, Tried, best_factor, lasting
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.unknown import is_unknown

__all__ = ["Linearise", "causes_in_physics"]

Linearise = Callable[[Problem], LinearisedReadings | None]

_WIDTH = 30.0  # factor either way
_SCANNED, _REFINED = 15, 6  # factors
_AROUND = 4.0  # factor either way, where the readings are linearised again
_STEPS = (0.1, 1 / 3, 3.0, 10.0)  # factors with which the readings are linearised again
_UNLIKELY = 12.0  # in logarithms, below the evidence of the stated number
_WORTH = 2.0  # in logarithms, before the readings are linearised again


@dataclass(frozen=True)
class _Number:
    """A positive number of the physics, or a quantity that can be scaled.

    Arguments:
        name: of the parameter.
        value: the number; nan for a quantity that is none.
        scaled: returns the physics with a multiple of it; 0 leaves a source out.
        source: whether it can be left out.
        absent: whether it is now.
    """

    name: str
    value: float
    scaled: Callable[[float], PDE]
    source: bool = False
    absent: bool = False

    def in_words(self, factor: float) -> str:
        words = self.name.replace("_", " ")
        if factor == 0:
            return f"they fit without the {words}"
        if self.absent:
            return f"they fit with a {words} of {factor * self.value:.2g}, where none is stated"
        if math.isnan(self.value):
            return f"they fit with {factor:.2g} times the {words}; check it"
        return f"they fit with a {words} of {factor * self.value:.2g} in place of {self.value:g}"


def causes_in_physics(model: Model, base: float, linearise: Linearise) -> Iterator[Cause]:
    """Yield for each parameter of the physics the number that suits the readings.

    A linear problem is solved with each number. A nonlinear one is solved for the most probable
    field alone, with the derivatives that it has there; where that gains something, the readings
    are linearised again about the best number.

    Arguments:
        model: of the readings.
        base: its evidence.
        linearise: returns the readings of a problem, linearised.
    """
    for number in numbers_of(model.problem.physics):
        factors = (0.0,) if number.source and not number.absent else ()
        exact = _exact(model, number, linearise)
        if model.problem.linear:
            tried = [best_factor(exact, 1 / _WIDTH, _WIDTH, _SCANNED, _REFINED)]
            tried += [Tried(f, lasting(exact, f)) for f in factors]
        else:
            tried = _nonlinear(model, base, number, factors, linearise)
        for one in tried:
            # Without a source there is no number to fit
            gain = (
                of_number(one, base, len(model.observation), _WIDTH)
                if one.value
                else one.log_evidence - base - 1.0
            )
            value = one.value if math.isnan(number.value) else one.value * number.value
            words = number.in_words(one.value)
            yield Cause("physics", number.name, value, gain, words, settled=one.settled)


def _exact(model: Model, number: _Number, linearise: Linearise) -> Callable[[float], float]:
    def evidence(factor: float) -> float:
        found = _moved(model, number, factor, linearise)
        return -math.inf if found is None else found.log_evidence()

    return evidence


def _nonlinear(
    model: Model, base: float, number: _Number, factors: tuple[float, ...], linearise: Linearise
) -> list[Tried]:
    """The best factors: of those that are not unlikely with the field and the derivatives at hand,
    the best one with its own, and then the best about it."""
    near = _near(model, number)
    scanned = best_factor(near, 1 / _WIDTH, _WIDTH, _SCANNED, _REFINED)
    tried = [Tried(f, lasting(near, f)) for f in (*factors, *_STEPS)]
    likely = [one for one in (scanned, *tried) if one.log_evidence > base - _UNLIKELY]
    if max((one.log_evidence for one in likely), default=-math.inf) < base + _WORTH:
        return []
    moved = {one.value: _moved(model, number, one.value, linearise) for one in likely}
    models = {f: found for f, found in moved.items() if found is not None}
    judged = [_tried(f, found) for f, found in models.items()]
    best = max(judged, key=lambda one: one.log_evidence, default=Tried(0.0, -math.inf))
    if best.value:
        closer = best_factor(
            _near(models[best.value], number),
            best.value / _AROUND,
            best.value * _AROUND,
            _SCANNED // 2,
            _REFINED,
        )
        found = _moved(model, number, closer.value, linearise)
        if found is not None:
            judged.append(_tried(closer.value, found))
    return judged


def _tried(factor: float, model: Model) -> Tried:
    return Tried(factor, lasting(model.log_evidence), model.readings.settled)


def _moved(model: Model, number: _Number, factor: float, linearise: Linearise) -> Model | None:
    """The model of the readings with a factor of a number; None where it is not allowed."""
    try:
        problem = replace(model.problem, physics=number.scaled(factor))
        found = linearise(problem)
    except (InputError, NumericalError):
        return None
    return None if found is None else Model.of(problem, found)


def _near(model: Model, number: _Number) -> Callable[[float], float]:
    """The evidence of a factor with the most probable field and the derivatives of a model; -inf
    where that field is none of the physics."""
    latent = model.latent_mean()
    try:
        here = _read(model, model.problem, latent)
    except (InputError, NumericalError):
        return lambda factor: -math.inf

    def evidence(factor: float) -> float:
        problem = replace(model.problem, physics=number.scaled(factor))
        moved = model.expected + _read(model, problem, latent) - here
        return replace(model, expected=moved).log_evidence()

    return evidence


def _read(model: Model, problem: Problem, latent: torch.Tensor) -> torch.Tensor:
    """The readings of a latent field, (m,)."""
    a = problem.coefficient(latent)
    return model.observation(torch.cat([a, problem.physics.respond(a)], dim=1))[0]


def numbers_of(physics: PDE) -> Iterator[_Number]:
    """Yield the numbers of the physics that may be other ones.

    Those are its positive parameters, its sources, and the sources that the problem of this name
    usually has. Experiments in which a parameter has one value share it.
    """
    if not physics.experiments:
        yield from _numbers_of_one(physics)
        return
    parts = tuple(physics.experiments.values())
    found: dict[tuple[str, str], list[tuple[int, _Number]]] = {}
    for i, part in enumerate(parts):
        for number in _numbers_of_one(part):
            found.setdefault((number.name, repr(number.value)), []).append((i, number))
    for same in found.values():

        def scaled(factor: float, same: list[tuple[int, _Number]] = same) -> PDE:
            changed = {i: number.scaled(factor) for i, number in same}
            whole = tuple(changed.get(i, part) for i, part in enumerate(parts))
            return replace(physics, physics=whole)  # type: ignore[call-arg]

        yield replace(same[0][1], scaled=scaled)


def _numbers_of_one(physics: PDE) -> Iterator[_Number]:
    kept = {*physics.numerical_parameters, *physics.never_unknown}
    for name, value in physics.parameters.items():
        usual = physics.benchmark_parameters.get(name)
        if name in kept or is_unknown(value) or _inferred(value):
            continue
        if isinstance(value, float) and value > 0:
            yield _Number(name, value, _scaling(physics, name, partial(mul, value)))
        elif isinstance(value, Distributed) and not value.zero:
            number = value.value if isinstance(value.value, float) else math.nan
            scale = _scaling(physics, name, partial(_times, value))
            yield _Number(name, number, scale, source=True)
        elif value is None and isinstance(usual, float) and usual > 0:
            scale = _scaling(physics, name, partial(mul, usual))
            yield _Number(name, usual, scale, source=True, absent=True)
        elif name == "wells" and any(well.rate for well in value):
            yield _Number("rate of the wells", math.nan, _scaling(physics, name, _rates(value)))


def _inferred(value: object) -> bool:
    """Whether a side or a source is inferred with the fields, as a number or as a function."""
    inner = value.value if isinstance(value, Distributed) else None
    return is_unknown(inner) or isinstance(inner, Uncertain)


def _scaling(physics: PDE, name: str, made: Callable[[float], object]) -> Callable[[float], PDE]:
    return lambda factor: replace(physics, **{name: made(factor)})  # type: ignore[arg-type]


def _rates(wells: tuple) -> Callable[[float], object]:
    return lambda factor: tuple(replace(well, rate=factor * well.rate) for well in wells)


def _times(quantity: Distributed, factor: float) -> Distributed:
    value = quantity.value
    if callable(value):
        return type(quantity)(lambda x, y: factor * np.asarray(value(x, y)))
    return type(quantity)(factor * value)

"""Causes of an alarm that lie in the table: units, noise, and a few wrong readings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.solvers.alarms.cause import Cause, of_number
from pdeinv.solvers.alarms.model import Model, best_factor, lasting
from pdeinv.solvers.leave_one_out import floors

__all__ = ["causes_in_noise", "causes_in_readings", "causes_in_units"]

_UNITS = {
    1e-3: "mm for m",
    1e3: "km for m",
    1e-2: "cm for m, or per cent",
    1e2: "m for cm",
    0.1: "",
    10.0: "",
    1e-6: "",
    1e6: "",
    0.3048: "feet for m",
    1 / 0.3048: "m for feet",
    1 / 9806.65: "Pa for m of water",
    9806.65: "m of water for Pa",
    86400.0: "per second for per day",
    1 / 86400.0: "per day for per second",
    math.log(10): "a logarithm to base 10 for a natural one",
    1 / math.log(10): "a natural logarithm for one to base 10",
    -1.0: "",
}
"""Factors that mend readings in another unit, and which unit that is for which."""
_BEST = 6  # of these that are compared further
_ANY_FACTOR = 4.0  # in logarithms: how much less likely a factor is that is none of a unit
_LARGEST = 0.2  # share of the readings that are a few
_SIGNIFICANT = 0.01  # p-value, after Bonferroni's correction, of one more wrong reading
_NOISE = 30.0  # factor either way
_FREE_NOISE = 2.0  # in logarithms, of a noise of which nothing is stated


def causes_in_units(model: Model, base: float) -> Iterator[Cause]:
    """Yield for each field the factors that mend its readings: the best ones of a unit, and the
    best of all.

    Their noise is in the unit of the readings, or in the right one: the better counts.

    Arguments:
        model: of the readings. Where all is not linear, it is linearised at the prior's mean, since
            the most probable field of readings in another unit has little to do with any truth.
        base: its evidence.
    """
    for name, mine in _by_field(model):
        scaling = _Scaling(model, mine)
        count = int(mine.sum())
        named = {f: scaling.log_evidence(f) for f in _UNITS}
        best = sorted(named, key=named.__getitem__)[-_BEST:]
        tried = [(f, named[f], named[f] - base - math.log(len(_UNITS))) for f in best]
        free = best_factor(scaling.log_evidence, 1e-4, 1e4, 33, 12)
        free_gain = of_number(free, base, count, width=math.inf) - _ANY_FACTOR
        for factor, found, gain in (*tried, (free.value, free.log_evidence, free_gain)):
            hint = f" ({_UNITS[factor]}?)" if _UNITS.get(factor) else ""
            text = f"{_times(name, factor)}; check their unit{hint}"
            yield Cause("units", name, factor, gain, text, found, partial(scaling.changed, factor))


@dataclass(frozen=True)
class _Scaling:
    """Readings of one field, and factors of them.

    Arguments:
        model: of all readings.
        mine: which are of the field, (m,).
    """

    model: Model
    mine: torch.Tensor

    def log_evidence(self, factor: float) -> float:
        return max(self._both(factor)) + self._jacobian(factor)

    def changed(self, factor: float) -> tuple[Problem, Observation, float]:
        alone, whole = self._both(factor)
        std = self._noise(factor) if whole > alone else self.model.observation.noise_std
        readings = replace(self.model.observation, values=self._values(factor), noise_std=std)
        return self.model.problem, readings, self._jacobian(factor)

    def _both(self, factor: float) -> tuple[float, float]:
        """The evidence with the noise as it is stated, and with one in the readings' unit."""
        values, evidence = self._values(factor), self.model.log_evidence
        return lasting(evidence, values), lasting(evidence, values, self._noise(factor))

    def _values(self, factor: float) -> torch.Tensor:
        values = self.model.observation.values
        return torch.where(self.mine, factor * values, values)

    def _noise(self, factor: float) -> torch.Tensor:
        std = self.model.observation.noise_std
        return torch.where(self.mine, abs(factor) * std, std)

    def _jacobian(self, factor: float) -> float:
        return int(self.mine.sum()) * math.log(abs(factor))


def _times(name: str, factor: float) -> str:
    if factor == -1.0:
        return f"the readings of {name} fit with the other sign"
    change = "smaller" if factor < 1 else "larger"
    times = float(f"{max(factor, 1 / factor):.3g}")
    return f"the readings of {name} fit {times:.10g} times {change}"


def causes_in_noise(model: Model, base: float) -> Iterator[Cause]:
    """Yield for each field, and for all together, the noise that suits its readings."""
    o, groups = model.observation, list(_by_field(model))
    if len(groups) > 1:
        groups.append((" and ".join(name for name, _ in groups), torch.ones_like(groups[0][1])))
    for name, mine in groups:
        count = int(mine.sum())
        exact = mine & (o.noise_std == 0)
        if bool(exact.any()):
            if len(o.channel[exact].unique()) > 1:
                continue  # the fields have units of their own
            scale = float((o.values[exact] - model.expected[exact]).square().mean().sqrt()) or 1.0

            def std_of(
                factor: float, exact: torch.Tensor = exact, s: float = scale
            ) -> torch.Tensor:
                return torch.where(exact, factor * s, o.noise_std)

            found = best_factor(lambda t: model.log_evidence(None, std_of(t)), 1e-7, 3, 31, 12)
            gain = of_number(found, base, count, width=math.inf) - _FREE_NOISE
            yield Cause(
                "noise",
                name,
                found.value * scale,
                gain,
                f"the readings of {name} fit with a noise_std of {found.value * scale:.2g}; state "
                f"it (readings rounded to a few digits are not exact)",
            )
            continue

        def scaled(t: float, mine: torch.Tensor = mine) -> float:
            return model.log_evidence(None, torch.where(mine, t * o.noise_std, o.noise_std))

        found = best_factor(scaled, 1 / _NOISE, _NOISE, 21, 12)
        gain = of_number(found, base, count, width=_NOISE)
        text = f"the readings of {name} fit with {found.value:.2g} times their noise_std"
        yield Cause("noise", name, found.value, gain, f"{text}; check it")


def causes_in_readings(model: Model, base: float) -> Iterator[Cause]:
    """Yield that a few readings are wrong.

    The reading that fits the others worst is left out, as long as it is significant. Each that is
    left out has a noise of the size of its residual, and its place has to be found among all.
    """
    o = model.observation
    m, kept = len(o), list(range(len(o)))
    inverse = torch.cholesky_inverse(model.factored(_with_floor(model)))
    off = o.values - model.expected
    gain, left_out = 0.0, list[int]()
    while len(left_out) <= _LARGEST * m:
        variance = 1 / inverse.diagonal()
        residual = variance * (inverse @ off[kept])
        z = residual / variance.sqrt()
        i = int(z.abs().argmax())
        p_value = math.erfc(float(z[i].abs()) / math.sqrt(2)) * len(kept)
        if len(kept) < 2 or p_value > _SIGNIFICANT:
            break
        left_out.append(kept[i])
        squared = float(z[i].square())
        gain += (squared - math.log1p(squared) - squared / (1 + squared)) / 2
        column, corner = inverse[:, i], inverse[i, i]
        inverse = inverse - torch.outer(column, column) / corner
        stay = [j for j in range(len(kept)) if j != i]
        inverse, kept = inverse[stay][:, stay], [kept[j] for j in stay]
    if not left_out or len(left_out) > _LARGEST * m:
        return
    places = math.lgamma(m + 1) - math.lgamma(len(left_out) + 1) - math.lgamma(len(kept) + 1)
    penalty = places + len(left_out) * math.log(m) / 2
    predicted = off[kept] @ inverse
    predictions = {}
    covariance = _covariance(model)
    for j in left_out:
        expected = model.expected[j] + covariance[j, kept] @ predicted
        spread = covariance[j, j] - covariance[j, kept] @ inverse @ covariance[kept, j]
        predictions[j] = (float(expected), math.sqrt(max(float(spread), 0.0)))
    yield Cause("readings", "", len(left_out), gain - penalty, "", predictions=predictions)


def _with_floor(model: Model) -> torch.Tensor:
    return torch.maximum(model.observation.noise_std, floors(model.observation))


def _covariance(model: Model) -> torch.Tensor:
    """The covariance of the readings, (m, m)."""
    b = model.readings.columns
    return model.gram + b @ b.T + torch.diag(_with_floor(model).square())


def _by_field(model: Model) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name of each field that is read, and which readings are of it, (m,)."""
    fields = model.problem.physics.fields
    names = [fields[channel].name for channel in model.observation.channel.tolist()]
    for name in dict.fromkeys(names):
        yield name, torch.tensor([one == name for one in names])

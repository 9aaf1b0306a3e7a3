"""Causes of an alarm that lie in the table: units, noise, and a few wrong readings."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

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
_ANY_FACTOR = 4.0  # in logarithms: how much less likely a factor is that is none of a unit
_LARGEST = 0.2  # share of the readings that are a few
_SIGNIFICANT = 0.01  # p-value, after Bonferroni's correction, of one more wrong reading
_NOISE = 30.0  # factor either way
_FREE_NOISE = 2.0  # in logarithms, of a noise of which nothing is stated


def causes_in_units(model: Model, base: float) -> Iterator[Cause]:
    """Yield for each field the factor that mends its readings.

    Their noise is in the unit of the readings, or in the right one: the better counts.
    """
    o = model.observation
    for name, mine in _by_field(model):
        count = int(mine.sum())

        def evidence(factor: float, mine: torch.Tensor = mine, count: int = count) -> float:
            values = torch.where(mine, factor * o.values, o.values)
            scaled = torch.where(mine, abs(factor) * o.noise_std, o.noise_std)
            found = (lasting(model.log_evidence, values, std) for std in (None, scaled))
            return max(found) + count * math.log(abs(factor))

        named = {f: lasting(evidence, f) for f in _UNITS}
        best = max(named, key=named.__getitem__)
        gain = named[best] - base - math.log(len(_UNITS))
        hint = f" ({_UNITS[best]}?)" if _UNITS[best] else ""
        yield Cause("units", name, best, gain, f"{_times(name, best)}; check their unit{hint}")
        free = best_factor(evidence, 1e-4, 1e4, 33, 12)
        gain = of_number(free, base, count, width=math.inf) - _ANY_FACTOR
        yield Cause(
            "units", name, free.value, gain, f"{_times(name, free.value)}; check their unit"
        )


def _times(name: str, factor: float) -> str:
    if factor == -1.0:
        return f"the readings of {name} fit with the other sign"
    if factor < 1:
        return f"the readings of {name} fit {1 / factor:.3g} times smaller"
    return f"the readings of {name} fit {factor:.3g} times larger"


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
        predictions[int(model.chosen[j])] = (float(expected), math.sqrt(max(float(spread), 0.0)))
    yield Cause("readings", "", len(left_out), gain - penalty, "", predictions)


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

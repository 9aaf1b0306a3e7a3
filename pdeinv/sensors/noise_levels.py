"""The noise of readings whose table does not state it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from pdeinv.errors import InputError, warn_input
from pdeinv.fields import Field
from pdeinv.sensors.columns import LARGEST, is_number
from pdeinv.sensors.kinds import are_differences
from pdeinv.sensors.rows import Rows

if TYPE_CHECKING:
    from pdeinv.datasets import PDE

__all__ = ["Level", "NoiseLevels", "noise_used", "parse_level"]

NoiseLevels: TypeAlias = "float | str | Mapping[str, float | str] | Sequence[float | str]"
"""A level of noise: a number in the fields' units, or `"5%"` of the spread of a field's readings.

It holds for every field. `{"pressure": "5%"}` and `"pressure=0.02"` are for one field, and take
precedence. A sequence holds several.
"""


class Level(NamedTuple):
    """A standard deviation: in a field's units, or a share of a spread."""

    amount: float
    relative: bool

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


def noise_used(
    levels: NoiseLevels | None, table: pd.DataFrame, channel: np.ndarray, pde: PDE, rows: Rows
) -> np.ndarray:
    """Return the standard deviations (m,) of the noise of all readings.

    A `noise_std` in the table stays; `levels` fill the empty cells. Readings of a field without
    either are exact, with an InputWarning. The level of a field holds in all experiments and at
    all times. The spread of readings is that of each experiment by itself. Differences have a
    spread apart from that of values and means.

    Arguments:
        levels: noise where the table states none.
        table: the checked readings; `noise_std` is nan where it is not stated.
        channel: (m,), channels of the readings' fields.
        pde: PDE with these fields.
        rows: names of the rows.

    Raises:
        InputError: a level is no number or percentage, its field is unknown, it fills no cell, or
            its field has no spread; or some cells of `noise_std` remain empty.
    """
    std = table.noise_std.to_numpy(copy=True)
    empty = np.isnan(std)
    stated = _parsed(levels, pde)
    for channels, level in stated.items():
        mine = np.isin(channel, channels) if channels else np.full(len(std), True)
        if mine.any() and not (mine & empty).any():
            raise InputError(
                f"noise must be left out where every reading has a noise_std, got {level}; drop "
                f"it, or the column"
            )
    of_field = {c: level for channels, level in stated.items() for c in channels}
    same: dict[tuple[str, str], list[int]] = {}
    for c, f in enumerate(pde.fields):
        same.setdefault((f.name, f.experiment), []).append(c)
    differs = are_differences(table)
    for first, *later in same.values():
        f, mine = pde.fields[first], np.isin(channel, [first, *later])
        chosen = of_field.get(first, stated.get(()))
        for alike in (mine & ~differs, mine & differs):
            if chosen is not None and (alike & empty).any():
                std[alike & empty] = _in_units(chosen, table.value.to_numpy()[alike], f)
    left = np.isnan(std)
    if not empty.all():
        rows.refuse(
            left,
            lambda i: "noise_std is empty; give 0 for an exact reading, or noise= for empty ones",
        )
    if left.any():
        unstated = dict.fromkeys(pde.fields[c].name for c in np.unique(channel[left]))
        names = " and ".join(unstated)
        warn_input(
            f"{rows.origin} does not state the noise of {names}, so these readings are taken as "
            f"exact; add a column noise_std (0 if they are), or noise= (--noise): 0.02 in the "
            f"field's units, {pde.fields[channel[left][0]].name}=0.02 for one field, or 5% of the "
            f"spread of each field's readings"
        )
    return np.where(left, 0.0, std)


def _parsed(levels: NoiseLevels | None, pde: PDE) -> dict[tuple[int, ...], Level]:
    """Return the levels of fields by their channels, and of all others under ()."""
    stated: dict[tuple[int, ...], Level] = {}
    for name, given in _pairs(levels):
        channels: tuple[int, ...] = ()
        if name is not None:
            channels = pde.find_channels(str(name).strip())
            if not channels:
                raise InputError(f"noise: {pde.unknown_field(str(name))}")
        if channels in stated:
            what = pde.fields[channels[0]].name if channels else "all fields"
            raise InputError(f"noise must be given once for {what}, got it twice; keep one of them")
        stated[channels] = parse_level(
            "noise",
            given,
            f"give 0.02 in the field's units, '{pde.solution_field.name}=0.02' for one field, or "
            f"'5%'",
        )
    return stated


def _pairs(levels: object) -> Iterator[tuple[object, object]]:
    """Yield pairs of a field's name, or None for all fields, and its level."""
    if isinstance(levels, Mapping):
        yield from levels.items()
    elif isinstance(levels, list | tuple):
        for level in levels:
            yield from _pairs(level)
    elif isinstance(levels, str) and "=" in levels:
        name, _, level = levels.partition("=")
        yield name, level
    elif levels is not None:
        yield None, levels


def parse_level(what: str, given: object, remedy: str) -> Level:
    """Return a level of noise.

    Arguments:
        what: name of the level, for messages.
        given: a number, or its text, or "5%".
        remedy: what to do about any other, for messages.

    Raises:
        InputError: it is none, or out of range.
    """
    amount, relative = np.nan, False
    if isinstance(given, str):
        text = given.strip()
        relative = text.endswith("%")
        text = text.removesuffix("%").strip()
        amount = float(text) / (100 if relative else 1) if is_number(text) else np.nan
    elif isinstance(given, Real) and not isinstance(given, bool | np.timedelta64):
        amount = _as_float(given)
    if amount != 0 and not 1 / LARGEST <= amount < LARGEST:
        raise InputError(
            f"{what} must be a number from 0 to {LARGEST:g} or a percentage, got {given!r}; "
            f"{remedy}"
        )
    return Level(amount, relative)


def _as_float(given: Real) -> float:
    try:
        return float(given)
    except (OverflowError, ValueError):
        return np.nan


def _in_units(level: Level, values: np.ndarray, field: Field) -> float:
    """Return a level in the units of a field with these readings."""
    if not level.relative or level.amount == 0:
        return level.amount
    spread = float(values.std())
    # Rounding gives equal readings a spread, too
    if spread < max(1e-12 * np.abs(values).max(), 1 / LARGEST):
        readings = "a single reading" if len(values) == 1 else "equal readings"
        raise InputError(
            f"the noise of {field.label} must be in its units, got {level} of the spread of "
            f"{readings}; give it as '{field.name}=0.02' for one field"
        )
    return level.amount * spread

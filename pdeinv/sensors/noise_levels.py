"""The noise of readings whose table does not state it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from pdeinv.checks import Bounds
from pdeinv.errors import InputError, warn_input
from pdeinv.fields import Field
from pdeinv.sensors.columns import LARGEST, is_number
from pdeinv.sensors.kinds import are_differences
from pdeinv.sensors.rows import Rows
from pdeinv.unknown import UNKNOWN, Law, Unknown

if TYPE_CHECKING:
    from pdeinv.datasets import PDE

__all__ = ["Level", "NoiseLevels", "NoiseUsed", "noise_used", "parse_level"]

OneLevel: TypeAlias = "float | str | tuple[float | str, float | str] | Unknown"
NoiseLevels: TypeAlias = "OneLevel | Mapping[str, OneLevel] | Sequence[OneLevel]"
"""A level of noise: a number in the fields' units, or `"5%"` of the spread of a field's readings.

`"unknown"` is a standard deviation that is inferred, one for each field: log-normal, from 0.1 % to
100 % of the spread of the field's readings. A range such as `"0.01..0.1"`, `"1%..20%"` or
`(0.01, 0.1)`, or an `Unknown`, is one of which that much is known.

It holds for every field. `{"pressure": "5%"}` and `"pressure=0.02"` are for one field, and take
precedence. A sequence holds several.
"""


class Level(NamedTuple):
    """A standard deviation: in a field's units, or a share of a spread."""

    amount: float
    relative: bool

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.relative else f"{self.amount:g}"


class _Range(NamedTuple):
    """The ends of a standard deviation that is not known; `stated` where a user gave them."""

    low: Level
    high: Level
    law: Law | None = None
    stated: bool = True

    def __str__(self) -> str:
        return f"{self.low}..{self.high}" if self.stated else UNKNOWN


_ANY = _Range(Level(0.001, relative=True), Level(1.0, relative=True), stated=False)
"""That of a noise of which nothing is stated, in shares of the spread of readings."""


class NoiseUsed(NamedTuple):
    """The noise of readings, as `Observation` takes it.

    Arguments:
        std: (m,), the middle of the range where it is unknown.
        group: (m,), the index in `unknown`, -1 where the noise is stated; None for all.
        unknown: the names and the ranges of unknown standard deviations.
    """

    std: np.ndarray
    group: np.ndarray | None
    unknown: tuple[tuple[str, Unknown], ...]


def noise_used(
    levels: NoiseLevels | None, table: pd.DataFrame, channel: np.ndarray, pde: PDE, rows: Rows
) -> NoiseUsed:
    """Return the standard deviations of the noise of all readings, and which are unknown.

    A `noise_std` in the table stays; `levels` fill the empty cells. Cells that remain empty are of
    an unknown noise. In a table without the column, readings of a field without a level are exact,
    with an InputWarning. The level of a field holds in all experiments and at all times. The spread
    of readings is that of each experiment by itself, and so is an unknown noise. Differences have a
    spread, and an unknown noise, apart from that of values and means.

    Arguments:
        levels: noise where the table states none.
        table: the checked readings; a `noise_std` is nan where it is not stated.
        channel: (m,), channels of the readings' fields.
        pde: PDE with these fields.
        rows: names of the rows.

    Raises:
        InputError: a level is no number or percentage, its field is unknown, it fills no cell, or
            its field has no spread; or one reading alone has an unknown noise.
    """
    known = "noise_std" in table
    std = table.noise_std.to_numpy(copy=True) if known else np.full(len(table), np.nan)
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
    group = np.full(len(std), -1)
    unknown: list[tuple[str, Unknown]] = []
    for first, name, alike in _alike(table, channel, pde):
        usual = _ANY if known else None
        chosen, its = of_field.get(first, stated.get((), usual)), alike & empty
        if chosen is None or not its.any():
            continue
        values = table.value.to_numpy()[alike]
        if isinstance(chosen, Level):
            std[its] = _in_units(chosen, values, pde.fields[first])
            continue
        if chosen is usual and its.sum() == 1:
            rows.refuse(
                its,
                lambda i: (
                    "noise_std is empty; give 0 for an exact reading, or noise= for empty "
                    "ones, or leave it empty for more readings of the field, whose noise is unknown"
                ),
            )
        found = _unknown(chosen, values, pde.fields[first])
        std[its], group[its] = float(found), len(unknown)
        unknown.append((name, found))
    left = np.isnan(std)
    if left.any():
        _warn_exact(rows.origin, [pde.fields[c] for c in np.unique(channel[left])])
    return NoiseUsed(np.where(left, 0.0, std), group if unknown else None, tuple(unknown))


def _alike(
    table: pd.DataFrame, channel: np.ndarray, pde: PDE
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Yield the readings whose noise is alike: the first channel of their field, the name of their
    noise, and a mask (m,)."""
    same: dict[tuple[str, str], list[int]] = {}
    for c, f in enumerate(pde.fields):
        same.setdefault((f.name, f.experiment), []).append(c)
    differs = are_differences(table)
    for (name, experiment), channels in same.items():
        place = f", {experiment}" if experiment else ""
        mine = np.isin(channel, channels)
        yield channels[0], f"noise of {name}{place}", mine & ~differs
        yield channels[0], f"noise of differences of {name}{place}", mine & differs


def _warn_exact(origin: str, fields: list[Field]) -> None:
    names = dict.fromkeys(f.name for f in fields)
    warn_input(
        f"{origin} does not state the noise of {' and '.join(names)}, so these readings are taken "
        f"as exact; add a column noise_std (0 if they are), or noise= (--noise): 0.02 in the "
        f"field's units, {fields[0].name}=0.02 for one field, 5% of the spread of each field's "
        f"readings, or unknown"
    )


def _parsed(levels: NoiseLevels | None, pde: PDE) -> dict[tuple[int, ...], Level | _Range]:
    """Return the levels of fields by their channels, and of all others under ()."""
    stated: dict[tuple[int, ...], Level | _Range] = {}
    for name, given in _pairs(levels):
        channels: tuple[int, ...] = ()
        if name is not None:
            channels = pde.find_channels(str(name).strip())
            if not channels:
                raise InputError(f"noise: {pde.unknown_field(str(name))}")
        if channels in stated:
            what = pde.fields[channels[0]].name if channels else "all fields"
            raise InputError(f"noise must be given once for {what}, got it twice; keep one of them")
        stated[channels] = _parse(
            given,
            f"give 0.02 in the field's units, '{pde.solution_field.name}=0.02' for one field, "
            f"'5%', '0.01..0.1' for a range, or 'unknown'",
        )
    return stated


def _pairs(levels: object) -> Iterator[tuple[object, object]]:
    """Yield pairs of a field's name, or None for all fields, and its level."""
    if isinstance(levels, Mapping) and UNKNOWN not in levels:
        yield from levels.items()
    elif isinstance(levels, list | tuple) and not _is_range(levels):
        for level in levels:
            yield from _pairs(level)
    elif isinstance(levels, str) and "=" in levels:
        name, _, level = levels.partition("=")
        yield name, level
    elif levels is not None:
        yield None, levels


def _is_range(given: Sequence[object]) -> bool:
    """Whether a sequence is a pair of numbers, not several levels."""
    return len(given) == 2 and all(
        isinstance(end, Real) and not isinstance(end, bool | Unknown) for end in given
    )


def _parse(given: object, remedy: str) -> Level | _Range:
    """Return a level of noise or the range of an unknown one; arguments as of `parse_level`."""
    if isinstance(given, str) and given.strip().lower() == UNKNOWN:
        return _ANY
    ends: Sequence[object] = ()
    if isinstance(given, str) and ".." in given:
        ends = given.split("..", 1)
    elif isinstance(given, list | tuple) and len(given) == 2:
        ends = given
    if ends:
        low, high = (parse_level("an end of the range of noise", end, remedy) for end in ends)
        return _Range(low, high)
    found = Unknown.of_value("noise", given) if isinstance(given, Unknown | Mapping) else None
    if found is None:
        return parse_level("noise", given, remedy)
    if found.law == "normal":
        raise InputError(
            f"the law of noise must be that of a positive number, got {found!r}; use 'log-normal'"
        )
    low, high = (
        parse_level("an end of the range of noise", end, remedy) for end in (found.low, found.high)
    )
    return _Range(low, high, found.law)


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


def _in_units(level: Level, values: np.ndarray, field: Field, given: object = None) -> float:
    """Return a level in the units of a field with these readings."""
    if not level.relative or level.amount == 0:
        return level.amount
    spread = float(values.std())
    if np.isnan(spread):
        raise InputError(
            f"the noise of {field.label} must be in its units where readings are yet to come, got "
            f"{given or level} of their spread; give it as '{field.name}=0.02' for one field"
        )
    # Rounding gives equal readings a spread, too
    if spread < max(1e-12 * np.abs(values).max(), 1 / LARGEST):
        readings = "a single reading" if len(values) == 1 else "equal readings"
        raise InputError(
            f"the noise of {field.label} must be in its units, got {given or level} of the spread "
            f"of {readings}; give it as '{field.name}=0.02' for one field"
        )
    return level.amount * spread


def _unknown(chosen: _Range, values: np.ndarray, field: Field) -> Unknown:
    """Return the range of an unknown noise in the units of a field with these readings."""
    if not chosen.stated and len(values) == 1:
        raise InputError(
            f"the noise of {field.label} must be stated where there is a single reading of it, got "
            f"{chosen}; give it as '{field.name}=0.02'"
        )
    low, high = (_in_units(end, values, field, chosen) for end in (chosen.low, chosen.high))
    try:
        return Unknown(low, high, chosen.law).checked("noise", Bounds(above=0))
    except InputError as error:
        raise InputError(f"the noise of {field.label}: {error}") from None

"""Instruments whose readings share a bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import EXTREME, Bounds, described
from pdeinv.errors import InputError, warn_input
from pdeinv.sensors.column_names import listed, nearest, shown
from pdeinv.sensors.rows import Rows

if TYPE_CHECKING:
    from pdeinv.datasets import PDE

__all__ = ["Biases", "Instrument", "Instruments", "bias_name", "biases_of", "instruments_of"]

_LARGEST = 1e5  # bias relative to the readings; rounding would hide what they state next to it


@dataclass(frozen=True)
class Instrument:
    """What reads, and how far its readings may be off by one unknown amount that they share.

    The bias is Gaussian with the mean 0. An instrument has one for each field that it reads, at all
    times and in all experiments.

    Arguments:
        name: as in the column `instrument` of a sensor table.
        bias_std: standard deviation of the bias, in the units of the fields that it reads; 0 for
            none.

    Raises:
        InputError: the name is empty, or the standard deviation is negative or too large.

    Example:
        >>> from pdeinv import Instrument
        >>> Instrument("probe A", bias_std=2)
        Instrument(name='probe A', bias_std=2.0)
    """

    name: str
    bias_std: Annotated[float, Bounds(least=0, below=EXTREME)]

    def __post_init__(self) -> None:
        check_fields(self, "{} of an instrument")
        object.__setattr__(self, "name", self.name.strip())  # as cells of a table
        if not self.name:
            raise InputError(
                "name of an instrument must not be empty, got ''; write it as in the column "
                "'instrument'"
            )


Instruments: TypeAlias = "Sequence[Instrument] | Mapping[str, float]"
"""Instruments, or the standard deviations of the biases by their names."""


def instruments_of(given: Instruments) -> tuple[Instrument, ...]:
    """Return instruments of all forms as a tuple.

    Raises:
        InputError: something else is given, or two instruments have one name.
    """
    if isinstance(given, Mapping):
        given = [Instrument(name, std) for name, std in given.items()]
    if not isinstance(given, list | tuple) or not all(isinstance(i, Instrument) for i in given):
        raise InputError(
            f"instruments must be instances of Instrument, got {described(given)}; give such as "
            f"(Instrument('probe A', bias_std=2),) or {{'probe A': 2}}"
        )
    names = [one.name for one in given]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"names of instruments must differ, got {shown(name)!r} twice; keep one of them"
            )
    return tuple(given)


class Biases(NamedTuple):
    """The biases of readings.

    Arguments:
        number: of the bias of each reading, (m,); -1 without one.
        std: standard deviation of each bias, (k,).
        names: of the biases, as of `bias_name`.
    """

    number: np.ndarray
    std: np.ndarray
    names: tuple[str, ...]

    @property
    def common(self) -> torch.Tensor | None:
        """B of the readings' noise, (m, k); None without biases."""
        if not self.names:
            return None
        shared = np.arange(len(self.names)) == self.number[:, None]
        return torch.as_tensor(shared * self.std)


def bias_name(instrument: str, field: str) -> str:
    """Return the name of the bias of an instrument that reads a field."""
    return f"bias of {instrument}, {field}"


def biases_of(
    table: pd.DataFrame,
    channel: np.ndarray,
    pde: PDE,
    instruments: Sequence[Instrument],
    rows: Rows,
) -> Biases:
    """Return the biases of readings: one for each instrument and each name of a field.

    Arguments:
        table: the checked readings.
        channel: (m,), channels of the readings' fields.
        pde: PDE with these fields.
        instruments: those whose biases are stated; without any the column is not used.
        rows: names of the rows.

    Raises:
        InputError: a reading is of an instrument that is not stated, or an instrument with a bias
            reads fields of different units, or its bias dwarfs its readings.
    """
    named = table.get("instrument", pd.Series([""] * len(table))).tolist()
    _check_use(named, instruments, rows)
    stds = {one.name: one.bias_std for one in instruments}
    unknown = [bool(stds and name and name not in stds) for name in named]
    rows.refuse(
        unknown,
        lambda i: (
            f"instrument must be one that the problem states, {listed(tuple(stds))}, or empty, got "
            f"{shown(named[i])!r}; {nearest(named[i], stds)}"
        ),
    )
    biased = [stds.get(name, 0.0) > 0 for name in named]
    fields = [pde.fields[c] for c in channel]
    first: dict[str, int] = {}
    for i, name in enumerate(named):
        if biased[i]:
            first.setdefault(name, i)
    rows.refuse(
        [b and fields[i].units != fields[first[named[i]]].units for i, b in enumerate(biased)],
        lambda i: _of_two_units(named[i], [fields[first[named[i]]], fields[i]]),
    )
    keys = [(n, f.name) if b else None for n, f, b in zip(named, fields, biased, strict=True)]
    numbers = {key: k for k, key in enumerate(dict.fromkeys(filter(None, keys)))}
    _check_sizes(keys, stds, table.value.abs().to_numpy(), rows)
    return Biases(
        np.array([-1 if key is None else numbers[key] for key in keys], dtype=int),
        np.array([stds[name] for name, _ in numbers]),
        tuple(bias_name(*key) for key in numbers),
    )


def _check_use(named: list[str], instruments: Sequence[Instrument], rows: Rows) -> None:
    """Warn of names without stated instruments, and of instruments without names."""
    if any(named) and not instruments:
        warn_input(
            f"{rows.origin}: the column 'instrument' is not used, since the problem states no "
            f"instrument; state the bias_std of each in [[instrument]] of a problem file, or as "
            f"instruments={{{shown(next(filter(None, named)))!r}: ...}}, or drop the column"
        )
    if instruments and not any(named):
        warn_input(
            f"{rows.origin}: the instruments of the problem are not used, since no reading names "
            f"one; add the column 'instrument', or remove [[instrument]]"
        )


def _check_sizes(
    keys: list[tuple[str, str] | None], stds: dict[str, float], sizes: np.ndarray, rows: Rows
) -> None:
    """Refuse biases next to which rounding would hide what their readings state."""
    largest: dict[tuple[str, str] | None, float] = {}
    for key, size in zip(keys, sizes, strict=True):
        largest[key] = max(largest.get(key, 0.0), float(size))
    rows.refuse(
        [key is not None and stds[key[0]] > _LARGEST * largest[key] > 0 for key in keys],
        lambda i: _too_large(keys[i], stds, largest[keys[i]]),
    )


def _too_large(key: tuple[str, str] | None, stds: dict[str, float], size: float) -> str:
    assert key is not None
    name, field = key
    return (
        f"bias_std of instrument {shown(name)!r} must be at most {_LARGEST:g} times its readings "
        f"of {field}, which are up to {size:.3g} in size, got {stds[name]:g}; state a smaller one"
    )


def _of_two_units(name: str, fields: list) -> str:
    read = " and ".join(f"{f.name} in {f.units}" for f in fields)
    return (
        f"instrument {shown(name)!r} must read fields of one unit, that of its bias_std, got {read}"
        f"; give the readings of each unit an instrument of their own"
    )

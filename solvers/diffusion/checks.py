"""Checks of settings, shared by the diffusion solvers and the guidance terms."""

from __future__ import annotations

import math
from numbers import Real

from pdeinv.errors import InputError

__all__ = ["check_below", "check_choice", "check_positive", "check_weights", "check_whole"]


def check_choice(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices; arguments and errors as for `check_whole`."""
    if value not in choices:
        raise InputError(
            f"{name} of {owner} must be {' or '.join(map(repr, choices))}, got {value!r}; use "
            f"{choices[0]!r}"
        )


def check_whole(owner: str, name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number of at least `least`.

    Arguments:
        owner: the solver or term, as the message names it.
        name: of the setting.
        value: the setting.
        least: the smallest value allowed.

    Raises:
        InputError: the value is of another kind, or too small.
    """
    if not isinstance(value, int) or value < least:
        raise InputError(
            f"{name} of {owner} must be a whole number of at least {least}, got {value!r}; "
            f"use {least} or more"
        )


def check_positive(owner: str, name: str, value: object, *, finite: bool = True) -> None:
    """Refuse what is not a positive number; arguments and errors as for `check_whole`.

    Arguments:
        finite: refuse infinity too.
    """
    if not isinstance(value, Real) or not float(value) > 0 or (finite and math.isinf(value)):
        raise InputError(
            f"{name} of {owner} must be a positive number, got {value!r}; use one above 0"
        )


def check_weights(owner: str, name: str, value: object) -> None:
    """Refuse what is not a pair of finite numbers, none negative; else as `check_whole`."""
    numbers = value if isinstance(value, tuple | list) else ()
    if len(numbers) != 2 or not all(
        isinstance(w, Real) and 0 <= float(w) < math.inf for w in numbers
    ):
        raise InputError(
            f"{name} of {owner} must be two finite numbers, none negative, got {value!r}; use "
            f"(1.0, 1.0)"
        )


def check_below(owner: str, low: tuple[str, float], high: tuple[str, float]) -> None:
    """Refuse a pair of settings, each a name and a value, of which the first is not below the
    second.

    Raises:
        InputError: the values are equal or in the wrong order.
    """
    if not low[1] < high[1]:
        raise InputError(
            f"{low[0]} of {owner} must be below {high[0]} = {high[1]!r}, got {low[1]!r}; lower it"
        )

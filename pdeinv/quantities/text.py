"""Quantities as texts, as the command line has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pdeinv.errors import InputError
from pdeinv.quantities.base import PosteriorMap, Quantity
from pdeinv.quantities.flux import SIDES, Flux
from pdeinv.quantities.maps import Exceedance, Quantile
from pdeinv.quantities.mean import Mean
from pdeinv.quantities.travel import TravelTime
from pdeinv.sensors.column_names import nearest

__all__ = ["FORMS", "parse_quantities", "parse_quantity"]

FORMS = {
    "flux": "flux:SIDE or flux:X1,Y1:X2,Y2",
    "mean": "mean:FIELD or mean:FIELD:FILE.geojson",
    "time": "time:X,Y or time:X,Y:SIDE or time:X,Y:FILE.geojson, with :porosity=N",
    "exceeds": "exceeds:FIELD:THRESHOLD",
    "quantile": "quantile:FIELD:PROBABILITY",
}
"""How each kind of quantity is written."""

_Parsed = tuple[str, Quantity | PosteriorMap]


def parse_quantities(texts: Iterable[str]) -> dict[str, Quantity | PosteriorMap]:
    """Return the quantities of texts by their names.

    Arguments:
        texts: each as of `parse_quantity`.

    Raises:
        InputError: as of `parse_quantity`, or two have one name.
    """
    found: dict[str, Quantity | PosteriorMap] = {}
    for text in texts:
        name, one = parse_quantity(text)
        if name in found:
            raise InputError(
                f"quantities must have different names, got {name!r} twice; write NAME={text}"
            )
        found[name] = one
    return found


def parse_quantity(text: str) -> _Parsed:
    """Return the name and the quantity of a text `NAME=KIND:...`, see `FORMS`.

    The name may be left out; then it is made of the kind and the field or the side. Numbers that
    have a default follow as `:porosity=0.25` and `:thickness=20`.

    Arguments:
        text: of the quantity.

    Raises:
        InputError: the text has another form.

    Example:
        >>> parse_quantity("outflow=flux:left")
        ('outflow', Flux(side='left', line=None, thickness=None, fields=('flux_x', 'flux_y')))
    """
    head = text.partition(":")[0]
    given, equals, rest = text.partition("=") if "=" in head else ("", "", text)
    kind, *parts = (part.strip() for part in rest.split(":"))
    if kind not in _KINDS:
        raise InputError(
            f"a quantity must be one of {', '.join(FORMS)}, got {text!r}; {nearest(kind, FORMS)}"
        )
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    plain = [part for part in parts if "=" not in part]
    known = {"flux": ("thickness",), "time": ("porosity", "thickness")}.get(kind, ())
    for option in options:
        if option not in known:
            raise InputError(
                f"{kind} must have the form {FORMS[kind]}, got {text!r} with {option}=; leave it "
                f"out"
            )
    numbers = {name: _number(text, kind, value) for name, value in options.items()}
    name, one = _KINDS[kind](text, plain, numbers)
    return (given.strip() if equals else name), one


def _flux(text: str, parts: list[str], numbers: dict[str, float]) -> _Parsed:
    if len(parts) == 1 and "," not in parts[0]:
        if parts[0] not in SIDES:
            raise InputError(
                f"the side of a flux must be one of {', '.join(SIDES)}, got {text!r}; "
                f"{nearest(parts[0], SIDES)}"
            )
        return f"flux_{parts[0]}", Flux(side=parts[0], thickness=numbers.get("thickness"))
    start, end = _exactly(text, "flux", parts, 2)
    line = _point(text, "flux", start), _point(text, "flux", end)
    return "flux", Flux(line=line, thickness=numbers.get("thickness"))


def _mean(text: str, parts: list[str], numbers: dict[str, float]) -> _Parsed:
    field, *file = _exactly(text, "mean", parts, 1, 2)
    return f"mean_{field}", Mean(field, *file)


def _time(text: str, parts: list[str], numbers: dict[str, float]) -> _Parsed:
    point, *to = _exactly(text, "time", parts, 1, 2)
    porosity, thickness = (numbers.get(name, 1.0) for name in ("porosity", "thickness"))
    start, end = _point(text, "time", point), to[0] if to else None
    return "time", TravelTime(start, end, porosity, thickness)


def _exceeds(text: str, parts: list[str], numbers: dict[str, float]) -> _Parsed:
    field, threshold = _exactly(text, "exceeds", parts, 2)
    return f"{field}_exceeds_{threshold}", Exceedance(field, _number(text, "exceeds", threshold))


def _quantile(text: str, parts: list[str], numbers: dict[str, float]) -> _Parsed:
    field, q = _exactly(text, "quantile", parts, 2)
    return f"{field}_quantile_{q}", Quantile(field, _number(text, "quantile", q))


_KINDS: dict[str, Callable[[str, list[str], dict[str, float]], _Parsed]] = {
    "flux": _flux,
    "mean": _mean,
    "time": _time,
    "exceeds": _exceeds,
    "quantile": _quantile,
}


def _exactly(text: str, kind: str, parts: list[str], *counts: int) -> list[str]:
    if len(parts) not in counts or not all(parts):
        raise InputError(f"{kind} must have the form {FORMS[kind]}, got {text!r}; correct it")
    return parts


def _point(text: str, kind: str, given: str) -> tuple[float, float]:
    x, y = _exactly(text, kind, given.split(","), 2)
    return _number(text, kind, x), _number(text, kind, y)


def _number(text: str, kind: str, given: str) -> float:
    try:
        return float(given)
    except ValueError:
        raise InputError(
            f"{kind} must have the form {FORMS[kind]}, got {text!r}, in which {given!r} is no "
            f"number; correct it"
        ) from None

"""What the name of a column in a table of readings may stand for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ["instead_of", "is_same", "listed", "meant_by", "nearest", "remedy_for", "shown"]

_RENAME = "rename it to noise_std if it is the standard deviation of the noise in units of value"
# Words of uncertainties, whole or as a beginning, and what to do with such a column
_UNCERTAINTIES = (
    ({"var", "vars", "mse"}, ("varianc", "varianz"), "give its square root as noise_std"),
    ({"wt"}, ("weight",), "give 1 / sqrt(weight) as noise_std if it is an inverse variance"),
    ({"ci"}, ("confid",), "give the standard deviation that it implies as noise_std"),
    (
        {"sd", "se", "sem", "rms", "mae", "unc", "tol", "dev", "sig", "fehler", "streuung"},
        (
            *("noise", "std", "sigma", "err", "uncert", "deviation", "toler", "accura", "precis"),
            *("rmse", "standardabw", "unsicher", "incert"),
        ),
        _RENAME,
    ),
)
# Other words for columns
_OTHER_WORDS = {
    "censored": {"censoring", "detection", "nondetect", "lod", "loq", "qualifier"},
    "instrument": {"device", "probe", "sensor", "logger", "gauge"},
    "replicate": {"date", "run", "survey", "campaign", "repeat"},
}
_LABELS = {"code", "codes", "flag", "flags", "id", "status", "message", "count", "name"}


def shown(value: object) -> str:
    """Return a cell or a name as a message has it, cut where it is long."""
    text = " ".join(str(value).split())
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 40 else f"{text[:40]}..."


def listed(names: tuple[str, ...] | list[str], most: int = 8) -> str:
    """Return names as a message has them: the first ones, each cut where it is long."""
    text = ", ".join(repr(shown(name)) for name in names[:most])
    return f"{text} and {len(names) - most} more" if len(names) > most else text


def instead_of(column: str, names: list[str]) -> str:
    """Return the rest of the sentence about a column that is missing."""
    for name in names:
        if is_same(name, column):
            return f" but {shown(name)!r}; rename it to {column!r}"
    return (
        f"; its columns must be field, x, y, value and, optionally, noise_std (found: "
        f"{listed(names) or 'none'})"
    )


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the remedy for a word that is none of some words."""
    of_lower = {one.lower(): one for one in words}
    near = difflib.get_close_matches(word.lower(), [*of_lower], 1)
    near = near or [one for one in of_lower if word and one.startswith(word.lower())]
    return f"did you mean {of_lower[near[0]]!r}?" if near else "use one of these"


def is_same(name: str, column: str) -> bool:
    """Return whether a name is that of a column but for case, blanks, and a unit in brackets."""
    return re.sub(r"[\[(<{/].*|[\s_]", "", name).lower() == re.sub("_", "", column)


def meant_by(name: str, columns: Iterable[str]) -> str | None:
    """Return which of some columns a name may stand for: misspelt, in another case, or another word
    for it; else None.

    Example:
        >>> names = ("Time [s]", "tme", "x_2", "device", "depth")
        >>> [meant_by(name, ["time", "x2", "instrument"]) for name in names]
        ['time', 'time', 'x2', 'instrument', None]
    """
    given = list(columns)
    words = re.findall(r"[a-z]+", re.sub(r"[\[(<{/].*", "", name).lower())
    words = ["time"] if words == ["t"] else words
    same = (column for column in given if is_same(name, column))
    near = (one for word in words for one in difflib.get_close_matches(word, given, 1, 0.75))
    other = (column for column in given if _OTHER_WORDS.get(column, set()) & {*words})
    return next((found for group in (same, near, other) for found in group), None)


def remedy_for(column: str) -> str | None:
    """Return what to do with a column whose name is that of an uncertainty; None for another."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).replace(".", "").lower()
    if re.search(r"±|\+\s*/?\s*-|σ", spaced):
        return _RENAME
    words = {w for w in re.split(r"[^a-z]+", spaced.replace("value", " value ")) if w}
    if words & _LABELS:
        return None
    for whole, beginnings, remedy in _UNCERTAINTIES:
        if any(word in whole or word.startswith(beginnings) for word in words):
            return remedy
    return _RENAME if "value" in words and words & {"d", "delta"} else None

"""Names of methods and metrics in tables and figures, and the order of the PDEs there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pdeinv.benchmarks import published
from pdeinv.benchmarks.records import TASK, Record, values_of
from pdeinv.benchmarks.summary import is_limit
from pdeinv.datasets import PDES

__all__ = [
    "METRICS",
    "SYMMETRY_USES",
    "field_label",
    "labelled",
    "method_line",
    "method_name",
    "pde_order",
    "place_of",
]

METRICS = {"relative_l2": "relative L2", "error_rate": "error rate"}

SYMMETRY_USES: dict[bool | str, str] = {
    False: "none",
    True: "EquiReg",
    "identity": "identity alone",
    "equi": "*Equi*",
    "reweight": "reweighted",
}
"""Names of EquiReg and its variants where they are compared, by the record's `equireg`."""

_DISTINGUISHED: dict[str, Callable[[Any], str]] = {
    "settings": lambda text: ", ".join(f"{k} {v}" for k, v in json.loads(text).items()),
    "given_prior": lambda prior: f"prior {prior}",
    "samples": lambda n: f"{n} samples",
}


def pde_order(pde: str) -> tuple[int, str]:
    """Return a PDE's sorting key: the published ones, the other registered ones, then by name."""
    known = list(dict.fromkeys((*published.PDES, *PDES)))
    return (known.index(pde) if pde in known else len(known)), pde


def place_of(record: Record) -> str:
    """Return the name of a record's PDE; of a family also its name, the sensors and the noise, in
    which the tasks of one page may differ."""
    if not record.get("family"):
        return str(record["pde"])
    readings = f"{record['sensors']} sensors, noise {100 * record['noise']:g} %"
    return f"{record['pde']} {record['family']}, {readings}"


def method_name(record: Record) -> str:
    """Return a method's name with its EquiReg, and one name for the limits of all PDEs."""
    return "the limit" if is_limit(record) else record["method"] + _equireg(record)


def method_line(record: Record) -> str:
    """Return a method's name with its EquiReg and, if it evaluated a network, its steps."""
    evaluated = record.get("steps") and record.get("network_evaluations") != 0
    steps = f", {record['steps']} steps" if evaluated else ""
    return record["method"] + steps + _equireg(record)


def field_label(record: Record) -> str:
    """Return the name of a record's field, with the metric if it is the error rate."""
    return record["field"] + (" (error rate)" if record["metric"] == "error_rate" else "")


def labelled(records: list[Record]) -> list[Record]:
    """Return the records with a `label`, as `method_name`, and a `line`, as `method_line`.

    Both names include what distinguishes a method's settings, priors or numbers of samples where
    it has run on one task with several of them.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for r in records:
        place = values_of(r, (*TASK, "field", "metric"))
        groups.setdefault((method_line(r), *place), []).append(r)
    several: dict[str, set[str]] = {}
    for group in groups.values():
        several.setdefault(method_name(group[0]), set()).update(
            k for k in _DISTINGUISHED if len({r.get(k) for r in group}) > 1
        )
    found = []
    for r in records:
        name = method_name(r)
        more = "".join(
            f", {label(r[k])}"
            for k, label in _DISTINGUISHED.items()
            if k in several[name] and r.get(k)
        )
        found.append(r | {"label": name + more, "line": method_line(r) + more})
    return found


def _equireg(record: Record) -> str:
    variant = record.get("equireg", False)
    return {False: "", True: ", EquiReg"}.get(variant, f", EquiReg ({variant})")

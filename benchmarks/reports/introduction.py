"""What the page of a benchmark states first: the tasks, the measures and the provenance."""

from __future__ import annotations

import re

from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.summary import FAMILY_LIMITS, LIMITS

__all__ = ["introduction"]


def introduction(records: list[Record]) -> str:
    """Return the tasks, the measures and the provenance in words."""

    def all_of(name: str) -> str:
        parts = (part for r in records if name in r for part in r[name].split("; "))
        return "; ".join(dict.fromkeys(parts))

    first, words = records[0], []
    limits = FAMILY_LIMITS if first.get("family") else LIMITS
    readings = f"{first['sensors']} sensors, noise {first['noise']:g}"
    if first.get("family"):
        readings = "sensors and noise as each task states"
    words.append(
        f"{first['grid']} x {first['grid']} nodes, {readings}, seed {first['seed']}. Errors are "
        "those of the posterior mean of as many samples as the tables state, with the standard "
        "error over instances: relative L2, or the error rate of a coefficient with two values. "
        "Coverage is by the truth's rank among the samples. *The limit* is the solver that uses "
        f"the distribution of the coefficients itself: {', '.join(limits)}."
    )
    if first["variant"] != "standard":
        words.append(
            f"The fields are out of distribution, *{first['variant']}*; the methods keep the "
            "standard prior."
        )
    if first.get("family"):
        words.append(
            "Methods for which a family is no prior have the default one of the PDE, such as "
            "*level-set* and *gaussian*."
        )
    settings = sorted({(r["method"], r["settings"]) for r in records if r["settings"]})
    if settings:
        unusual = "; ".join(method + " " + re.sub(r'[{}"]', "", text) for method, text in settings)
        words.append(f"Settings other than the defaults: {unusual}.")
    words.append(
        f"Made by `{all_of('command')}` at commit {all_of('commit')} with {all_of('versions')} on "
        f"{all_of('machine')}."
    )
    return " ".join(words)

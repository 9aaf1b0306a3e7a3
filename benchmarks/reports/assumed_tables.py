"""Tables of reconstructions with numbers that are right, wrong or left out."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import coverage_head, render_table
from pdeinv.benchmarks.reports.queries import Values, mean, ratio

__all__ = [
    "alarm_rates_table",
    "alarms_table",
    "assumed_table",
    "calibrations_table",
    "model_choice_table",
    "number_table",
]

_FIRST = ("known", "right", "without outliers")
"""Settings against which the errors of the others are compared."""


def assumed_table(records: list[Record]) -> str:
    """Return a table with a line for each case, field and setting: errors, their ratio to those of
    the first of `_FIRST` on the same truths, coverage, alarms and seconds.

    Arguments:
        records: of `ASSUMED`.
    """
    rows = []
    for (case, name, setting), mine in _groups(records, "case", "field", "setting"):
        base = [
            r for r in records if (r["case"], r["field"]) == (case, name) and r["setting"] in _FIRST
        ]
        errors, others = _values(mine, "error"), _values(base, "error")
        compared = setting not in _FIRST and len(errors.keys() & others.keys()) > 1
        alarms = [r for r in mine if r["alarm"]]
        rows.append(
            [
                *(str(case), str(name), str(setting)),
                _mean(errors, 100),
                f"{ratio(errors, others):.3f}" if compared and any(others.values()) else "-",
                _mean(_values(mine, "coverage90"), 100),
                _mean(_values(mine, "rank_coverage90"), 100),
                f"{len(alarms)} of {len(mine)}",
                f"{fmean(r['seconds'] for r in mine):.1f}",
                str(len(errors)),
            ]
        )
    numbers = (
        *("error, %", "over that of the right numbers", coverage_head(90)),
        *("of ranks", "alarms", "processor seconds", "truths"),
    )
    return render_table(["case", "field", "setting"], numbers, rows)


def alarms_table(records: list[Record]) -> str:
    """Return a table of the alarms of each case and setting: how many truths have one, and the text
    of the first of these.

    Arguments:
        records: of `ASSUMED`.
    """
    rows = []
    for (case, setting), mine in _groups(records, "case", "setting"):
        of_truth = {r["instance"]: r["alarm"] for r in mine}
        texts = [text for text in of_truth.values() if text]
        first = texts[0].replace("|", "/") if texts else "-"
        rows.append([str(case), str(setting), first, f"{len(texts)} of {len(of_truth)}"])
    return render_table(["case", "setting", "first alarm"], ["truths with an alarm"], rows)


def number_table(records: list[Record]) -> str:
    """Return a table of the inferred numbers whose truth is stated: how often the 90 % interval
    holds it.

    Arguments:
        records: of `ASSUMED`.
    """
    found: dict[tuple[str, str, str], dict[int, bool]] = {}
    for r in records:
        for name, (true, _, low, high) in r["numbers"].items():
            if None not in (true, low, high):
                place = (r["case"], r["setting"], name)
                found.setdefault(place, {})[r["instance"]] = low <= true <= high
    rows = [
        [*place, f"{sum(held.values())} of {len(held)}"] for place, held in sorted(found.items())
    ]
    return render_table(["case", "setting", "number"], ["90 % interval holds the truth"], rows)


def alarm_rates_table(records: list[Record]) -> str:
    """Return a table of how often tables give an alarm, and how often the wrong reading is the
    worst, by the size of its error.

    Arguments:
        records: of `ALARM_RATES`.
    """
    rows = []
    for (case, setting, size), mine in _groups(records, "case", "setting", "size"):
        rows.append(
            [
                *(str(case), str(setting), f"{size:g}" if size else "none"),
                _mean({r["instance"]: float(bool(r["alarm"])) for r in mine}, 100),
                _mean(_values(mine, "found"), 100) if size else "-",
                str(len(mine)),
            ]
        )
    heads = ("alarms, %", "wrong reading found, %", "tables")
    return render_table(["case", "solver", "error, standard deviations"], heads, rows)


def model_choice_table(records: list[Record]) -> str:
    """Return a table of how often the evidence is for the right prior.

    Arguments:
        records: of `MODEL_CHOICES`.
    """
    rows = []
    for (case,), mine in _groups(records, "case"):
        of = {
            flag: _values([r for r in mine if r["right"] == flag], "log_evidence")
            for flag in (0, 1)
        }
        shared = sorted(of[0].keys() & of[1].keys())
        gains = {i: of[1][i] - of[0][i] for i in shared}
        wins = sum(gain > 0 for gain in gains.values())
        rows.append([str(case), f"{wins} of {len(gains)}", _mean(gains, 1)])
    return render_table(["case"], ["right prior chosen", "log Bayes factor"], rows)


def calibrations_table(records: list[Record]) -> str:
    """Return a table of calibrations: their p-values and coverage.

    Arguments:
        records: of `CALIBRATIONS`.
    """
    rows = []
    for (case, setting), mine in _groups(records, "case", "setting"):
        failed = sum(r["p_value"] < 0.01 for r in mine)
        rows.append(
            [
                *(str(case), str(setting), f"{failed} of {len(mine)}"),
                f"{max(r['p_value'] for r in mine):.1e}",
                _mean(_values(mine, "coverage50"), 100),
                _mean(_values(mine, "coverage90"), 100),
                str(mine[0]["draws"]),
            ]
        )
    heads = ("p below 0.01", "largest p", coverage_head(50), coverage_head(90), "draws")
    return render_table(["case", "prior"], heads, rows)


def _groups(
    records: Iterable[Record], *names: str
) -> Iterable[tuple[tuple[object, ...], list[Record]]]:
    """Yield the records that share values, in the order of the first of each."""
    found: dict[tuple[object, ...], list[Record]] = {}
    for r in records:
        found.setdefault(tuple(r[name] for name in names), []).append(r)
    yield from found.items()


def _values(records: Iterable[Record], name: str) -> Values:
    """Return a score by the instance's number, where it is known."""
    return {r["instance"]: float(r[name]) for r in records if r[name] is not None}


def _mean(values: Values, factor: float) -> str:
    """Return the mean with its standard error; one value has none."""
    if len(values) > 1:
        return f"{factor * mean(values):.1f}"
    return f"{factor * next(iter(values.values())):.1f}" if values else "-"

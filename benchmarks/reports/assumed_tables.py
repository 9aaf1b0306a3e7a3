"""Tables of reconstructions with numbers that are right, wrong or left out."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from scipy.stats import binomtest

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
    """Return a table with a line for each case, field and setting: errors, coverage, alarms and
    seconds.

    Errors are compared with those of the first of `_FIRST` on the same truths: by the ratio of the
    mean errors, which large errors rule, and by the mean of the ratios, in which all count alike.

    Arguments:
        records: of `ASSUMED`.
    """
    base = next((name for name in _FIRST if any(r["setting"] == name for r in records)), None)
    rows = []
    for (case, name, setting), mine in _groups(records, "case", "field", "setting"):
        first = [r for r in records if (r["case"], r["field"], r["setting"]) == (case, name, base)]
        errors = _values(mine, "error")
        rows.append(
            [
                *(str(case), str(name), str(setting)),
                _mean(errors, 100),
                *_compared(errors, _values(first, "error") if setting != base else {}),
                _mean(_values(mine, "coverage90"), 100),
                _mean(_values(mine, "rank_coverage90"), 100),
                f"{sum(bool(r['alarm']) for r in mine)} of {len(mine)}",
                f"{fmean(r['seconds'] for r in mine):.1f}",
                str(len(errors)),
            ]
        )
    numbers = (
        *(
            "error, %",
            f"over that of *{base or _FIRST[0]}*",
            "mean of the ratios",
            coverage_head(90),
        ),
        *("of ranks", "alarms", "processor seconds", "truths"),
    )
    return render_table(["case", "field", "setting"], numbers, rows)


def _compared(errors: Values, base: Values) -> tuple[str, str]:
    """Return the ratio of the mean errors on shared truths, and the mean of their ratios."""
    shared = [i for i in errors if base.get(i, 0) > 0]
    if len(shared) < 2:
        return "-", "-"
    ratios = {i: errors[i] / base[i] for i in shared}
    return f"{ratio({i: errors[i] for i in shared}, base):.3f}", f"{mean(ratios):.3f}"


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
    holds it, and how often the truth lies below and above.

    Arguments:
        records: of `ASSUMED`.
    """
    found: dict[tuple[str, str, str], dict[int, int]] = {}
    for r in records:
        for name, (true, _, low, high) in r["numbers"].items():
            if None not in (true, low, high):
                place = (r["case"], r["setting"], name)
                found.setdefault(place, {})[r["instance"]] = (true > high) - (true < low)
    rows = []
    for place, sides in sorted(found.items()):
        held, below, above = (sum(side == s for side in sides.values()) for s in (0, -1, 1))
        rows.append([*place, f"{held} of {len(sides)}", str(below), str(above)])
    heads = ("90 % interval holds the truth", "truth below it", "truth above it")
    return render_table(["case", "setting", "number"], heads, rows)


def alarm_rates_table(records: list[Record]) -> str:
    """Return a table of how often tables give an alarm, without a wrong reading and with one.

    Rates of tables without a wrong reading have the exact 95 % interval of a binomial share. Those
    with one are shown by the size of its error: the alarms, and the alarms of which that reading
    is the worst.

    Arguments:
        records: of `ALARM_RATES`.
    """
    sizes = sorted({r["size"] for r in records} - {0.0})
    rows = []
    for (case, setting), mine in _groups(records, "case", "setting"):
        by_size = {size: [r for r in mine if r["size"] == size] for size in (0.0, *sizes)}
        alarms = [sum(bool(r["alarm"]) for r in by_size[size]) for size in by_size]
        named = [sum(r["found"] for r in by_size[size] if r["alarm"]) for size in sizes]
        wrong = [len(by_size[size]) for size in sizes]
        rows.append(
            [
                *(str(case), str(setting), f"{alarms[0]} of {len(by_size[0.0])}"),
                _share(alarms[0], len(by_size[0.0])),
                *(f"{k} of {n}" for k, n in zip(alarms[1:], wrong, strict=True)),
                *(f"{k} of {n}" for k, n in zip(named, wrong, strict=True)),
            ]
        )
    heads = (
        *("alarms without a wrong reading", "in % (95 % interval)"),
        *(f"alarms at {size:g}" for size in sizes),
        *(f"named at {size:g}" for size in sizes),
    )
    return render_table(["case", "solver"], heads, rows)


def _share(k: int, n: int) -> str:
    """Return k of n in per cent with the exact 95 % interval."""
    if not n:
        return "-"
    ends = binomtest(k, n).proportion_ci(0.95)
    return f"{100 * k / n:.1f} ({100 * ends.low:.1f} to {100 * ends.high:.1f})"


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
                *(f"{end(r['p_value'] for r in mine):.2g}" for end in (min, max)),
                _mean(_values(mine, "coverage50"), 100),
                _mean(_values(mine, "coverage90"), 100),
                str(mine[0]["draws"]),
            ]
        )
    heads = ("p below 0.01", "least p", "largest p", coverage_head(50), coverage_head(90), "draws")
    return render_table(["case", "prior"], heads, rows)


def _groups(
    records: Iterable[Record], *names: str
) -> Iterable[tuple[tuple[object, ...], list[Record]]]:
    """Yield the records that share values: sorted by where each value stands first, the values of
    the first name before those of the second."""
    found: dict[tuple[object, ...], list[Record]] = {}
    places: list[dict[object, int]] = [{} for _ in names]
    for r in records:
        key = tuple(r[name] for name in names)
        found.setdefault(key, []).append(r)
        for value, known in zip(key, places, strict=True):
            known.setdefault(value, len(known))
    order = lambda key: [known[value] for value, known in zip(key, places, strict=True)]  # noqa: E731
    yield from ((key, found[key]) for key in sorted(found, key=order))


def _values(records: Iterable[Record], name: str) -> Values:
    """Return a score by the instance's number, where it is known."""
    return {r["instance"]: float(r[name]) for r in records if r[name] is not None}


def _mean(values: Values, factor: float) -> str:
    """Return the mean with its standard error; one value has none."""
    if len(values) > 1:
        return f"{factor * mean(values):.1f}"
    return f"{factor * next(iter(values.values())):.1f}" if values else "-"

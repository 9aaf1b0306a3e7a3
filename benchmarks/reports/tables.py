"""Tables of recorded results, as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

from pdeinv.benchmarks.published import best_published
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.labels import METRICS, field_label, labelled, pde_order
from pdeinv.benchmarks.reports.standings import Standing, paired_with_limit, ranked
from pdeinv.benchmarks.summary import LIMITS, paired_ratio

__all__ = [
    "beside_limit",
    "markdown_table",
    "numerics_table",
    "overall_table",
    "ranked_table",
    "reference_table",
    "render_table",
    "sensors_table",
    "table",
    "tasks_table",
]


def render_table(
    words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
    """Return a Markdown table.

    Arguments:
        words: heads of the first columns, aligned to the left.
        numbers: heads of the other columns, aligned to the right.
        rows: cells of each line.
    """
    rule = ["---"] * len(words) + ["---:"] * len(numbers)
    return "\n".join("| " + " | ".join(row) + " |" for row in [[*words, *numbers], rule, *rows])


def table(records: list[Record]) -> str:
    """Return the table that suits the records, sorted by PDE and task whatever their order."""
    records = sorted(
        records, key=lambda r: (pde_order(r["pde"]), r.get("task", ""), r.get("instance", 0))
    )
    if "measure" in records[0]:
        return numerics_table(records)
    if "distance" in records[0]:
        return reference_table(records)
    several = len({(r["sensors"], r["noise"]) for r in records}) > 1
    return sensors_table(records) if several else markdown_table(records)


def markdown_table(records: list[Record]) -> str:
    """Return a line for each summary: errors and coverage in per cent, seconds, instances."""
    words = ["PDE", "task", "field", "metric", "method"]
    numbers = ["error, %", "predicted, %", "coverage of 90 %, %", "seconds", "instances"]
    rows = [
        [
            *(r["pde"], r["task"], r["field"], METRICS[r["metric"]], r["line"], _error(r)),
            _number(r.get("predicted_error"), 100, ".2f"),
            _number(r["coverage90"], 100, ".1f"),
            _number(r.get("seconds_per_instance"), 1, ".2f"),
            str(r["instances"]),
        ]
        for r in labelled(records)
    ]
    return render_table(words, numbers, rows)


def ranked_table(records: list[Record]) -> str:
    """Return `tasks_table` and `overall_table`, one after the other."""
    return f"{tasks_table(records)}\n\n{overall_table(records)}"


def tasks_table(records: list[Record]) -> str:
    """Return the methods of each task by their error."""
    numbers = (
        "rank; error, %; over the limit; coverage of 90 %, %; CRPS; evaluations; seconds; "
        "samples; instances"
    )
    rows = [
        [
            *(f"{r['pde']} {r['task']}", field_label(r), r["line"], str(rank), _error(r)),
            _ratio(ratio, r),
            _number(r["coverage90"], 100, ".0f"),
            _number(r["crps"], 1, ".3g"),
            _number(r["network_evaluations"], 1, ".0f"),
            _number(r.get("seconds_per_instance"), 1, ".2f"),
            *(str(r["samples"]), str(r["instances"])),
        ]
        for rank, r, ratio in ranked(records)
    ]
    return render_table(["task", "field", "method"], numbers.split("; "), rows)


def overall_table(records: list[Record]) -> str:
    """Return how the methods stand over all tasks, by their mean rank."""
    places: dict[str, list[Standing]] = {}
    found = ranked(records)
    runs = Counter((r["pde"], r["task"], r["field"], r["label"]) for _, r, _ in found)
    # Methods that ran with several numbers of steps
    several = {name for (*_, name), count in runs.items() if count > 1}
    for place in found:
        r = place.record
        places.setdefault(r["line" if r["label"] in several else "label"], []).append(place)
    rows = []
    for name, group in sorted(places.items(), key=lambda item: fmean(p.rank for p in item[1])):
        logs = [math.log(p.over_limit) for p in group if p.over_limit]
        rows.append(
            [
                name,
                f"{fmean(p.rank for p in group):.1f}",
                f"{math.exp(fmean(logs)):.2f}" if logs else "",
                _mean((p.record["coverage90"] for p in group), 100, ".0f"),
                _mean((p.record["network_evaluations"] for p in group), 1, ".0f"),
                _mean((p.record.get("seconds_per_instance") for p in group), 1, ".2f"),
                str(len(group)),
            ]
        )
    numbers = (
        "mean rank; over the limit, geometric mean; coverage of 90 %, %; evaluations; seconds; "
        "tasks"
    )
    return render_table(["method"], numbers.split("; "), rows)


def sensors_table(records: list[Record]) -> str:
    """Return errors in per cent with a column for each number of sensors.

    There is a line for each task, method and noise level.
    """
    counts = sorted({r["sensors"] for r in records})
    lines: dict[tuple[str, ...], dict[int, Record]] = {}
    for r in labelled(records):
        place = (r["pde"], r["task"], r["field"], METRICS[r["metric"]], r["line"])
        lines.setdefault((*place, f"{100 * r['noise']:g} %"), {})[r["sensors"]] = r
    rows = [
        [*place, *(_error(line[m]) if m in line else "" for m in counts)]
        for place, line in lines.items()
    ]
    words = ["PDE", "task", "field", "metric", "method", "noise"]
    return render_table(words, [f"{m} sensors" for m in counts], rows)


def reference_table(records: list[Record]) -> str:
    """Return solvers compared with long chains, in per cent of the truth's norm.

    Arguments:
        records: as `pdeinv study reference` writes them.
    """
    rows = []
    for r in records:
        values = (
            *(r["error_solver"], r["error_chains"], r["distance"]),
            math.hypot(r["monte_carlo_chains"], r["monte_carlo_solver"]),
            *(r["spread_solver"], r["spread_chains"], r["starts_apart"], *r["r_hat"]),
        )
        rows.append([r["pde"], r["task"], str(r["instance"]), *(f"{v:.2f}" for v in values)])
    numbers = (
        "error, solver; error, chains; distance of the means; its Monte-Carlo error; "
        "spread, solver; spread, chains; starts apart; R-hat, median; R-hat, largest"
    )
    return render_table(["PDE", "task", "instance"], numbers.split("; "), rows)


def numerics_table(records: list[Record]) -> str:
    """Return solver errors, generation times and statistics.

    Arguments:
        records: as `pdeinv study numerics` writes them.
    """
    rows = []
    for r in records:
        what = r["measure"] + (f" against {r['reference']}" if "reference" in r else "")
        published = (
            f"{r['published']:.3g} ({100 * r['relative_difference']:+.1f} %)"
            if "published" in r
            else ""
        )
        rows.append([r["pde"], what, f"{r['value']:.3g}", published, str(r["instances"])])
    numbers = ["value", "published (difference)", "instances"]
    return render_table(["PDE", "measure"], numbers, rows)


def beside_limit(rows: list[Record], method: str = "moment") -> str:
    """Return a method compared with the limit, over the instances that both have solved.

    The ratio's standard error is that of the paired instances.

    Arguments:
        rows: records of instances.
        method: name of the method.
    """
    lines = []
    for (pde, task, _), (own, best) in paired_with_limit(rows, method).items():
        ours, limit = ([r["error"] for r in side] for side in (own, best))
        ratio, noise = paired_ratio(ours, limit)
        published, n = best_published(pde, task), len(own)
        lines.append(
            [
                *(f"{pde} {task}", field_label(own[0])),
                f"{100 * fmean(ours):.2f} ± {100 * stdev(ours) / n**0.5:.2f}",
                f"{100 * fmean(limit):.2f}",
                f"{ratio:.2f} ± {noise:.2f}",
                "" if published is None else f"{published:.2f}",
                f"{100 * fmean(r['coverage90'] for r in own):.0f}",
                *(f"{fmean(r['crps'] for r in side):.3g}" for side in (own, best)),
                f"{fmean(r['network_evaluations'] for r in own):.0f}",
                f"{fmean(r['seconds_per_instance'] for r in own):.0f}",
                str(n),
            ]
        )
    numbers = (
        "limit, %; ratio; best published, %; coverage of 90 %, %; CRPS; its limit; evaluations; "
        "seconds; instances"
    )
    return render_table(["task", "field"], [f"{method}, %", *numbers.split("; ")], lines)


def _number(value: float | None, unit: float, form: str) -> str:
    return "" if value is None else format(unit * value, form)


def _mean(values: Iterable[Any], unit: float, form: str) -> str:
    """Return a mean without what a run that diverged, or was not timed alone, lacks."""
    known = [v for v in values if v is not None]
    return _number(fmean(known), unit, form) if known else ""


def _ratio(ratio: float | None, record: Record) -> str:
    alone = (
        ratio in (None, math.inf) or record["method"] in LIMITS or record["over_limit_se"] is None
    )
    return _number(ratio, 1, ".2f") + ("" if alone else f" ± {record['over_limit_se']:.2f}")


def _error(record: Record) -> str:
    """Return the error in per cent with its standard error over instances."""
    if record["error"] is None:
        return "diverged"
    noise = "" if record["error_se"] is None else f" ± {100 * record['error_se']:.2f}"
    return f"{100 * record['error']:.2f}{noise}"

"""Tables of recorded results, as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from statistics import fmean, stdev

from pdeinv.benchmarks.kinds import SUMMARIES
from pdeinv.benchmarks.published import PUBLISHED, best_published
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import (
    coverage_head,
    coverage_level,
    format_number,
    mean_of_known,
    render_table,
    render_timed,
    seconds_of,
    shown_coverage,
)
from pdeinv.benchmarks.reports.labels import METRICS, field_label, labelled, pde_order, place_of
from pdeinv.benchmarks.reports.standings import Standing, paired_with_limit, ranked
from pdeinv.benchmarks.study_kinds import NUMERICS, REFERENCES
from pdeinv.benchmarks.summary import crps_of, is_limit, paired_ratio

__all__ = [
    "TABULATED",
    "beside_limit",
    "markdown_table",
    "numerics_table",
    "overall_table",
    "published_table",
    "ranked_table",
    "reference_table",
    "sensors_table",
    "table",
    "tasks_table",
]

TABULATED = (SUMMARIES, NUMERICS, REFERENCES)
"""The kinds of records that have a table; all records of one are of the same kind."""


def table(records: list[Record]) -> str:
    """Return the table that suits the records, sorted by PDE and task whatever their order."""
    records = sorted(
        records, key=lambda r: (pde_order(r["pde"]), r.get("task", ""), r.get("instance", 0))
    )
    if "measure" in records[0]:
        return numerics_table(records)
    if "distance" in records[0]:
        return reference_table(records)
    plain = [r for r in records if not r.get("family")]
    several = len({(r["sensors"], r["noise"]) for r in plain}) > 1
    return sensors_table(records) if several else markdown_table(records)


def markdown_table(records: list[Record]) -> str:
    """Return a line for each summary: errors and coverage in per cent, seconds, instances."""
    words = ["PDE", "task", "field", "metric", "method"]
    level = coverage_level(records)
    numbers = ["error, %", "predicted, %", coverage_head(level), "seconds", "instances"]
    rows = [
        [
            *(place_of(r), r["task"], r["field"], METRICS[r["metric"]], r["line"], _error(r)),
            format_number(r.get("predicted_error"), 100, ".2f"),
            shown_coverage([r], level, ".1f"),
            seconds_of([r]),
            str(r["instances"]),
        ]
        for r in labelled(records)
    ]
    return render_timed(words, numbers, rows, records)


def ranked_table(records: list[Record]) -> str:
    """Return `tasks_table` and `overall_table`, one after the other."""
    return f"{tasks_table(records)}\n\n{overall_table(records)}"


def tasks_table(records: list[Record]) -> str:
    """Return the methods of each task by the error of their mean."""
    level = coverage_level(records)
    numbers = (
        f"rank; error of the mean, %; over the limit; single sample, %; {coverage_head(level)}; "
        "CRPS; evaluations; seconds; samples; instances"
    )
    brier = any("brier" in r for r in records)
    if brier:
        numbers = numbers.replace("CRPS", "CRPS; Brier score")
    rows = [
        [
            *(f"{place_of(r)} {r['task']}", field_label(r), r["line"], str(rank), _error(r)),
            _ratio(ratio, r),
            format_number(r.get("sample_error"), 100, ".2f"),
            shown_coverage([r], level),
            format_number(crps_of(r), 1, ".3g"),
            *([format_number(r.get("brier"), 1, ".3f")] if brier else []),
            format_number(r["network_evaluations"], 1, ".0f"),
            seconds_of([r]),
            *(str(r["samples"]), str(r["instances"])),
        ]
        for rank, r, ratio in ranked(records)
    ]
    return render_timed(["task", "field", "method"], numbers.split("; "), rows, records)


def overall_table(records: list[Record]) -> str:
    """Return how the methods stand over all tasks, by their mean rank."""
    places: dict[str, list[Standing]] = {}
    found = ranked(records)
    runs = Counter((place_of(r), r["task"], r["field"], r["label"]) for _, r, _ in found)
    # Methods that ran with several numbers of steps
    several = {name for (*_, name), count in runs.items() if count > 1}
    for place in found:
        r = place.record
        places.setdefault(r["line" if r["label"] in several else "label"], []).append(place)
    rows, level = [], coverage_level(records)
    for name, group in sorted(places.items(), key=lambda item: fmean(p.rank for p in item[1])):
        own = [place.record for place in group]
        logs = [math.log(p.over_limit) for p in group if p.over_limit]
        rows.append(
            [
                name,
                f"{fmean(p.rank for p in group):.1f}",
                f"{math.exp(fmean(logs)):.2f}" if logs else "",
                shown_coverage(own, level),
                mean_of_known((r["network_evaluations"] for r in own), 1, ".0f"),
                seconds_of(own),
                str(len(group)),
            ]
        )
    numbers = (
        f"mean rank; over the limit, geometric mean; {coverage_head(level)}; evaluations; seconds; "
        "tasks"
    )
    return render_timed(["method"], numbers.split("; "), rows, [p.record for p in found])


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
        variant = r.get("variant", "standard")
        place = r["pde"] if variant == "standard" else f"{r['pde']}, {variant}"
        rows.append([place, r["task"], str(r["instance"]), *(f"{v:.2f}" for v in values)])
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
    """Return a method compared with published figures, and with the limit.

    Papers report single samples; √2 times the limit is what one of an exact posterior has in
    relative L2. The limit is compared with the method's mean, over the instances that both have
    solved. The ratio's standard error is that of the paired instances.

    Arguments:
        rows: records of instances.
        method: name of the method.
    """
    lines = []
    pairs = paired_with_limit(rows, method)
    level = coverage_level(r for own, _ in pairs.values() for r in own)
    for (pde, task, _), (own, best) in pairs.items():
        ours, limit = ([r["error"] for r in side] for side in (own, best))
        ratio, noise = paired_ratio(ours, limit)
        published, source = best_published(pde, task) or (None, "")
        rate = own[0]["metric"] == "error_rate"
        lines.append(
            [
                *(f"{pde} {task}", field_label(own[0])),
                _with_error([r["sample_error"] for r in own if "sample_error" in r]),
                "" if rate else f"{100 * 2**0.5 * fmean(limit):.2f}",
                format_number(published, 1, "g") + (source and f" ({source})"),
                *(_with_error(ours), f"{100 * fmean(limit):.2f}", f"{ratio:.2f} ± {noise:.2f}"),
                shown_coverage(own, level),
                *(mean_of_known(map(crps_of, side), 1, ".3g") for side in (own, best)),
                f"{fmean(r['network_evaluations'] for r in own):.0f}",
                *(seconds_of(own, ".0f"), str(len(own))),
            ]
        )
    numbers = (
        f"single sample: {method}, %; √2 times the limit, %; lowest published, %; mean: {method}, "
        f"%; limit, %; ratio; {coverage_head(level)}; CRPS; its limit; evaluations; seconds; "
        "instances"
    )
    timed = [r for own, _ in pairs.values() for r in own]
    return render_timed(["task", "field"], numbers.split("; "), lines, timed)


def published_table(records: list[Record]) -> str:
    """Return the errors of single samples: as papers report them, and of the records' methods.

    For the limit it is √2 times the error of the mean, without an error rate.

    Arguments:
        records: summaries.
    """
    tasks = list(next(iter(PUBLISHED.values()))[1])
    rows = []
    for name, (source, errors) in PUBLISHED.items():
        digits = max(len(str(error).split(".")[1]) for error in errors.values())
        found = {task: f"{error:.{digits}f}" for task, error in errors.items()}
        rows.append([name, source, *(found.get(task, "") for task in tasks)])
    names: dict[str, str] = {}
    lines: dict[str, dict[tuple[str, str], str]] = {}
    for _, r, _ in sorted(ranked(records), key=lambda place: not is_limit(place.record)):
        factor, error = 1.0, r.get("sample_error")
        if is_limit(r):
            factor, error = 2**0.5, None if r["metric"] == "error_rate" else r["error"]
        if error is not None:
            name = "√2 times the limit" if is_limit(r) else r["line"]
            names[r["label"]] = max(name, names.get(r["label"], ""), key=len)
            lines.setdefault(r["label"], {})[r["pde"], r["task"]] = f"{100 * factor * error:.2f}"
    for label, line in lines.items():
        rows.append([names[label], "these records", *(line.get(task, "") for task in tasks)])
    return render_table(["method", "source"], [" ".join(task) for task in tasks], rows)


def _with_error(values: list[float]) -> str:
    """Return a mean in per cent with its standard error, empty without two values."""
    if len(values) < 2:
        return ""
    return f"{100 * fmean(values):.2f} ± {100 * stdev(values) / len(values) ** 0.5:.2f}"


def _ratio(ratio: float | None, record: Record) -> str:
    alone = ratio in (None, math.inf) or is_limit(record) or record["over_limit_se"] is None
    return format_number(ratio, 1, ".2f") + ("" if alone else f" ± {record['over_limit_se']:.2f}")


def _error(record: Record) -> str:
    """Return the error in per cent with its standard error over instances."""
    if record["error"] is None:
        return "diverged"
    noise = "" if record["error_se"] is None else f" ± {100 * record['error_se']:.2f}"
    return f"{100 * record['error']:.2f}{noise}"

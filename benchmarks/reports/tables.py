"""Tables out of recorded results: `python -m pdeinv.benchmarks.reports.tables FILE.jsonl ...`."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from statistics import fmean, stdev

from pdeinv.benchmarks.published import best_published
from pdeinv.errors import InputError, run_cli

__all__ = [
    "LIMITS",
    "ORDER",
    "beside_limit",
    "chosen",
    "labelled",
    "markdown_table",
    "name_of",
    "numerics_table",
    "over_limit",
    "overall_table",
    "paired_ratio",
    "place_of",
    "ranked_table",
    "read_records",
    "reference_table",
    "sensors_table",
    "standings",
    "table",
    "tasks_table",
    "told_by",
]


def read_records(*paths: str | Path) -> list[dict]:
    """The records of one or more JSON-lines files."""
    records = []
    for path in paths:
        if not Path(path).is_file():
            raise InputError(
                f"there is no file {path}; give JSON-lines files that `pdeinv benchmark` wrote"
            )
        for number, line in enumerate(Path(path).read_text().splitlines(), 1):
            try:
                records.append(json.loads(line))
            except ValueError:
                raise InputError(
                    f"{path}, line {number} is not JSON; delete that line and run again"
                ) from None
    return records


LIMITS = ("gaussian", "gauss-newton", "level-set")
"""Solvers that know the coefficient's distribution: each the limit of the PDEs that it is made
for."""
ORDER = ("poisson", "helmholtz", "darcy", "navier-stokes")
"""In which tables name the PDEs."""


def place_of(pde: str) -> tuple[int, str]:
    """Where a PDE stands in a table; those of your own come last, by name."""
    return (ORDER.index(pde) if pde in ORDER else len(ORDER)), pde


_METRICS = {"relative_l2": "relative L2", "error_rate": "error rate"}


def table(records: list[dict]) -> str:
    """The table that suits the records, as Markdown, by PDE and task whatever their order."""
    records = sorted(
        records, key=lambda r: (place_of(r["pde"]), r.get("task", ""), r.get("instance", 0))
    )
    if "measure" in records[0]:
        return numerics_table(records)
    if "distance" in records[0]:
        return reference_table(records)
    several = len({(r["sensors"], r["noise"]) for r in records}) > 1
    return sensors_table(records) if several else markdown_table(records)


def markdown_table(records: list[dict]) -> str:
    """Benchmark records; errors and coverage in per cent, the error with its standard error over
    instances."""
    rows = []
    for r in labelled(records):
        rows.append(
            [r["pde"], r["task"], r["field"], _METRICS[r["metric"]], r["line"], _error(r)]
            + [_shown(r.get("predicted_error"), 100, ".2f"), _shown(r["coverage90"], 100, ".1f")]
            + [_shown(r.get("seconds_per_instance"), 1, ".2f"), str(r["instances"])]
        )
    numbers = ["error, %", "predicted, %", "coverage of 90 %, %", "seconds", "instances"]
    return _table(["PDE", "task", "field", "metric", "method"], numbers, rows)


def standings(records: list[dict]) -> dict[tuple, list[dict]]:
    """By PDE, task and scored field: the records in the measure that the papers report, the lowest
    error first.

    That is the error rate of a coefficient with two values, and the relative L2 error of all else.
    Where all of them share instances with the limit, its error over theirs decides, for methods may
    have run on more instances than others.
    """
    found: dict[tuple, list[dict]] = {}
    for r in records:
        found.setdefault((r["pde"], r["task"], r["field"]), []).append(r)
    result = {}
    for key, group in sorted(found.items(), key=lambda item: (place_of(item[0][0]), *item[0][1:])):
        scored = [r for r in group if r["metric"] == "error_rate"] or group
        paired = all("over_limit" in r or r["error"] is None for r in scored)
        measure = "over_limit" if paired else "error"
        result[key] = sorted(scored, key=lambda r: math.inf if r["error"] is None else r[measure])
    return result


def over_limit(records: list[dict]) -> list[float | None]:
    """Errors of one task's records over that of the solver which knows the coefficient's
    distribution, if it is there."""
    known = any(r["method"] in LIMITS for r in records)
    return [
        (math.inf if r["error"] is None else r.get("over_limit")) if known else None
        for r in records
    ]


def paired_ratio(ours: list[float], limit: list[float]) -> tuple[float, float | None]:
    """The ratio of the means of two errors on the same instances, and its standard error by the
    delta method."""
    ratio = fmean(ours) / fmean(limit)
    if len(ours) < 2:
        return ratio, None
    return ratio, stdev(a - ratio * b for a, b in zip(ours, limit, strict=True)) / fmean(
        limit
    ) / len(ours) ** 0.5


def ranked_table(records: list[dict]) -> str:
    """Markdown: `tasks_table` and `overall_table`."""
    return f"{tasks_table(records)}\n\n{overall_table(records)}"


def _ranked(records: list[dict]) -> list[tuple[int, dict, float | None]]:
    """Task by task: the rank of each record, the record, and its error over the limit."""
    return [
        (rank, r, ratio)
        for group in standings(labelled(records)).values()
        for rank, (r, ratio) in enumerate(zip(group, over_limit(group), strict=True), 1)
    ]


def tasks_table(records: list[dict]) -> str:
    """Markdown: the methods of each task by their error."""
    rows = []
    for rank, r, ratio in _ranked(records):
        field = r["field"] + (" (error rate)" if r["metric"] == "error_rate" else "")
        rows.append(
            [f"{r['pde']} {r['task']}", field, r["line"], str(rank), _error(r)]
            + [_ratio(ratio, r), _shown(r["coverage90"], 100, ".0f"), _shown(r["crps"], 1, ".3g")]
            + [
                _shown(r["network_evaluations"], 1, ".0f"),
                _shown(r.get("seconds_per_instance"), 1, ".2f"),
            ]
            + [str(r["samples"]), str(r["instances"])]
        )
    names = "rank; error, %; over the limit; coverage of 90 %, %; CRPS; evaluations; seconds; samples; instances"
    return _table(["task", "field", "method"], names.split("; "), rows)


def overall_table(records: list[dict]) -> str:
    """Markdown: how the methods stand over all tasks, by their mean rank."""
    places: dict[str, list[tuple]] = {}
    ranked = _ranked(records)
    runs = Counter((r["pde"], r["task"], r["field"], r["label"]) for _, r, _ in ranked)
    # With other numbers of steps
    several = {name for (*_, name), count in runs.items() if count > 1}
    for rank, r, ratio in ranked:
        name = r["line"] if r["label"] in several else r["label"]
        measured = (r["coverage90"], r["network_evaluations"], r.get("seconds_per_instance"))
        places.setdefault(name, []).append((rank, ratio, *measured))
    overall = []
    for name, found in sorted(places.items(), key=lambda item: fmean(rank for rank, *_ in item[1])):
        ranks, ratios, covered, evaluations, seconds = zip(*found, strict=True)
        logs = [math.log(ratio) for ratio in ratios if ratio]
        overall.append(
            [
                name,
                f"{fmean(ranks):.1f}",
                f"{math.exp(fmean(logs)):.2f}" if logs else "",
                _mean(covered, 100, ".0f"),
            ]
            + [_mean(evaluations, 1, ".0f"), _mean(seconds, 1, ".2f"), str(len(found))]
        )
    names = "mean rank; over the limit, geometric mean; coverage of 90 %, %; evaluations; seconds; tasks"
    return _table(["method"], names.split("; "), overall)


def sensors_table(records: list[dict]) -> str:
    """Errors in per cent with their standard errors, by task, method and noise; one column for each
    number of sensors."""
    counts = sorted({r["sensors"] for r in records})
    lines: dict[tuple, dict[int, dict]] = {}
    for r in labelled(records):
        key = (
            r["pde"],
            r["task"],
            r["field"],
            _METRICS[r["metric"]],
            r["line"],
            f"{100 * r['noise']:g} %",
        )
        lines.setdefault(key, {})[r["sensors"]] = r
    rows = [
        [*key, *(_error(line[m]) if m in line else "" for m in counts)]
        for key, line in lines.items()
    ]
    return _table(
        ["PDE", "task", "field", "metric", "method", "noise"],
        [f"{m} sensors" for m in counts],
        rows,
    )


def reference_table(records: list[dict]) -> str:
    """Solvers beside long chains, as `pdeinv.benchmarks.studies.reference` records them; per cent
    of the truth's norm."""
    rows = []
    for r in records:
        monte_carlo = math.hypot(r["monte_carlo_chains"], r["monte_carlo_solver"])
        rows.append(
            [
                r["pde"],
                r["task"],
                str(r["instance"]),
                f"{r['error_solver']:.2f}",
                f"{r['error_chains']:.2f}",
            ]
            + [
                f"{r['distance']:.2f}",
                f"{monte_carlo:.2f}",
                f"{r['spread_solver']:.2f}",
                f"{r['spread_chains']:.2f}",
            ]
        )
    numbers = ["error, solver", "error, chains", "distance of the means", "its Monte-Carlo error"]
    return _table(["PDE", "task", "instance"], [*numbers, "spread, solver", "spread, chains"], rows)


_PLACE = ("pde", "task", "field", "metric", "grid", "sensors", "noise", "seed", "variant")
_APART = {
    "settings": lambda s: ", ".join(f"{k} {v}" for k, v in json.loads(s).items()),
    "given_prior": lambda p: f"prior {p}",
    "samples": lambda n: f"{n} samples",
}


def labelled(records: list[dict]) -> list[dict]:
    """The records with a `label`, the method and its EquiReg, and a `line`, which tells its steps,
    too.

    Where a method has run on one task with several settings, priors or numbers of samples, both
    names say which.
    """
    found: dict[tuple, list[dict]] = {}
    for r in records:
        found.setdefault((told_by(r), *(r.get(k) for k in _PLACE)), []).append(r)
    several: dict[str, set[str]] = {}
    for group in found.values():
        several.setdefault(name_of(group[0]), set()).update(
            k for k in _APART if len({r.get(k) for r in group}) > 1
        )
    more = [
        "".join(f", {_APART[k](r[k])}" for k in _APART if k in several[name_of(r)] and r.get(k))
        for r in records
    ]
    return [
        r | {"label": name_of(r) + m, "line": told_by(r) + m}
        for r, m in zip(records, more, strict=True)
    ]


def told_by(record: dict) -> str:
    """A method with its steps, unless it asked no network, and its EquiReg, in words."""
    steps = (
        f", {record['steps']} steps"
        if record.get("steps") and record.get("network_evaluations") != 0
        else ""
    )
    return record["method"] + steps + _equireg(record)


def name_of(record: dict) -> str:
    """A method with its EquiReg, whatever its steps; the limits of the several PDEs are one."""
    return "the limit" if record["method"] in LIMITS else record["method"] + _equireg(record)


def _equireg(record: dict) -> str:
    return {False: "", True: ", EquiReg"}.get(
        on := record.get("equireg", False), f", EquiReg ({on})"
    )


def _shown(value: float | None, unit: float, form: str) -> str:
    return "" if value is None else format(unit * value, form)


def _mean(values: tuple[float | None, ...], unit: float, form: str) -> str:
    """Without what is not known of a run that diverged, or that was not timed alone."""
    known = [v for v in values if v is not None]
    return _shown(fmean(known), unit, form) if known else ""


def _ratio(ratio: float | None, record: dict) -> str:
    alone = (
        ratio in (None, math.inf) or record["method"] in LIMITS or record["over_limit_se"] is None
    )
    return _shown(ratio, 1, ".2f") + ("" if alone else f" ± {record['over_limit_se']:.2f}")


def _error(record: dict) -> str:
    if record["error"] is None:
        return "diverged"
    spread = "" if record["error_se"] is None else f" ± {100 * record['error_se']:.2f}"
    return f"{100 * record['error']:.2f}{spread}"


def beside_limit(rows: list[dict], method: str = "moment") -> str:
    """Records of instances as Markdown: a method beside the solvers that know the coefficient's
    distribution, task by task.

    Both are means over the instances that they share, in the measure that the papers report; the
    ratio's standard error is that of the paired instances.
    """
    found: dict[tuple, dict[bool, dict[tuple, dict]]] = {}
    for r in rows:
        metric = "error_rate" if (r["pde"], r["task"]) == ("darcy", "inverse") else "relative_l2"
        if r["metric"] == metric and r["method"] in (method, *LIMITS):
            sides = found.setdefault((r["pde"], r["task"]), {True: {}, False: {}})
            sides[r["method"] == method][r["seed"], r["instance"]] = r
    lines = []
    for (pde, task), sides in sorted(
        found.items(), key=lambda item: (place_of(item[0][0]), item[0][1])
    ):
        shared = sorted(sides[True].keys() & sides[False].keys())
        if len(shared) < 2:
            continue
        own, best = ([sides[mine][i] for i in shared] for mine in (True, False))
        ours, limit = ([r["error"] for r in side] for side in (own, best))
        ratio, noise = paired_ratio(ours, limit)
        lines.append(
            [
                f"{pde} {task}",
                own[0]["field"] + (" (error rate)" if own[0]["metric"] == "error_rate" else ""),
            ]
            + [
                f"{100 * fmean(ours):.2f} ± {100 * stdev(ours) / len(shared) ** 0.5:.2f}",
                f"{100 * fmean(limit):.2f}",
            ]
            + [f"{ratio:.2f} ± {noise:.2f}", f"{best_published(pde, task):.2f}"]
            + [f"{100 * fmean(r['coverage90'] for r in own):.0f}"]
            + [f"{fmean(r['crps'] for r in side):.3g}" for side in (own, best)]
            + [f"{fmean(r['network_evaluations'] for r in own):.0f}"]
            + [f"{fmean(r['seconds_per_instance'] for r in own):.0f}", str(len(shared))]
        )
    numbers = [
        f"{method}, %",
        "limit, %",
        "ratio",
        "best published, %",
        "coverage of 90 %, %",
        "CRPS",
        "its limit",
    ]
    return _table(["task", "field"], [*numbers, "evaluations", "seconds", "instances"], lines)


def numerics_table(records: list[dict]) -> str:
    """Solver errors, generation times and statistics, as `pdeinv.benchmarks.studies.numerics`
    records them."""
    rows = []
    for r in records:
        what = r["measure"] + (f" against {r['reference']}" if "reference" in r else "")
        published = (
            f"{r['published']:.3g} ({100 * r['relative_difference']:+.1f} %)"
            if "published" in r
            else ""
        )
        rows.append([r["pde"], what, f"{r['value']:.3g}", published, str(r["instances"])])
    return _table(["PDE", "measure"], ["value", "published (difference)", "instances"], rows)


def _table(words: list[str], numbers: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] * len(words) + ["---:"] * len(numbers)
    return "\n".join("| " + " | ".join(row) + " |" for row in [words + numbers, rule, *rows])


def chosen(files: list[Path], methods: list[str] | None) -> list[dict]:
    """The records of files, of some methods alone if any are named."""
    records = read_records(*files)
    found = [r for r in records if not methods or r.get("method") in methods]
    if not found:
        known = ", ".join(sorted({r.get("method", "") for r in records} - {""})) or "none"
        raise InputError(
            f"the files have no record of {' or '.join(methods or ['any method'])}; their "
            f"methods: {known}"
        )
    return found


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument(
        "files", nargs="+", type=Path, help="JSON-lines files to print as one table"
    )
    parser.add_argument(
        "--method", nargs="*", help="methods to show; all of them where it is missing"
    )
    options = parser.parse_args()
    print(table(chosen(options.files, options.method)))


if __name__ == "__main__":
    run_cli(_main)

"""EquiReg on and off, instance by instance: `pdeinv study ablation FILE.instances.jsonl`.

Takes the records of `pdeinv benchmark --equireg both` and pairs what differs in EquiReg alone, or
in another use of the same symmetries.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student_t

from pdeinv.benchmarks.records import Record, settings_of, values_of
from pdeinv.benchmarks.reports.columns import processors, render_table, shown_coverage
from pdeinv.benchmarks.reports.labels import SYMMETRY_USES, pde_order
from pdeinv.errors import InputError

__all__ = [
    "ablation_page",
    "ablation_table",
    "alternatives_table",
    "paired",
    "plot_gain",
    "verdict",
]

_TASK = ("pde", "task", "method", "steps")
_CELL = (
    *(*_TASK, "settings", "given_prior", "grid", "sensors", "noise", "field", "metric"),
    *("samples", "variant"),
)
"""What the records of a pair share."""
_OFF, _ON, _AVERAGED = SYMMETRY_USES[False], SYMMETRY_USES[True], "group average"
_NEEDED = ("error", "sample_error", "crps", "spread", "network_evaluations")
_MEASURED = (*_NEEDED, "seconds_per_instance")
_LEVEL = 60  # of the intervals whose coverage is shown: 4 samples and 19 have it
_SHOWN = (-40, 20)  # per cent: a few instances' interval would hide all others


def paired(rows: list[Record], measure: str = "sample_error", variant: str = _ON) -> list[Record]:
    """Return a record for each cell: mean errors without and with EquiReg or a variant.

    Each has the relative difference `change` and its 95 % `interval`, Student's for the mean of the
    instances' differences over the mean error without.

    Arguments:
        rows: records of instances.
        measure: error to compare: `sample_error` of single samples, as in the papers, or `error` of
            the samples' mean.
        variant: name of the use of the symmetries to compare with none.
    """
    cells: dict[tuple[Any, ...], dict[str, dict[tuple[int, int], Record]]] = {}
    for row in rows:
        if not row.get("steps"):
            continue  # not a diffusion solver
        kind, rest = _symmetry_use(row)
        if kind in (_OFF, variant):
            key = values_of(row | {"settings": rest}, _CELL)
            cells.setdefault(key, {_OFF: {}, variant: {}})[kind][row["seed"], row["instance"]] = row
    order = sorted(cells, key=lambda key: (pde_order(key[0]), *map(str, key[1:3]), key[3]))
    pairs = ((key, _compared(cells[key][_OFF], cells[key][variant], measure)) for key in order)
    return [dict(zip(_CELL, key, strict=True)) | found for key, found in pairs if found]


def _symmetry_use(row: Record) -> tuple[str, str | None]:
    """Return how a record's cell uses the symmetries, and its settings without that."""
    settings = settings_of(row)
    name = SYMMETRY_USES[row.get("equireg", False)]
    if name == _OFF and settings.pop("group_average", False):
        name = _AVERAGED
    return name, json.dumps(settings, sort_keys=True) if settings else None


def _compared(
    without: dict[tuple[int, int], Record], with_it: dict[tuple[int, int], Record], measure: str
) -> Record:
    """Return the comparison over shared instances, empty if there are fewer than two."""
    known = (
        {i for i, row in side.items() if all(row.get(k) is not None for k in (measure, *_NEEDED))}
        for side in (without, with_it)
    )
    # Without those on which one of them diverged, and older records
    shared = sorted(set.intersection(*known))
    if len(shared) < 2:
        return {}
    sides = [[side[i] for i in shared] for side in (without, with_it)]
    off, on = (
        {k: np.array([row.get(k, np.nan) for row in side]) for k in _MEASURED} for side in sides
    )
    difference = on[measure] - off[measure]
    half = student_t.ppf(0.975, len(shared) - 1) * difference.std(ddof=1) / len(shared) ** 0.5
    base = off[measure].mean()
    record: Record = {"instances": len(shared)}
    record["processors"] = processors(row for side in sides for row in side)
    for name, side, own in (("off", off, sides[0]), ("on", on, sides[1])):
        record[name] = {k: float(v.mean()) for k, v in side.items()}
        record[name]["coverage"] = shown_coverage(own, _LEVEL)
        record[name]["standard_error"] = float(side[measure].std(ddof=1) / len(shared) ** 0.5)
    record |= {"measure": measure, "change": float(difference.mean() / base)}
    record["interval"] = [float((difference.mean() + s * half) / base) for s in (-1, 1)]
    return record


def ablation_table(records: list[Record]) -> str:
    """Return a Markdown table with a line for each cell of `paired`; off → on.

    Seconds are left out where they come from more than one processor.
    """
    timed = len({name for r in records for name in r["processors"]}) == 1
    numbers = (
        f"single sample (%); change (%, 95 % interval); mean's error (%); spread; coverage of "
        f"{_LEVEL} % (%); CRPS; evaluations; {'seconds; ' if timed else ''}instances"
    )
    rows = []
    for r in records:
        low, high = r["interval"]
        metric = " (error rate)" if r["metric"] == "error_rate" else ""
        errors = (
            f"{100 * side[r['measure']]:.2f} ± {100 * side['standard_error']:.2f}"
            for side in (r["off"], r["on"])
        )
        rows.append(
            [
                *(r["pde"], r["task"] + metric, r["method"], str(r["steps"])),
                " → ".join(errors),
                f"{100 * r['change']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})",
                _off_to_on(r, "error", ".2f", 100),
                _off_to_on(r, "spread", ".3g"),
                " → ".join(r[side]["coverage"] for side in ("off", "on")),
                _off_to_on(r, "crps", ".3g"),
                _off_to_on(r, "network_evaluations", ".0f"),
                *([_off_to_on(r, "seconds_per_instance", ".1f")] if timed else []),
                str(r["instances"]),
            ]
        )
    return render_table(["PDE", "task", "solver", "steps"], numbers.split("; "), rows)


def _off_to_on(record: Record, name: str, form: str, unit: float = 1) -> str:
    """Return a score without and with EquiReg, empty where it was not measured."""
    values = [record[side][name] for side in ("off", "on")]
    known = not any(map(math.isnan, values))
    return " → ".join(format(unit * value, form) for value in values) if known else ""


def verdict(records: list[Record]) -> str:
    """Return in words how many cells are better, the mean change and the worst, by relative L2."""
    records = [r for r in records if r["metric"] == "relative_l2"]
    better = [r for r in records if r["change"] < 0]
    sure = [r for r in records if r["interval"][1] < 0]
    harmed = [r for r in records if r["interval"][0] > 0]
    worst = max(records, key=lambda r: r["change"])
    evaluations = np.mean(
        [r["on"]["network_evaluations"] / r["off"]["network_evaluations"] for r in records]
    )
    return (
        f"EquiReg lowers the error in {len(better)} of {len(records)} cells, significantly in "
        f"{len(sure)} "
        f"(and raises it significantly in {len(harmed)}); mean change "
        f"{100 * np.mean([r['change'] for r in records]):+.1f} %; the worst is {worst['pde']} "
        f"{worst['task']} "
        f"{worst['method']} with {100 * worst['change']:+.1f} %; network evaluations "
        f"{100 * (evaluations - 1):+.0f} %"
    )


def ablation_page(rows: list[Record]) -> str:
    """Return the verdict and the table for each number of steps, as Markdown.

    Arguments:
        rows: records of instances.

    Raises:
        InputError: no method ran both without and with EquiReg.
    """
    records, parts = paired(rows), []
    if not records:
        raise InputError(
            "the records must be of a method both without and with EquiReg, and there is none; "
            "make them with `pdeinv benchmark --equireg both`"
        )
    for steps in sorted({r["steps"] for r in records}):
        mine = [r for r in records if r["steps"] == steps]
        parts.append(f"### {steps} steps\n\n{verdict(mine)}.\n\n{ablation_table(mine)}")
    return "\n\n".join(parts)


def alternatives_table(rows: list[Record]) -> str:
    """Return the changes of the error by each use of the symmetries, as a Markdown table.

    A cell has the change for single samples and for their mean.

    Arguments:
        rows: records of instances.
    """
    uses = [
        _ON,
        *(name for name in (*SYMMETRY_USES.values(), _AVERAGED) if name not in (_OFF, _ON)),
    ]
    cells: dict[tuple[Any, ...], dict[str, str]] = {}
    for use in uses:
        singles, means = paired(rows, variant=use), paired(rows, "error", use)
        for single, mean in zip(singles, means, strict=True):
            cells.setdefault(values_of(single, _CELL), {})[use] = _change(single, mean)
    uses = [use for use in uses if any(use in found for found in cells.values())]
    lines = []
    for key, found in cells.items():
        cell = dict(zip(_CELL, key, strict=True))
        if found.keys() != {_ON} and cell["metric"] != "error_rate":
            lines.append([*(str(cell[k]) for k in _TASK), *(found.get(use, "") for use in uses)])
    words = ["PDE", "task", "solver", "steps"]
    return render_table(words, uses, lines)


def _change(single: Record, mean: Record) -> str:
    half = (single["interval"][1] - single["interval"][0]) / 2
    evaluations = single["on"]["network_evaluations"] / single["off"]["network_evaluations"]
    return (
        f"{100 * single['change']:+.1f} ± {100 * half:.1f}; {100 * mean['change']:+.1f} "
        f"({evaluations:.1f}; {single['instances']})"
    )


def plot_gain(rows: list[Record]) -> Figure:
    """Draw EquiReg's change of single samples' relative L2 error against the number of steps.

    There is a panel for each PDE and task.

    Arguments:
        rows: records of instances.
    """
    records = [r for r in paired(rows) if r["metric"] == "relative_l2"]
    methods, steps = ([*sorted({r[k] for r in records})] for k in ("method", "steps"))
    names = {
        kind: sorted({r["pde"] for r in records if r["task"] == kind}, key=pde_order)
        for kind in sorted({r["task"] for r in records})
    }
    columns = max(map(len, names.values()))
    figure = Figure(figsize=(2.9 * columns, 5.6), layout="constrained")
    axes = figure.subplots(len(names), columns, sharex=True, sharey=True, squeeze=False)
    for row, (kind, pdes) in zip(axes, names.items(), strict=True):
        for axis, pde in zip(row, pdes, strict=False):
            for i, method in enumerate(methods):
                cell = (kind, pde, method)
                mine = [r for r in records if (r["task"], r["pde"], r["method"]) == cell]
                if mine:
                    # Bars side by side
                    shift = 1.04 ** (i - (len(methods) - 1) / 2)
                    _draw_gain(axis, sorted(mine, key=lambda r: r["steps"]), i, shift)
            axis.axhline(0, color="black", linewidth=0.8)
            axis.set_xscale("log")
            axis.set_xticks(steps, [str(s) for s in steps])
            axis.set_xticks([], minor=True)
            axis.set_title(f"{pde} {kind}", fontsize=9)
            axis.tick_params(labelsize=8)
            axis.grid(alpha=0.3)
    axes[0, 0].set_ylim(*_SHOWN)
    figure.supxlabel("steps", fontsize=9)
    figure.supylabel("change of the error by EquiReg, %", fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return figure


def _draw_gain(axis: Axes, records: list[Record], number: int, shift: float) -> None:
    """Draw one method's changes with their intervals; a number stands for what is beyond."""
    change = np.array([100 * r["change"] for r in records])
    low, high = (np.array([100 * r["interval"][side] for r in records]) for side in (0, 1))
    steps = [r["steps"] * shift for r in records]
    axis.errorbar(
        steps,
        change,
        [change - low, high - change],
        color=f"C{number}",
        marker="osD^v"[number % 5],
        ms=4,
        lw=1,
        capsize=2,
        label=records[0]["method"],
    )
    for x, y in zip(steps, change, strict=True):
        if not _SHOWN[0] <= y <= _SHOWN[1]:
            edge = min(max(y, _SHOWN[0] + 3), _SHOWN[1] - 3)
            text, colour = f"{y:+.0f} %", f"C{number}"
            axis.text(x, edge, text, fontsize=7, color=colour, ha="left", va="center")

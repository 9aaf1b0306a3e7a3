"""EquiReg on and off, instance by instance: `python -m pdeinv.benchmarks.studies.ablation
FILE.instances.jsonl [--plot FIGURE]`.

Takes the records of `pdeinv benchmark --equireg both` and pairs what differs in EquiReg alone, or
in another use of the same symmetries.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student_t

from pdeinv.benchmarks.reports.tables import place_of, read_records
from pdeinv.errors import InputError, run_cli
from pdeinv.files import save_figure

__all__ = [
    "ablation_page",
    "ablation_table",
    "alternatives_table",
    "paired",
    "plot_gain",
    "verdict",
]

_CELL = (
    "pde",
    "task",
    "method",
    "steps",
    "settings",
    "given_prior",
    "grid",
    "sensors",
    "noise",
    "field",
    "metric",
)
# What a pair must share, too, and what it was in older rows
_SHARED = {"samples": 19, "variant": "standard"}
_OFF, _ON = "none", "EquiReg"
_NAMES = {
    False: _OFF,
    True: _ON,
    "identity": "identity alone",
    "equi": "*Equi*",
    "reweight": "reweighted",
}
_AVERAGED = "group average"


def _variant(row: dict) -> tuple[str, str | None]:
    """How a row uses the symmetries, and its settings without that."""
    settings = json.loads(row.get("settings") or "{}")
    name = _NAMES[row.get("equireg", False)]
    if name == _OFF and settings.pop("group_average", False):
        name = _AVERAGED
    return name, json.dumps(settings, sort_keys=True) if settings else None


def paired(rows: list[dict], measure: str = "sample_error", variant: str = _ON) -> list[dict]:
    """One record a cell: mean errors without and with EquiReg, or a variant, their relative
    difference and its 95 % interval.

    The errors compared are those of single samples, as in the papers, or of the samples' mean
    (`error`). The interval is Student's for the mean of the instances' differences, over the mean
    error without.
    """
    cells: dict[tuple, dict[str, dict[tuple, dict]]] = {}
    for row in rows:
        if not row.get("steps"):
            continue  # no solver by diffusion
        kind, rest = _variant(row)
        if kind in (_OFF, variant):
            key = tuple((_SHARED | row | {"settings": rest}).get(k) for k in (*_CELL, *_SHARED))
            cells.setdefault(key, {_OFF: {}, variant: {}})[kind][row["seed"], row["instance"]] = row
    records = []
    for key, both in sorted(
        cells.items(), key=lambda c: (place_of(c[0][0]), *map(str, c[0][1:3]), c[0][3])
    ):
        # Or it diverged
        known = (
            {i for i, row in side.items() if row[measure] is not None} for side in both.values()
        )
        shared = sorted(set.intersection(*known))
        if len(shared) < 2:
            continue
        off, on = (
            {k: np.array([side[i][k] for i in shared]) for k in _MEASURED} for side in both.values()
        )
        difference = on[measure] - off[measure]
        half = student_t.ppf(0.975, len(shared) - 1) * difference.std(ddof=1) / len(shared) ** 0.5
        base = off[measure].mean()
        record = dict(zip((*_CELL, *_SHARED), key, strict=True)) | {"instances": len(shared)}
        for name, side in (("off", off), ("on", on)):
            record[name] = {k: float(v.mean()) for k, v in side.items()}
            record[name]["standard_error"] = float(side[measure].std(ddof=1) / len(shared) ** 0.5)
        record |= {"measure": measure, "change": float(difference.mean() / base)}
        record["interval"] = [float((difference.mean() + s * half) / base) for s in (-1, 1)]
        records.append(record)
    return records


_MEASURED = (
    "error",
    "sample_error",
    "crps",
    "coverage90",
    "spread",
    "network_evaluations",
    "seconds_per_instance",
)


def ablation_table(records: list[dict]) -> str:
    """Markdown: a line a cell; off → on."""
    names = (
        "PDE, task, solver, steps, error (%), change (%; 95 % interval), mean's error (%), "
        "spread, coverage (%), CRPS"
    )
    head = [*names.split(", "), "evaluations", "seconds", "instances"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * 4 + ["---:"] * 9) + " |"]
    for r in records:
        off, on = r["off"], r["on"]
        metric = " (error rate)" if r["metric"] == "error_rate" else ""
        cells = [r["pde"], r["task"] + metric, r["method"], str(r["steps"])]
        what = r["measure"]
        cells.append(
            " → ".join(f"{100 * v[what]:.2f} ± {100 * v['standard_error']:.2f}" for v in (off, on))
        )
        low, high = r["interval"]
        cells.append(f"{100 * r['change']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})")
        cells.append(f"{100 * off['error']:.2f} → {100 * on['error']:.2f}")
        cells.append(f"{off['spread']:.3g} → {on['spread']:.3g}")
        cells.append(f"{100 * off['coverage90']:.0f} → {100 * on['coverage90']:.0f}")
        cells.append(f"{off['crps']:.3g} → {on['crps']:.3g}")
        cells.append(f"{off['network_evaluations']:.0f} → {on['network_evaluations']:.0f}")
        cells.append(f"{off['seconds_per_instance']:.1f} → {on['seconds_per_instance']:.1f}")
        lines.append("| " + " | ".join([*cells, str(r["instances"])]) + " |")
    return "\n".join(lines)


def verdict(records: list[dict]) -> str:
    """How many cells are better, how many significantly, the mean change and the worst; by relative
    L2 errors."""
    records = [r for r in records if r["metric"] == "relative_l2"]
    better = [r for r in records if r["change"] < 0]
    sure = [r for r in records if r["interval"][1] < 0]
    harmed = [r for r in records if r["interval"][0] > 0]
    worst = max(records, key=lambda r: r["change"])
    asked = np.mean(
        [r["on"]["network_evaluations"] / r["off"]["network_evaluations"] for r in records]
    )
    return (
        f"EquiReg lowers the error in {len(better)} of {len(records)} cells, significantly in "
        f"{len(sure)} "
        f"(and raises it significantly in {len(harmed)}); mean change "
        f"{100 * np.mean([r['change'] for r in records]):+.1f} %; the worst is {worst['pde']} "
        f"{worst['task']} "
        f"{worst['method']} with {100 * worst['change']:+.1f} %; network evaluations "
        f"{100 * (asked - 1):+.0f} %"
    )


def ablation_page(rows: list[dict]) -> str:
    """Markdown: for each number of steps the verdict and the table, from the records of
    instances."""
    records, parts = paired(rows), []
    for steps in sorted({r["steps"] for r in records}):
        mine = [r for r in records if r["steps"] == steps]
        parts.append(f"### {steps} steps\n\n{verdict(mine)}.\n\n{ablation_table(mine)}")
    return "\n\n".join(parts)


def alternatives_table(rows: list[dict]) -> str:
    """Markdown: changes of single samples' error by each use of the symmetries, and of the mean's,
    where one was recorded."""
    kinds = [_ON, *(name for name in (*_NAMES.values(), _AVERAGED) if name not in (_OFF, _ON))]
    cells: dict[tuple, dict[str, tuple]] = {}
    for kind in kinds:
        for one, mean in zip(paired(rows, variant=kind), paired(rows, "error", kind), strict=True):
            cells.setdefault(tuple(one[k] for k in _CELL), {})[kind] = (one, mean)
    kinds = [kind for kind in kinds if any(kind in found for found in cells.values())]
    lines = [
        "| PDE | task | solver | steps | " + " | ".join(kinds) + " |",
        "| --- " * 4 + "| ---: " * len(kinds) + "|",
    ]
    for key, found in cells.items():
        cell = dict(zip(_CELL, key, strict=True))
        if found.keys() == {_ON} or cell["metric"] == "error_rate":
            continue
        texts = [_change(*found[kind]) if kind in found else "" for kind in kinds]
        lines.append(
            "| "
            + " | ".join([cell["pde"], cell["task"], cell["method"], str(cell["steps"]), *texts])
            + " |"
        )
    return "\n".join(lines)


def _change(one: dict, mean: dict) -> str:
    half = (one["interval"][1] - one["interval"][0]) / 2
    asked = one["on"]["network_evaluations"] / one["off"]["network_evaluations"]
    return (
        f"{100 * one['change']:+.1f} ± {100 * half:.1f}; {100 * mean['change']:+.1f} "
        f"({asked:.1f}; {one['instances']})"
    )


_SHOWN = (-40, 20)  # per cent: a few instances' interval would hide all others


def plot_gain(rows: list[dict]) -> Figure:
    """EquiReg's change of single samples' relative L2 error against the number of steps, a panel
    for each PDE and task."""
    records = [r for r in paired(rows) if r["metric"] == "relative_l2"]
    tasks = list(dict.fromkeys((r["task"], r["pde"]) for r in records))
    methods = sorted({r["method"] for r in records})
    columns = max(len([t for t in tasks if t[0] == task]) for task, _ in tasks)
    figure = Figure(figsize=(2.9 * columns, 5.6), layout="constrained")
    kinds = sorted({task for task, _ in tasks})
    axes = figure.subplots(len(kinds), columns, sharex=True, sharey=True, squeeze=False)
    steps = sorted({r["steps"] for r in records})
    for row, kind in zip(axes, kinds, strict=True):
        names = [pde for task, pde in sorted(tasks, key=lambda t: place_of(t[1])) if task == kind]
        for axis, pde in zip(row, names, strict=False):
            for i, method in enumerate(methods):
                mine = sorted(
                    (
                        r
                        for r in records
                        if (r["task"], r["pde"], r["method"]) == (kind, pde, method)
                    ),
                    key=lambda r: r["steps"],
                )
                if not mine:
                    continue
                change = np.array([100 * r["change"] for r in mine])
                low, high = (np.array([100 * r["interval"][side] for r in mine]) for side in (0, 1))
                # Bars side by side
                shifted = [r["steps"] * 1.04 ** (i - (len(methods) - 1) / 2) for r in mine]
                bars = [change - low, high - change]
                axis.errorbar(
                    shifted,
                    change,
                    bars,
                    color=f"C{i}",
                    marker="osD^v"[i % 5],
                    ms=4,
                    lw=1,
                    capsize=2,
                    label=method,
                )
                for x, y in zip(shifted, change, strict=True):
                    if not _SHOWN[0] <= y <= _SHOWN[1]:
                        edge = min(max(y, _SHOWN[0] + 3), _SHOWN[1] - 3)
                        axis.text(
                            x,
                            edge,
                            f"{y:+.0f} %",
                            fontsize=7,
                            color=f"C{i}",
                            ha="left",
                            va="center",
                        )
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


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("files", nargs="+", type=Path, help="records of instances")
    parser.add_argument("--plot", type=Path, help="figure of the gain against the number of steps")
    o = parser.parse_args()
    rows = read_records(*o.files)
    if not paired(rows):
        raise InputError(
            "no method was run both without and with EquiReg in these files; see `pdeinv "
            "benchmark --equireg both`"
        )
    print(ablation_page(rows))
    if o.plot:
        save_figure(plot_gain(rows), o.plot)


if __name__ == "__main__":
    run_cli(_main)

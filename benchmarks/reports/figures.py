"""Figures out of recorded results: `python -m pdeinv.benchmarks.reports.figures KIND FILE.jsonl ...
--out FIGURE`."""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pdeinv.benchmarks.reports.tables import LIMITS, chosen, labelled, over_limit, standings
from pdeinv.benchmarks.runner import posterior_of
from pdeinv.errors import InputError, run_cli
from pdeinv.files import save_figure

__all__ = ["COSTS", "plot_cost", "plot_instances", "plot_over_limit", "plot_ranks", "plot_spectra"]

COSTS = {
    "seconds": ("seconds_per_instance", "seconds an instance", 1e-3),
    "evaluations": ("network_evaluations", "network evaluations", 1.0),
}
"""What a method costs: its name in a record, in words, and the least that is shown."""
_MARKERS = "osD^v<>Phd*X"
_FILLS = ("full", "none", "left", "bottom", "right", "top")


def _panels(tasks, **options):
    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.6 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat[len(tasks) :]:
        axis.set_visible(False)
    for axis, (pde, task, field) in zip(axes.flat, tasks, strict=False):
        axis.set_title(f"{pde} {task}: {field.replace('_', ' ')}", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    return figure, list(axes.flat[: len(tasks)])


def _looks(records) -> dict[str, dict]:
    """A colour and a marker for each method, the same in all panels; its variants with EquiReg fill
    the marker otherwise."""
    methods: dict[str, dict[str, None]] = {}
    for r in sorted(records, key=lambda r: (r["method"] not in LIMITS, r["label"])):
        methods.setdefault("the limit" if r["method"] in LIMITS else r["method"], {})[
            r["label"]
        ] = None
    return {
        name: {
            "color": f"C{i % 10}",
            "marker": _MARKERS[i % len(_MARKERS)],
            "fillstyle": _FILLS[j % len(_FILLS)],
        }
        for i, variants in enumerate(methods.values())
        for j, name in enumerate(variants)
    }


def _legend(figure, axes) -> None:
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=min(4, len(handles)),
        fontsize=8,
    )


def plot_cost(records: list[dict], cost: str) -> Figure:
    """Error against one of `COSTS`, a panel for each task.

    A line joins what one method makes of several numbers of steps.
    """
    what, label, least = COSTS[cost]
    records = labelled(records)
    tasks, looks = standings(records), _looks(records)
    figure, axes = _panels(list(tasks))
    for axis, group in zip(axes, tasks.values(), strict=True):
        for name in dict.fromkeys(r["label"] for r in group):
            # Or it diverged, or was not timed alone.
            found = [
                r for r in group if r["label"] == name and r["error"] is not None and what in r
            ]
            if not found:
                continue
            mine = sorted(found, key=lambda r: r[what])
            axis.errorbar(
                [max(r[what], least) for r in mine],
                [100 * r["error"] for r in mine],
                [100 * (r["error_se"] or 0) for r in mine],
                label=name,
                markersize=5,
                linewidth=1,
                linestyle="-" if len(mine) > 1 else "",
                **looks[name],
            )
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    figure.supxlabel(label, fontsize=9)
    figure.supylabel("error, %", fontsize=9)
    _legend(figure, axes)
    return figure


def plot_over_limit(records: list[dict]) -> Figure:
    """Each method's error over the limit's, with its standard error; a band for each task, the best
    method at its top."""
    records = labelled(records)
    tasks, looks = standings(records), _looks(records)
    found: dict[str, list[tuple[int, float, float]]] = {}
    for place, group in enumerate(tasks.values()):
        for r, ratio in zip(group, over_limit(group), strict=True):
            if ratio and ratio < math.inf and r["method"] not in LIMITS:
                found.setdefault(r["label"], []).append((place, ratio, r["over_limit_se"] or 0.0))
    figure = Figure(
        figsize=(9, max(0.45, 0.05 * len(found)) * len(tasks) + 2.2), layout="constrained"
    )
    axis = figure.subplots()
    best_first = sorted(
        found, key=lambda name: fmean(math.log(ratio) for _, ratio, _ in found[name])
    )
    for name, within in zip(best_first, np.linspace(-0.36, 0.36, len(found)), strict=True):
        places, ratios, spreads = zip(*found[name], strict=True)
        heights = [place + within for place in places]
        axis.errorbar(
            ratios,
            heights,
            xerr=spreads,
            label=name,
            linestyle="",
            markersize=4,
            elinewidth=0.8,
            **looks[name],
        )
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    ticks = [t for t in (1, 1.25, 1.5, 2, 3, 5, 10, 20, 50) if low <= t <= high]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.set_xticks([], minor=True)
    axis.set_yticks(
        range(len(tasks)), [f"{pde} {task}: {f.replace('_', ' ')}" for pde, task, f in tasks]
    )
    axis.set_ylim(len(tasks) - 0.5, -0.5)
    axis.set_xlabel("error over the limit's")
    axis.grid(alpha=0.3, axis="x")
    for edge in range(1, len(tasks)):
        axis.axhline(edge - 0.5, color="black", linewidth=0.4, alpha=0.4)
    _legend(figure, [axis])
    return figure


def plot_spectra(records: list[dict]) -> Figure:
    """Relative error of each octave of wavenumbers, a panel for each task."""
    records = labelled(records)
    tasks, looks = standings(records), _looks(records)
    figure, axes = _panels(list(tasks), sharex=True, sharey=True)
    for axis, group in zip(axes, tasks.values(), strict=True):
        for r in (r for r in group if "error_spectrum" in r):  # unlike older records
            # Without the first: the mean of a periodic field is nothing but rounding.
            values = np.array(r["error_spectrum"], dtype=float)[1:]
            axis.plot(
                range(len(values)),
                values,
                label=r["label"],
                markersize=3,
                linewidth=1,
                **looks[r["label"]],
            )
        octaves = ["1"] + [f"{2**i}–{2 ** (i + 1) - 1}" for i in range(1, len(values))]
        axis.set_xticks(range(len(values)), octaves, rotation=60)
        axis.set_yscale("log")
        axis.axhline(1, color="black", linewidth=0.8)
    figure.supxlabel("wavenumber", fontsize=9)
    figure.supylabel("error over truth", fontsize=9)
    _legend(figure, axes)
    return figure


def plot_instances(shown: dict[str, dict]) -> Figure:
    """Instances computed again, a line each: truth, mean, error, spread; under a word such as best
    or worst."""
    figure = Figure(figsize=(10.5, 2.5 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 4, squeeze=False)
    for line, (word, r) in zip(axes, shown.items(), strict=True):
        truth, observation, posterior = posterior_of(r)
        c = [f.name for f in posterior.fields].index(r["field"])
        mean, std, true = posterior.mean[c], posterior.std[c], truth[c]
        error = (mean - true).abs()
        top = float(torch.stack([std, error]).flatten().quantile(0.995)) or 1.0
        limits = {"vmin": float(true.min()), "vmax": float(true.max())}
        panels = (
            ("truth", true, "viridis", limits),
            ("posterior mean", mean, "viridis", limits),
            ("|mean − truth|", error, "magma", {"vmin": 0.0, "vmax": top}),
            ("standard deviation", std, "magma", {"vmin": 0.0, "vmax": top}),
        )
        for axis, (title, values, colours, bounds) in zip(line, panels, strict=True):
            image = axis.imshow(
                values.numpy(), origin="lower", extent=(0, 1, 0, 1), cmap=colours, **bounds
            )
            axis.set_xticks([])
            axis.set_yticks([])
            if word == next(iter(shown)):
                axis.set_title(title, fontsize=9)
            if title in ("posterior mean", "standard deviation"):
                figure.colorbar(image, ax=axis, shrink=0.85).ax.tick_params(labelsize=7)
        seen = observation.points[observation.channel == c]
        line[1].plot(seen[:, 0], seen[:, 1], ".", ms=2, color="white")
        line[0].set_ylabel(f"{word}: {100 * r['error']:.2f} %", fontsize=9)
    return figure


def plot_ranks(records: list[dict]) -> Figure:
    """Histograms of the truth's rank among the posterior samples, one panel for each task and
    method; flat if calibrated."""
    # The metrics of one cell share its histogram.
    key = ("pde", "task", "grid", "sensors", "noise", "field")
    known = [r for r in labelled(records) if r["error"] is not None]
    if not known:
        raise InputError(
            "every method diverged on some instance, so that no ranks are known; use more steps"
        )
    cells = list({(r["line"], *(r[k] for k in key)): r for r in known}.values())
    columns = min(4, len(cells))
    rows = -(-len(cells) // columns)
    figure = Figure(figsize=(2.9 * columns, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis in axes.flat[len(cells) :]:
        axis.set_visible(False)
    for axis, r in zip(axes.flat, cells, strict=False):
        expected = 1 / len(r["ranks"])
        axis.bar(
            range(len(r["ranks"])),
            [share / expected for share in r["ranks"]],
            width=0.9,
            color="tab:blue",
        )
        axis.axhline(1, color="black", linewidth=0.8)
        # Room for the words
        axis.set_ylim(0, 1.3 * max(max(cell["ranks"]) * len(cell["ranks"]) for cell in cells))
        axis.set_title(f"{r['pde']} {r['task']}: {r['field'].replace('_', ' ')}", fontsize=8)
        axis.text(
            0.5,
            0.95,
            f"{r['line']}, {100 * r['coverage90']:.1f} % in 90 %",
            fontsize=7,
            ha="center",
            va="top",
            transform=axis.transAxes,
        )
        axis.tick_params(labelsize=7)
    figure.supxlabel("rank of the truth among the posterior samples", fontsize=9)
    figure.supylabel("frequency over its expectation", fontsize=9)
    return figure


_KINDS = {
    "over-limit": plot_over_limit,
    "ranks": plot_ranks,
    "spectra": plot_spectra,
    **{cost: partial(plot_cost, cost=cost) for cost in COSTS},
}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("kind", choices=_KINDS)
    parser.add_argument("files", nargs="+", type=Path, help="JSON-lines files of summaries")
    parser.add_argument(
        "--out", type=Path, required=True, help="figure to write, .png, .pdf or .svg"
    )
    parser.add_argument(
        "--method", nargs="*", help="methods to show; all of them where it is missing"
    )
    o = parser.parse_args()
    save_figure(_KINDS[o.kind](chosen(o.files, o.method)), o.out)


if __name__ == "__main__":
    run_cli(_main)

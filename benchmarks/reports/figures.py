"""Figures of recorded results."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from statistics import fmean

import numpy as np
import torch
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pdeinv.benchmarks.cells import posterior_of
from pdeinv.benchmarks.records import TASK, Record, values_of
from pdeinv.benchmarks.reports.columns import coverage_level, shown_coverage
from pdeinv.benchmarks.reports.labels import labelled
from pdeinv.benchmarks.reports.panels import grid_of_axes, method_styles, shared_legend, task_axes
from pdeinv.benchmarks.reports.standings import over_limit, standings
from pdeinv.benchmarks.summary import is_limit
from pdeinv.errors import InputError
from pdeinv.field_style import Style, field_style

__all__ = [
    "COSTS",
    "FIGURES",
    "plot_cost",
    "plot_instances",
    "plot_over_limit",
    "plot_ranks",
    "plot_reliability",
    "plot_spectra",
]

COSTS = {
    "seconds": ("seconds_per_instance", "seconds an instance", 1e-3),
    "evaluations": ("network_evaluations", "network evaluations", 1.0),
}
"""What a method costs: its name in a record, its label, and the least value on the axis."""


def plot_cost(records: list[Record], cost: str) -> Figure:
    """Draw the error against one of `COSTS`, a panel for each task.

    A line joins the records of one method with several numbers of steps.
    """
    what, label, least = COSTS[cost]
    records = labelled(records)
    tasks, styles = standings(records), method_styles(records)
    figure, axes = task_axes(tasks)
    for axis, group in zip(axes, tasks.values(), strict=True):
        # Without what diverged, or was not timed alone
        known = [r for r in group if r["error"] is not None and what in r]
        for name in dict.fromkeys(r["label"] for r in known):
            mine = sorted((r for r in known if r["label"] == name), key=lambda r: r[what])
            axis.errorbar(
                [max(r[what], least) for r in mine],
                [100 * r["error"] for r in mine],
                [100 * (r["error_se"] or 0) for r in mine],
                label=name,
                markersize=5,
                linewidth=1,
                linestyle="-" if len(mine) > 1 else "",
                **styles[name],
            )
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    figure.supxlabel(label, fontsize=9)
    figure.supylabel("error, %", fontsize=9)
    shared_legend(figure, axes)
    return figure


def plot_over_limit(records: list[Record]) -> Figure:
    """Draw each method's error over the limit's with its standard error.

    There is a band for each task, with the method of the lowest mean ratio at its top.
    """
    records = labelled(records)
    tasks, styles = standings(records), method_styles(records)
    found: dict[str, list[tuple[int, float, float]]] = {}
    for place, group in enumerate(tasks.values()):
        for r, ratio in zip(group, over_limit(group), strict=True):
            if ratio and ratio < math.inf and not is_limit(r):
                found.setdefault(r["label"], []).append((place, ratio, r["over_limit_se"] or 0.0))
    figure = Figure(
        figsize=(9, max(0.45, 0.05 * len(found)) * len(tasks) + 2.2), layout="constrained"
    )
    axis = figure.subplots()
    best_first = sorted(
        found, key=lambda name: fmean(math.log(ratio) for _, ratio, _ in found[name])
    )
    for name, within in zip(best_first, np.linspace(-0.36, 0.36, len(found)), strict=True):
        places, ratios, noise = zip(*found[name], strict=True)
        axis.errorbar(
            ratios,
            [place + within for place in places],
            xerr=noise,
            label=name,
            linestyle="",
            markersize=4,
            elinewidth=0.8,
            **styles[name],
        )
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    ticks = [t for t in (1, 1.25, 1.5, 2, 3, 5, 10, 20, 50) if low <= t <= high]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.set_xticks([], minor=True)
    titles = [f"{pde} {task}: {field.replace('_', ' ')}" for pde, task, field in tasks]
    axis.set_yticks(range(len(tasks)), titles)
    axis.set_ylim(len(tasks) - 0.5, -0.5)
    axis.set_xlabel("error over the limit's")
    axis.grid(alpha=0.3, axis="x")
    for edge in range(1, len(tasks)):
        axis.axhline(edge - 0.5, color="black", linewidth=0.4, alpha=0.4)
    shared_legend(figure, [axis])
    return figure


def plot_spectra(records: list[Record]) -> Figure:
    """Draw the relative error of each octave of wavenumbers, a panel for each task."""
    records = labelled(records)
    tasks, styles = standings(records), method_styles(records)
    figure, axes = task_axes(tasks, sharex=True, sharey=True)
    for axis, group in zip(axes, tasks.values(), strict=True):
        octaves = 0
        for r in (r for r in group if "error_spectrum" in r):  # older records lack it
            # Without the first octave: the mean of a periodic field is nothing but rounding
            values = np.array(r["error_spectrum"], dtype=float)[1:]
            octaves = len(values)
            style = {"markersize": 3, "linewidth": 1, **styles[r["label"]]}
            axis.plot(range(octaves), values, label=r["label"], **style)
        names = ["1", *(f"{2**i}–{2 ** (i + 1) - 1}" for i in range(1, octaves))][:octaves]
        axis.set_xticks(range(octaves), names, rotation=60)
        axis.set_yscale("log")
        axis.axhline(1, color="black", linewidth=0.8)
    figure.supxlabel("wavenumber", fontsize=9)
    figure.supylabel("error over truth", fontsize=9)
    shared_legend(figure, axes)
    return figure


def plot_reliability(records: list[Record]) -> Figure:
    """Draw how often the truth is high where a method gives the high value some probability, a
    panel for each task; the size of a mark grows with the share of nodes."""
    records = labelled([r for r in records if r.get("reliability")])
    tasks, styles = standings(records), method_styles(records)
    figure, axes = task_axes(tasks, sharex=True, sharey=True)
    for axis, group in zip(axes, tasks.values(), strict=True):
        axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        for r in group:
            share, stated, found = np.array(r["reliability"], dtype=float).T
            some = share > 0
            stated, found = (v[some] / share[some] for v in (stated, found))
            style = styles[r["label"]]
            axis.plot(stated, found, label=r["label"], **{**style, "markersize": 0, "linewidth": 1})
            sizes = 4 + 60 * np.sqrt(share[some])
            axis.scatter(stated, found, s=sizes, color=style["color"], alpha=0.7, linewidths=0)
        axis.set_aspect("equal")
    figure.supxlabel("stated probability of the high value", fontsize=9)
    figure.supylabel("share of nodes where the truth is high", fontsize=9)
    shared_legend(figure, axes)
    return figure


def plot_instances(shown: dict[str, Record]) -> Figure:
    """Compute instances again and draw a line for each: truth, mean, error, standard deviation.

    Arguments:
        shown: records of instances by a word such as best or worst.
    """
    figure = Figure(figsize=(10.5, 2.5 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 4, squeeze=False)
    for line, (word, r) in zip(axes, shown.items(), strict=True):
        truth, observation, posterior = posterior_of(r)
        c = [f.name for f in posterior.fields].index(r["field"])
        mean, std, true = posterior.mean[c], posterior.std[c], truth[c]
        error = (mean - true).abs()
        top = float(torch.stack([std, error]).flatten().quantile(0.995)) or 1.0
        field = field_style(true.numpy(), mean.numpy())
        errors: Style = {"cmap": "magma", "norm": Normalize(0.0, top)}
        panels = (
            ("truth", true, field),
            ("posterior mean", mean, field),
            ("|mean − truth|", error, errors),
            ("standard deviation", std, errors),
        )
        for axis, (title, values, style) in zip(line, panels, strict=True):
            image = axis.imshow(values.numpy(), origin="lower", extent=(0, 1, 0, 1), **style)
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


def plot_ranks(records: list[Record]) -> Figure:
    """Draw histograms of the truth's rank among the posterior samples; flat if calibrated.

    There is a panel for each task, field and method.

    Raises:
        InputError: every method diverged.
    """
    known = [r for r in labelled(records) if r["error"] is not None]
    if not known:
        raise InputError(
            "a method must have solved all its instances to have ranks, and every method diverged; "
            "use more steps"
        )
    # The metrics of one field share its histogram
    cells = list({(r["line"], *values_of(r, (*TASK, "field"))): r for r in known}.values())
    figure, axes = grid_of_axes(len(cells), 2.9, 2.3, sharey=True)
    highest = max(max(cell["ranks"]) * len(cell["ranks"]) for cell in cells)
    for axis, r in zip(axes, cells, strict=True):
        ranks, size = r["ranks"], len(r["ranks"])
        heights = [share * size for share in ranks]
        axis.bar(range(size), heights, width=0.9, color="tab:blue")
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_ylim(0, 1.3 * highest)  # room for the text
        axis.set_title(f"{r['pde']} {r['task']}: {r['field'].replace('_', ' ')}", fontsize=8)
        level = coverage_level([r])
        text = f"{r['line']}, {shown_coverage([r], level, '.1f')} % in {level} %"
        place = {"ha": "center", "va": "top", "transform": axis.transAxes}
        axis.text(0.5, 0.95, text, fontsize=7, **place)
        axis.tick_params(labelsize=7)
    figure.supxlabel("rank of the truth among the posterior samples", fontsize=9)
    figure.supylabel("frequency over its expectation", fontsize=9)
    return figure


FIGURES: dict[str, Callable[[list[Record]], Figure]] = {
    "over-limit": plot_over_limit,
    "ranks": plot_ranks,
    "spectra": plot_spectra,
    **{cost: partial(plot_cost, cost=cost) for cost in COSTS},
}
"""Figures of summaries by the name that `pdeinv study figures` uses."""

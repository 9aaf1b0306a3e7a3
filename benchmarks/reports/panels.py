"""Panels of the figures of recorded results: one for each task, with one style for each method."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.summary import is_limit

__all__ = ["grid_of_axes", "method_styles", "shared_legend", "task_axes"]

_LONG = 50  # letters of a title, beyond which it has several lines
_MARKERS = "osD^v<>Phd*X"
_FILLS = ("full", "none", "left", "bottom", "right", "top")


def grid_of_axes(
    count: int, width: float, height: float, margin: float = 0.0, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure with axes in rows of up to four, those beyond the count hidden."""
    columns = min(4, count)
    rows = -(-count // columns)
    size = (width * columns, height * rows + margin)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, axes.flat[:count]


def task_axes(tasks: Iterable[tuple[str, str, str]], **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each task, titled by its PDE, kind and field."""
    titles = [f"{pde} {task}: {field.replace('_', ' ')}" for pde, task, field in tasks]
    if max(map(len, titles), default=0) > _LONG:
        titles = [fill(title, _LONG // 2) for title in titles]
    figure, axes = grid_of_axes(len(titles), 3.1, 2.6, 0.6, **options)
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    return figure, list(axes)


def method_styles(records: list[Record]) -> dict[str, dict[str, Any]]:
    """Return a colour and a marker for each method; its EquiReg variants fill the marker otherwise.

    The limits of all PDEs share one style.
    """
    methods: dict[str, dict[str, None]] = {}
    for r in sorted(records, key=lambda r: (not is_limit(r), r["label"])):
        method = "the limit" if is_limit(r) else r["method"]
        methods.setdefault(method, {})[r["label"]] = None
    return {
        label: {
            "color": f"C{i % 10}",
            "marker": _MARKERS[i % len(_MARKERS)],
            "fillstyle": _FILLS[j % len(_FILLS)],
        }
        for i, variants in enumerate(methods.values())
        for j, label in enumerate(variants)
    }


def shared_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """Draw one legend for all axes, above them."""
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=min(4, len(handles)),
        fontsize=8,
    )

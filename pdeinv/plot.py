"""Figures of a reconstruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from pdeinv.coordinates import grid_from
from pdeinv.field_style import (
    Style,
    factor_of,
    field_style,
    format_bar,
    spans_decades,
    spread_style,
)
from pdeinv.figures.features import plot_features
from pdeinv.figures.layout import Panel, extent_of, shown_at
from pdeinv.figures.residuals import plot_residuals
from pdeinv.figures.sensors import Shapes, draw_sensors, sensor_handles
from pdeinv.figures.sides import join_sides, plot_sides, title_pad
from pdeinv.figures.symbols import add_legend, legend_of
from pdeinv.figures.times import part_at, place_of, with_plain_times
from pdeinv.figures.wells import plot_wells
from pdeinv.grid import Grid
from pdeinv.site import Site
from pdeinv.units import in_figures

__all__ = ["plot_reconstruction"]

_TITLES = {
    "truth": "truth",
    "mean": "posterior mean",
    "probability": "P(high value)",
    "std": "standard deviation",
    "error": "|mean − truth|",
    "residual": "reading − mean",
}
_FACTORS = {"std": "spread as a factor", "error": "error as a factor"}
"""Titles of panels of a field on a logarithmic scale."""
_PLACES = {
    "replicate": ", replicate {}",
    "experiment": ", experiment {}",
    "time": " at time {:.4g}{}",
}
"""Dimensions that a field may have besides those of space, and what a label has of them."""
_FIELDS = ("truth", "mean")
"""Panels on the field's colour scale."""
_ERRORS = ("std", "error")
"""Panels that share another one."""
_SHOWN = 3
"""Rows of a field with several times or replicates: the first, the last, and one between, where the
field is read if it is read between."""


def plot_reconstruction(result: xr.Dataset, truth: xr.Dataset | None = None) -> Figure:
    """Return a figure with one row for each field, or for each experiment that has it.

    A field with several times or replicates has rows for the first, the middle and the last.

    The panels are the truth (where given), the posterior mean with the sensors and the wells, the
    probability of the high value of a two-valued field, the standard deviation, the error (where
    the truth is given) and the residuals. Truth and mean share one colour scale, error and standard
    deviation another. A residual is a reading less the posterior mean there, in units of the
    standard deviation of noise and posterior together. The panels have the domain's aspect, unless
    it is very slender.

    A positive coefficient whose values span more than two decades has a logarithmic scale. Its
    spread is the factor exp(s) of a log-normal variable, s the deviation of its logarithm; its
    error is the factor between mean and truth.

    The conditions on the sides are around the mean of the solution where they are not all alike;
    the frame of a torus is dashed. The middle time is that of those between with readings of the
    field, if there are some.

    Arguments:
        result: the result of `pdeinv.reconstruct`, also one that was stored.
        truth: the fields under their physical names, with dimensions (y, x), on the result's grid;
            some may be missing. With a coordinate `time` it is shown at its times alone, without
            one at the end. With several replicates it needs the coordinate `replicate`.
    """
    result = with_plain_times(result)
    truth = None if truth is None else with_plain_times(truth)
    grid = grid_from(result, "the result")
    fields = (str(v) for v in result.data_vars if {"y", "x"} <= {*result[v].dims})
    means = [name for name in fields if name.endswith("_mean")]
    names = [name.removesuffix("_mean") for name in means]
    known = {"truth", "error"} if truth is not None else set()
    if any(f"{name}_probability" in result for name in names):
        known.add("probability")
    columns = [c for c in _TITLES if c in known | {"mean", "std", "residual"}]
    panel = Panel.of(grid, len(columns))
    rows = [row for name in names for row in _rows(name, result, truth, name == names[0])]
    figure = Figure(figsize=panel.figure_size(len(rows), len(columns)), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    panel.label_axes(axes, grid.unit)
    for line, row in zip(axes, rows, strict=True):
        _plot_row(dict(zip(columns, line, strict=True)), row, grid, panel)
    _caption(
        figure, result, legend_of([r.site for r in rows], sensor_handles(r.sensors for r in rows))
    )
    figure.align_labels(axes)
    panel.fit(figure, axes)
    return figure


def _caption(figure: Figure, result: xr.Dataset, handles: list[Artist]) -> None:
    # Of a result with replicates it is a variable
    given = result.attrs.get("reduced_chi_squared", result.get("reduced_chi_squared"))
    chi2 = [] if given is None else [f"{end:.2f}" for end in (np.min(given), np.max(given))]
    figure.suptitle(
        f"{result.attrs.get('pde', '')} · {result.attrs.get('solver', '')} · "
        f"{result.sizes.get('sensor', 0)} sensors"
        + (f" · reduced χ² = {' to '.join(dict.fromkeys(chi2))}" if chi2 else ""),
        fontsize=11,
        wrap=True,
    )
    add_legend(figure, handles)


@dataclass(frozen=True)
class _Row:
    """One field of one replicate and experiment at one time, or of a result that has none.

    Arguments:
        name: of the field.
        result, truth: of that replicate, experiment and time alone.
        label: of the row.
        coefficient: whether the field is the coefficient.
    """

    name: str
    result: xr.Dataset
    truth: xr.Dataset | None
    label: str
    coefficient: bool

    @property
    def site(self) -> Site:
        """The sides and the wells; none in a row that several experiments share."""
        return Site.of(self.result)

    @property
    def sensors(self) -> Shapes:
        """The field's sensors."""
        return Shapes.of_result(self.result, self.name)


def _rows(
    name: str, result: xr.Dataset, truth: xr.Dataset | None, coefficient: bool
) -> Iterator[_Row]:
    """Yield the rows of a field: one for each experiment that has it, for some replicates and
    times."""
    long_name = str(result[f"{name}_mean"].attrs.get("long_name", name))
    parts = [(result, truth, long_name.removeprefix("posterior mean of the "))]
    for dimension, phrase in _PLACES.items():
        if dimension not in result[f"{name}_mean"].dims:
            continue
        unit = str(result[dimension].attrs.get("units", "1"))
        suffix = "" if unit == "1" else f" {in_figures(unit)}"
        parts = [
            (part, true, label + phrase.format(value, suffix))
            for whole, whole_truth, label in parts
            for value, part, true in _parts(name, whole, whole_truth, dimension)
        ]
    for part, true, label in parts:
        yield _Row(name, part, true, label, coefficient)


def _parts(
    name: str, result: xr.Dataset, truth: xr.Dataset | None, dimension: str
) -> Iterator[tuple[Any, xr.Dataset, xr.Dataset | None]]:
    """Yield each experiment that has a field, or the first, one between and the last of its times
    or replicates: its value, and the result and the truth there, with the sensors of that place
    alone."""
    values = result[dimension].values
    mean = result[f"{name}_mean"]
    have = [i for i in range(len(values)) if not mean.isel({dimension: i}).isnull().all()]
    last = have[-1]
    sensors = result[f"sensor_{dimension}"].values
    places = np.array([place_of(values, value) for value in sensors], dtype=object)
    if dimension != "experiment" and len(have) > _SHOWN:
        read = {*places[np.asarray(result["sensor_field"] == name)]}
        between = [i for i in have[1:-1] if i in read] or have[1:-1]
        have = [have[0], between[len(between) // 2], last]
    # A field of a stationary experiment holds at all times, and its readings have none
    always = np.isnan(sensors) if dimension == "time" else np.zeros(len(sensors), dtype=bool)
    for i in have:
        part = result.isel({dimension: i}).isel(sensor=np.flatnonzero(always | (places == i)))
        value = values[i]
        whole = {"experiment": True, "replicate": len(values) == 1, "time": i == last}[dimension]
        true = None if truth is None else part_at(truth, dimension, value, whole)
        yield value, part, true


def _plot_row(axes: Mapping[str, Axes], row: _Row, grid: Grid, panel: Panel) -> None:
    """Draw the panels of one field, by column."""
    panels, styles, titles, units = _contents(row)
    drawn = [c for c in axes if c in panels or c == "residual"]
    last = [c for c in drawn if c in _ERRORS][-1]
    site = row.site
    around = site if row.name == site.solution else Site()
    for column, axis in axes.items():
        if column not in drawn:
            axis.set_axis_off()
            continue
        title = f"{row.label if column == drawn[0] else ''}\n{titles[column]}"
        axis.set_title(title, fontsize=10, pad=title_pad(around))
        if grid.periodic:
            join_sides(axis)
        if column == "residual":
            marks = plot_residuals(axis, row.name, row.result, grid)
            _add_bar(marks, axis, panel, "σ", "both")
            continue
        image = axis.imshow(
            panels[column],
            origin="lower",
            extent=extent_of(grid),
            aspect="auto",
            interpolation="nearest",
            **styles[column],
        )
        if column == "mean":
            plot_features(axis, site.features)
            draw_sensors(axis, row.sensors, grid)
            places = shown_at(row.sensors.points, grid)
            plot_wells(axis, site.wells, places, grid, panel, row.name == site.solution)
            plot_sides(axis, around, panel)
        if column in ("mean", "probability", last):
            extend = "max" if column in _ERRORS else "neither"
            _add_bar(image, axis, panel, units[column], extend)


def _contents(
    row: _Row,
) -> tuple[dict[str, np.ndarray], dict[str, Style], dict[str, str], dict[str, str]]:
    """Return the values, the colours, the titles and the units of a row's panels, by column."""
    name, result, truth = row.name, row.result, row.truth
    mean, std = (result[f"{name}_{what}"].values for what in ("mean", "std"))
    fields = {"mean": mean}
    if truth is not None and name in truth and set(truth[name].dims) == {"y", "x"}:
        fields["truth"] = truth[name].transpose("y", "x").values
    wide = row.coefficient and spans_decades(*fields.values())
    spreads = {"std": factor_of(mean, std) if wide else std}
    if "truth" in fields:
        true = fields["truth"]
        spreads["error"] = np.maximum(mean / true, true / mean) if wide else abs(mean - true)
    units = in_figures(str(result[f"{name}_mean"].attrs.get("units", "1"))) or "dimensionless"
    panels, styles = (
        {**fields, **spreads},
        {
            **dict.fromkeys(_FIELDS, field_style(*fields.values(), logarithmic=wide)),
            **dict.fromkeys(_ERRORS, spread_style(*spreads.values(), factors=wide)),
        },
    )
    labels = dict.fromkeys(_FIELDS, units) | dict.fromkeys(_ERRORS, "factor" if wide else units)
    if f"{name}_probability" in result:
        panels["probability"] = result[f"{name}_probability"].values
        styles["probability"] = {"cmap": "cividis", "norm": Normalize(0.0, 1.0)}
        labels["probability"] = "probability"
    return panels, styles, _TITLES | (_FACTORS if wide else {}), labels


def _add_bar(image: ScalarMappable, axis: Axes, panel: Panel, label: str, extend: str) -> None:
    bar = axis.figure.colorbar(image, ax=axis, extend=extend, **panel.bar)
    format_bar(bar)
    bar.set_label(label, fontsize=8)

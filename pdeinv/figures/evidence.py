"""The figure of what the readings say about unknown numbers: their laws before and after."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from pdeinv.errors import InputError
from pdeinv.estimates import estimate_in_words
from pdeinv.parameters import LEVEL, QUANTILE
from pdeinv.units import in_figures
from pdeinv.unknown import END

__all__ = ["plot_parameters"]

_PANEL = (2.9, 2.2)  # inches
_COLUMNS = 4  # panels of a row, at most
_WIDTH = 4.0  # standard deviations of the posterior that a panel shows
_POINTS = 400
_SHORT, _FEW_DECADES = 4.0, 200.0  # ratios of the ends of an axis
_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")


Scale: TypeAlias = Callable[..., Any]
"""To the axis on which the law is normal or uniform."""


class _Estimate(NamedTuple):
    """The posterior of a number in one replicate; the label is the replicate's name."""

    mean: float
    low: float
    high: float
    label: str


class _Prior(NamedTuple):
    """The range of a number beforehand, and its law."""

    low: float
    high: float
    law: str

    @property
    def known(self) -> bool:
        return bool(np.isfinite([self.low, self.high]).all())


def plot_parameters(result: xr.Dataset) -> Figure:
    """Return a figure of the inferred numbers of a result, each in a panel of its own.

    A panel has the law of the number beforehand (grey), the posterior (blue), and the estimate with
    its interval as a bar. The axis is logarithmic where the law is. A posterior is drawn as two
    halves of normal densities, with the estimate and the ends of the interval; each curve has
    the same height. With several replicates each has a colour.

    Arguments:
        result: the result of `pdeinv.reconstruct`, also one that was stored.

    Raises:
        InputError: no number was inferred.
    """
    if "parameter" not in result.dims:
        raise InputError(
            "a result must have inferred numbers to be shown, got one without any; leave a number "
            "of the prior out, or give a range in its place"
        )
    names = [str(name) for name in result["parameter"].values]
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    size = (max(columns, 2) * _PANEL[0], rows * _PANEL[1] + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for name, axis in zip(names, axes, strict=False):
        _plot_panel(axis, name, result.sel(parameter=name))
    for axis in axes[len(names) :]:
        axis.remove()
    figure.suptitle(
        f"{result.attrs.get('pde', '')} · {result.attrs.get('solver', '')} · "
        f"{result.sizes.get('sensor', 0)} sensors",
        fontsize=11,
    )
    _add_legend(figure, list(figure.axes))
    return figure


def _plot_panel(axis: Axes, name: str, part: xr.Dataset) -> None:
    found, prior = _estimates(part), _prior(name, part)
    units = str(part["parameter_units"].values)
    single = len(found) == 1
    one = found[0]
    words = estimate_in_words("", one.mean, one.low, one.high, in_figures(units) or "1").strip()
    axis.set_title(f"{name}\n{words}" if single else name, fontsize=9)
    logarithmic = prior.law.startswith("log") and min(one.low for one in found) > 0
    to_axis = np.log if logarithmic else np.asarray
    spans = [_span(one, to_axis) for one in found]
    low, high = min(one[0] for one in spans), max(one[1] for one in spans)
    if prior.known:
        ends = to_axis([prior.low, prior.high])
        margin = 0.1 * (ends[1] - ends[0])
        if prior.law.endswith("uniform"):
            low, high = ends
        low, high = min(low, ends[0] - margin), max(high, ends[1] + margin)
    dense = [np.linspace(*_span(one, to_axis), _POINTS) for one in found]
    t = np.sort(np.concatenate([np.linspace(low, high, _POINTS), *dense]).clip(low, high))
    x = np.exp(t) if logarithmic else t
    if prior.known:
        axis.fill_between(x, _prior_density(t, ends, prior.law), color="0.8", label="beforehand")
    for i, one in enumerate(found):
        colour = _COLOURS[i % len(_COLOURS)]
        label = "posterior" if single else one.label
        density = _density(t, one, to_axis)
        if prior.known and prior.law.endswith("uniform"):
            density = np.where((t >= ends[0]) & (t <= ends[1]), density, 0.0)
        axis.fill_between(x, density, color=colour, alpha=0.35, label=label)
        axis.plot([one.low, one.high], [-0.06 * (i + 1)] * 2, color=colour, lw=2)
        axis.plot([one.mean], [-0.06 * (i + 1)], "o", color=colour, ms=4)
    if logarithmic:
        _use_logarithm(axis, x[-1] / x[0])
    axis.set(xlim=(x[0], x[-1]), ylim=(-0.06 * (len(found) + 1), 1.1), yticks=[])
    axis.set_xlabel(in_figures(units) or "", fontsize=8)
    axis.tick_params(labelsize=8, which="both")
    axis.spines[["top", "left", "right"]].set_visible(False)


def _use_logarithm(axis: Axes, ratio: float) -> None:
    """Make the axis logarithmic, with plain numbers where its ends have a small ratio."""
    axis.set_xscale("log")
    axis.xaxis.set_minor_formatter(NullFormatter())
    if ratio < _FEW_DECADES:
        locator = MaxNLocator(4) if ratio < _SHORT else LogLocator(subs=(1.0, 2.0, 5.0))
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.xaxis.set_minor_locator(NullLocator())


def _estimates(part: xr.Dataset) -> list[_Estimate]:
    """Return the estimates of a number, of each replicate that has it."""
    columns = [np.atleast_1d(part[f"parameter_{what}"].values) for what in ("mean", "low", "high")]
    labels = np.atleast_1d(part["replicate"].values) if "replicate" in part.dims else [""]
    found = [
        _Estimate(float(row[0]), float(row[1]), float(row[2]), str(row[3]))
        for row in zip(*columns, labels, strict=True)
    ]
    return [one for one in found if np.isfinite(one[:3]).all()]


def _prior(name: str, part: xr.Dataset) -> _Prior:
    law = json.loads(part.attrs.get("parameter_laws", "{}")).get(name, "normal")
    if "parameter_prior_low" not in part:
        return _Prior(np.nan, np.nan, law)
    ends = (np.atleast_1d(part[f"parameter_prior_{end}"].values) for end in ("low", "high"))
    low, high = (
        float(end[np.isfinite(end)][0]) if np.isfinite(end).any() else np.nan for end in ends
    )
    return _Prior(low, high, law)


def _halves(one: _Estimate, to_axis: Scale) -> tuple[float, float, float]:
    """Return the centre of a posterior on the axis, and the deviations below and above."""
    low, centre, high = to_axis([one.low, min(max(one.mean, one.low), one.high), one.high])
    least = 1e-12 * max(abs(low), abs(high), 1e-300)
    return centre, max((centre - low) / QUANTILE, least), max((high - centre) / QUANTILE, least)


def _span(one: _Estimate, to_axis: Scale) -> tuple[float, float]:
    centre, below, above = _halves(one, to_axis)
    return centre - _WIDTH * below, centre + _WIDTH * above


def _density(t: np.ndarray, one: _Estimate, to_axis: Scale) -> np.ndarray:
    centre, below, above = _halves(one, to_axis)
    return np.exp(-(((t - centre) / np.where(t < centre, below, above)) ** 2) / 2)


def _prior_density(t: np.ndarray, ends: np.ndarray, law: str) -> np.ndarray:
    if law.endswith("uniform"):
        return ((t >= ends[0]) & (t <= ends[1])).astype(float)
    return np.exp(-(((t - ends.mean()) / ((ends[1] - ends[0]) / (2 * END))) ** 2) / 2)


def _add_legend(figure: Figure, axes: list[Axes]) -> None:
    shown: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            shown.setdefault(label, handle)
    figure.legend(
        handles=list(shown.values()),
        labels=list(shown),
        loc="outside lower center",
        ncols=len(shown),
        fontsize=8,
        frameon=False,
        title=f"bars: estimate and {LEVEL} % interval",
        title_fontsize=8,
    )

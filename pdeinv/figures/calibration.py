"""The figure of a calibration: histograms of ranks, their deviations and coverage."""

from __future__ import annotations

import numpy as np
import scipy
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["plot_calibration"]

_BAND = 0.95
_SIMULATED = 4000  # uniform draws behind a band
_BINS = (20, 10, 5)  # of a histogram; the first that leaves ten draws to each
_FEW = 10
_WIDTH, _HEIGHT = 3.6, 2.7


def plot_calibration(result: xr.Dataset) -> Figure:
    """Return a figure of a calibration, with a row for each field or number.

    The first panel is the histogram of the ranks of the functional with the least p-value. The
    second has the empirical distribution of each functional less the uniform one; the third has
    how often intervals hold the truth, against their probability, with two standard errors. The
    grey bands hold a uniform histogram and distribution as a whole with a probability of 95 %.

    Arguments:
        result: as `pdeinv.calibrate` returns it.

    Reference:
        Säilynoja, Bürkner & Vehtari, *Graphical test for discrete uniformity and its applications
        in goodness-of-fit evaluation and multiple sample comparison*, Statistics and Computing
        32(2), 2022, arXiv 2103.10522.
    """
    names = [str(name) for name in result["quantity"].values]
    figure = Figure(figsize=(3 * _WIDTH, _HEIGHT * len(names) + 0.7), layout="constrained")
    axes = figure.subplots(len(names), 3, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        mine = result.isel(functional=np.flatnonzero(result["of"].values == name))
        _plot_histogram(row[0], mine)
        _plot_deviations(row[1], mine)
        _plot_coverage(row[2], result["coverage"].sel(quantity=name), name)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    figure.suptitle(_broken(str(result.attrs["verdict"])), fontsize=9)
    return figure


def _plot_histogram(axis: Axes, mine: xr.Dataset) -> None:
    worst = int(mine["p_value"].values.argmin())
    uniform = mine["uniform"].values[:, worst]
    n = len(uniform)
    bins = next((count for count in _BINS if n >= _FEW * count), _BINS[-1])
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n, np.full(bins, 1 / bins), _SIMULATED)
    low, high = _band(counts, n, np.full(bins, 1 / bins))
    edges = np.linspace(0, 1, bins + 1)
    axis.fill_between([0, 1], low[0], high[0], color="0.85", lw=0)
    axis.hist(uniform, edges.tolist(), color="C0", alpha=0.8, rwidth=0.9)
    axis.axhline(n / bins, color="0.4", lw=0.8)
    name = str(mine["functional"].values[worst]).replace("_", " ")
    axis.set_title(f"{name}, p = {float(mine['p_value'][worst]):.2g}", fontsize=9)
    _label(axis, "rank of the truth among samples", "draws")
    axis.set_xlim(0, 1)


def _plot_deviations(axis: Axes, mine: xr.Dataset) -> None:
    n = mine.sizes["draw"]
    points = np.linspace(0, 1, 101)
    rng = np.random.default_rng(0)
    drawn = np.sort(rng.random((_SIMULATED, n)), axis=1)
    counts = np.stack([np.searchsorted(one, points) for one in drawn])
    low, high = _band(counts, n, points)
    axis.fill_between(points, low / n - points, high / n - points, color="0.85", lw=0)
    axis.axhline(0, color="0.4", lw=0.8)
    owner = str(mine["of"].values[0])
    for k, name in enumerate(mine["functional"].values):
        ranks = np.sort(mine["uniform"].values[:, k])
        label = str(name).removesuffix(f" of {owner}").replace("_", " ")
        axis.plot(points, np.searchsorted(ranks, points) / n - points, lw=1.1, label=label)
    axis.set_title("distribution of ranks less uniform", fontsize=9)
    _label(axis, "rank of the truth among samples", "difference")
    axis.set_xlim(0, 1)


def _plot_coverage(axis: Axes, coverage: xr.DataArray, name: str) -> None:
    levels, each = coverage["level"].values, coverage.values
    held = each.mean(axis=0)
    error = 2 * each.std(axis=0, ddof=1) / np.sqrt(len(each))
    axis.plot([0, 1], [0, 1], color="0.4", lw=0.8)
    axis.fill_between(levels, held - error, held + error, color="C0", alpha=0.25, lw=0)
    axis.plot(levels, held, "o-", ms=3, lw=1.1, color="C0")
    axis.set_title(f"intervals of {name.replace('_', ' ')}", fontsize=9)
    _label(axis, "probability of an interval", "share that holds the truth")
    axis.set(xlim=(0, 1), ylim=(0, 1))


def _band(counts: np.ndarray, n: int, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends (k,) of intervals that hold simulated counts (s, k) all at once.

    Each is the central interval of a binomial count of n with its share, all at one level.
    """
    inner = (shares > 0) & (shares < 1)
    binom = scipy.stats.binom
    below = binom.cdf(counts[:, inner], n, shares[inner])
    above = binom.sf(counts[:, inner] - 1, n, shares[inner])
    least = 2 * np.minimum(below, above).min(axis=1)
    level = float(np.quantile(least, 1 - _BAND))
    binom = scipy.stats.binom
    return binom.ppf(level / 2, n, shares), binom.isf(level / 2, n, shares)


def _label(axis: Axes, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.tick_params(labelsize=7)


def _broken(sentence: str) -> str:
    """Return a sentence in two lines where it is long."""
    first, colon, rest = sentence.partition(": ")
    return f"{first}{colon}\n{rest}" if len(sentence) > 90 else sentence

"""The figure of predictions: each reading against what the others predict."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri

from pdeinv.errors import InputError
from pdeinv.quantities.draws import field_label
from pdeinv.units import in_figures

__all__ = ["plot_predictions"]

_WIDTH, _HEIGHT = 3.3, 2.9
_LEVEL = 0.9  # of the intervals
_EDGES = np.linspace(-4, 4, 17)  # of the histogram, in standard deviations


def plot_predictions(result: xr.Dataset) -> Figure:
    """Return a figure of the readings against their predictions, with a row for each field.

    A prediction is that of the other readings, `sensor_predicted` in the result, with the noise of
    the reading itself in its standard deviation. The first panel has each reading above its
    prediction, with the central 90 % interval; it should cross the diagonal in nine of ten cases.
    The second has the histogram of the standardised differences. It should follow the normal
    density, which is drawn.

    Arguments:
        result: of `pdeinv.reconstruct`, also one that was stored.

    Raises:
        InputError: no reading of the result has a prediction.

    Reference:
        Gelman et al., *Bayesian Data Analysis*, 3rd edition, 2013, section 7.2 (leave-one-out
        prediction).
    """
    predicted, std = (result.get(f"sensor_{name}") for name in ("predicted", "predicted_std"))
    if predicted is None or std is None or not (known := _known(result)).any():
        raise InputError(
            "readings must have predictions to be drawn against them, got none; reconstruct with "
            "a solver that makes them, such as 'auto' chooses"
        )
    fields = dict.fromkeys(result["sensor_field"].values[known].tolist())
    figure = Figure(figsize=(2 * _WIDTH, _HEIGHT * len(fields) + 0.3), layout="constrained")
    rows = figure.subplots(len(fields), 2, squeeze=False)
    for (readings, histogram), name in zip(rows, fields, strict=True):
        mine = known & (result["sensor_field"].values == name)
        value, mean, width = (x.values[mine] for x in (result["sensor_value"], predicted, std))
        units = in_figures(str(result[f"{name}_mean"].attrs.get("units", "1")))
        _plot_readings(readings, units, value, mean, width)
        readings.set_title(field_label(result, str(name)), fontsize=10)
        _plot_differences(histogram, (value - mean) / width)
    figure.align_labels()
    return figure


def _known(result: xr.Dataset) -> np.ndarray:
    """Return which readings have a prediction; a censored one is a limit, and is left out."""
    columns = ("sensor_value", "sensor_predicted", "sensor_predicted_std")
    known = np.logical_and.reduce([np.isfinite(result[name].values) for name in columns])
    known &= result["sensor_predicted_std"].values > 0
    if "sensor_censored" in result:
        known &= ~np.isin(result["sensor_censored"].values, ("left", "right"))
    return known


def _plot_readings(
    axis: Axes, units: str, value: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> None:
    half = ndtri((1 + _LEVEL) / 2) * std
    ends = [min(value.min(), mean.min()), max(value.max(), mean.max())]
    axis.plot(ends, ends, color="0.4", lw=1)
    axis.errorbar(mean, value, xerr=half, fmt="o", ms=3, lw=0.8, color="C0", ecolor="C0", alpha=0.7)
    unit = f" [{units}]" if units else ""
    axis.set_xlabel(f"predicted by the other readings{unit}", fontsize=8)
    axis.set_ylabel(f"reading{unit}", fontsize=8)
    axis.tick_params(labelsize=8)


def _plot_differences(axis: Axes, differences: np.ndarray) -> None:
    shown = differences.clip(_EDGES[0], _EDGES[-1])
    axis.hist(shown, _EDGES.tolist(), color="C0", alpha=0.8, rwidth=0.9)
    at = np.linspace(_EDGES[0], _EDGES[-1], 200)
    scale = len(differences) * (_EDGES[1] - _EDGES[0]) / np.sqrt(2 * np.pi)
    axis.plot(at, scale * np.exp(-(at**2) / 2), color="0.2", lw=1)
    inside = np.mean(np.abs(differences) <= ndtri((1 + _LEVEL) / 2))
    axis.set_title(f"{100 * inside:.0f} % within the {100 * _LEVEL:.0f} % interval", fontsize=10)
    axis.set_xlabel("(reading − prediction) / standard deviation", fontsize=8)
    axis.set_ylabel("readings", fontsize=8)
    axis.tick_params(labelsize=8)

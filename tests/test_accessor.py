"""What a result shows of itself: the accessor `.pdeinv`, the figure of predictions, its story."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from helpers import ROOT
from scipy.stats import norm

import pdeinv
from pdeinv import InputError, Sensors, datasets, layouts


@pytest.fixture(scope="module")
def result():
    truth = datasets.example("poisson").isel(sample=0)
    sensors = Sensors.observe(truth.potential, layouts.random(40, seed=1), noise_std="2%")
    more = Sensors.observe(truth.source, layouts.random(10, seed=2), noise_std="5%")
    return pdeinv.reconstruct(sensors + more, "poisson", grid=16, n_samples=5)


@pytest.fixture(scope="module")
def stored(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "r.nc"
    result.to_netcdf(path)
    return xr.load_dataset(path)


def test_importing_it_gives_every_result_the_accessor(stored, tmp_path):
    stored.to_netcdf(tmp_path / "r.nc")
    code = (
        "import sys, xarray as xr, pdeinv.accessor; r = xr.load_dataset('r.nc'); "
        "assert len(r.pdeinv.sensors()) == 50 and 'matplotlib' not in sys.modules"
    )
    environment = {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environment)


def test_another_dataset_has_none():
    with pytest.raises(InputError, match=r"must be a result of pdeinv\.reconstruct, got one of"):
        xr.Dataset({"a": ("x", [1.0])}).pdeinv  # noqa: B018


def test_sensors_are_a_table_with_the_predictions(result, stored):
    table = stored.pdeinv.sensors()
    assert isinstance(table, pd.DataFrame) and len(table) == 50
    expected = ["field", "x", "y", "value", "noise_std", "predicted", "predicted_std", "p_value"]
    assert list(table.columns[:8]) == expected
    assert np.array_equal(table["value"], result["sensor_value"])
    again = pdeinv.reconstruct(table[expected[:5]], "poisson", grid=16, n_samples=2)
    np.testing.assert_allclose(again["source_mean"], result["source_mean"], atol=1e-12)


def test_maps_and_figures_are_those_of_the_functions(stored):
    assert stored.pdeinv.quantile_map("source", 0.5).equals(
        pdeinv.quantities.quantile(stored, "source", 0.5)
    )
    assert stored.pdeinv.exceedance_map("source", 0.1).equals(
        pdeinv.quantities.exceedance(stored, "source", 0.1)
    )
    assert len(stored.pdeinv.plot().axes) == len(pdeinv.plot_reconstruction(stored).axes)


def test_readings_are_drawn_against_their_predictions(stored):
    figure = stored.pdeinv.predictions()
    readings, histogram, of_source, _ = figure.axes
    assert readings.get_title() == "potential u" and of_source.get_title() == "source term a"
    mine = stored["sensor_field"].values == "potential"
    value, mean, std = (
        stored[f"sensor_{name}"].values[mine] for name in ("value", "predicted", "predicted_std")
    )
    points = readings.containers[0].lines[0]
    assert np.array_equal(points.get_xdata(), mean) and np.array_equal(points.get_ydata(), value)
    (bars,) = readings.containers[0].lines[2]
    widths = [segment[1, 0] - segment[0, 0] for segment in bars.get_segments()]
    np.testing.assert_allclose(widths, 2 * norm.ppf(0.95) * std)
    counts = [bar.get_height() for bar in histogram.patches]
    assert sum(counts) == 40
    inside = np.mean(np.abs(value - mean) <= norm.ppf(0.95) * std)
    assert histogram.get_title() == f"{100 * inside:.0f} % within the 90 % interval"
    (density,) = histogram.lines
    x, y = density.get_data()
    np.testing.assert_allclose(y, 40 * 0.5 * norm.pdf(x), rtol=1e-10)


def test_censored_readings_and_those_without_a_prediction_are_left_out(stored):
    few = stored.assign(
        sensor_censored=("sensor", ["left", *[""] * 49]),
        sensor_predicted=stored["sensor_predicted"].where(np.arange(50) != 3),
    )
    counts = [bar.get_height() for bar in few.pdeinv.predictions().axes[1].patches]
    assert sum(counts) == 38
    with pytest.raises(InputError, match="must have predictions to be drawn against them"):
        pdeinv.plot_predictions(stored.drop_vars("sensor_predicted"))


def test_samples_and_times_move(stored):
    animation = stored.pdeinv.animate("source")
    (axis, _) = animation._fig.axes
    animation._func(3)
    shown = axis.images[0].get_array()
    assert np.array_equal(shown, stored["source_samples"].values[3])
    assert axis.get_title() == "posterior samples of the source term a\nsample 3"
    low, high = axis.images[0].get_clim()
    assert low <= stored["source_samples"].min() and stored["source_samples"].max() <= high
    times = stored.assign(
        source_mean=stored["source_mean"].expand_dims(time=[0.5, 2.0]),
        source_samples=stored["source_samples"].expand_dims(time=[0.5, 2.0]),
    )
    moving = times.pdeinv.animate("source")
    moving._func(1)
    assert moving._fig.axes[0].get_title().endswith("time 2")
    with pytest.raises(InputError, match="the field of an animation must be one of"):
        stored.pdeinv.animate("head")
    with pytest.raises(InputError, match=r"got the dimensions replicate; select one with \.isel"):
        stored.expand_dims(replicate=[1, 2]).pdeinv.animate("source")


def test_a_notebook_shows_the_story_of_a_result_first(result):
    page = result._repr_html_()
    story = page.split("</table>")[0]
    assert "poisson on 16 x 16 nodes by gaussian from 50 readings" in story
    assert "potential u" in story and "source term a" in story and "Assumed: " in story
    assert "Warning" not in story and "xr-wrap" in page
    wrong = result.assign_attrs(alarm="a <unit> is wrong", reduced_chi_squared=7.25)
    story = wrong._repr_html_().split("</table>")[0]
    assert "<b>Warning:</b> a &lt;unit&gt; is wrong" in story and "7.25" in story

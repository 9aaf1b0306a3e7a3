"""The figure of a reconstruction, and files written whole or not at all."""

import warnings

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import imread

from pdeinv import InputError, Sensors, layouts, plot_reconstruction, reconstruct
from pdeinv.datasets import example
from pdeinv.files import save_figure, save_netcdf
from pdeinv.solvers import OptimalInterpolation

FIELDS = ("permeability", "pressure")
TITLES = {
    False: ["posterior mean", "standard deviation"],
    True: ["truth", "posterior mean", "standard deviation", "|mean − truth|"],
}


@pytest.fixture(scope="module")
def truth():
    # 22 x 22, both ends kept
    return example("darcy").isel(sample=0, y=slice(None, None, 3), x=slice(None, None, 3))


def reconstruction(truth, *fields):
    sensors = [
        Sensors.observe(truth[f], layouts.random(12, i), order=0) for i, f in enumerate(fields)
    ]
    sensors = sum(sensors[1:], sensors[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a small ensemble fits no exact readings
        return reconstruct(
            sensors,
            "darcy",
            grid=22,
            solver=OptimalInterpolation(members=32, copies=2),
            n_samples=1,
        )


@pytest.fixture(scope="module")
def result(truth):
    return reconstruction(truth, *FIELDS)


def panels(figure):
    """{field: {title: axes}}, by the titles; colour bars have none."""
    axes = [a for a in figure.axes if a.get_title().strip()]
    return {
        field: {
            a.get_title().splitlines()[-1]: a
            for a in axes[i * len(axes) // 2 : (i + 1) * len(axes) // 2]
        }
        for i, field in enumerate(FIELDS)
    }


@pytest.mark.parametrize("known", [False, True])
def test_a_row_a_field_and_a_panel_a_quantity(result, truth, known):
    drawn = panels(plot_reconstruction(result, truth if known else None))
    for field, row in drawn.items():
        assert list(row) == TITLES[known]
        label = truth[field].attrs["long_name"]
        assert [axis.get_title().splitlines()[0] for axis in row.values()] == [label] + [""] * (
            len(row) - 1
        )
        images = {title: axis.images[0] for title, axis in row.items()}
        mean, std = result[f"{field}_mean"].values, result[f"{field}_std"].values
        assert np.array_equal(images["posterior mean"].get_array(), mean)
        assert np.array_equal(images["standard deviation"].get_array(), std)
        fields = [images["posterior mean"]]
        if known:
            fields.append(images["truth"])
            assert np.allclose(
                images["|mean − truth|"].get_array(), abs(mean - truth[field].values)
            )
            assert images["|mean − truth|"].get_clim() == images["standard deviation"].get_clim()
        values = np.stack([image.get_array() for image in fields])
        assert {image.get_clim() for image in fields} == {(values.min(), values.max())}
        # y upwards, and pixels centred on the nodes
        half = 0.5 / 21
        assert all(image.origin == "lower" for image in images.values())
        assert np.allclose(
            [image.get_extent() for image in images.values()], [-half, 1 + half, -half, 1 + half]
        )


@pytest.mark.parametrize("known", [False, True])
def test_sensors_are_drawn_on_the_mean_of_their_field_alone(result, truth, known):
    for field, row in panels(plot_reconstruction(result, truth if known else None)).items():
        lines = {title: axis.lines for title, axis in row.items() if len(axis.lines)}
        assert list(lines) == ["posterior mean"] and len(lines["posterior mean"]) == 1
        mine = result.sensor_field == field
        x, y = lines["posterior mean"][0].get_data()
        assert np.array_equal(x, result.sensor_x[mine]) and np.array_equal(y, result.sensor_y[mine])
        assert len(x) == 12


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("known", [False, True])
def test_a_field_without_sensors_leaves_the_panels_their_size(truth, field, known, tmp_path):
    figure = plot_reconstruction(reconstruction(truth, field), truth if known else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib says so when it gives the layout up
        save_figure(figure, tmp_path / "r.png")
    assert all(
        axis.get_position().width > 0.15 for row in panels(figure).values() for axis in row.values()
    )


def test_the_title_tells_the_run_and_units_label_the_bars(result):
    result = result.copy()
    result["pressure_mean"] = result.pressure_mean.assign_attrs(units="Pa")
    figure = plot_reconstruction(result)
    title = figure.get_suptitle()
    for part in (
        "darcy",
        "optimal-interpolation",
        "24 sensors",
        f"{result.attrs['reduced_chi_squared']:.2f}",
    ):
        assert part in title
    assert [axis.get_ylabel() for axis in figure.axes].count("Pa") == 2


@pytest.mark.parametrize("ending", ["png", "PNG", "pdf", "svg"])
def test_the_ending_chooses_the_format(result, ending, tmp_path):
    path = tmp_path / f"r.{ending}"
    save_figure(plot_reconstruction(result), path)
    assert path.read_bytes().startswith(
        {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[ending.lower()]
    )
    if ending == "png":
        assert imread(path).std() > 0.1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", ["r.nc", "r", "nowhere/r.png", ".", "r.png.txt"])
def test_a_path_that_is_no_figure_is_refused(result, path, tmp_path):
    with pytest.raises(InputError):
        save_figure(plot_reconstruction(result), tmp_path / path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("old", [None, b"last week's"])
@pytest.mark.parametrize(
    "error", [RuntimeError("the renderer broke"), OSError(28, "No space left on device")]
)
def test_a_failure_leaves_what_was_there(error, old, tmp_path, monkeypatch):
    def fail(self, path, **_):
        path.write_bytes(b"half a figure")
        raise error

    monkeypatch.setattr(Figure, "savefig", fail)
    path = tmp_path / "r.png"
    if old:
        path.write_bytes(old)
    expected = InputError if isinstance(error, OSError) else RuntimeError
    with pytest.raises(expected, match=str(error.args[-1])):
        save_figure(Figure(), path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


def test_a_new_file_takes_the_place_of_the_old_one(result, tmp_path):
    path = tmp_path / "r.nc"
    path.write_text("last week's")
    save_netcdf(result, path)
    with xr.open_dataset(path) as stored:
        assert stored.sizes["sensor"] == 24
    assert list(tmp_path.iterdir()) == [path]

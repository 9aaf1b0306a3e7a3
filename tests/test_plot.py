"""The figure of a reconstruction, and files written whole or not at all."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import imread

from pdeinv import Grid, InputError, Sensors, layouts, plot_reconstruction, reconstruct
from pdeinv.coordinates import coordinates_of
from pdeinv.datasets import example
from pdeinv.files import save_figure, save_netcdf
from pdeinv.interpolation import interpolation_stencil
from pdeinv.solvers import OptimalInterpolation

FIELDS = ("permeability", "pressure")
TITLES = {
    False: ["posterior mean", "standard deviation", "reading − mean"],
    True: ["truth", "posterior mean", "standard deviation", "|mean − truth|", "reading − mean"],
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
        images = {title: axis.images[0] for title, axis in row.items() if axis.images}
        assert list(images) == TITLES[known][:-1]
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
        axis.get_position().width > 0.55 / len(row)
        for row in panels(figure).values()
        for axis in row.values()
    )


def drawn_residuals(row):
    """Return the places (m, 2) and the values (m,) of the residual panel of a row."""
    (marks,) = row["reading − mean"].collections
    return np.asarray(marks.get_offsets()), np.asarray(marks.get_array())


def test_residuals_are_in_standard_deviations_of_noise_and_posterior_at_their_sensors(result):
    noisy = result.copy()
    noisy["sensor_noise_std"] = noisy.sensor_value * 0 + 3e-3
    for field, row in panels(plot_reconstruction(noisy)).items():
        places, values = drawn_residuals(row)
        mine = noisy.sensor_field == field
        readings = noisy.sensor_value[mine].values
        assert np.array_equal(places[:, 0], noisy.sensor_x[mine])
        assert np.array_equal(places[:, 1], noisy.sensor_y[mine])
        grid = Grid(22)
        order = {"permeability": 0, "pressure": 3}[field]
        mean, std = (
            interpolated(grid, places, noisy[f"{field}_{what}"].values, degree)
            for what, degree in (("mean", order), ("std", min(order, 1)))
        )
        expected = (readings - mean) / np.sqrt(9e-6 + std**2)
        assert np.allclose(values, expected, rtol=1e-2, atol=1e-3)
        assert row["reading − mean"].collections[0].get_clim() == (-3.0, 3.0)


def interpolated(grid, points, field, order):
    index, weight = interpolation_stencil(torch.as_tensor(points), grid, order)
    return (field.ravel()[index] * weight.numpy()).sum(axis=1)


def test_exact_readings_that_are_met_have_residuals_near_zero(result):
    exact = result.copy(deep=True)
    exact["pressure_std"] = exact.pressure_std * 0
    exact["sensor_noise_std"] = exact.sensor_value * 0
    mine = exact.sensor_field == "pressure"
    points = np.stack([exact.sensor_x[mine], exact.sensor_y[mine]], axis=1)
    there = interpolated(Grid(22), points, exact.pressure_mean.values, 3)
    values = exact.sensor_value.values.copy()
    values[mine] = there * (1 + 1e-12)
    exact["sensor_value"] = exact.sensor_value.copy(data=values)
    _, values = drawn_residuals(panels(plot_reconstruction(exact))["pressure"])
    assert np.isfinite(values).all() and abs(values).max() < 1e-6


def test_a_wrong_reading_stands_out_in_the_residuals(result):
    wrong = result.copy(deep=True)
    at = int(np.flatnonzero(wrong.sensor_field == "pressure")[5])
    values = wrong.sensor_value.values.copy()
    values[at] += 100 * float(wrong.pressure_std.max())
    wrong["sensor_value"] = wrong.sensor_value.copy(data=values)
    _, values = drawn_residuals(panels(plot_reconstruction(wrong))["pressure"])
    assert abs(values).argmax() == 5 and values[5] > 3


def test_a_signed_field_has_a_diverging_scale_about_zero(result, truth):
    signed = result.copy()
    signed["pressure_mean"] = signed.pressure_mean - 0.4 * float(signed.pressure_mean.max())
    image = panels(plot_reconstruction(signed))["pressure"]["posterior mean"].images[0]
    low, high = image.get_clim()
    assert image.get_cmap().name == "RdBu_r" and low == -high < 0
    assert high == float(abs(signed.pressure_mean).max())


@pytest.mark.parametrize("undershoot", [0.0, -0.02])
def test_a_positive_field_keeps_a_sequential_scale_in_spite_of_an_undershoot(result, undershoot):
    positive = result.copy(deep=True)
    positive["pressure_mean"].values[3, 3] = undershoot * float(positive.pressure_mean.max())
    for field, row in panels(plot_reconstruction(positive)).items():
        image = row["posterior mean"].images[0]
        mean = positive[f"{field}_mean"]
        assert image.get_cmap().name == "viridis"
        assert image.get_clim() == (float(mean.min()), float(mean.max()))
        spread = row["standard deviation"].images[0]
        assert spread.get_cmap().name == "magma" and spread.get_clim()[0] == 0


def test_a_two_valued_field_shows_its_probability(result):
    two = result.copy()
    two["permeability_probability"] = (("y", "x"), np.linspace(0, 1, 22 * 22).reshape(22, 22))
    figure = plot_reconstruction(two)
    (axis,) = (a for a in figure.axes if "P(high value)" in a.get_title())
    image = axis.images[0]
    assert np.array_equal(image.get_array(), two.permeability_probability)
    assert image.get_clim() == (0, 1)
    assert [a.get_ylabel() for a in figure.axes].count("probability") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()


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


GRIDS = {
    "wide": Grid(12, 30, (0.0, 3000.0, 0.0, 1200.0), "m"),
    "tall": Grid(30, 12, (100.0, 102.0, -5.0, 0.0), "km"),
    "torus": Grid(8, 20, (0.0, 5.0, 0.0, 2.0), kind="periodic"),
    "square": Grid(16),
}


def artificial(grid, fields):
    """A result of as many fields, with sensors of the first one at the corners of the domain."""
    rng = np.random.default_rng(0)
    data = {
        f"f{i}_{what}": (("y", "x"), rng.uniform(0.1, 1.0, grid.shape), {"units": "m d-1"})
        for i in range(fields)
        for what in ("mean", "std")
    }
    x0, x1, y0, y1 = grid.extent
    sensors = {
        "field": np.array(["f0"] * 4, dtype=object),
        "x": np.array([x0, x1, x0, x1]),
        "y": np.array([y0, y0, y1, y1]),
        "value": np.zeros(4),
        "noise_std": np.ones(4),
    }
    result = xr.Dataset(data, coordinates_of(grid))
    return result.assign({f"sensor_{k}": ("sensor", v) for k, v in sensors.items()})


@pytest.mark.parametrize("fields", [1, 3])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_panels_have_the_aspect_of_the_domain_and_fill_the_figure(grid, fields):
    figure = plot_reconstruction(artificial(grid, fields))
    figure.draw_without_rendering()
    drawn = [axis for axis in figure.axes if axis.get_title().strip()]
    assert len(drawn) == 3 * fields
    width, height = figure.get_size_inches()
    x0, _, y0, _ = grid.extent
    unit = "" if grid.unit == "1" else f" ({grid.unit})"
    for i, axis in enumerate(drawn):
        box, free = axis.get_position(), axis.get_position(original=True)
        ratio = box.width * width / (box.height * height)
        edges = np.diff(axis.get_xlim())[0] / np.diff(axis.get_ylim())[0]
        assert ratio == pytest.approx(edges, rel=1e-6)
        assert box.width > 0.85 * free.width and box.height > 0.85 * free.height
        assert axis.get_xlim()[0] == pytest.approx(x0 - grid.hx / 2)
        assert axis.get_xlim()[1] == pytest.approx(x0 + (grid.nx - 0.5) * grid.hx)
        assert axis.get_ylim()[0] == pytest.approx(y0 - grid.hy / 2)
        assert axis.get_ylim()[1] == pytest.approx(y0 + (grid.ny - 0.5) * grid.hy)
        assert axis.get_ylabel() == (f"y{unit}" if i % 3 == 0 else "")
        assert axis.get_xlabel() == (f"x{unit}" if i >= 3 * (fields - 1) else "")
        seen = axis.get_tightbbox().transformed(figure.transFigure.inverted())
        assert min(seen.x0, seen.y0) >= -0.01 and max(seen.x1, seen.y1) <= 1.01
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert labels.count("m d⁻¹") == 2 * fields
    (marks,) = drawn[2].collections
    ends = [grid.extent[0], grid.extent[0] if grid.periodic else grid.extent[1]]  # x1 is x0
    assert np.allclose(marks.get_offsets()[:, 0], ends * 2)


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
    ("owner", "method", "error", "raised"),
    [
        (Figure, "savefig", RuntimeError("the renderer broke"), RuntimeError),
        (Path, "write_bytes", OSError(28, "No space left on device"), InputError),
    ],
)
def test_a_failure_leaves_what_was_there(owner, method, error, raised, old, tmp_path, monkeypatch):
    path = tmp_path / "r.png"
    if old:
        path.write_bytes(old)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(owner, method, fail)
    with pytest.raises(raised, match=str(error.args[-1])):
        save_figure(Figure(), path)
    monkeypatch.undo()
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


def test_a_new_file_takes_the_place_of_the_old_one(result, tmp_path):
    path = tmp_path / "r.nc"
    path.write_text("last week's")
    save_netcdf(result, path)
    with xr.open_dataset(path) as stored:
        assert stored.sizes["sensor"] == 24
    assert list(tmp_path.iterdir()) == [path]

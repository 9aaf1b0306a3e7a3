"""Figures draw each kind of sensor: a circle, a segment, two joined points, limits of detection."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import same_color
from test_plot import artificial

from pdeinv import Grid, InputError, Problem, Sensors, plot_reconstruction, plot_sensors
from pdeinv.coordinates import coordinates_of
from pdeinv.datasets import Darcy
from pdeinv.files import save_figure
from pdeinv.grid import Domain

NAN = np.nan
ROWS = {  # in shares of the sides
    "x": [0.1, 0.5, 0.2, 0.3, 0.9, 0.8],
    "y": [0.1, 0.5, 0.8, 0.2, 0.9, 0.1],
    "radius": [NAN, 0.1, NAN, NAN, NAN, NAN],
    "x2": [NAN, NAN, 0.6, 0.4, NAN, NAN],
    "y2": [NAN, NAN, 0.8, 0.3, NAN, NAN],
    "kind": ["", "", "line", "difference", "", ""],
    "censored": ["", "", "", "", "left", "right"],
}
WIDE = Grid(12, 30, (0.0, 3000.0, 0.0, 1200.0), "m")
TORUS = Grid(16, kind="periodic")


def table(grid=None, field="f0"):
    """The readings of `ROWS` in the domain of a grid."""
    x0, x1, y0, y1 = grid.extent if grid else (0.0, 1.0, 0.0, 1.0)
    size = min(x1 - x0, y1 - y0)
    rows = {name: np.array(values) for name, values in ROWS.items()}
    for name in ("x", "x2"):
        rows[name] = x0 + (x1 - x0) * rows[name]
    for name in ("y", "y2"):
        rows[name] = y0 + (y1 - y0) * rows[name]
    return {"field": field, "value": 0.5, "noise_std": 0.1, **rows, "radius": size * rows["radius"]}


def with_sensors(grid, columns):
    """A result of one field with the readings of a table."""
    result = artificial(grid, 1)
    checked = Sensors.read(columns).table
    result = result.drop_vars([name for name in result if str(name).startswith("sensor_")])
    drawn = np.random.default_rng(0).uniform(0.1, 1.0, (4, *grid.shape))
    result["f0_samples"] = (("sample", "y", "x"), drawn)
    return result.assign({f"sensor_{c}": ("sensor", checked[c].to_numpy()) for c in checked})


def artists(axis):
    """The circles, the segments of lines and of differences, and the marks with their places."""
    discs = [a for a in axis.collections if isinstance(a, EllipseCollection)]
    lines = [a for a in axis.collections if isinstance(a, LineCollection)]
    marks = {}
    for line in axis.lines:
        key = (line.get_marker(), "black" if same_color(line.get_mfc(), "black") else "white")
        marks[key] = np.column_stack(line.get_data())
    return discs, lines, marks


def assert_drawn(axis, columns):
    discs, lines, marks = artists(axis)
    x, y, x2, y2 = (np.asarray(columns[c]) for c in ("x", "y", "x2", "y2"))
    (circle,) = discs
    assert np.allclose(circle.get_offsets(), [[x[1], y[1]]])
    assert [len(one.get_segments()) for one in lines] == [1, 1]
    for segments, i in zip(lines, (2, 3), strict=True):
        assert np.allclose(segments.get_segments()[0], [[x[i], y[i]], [x2[i], y2[i]]])
    assert np.allclose(marks["o", "black"], [[x2[3], y2[3]]])
    assert np.allclose(marks["v", "white"], [[x[4], y[4]]])
    assert np.allclose(marks["^", "white"], [[x[5], y[5]]])
    white = [line for line in axis.lines if line.get_marker() == "o"]
    places = np.concatenate([np.column_stack(line.get_data()) for line in white])
    assert {tuple(p) for p in places} == {(x[0], y[0]), (x[3], y[3]), (x2[3], y2[3])}


@pytest.mark.parametrize("grid", [Grid(16), WIDE, TORUS], ids=["square", "wide", "torus"])
def test_the_figure_of_a_result_draws_each_kind(grid):
    columns = table(grid)
    figure = plot_reconstruction(with_sensors(grid, columns))
    figure.draw_without_rendering()
    mean, _, residuals = [axis for axis in figure.axes if axis.get_title().strip()]
    assert_drawn(mean, columns)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == [
        "sensor",
        "mean over a disc",
        "mean along a line",
        "difference, white − black",
        "below the limit",
        "above the limit",
    ]
    # The residuals have the same shapes, in the colours of one scale
    discs, lines, _ = artists(residuals)
    assert len(discs) == 1 and len(lines) == 2
    coloured = [one for one in residuals.collections if one.get_array() is not None]
    assert {one.get_clim() for one in coloured} == {(-3.0, 3.0)}
    assert (
        sum(len(one.get_array()) for one in coloured) == 6 + 2
    )  # a difference is a line and both ends


@pytest.mark.parametrize("radius", [0.05, 0.3])
def test_a_circle_has_its_radius_in_the_units_of_the_data(radius):
    columns = {"field": "f0", "x": [600.0], "y": [600.0], "value": 0.0, "radius": radius * 1200}
    figure = plot_sensors(columns, WIDE)
    figure.draw_without_rendering()
    (circle,) = figure.axes[0].collections
    (path,), matrix = circle.get_paths(), circle.get_transforms()[0]
    corners = path.get_extents(circle.get_transform()).get_points()
    unit = np.diff(corners * np.array([matrix[0, 0], matrix[1, 1]]), axis=0)[0]
    data = figure.axes[0].transData
    width, height = data.transform([1, 1]) - data.transform([0, 0])
    assert unit == pytest.approx([2 * radius * 1200 * width, 2 * radius * 1200 * height], rel=1e-6)


def residuals_beyond(values):
    """The residuals of the two readings beyond a limit of detection."""
    figure = plot_reconstruction(with_sensors(Grid(16), {**table(), "value": values}))
    (axis,) = [axis for axis in figure.axes if "reading" in axis.get_title()]
    below, above = axis.collections[-3:-1]
    return [float(one.get_array().item()) for one in (below, above)]


def test_a_reading_beyond_a_limit_has_a_residual_only_where_the_mean_is_not():
    assert residuals_beyond([0.5, 0.5, 0.5, 0.0, 5.0, -5.0]) == [0.0, 0.0]
    below, above = residuals_beyond([0.5, 0.5, 0.5, 0.0, -5.0, 5.0])
    assert below < -1 and above > 1


def test_footprints_on_a_torus_reach_into_the_panel_from_all_sides():
    columns = {
        "field": "f0",
        "x": [0.98, 0.9],
        "y": [0.98, 0.5],
        "value": 0.0,
        "radius": [0.2, NAN],
        "x2": [NAN, 1.1],
        "y2": [NAN, 0.6],
    }
    figure = plot_sensors(columns, TORUS)
    discs, lines, _ = artists(figure.axes[0])
    assert len(discs[0].get_offsets()) == 4 and len(lines[0].get_segments()) == 2


PLACES = {
    "domain": Domain(),
    "grid": Grid(16),
    "physics": Darcy(),
    "problem": Problem(Darcy()),
    "field": xr.DataArray(np.ones((16, 16)), coordinates_of(Grid(16)), ("y", "x"), "pressure"),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_layout_is_drawn_on_what_has_a_domain(place, tmp_path):
    columns = table(field=["pressure"] * 5 + ["flux_x"])
    figure = plot_sensors(columns, place)
    drawn = [axis for axis in figure.axes if axis.get_title()]
    titles = [axis.get_title() for axis in drawn]
    assert titles == ["pressure\n5 readings", "flux x\n1 reading"]
    assert len(drawn[0].images) == isinstance(place, xr.DataArray) and not drawn[1].images
    save_figure(figure, tmp_path / "l.png")
    assert (tmp_path / "l.png").stat().st_size > 10_000


def test_plain_points_have_no_legend():
    plain = {"field": "f0", "x": [0.1, 0.2], "y": [0.3, 0.4], "value": 0.0}
    assert not plot_sensors(plain, Domain()).legends


def test_a_layout_outside_of_its_place_is_refused():
    with pytest.raises(InputError, match="row 1: the disc must lie in the domain"):
        plot_sensors({**table(), "radius": [NAN, 0.7, *[NAN] * 4]}, Domain())
    with pytest.raises(InputError, match=r"the place of sensors must be a domain .* got 3; "):
        plot_sensors(table(), 3)

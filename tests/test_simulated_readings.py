"""Simulated readings of every kind: what they read, their noise, biases and limits of detection."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from pdeinv import Grid, InputError, Sensors, layouts
from pdeinv.coordinates import coordinates_of
from pdeinv.grid import Domain

GRIDS = {
    "square": Grid(41),
    "rectangle": Grid(31, 61, (100.0, 103.0, -1.0, 0.5), "m"),
    "torus": Grid(40, kind="periodic"),
}


def wave(x, y, grid):
    x0, _, y0, _ = grid.extent
    width, height = grid.domain.lengths
    return np.sin(2 * np.pi * (x - x0) / width) * np.cos(2 * np.pi * (y - y0) / height) + 2


def truth_on(grid, name="pressure"):
    x, y = grid.points().T.numpy()
    values = wave(x, y, grid).reshape(grid.shape)
    return xr.DataArray(values, coordinates_of(grid), ("y", "x"), name)


def mean_over_disc(centre, radius, grid):
    """A midpoint rule, with as much area in each of its cells."""
    r = radius * np.sqrt((np.arange(200) + 0.5) / 200)[:, None]
    angle = 2 * np.pi * np.arange(200) / 200
    return wave(centre[0] + r * np.cos(angle), centre[1] + r * np.sin(angle), grid).mean()


def mean_along(start, end, grid):
    share = ((np.arange(2000) + 0.5) / 2000)[:, None]
    return wave(*(start + share * (end - start)).T, grid).mean()


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_each_kind_reads_what_a_fine_quadrature_finds(grid):
    truth, radius = truth_on(grid), 0.2 * grid.domain.shorter
    points = layouts.random(6, 1, layouts.inner(grid.domain, radius))
    ends = layouts.random(6, 2, grid.domain)
    found = {
        "point": Sensors.observe(truth, points),
        "disc": Sensors.observe(truth, points, radius=radius),
        "line": Sensors.observe(truth, points, ends=ends),
        "difference": Sensors.observe(truth, points, ends=ends, kind="difference"),
    }
    at_points, at_ends = (wave(*places.T, grid) for places in (points, ends))
    expected = {
        "point": at_points,
        "disc": [mean_over_disc(p, radius, grid) for p in points],
        "line": [mean_along(p, e, grid) for p, e in zip(points, ends, strict=True)],
        "difference": at_points - at_ends,
    }
    for kind, sensors in found.items():
        assert set(sensors.table.get("kind", ["point"])) == {kind}
        np.testing.assert_allclose(sensors.table.value, expected[kind], atol=2e-3)


def test_kinds_may_be_mixed_and_read_as_by_the_operator():
    grid, nothing = GRIDS["square"], [np.nan, np.nan]
    points = [[0.5, 0.5], [0.4, 0.6], [0.2, 0.3], [0.7, 0.7]]
    ends = [nothing, nothing, [0.5, 0.3], [0.9, 0.8]]
    settings = {"radius": [np.nan, 0.1, np.nan, np.nan], "kind": ["", "", "", "difference"]}
    mixed = Sensors.observe(truth_on(grid), points, ends=ends, **settings).table
    assert mixed.kind.tolist() == ["point", "disc", "line", "difference"]
    for i, value in enumerate(mixed.value):
        only = {"radius": settings["radius"][i : i + 1], "kind": settings["kind"][i : i + 1]}
        alone = Sensors.observe(truth_on(grid), points[i : i + 1], ends=ends[i : i + 1], **only)
        assert value == pytest.approx(alone.table.value[0], abs=1e-14)


def test_noise_in_per_cent_is_of_the_spread_of_the_truth():
    truth = truth_on(GRIDS["square"])
    points = layouts.random(3)
    found = Sensors.observe(truth, points, noise_std="2%").table
    assert np.allclose(found.noise_std, 0.02 * float(truth.std()))
    stated = Sensors.observe(truth, points, noise_std=found.noise_std.to_numpy()).table
    assert found.equals(stated)


def test_readings_beyond_a_limit_have_the_limit_and_their_share_is_that_of_the_noise():
    truth = truth_on(GRIDS["square"]) * 0
    points = layouts.random(4000, 3)
    found = Sensors.observe(truth, points, noise_std=0.5, below=-0.4, above=0.9).table
    plain = Sensors.observe(truth, points, noise_std=0.5).table.value
    assert set(found.value[found.censored == "left"]) == {-0.4}
    assert set(found.value[found.censored == "right"]) == {0.9}
    assert ((plain < -0.4) == (found.censored == "left")).all()
    assert ((plain > 0.9) == (found.censored == "right")).all()
    kept = found.censored == ""
    assert (found.value[kept] == plain[kept]).all()
    for word, share in (("left", stats.norm.cdf(-0.8)), ("right", stats.norm.sf(1.8))):
        count = (found.censored == word).sum()
        assert abs(count - 4000 * share) < 4 * np.sqrt(4000 * share)


def test_a_limit_may_be_that_of_some_readings_alone():
    found = Sensors.observe(
        truth_on(GRIDS["square"]), [[0.2, 0.0], [0.2, 0.0]], below=[np.nan, 5.0]
    )
    assert found.table.censored.tolist() == ["", "left"]
    assert "censored" not in Sensors.observe(truth_on(GRIDS["square"]), [[0.2, 0.2]]).table


def bias_of(name, seed=0, field="pressure", **settings):
    """The bias of the readings of an instrument, which must all have the same."""
    truth = truth_on(GRIDS["square"], field)
    if time := settings.pop("time", None):
        truth = truth.assign_coords(time=time)
    points = layouts.random(5, 7)
    exact = Sensors.observe(truth, points).table.value
    settings = {"bias_std": 0.3, "seed": seed, **settings}
    difference = Sensors.observe(truth, points, instrument=name, **settings).table.value - exact
    assert np.ptp(difference) < 1e-12
    return difference[0]


def test_readings_of_one_instrument_and_field_share_their_bias():
    first = bias_of("A")
    assert first != 0
    assert bias_of("A", time=2.0) == pytest.approx(first)
    assert bias_of("A", replicate="2024") == pytest.approx(first)
    assert bias_of("A", bias_std=0.6) == pytest.approx(2 * first)
    assert bias_of("A", seed=1, bias_seed=0) == pytest.approx(first)
    others = [bias_of("B"), bias_of("A", seed=1), bias_of("A", field="permeability")]
    assert len({round(value, 9) for value in (first, *others)}) == 4


def test_biases_of_many_instruments_have_their_standard_deviation():
    found = [bias_of(f"probe {i}") for i in range(200)]
    assert np.std(found) == pytest.approx(0.3, rel=0.15)
    assert abs(np.mean(found)) < 4 * 0.3 / np.sqrt(200)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"replicate": "2024"},
        {"instrument": "B"},
        {"radius": 0.05},
        {"ends": np.full((200, 2), 0.5), "kind": "difference"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_the_noise_of_other_readings_is_independent(other):
    truth = truth_on(GRIDS["square"])
    points = layouts.random(200, 5, layouts.inner(Domain(), 0.05))

    def noise(**settings):
        exact = Sensors.observe(truth, points, **settings).table.value
        again, noisy = (
            Sensors.observe(truth, points, noise_std=1.0, **settings).table for _ in range(2)
        )
        assert noisy.equals(again)
        return noisy.value - exact

    assert abs(np.corrcoef(noise(), noise(**other))[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"radius": [0.1, 0.1]}, r"radius must be one for all points or have the shape \(1,\)"),
        ({"radius": -0.1}, "the layout, row 0: radius must be positive, got -0.1"),
        ({"radius": 0.6}, "the layout, row 0: the disc must lie in the domain"),
        ({"ends": [0.1, 0.2]}, r"ends must have the shape \(1, 2\) of points, got \(2,\)"),
        ({"ends": [[0.1, 1.2]]}, "row 0: x2 and y2 must be in the domain"),
        ({"ends": [[0.5, 0.5]]}, "row 0: x2, y2 must differ from x, y"),
        ({"kind": "dics"}, "row 0: kind must be .* got 'dics'"),
        ({"kind": "disc"}, "row 0: a reading of the kind disc must have radius alone"),
        ({"noise_std": "2 percent"}, "noise_std must be a number .* got '2 percent'"),
        ({"below": 1.0, "above": 0.5}, "below must be less than above, got 1 and 0.5 for point 0"),
        ({"below": [1.0, 2.0]}, r"below must be one for all points or have the shape \(1,\)"),
        ({"bias_std": 0.1}, "row 0: bias_std must be 0, or positive .* got 0.1 for none"),
        ({"bias_std": -1.0, "instrument": "A"}, "row 0: bias_std must be .* got -1 for 'A'"),
    ],
)
def test_what_cannot_be_read_is_refused(settings, words):
    with pytest.raises(InputError, match=words + r".*; "):
        Sensors.observe(truth_on(GRIDS["square"]), [[0.5, 0.5]], **settings)

"""Layouts of sensors, and simulated readings of a known field."""

import numpy as np
import pytest
import torch
from helpers import EXAMPLES

from pdeinv import Grid, InputError, Sensors, layouts
from pdeinv.datasets import example, pde_by_name
from pdeinv.grid import Domain


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_readings_of_a_known_field(name):
    pde = pde_by_name(name)
    for f in pde.fields:
        truth, order = example(name)[f.name].isel(sample=1), f.interpolation_order
        points = np.concatenate([layouts.random_nodes(30, pde.grid(64), 1), layouts.random(30, 2)])
        exact = Sensors.observe(truth, points, order=order)
        iy, ix = (np.rint(points[:30, d] * pde.grid(64).cells[0]).astype(int) for d in (1, 0))
        assert np.array_equal(exact.table.value[:30], truth.values[iy, ix].astype(float))
        # Off the grid it is what the operator reads, so that a solver that knew the truth would fit
        # to the last digit.
        H = exact.observation(pde, pde.grid(64))
        state = torch.as_tensor(truth.values.astype(float)).expand(1, 2, 64, 64)
        assert torch.allclose(H(state)[0], H.values, rtol=1e-12)
        assert set(exact.table.field) == {f.name} and (exact.table.noise_std == 0).all()


def test_the_noise_of_simulated_readings():
    truth = example("poisson")["source"].isel(sample=0)
    points = layouts.random(4000)
    exact = Sensors.observe(truth, points.tolist()).table.value
    level = np.where(points[:, 0] < 0.5, 0.1, 2.0)
    noisy = Sensors.observe(truth, points, noise_std=level, seed=3).table
    assert np.array_equal(noisy.noise_std, level)
    assert np.std((noisy.value - exact) / level) == pytest.approx(1, abs=0.05)
    assert noisy.equals(Sensors.observe(truth, points, noise_std=level, seed=3).table)
    assert not np.isclose(
        noisy.value, Sensors.observe(truth, points, noise_std=level, seed=4).table.value
    ).any()
    other = Sensors.observe(truth.rename("potential"), points, noise_std=level, seed=3).table
    assert (
        abs(np.corrcoef((noisy.value - exact) / level, (other.value - exact) / level)[0, 1]) < 0.1
    )


@pytest.mark.parametrize(
    ("change", "points", "message"),
    [
        (lambda t: t.transpose("x", "y"), [[0.1, 0.2]], "dimensions"),
        (lambda t: t.rename(None), [[0.1, 0.2]], "has no name"),
        (lambda t: t.isel(x=slice(20)), [[0.1, 0.2], [0.5, 0.2]], r"row 1: .*, got \(0.5, 0.2\)"),
        (lambda t: t.isel(x=[0, 1, 3, 4]), [[0.1, 0.2]], "coordinate x .* in equal steps"),
        (lambda t: t.isel(y=slice(None, None, -1)), [[0.1, 0.2]], "whole grid"),
        (lambda t: t.drop_vars(["x", "y"]), [[0.1, 0.2]], "whole grid"),
        (lambda t: t, [0.1, 0.2], r"got \(2,\)"),
        (lambda t: t, [[0.1, 0.2, 0.3]], r"got \(1, 3\)"),
        (lambda t: t, [[0.1, 0.2], [0.1, 1.2]], "row 1: x and y must be in the domain"),
        (
            lambda t: t,
            np.ones((3, 2)),
            r"noise_std must be one number or have the shape \(3,\), got \(2,\)",
        ),
        (lambda t: t, [[0.1, 0.2], [0.1]], "points must be an array of real numbers, got object"),
        (lambda t: t, [[0.1, 0.2j]], "points must be an array of real numbers, got complex128"),
        (lambda t: t + 0j, [[0.1, 0.2]], "truth must be an array of real numbers, got complex"),
        (
            lambda t: t > 0,
            [[0.1, 0.2]],
            "truth must be an array of real numbers, got bool",
        ),
        (
            lambda t: t.where(t.x < 0.5),
            [[0.1, 0.1], [0.9, 0.1]],
            "row 1: x and y must be in the domain",
        ),
    ],
)
def test_what_cannot_be_observed_is_refused(change, points, message):
    truth = change(example("poisson")["source"].isel(sample=0))
    noise_std = [0.1, 0.1] if "noise_std" in message else 0.0
    with pytest.raises(InputError, match=message):
        Sensors.observe(truth, points, noise_std=noise_std)


# Layouts


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda n: layouts.random(n, 5), 37),
        (lambda n: layouts.random_nodes(n, Grid(16), 5), 37),
        (lambda n: layouts.random_nodes(n, Grid(16, kind="periodic"), 5), 256),
        (lambda n: layouts.track([(0.1, 0.1), (0.9, 0.1), (0.9, 0.3)], n), 11),
        (lambda n: layouts.boundary(n), 21),
        (lambda n: layouts.regular(round(n**0.5)), 49),
    ],
)
def test_a_layout_has_as_many_points_as_asked_all_in_the_square(make, count):
    points = make(count)
    assert points.shape == (count, 2) and points.min() >= 0 and points.max() <= 1
    assert len(np.unique(points.round(9), axis=0)) == count
    assert np.array_equal(points, make(count))
    with pytest.raises(InputError, match="must be an integer of at least 1, got 0"):
        make(0)


def test_where_the_layouts_put_their_points():
    for grid in (Grid(16), Grid(16, kind="periodic")):
        nodes = set(map(tuple, grid.points().tolist()))
        assert set(map(tuple, layouts.random_nodes(60, grid, 1).tolist())) <= nodes
    assert not np.array_equal(layouts.random(9, 0), layouts.random(9, 1))
    assert layouts.regular(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    around = layouts.boundary(12)
    assert np.isin(around, (0, 1)).any(axis=1).all()
    assert {(0, 0), (1, 0), (1, 1), (0, 1)} <= set(map(tuple, around.round(12)))
    # 1.2 long, so one point every 0.1
    along = layouts.track([(0.1, 0.1), (0.9, 0.1), (0.9, 0.5)], 13)
    assert np.allclose(np.linalg.norm(np.diff(along, axis=0), axis=1), 0.1)
    assert np.allclose(along[[0, 8, -1]], [(0.1, 0.1), (0.9, 0.1), (0.9, 0.5)])


def test_impossible_layouts_are_refused():
    with pytest.raises(InputError, match="at most 256"):
        layouts.random_nodes(257, Grid(16))
    for waypoints in ([(0.1, 0.2)], [0.1, 0.2], [(0.1, 0.2, 0.3), (0.1, 0.2, 0.4)]):
        with pytest.raises(InputError, match="at least two"):
            layouts.track(waypoints, 5)
    with pytest.raises(InputError, match="one of n and spacing must be given, got both; "):
        layouts.track([(0, 0), (1, 1)], 5, spacing=0.1)
    with pytest.raises(InputError, match="one of n and spacing must be given, got neither; "):
        layouts.track([(0, 0), (1, 1)])
    with pytest.raises(InputError, match=r"apart must leave room for 100 points .* got 0.3, "):
        layouts.random(100, apart=0.3)
    with pytest.raises(InputError, match=r"must fit into the domain .* got the radius 0.5"):
        layouts.inner(Domain(), radius=0.5)
    with pytest.raises(InputError, match="points must be at least two pairs"):
        layouts.consecutive([(0.1, 0.2)])


@pytest.mark.parametrize("domain", [Domain(), Domain((100.0, 400.0, -50.0, 50.0), "m")])
def test_random_points_keep_their_distance(domain):
    apart = 0.1 * domain.shorter
    points = layouts.random(40, 2, domain, apart=apart)
    gaps = np.linalg.norm(points[:, None] - points, axis=2)[np.triu_indices(40, 1)]
    assert gaps.min() >= apart and domain.contains(torch.as_tensor(points)).all()
    free = layouts.random(40, 2, domain)
    assert np.array_equal(free, layouts.random(40, 2, domain, apart=0.0))


def test_points_on_several_lines_at_a_spacing():
    profiles = layouts.lines([[(0, 0.2), (1, 0.2)], [(0, 0.8), (0.5, 0.8)]], spacing=0.1)
    assert [len(one) for one in profiles] == [11, 6]
    for one in profiles:
        assert np.allclose(np.diff(one[:, 0]), 0.1)
    starts, ends = layouts.consecutive(profiles[0])
    assert np.array_equal(starts[1:], ends[:-1]) and len(starts) == 10


def test_the_inner_part_of_a_domain_has_room_for_what_is_read():
    domain = Domain((0.0, 3.0, 0.0, 2.0), "km")
    assert layouts.inner(domain, radius=0.5) == Domain((0.5, 2.5, 0.5, 1.5), "km")
    assert layouts.inner(domain, offset=(1.0, -0.5)) == Domain((0.0, 2.0, 0.5, 2.0), "km")

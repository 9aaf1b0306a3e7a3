"""The observation operator: exact on nodes, as accurate as it says off them, and the transpose of
its adjoint."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from helpers import Shifted, normal, seeded, vector
from hypothesis import given, settings
from hypothesis import strategies as st

from pdeinv import Grid, InputError, Observation
from pdeinv.region import Region

KINDS = ("vertex", "periodic")
LAYOUTS = {
    "nodes": lambda rng, n: rng.integers(0, n, (40, 2)) / (n - 1),
    "off the grid": lambda rng, n: rng.random((40, 2)),
    "repeated": lambda rng, n: np.repeat(rng.random((4, 2)), 10, axis=0),
    "clustered": lambda rng, n: 0.4 + 1e-3 * rng.random((40, 2)),
    "corners": lambda rng, n: np.array(
        [(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 1), (1, 0.37)], float
    ),
}


def observation(points, grid, order=(3, 3), channel=None):
    points = torch.as_tensor(np.asarray(points, dtype=float))
    if channel is None:
        channel = torch.arange(len(points)) % len(order)
    zeros = torch.zeros(len(points), dtype=torch.float64)
    return Observation(grid, points, torch.as_tensor(channel), zeros, zeros, order)


def sampled(function, grid):
    """A state whose two channels are the function of (x, y) and its negative."""
    x, y = grid.points().T
    field = function(x, y).reshape(1, 1, *grid.shape)
    return torch.cat([field, -field], dim=1)


def adjoint_gap(H, generator):
    """<H x, v> - <x, H^T v>, relative to the sizes of its terms."""
    x = torch.randn(3, len(H.order), *H.grid.shape, dtype=torch.float64, generator=generator)
    v = torch.randn(3, len(H), dtype=torch.float64, generator=generator)
    terms, other = H(x) * v, x * H.adjoint(v)
    return float((terms.sum() - other.sum()).abs() / terms.abs().sum())


# The operator and its adjoint


@pytest.mark.parametrize("order", [(3, 3), (0, 3), (1, 0), (3, 1)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_adjoint_is_the_transpose(kind, layout, order):
    H = observation(LAYOUTS[layout](np.random.default_rng(1), 16), Grid(16, kind=kind), order)
    assert set(H.channel.tolist()) == {0, 1}
    assert adjoint_gap(H, seeded()) < 1e-10


unit = st.floats(0, 1)
sensors = st.lists(st.tuples(unit, unit, st.integers(0, 1)), min_size=1, max_size=12)
orders = st.sampled_from([0, 1, 3])


@settings(max_examples=60, deadline=None)
@given(sensors, st.integers(4, 20), st.sampled_from(KINDS), st.tuples(orders, orders))
def test_any_sensors_read_a_constant_exactly_and_have_a_transpose(sensors, n, kind, order):
    table = np.array(sensors)
    H = observation(table[:, :2], Grid(n, kind=kind), order, table[:, 2].astype(int))
    constant = (
        torch.ones(1, 2, n, n, dtype=torch.float64) * torch.tensor([2.0, -5.0])[:, None, None]
    )
    assert torch.allclose(
        H(constant), torch.tensor([2.0, -5.0], dtype=torch.float64)[H.channel], rtol=1e-13
    )
    assert adjoint_gap(H, seeded(n)) < 1e-10


def test_gradients_flow_through_and_equal_the_adjoint():
    H = observation(np.random.default_rng(2).random((9, 2)), Grid(12))
    state = torch.randn(2, 2, 12, 12, dtype=torch.float64, requires_grad=True)
    v = torch.randn(2, 9, dtype=torch.float64)
    assert torch.allclose(torch.autograd.grad(H(state), state, v)[0], H.adjoint(v), atol=1e-14)


def test_single_precision_stays_single():
    H = observation(np.random.default_rng(2).random((9, 2)), Grid(12))
    assert H(torch.randn(1, 2, 12, 12)).dtype == H.adjoint(torch.randn(1, 9)).dtype == torch.float32


# On the nodes


TENTHS = {
    "multiplied": np.arange(11) * 0.1,
    "divided": np.arange(11) / 10,
    "added up": np.minimum(np.cumsum([0.0] + 10 * [0.1]), 1.0),
    "from the end": 1 - np.arange(10, -1, -1) * 0.1,
    "rounded on disk": np.array([float(f"{s:.12g}") for s in np.linspace(0, 1, 11)]),
}


@pytest.mark.parametrize("how", TENTHS)
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("grid", [Grid(11, kind="vertex"), Grid(10, kind="periodic")], ids=KINDS)
def test_a_sensor_on_a_node_reads_that_node(grid, order, how):
    s = TENTHS[how]
    if how in ("multiplied", "added up"):
        assert (s != np.arange(11) / 10).any()  # else this would test nothing: 3 * 0.1 is not 0.3
    points = np.stack([part.ravel() for part in np.meshgrid(s, s)], axis=1)
    state = torch.randn(1, 2, *grid.shape, dtype=torch.float64)
    node = torch.arange(11) % grid.nx  # x = 1 is x = 0 on a periodic grid
    expected = state[0, 0][node[:, None], node].flatten()
    assert torch.equal(
        observation(points, grid, (order, order), np.zeros(121, int))(state)[0], expected
    )


@pytest.mark.parametrize("kind", KINDS)
def test_order_zero_reads_the_nearest_node(kind):
    grid, points = Grid(13, kind=kind), np.random.default_rng(3).random((200, 2))
    gap = np.abs(points[:, None] - grid.points().numpy()[None])
    if grid.periodic:
        gap = np.minimum(gap, 1 - gap)
    nearest = (gap**2).sum(axis=2).argmin(axis=1)
    state = torch.randn(1, 2, 13, 13, dtype=torch.float64)
    H = observation(points, grid, (0, 0), np.ones(200, int))
    assert torch.equal(H(state)[0], state[0, 1].flatten()[nearest])


# Between the nodes


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("n", [4, 9])
def test_polynomials_of_the_stated_order_are_read_exactly(n, order):
    coefficients = torch.as_tensor(np.random.default_rng(4).standard_normal((order + 1, order + 1)))

    def polynomial(x, y):
        powers = range(order + 1)
        return sum(coefficients[i, j] * x**i * y**j for i in powers for j in powers)

    grid = Grid(n)
    points = torch.as_tensor(
        np.concatenate([make(np.random.default_rng(5), n) for make in LAYOUTS.values()])
    )
    channel = torch.arange(len(points)) % 2
    H = observation(points, grid, (order, order), channel)
    expected = polynomial(*points.T) * torch.where(channel == 0, 1.0, -1.0)
    assert torch.allclose(H(sampled(polynomial, grid))[0], expected, atol=1e-13)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_error_falls_at_the_order_plus_one(kind, order):
    def wave(x, y):
        return torch.sin(2 * np.pi * x + 0.3) * torch.cos(2 * np.pi * (x - y))

    points = torch.as_tensor(np.random.default_rng(6).random((2000, 2)))
    error = []
    for n in (24, 96):
        grid = Grid(n, kind=kind)
        H = observation(points, grid, (order, order), np.zeros(2000, int))
        error.append(float((H(sampled(wave, grid))[0] - wave(*points.T)).square().mean().sqrt()))
    assert np.log(error[0] / error[1]) / np.log(4) == pytest.approx(order + 1, abs=0.2)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_periodic_grid_has_no_edge(order):
    # A field moved by 5 nodes is read the same by sensors moved by 5/16, across x = 1 and y = 1 or
    # not.
    grid, points = Grid(16, kind="periodic"), np.random.default_rng(7).random((300, 2))
    points[:40, 0] = 1 - points[:40, 0] / 16  # plenty in the last cell, which closes the circle
    state = torch.randn(1, 2, 16, 16, dtype=torch.float64)
    moved = observation((points + 5 / 16) % 1, grid, (order, order))(
        state.roll((5, 5), dims=(2, 3))
    )
    assert torch.allclose(moved, observation(points, grid, (order, order))(state), atol=1e-12)


# Subsets


@pytest.mark.parametrize(
    "chosen", [torch.tensor([4, 0, 0]), torch.tensor([True, False, False, True, True, False])]
)
def test_a_subset_reads_what_its_sensors_read(chosen):
    rng = np.random.default_rng(8)
    values, noise = (torch.as_tensor(rng.random(6)) for _ in range(2))
    points, channel = torch.as_tensor(rng.random((6, 2))), torch.tensor([0, 1, 0, 1, 0, 1])
    H = Observation(Grid(9), points, channel, values, noise, (0, 3))
    part, state = H.subset(chosen), torch.randn(2, 2, 9, 9, dtype=torch.float64)
    assert torch.equal(part(state), H(state)[:, chosen]) and len(part) == 3
    assert torch.equal(part.values, values[chosen]) and torch.equal(part.noise_std, noise[chosen])
    assert part.order == (0, 3)


# Subclasses, whose stencils are their own


def shifted():
    rng = np.random.default_rng(9)
    points, shift = (torch.as_tensor(rng.uniform(0.2, 0.3, (6, 2))) for _ in range(2))
    channel, order = torch.tensor([0, 1, 0, 1, 0, 1]), (1, 3)
    plain = Observation(
        Grid(9), points + shift, channel, vector(*range(6)), vector(*range(6)), order
    )
    return plain, Shifted(
        Grid(9), points, channel, plain.values, plain.noise_std, order, shift=shift, scale=1.0
    )


def test_a_subclass_reads_by_its_own_stencil():
    plain, H = shifted()
    state, v = normal(2, 2, 9, 9), normal(2, 6, seed=1)
    assert torch.equal(H(state), plain(state)) and torch.equal(H.adjoint(v), plain.adjoint(v))
    assert not torch.allclose(dataclasses.replace(H, scale=0.5)(state), plain(state))
    assert adjoint_gap(H, seeded()) < 1e-10


def test_a_subclass_keeps_its_fields_in_subsets_and_on_other_grids():
    plain, H = shifted()
    chosen = torch.tensor([4, 0, 0, 1])
    part, state = H.subset(chosen), normal(1, 2, 9, 9)
    assert type(part) is Shifted and torch.equal(part.shift, H.shift[chosen])
    assert torch.equal(part(state), H(state)[:, chosen])
    fine, finer = H.on_grid(Grid(17)), normal(1, 2, 17, 17)
    assert type(fine) is Shifted and torch.equal(fine(finer), plain.on_grid(Grid(17))(finer))
    assert len(H.subset(torch.zeros(6, dtype=torch.bool))) == 0


def test_a_subclass_reads_no_points():
    plain, H = shifted()
    assert plain.pointwise and not H.pointwise
    assert torch.equal(plain.read_points, plain.points)
    with pytest.raises(InputError, match=r"sensors must read points for .* got Shifted"):
        H.read_points  # noqa: B018


@pytest.mark.parametrize(
    ("nodes", "weights", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 4), r"one shape \(2, w\), got"),
        (torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3), r"one shape \(2, w\), got"),
        (torch.zeros(2, dtype=torch.long), torch.ones(2), r"one shape \(2, w\), got"),
        (torch.full((2, 1), 25), torch.ones(2, 1), "nodes from 0 to 24"),
        (torch.full((2, 1), -1), torch.ones(2, 1), "nodes from 0 to 24"),
        (torch.zeros(2, 1, dtype=torch.long), torch.full((2, 1), math.nan), "finite weights"),
    ],
)
def test_a_wrong_stencil_is_refused(nodes, weights, message):
    class Wrong(Observation):
        def stencil(self, chosen, order):
            return nodes, weights

    points, channel = torch.full((2, 2), 0.5), torch.zeros(2, dtype=torch.long)
    with pytest.raises(InputError, match=rf"Wrong\.stencil must .*{message}"):
        Wrong(Grid(5), points, channel, torch.zeros(2), torch.zeros(2), (3,))


def test_a_field_of_a_subclass_has_a_row_for_each_sensor():
    _, H = shifted()
    with pytest.raises(InputError, match=r"shift must have the shape \(6, 2\), got \(5, 2\)"):
        dataclasses.replace(H, shift=H.shift[:5])


# Refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": torch.zeros(2, 3)}, "pairs"),
        ({"points": torch.tensor([[0.1, 0.2], [0.3, 1.2]])}, r"in the domain \[0, 1\] x \[0, 1\]"),
        ({"points": torch.tensor([[0.1, 0.2], [0.3, torch.nan]])}, "in the domain"),
        ({"values": torch.zeros(3)}, r"values must have the shape \(2,\), got \(3,\)"),
        ({"noise_std": torch.zeros(2, 1)}, "noise_std must have the shape"),
        ({"channel": torch.zeros(1, dtype=torch.long)}, "channel must have the shape"),
        ({"channel": torch.tensor([0, 2])}, "from 0 to 1"),
        ({"channel": torch.tensor([-1, 0])}, "from 0 to 1"),
        ({"order": (3, 5)}, "order must be from 0 to 4 on 5 x 5 nodes, got 5; use"),
        ({"order": (-1, 3)}, "order must be .* got -1"),
    ],
)
def test_sensors_that_do_not_fit_are_refused(change, message):
    settings = {
        "grid": Grid(5),
        "points": torch.full((2, 2), 0.5),
        "channel": torch.tensor([0, 1]),
        "values": torch.zeros(2),
        "noise_std": torch.zeros(2),
    }
    Observation(**settings)
    with pytest.raises(InputError, match=message):
        Observation(**settings | change)


@pytest.mark.parametrize("shape", [(1, 2, 6, 6), (1, 2, 4, 4), (1, 1, 5, 5), (2, 5, 5)])
def test_a_state_of_another_shape_is_refused_and_not_misread(shape):
    H = observation([(0.5, 0.5), (0.1, 0.2)], Grid(5))
    with pytest.raises(InputError, match=r"must be \(batch, 2, 5, 5\)"):
        H(torch.zeros(shape))
    for wrong in (torch.zeros(1, 3), torch.zeros(2)):
        with pytest.raises(InputError, match=r"must be \(batch, 2\)"):
            H.adjoint(wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [("values", v) for v in (math.nan, math.inf, -1e101)]
    + [("noise_std", v) for v in (math.nan, math.inf, -1e-3, 1e300)],
)
def test_readings_and_noise_must_be_numbers_whose_squares_are_finite(name, value):
    given = {"values": vector(1.0, 2.0, 3.0), "noise_std": vector(0.0, 0.1, 0.2)}
    given[name][1] = value
    points, channel = torch.full((3, 2), 0.5, dtype=torch.float64), torch.tensor([0, 1, 1])
    with pytest.raises(InputError, match=rf"{name} must be from .* in reading 1; drop"):
        Observation(Grid(8), points, channel, **given)


def noisy(seed=0):
    """A plain observation of eight points, and the same with two biases."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(8, 2, dtype=torch.float64, generator=generator)
    std = 0.1 + torch.rand(8, dtype=torch.float64, generator=generator)
    common = torch.zeros(8, 2, dtype=torch.float64)
    common[:3, 0], common[3:6, 1] = 0.5, 2.0
    return Observation(Grid(9), points, torch.ones(8, dtype=torch.long), std, std, common=common)


def test_noise_has_the_covariance_of_its_biases():
    o = noisy()
    white = torch.randn(
        200_000, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    expected = torch.diag(o.noise_std**2) + o.common @ o.common.T
    torch.testing.assert_close(o.noise_covariance(), expected)
    torch.testing.assert_close(o.noise_variances(), expected.diagonal())
    torch.testing.assert_close(torch.cov(o.noise(white).T), expected, rtol=0.02, atol=0.04)


def test_a_residual_without_its_bias_gives_the_distance_in_the_noise():
    o, r = noisy(), torch.arange(16.0, dtype=torch.float64).reshape(2, 8)
    variance = o.noise_std**2
    distance = (r * o.without_bias(r, variance) / variance).sum(dim=1)
    expected = (r * torch.linalg.solve(o.noise_covariance(), r.T).T).sum(dim=1)
    torch.testing.assert_close(distance, expected)
    far = o.common @ torch.tensor([1e3, -1e3], dtype=torch.float64)
    left = o.without_bias(far[None], variance)[0]
    share = 1 / (1 + (o.common**2 / variance[:, None]).sum(dim=0))  # which the prior of b keeps
    torch.testing.assert_close(left, (o.common * share) @ torch.tensor([1e3, -1e3]).double())


def test_biases_and_limits_follow_their_readings():
    o = noisy()
    o = dataclasses.replace(o, censored=torch.tensor([0, -1, 1, 0, 0, 0, 0, 0]))
    part = o.subset(torch.tensor([1, 4]))
    assert part.below_or_above.tolist() == [True, False] and part.biases == 2
    torch.testing.assert_close(part.noise_covariance(), o.noise_covariance()[[1, 4]][:, [1, 4]])
    coarse = o.on_grid(Grid(5))
    assert coarse.censored is o.censored and coarse.common is o.common


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"censored": torch.full((8,), 2)}, "censored must be -1"),
        ({"censored": torch.zeros(3)}, r"censored must have the shape \(8,\)"),
        ({"common": torch.full((8, 1), torch.nan)}, "common must be finite"),
        ({"common": torch.zeros(8)}, "common must have the shape"),
    ],
)
def test_a_wrong_limit_or_bias_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(noisy(), **change)


class Sum(Observation):
    """The same three nodes with the same weights at each sensor."""

    def stencil(self, chosen, order):
        k = int(chosen.sum())
        nodes, weights = torch.tensor([0, 1, 4]), torch.tensor([0.5, 0.25, 0.75]).double()
        return nodes.expand(k, 3), weights.expand(k, 3)


def test_a_stencil_of_ones_own_leaves_inactive_nodes_out():
    grid = Grid(5, active=Region.of({"polygon": [[0, 0], [0.3, 0], [0.3, 1], [0, 1]]}))
    assert grid.active_nodes.flatten()[[0, 1, 4]].tolist() == [True, True, False]
    field = torch.full((1, 1, 5, 5), 1e6, dtype=torch.float64)
    field.flatten()[[0, 1]] = torch.tensor([2.0, 8.0]).double()
    zeros = torch.zeros(2, dtype=torch.float64)
    points = torch.tensor([[0.0, 0.0], [0.25, 0.5]]).double()
    H = Sum(grid, points, zeros.long(), zeros, zeros, (1,))
    # The weights of the active nodes, 0.5 and 0.25, have the sum that all had, 1.5
    assert H(field)[0].tolist() == pytest.approx([6.0, 6.0])
    whole = Sum(Grid(5), points, zeros.long(), zeros, zeros, (1,))
    assert whole(field)[0].tolist() == pytest.approx([3 + 0.75e6, 3 + 0.75e6])


def test_the_first_point_outside_is_named():
    points = [[0.5, 0.5], [0.25, 1.5], [2.0, 0.5]]
    with pytest.raises(InputError, match=r"got \(0\.25, 1\.5\) in reading 1; use its coordinates"):
        observation(points, Grid(5))

"""Readings that are means over a disc or a line, or differences of two points."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.integrate
import torch
from helpers import distance, normal, seeded, vector
from scipy.special import j1

from pdeinv import Grid, InputError, Observation, layouts
from pdeinv.footprints import QUADRATURE_ERROR, FootprintObservation
from pdeinv.footprints.quadrature import disc_rule, line_rule
from pdeinv.grid import Domain

SQUARE, LONG = (0.0, 1.0, 0.0, 1.0), (-1.0, 4.0, 2.0, 5.0)
GRIDS = {
    "square": Grid(18),
    "rectangle": Grid(17, 26, extent=LONG, unit="km"),
    "periodic": Grid(17, kind="periodic"),
    "long-periodic": Grid(16, 27, extent=LONG, kind="periodic"),
}
POINT, DISC, LINE, DIFFERENCE = range(4)
each_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
each_order = pytest.mark.parametrize("order", [0, 1, 3])


def reading(grid, kind, points, radius=None, ends=None, order=(3, 3), channel=None, noise=0.0):
    """Readings of 0 at shares of the sides, with radii in shares of the shorter one."""
    m, domain = len(points), grid.domain
    zeros = torch.zeros(m, dtype=torch.float64)
    return FootprintObservation(
        grid,
        domain.absolute(torch.as_tensor(points, dtype=torch.float64)),
        torch.arange(m) % len(order) if channel is None else torch.as_tensor(channel),
        zeros,
        zeros + noise,
        order,
        kind=torch.as_tensor(kind).expand(m).clone(),
        radius=None if radius is None else radius * domain.shorter + zeros,
        ends=None if ends is None else domain.absolute(ends),
    )


def mixed(grid, order=(3, 3), m=24, seed=0):
    """Readings of all kinds of both channels; across the sides of a periodic grid."""
    generator = seeded(seed)
    points, ends = (torch.rand(m, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    radius = 0.02 + 0.2 * torch.rand(m, dtype=torch.float64, generator=generator)
    if grid.periodic:
        ends = points + 1.6 * (ends - 0.5)
    else:
        points = 0.23 + 0.54 * points
    return reading(grid, torch.arange(m) // 2 % 4, points, radius, ends, order)


def field(function, grid):
    x, y = grid.domain.relative(grid.points()).T
    return function(x, y).reshape(1, 1, *grid.shape)


def exact_mean(function, observation, i):
    """The reading of a function of the shares (x, y) of the domain, by adaptive quadrature."""
    domain = observation.grid.domain
    (x0, _, y0, _), (width, height) = domain.extent, domain.lengths
    kind, (x, y) = int(observation.kind[i]), observation.points[i].tolist()

    def at(x, y):
        return float(function(vector((x - x0) / width), vector((y - y0) / height)))

    if kind == DISC:
        r = float(observation.radius[i])
        total, _ = scipy.integrate.dblquad(
            lambda s, angle: at(x + s * math.cos(angle), y + s * math.sin(angle)) * s,
            *(0, 2 * math.pi, 0, r),
            epsabs=1e-9,
            epsrel=1e-9,
        )
        return total / (math.pi * r**2)
    if kind == POINT:
        return at(x, y)
    x2, y2 = observation.ends[i].tolist()
    if kind == DIFFERENCE:
        return at(x, y) - at(x2, y2)
    return scipy.integrate.quad(
        lambda t: at(x + t * (x2 - x), y + t * (y2 - y)), 0, 1, epsabs=1e-11
    )[0]


# The operator


@each_order
@each_grid
def test_the_adjoint_is_the_transpose(grid, order):
    H = mixed(grid, (order, 3))
    assert H.kind.bincount().tolist() == [6, 6, 6, 6]
    x, v = normal(3, 2, *grid.shape), normal(3, 24, seed=1)
    terms, others = H(x) * v, x * H.adjoint(v)
    assert float((terms.sum() - others.sum()).abs() / terms.abs().sum()) < 1e-12


@pytest.mark.parametrize("channels", [range(0, 1), range(1, 2), range(0, 2)])
@each_grid
def test_rows_of_some_sensors_are_those_of_the_operator(grid, channels):
    H, chosen = mixed(grid), torch.tensor([17, 3, 8, 22, 0])
    whole = H.adjoint(torch.eye(24, dtype=torch.float64))
    part = whole[chosen][:, channels.start : channels.stop]
    assert torch.allclose(H.rows(chosen, channels), part, rtol=0, atol=1e-15)


@each_order
@each_grid
def test_means_of_a_constant_are_exact_and_differences_zero(grid, order):
    H = mixed(grid, (order, order))
    ones = torch.ones(1, 2, *grid.shape, dtype=torch.float64)
    torch.testing.assert_close(H(ones)[0], (H.kind != DIFFERENCE).double(), rtol=0, atol=1e-12)
    assert torch.equal(H.of_field, H.kind != DIFFERENCE)
    assert torch.equal(H.at_points, H.kind == POINT)


def test_points_among_others_are_read_as_by_a_plain_observation():
    H = mixed(GRIDS["rectangle"])
    mine = H.kind == POINT
    plain = Observation(H.grid, *(t[mine] for t in (H.points, H.channel, H.values, H.noise_std)))
    state = normal(2, 2, *H.grid.shape)
    assert torch.equal(H(state)[:, mine], plain(state))
    part = H.subset(mine)
    assert part.pointwise and torch.equal(part.read_points, plain.points) and not H.pointwise
    with pytest.raises(
        InputError, match=r"must read points .* got means over discs, means along lines and"
    ):
        H.read_points  # noqa: B018


@pytest.mark.parametrize("kind", [DISC, LINE, DIFFERENCE])
@each_grid
def test_readings_converge_to_the_integral_at_the_order_of_the_interpolation(grid, kind):
    def smooth(x, y):
        return torch.exp(torch.sin(2 * torch.pi * x + 0.4)) * torch.cos(2 * torch.pi * (y - x))

    errors = []
    exact = None
    for factor in (2, 6):
        ny, nx = (factor * (n - (not grid.periodic)) + (not grid.periodic) for n in grid.shape)
        H = mixed(grid.resized(ny, nx))
        H = H.subset(H.kind == kind)
        if exact is None:
            exact = torch.tensor([exact_mean(smooth, H, i) for i in range(len(H))])
        errors.append(float((H(field(smooth, H.grid).expand(1, 2, ny, nx))[0] - exact).abs().max()))
    assert errors[1] < 1e-3
    assert math.log(errors[0] / errors[1]) / math.log(3) > 3.2


@pytest.mark.parametrize("name", ["square", "rectangle"])
def test_polynomials_of_the_order_are_read_exactly(name):
    H = mixed(GRIDS[name], (3, 3), m=16)

    def cubic(x, y):
        return (1 + x - 2 * x**3) * (y**3 - 0.5 * y**2 + 0.3)

    expected = torch.tensor([exact_mean(cubic, H, i) for i in range(16)], dtype=torch.float64)
    found = H(field(cubic, H.grid).expand(1, 2, *H.grid.shape))[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


# The stated error


@pytest.mark.parametrize("phase", [0.3, 2.0, 9.0, 40.0, 150.0])
def test_rules_average_waves_to_the_stated_error(phase):
    unit, weight = disc_rule(phase)
    at, share = line_rule(phase)
    assert bool((weight > 0).all() and (share > 0).all())
    for q in np.linspace(1e-3, 1, 23) * phase:
        for angle in np.linspace(0, np.pi, 7):
            wave = vector(math.cos(angle), math.sin(angle)) * q
            mean = torch.exp(1j * (unit @ wave)) @ weight.to(torch.complex128)
            assert abs(complex(mean) - 2 * j1(q) / q) <= QUADRATURE_ERROR
        mean = torch.exp(1j * q * (2 * at - 1)) @ share.to(torch.complex128)
        assert abs(complex(mean) - np.sinc(q / np.pi)) <= QUADRATURE_ERROR


@pytest.mark.parametrize("nodes_a_wave", [2.5, 6, 20])
@pytest.mark.parametrize("name", ["square", "rectangle"])
def test_the_error_is_at_most_the_quadratures_and_the_largest_of_the_interpolation(
    name, nodes_a_wave
):
    H = mixed(GRIDS[name], m=40)
    grid, domain = H.grid, H.grid.domain
    k = vector(*(2 * torch.pi / (nodes_a_wave * h) for h in grid.spacing[::-1]))
    k = k * vector(1.0, 0.7)
    plain = torch.cos(grid.points() @ k).reshape(1, 1, *grid.shape).expand(1, 2, *grid.shape)
    where = domain.absolute(torch.as_tensor(np.random.default_rng(2).random((4000, 2))))
    zeros = torch.zeros(4000)
    points = Observation(grid, where, zeros.long(), zeros, zeros)
    worst = float((points(plain)[0] - torch.cos(where @ k)).abs().max())
    for i in range(len(H)):
        if H.kind[i] == DISC:
            q = float(k.norm() * H.radius[i])
            exact = math.cos(float(H.points[i] @ k)) * 2 * j1(q) / q
        elif H.kind[i] == LINE:
            q = float((H.ends[i] - H.points[i]) @ k) / 2
            middle = float((H.ends[i] + H.points[i]) @ k) / 2
            exact = math.cos(middle) * float(np.sinc(q / np.pi))
        else:
            continue
        found = float(H.subset(torch.tensor([i]))(plain)[0, 0])
        assert abs(found - exact) <= QUADRATURE_ERROR + 1.05 * worst


@pytest.mark.parametrize("kind", [DISC, LINE])
@each_grid
def test_of_a_field_with_one_value_around_each_node_means_are_exact(grid, kind):
    H = mixed(grid, (0, 0))
    H, state = H.subset(H.kind == kind), normal(1, 2, *grid.shape)
    for i, found in enumerate(H(state)[0].tolist()):
        if kind == LINE:
            t = (torch.arange(40_000, dtype=torch.float64) + 0.5)[:, None] / 40_000
            places = H.points[i] + t * (H.ends[i] - H.points[i])
        else:
            n = 300
            s = ((torch.arange(n, dtype=torch.float64) + 0.5) / n).sqrt()[:, None]
            angle = (torch.arange(n) + 0.5) * 2 * torch.pi / n
            unit = torch.stack([s * angle.cos(), s * angle.sin()], dim=2).reshape(-1, 2)
            places = H.points[i] + H.radius[i] * unit
        shares = grid.domain.relative(places) * torch.tensor(grid.cells[::-1])
        x, y = shares.round().long().T
        values = state[0, int(H.channel[i])][y % grid.ny, x % grid.nx]
        assert found == pytest.approx(float(values.mean()), abs=3e-3)


# Other grids, subsets, long rows


def test_footprints_stay_with_their_sensors_in_subsets_and_on_other_grids():
    H, chosen = mixed(GRIDS["rectangle"]), torch.tensor([9, 2, 2, 21])
    state = normal(2, 2, *H.grid.shape)
    part = H.subset(chosen)
    assert type(part) is FootprintObservation and torch.equal(part.kind, H.kind[chosen])
    torch.testing.assert_close(part(state), H(state)[:, chosen])
    fine = H.grid.resized(33, 51)
    again = mixed(fine)
    assert torch.equal(H.on_grid(fine)(normal(1, 2, 33, 51)), again(normal(1, 2, 33, 51)))
    assert len(H.subset(torch.zeros(24, dtype=torch.bool))) == 0


def test_a_footprint_across_the_sides_of_a_torus_is_that_of_the_shifted_field():
    grid = GRIDS["long-periodic"]
    H, state = mixed(grid), normal(1, 2, *grid.shape)
    step = torch.tensor([5 * grid.hx, 3 * grid.hy], dtype=torch.float64)
    x0, x1, y0, y1 = grid.extent
    low, lengths = vector(x0, y0), vector(x1 - x0, y1 - y0)
    points = low + (H.points + step - low) % lengths
    moved = dataclasses.replace(H, points=points, ends=points + H.ends - H.points)
    torch.testing.assert_close(moved(state.roll((3, 5), dims=(2, 3))), H(state))


def test_a_few_wide_discs_leave_the_rows_of_points_short():
    grid, m = Grid(128), 500
    kind = torch.zeros(m, dtype=torch.long)
    kind[::100] = DISC
    points = torch.as_tensor(0.34 + 0.32 * layouts.random(m, seed=0))
    H = reading(grid, kind, points, radius=0.33)
    assert H._operator.weights < 16 * m + 5 * 6500
    x = grid.coordinates()[1].expand(1, 2, 128, 128)
    torch.testing.assert_close(H(x)[0], points[:, 0])


# Refusals


PLAIN, TORUS = Grid(9), Grid(9, kind="periodic")


@pytest.mark.parametrize(
    ("grid", "kind", "change", "message"),
    [
        (PLAIN, DISC, {"radius": vector(0.6)}, r"the disc must .* a radius of at most 0\.3,"),
        (PLAIN, DISC, {"radius": vector(-1.0)}, "radius must be positive, got -1"),
        (PLAIN, DISC, {"radius": None}, "radius must be positive, got nan"),
        (PLAIN, 4, {}, "kind must be an integer from 0 to 3, got 4"),
        (PLAIN, LINE, {"ends": None}, "x2 and y2 must be finite"),
        (
            PLAIN,
            DIFFERENCE,
            {"ends": vector(1.5, 0.2)[None]},
            r"x2 and y2 must be in the domain .* got \(1\.5, 0\.2\)",
        ),
        (
            TORUS,
            LINE,
            {"ends": vector(1.6, 0.2)[None]},
            "x2 and y2 must be at most a width and a height",
        ),
        (TORUS, DISC, {"radius": vector(0.6)}, r"radius must be at most 0\.5, half the domain's"),
    ],
)
def test_a_footprint_that_the_domain_does_not_hold_is_refused(grid, kind, change, message):
    one, places = torch.zeros(1), {"radius": vector(0.1), "ends": vector(0.6, 0.2)[None]}
    points = vector(0.3, 0.4)[None]
    with pytest.raises(InputError, match=rf"the observation, row 0: {message}.*"):
        FootprintObservation(
            grid,
            points,
            torch.tensor([0]),
            one,
            one,
            kind=torch.tensor([kind]),
            **places | change,
        )


def test_footprints_have_a_row_for_each_sensor():
    with pytest.raises(InputError, match=r"radius must have the shape \(24,\), got \(5,\)"):
        dataclasses.replace(mixed(PLAIN), radius=torch.ones(5))


def test_discs_that_take_too_much_memory_are_refused(monkeypatch):
    monkeypatch.setattr("pdeinv.memory.available_memory", lambda: 1e9)
    points = torch.full((2000, 2), 0.5, dtype=torch.float64)
    with pytest.raises(InputError, match=r"means over 2000 discs on 512 x 512 nodes .* a coarser"):
        reading(Grid(512), DISC, points, radius=0.4)


def test_a_disc_that_touches_a_side_is_read():
    for extent in (SQUARE, (0.1, 0.7, 0.3, 1.5)):
        domain = Domain(extent)
        radius = 0.2 * domain.shorter
        points = domain.absolute(vector(0.0, 0.0)[None]) + radius
        one = torch.zeros(1)
        H = FootprintObservation(
            Grid(12, extent=extent), points, torch.tensor([0]), one, one,
            kind=torch.tensor([DISC]), radius=vector(radius),
        )  # fmt: skip
        x = H.grid.coordinates()[1].expand(1, 2, 12, 12)
        assert distance(H(x)[0], points[:, 0]) < 1e-12

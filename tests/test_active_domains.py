"""Domains of any shape: active parts of a rectangle, lakes, rivers and walls."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import seeded

import pdeinv
from pdeinv import Grid, InputError, LogNormal, Problem, Sensors, layouts
from pdeinv.datasets import (
    Barrier,
    Darcy,
    FixedValue,
    Helmholtz,
    Leakage,
    NoFlux,
    Poisson,
    Sides,
    TransientDarcy,
    Value,
    generate,
    open_dataset,
    states,
)
from pdeinv.datasets.features import Path, nodes_of
from pdeinv.grid import Domain
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.region import Region
from pdeinv.solvers.calibration.functionals import SAMPLES, scores
from pdeinv.solvers.calibration.truths import Truth

CORNER = [[0, 0], [1, 0], [1, 0.5], [0.5, 0.5], [0.5, 1], [0, 1]]
L_SHAPE = Domain(active=Region.of(CORNER))
CLOSED = Sides(NoFlux(), NoFlux(), NoFlux(), NoFlux())


def nodes(grid):
    y, x = grid.coordinates()
    return torch.meshgrid(y, x, indexing="ij")[::-1]


def order_of(errors):
    """The order of convergence of errors on grids of which each has half the spacing."""
    return [math.log2(a / b) for a, b in itertools.pairwise(errors)]


def error(pde, grid, a, exact):
    u = pde.solve(a[None, None])[0, 0]
    return float((u - exact)[grid.active_nodes].abs().max())


def test_an_l_shape_with_values_on_its_edge_is_of_second_order():
    errors = []
    for n in (17, 33, 65):
        pde = Poisson(domain=L_SHAPE, edge=Value(0))
        x, y = nodes(pde.grid(n))
        exact = torch.sin(2 * math.pi * x) * torch.sin(2 * math.pi * y)
        errors.append(error(pde, pde.grid(n), -8 * math.pi**2 * exact, exact))
    assert min(order_of(errors)) > 1.9


def test_waves_on_an_l_shape_are_of_second_order():
    errors = []
    for n in (17, 33, 65):
        pde = Helmholtz(k=9.0, domain=L_SHAPE, edge=Value(0))
        x, y = nodes(pde.grid(n))
        exact = torch.sin(2 * math.pi * x) * torch.sin(4 * math.pi * y)
        errors.append(error(pde, pde.grid(n), (81 - 20 * math.pi**2) * exact, exact))
    assert min(order_of(errors)) > 1.8


def test_an_l_shape_that_nothing_crosses_is_of_second_order():
    def source(x, y):
        p, q = 2 * np.pi * x, 2 * np.pi * y
        a, ax = 1 + 0.5 * np.sin(2 * x) * np.cos(y), np.cos(2 * x) * np.cos(y)
        ay = -0.5 * np.sin(2 * x) * np.sin(y)
        slopes = -2 * np.pi * np.array([np.sin(p) * np.cos(q), np.cos(p) * np.sin(q)])
        return -(ax * slopes[0] + ay * slopes[1] - 8 * np.pi**2 * a * np.cos(p) * np.cos(q))

    errors = []
    left = Value(lambda x, y: np.cos(2 * np.pi * y))
    for n in (17, 33, 65):
        sides = Sides(left, NoFlux(), NoFlux(), NoFlux())
        pde = Darcy(source, domain=L_SHAPE, boundary=sides)
        x, y = nodes(pde.grid(n))
        a = 1 + 0.5 * torch.sin(2 * x) * torch.cos(y)
        exact = torch.cos(2 * math.pi * x) * torch.cos(2 * math.pi * y)
        errors.append(error(pde, pde.grid(n), a, exact))
    assert min(order_of(errors)) > 1.9


def test_two_materials_are_of_second_order():
    def source(x, y):
        w = (x - 0.5) * (x + 0.5)
        return -(2 - np.pi**2 * w) * np.sin(np.pi * y)

    errors = []
    for n in (16, 32, 64):
        x, y = nodes(Grid(n))
        a = torch.where(x < 0.5, 1.0, 4.0)
        exact = (x - 0.5) * (x + 0.5) / a * torch.sin(math.pi * y)

        def given(x, y):
            return (x - 0.5) * (x + 0.5) / np.where(x < 0.5, 1.0, 4.0) * np.sin(np.pi * y)

        held = Value(given)
        pde = Darcy(source, boundary=Sides(held, held, held, held), face_mean="harmonic")
        errors.append(float((pde.solve(a[None, None])[0, 0] - exact).abs().max()))
    # Each grid has a little more than half the spacing of the one before
    assert min(order_of(errors)) > 1.8


def test_a_stepped_disc_with_a_hole_is_of_first_order():
    from shapely.geometry import Point

    ring = Point(0.5, 0.5).buffer(0.45, 64).difference(Point(0.5, 0.5).buffer(0.15, 64))

    def radius(x, y):
        return np.hypot(x - 0.5, y - 0.5)

    errors = []
    for n in (33, 65, 129, 257):
        domain = Domain(active=Region.of(ring))
        outside = Value(lambda x, y: (radius(x, y) > 0.3).astype(float))
        pde = Poisson(domain=domain, edge=outside)
        x, y = nodes(pde.grid(n))
        exact = (torch.hypot(x - 0.5, y - 0.5) / 0.15).clamp(1, 3).log() / math.log(3)
        errors.append(error(pde, pde.grid(n), torch.zeros_like(x), exact))
    assert 0.7 < sum(order_of(errors)) / 3 < 1.5


LAKE = FixedValue([[0.1, 0.1], [0.3, 0.1], [0.3, 0.35], [0.1, 0.35]], 2.0)
RIVER = Leakage([[0.6, 0.0], [0.7, 0.45]], 1.5, 3.0)
MARSH = Leakage([[0.2, 0.6], [0.4, 0.6], [0.4, 0.9], [0.2, 0.9]], 0.5, 20.0)
WALL = Barrier([[0.0, 0.5], [0.35, 0.52]])
EVERYTHING = (LAKE, RIVER, MARSH, WALL)


def dense_solution(pde, grid, a, source):
    """The balances of all nodes, written down one by one."""
    ny, nx = grid.shape
    hx, hy = grid.hx, grid.hy
    inside = grid.active.contains(grid.points().numpy()).reshape(ny, nx)
    cell = inside[1:, 1:] & inside[1:, :-1] & inside[:-1, 1:] & inside[:-1, :-1]

    def has(j, i):
        return bool(0 <= j < ny - 1 and 0 <= i < nx - 1 and cell[j, i])

    lake = np.zeros((ny, nx), bool)
    leak, level = np.zeros((ny, nx)), np.zeros((ny, nx))
    points = grid.points().numpy()
    lake.flat[Region.of([[0.1, 0.1], [0.3, 0.1], [0.3, 0.35], [0.1, 0.35]]).contains(points)] = True
    marsh = Region.of([[0.2, 0.6], [0.4, 0.6], [0.4, 0.9], [0.2, 0.9]]).contains(points)
    leak.flat[marsh] += 20.0 * hx * hy
    level.flat[marsh] += 20.0 * hx * hy * 0.5
    length, steps = math.hypot(0.1, 0.45), 4000
    for k in range(steps):
        t = (k + 0.5) / steps
        i, j = round((0.6 + 0.1 * t) / hx), round(0.45 * t / hy)
        leak[j, i] += 3.0 * length / steps
        level[j, i] += 3.0 * 1.5 * length / steps
    matrix, right = np.zeros((ny * nx, ny * nx)), np.zeros(ny * nx)
    for j in range(ny):
        for i in range(nx):
            k = j * nx + i
            corners = [has(j - 1, i - 1), has(j - 1, i), has(j, i - 1), has(j, i)]
            if not any(corners):
                matrix[k, k] = 1
                continue
            if lake[j, i] or i == 0:
                matrix[k, k], right[k] = 1, 2.0 if lake[j, i] else 1.0
                continue
            right[k] = source * sum(corners) / 4 * hx * hy + level[j, i]
            matrix[k, k] = leak[j, i]
            for dj, di in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                if not (0 <= j + dj < ny and 0 <= i + di < nx):
                    continue
                if di:
                    low = min(i, i + di)
                    share = (has(j - 1, low) + has(j, low)) / 2 * hy / hx
                else:
                    low = min(j, j + dj)
                    share = (has(low, i - 1) + has(low, i)) / 2 * hx / hy
                    # The wall runs from (0, 0.5) to (0.35, 0.52)
                    at = 0.5 + 0.02 * (i * hx) / 0.35
                    if i * hx < 0.35 and low * hy < at < (low + 1) * hy:
                        share = 0.0
                face = (a[j, i] + a[j + dj, i + di]) / 2 * share
                matrix[k, k] += face
                matrix[k, k + dj * nx + di] -= face
    return np.linalg.solve(matrix, right).reshape(ny, nx)


def site(kind=Darcy, **options):
    sides = Sides(Value(1.0), NoFlux(), NoFlux(), NoFlux())
    return kind(domain=L_SHAPE, boundary=sides, features=EVERYTHING, **options)


def test_all_kinds_of_features_are_those_of_the_balances_written_down_one_by_one():
    pde = site(source=0.7)
    grid = pde.grid(21, 25)
    a = LogNormal(1.0, 0.7, 0.3).sample(1, grid, seeded())
    u = pde.solve(a)[0, 0].numpy()
    exact = dense_solution(pde, grid, a[0, 0].numpy(), 0.7)
    active = grid.active_nodes.numpy()
    # The river's length is shared among the nodes by another number of points
    assert np.abs(u - exact)[active].max() < 0.01 * np.ptp(exact[active])
    assert (u[~active] == 0).all()
    assert float(pde.residual(a, pde.solve(a)).abs().max()) < 1e-10


@pytest.mark.parametrize("mean", ["arithmetic", "harmonic"])
def test_gradients_are_those_of_differences(mean):
    pde = site(face_mean=mean)
    a = LogNormal(1.0, 0.5, 0.3).sample(1, pde.grid(8), seeded()).requires_grad_()
    assert torch.autograd.gradcheck(pde.solve, a, atol=1e-6)


def test_a_linear_physics_with_features_has_its_adjoint():
    pde = Poisson(domain=L_SHAPE, edge=Value(0.5), features=EVERYTHING)
    grid, generator = pde.grid(16), seeded()
    a, b, v = torch.randn(3, 1, 1, *grid.shape, dtype=torch.float64, generator=generator)
    (grad,) = torch.autograd.grad((pde.solve(a.requires_grad_()) * v).sum(), a)
    forward = float(((pde.solve(a + b) - pde.solve(a)) * v).sum())
    assert math.isclose(forward, float((grad * b).sum()), rel_tol=1e-9)


def test_fluxes_next_to_an_edge_run_along_it():
    pde = Darcy(
        0.0, domain=L_SHAPE, boundary=Sides(Value(1), Value(0), NoFlux(), NoFlux())
    ).reading(["flux_x"])
    grid = pde.grid(33)
    state = pde.respond(torch.ones(1, 1, 33, 33, dtype=torch.float64))[0]
    flux_x, flux_y = state[1], state[2]
    active = grid.active_nodes
    assert float(flux_x[~active].abs().max()) == float(flux_y[~active].abs().max()) == 0
    # On the edges y = 1/2, x > 1/2, and x = 1/2, y > 1/2
    assert float(flux_y[16, 17:-1].abs().max()) == 0 and float(flux_x[17:, 16].abs().max()) == 0
    assert float(flux_x[16, 17:].min()) > 0.1
    # All that enters on the left leaves on the right
    through = [float(torch.trapezoid(flux_x[:n, i], dx=grid.hy)) for n, i in ((33, 0), (17, -1))]
    assert math.isclose(*through, rel_tol=0.02)


def test_in_time_it_tends_to_the_steady_state():
    steady = site(source=0.7)
    late = site(TransientDarcy, source=0.7, initial=1.0, duration=1e4)
    a = LogNormal(1.0, 0.5, 0.3).sample(1, steady.grid(16), seeded())
    assert torch.allclose(late.solve(a), steady.solve(a), rtol=0, atol=1e-3)


def test_leaks_in_time_agree_with_small_implicit_steps():
    long, grid = site(TransientDarcy, source=0.0, initial=1.0, duration=0.02), Grid(9)
    a = torch.ones(1, 1, 9, 9, dtype=torch.float64)
    u = long.solve(a)
    parts = 400
    now = None
    for _ in range(parts):
        start = 1.0 if now is None else now[0, 0].numpy()
        step = site(TransientDarcy, source=0.0, initial=start, duration=0.02 / parts)
        now = step.solve(a)
    active = long.grid(9).active_nodes
    assert grid.shape == u.shape[-2:]
    assert float((u - now)[0, 0][active].abs().max()) < 2e-3


def test_symmetries_are_those_of_the_mask_and_of_what_lies_within():
    # The diagonal of the L-shape
    assert len(Poisson(domain=L_SHAPE, edge=Value(0)).symmetries) == 2
    cross = np.ones((5, 5), dtype=bool)
    cross[0, 0] = cross[0, -1] = cross[-1, 0] = cross[-1, -1] = False
    whole = Poisson(domain=Domain(active=Region.of(cross)), edge=Value(0))
    assert len(whole.symmetries) == 8
    pond = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]
    for features, count in (
        ((FixedValue(pond, 1.0),), 8),
        ((FixedValue([[0.1, 0.4], [0.3, 0.4], [0.3, 0.6], [0.1, 0.6]], 1.0),), 2),
        ((Barrier([[0.2, 0.5], [0.8, 0.5]]),), 4),
        ((Leakage([[0.2, 0.5], [0.8, 0.5]], 1.0, 2.0), Barrier([[0.5, 0.2], [0.5, 0.8]])), 4),
    ):
        pde = Poisson(features=features)
        assert len(pde.symmetries) == count
        grid = pde.grid(17)
        a = torch.randn(1, 2, *grid.shape, dtype=torch.float64, generator=seeded())
        a = torch.cat([a[:, :1], pde.solve(a[:, :1])], dim=1)
        if isinstance(features[0], FixedValue):  # walls are moved a little off the nodes
            for g in pde.symmetries.on_grid(grid):
                moved = g(a, grid)
                assert torch.allclose(pde.solve(moved[:, :1]), moved[:, 1:], atol=1e-9)


@pytest.mark.parametrize(
    ("line", "inside"),
    [
        ([[0.1, 0.1], [0.9, 0.1]], 0.8),
        ([[0.5, 0.5], [3.0, 0.5]], 0.5),
        ([[0.5, 0.5], [2.0, 0.5], [2.0, 0.2], [0.5, 0.2]], 1.0),  # it leaves and comes back
        ([[0.5, 0.5], [0.5, -1e300]], 0.5),
    ],
)
def test_of_a_line_the_part_within_the_domain_counts(line, inside):
    grid = Grid(9)
    lengths = nodes_of(Path.of(line), grid)
    assert lengths.sum() == pytest.approx(inside)


def test_a_line_that_misses_the_domain_is_refused():
    river = Leakage([[-0.2, 0.1], [0.1, -0.2]], level=0.0, conductance=1.0)  # around a corner
    with pytest.raises(InputError, match="feature 0 must be within the domain"):
        Darcy(features=(river,))


def test_readings_near_the_edge_are_of_active_nodes():
    grid = Grid(9, active=Region.of(CORNER))
    x, y = nodes(grid)
    field = torch.where(grid.active_nodes, x + 2 * y, 1e6)
    points = torch.tensor([[0.3, 0.95], [0.45, 0.9], [0.5, 0.7], [0.94, 0.47]]).double()
    H = Observation(
        grid, points, torch.zeros(4, dtype=torch.long), torch.zeros(4), torch.zeros(4), (3,)
    )
    assert torch.allclose(H(field[None, None])[0], points[:, 0] + 2 * points[:, 1], atol=1e-9)


def test_a_sensor_at_an_inactive_place_is_named(tmp_path):
    table = tmp_path / "sensors.csv"
    table.write_text("field,x,y,value,noise_std\nsource,0.2,0.2,1,0.1\nsource,0.8,0.8,1,0.1\n")
    problem = Problem(Poisson(domain=L_SHAPE, edge=Value(0)), grid=16)
    with pytest.raises(InputError, match=r"row 2: x and y must be in the domain .* \(0.8, 0.8\)"):
        pdeinv.reconstruct(table, problem=problem)


def test_a_result_is_nan_outside_and_equals_the_prior_far_from_readings(tmp_path):
    problem = Problem(site(source=0.5), LogNormal(1.0, 0.5, 0.2), grid=16)
    grid = problem.physics.grid(16)
    truth = problem.sample(1, grid, seeded())
    points = layouts.random(12, 3, problem.physics.domain)
    assert problem.physics.domain.contains(torch.from_numpy(points)).all()
    active = grid.active_nodes.numpy()
    field = xr.DataArray(
        np.where(active, truth[0, 1].numpy(), np.nan),
        {"y": grid.coordinates()[0].numpy(), "x": grid.coordinates()[1].numpy()},
        ("y", "x"),
        "pressure",
    )
    sensors = Sensors.observe(field, points, noise_std=0.01)
    result = pdeinv.reconstruct(sensors, problem=problem, seed=1)
    for name in ("permeability_mean", "pressure_std", "pressure_samples"):
        assert np.isfinite(result[name].values[..., active]).all()
        assert np.isnan(result[name].values[..., ~active]).all()
    assert result.attrs["reduced_chi_squared"] < 2
    pdeinv.plot_reconstruction(result).savefig(tmp_path / "figure.png")


def test_a_problem_file_states_the_domain_and_what_lies_within(tmp_path):
    polygon = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [CORNER]}}
    (tmp_path / "area.geojson").write_text(json.dumps(polygon))
    (tmp_path / "p.toml").write_text("""
format = 1
[domain]
extent = [0, 1, 0, 1]
active = "area.geojson"
[physics]
pde = "darcy"
[boundary]
left = "no flux"
right = "no flux"
bottom = "no flux"
top = "no flux"
edge = {value = 2}
[[fixed]]
polygon = [[0.1, 0.1], [0.3, 0.1], [0.3, 0.35], [0.1, 0.35]]
value = 2.0
[[leakage]]
line = [[0.6, 0.0], [0.7, 0.45]]
level = 1.5
conductance = 3
[[barrier]]
line = [[0.0, 0.5], [0.35, 0.52]]
""")
    problem = Problem.load(tmp_path / "p.toml")
    assert problem.physics.edge == Value(2)
    assert problem.physics.features == (LAKE, RIVER, WALL)
    assert problem.physics.domain == L_SHAPE
    problem.save(tmp_path / "again.toml")
    assert Problem.load(tmp_path / "again.toml").physics == problem.physics


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[[fixed]]\nvalue = 1", r"\[\[fixed\]\] 1 must have the keys one of polygon, line and"),
        ("[[barrier]]\nline = [[0, 0]]", "must be two or more points"),
        (
            "[[leakage]]\nline = [[0, 0], [1, 1]]\nlevel = 1",
            r"\[\[leakage\]\] 1 conductance must be",
        ),
        ('[[fixed]]\nfile = "none.geojson"\nvalue = 1', "none.geojson"),
        ("[[fixed]]\npolygon = [[5, 5], [6, 5], [6, 6]]\nvalue = 1", "must have a part in"),
    ],
)
def test_a_mistake_in_a_feature_is_named(tmp_path, table, message):
    (tmp_path / "p.toml").write_text(f'format = 1\nphysics = {{pde = "darcy"}}\n{table}\n')
    with pytest.raises(InputError, match=message):
        Problem.load(tmp_path / "p.toml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "edges that do not cross"),
        ([[0, 0], [1, 1]], "must be a list of corners"),
        ([[5, 5], [6, 5], [6, 6]], "must have a part in"),
        (np.zeros((3, 3), bool), "some of them true"),
        ("none.geojson", "none.geojson"),
        (3, "must be a list of corners"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "polygons with an area"),
    ],
)
def test_what_is_no_region_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        Domain(active=given)


def test_a_part_that_nothing_holds_is_named():
    two = {
        "type": "MultiPolygon",
        "coordinates": [
            [[[0, 0], [0.4, 0], [0.4, 1], [0, 1], [0, 0]]],
            [[[0.6, 0], [1, 0], [1, 1], [0.6, 1], [0.6, 0]]],
        ],
    }
    sides = Sides(Value(0), NoFlux(), NoFlux(), NoFlux())
    pde = Darcy(domain=Domain(active=Region.of(two)), boundary=sides)
    a = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    with pytest.raises(InputError, match=r"must have a value or a leak, got none in that of x"):
        pde.solve(a)
    assert len(Region.of(two).to_json()["coordinates"]) == 2
    with pytest.raises(InputError, match="edge of darcy must be NoFlux"):
        Darcy(edge=Value(1))
    with pytest.raises(InputError, match="boundary of darcy must fix a value"):
        Darcy(boundary=CLOSED)
    assert Darcy(boundary=CLOSED, features=(RIVER,)).floating is False


def test_a_dataset_of_such_a_domain_is_read_again(tmp_path):
    problem = Problem(site(), LogNormal(1.0, 0.5, 0.2))
    path = generate(problem, 2, 16, 1, tmp_path / "d.h5")
    with open_dataset(path) as dataset:
        active = problem.physics.grid(16).active_nodes.numpy()
        assert np.isnan(dataset["pressure"].values[:, ~active]).all()
        assert pdeinv.datasets.pde_of(dataset) == problem.physics
        read = states(dataset, problem.physics)
    assert bool(read.isfinite().all()) and len(read) == 2


def test_arrays_are_regions_too():
    mask = np.zeros((9, 9), dtype=bool)
    mask[:5] = True
    mask[:, :5] = True
    assert torch.equal(
        Grid(9, active=Region.of(mask)).active_nodes, Grid(9, active=Region.of(CORNER)).active_nodes
    )
    stored = Domain(active=mask).active
    assert Region.of(stored.to_json()) == stored and hash(stored) == hash(
        Domain(active=mask).active
    )


def test_calibration_counts_active_nodes():
    problem = Problem(site(source=0.5), LogNormal(1.0, 0.3, 0.5))
    grid = problem.physics.grid(12)
    states = problem.sample(2 * SAMPLES + 1, grid, seeded())
    draws = Posterior(problem.physics.fields, grid, states[0], states[0], states[1:])
    truth = Truth(problem.physics, grid, states[:1], {}, seeded())
    found = scores(draws.to_xarray(), truth, ("pressure", "permeability"), False)
    assert np.isfinite(found["truth_value"].values).all()
    assert np.isfinite(found["coverage"].values).all()
    mean = float(found["truth_value"].sel(functional="mean of permeability"))
    nodes = states[0, 0][grid.active_nodes]
    assert math.isclose(mean, float(nodes.sum()) / grid.nodes)


def test_a_well_outside_the_shape_is_refused():
    from pdeinv.datasets import Well

    with pytest.raises(InputError, match=r"well 0 must be within the domain .* x = 0\.8"):
        Darcy(domain=L_SHAPE, wells=(Well(0.8, 0.8, 1.0),))

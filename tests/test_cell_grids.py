"""Grids whose nodes are the centres of cells: their sides, features, files and results."""

import itertools
import math

import numpy as np
import pytest
import torch
import xarray as xr
from block_centred import heads
from helpers import normal, seeded

import pdeinv
from pdeinv import Channels, GaussianField, Grid, InputError, LogNormal, Problem, Sensors, layouts
from pdeinv.coordinates import coordinates_of, grid_from
from pdeinv.datasets import (
    Barrier,
    Darcy,
    FixedValue,
    Flux,
    Leakage,
    NoFlux,
    Sides,
    TransientDarcy,
    Value,
    Well,
    generate,
    open_dataset,
    states,
)
from pdeinv.datasets.features import nodes_of
from pdeinv.figures.layout import extent_of
from pdeinv.grid import Domain
from pdeinv.interpolation import interpolation_stencil
from pdeinv.problems.truths import draw_truth
from pdeinv.region import Region

BOX = Domain((0.0, 2.0, 0.0, 1.0), "m")
CLOSED = Sides(NoFlux(), NoFlux(), NoFlux(), NoFlux())


def exact(x, y):
    return np.sin(1.3 * x) * np.cos(1.1 * y)


def medium(x, y):
    return 1 + 0.5 * np.sin(2 * x) * np.cos(y)


def inflow_x(x, y):
    return medium(x, y) * 1.3 * np.cos(1.3 * x) * np.cos(1.1 * y)


def inflow_y(x, y):
    return -medium(x, y) * 1.1 * np.sin(1.3 * x) * np.sin(1.1 * y)


def source(x, y):
    """-∇·(a ∇u) of these."""
    a, u = medium(x, y), exact(x, y)
    ax, ay = np.cos(2 * x) * np.cos(y), -0.5 * np.sin(2 * x) * np.sin(y)
    return a * (1.3**2 + 1.1**2) * u - ax * inflow_x(x, y) / a - ay * inflow_y(x, y) / a


def sides(held):
    """Values on some sides, and the exact fluxes through the others."""
    fluxes = {
        "left": Flux(lambda x, y: -inflow_x(x, y)),
        "right": Flux(inflow_x),
        "bottom": Flux(lambda x, y: -inflow_y(x, y)),
        "top": Flux(inflow_y),
    }
    return Sides(**fluxes | dict.fromkeys(held, Value(exact)))


def on(grid, function):
    y, x = (part.numpy() for part in grid.coordinates())
    return torch.from_numpy(function(x[None, :], y[:, None]) + np.zeros(grid.shape))


@pytest.mark.parametrize(
    "held", [("left",), ("top", "left"), ("left", "right"), ("left", "right", "bottom", "top")]
)
@pytest.mark.parametrize("mean", ["arithmetic", "harmonic"])
def test_values_and_fluxes_on_the_sides_are_of_second_order(held, mean):
    errors, of_fluxes = [], []
    for n in (12, 24, 48):
        pde = Darcy(source, domain=BOX, boundary=sides(held), face_mean=mean, grid_kind="cell")
        pde = pde.reading(["flux_x", "flux_y"])
        a = on(pde.grid(n), medium)[None, None]
        u, flux_x, flux_y = pde.respond(a)[0]
        assert float(pde.residual(a, u[None, None]).abs().max()) < 1e-10
        errors.append(float((u - on(pde.grid(n), exact)).square().mean().sqrt()))
        parts = ((flux_x, inflow_x), (flux_y, inflow_y))
        of_fluxes.append(
            sum(float((f + on(pde.grid(n), g)).square().mean().sqrt()) for f, g in parts)
        )
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert min(orders) > 1.85 and errors[-1] < 2e-3
    assert [a / b for a, b in itertools.pairwise(of_fluxes)][-1] > 2.5


def test_a_jump_on_a_face_is_exact_with_the_harmonic_mean():
    between = Sides(Value(1.0), Value(0.0), NoFlux(), NoFlux())
    pde = Darcy(0.0, domain=BOX, boundary=between, face_mean="harmonic", grid_kind="cell")
    grid = pde.grid(8)
    a = on(grid, lambda x, y: np.where(x < 1.0, 1.0, 9.0))
    u = pde.solve(a[None, None])[0, 0]
    flux = 1 / (1 / 1 + 1 / 9)
    true = on(grid, lambda x, y: np.where(x < 1.0, 1 - flux * x, flux * (2 - x) / 9))
    torch.testing.assert_close(u, true, rtol=0, atol=1e-12)


def rich(**others):
    """A physics with all that a cell grid can have."""
    river = Region.of(np.eye(6, 9, dtype=bool))
    domain = Domain(
        (0.0, 9.0, 0.0, 6.0), active=Region.of([[0, 0], [9, 0], [9, 4], [6, 6], [0, 6]])
    )
    return Darcy(
        on(Grid(13, 19, (0, 9, 0, 6)), lambda x, y: 0.1 + 0.02 * x).numpy(),
        domain=domain,
        boundary=Sides(Value(lambda x, y: 1 + 0.1 * y), NoFlux(), Flux(0.3), NoFlux()),
        features=(
            FixedValue([[6, 1], [8, 1], [8, 2], [6, 2]], 0.5),
            Leakage(river.within(domain.extent), 2.0, 0.4),
            Barrier([[4.0, 2.0], [4.0, 6.0]]),
        ),
        wells=(Well(2.5, 3.5, -1.0),),
        thickness=2.0,
        face_mean="harmonic",
        grid_kind="cell",
        **others,
    )


def test_all_features_are_those_of_an_independent_discretisation():
    pde, grid = rich(), rich().grid(6, 9)
    a = normal(1, 1, 6, 9, seed=3).mul(0.5).exp()
    u = pde.solve(a)[0, 0].where(grid.active_nodes, torch.nan)
    # A value on a side is a general head beyond half a cell
    y, x = (part.numpy() for part in grid.coordinates())
    k, active = a[0, 0].numpy(), grid.active_nodes.numpy()
    general = [((i, 0), 1 + 0.1 * y[i], 2 * 2 * k[i, 0]) for i in range(6)]
    general += [((i, i), 2.0, 0.4) for i in range(6)]
    recharge = 2.0 * (0.1 + 0.02 * x)[None] + np.zeros((6, 9))
    recharge[0] += 2.0 * 0.3
    walls = {((i, 3), (i, 4)) for i in range(2, 6)}
    constant = {(1, j): 0.5 for j in (6, 7)}
    found = heads(
        k, np.full((6, 9), 2.0), 1.0, 1.0, constant=constant, wells={(3, 2): -1.0},
        recharge=recharge, general=general, active=active, walls=walls,
    )  # fmt: skip
    assert np.isnan(found).sum() == int((~grid.active_nodes).sum()) > 0
    np.testing.assert_allclose(u.numpy(), found, rtol=1e-11)


def test_gradients_are_those_of_differences():
    pde = rich(outputs=("flux_x", "flux_y"))
    a = normal(1, 1, 6, 9, seed=4).mul(0.5).exp().requires_grad_()
    assert torch.autograd.gradcheck(pde.respond, (a,), eps=1e-6, atol=1e-7, rtol=1e-5)
    flow = TransientDarcy(
        0.5, domain=BOX, grid_kind="cell", duration=0.3, initial=1.0,
        boundary=Sides(Value(1.0), NoFlux(), Flux(0.2), Value(0.0)),
    )  # fmt: skip
    a = normal(1, 1, 5, 10, seed=5).mul(0.5).exp().requires_grad_()
    assert torch.autograd.gradcheck(flow.solve, (a,), eps=1e-6, atol=1e-7, rtol=1e-5)


def test_flow_in_time_ends_in_the_steady_state():
    given = {
        "domain": BOX, "grid_kind": "cell", "thickness": 3.0, "wells": (Well(0.7, 0.4, -0.5),),
        "boundary": Sides(Value(1.0), Flux(0.3), NoFlux(), NoFlux()),
    }  # fmt: skip
    a = normal(2, 1, 8, 16, seed=6).mul(0.7).exp()
    late = TransientDarcy(0.2, initial=0.0, duration=1e3, **given).solve(a)
    torch.testing.assert_close(late, Darcy(0.2, **given).solve(a), rtol=1e-3, atol=1e-4)


def test_interpolation_is_exact_at_nodes_and_linear_up_to_the_sides():
    grid = Grid(7, 9, (1.0, 4.0, -1.0, 0.0), "m", "cell")
    plane = (grid.points() @ torch.tensor([2.0, -3.0], dtype=torch.float64)) + 1
    corners = [[1, -1], [4, -1], [1, 0], [4, 0], [2.1, -1], [1.05, -0.3], [2.2, -0.4]]
    points = torch.tensor(corners, dtype=torch.float64)
    for order in (1, 3):
        nodes, weights = interpolation_stencil(points, grid, order)
        torch.testing.assert_close(
            (plane[nodes] * weights).sum(dim=1), points @ points.new_tensor([2.0, -3.0]) + 1
        )
        nodes, weights = interpolation_stencil(grid.points(), grid, order)
        assert torch.equal((plane[nodes] * weights).sum(dim=1), plane)
    nodes, _ = interpolation_stencil(points[:4], grid, 0)
    assert nodes[:, 0].tolist() == [0, 8, 54, 62]


def test_a_random_field_is_sampled_at_the_centres():
    domain = ((0.0, 2.0, 0.0, 1.0), "m")
    for prior in (GaussianField(0.0, 1.0, 0.3), LogNormal(1.0, 1.0, 0.4, angle=20, anisotropy=0.5)):
        centres = prior.sample(2, Grid(8, 16, *domain, "cell"), seeded(0))
        finer = prior.sample(2, Grid(17, 33, *domain), seeded(0))
        torch.testing.assert_close(centres, finer[..., 1::2, 1::2])
    objects = Channels(1, 2, low=1.0, high=5.0)
    centres = objects.sample(3, Grid(8, 16, *domain, "cell"), seeded(1))
    assert torch.equal(
        centres, objects.sample(3, Grid(17, 33, *domain), seeded(1))[..., 1::2, 1::2]
    )


def test_thin_features_keep_their_size_on_coarser_and_finer_grids():
    marks = np.zeros((12, 18), bool)
    marks[:, 17], marks[5, 3:11] = True, True
    centres = (0.25, 8.75, 0.25, 5.75)
    river = Region.of(marks)
    river = Region(river.shape, centres)
    for ny, nx in ((12, 18), (6, 9), (4, 5), (5, 7), (36, 54)):
        owned = nodes_of(river, Grid(ny, nx, (0.0, 9.0, 0.0, 6.0), "m", "cell"))
        assert owned.sum() == pytest.approx(marks.sum() * 0.25)
        assert (owned[:, -1] > 0).all()


def test_the_symmetries_of_a_square_are_those_of_its_cells():
    physics = Darcy(grid_kind="cell", wells=(Well(0.5, 0.5, 2.0),))
    assert len(physics.symmetries) == 8
    a = normal(1, 1, 6, 6, seed=7).exp()
    state = torch.cat([a, physics.solve(a)], dim=1)
    for element in physics.symmetries:
        moved = element(state, physics.grid(6))
        torch.testing.assert_close(physics.solve(moved[:, :1]), moved[:, 1:])


def test_objects_on_coarse_cells_are_the_geometric_means_of_fine_ones():
    objects = Channels(1, 2, low=1.0, high=5.0)
    scenes = objects.draw_scenes(4, seeded(2))
    grid = Grid(8, 16, (0.0, 2.0, 0.0, 1.0), "m", "cell")
    fine = objects.render(scenes, grid.resized(128, 256)).log()
    means = torch.nn.functional.avg_pool2d(fine, 16)
    coarse = objects.render_coarsely(scenes, grid).log()
    assert coarse.dtype == fine.dtype and float(means.std()) > 0.2
    assert float((coarse - means).abs().max()) < 0.3 and float((coarse - means).std()) < 0.05


def test_a_function_takes_a_grid_of_cells():
    def heights(a):
        return a.cumsum(-1)

    physics = pdeinv.pde_from_function(
        heights, ["slope", "height"], domain=BOX, grid_kind="cell", gradient="autograd"
    )
    grid = physics.grid(8)
    assert (grid.kind, grid.shape) == ("cell", (8, 16))
    a = Problem(physics).sample_coefficient(1, grid, seeded(0))
    torch.testing.assert_close(physics.solve(a), a.cumsum(-1))


def test_waves_of_sides_are_refused():
    with pytest.raises(InputError, match="must have nodes on its sides, got a cell grid"):
        Problem(Darcy(grid_kind="cell"))
    with pytest.raises(InputError, match="must be NoFlux\\(\\) on a cell grid"):
        rich(edge=Value(1.0))


def test_a_problem_file_and_a_dataset_keep_the_kind(tmp_path):
    physics = Darcy(domain=BOX, grid_kind="cell")
    problem = Problem(physics, LogNormal(1.0, 0.5, 0.5), physics.grid(16))
    path = problem.save(tmp_path / "problem.toml")
    assert 'kind = "cell"' in path.read_text()
    assert Problem.load(path) == problem
    path.write_text(path.read_text().replace('kind = "cell"\n', ""))
    with pytest.raises(InputError, match="must be of kind 'cell'"):
        problem.physics.check_grid(Problem.load(path).grid)
    path.write_text(path.read_text().replace("[grid]", '[grid]\nkind = "periodic"'))
    with pytest.raises(InputError, match=r"in \[grid\], parameter grid_kind of darcy must be 'v"):
        Problem.load(path)
    generate(problem, n=2, grid=problem.grid, out=tmp_path / "pairs.h5", seed=0)
    with open_dataset(tmp_path / "pairs.h5") as dataset:
        assert dataset.attrs["grid_kind"] == "cell" and grid_from(dataset) == problem.grid
        kept = states(dataset, physics)
    torch.testing.assert_close(kept[:, 1:], physics.solve(kept[:, :1]), rtol=1e-5, atol=1e-6)


def test_a_result_is_on_its_cells():
    physics = Darcy(domain=BOX, boundary=Sides(Value(1.0), Value(0.0), NoFlux(), NoFlux()),
                    grid_kind="cell")  # fmt: skip
    problem = Problem(physics, LogNormal(1.0, 1.0, 0.5), physics.grid(16))
    drawn = draw_truth(problem, ["pressure"])
    assert (drawn.grid.kind, drawn.grid.shape) == ("cell", (48, 96))
    torch.testing.assert_close(drawn.grid.coordinates()[1][1::3], problem.grid.coordinates()[1])
    truth = xr.DataArray(
        drawn.state[0, 1].numpy(), coords=coordinates_of(drawn.grid), dims=("y", "x"),
        name="pressure",
    )  # fmt: skip
    places = layouts.random_nodes(20, problem.grid, 1)
    assert np.allclose(places * 16 - 0.5, np.rint(places * 16 - 0.5), atol=1e-9)
    sensors = Sensors.observe(truth, places, noise_std=1e-3)
    result = pdeinv.reconstruct(sensors, problem=problem, solver="gauss-newton", n_samples=3)
    assert grid_from(result["pressure_mean"]) == problem.grid
    left, right, bottom, top = extent_of(problem.grid)
    assert (left, right, bottom, top) == pytest.approx((0, 2, 0, 1))
    near = truth.interp(x=result.x, y=result.y).values
    assert np.abs(result["pressure_mean"].values - near).max() < 0.1
    assert 0.3 < result.attrs["reduced_chi_squared"] < 3

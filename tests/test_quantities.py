"""Fluxes, means and travel times of manufactured flows, intervals of draws, and maps."""

import json

import numpy as np
import pytest
import xarray as xr
from helpers import run_command
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from shapely.geometry import Point, mapping

import pdeinv
from pdeinv import Grid, InputError, Result, quantities
from pdeinv.coordinates import coordinates_of
from pdeinv.datasets import Darcy, Experiments, NoFlux, Sides, Value, Well
from pdeinv.quantities import (
    Exceedance,
    Flux,
    Mean,
    PosteriorMap,
    Quantile,
    Quantity,
    TravelTime,
    parse_quantity,
)
from pdeinv.quantities.evaluation import values_of
from pdeinv.quantities.intervals import intervals, quantile_of_draws

L = Grid(5, active=[[0, 0], [1, 0], [1, 0.5], [0.5, 0.5], [0.5, 1], [0, 1]]).active
"""The square without its upper right quarter."""

FLAT = pdeinv.LogNormal(1.0, 0.3, 0.4)


def result_with(grid, attrs=None, wells=None, **fields):
    """A result whose fields are functions of x and y, or stacks of samples; of one sample where
    they are functions."""
    y, x = (v.numpy() for v in grid.coordinates())
    x, y = np.meshgrid(x, y)
    data = {}
    for name, f in fields.items():
        values = np.asarray(f(x, y) + 0 * x)[None] if callable(f) else np.asarray(f)
        if grid.active_nodes is not None:
            values = np.where(grid.active_nodes.numpy(), values, np.nan)
        attributes = {"units": "m day-1" if grid.unit == "m" else "1", "long_name": name}
        data[f"{name}_samples"] = (("sample", "y", "x"), values, attributes)
    for name, values in (wells or {}).items():
        data[f"well_{name}"] = ("well", values)
    return Result.of(xr.Dataset(data, coordinates_of(grid), attrs or {}))


def value(result, f):
    return float(values_of(result, f).squeeze())


# Fluxes


KINDS = pytest.mark.parametrize("kind", ["vertex", "cell"])


@KINDS
def test_fluxes_of_a_linear_flow_are_exact(kind):
    grid = Grid(9, 17, (1.0, 3.0, 0.0, 1.0), "m", kind)
    result = result_with(grid, flux_x=lambda x, y: 2 + 3 * x + y, flux_y=lambda x, y: 5 - 3 * y)
    exact = {"left": -5.5, "right": 11.5, "bottom": -10, "top": 4}
    for side, flux in exact.items():
        assert value(result, Flux(side=side)) == pytest.approx(flux)
    assert sum(exact.values()) == 0
    # From its left to its right: upwards in x for a line that runs upwards
    up = Flux(line=((2.0, 0.1), (2.0, 0.7)))
    assert value(result, up) == pytest.approx(0.6 * 8.4)
    assert value(result, Flux(line=((2.0, 0.7), (2.0, 0.1)))) == pytest.approx(-0.6 * 8.4)
    # Along a slanting line the flux across it is a polynomial of first degree
    x, y = 1.55, 0.6
    normal = np.array([0.8, -0.5])
    slanting = Flux(line=((1.3, 0.2), (1.8, 1.0)))
    assert value(result, slanting) == pytest.approx(normal @ [2 + 3 * x + y, 5 - 3 * y])
    assert values_of(result, up).attrs["units"] == "m2 day-1"


def test_a_flux_is_multiplied_by_the_thickness_that_the_physics_states():
    grid = Grid(9, 9, (0.0, 1.0, 0.0, 1.0), "m")
    stated = {"pde_parameters": json.dumps({"thickness": 20.0})}
    flow = {"flux_x": lambda x, y: 2.0, "flux_y": lambda x, y: 0.0}
    found = values_of(result_with(grid, stated, **flow), Flux(side="right"))
    assert float(found.squeeze()) == pytest.approx(40) and found.attrs["units"] == "m3 day-1"
    given = Flux(side="right", thickness=3.0)
    assert value(result_with(grid, stated, **flow), given) == pytest.approx(6)
    two = {"pde_parameters": json.dumps({"experiments": [{"thickness": 1.0}, {"thickness": 2.0}]})}
    with pytest.raises(InputError, match="thickness of a flux must be given"):
        value(result_with(grid, two, **flow), Flux(side="right"))


@KINDS
def test_inactive_parts_of_a_line_have_no_flux(kind):
    grid = Grid(17 if kind == "vertex" else 16, kind=kind, active=L)
    result = result_with(grid, flux_x=lambda x, y: 1.0, flux_y=lambda x, y: 2.0)
    assert value(result, Flux(side="right")) == pytest.approx(0.5)
    assert value(result, Flux(side="left")) == pytest.approx(-1.0)
    assert value(result, Flux(line=((0.0, 0.75), (1.0, 0.75)))) == pytest.approx(-1.0)
    # The edge of the active part belongs to it
    assert value(result, Flux(line=((0.5, 0.5), (0.5, 1.0)))) == pytest.approx(0.5)


def flow_of(physics, a):
    physics = physics.reading(["flux_x", "flux_y"])
    grid = physics.grid_of(a)
    u = physics.solve(a)
    channels = [a, u, physics.derive(a, u)]
    state = np.concatenate([c.numpy() for c in channels], axis=1)
    fields = {f.name: state[:, i] for i, f in enumerate(physics.fields)}
    parameters = json.dumps(physics.json_parameters(describe=True))
    return result_with(grid, {"pde_parameters": parameters}, **fields)


def rough(grid):
    import torch

    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 1, *grid.shape, generator=generator, dtype=torch.float64).exp()


def test_what_flows_out_equals_wells_and_sources():
    """To the accuracy of the solver: for a rough medium, sides of values next to closed ones."""
    aquifer = Darcy(
        source=0.3,
        boundary=Sides(Value(2.0), Value(1.0), NoFlux(), NoFlux()),
        wells=(Well(0.41, 0.52, rate=-1.5), Well(0.6, 0.3, rate=0.25)),
        thickness=2.0,
    )
    result = flow_of(aquifer, rough(aquifer.grid(17)))
    through = [values_of(result, Flux(side=side)) for side in ("left", "right", "bottom", "top")]
    assert np.allclose(sum(through), 0.3 * 2.0 - 1.25, rtol=1e-8)


def test_outflow_through_sides_that_meet_is_of_nearly_second_order():
    import torch

    physics, errors = Darcy(source=1.0), []
    for n in (17, 33, 65):
        y, x = (v.numpy() for v in physics.grid(n).coordinates())
        a = torch.as_tensor(2 + np.sin(3 * x) * np.cos(2 * y[:, None]))[None, None]
        result = flow_of(physics, a)
        through = [value(result, Flux(side=s)) for s in ("left", "right", "bottom", "top")]
        errors.append(abs(sum(through) - 1))
    assert errors == pytest.approx([0.0283, 0.0088, 0.0026], rel=0.02)


# Means


@KINDS
def test_means_of_linear_fields_are_exact_over_any_polygon(kind):
    grid = Grid(9, 13, (0.0, 2.0, 0.0, 1.0), "m", kind)
    result = result_with(grid, head=lambda x, y: 1 + 2 * x - y)
    corners = [[0.13, 0.21], [1.4, 0.3], [0.9, 0.77]]
    x, y = np.mean(corners, axis=0)
    assert value(result, Mean("head", corners)) == pytest.approx(1 + 2 * x - y)
    assert value(result, Mean("head")) == pytest.approx(2.5)


@KINDS
def test_a_mean_leaves_inactive_nodes_out(kind):
    grid = Grid(17 if kind == "vertex" else 16, kind=kind, active=L)
    result = result_with(grid, head=lambda x, y: x)
    assert value(result, Mean("head")) == pytest.approx((0.5 * 0.25 + 0.25 * 0.75) / 0.75)
    upper = [[0.25, 0.5], [1, 0.5], [1, 1], [0.25, 1]]
    assert value(result, Mean("head", upper)) == pytest.approx(0.375)
    with pytest.raises(InputError, match="polygon of a mean must have a part in the active domain"):
        value(result, Mean("head", [[0.7, 0.7], [0.9, 0.7], [0.9, 0.9]]))


def test_means_over_a_disc_converge_at_second_order(tmp_path):
    disc = Point(0.45, 0.55).buffer(0.3, quad_segs=256)
    path = tmp_path / "disc.geojson"
    path.write_text(json.dumps(mapping(disc)))
    r, theta = np.meshgrid(0.3 * (np.arange(400) + 0.5) / 400, np.arange(400) * np.pi / 200)
    x, y = 0.45 + r * np.cos(theta), 0.55 + r * np.sin(theta)
    exact = np.average(np.sin(4 * x + y), weights=r)
    grids = [Grid(n) for n in (17, 33, 65)]
    found = [result_with(g, head=lambda x, y: np.sin(4 * x + y)) for g in grids]
    errors = [abs(value(one, Mean("head", str(path))) - exact) for one in found]
    assert errors[0] < 4e-3 and errors[0] / errors[1] > 3.5 and errors[1] / errors[2] > 3.5


# Travel times


@KINDS
def test_times_of_a_uniform_flow_are_exact(kind):
    grid = Grid(9, 17, (0.0, 2.0, 0.0, 1.0), "m", kind)
    flow = np.ones((3, 1, 1)) * np.ones((1, *grid.shape))
    speed = np.array([0.5, 1.0, 2.0])[:, None, None]
    result = result_with(grid, flux_x=speed * flow, flux_y=0 * flow)
    found = values_of(result, TravelTime((0.3, 0.4), porosity=0.25))
    assert np.allclose(found, 0.25 * 1.7 / speed.ravel()) and found.attrs["units"] == "day"
    half = TravelTime((0.3, 0.4), to=[[1, 0], [2, 0], [2, 1], [1, 1]], thickness=10.0)
    found = values_of(result, half)
    assert np.allclose(found, 10 * 0.7 / speed.ravel()) and found.attrs["units"] == "m day"
    slanting = result_with(grid, flux_x=flow, flux_y=-flow)
    assert np.allclose(values_of(slanting, TravelTime((0.3, 0.4))), 0.4)
    assert np.allclose(values_of(slanting, TravelTime((0.3, 0.4), to="bottom")), 0.4)
    assert np.isinf(values_of(slanting, TravelTime((0.3, 0.4), to="right"))).all()


def test_times_along_known_streamlines_are_of_second_order():
    """Of a flow whose x is tan(t + t0), whatever y is."""

    def flux_x(x, y):
        return 1 + x**2

    def flux_y(x, y):
        return np.sin(3 * x) * (1 + x**2)

    exact, errors = np.arctan(1.0) - np.arctan(0.1), []
    for n in (9, 17, 33):
        grid = Grid(2 * n - 1, n, (0.0, 1.0, 0.0, 2.0))
        result = result_with(grid, flux_x=flux_x, flux_y=flux_y)
        errors.append(abs(value(result, TravelTime((0.1, 0.3))) - exact))
    assert errors[0] < 2e-2 and errors[0] / errors[1] > 3.5 and errors[1] / errors[2] > 3.5


def test_particles_that_stand_still_or_go_in_circles_never_arrive():
    grid = Grid(17)
    y, x = (v.numpy() for v in grid.coordinates())
    x, y = np.meshgrid(x, y)
    flux_x = np.stack([0 * x, -(y - 0.5), 0.6 - x, 1 + 0 * x])
    flux_y = np.stack([0 * x, x - 0.5, 0.6 - y, 0 * x])
    result = result_with(grid, flux_x=flux_x, flux_y=flux_y)
    found = result.quantity(TravelTime((0.5, 0.25)))
    assert np.isinf(found["samples"].values[:3]).all()
    assert float(found["samples"][3]) == pytest.approx(0.5)
    assert found.attrs["infinite"] == 3 and float(found["high"]) == np.inf
    assert float(found["mean"]) == pytest.approx(0.5)


def test_a_particle_ends_at_a_well_that_extracts():
    grid = Grid(33)

    def towards(x, y):
        return -(x - 0.6) / ((x - 0.6) ** 2 + (y - 0.4) ** 2 + 1e-9)

    def upwards(x, y):
        return -(y - 0.4) / ((x - 0.6) ** 2 + (y - 0.4) ** 2 + 1e-9)

    wells = {"x": [0.6], "y": [0.4], "rate": [-2 * np.pi]}
    result = result_with(grid, None, wells, flux_x=towards, flux_y=upwards)
    # r dr = -dt, from 0.3 to within a cell
    exact = (0.3**2 - grid.hx**2) / 2
    assert value(result, TravelTime((0.3, 0.4))) == pytest.approx(exact, rel=0.02)
    result = result_with(grid, None, wells | {"rate": [1.0]}, flux_x=towards, flux_y=upwards)
    assert value(result, TravelTime((0.3, 0.4))) == np.inf


def test_a_closed_wall_keeps_a_particle_in_the_active_part():
    grid = Grid(17, active=L)
    # Along the closed edges no flux crosses them
    result = result_with(grid, flux_x=lambda x, y: 0.0, flux_y=lambda x, y: 1.0)
    assert value(result, TravelTime((0.25, 0.25))) == pytest.approx(0.75)
    assert value(result, TravelTime((0.75, 0.25))) == pytest.approx(0.25)
    with pytest.raises(InputError, match="start of a particle must be in the active domain"):
        value(result, TravelTime((0.75, 0.75)))


# Intervals


@pytest.mark.parametrize(
    ("n", "level", "low", "high"),
    [(19, 0.9, 1, 19), (99, 0.9, 5, 95), (29, 0.9, 1.5, 28.5), (9, 0.5, 2.5, 7.5)],
)
def test_ends_have_the_ranks_that_cover(n, level, low, high):
    draws = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    found = intervals(xr.DataArray(draws, dims="sample"), level)
    assert (float(found["low"]), float(found["high"])) == pytest.approx((low, high))
    assert float(found["mean"]) == pytest.approx((n + 1) / 2)


@pytest.mark.parametrize("n", [5, 16, 19, 40])
@pytest.mark.parametrize("law", ["normal", "log-normal"])
def test_intervals_cover_a_truth_that_is_one_more_draw(n, law):
    """Exactly from ranks; from Student's t with few draws of a normal law."""
    values = np.random.default_rng(n).standard_normal((n + 1, 20_000))
    values = np.exp(values) if law == "log-normal" else values
    found = intervals(xr.DataArray(values[1:], dims=("sample", "case")))
    inside = float(((found["low"] <= values[0]) & (values[0] <= found["high"])).mean())
    if n >= 19 or law == "normal":
        assert inside == pytest.approx(0.9, abs=0.008)


@pytest.mark.parametrize("pairs", [10, 50])
def test_intervals_from_antithetic_pairs_cover_a_linear_quantity(pairs):
    rng = np.random.default_rng(pairs)
    truth, half = rng.standard_normal(20_000), rng.standard_normal((pairs, 20_000))
    found = intervals(xr.DataArray(np.concatenate([half, -half]), dims=("sample", "case")))
    inside = float(((found["low"] <= truth) & (truth <= found["high"])).mean())
    assert inside == pytest.approx(1 - 0.1 * (2 * pairs + 1) / (2 * pairs + 2), abs=0.008)


def test_infinite_draws_are_the_largest_and_undefined_ones_do_not_count():
    draws = np.arange(1.0, 41.0)
    draws[20:] = np.nan
    draws[19] = np.inf
    found = intervals(xr.DataArray(draws, dims="sample"), 0.5)
    assert (int(found["n"]), int(found["infinite"])) == (20, 1)
    assert float(found["low"]) == pytest.approx(5.25) and float(found["high"]) == pytest.approx(
        15.75
    )
    assert float(found["mean"]) == pytest.approx(10)
    assert float(intervals(xr.DataArray(draws, dims="sample"))["high"]) == np.inf
    few = intervals(xr.DataArray([1.0, 2.0, np.inf], dims="sample"))
    assert float(few["low"]) == 1 and float(few["high"]) == np.inf


def test_numbers_that_are_known_have_no_interval():
    result = result_with(Grid(4), head=np.full((3, 4, 4), 52.0))
    wanted = {"head": Mean("head")}
    (line,) = quantities.quantity_lines(quantities.with_quantities(result, wanted), wanted)
    assert line == "head 52 in all samples"


def test_an_interval_needs_two_draws():
    with pytest.raises(InputError, match="at least 2 samples, got 1"):
        intervals(xr.DataArray([1.0], dims="sample"))
    with pytest.raises(InputError, match="level must be a finite number below 1"):
        intervals(xr.DataArray([1.0, 2.0], dims="sample"), 1.0)


# Functions and maps


@pytest.fixture(scope="module")
def poisson():
    table = {"field": "potential", "x": [0.3, 0.6], "y": [0.4, 0.7], "value": [0.002, 0.001]}
    return pdeinv.reconstruct(table, "poisson", noise=1e-4, grid=16, n_samples=39)


def test_a_function_is_evaluated_on_every_draw(poisson):
    peak = poisson.quantity(lambda draw: draw["potential"].max(), units="K")
    each = poisson["potential_samples"].max(("y", "x"))
    assert np.array_equal(peak["samples"], each) and peak["low"].attrs["units"] == "K"
    assert float(peak["low"]) == pytest.approx(np.sort(each)[1])
    middle = poisson.quantity(lambda draw: draw["source"] - draw["source"].mean())
    assert middle["low"].dims == ("y", "x") and middle["samples"].dims == ("sample", "y", "x")
    number = poisson.quantity(lambda draw: float(draw["source"][3, 5]))
    assert np.array_equal(number["samples"], poisson["source_samples"][:, 3, 5])


def test_a_mean_of_the_exact_solver_has_its_variance(poisson):
    """A mean over a small polygon is nearly the value there."""
    x, y = 0.5, 0.5
    cell = [[x - 0.01, y - 0.01], [x + 0.01, y - 0.01], [x + 0.01, y + 0.01], [x - 0.01, y + 0.01]]
    found = poisson.quantity(Mean("potential", cell))
    at = poisson["potential_mean"].interp(x=x, y=y)
    assert float(found["mean"]) == pytest.approx(float(at), abs=3 * float(found["std"]) / 39**0.5)


def test_maps_of_the_exact_solver_are_those_of_the_normal_law(poisson):
    mean, std = poisson["source_mean"], poisson["source_std"]
    above = poisson.exceedance("source", 0.2)
    assert above.attrs["law"] == "normal" and above.attrs["units"] == "1"
    assert np.allclose(above, norm.sf(0.2, mean, std))
    assert np.allclose(poisson.quantile("source", 0.9), mean + 1.2816 * std, atol=1e-4)
    edge = poisson.exceedance("potential", 0.0)  # where it is known to be 0
    assert np.array_equal(edge[0], np.zeros(16)) and bool((edge[1:-1, 1:-1] > 0).all())
    shares = (poisson["source_samples"] > 0.2).mean("sample")
    found = poisson.assign_attrs(solver="another").exceedance("source", 0.2)
    assert found.attrs["law"] == "samples" and np.array_equal(found, shares)


def test_xarray_quantiles_remain(poisson):
    assert float(poisson["x"].to_dataset(name="a").quantile(0.5)["a"]) == pytest.approx(0.5)
    over = poisson[["source_samples"]].quantile(0.5, dim="sample")
    assert over["source_samples"].dims == ("y", "x")


def test_maps_of_two_values_follow_the_probability():
    grid = Grid(4)
    samples = np.where(np.random.default_rng(0).random((30, 4, 4)) < 0.7, 12.0, 3.0)
    result = result_with(grid, permeability=samples)
    probability = np.linspace(0, 1, 16).reshape(4, 4)
    result = result.assign(permeability_probability=(("y", "x"), probability))
    assert np.array_equal(result.exceedance("permeability", 5.0), probability)
    assert np.array_equal(result.exceedance("permeability", 3.0), probability)
    assert np.all(result.exceedance("permeability", 12.0) == 0)
    assert np.all(result.exceedance("permeability", 2.0) == 1)
    high = result.quantile("permeability", 0.75)
    assert np.array_equal(high, np.where(probability > 0.25, 12.0, 3.0))
    assert high.attrs["law"] == "two values"


def test_quantiles_of_samples_have_ranks():
    samples = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))[:, None, None]
    result = result_with(Grid(4), head=samples * np.ones((1, 4, 4)))
    assert np.allclose(result.quantile("head", 0.9), 18)
    assert np.allclose(quantile_of_draws(result["head_samples"], 0.25), 5)


# Results


def test_operations_keep_the_class_and_files_the_content(poisson, tmp_path):
    for one in (
        poisson,
        poisson.assign(a=1),
        poisson.isel(sample=0),
        poisson.copy(),
        poisson.assign_attrs(a=1),
        poisson.sel(x=0.0),
        poisson.drop_vars("source_std"),
        poisson[["source_mean"]],
    ):
        assert isinstance(one, Result)
    poisson.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
    found = pdeinv.open_result(tmp_path / "r.nc")
    assert isinstance(found, Result) and found.attrs == poisson.attrs
    xr.testing.assert_equal(found, poisson)
    again = [one.quantity(Mean("source"))["samples"] for one in (found, poisson)]
    assert np.array_equal(*again)


def test_replicates_have_quantities_of_their_own():
    table = {
        **{"field": "potential", "x": [0.3, 0.3], "y": 0.4, "value": [0.002, -0.002]},
        "replicate": ["a", "b"],
    }
    wanted = {"mean": Mean("source"), "top": lambda draw: draw["potential"].max()}
    found = pdeinv.reconstruct(
        table, "poisson", noise=1e-4, grid=16, n_samples=19, quantities=wanted
    )
    assert isinstance(found, Result)
    assert {*found["quantity_mean"].dims} == {"quantity", "replicate"}
    for name in "ab":
        one = found.sel(replicate=name)
        exact = one["potential_samples"].max(("y", "x"))
        assert np.array_equal(one["quantity_samples"].sel(quantity="top"), exact)
    assert [line[:13] for line in quantities.quantity_lines(found, wanted)] == [
        *("replicate a: ", "replicate b: "),
        *("replicate a: ", "replicate b: "),
    ]


def test_quantities_bring_the_fields_that_they_need():
    flow = Darcy(source=0.0, boundary=Sides(Value(1), Value(0), NoFlux(), NoFlux()))
    problem = pdeinv.Problem(flow, pdeinv.LogNormal(1.0, 0.5, 0.3), flow.grid(16))
    table = {"field": "pressure", "x": [0.3, 0.6], "y": 0.4, "value": [0.72, 0.38]}
    wanted = {
        "out": Flux(side="right"),
        "in": Flux(side="left"),
        "wet": Exceedance("pressure", 0.5),
    }
    found = pdeinv.reconstruct(table, problem=problem, noise=0.01, n_samples=19, quantities=wanted)
    total = found["quantity_samples"].sum("quantity")
    assert np.allclose(total, 0, atol=1e-8) and {"flux_x_mean", "wet"} <= {*found.data_vars}
    assert found["quantity_label"].values.tolist() == [
        "flux through the right side",
        "flux through the left side",
    ]
    plain = pdeinv.reconstruct(table, problem=problem, noise=0.01, n_samples=19)
    with pytest.raises(InputError, match="without flux_x; give the quantity to reconstruct"):
        plain.quantity(Flux(side="left"))


def test_experiments_have_quantities_of_their_own():
    """With the wells of each: a particle ends at that of its experiment."""
    sides = Sides(Value(1), Value(0), NoFlux(), NoFlux())
    wells = (Well(0.75, 0.5, rate=-1.5),), (Well(0.3, 0.5, rate=-1.5),)
    both = [Darcy(source=0.0, boundary=sides, wells=one) for one in wells]
    problem = pdeinv.Problem(Experiments(tuple(both), names=("east", "west")), FLAT, Grid(16))
    table = {
        **{"field": "pressure", "x": [0.3, 0.6, 0.3, 0.6], "y": 0.4},
        **{"value": [0.5, 0.1, 0.3, 0.1], "experiment": ["east", "east", "west", "west"]},
    }
    wanted = {"out": Flux(side="right"), "time": TravelTime((0.5, 0.5), porosity=0.5)}
    found = pdeinv.reconstruct(table, problem=problem, noise=0.3, n_samples=4, quantities=wanted)
    assert found["out_samples"].dims == ("sample", "experiment")
    left = found.quantity(Flux(side="left"))["samples"]
    assert np.allclose(left + found["out_samples"], -1.5, atol=1e-6)
    assert np.isfinite(found["time_samples"]).all()
    near = found["time_samples"].sel(experiment="west") != found["time_samples"].sel(
        experiment="east"
    )
    assert near.all()
    lines = list(quantities.quantity_lines(found, wanted))
    assert lines[0].startswith("out posterior mean from ") and len(lines) == 2


def test_fluxes_in_time_are_of_each_time_and_have_no_travel_time():
    parts = [
        result_with(Grid(9), flux_x=lambda x, y, t=t: 1.0 + t, flux_y=lambda x, y: 0.0 * x)
        for t in (0.0, 2.0)
    ]
    result = xr.concat(parts, xr.Variable("time", [0.0, 2.0]))
    assert np.allclose(values_of(result, Flux(side="right")), [[1.0, 3.0]])
    with pytest.raises(InputError, match="must be of a steady flow, got flux_x at 2 times"):
        values_of(result, TravelTime((0.2, 0.2)))


SOURCE = {"field": "potential", "x": [0.3], "y": [0.4], "value": [0.002]}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"a": Flux(side="left")}, "must be of fields of poisson, source, potential, got 'flux_x'"),
        ({"a": Mean("sauce")}, "got 'sauce'; did you mean 'source'"),
        ({"a b": Mean("source")}, "the name of a quantity must begin with a letter"),
        ({"a": 3}, "the quantity 'a' must be one of pdeinv.quantities"),
        (["a"], "quantities must be a mapping from names"),
        ({"source_mean": Quantile("source", 0.5)}, "must not be that of a variable of the result"),
        ({"a": lambda draw: "x"}, "must return a number or a DataArray of numbers, got 'x'"),
        ({"a": lambda draw: draw}, "must return a number or a DataArray of numbers"),
    ],
)
def test_quantities_that_cannot_be_are_refused(wanted, message):
    with pytest.raises(InputError, match=message):
        pdeinv.reconstruct(SOURCE, "poisson", noise=1e-4, grid=16, n_samples=3, quantities=wanted)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flux(), "side or line of a flux must be given, got neither"),
        (lambda: Flux("left", ((0, 0), (1, 1))), "side or line of a flux must be given, got both"),
        (lambda: Flux(side="east"), "side of a flux must be 'left' or"),
        (lambda: Flux(line=((0, 0), (0, 0))), "line of a flux must have a length"),
        (lambda: Flux(line=((0, 0),)), r"line of a flux must be \(\(x1, y1\), \(x2, y2\)\)"),
        (lambda: TravelTime((0, 0), porosity=2.0), "porosity must be a finite number of at most 1"),
        (lambda: TravelTime("ab"), "x of the start of a particle must be a finite number"),
        (lambda: Mean("a", [[0, 0], [1, 1]]), "polygon of a mean must be"),
        (
            lambda: Quantile("a", 1.0),
            "probability of a quantile must be a finite number below 1",
        ),
        (lambda: parse_quantity("flix:left"), "got 'flix:left'; did you mean 'flux'"),
        (lambda: parse_quantity("flux:lft"), "got 'flux:lft'; did you mean 'left'"),
        (lambda: parse_quantity("flux:0,0"), "flux must have the form flux:SIDE or"),
        (lambda: parse_quantity("time:1"), "time must have the form time:X,Y"),
        (lambda: parse_quantity("exceeds:head"), "exceeds must have the form"),
        (lambda: parse_quantity("exceeds:head:x"), "in which 'x' is no number"),
        (lambda: parse_quantity("flux:left:porosity=1"), "with porosity=; leave it out"),
        (lambda: quantities.parse_quantities(["flux:left", "flux:left"]), "'flux_left' twice"),
    ],
)
def test_odd_arguments_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("text", "name", "made"),
    [
        ("outflow=flux:left", "outflow", Flux(side="left")),
        ("flux:0,0:1,1:thickness=2", "flux", Flux(line=((0, 0), (1, 1)), thickness=2.0)),
        ("mean:head", "mean_head", Mean("head")),
        ("t=time:5,2:right:porosity=0.2", "t", TravelTime((5, 2), "right", 0.2)),
        ("exceeds:head:3.2", "head_exceeds_3.2", Exceedance("head", 3.2)),
        ("quantile:head:0.9", "head_quantile_0.9", Quantile("head", 0.9)),
    ],
)
def test_texts_are_quantities(text, name, made):
    assert parse_quantity(text) == (name, made)


PARTS = ["flux", "mean", "time", "exceeds", "quantile", "left", "head", "0.9", "1,2", "nan,1", "x"]
PARTS += [
    "1e400",
    "thickness=2",
    "porosity=",
    "porosity=0.5",
    "a=flux",
    "=time",
    "",
    " ",
    "no.json",
]


@given(st.lists(st.sampled_from(PARTS), max_size=5))
def test_any_text_is_a_quantity_or_refused_in_one_sentence(parts):
    try:
        name, one = parse_quantity(":".join(parts))
    except InputError as error:
        assert "; " in str(error) and "\n" not in str(error)
    else:
        assert isinstance(one, Quantity | PosteriorMap) and isinstance(name, str)


def test_the_command_prints_and_stores_quantities(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.csv").write_text("field,x,y,value\npotential,0.3,0.4,0.002\n")
    corner = {"type": "Polygon", "coordinates": [[[0, 0], [0.5, 0], [0.5, 0.5], [0, 0]]]}
    (tmp_path / "part.geojson").write_text(json.dumps(corner))
    run = "reconstruct s.csv --pde poisson --out r.nc --grid 16 --samples 19 --noise 1e-4"
    asked = ["corner=mean:source:part.geojson", "exceeds:potential:0.001"]
    options = [word for text in asked for word in ("--quantity", text)]
    printed = run_command(*run.split(), *options).output
    assert "corner " in printed and "(90 %: " in printed and "potential_exceeds_0.001" in printed
    found = pdeinv.open_result("r.nc")
    exact = found.quantity(Mean("source", "part.geojson"))
    for what in ("mean", "std", "low", "high"):
        stored = found[f"quantity_{what}"].sel(quantity="corner")
        assert float(stored) == pytest.approx(float(exact[what]))
    assert found["quantity_samples"].dims == ("quantity", "sample")
    assert found["potential_exceeds_0.001"].dims == ("y", "x")
    pdeinv.plot_reconstruction(found)

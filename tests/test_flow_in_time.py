"""Navier–Stokes at its output times: closed forms, order in time, restarts, derivatives,
symmetries, tables and reconstructions."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from helpers import distance, normal, seeded
from test_torus import BOX, generic, hills, wave, wavenumber

from pdeinv import GaussianField, InputError, NumericalError, Problem, Sensors, layouts, reconstruct
from pdeinv.datasets import Experiments, NavierStokes, TransientDarcy, check_pde, pde_by_name
from pdeinv.grid import Domain
from pdeinv.observation import interpolation_stencil
from pdeinv.solvers import EnsembleSmoother, GaussNewton
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.trained_problem import joint_fields

TIMES = (0.0, 0.3, 0.65)
NAMES = ("vorticity", "velocity_x", "velocity_y")


def flow(times=TIMES, names=NAMES, **parameters):
    return NavierStokes(**{"domain": BOX, "viscosity": 5e-3, **parameters}).reading(names, times)


def at(pde, state, name, time):
    """Return a field of a state (batch, channel, ny, nx) at a time."""
    return state[:, [pde.channel(name, time=time)]]


def state_of(pde, a):
    return torch.cat([a, pde.respond(a)], dim=1)


# Fields and times


def test_each_field_is_a_channel_at_each_time():
    pde = flow()
    assert pde.times == TIMES and pde.outputs == NAMES and pde.end_time == 1.0
    expected = [f"{name} at time {t:g}" for t in (*TIMES, 1.0) for name in NAMES]
    assert [f.label for f in pde.fields] == ["initial_vorticity", "final_vorticity", *expected]
    assert [f.label for f in flow((), ("velocity_y",)).fields[2:]] == ["velocity_x", "velocity_y"]
    assert flow((1.0,)) == flow(()) and flow((-0.0, 0.3, 0.3)) == flow((0.0, 0.3))
    assert flow((0.3,), ()).outputs == ("vorticity",) == flow((0.3,), ("vorticity",)).outputs
    square = replace(pde, domain=Domain(), forcing=0.1)
    assert pde_by_name("navier-stokes", **square.json_parameters()) == square
    assert pde.channel("velocity_x") == pde.channel("velocity_x", time=1.0) == 12
    assert (
        pde.channel("solution", time=1.0) == 1 and pde.find_channel("velocity_x", time=0.5) is None
    )
    assert joint_fields(pde) == pde.fields[:2]
    heads = TransientDarcy(times=(0.1, 0.4))
    assert joint_fields(heads) == heads.fields[:2]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((1.5,), "must be at least 0 and at most 1, its end, got 1.5; correct it"),
        ((-0.1,), "times of navier-stokes must be"),
        ((float("nan"),), "times of navier-stokes must be"),
    ],
)
def test_times_outside_are_refused(times, message):
    with pytest.raises(InputError, match=message):
        NavierStokes(times=times)


# Solutions


@pytest.mark.parametrize("method", ["respond", "respond_roughly"])
def test_the_vortices_of_taylor_and_green_at_all_times(method):
    pde = flow(viscosity=0.02)
    grid, k, l = pde.grid(16, 24), wavenumber(pde, 1, 0), wavenumber(pde, 2, 1)
    x, y = wave(pde, grid, 1, 0), wave(pde, grid, 0, 2)
    w, stream = 1.7 * torch.cos(x) * torch.cos(y), 1.7 / (k**2 + l**2)
    fields = {
        "vorticity": w,
        "velocity_x": -l * stream * torch.cos(x) * torch.sin(y),
        "velocity_y": k * stream * torch.sin(x) * torch.cos(y),
    }
    state = torch.cat([w, getattr(pde, method)(w)], dim=1)
    tolerance = {"respond": 1e-12, "respond_roughly": 1e-5}[method]  # of single precision
    for name, time in itertools.product(NAMES, (*TIMES, 1.0)):
        expected = math.exp(-(k**2 + l**2) * pde.viscosity * time) * fields[name]
        torch.testing.assert_close(at(pde, state, name, time), expected, atol=tolerance, rtol=0)


def test_fourth_order_at_a_time_before_the_end():
    def states(dt):
        pde = flow((0.55, 1.3), forcing=hills, time=2.0, dt=dt)
        return state_of(pde, generic(pde, pde.grid(18, 30), 0.6))

    pde, reference = flow((0.55, 1.3), time=2.0), states(1 / 400)
    runs = [states(1 / steps) for steps in (20, 40, 80)]
    for name, time in itertools.product(("vorticity", "velocity_x"), (0.55, 1.3, 2.0)):
        exact = at(pde, reference, name, time)
        errors = [float((at(pde, run, name, time) - exact).norm()) for run in runs]
        orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
        assert orders == pytest.approx([4, 4], abs=0.3)


def test_a_restart_and_a_direct_run_agree():
    """Where the output times are whole steps from each other, to rounding."""
    pde = flow((0.3, 0.5), forcing=hills, dt=0.05)
    a = generic(pde, pde.grid(15, 20), 0.7)
    state = state_of(pde, a)
    first = replace(pde, time=0.3, times=()).solve(a)
    again = replace(pde, time=0.7, times=()).solve(first)
    torch.testing.assert_close(at(pde, state, "vorticity", 0.3), first, atol=1e-13, rtol=0)
    torch.testing.assert_close(state[:, 1:2], again, atol=1e-12, rtol=0)
    torch.testing.assert_close(replace(pde, times=()).solve(a), again, atol=1e-12, rtol=0)
    torch.testing.assert_close(at(pde, state, "vorticity", 1.0), state[:, 1:2], atol=0, rtol=0)
    assert pde.steps(pde.grid(15, 20)) == replace(pde, times=()).steps(pde.grid(15, 20)) == 20
    assert flow((0.32,)).steps(pde.grid(15, 20)) == 4 + 7


def test_a_long_run_at_a_low_viscosity_is_that_of_finer_steps_and_of_a_finer_grid():
    pde = pde_by_name("navier-stokes", viscosity=2e-5, time=6.0)
    fine = pde.grid(128)
    a = Problem(pde).sample_coefficient(1, fine, seeded(7))
    exact = replace(pde, dt=0.04).solve(a)[..., ::2, ::2]
    a = a[..., ::2, ::2]
    u = pde.solve(a)
    assert distance(u, replace(pde, dt=0.025).solve(a)) < 1e-3
    assert distance(u, exact) < 0.03
    assert distance(u, a) > 0.5
    rough = replace(pde, times=(1.5, 4.0))
    assert distance(rough.surrogate(a), u) < 1e-3


def test_an_unstable_step_is_found_before_the_end():
    pde = flow((0.5,), dt=0.25)
    with pytest.raises(NumericalError, match="use a smaller dt"):
        pde.respond(generic(pde, pde.grid(48), 6.0))


def test_a_rough_flow_that_is_unstable_gives_way_to_the_solution():
    pde = flow((0.5,), viscosity=3e-2, dt=0.05)
    a = generic(pde, pde.grid(48, 80))
    assert torch.equal(pde.respond_roughly(2 * a), pde.respond(2 * a))
    assert 0 < distance(pde.respond_roughly(a), pde.respond(a)) < 1e-3


@pytest.mark.parametrize("times", [(), (0.0,), TIMES])
def test_completed_takes_given_solutions(times):
    pde = flow(times)
    a = generic(pde, pde.grid(12, 20))
    state = state_of(pde, a)
    torch.testing.assert_close(pde.completed(a, state[:, 1:2]), state[:, 1:], atol=1e-14, rtol=0)
    moved = torch.cat([a, pde.completed(a, 2 * state[:, 1:2])], dim=1)
    for name in NAMES:
        end = at(pde, moved, name, 1.0)
        torch.testing.assert_close(end, 2 * at(pde, state, name, 1.0), atol=1e-13, rtol=0)


# The contract, derivatives and symmetries


@pytest.mark.parametrize("forcing", [None, 0.2], ids=["free", "forced"])
@pytest.mark.parametrize("n", [12, 15])
def test_it_keeps_the_contract_and_its_symmetries(forcing, n):
    pde = NavierStokes(viscosity=5e-3, forcing=forcing).reading(NAMES, TIMES)
    found = check_pde(pde, grid=n, seed=n).set_index("check").deviation
    assert found["batches do not matter"] < 1e-12
    assert found["solve(g a) = g solve(a)"] < 1e-8
    grid = pde.grid(n)
    state = state_of(pde, Problem(pde).sample_coefficient(1, grid, seeded(n)))
    elements = [*pde.symmetries, *(pde.symmetries.sample(seeded(i)) for i in range(4))]
    assert any(g.determinant < 0 for g in elements)
    for g in elements:
        moved = g(state, grid)
        assert distance(pde.respond(moved[:, :1]), moved[:, 1:]) < 1e-8


@pytest.mark.parametrize("method", ["respond", "respond_roughly"])
def test_the_adjoint_passes_the_dot_product_test(method):
    pde = flow(viscosity=2e-2, forcing=hills)
    respond, a = getattr(pde, method), 0.3 * normal(1, 1, 12, 20).requires_grad_()
    u = respond(a)
    da, v = normal(*a.shape, seed=1), normal(*u.shape, seed=2)
    weights = torch.zeros_like(u, requires_grad=True)
    (pulled,) = torch.autograd.grad(u, a, weights, create_graph=True)
    (pushed,) = torch.autograd.grad(pulled, weights, da)
    (adjoint,) = torch.autograd.grad(respond(a), a, v)
    scale = float(pushed.norm() * v.norm())
    exact = method == "respond"
    assert (
        abs(float((pushed * v).sum() - (adjoint * da).sum())) < (1e-12 if exact else 1e-5) * scale
    )
    if exact:
        step, start = 1e-5, a.detach()
        difference = (respond(start + step * da) - respond(start - step * da)) / (2 * step)
        assert distance(pushed, difference) < 1e-7


def readings(pde, state, where, n=10, noise=0.02):
    """Return rows of readings of fields at times, from one state (channel, ny, nx)."""
    rows, random = [], np.random.default_rng(1)
    for seed, (name, time) in enumerate(where):
        field, points = state[pde.channel(name, time=time)], layouts.random(n, seed)
        grid = pde.grid(*field.shape)
        index, weight = interpolation_stencil(torch.as_tensor(points), grid, 3)
        std = noise * float(field.std())
        values = (field.flatten()[index] * weight).sum(dim=1).numpy()
        values = values + std * random.standard_normal(n)
        rows += [
            {"field": name, "x": x, "y": y, "value": v, "noise_std": std, "time": time}
            for (x, y), v in zip(points, values, strict=True)
        ]
    return pd.DataFrame(rows)


def observed(pde, table, n):
    return Sensors.read(table).observation(pde, pde.grid(n))


def test_readings_at_the_start_take_no_solve():
    pde = NavierStokes().reading(NAMES, TIMES)
    a = Problem(pde).sample_coefficient(2, pde.grid(16), seeded())
    state = state_of(pde, a)
    start = [c for c, f in enumerate(pde.fields) if pde.of_coefficient(f)]
    assert start == [0, 2, 3, 4]
    torch.testing.assert_close(pde.functions_of_coefficient(a), state[:, start], atol=0, rtol=0)
    torch.testing.assert_close(at(pde, state, "vorticity", 0.0), a, atol=0, rtol=0)
    table = readings(pde, state[0], [("velocity_x", 0.0), ("velocity_y", 0.0), ("vorticity", 0.0)])
    forward = ForwardMap(pde, observed(pde, table, 16))
    torch.testing.assert_close(forward(a), forward.observation(state))
    assert not forward.solves
    rows = forward.jacobian(a[:1]).flatten(1)
    torch.testing.assert_close(rows @ a[1].flatten(), forward(a[1:])[0])
    assert forward.solver_calls == 0
    moving = ForwardMap(pde, observed(pde, readings(pde, state[0], [("velocity_x", 0.3)]), 16))
    moving(a)
    assert moving.solver_calls == 2


@pytest.mark.parametrize(
    "solver", [GaussNewton(ensemble=200), EnsembleSmoother(members=200)], ids=lambda s: s.name
)
def test_velocities_at_the_start_have_the_spread_of_their_samples(solver):
    """They are functions of the whole coefficient, and not of its value at each node."""
    problem = Problem(flow((0.0,)), GaussianField(mean=0.0, std=2.0, length=0.3))
    pde, grid = problem.physics, problem.physics.grid(12)
    state = problem.sample(1, grid, seeded())[0]
    table = readings(pde, state, [("velocity_x", 0.0), ("vorticity", 0.0)])
    o = observed(pde, table, 12)
    o = replace(o, noise_std=torch.full_like(o.noise_std, 0.05))
    found = solver(pde, problem.prior, o, n_samples=200, generator=seeded())
    for name in NAMES:
        channel = pde.channel(name, time=0.0)
        ratio = found.std[channel] / found.samples[:, channel].std(dim=0)
        assert float(ratio.mean()) == pytest.approx(1, abs=0.03), name
    ours = [pde.channel(name, time=0.0) for name in NAMES]
    assert ours[0] in ForwardMap(pde, o).nodewise_channels
    assert not {*ours[1:]} & {*ForwardMap(pde, o).nodewise_channels}


def test_flows_in_several_experiments_have_their_own_starts():
    calm, long = NavierStokes(viscosity=0.01), NavierStokes(viscosity=0.01, forcing=0.5, time=2.0)
    both = Experiments((calm, long), names=("calm", "long")).reading(["velocity_x"], [0.0, 1.5])
    assert both.physics[0].times == (0.0,) and both.physics[1].times == (0.0, 1.5)
    a = Problem(both).sample_coefficient(2, both.grid(12), seeded())
    state = state_of(both, a)
    start = [c for c, f in enumerate(both.fields) if both.of_coefficient(f)]
    torch.testing.assert_close(both.functions_of_coefficient(a), state[:, start], atol=0, rtol=0)
    channels = [both.channel("velocity_x", name, 0.0) for name in both.names]
    assert len({*channels}) == 2 and {*channels} <= {*start}
    late = both.channel("velocity_x", "long", 1.5)
    assert both.fields[late].label == "velocity_x of experiment long at time 1.5"
    with pytest.raises(
        InputError, match="experiment 'calm': time must be at least 0 and at most 1"
    ):
        both.channel("velocity_x", "calm", 1.5)
    some = Experiments((calm, long)).reading(["velocity_x"], [1.5])
    assert [f.time for f in some.fields if f.name == "velocity_x"] == [1.0, 1.5, 2.0]


# Tables and reconstructions

FOUR = (0.0, 0.35, 0.7, 1.0)


@pytest.fixture(scope="module")
def measured():
    pde = pde_by_name("navier-stokes", viscosity=5e-3)
    full = pde.reading(NAMES, FOUR)
    state = Problem(full).sample(1, full.grid(16), seeded(5))[0]
    where = itertools.product(("velocity_x", "velocity_y"), FOUR)
    return pde, full, state, readings(full, state, where)


def test_velocities_at_four_times_are_reconstructed(measured):
    pde, full, state, table = measured
    result = reconstruct(table, pde, grid=16, solver="gauss-newton", n_samples=4)
    assert result["time"].values.tolist() == [*FOUR]
    assert result["velocity_x_mean"].dims == ("time", "y", "x")
    assert result["final_vorticity_mean"].dims == ("y", "x")
    assert sorted({*result["sensor_time"].values.tolist()}) == [*FOUR]
    for name, time in itertools.product(NAMES, FOUR):
        truth = state[full.channel(name, time=time)]
        found = torch.from_numpy(result[f"{name}_mean"].sel(time=time).values)
        assert distance(found, truth) < 0.4  # that of the prior's mean, 0, is 1
    np.testing.assert_allclose(
        result["vorticity_mean"].sel(time=1.0), result["final_vorticity_mean"], atol=1e-12
    )


@pytest.mark.parametrize("posed", ["problem", "pde"])
def test_a_table_with_times_from_the_command_line(measured, tmp_path, pdeinv, posed):
    _, full, state, _ = measured
    where = [("vorticity", 0.0), ("initial_vorticity", 0.0), ("vorticity", 0.35)]
    where += [("final_vorticity", 1.0)]
    readings(full, state, where).to_csv(tmp_path / "sensors.csv", index=False)
    (tmp_path / "flow.toml").write_text(
        'format = 1\n[physics]\npde = "navier-stokes"\nviscosity = 0.005\ntimes = [0.7]\n'
    )
    chosen = ("--pde", "navier-stokes")
    if posed == "problem":
        chosen = ("--problem", tmp_path / "flow.toml")
    code, _, err = pdeinv(
        *("reconstruct", tmp_path / "sensors.csv", *chosen, "--grid", 16, "--samples", 2),
        *("--out", tmp_path / "found.nc"),
    )
    assert code == 0, err
    with xr.open_dataset(tmp_path / "found.nc") as found:
        times = [0.0, 0.35, 0.7, 1.0] if posed == "problem" else [0.0, 0.35, 1.0]
        assert found["vorticity_mean"].dims == ("time", "y", "x")
        assert found["time"].values.tolist() == times and "velocity_x_mean" not in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": 1.5}, r"row 3: time must be at least 0 and at most 1, .* got 1.5; correct it"),
        ({"time": -0.1}, r"row 3: time must be at least 0 .* got -0.1; .* count from the start"),
        ({"time": "noon"}, r"row 3: time must be a number, got noon"),
        (
            {"field": "final_vorticity", "time": 0.5},
            r"row 3: time of 'final_vorticity' must be 1, the end .* name the field 'vorticity'",
        ),
        (
            {"field": "initial_vorticity", "time": 0.5},
            r"row 3: time of 'initial_vorticity' must be 0 or empty, got 0.5; name the field",
        ),
        (
            {"field": "solution", "time": 0.5},
            r"row 3: time of 'final_vorticity' must be 1, .* got 0.5; name the field 'vorticity'",
        ),
    ],
)
def test_a_time_that_cannot_be_is_refused_with_row_and_remedy(measured, change, message):
    table = measured[3].head(6).astype({"time": object})
    for name, value in change.items():
        table.loc[3, name] = value
    with pytest.raises(InputError, match=message):
        reconstruct(table, "navier-stokes", grid=16)


def test_a_table_of_the_end_needs_no_times(measured):
    pde, full, state, _ = measured
    table = readings(full, state, [("velocity_x", 1.0)])
    results = [
        reconstruct(given, pde, grid=16, n_samples=2, solver="gauss-newton")
        for given in (table, table.drop(columns="time"))
    ]
    assert "time" not in results[0].dims and "sensor_time" not in results[0]
    for name in ("initial_vorticity_mean", "velocity_y_mean"):
        np.testing.assert_array_equal(results[0][name], results[1][name])

"""Several experiments on one coefficient: the PDE, its tables, its posterior and its results."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from helpers import distance, gaussian_prior, quick_solver, refused, seeded

from pdeinv import (
    InputError,
    InputWarning,
    Observation,
    Sensors,
    SpectralField,
    layouts,
    plot_reconstruction,
    reconstruct,
)
from pdeinv.datasets import (
    Darcy,
    Experiments,
    Helmholtz,
    NoFlux,
    Poisson,
    Problem,
    Sides,
    Value,
    Well,
    generate,
    pde_by_name,
)
from pdeinv.datasets.parameters import from_json
from pdeinv.grid import Domain
from pdeinv.result import open_result
from pdeinv.solvers import SOLVERS
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.gaussian import GaussianSolver

FIVE_BY_THREE = Domain((0.0, 5.0, 0.0, 3.0), "km")
WAVES = Experiments((Helmholtz(k=1.0), Helmholtz(k=3.0)), ("low", "high"))
WAVES_5X3 = Experiments(tuple(replace(pde, domain=FIVE_BY_THREE) for pde in WAVES.physics))
SIDES = Sides(Value(2.0), Value(1.0), NoFlux(), NoFlux())
PUMPING = Experiments(
    tuple(
        Darcy(
            source=0.0,
            domain=FIVE_BY_THREE,
            boundary=SIDES,
            wells=(Well(x, 1.2, rate),),
            outputs=outputs,
        )
        for x, rate, outputs in (
            (1.3, -4.0, ()),
            (3.7, -2.0, ("flux_x", "flux_y", "log_permeability")),
        )
    )
)
FEW = SpectralField(modes=16)  # so that all waves can be listed
CASES = {
    "waves": (WAVES, (12, 12)),
    "waves-5x3": (WAVES_5X3, (24, 40)),
    "wells": (PUMPING, (24, 40)),
}
each_case = pytest.mark.parametrize(("pde", "shape"), CASES.values(), ids=CASES)


def readings(pde, grid, count=5, noise_std=0.0, seed=0):
    """An observation of `count` random points of every channel, of a random state."""
    generator = seeded(seed)
    channel = torch.arange(len(pde.fields)).repeat_interleave(count)
    shares = 0.05 + 0.9 * torch.rand(len(channel), 2, dtype=torch.float64, generator=generator)
    points, zeros = grid.domain.absolute(shares), torch.zeros(len(channel), dtype=torch.float64)
    order = tuple(f.interpolation_order for f in pde.fields)
    blank = Observation(grid, points, channel, zeros, zeros, order)
    values = blank(Problem(pde).sample(1, grid, generator))[0]
    scale = torch.stack([values[channel == c].std() for c in channel])
    noise = noise_std * scale
    return Observation(grid, points, channel, values, noise, order)


def table(**columns):
    return pd.DataFrame({"noise_std": 0.01, "x": 0.4, "y": 0.6, "value": 0.1} | columns)


# The PDE


@each_case
def test_a_state_has_the_outputs_of_each_experiment_in_turn(pde, shape):
    grid = pde.grid(*shape)
    state = Problem(pde).sample(2, grid, seeded())
    assert state.shape == (2, len(pde.fields), *shape)
    a, rest = state[:, :1], state[:, 1:]
    parts = [one.respond(a) for one in pde.physics]
    torch.testing.assert_close(rest, torch.cat(parts, dim=1))
    u = pde.solve(a)
    assert torch.equal(u, state[:, list(pde.solution_channels)])
    assert torch.equal(pde.completed(a, u), pde.respond(a))
    assert pde.surrogate(a).shape == u.shape and distance(pde.surrogate(a), u) < 0.1
    scale = pde.residual(a, torch.zeros_like(u)).norm()
    assert pde.residual(a, u).norm() < 1e-9 * scale < 1e-3 * pde.residual(a, 2 * u).norm()
    if bounds := pde.default_prior.bounds:
        assert (float(a.amin()), float(a.amax())) == bounds


@each_case
def test_its_channels_are_named(pde, shape):
    for name, one in pde.experiments.items():
        for f in one.fields[1:]:
            channel = pde.channel(f.name, name)
            assert pde.fields[channel].name == f.name
            assert channel in pde.find_channels(f.name)
        assert pde.channel("solution", name) in pde.solution_channels
        assert pde.channel("coefficient", name) == pde.channel("coefficient") == 0
    assert len({f.label for f in pde.fields}) == len(pde.fields)
    assert pde.find_channels("solution") == pde.solution_channels
    assert pde.find_channels("temperature") == ()
    with pytest.raises(InputError, match=r"experiment must be one of .* got none; state"):
        pde.channel("solution")


@each_case
def test_its_known_values_and_symmetries_are_those_of_the_experiments(pde, shape):
    grid = pde.grid(*shape)
    state = Problem(pde).sample(1, grid, seeded())[0]
    for channel in range(len(pde.fields)):
        known = pde.known_values(channel, grid.points()).reshape(shape)
        fixed = ~known.isnan()
        assert bool(fixed.any()) == (channel in pde.solution_channels or pde is not PUMPING)
        torch.testing.assert_close(state[channel, fixed], known[fixed])


@each_case
def test_solve_commutes_with_its_symmetries(pde, shape):
    grid, a = pde.grid(*shape), Problem(pde).sample_coefficient(1, pde.grid(*shape), seeded())
    u, shared = (
        pde.respond(a),
        [{(g.matrix, g.shift) for g in one.symmetries} for one in pde.physics],
    )
    assert {(g.matrix, g.shift) for g in pde.symmetries} == set.intersection(*shared)
    for g in pde.symmetries:
        moved = pde.respond(g.acting_on(pde.fields[:1])(a, grid))
        assert distance(moved, g.acting_on(pde.fields[1:])(u, grid)) < 1e-8


@each_case
def test_it_is_made_again_from_its_parameters(pde, shape):
    stored = json.loads(json.dumps(pde.json_parameters()))
    for again in (
        pde_by_name(pde.name, **stored),
        pde_by_name(pde.name, **pde.parameters),
        Experiments(**from_json(Experiments, stored)),
    ):
        assert again == pde and hash(again) == hash(pde)
    assert all(one.equation in pde.equation for one in pde.physics) and "\n" not in pde.equation
    assert pde.solve_seconds(pde.grid(*shape)) == sum(
        one.solve_seconds(pde.grid(*shape)) for one in pde.physics
    )


def test_a_function_of_the_coefficient_is_one_channel():
    labels = [f.label for f in PUMPING.fields]
    assert labels == [
        "permeability",
        "pressure of experiment 1",
        "log_permeability",
        "pressure of experiment 2",
        "flux_x of experiment 2",
        "flux_y of experiment 2",
    ]
    assert PUMPING.channel("log_permeability") == PUMPING.channel("log_permeability", "2") == 2
    every = PUMPING.reading(["flux_x", "permeability"])
    assert every.find_channels("flux_y") == (3, 7) and every.reading(["flux_y"]) == every


def test_the_doubts_of_each_experiment_are_named():
    grid = WAVES.grid(16)
    rough = Experiments((Helmholtz(k=1.0), Helmholtz(k=30.0)), ("low", "high"))
    assert Experiments((Poisson(), Poisson())).doubt(grid) == ""
    assert rough.doubt(grid).startswith("experiment high: k = 30")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domain": FIVE_BY_THREE}, "the domain must be the same in all experiments"),
        ({"coefficient_field": Poisson().solution_field}, "the coefficient's field must"),
        ({"boundary": Sides(left=NoFlux())}, "the nodes at which the coefficient is 0 must"),
    ],
)
def test_physics_that_share_too_little_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Experiments((Helmholtz(), replace(Helmholtz(), **change)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "physics of experiments must be one PDE for each, got none"),
        (((WAVES, WAVES),), "got experiments in experiments"),
        (((3.0,),), "entry 0 of parameter physics of experiments must be a PDE"),
        (((Helmholtz(), Helmholtz()), ("a",)), "names of experiments must be 2 different"),
        (((Helmholtz(), Helmholtz()), ("a", "a")), "names of experiments must be 2 different"),
        (((Helmholtz(), Helmholtz()), ("1.0", "a")), "names of experiments must be 2 different"),
    ],
)
def test_bad_experiments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Experiments(*arguments)


def test_a_dataset_is_of_one_physics(tmp_path):
    with pytest.raises(InputError, match=r"must be one physics, got experiments 'low', 'high'"):
        generate(WAVES, 2, 16, 0, tmp_path / "waves.h5")


# Tables


@pytest.mark.parametrize("names", [["2", "1"], [2, 1], [2.0, 1.0], [b"2", " 1 "]], ids=str)
def test_the_column_chooses_the_experiment(names):
    pde = Experiments(WAVES.physics)
    given = table(field=["wavefield", "solution", "source", "source"], experiment=[*names, None, 2])
    given["x"] = [0.2, 0.4, 0.6, 0.8]
    observation = Sensors(given).observation(pde, pde.grid(12))
    assert observation.channel.tolist() == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("wavefield", ""), r"row 1: experiment must be one of 'low', 'high' for a reading"),
        (("wavefield", None), r"row 1: .* got none; state it in the column 'experiment'"),
        (("wavefield", "mid"), r"row 1: experiment must be one of 'low', 'high', got 'mid'"),
        (("source", "mid"), r"row 1: experiment must be one of 'low', 'high', got 'mid'"),
        (("pressure", "low"), r"row 1: experiment 'low': field must be 'source' .* 'pressure'"),
        (("pressure", ""), r"row 1: field must be one of 'source', 'wavefield' .* 'pressure'"),
    ],
)
def test_a_bad_experiment_names_its_row(row, message):
    given = table(field=["wavefield", row[0]], experiment=["low", row[1]])
    with pytest.raises(InputError, match=message):
        Sensors(given).observation(WAVES, WAVES.grid(12))


def test_a_table_without_the_column_needs_one_experiment_alone():
    given = Sensors(table(field=["wavefield"]))
    with pytest.raises(InputError, match="row 0: experiment must be one of 'low', 'high'"):
        given.observation(WAVES, WAVES.grid(12))
    alone = Experiments(WAVES.physics[:1])
    assert given.observation(alone, alone.grid(12)).channel.tolist() == [1]


def test_one_physics_alone_does_not_use_the_column():
    pde = Helmholtz()
    given = table(field=["wavefield", "wavefield"], experiment=["1", "2"], value=[1.0, 2.0])
    with pytest.warns(InputWarning, match="the column 'experiment' is not used for one physics"):
        found = Sensors(given).observation(pde, pde.grid(12))
    assert found.channel.tolist() == [1, 1]
    given["noise_std"] = 0.0
    message = r"contradicts 1 .* \(not used: 'experiment'\)"
    with pytest.warns(InputWarning), pytest.raises(InputError, match=message):
        Sensors(given).observation(pde, pde.grid(12))


def test_readings_are_checked_within_their_experiment():
    fields = {"field": ["wavefield"] * 2, "noise_std": 0.0, "value": [0.1, 0.2]}
    apart = Sensors(table(**fields, experiment=["low", "high"]))
    assert len(apart.observation(WAVES, WAVES.grid(12))) == 2
    with pytest.raises(InputError, match=r"row 1: the exact reading 0.2 contradicts 0.1"):
        Sensors(table(**fields, experiment=["high"] * 2)).observation(WAVES, WAVES.grid(12))
    on_side = table(**fields, experiment=["low", "high"], x=0.0, y=[0.3, 0.5])
    with pytest.raises(InputError, match=r"condition wavefield of experiment low = 0"):
        Sensors(on_side).observation(WAVES, WAVES.grid(12))
    filled = table(
        field="wavefield", experiment=["low"] * 3 + ["high"], value=[1.0, 1.1, 1.2, -999]
    )
    filled["x"] = [0.2, 0.4, 0.6, 0.8]
    Sensors(filled).observation(WAVES, WAVES.grid(12))  # the only reading of its field
    filled["experiment"] = "low"
    with pytest.raises(InputError, match=r"row 3: .* likely a fill value"):
        Sensors(filled).observation(WAVES, WAVES.grid(12))


def test_a_level_of_noise_is_that_of_a_field_in_all_experiments():
    given = table(
        field=["wavefield"] * 4 + ["source"],
        experiment=["low"] * 2 + ["high"] * 2 + [""],
        value=[0.0, 2.0, 0.0, 20.0, 5.0],
        x=[0.1, 0.3, 0.5, 0.7, 0.9],
    ).drop(columns="noise_std")
    grid, sensors = WAVES.grid(12), Sensors(given)
    found = sensors.observation(WAVES, grid, noise=["wavefield=0.5", 0.25]).noise_std
    assert found.tolist() == [0.5, 0.5, 0.5, 0.5, 0.25]
    found = sensors.observation(WAVES, grid, noise={"solution": "10%", "source": 1}).noise_std
    assert found.tolist() == [0.1, 0.1, 1.0, 1.0, 1.0]
    with pytest.raises(InputError, match="noise must be given once for wavefield"):
        sensors.observation(WAVES, grid, noise=["wavefield=0.5", "solution=1"])


def test_a_table_keeps_its_experiments(tmp_path):
    given = Sensors(table(field=["source", "wavefield"], experiment=["", "1"], x=[0.1, 0.2]))
    given.to_csv(tmp_path / "s.csv")
    again = Sensors.read(tmp_path / "s.csv")
    pd.testing.assert_frame_equal(again.table, given.table)
    assert "experiment" not in Sensors(table(field=["source"])).table
    both = given + Sensors(table(field=["source"]))
    assert both.table.experiment.tolist() == ["", "1", ""]


# Posteriors of linear physics


def joint_gaussian(pde, observation):
    """Mean and standard deviation of the state, by dense matrices of the stacked system."""
    problem = Problem(pde, FEW)
    xi = torch.eye(problem.latent.size, dtype=torch.float64).reshape(-1, *problem.latent.shape)
    a = problem.coefficient(problem.latent.square_root(xi, observation.grid))
    states = torch.cat([a, *(one.solve(a) for one in pde.physics)], dim=1)
    T, H = states.flatten(1).T, observation(states).T
    gram = H @ H.T + observation.noise_std.square().diag()
    gain = T @ H.T @ torch.linalg.inv(gram)
    variance = (T.square().sum(dim=1) - (gain * (T @ H.T)).sum(dim=1)).clamp(min=0)
    shape = states.shape[1:]
    return (gain @ observation.values).reshape(shape), variance.sqrt().reshape(shape)


@pytest.mark.parametrize("case", ["waves", "waves-5x3"])
def test_the_joint_posterior_is_that_of_the_stacked_system(case):
    pde, shape = CASES[case]
    observation = readings(pde, pde.grid(*shape), noise_std=0.05)
    found = GaussianSolver()(pde, FEW, observation, n_samples=4, generator=seeded())
    mean, std = joint_gaussian(pde, observation)
    assert distance(found.mean, mean) < 1e-6
    assert distance(found.std, std) < 1e-4
    assert found.fields == pde.fields and found.samples.shape == (4, 3, *shape)


def test_experiments_that_are_alike_are_one_with_all_readings():
    pde = WAVES.physics[1]
    twice = Experiments((pde, pde))
    together = readings(twice, twice.grid(12), noise_std=0.05)
    channel = together.channel.clamp(max=1)
    one = Observation(
        *(together.grid, together.points, channel, together.values, together.noise_std, (3, 3))
    )
    found = GaussianSolver()(twice, None, together, n_samples=2, generator=seeded())
    alone = GaussianSolver()(pde, None, one, n_samples=2, generator=seeded())
    for what in ("mean", "std"):
        joint, single = getattr(found, what), getattr(alone, what)
        assert distance(joint[[0, 1]], single) < 1e-5 and distance(joint[2], joint[1]) < 1e-5


def test_more_experiments_are_never_less_certain():
    both = readings(WAVES, WAVES.grid(12), noise_std=0.05)
    joint = GaussianSolver()(WAVES, None, both, n_samples=2, generator=seeded())
    for left_out in (1, 2):
        single = both.subset(both.channel != left_out)
        found = GaussianSolver()(WAVES, None, single, n_samples=2, generator=seeded())
        excess = joint.std - found.std
        assert float((excess / found.std.amax(dim=(1, 2), keepdim=True)).max()) < 1e-6
        assert float(excess.min()) < -0.05 * float(found.std.max())


@each_case
def test_the_adjoint_of_the_joint_map_passes_the_dot_product_test(pde, shape):
    grid = pde.grid(*shape)
    physics = (
        tuple(replace(one, method="direct") for one in pde.physics) if pde is PUMPING else None
    )
    pde = replace(pde, physics=physics) if physics else pde
    forward = ForwardMap(pde, readings(pde, grid, 3))
    a = 2.0 * Problem(pde).sample_coefficient(1, grid, seeded(1))
    if pde.positive_coefficient:
        a = 2 + torch.rand(a.shape, dtype=a.dtype, generator=seeded(2))
    da = Problem(pde).sample_coefficient(1, grid, seeded(3))
    v = torch.randn(1, len(forward.observation), dtype=a.dtype, generator=seeded(4))
    step = 1e-5
    tangent = (forward(a + step * da) - forward(a - step * da)) / (2 * step)
    left, right = (tangent * v).sum(), (forward.adjoint_at(a)(v) * da).sum()
    scale = float(tangent.norm() * v.norm())
    assert abs(float(left - right)) < 1e-7 * scale


def test_each_experiment_is_a_solve():
    grid = WAVES.grid(12)
    forward = ForwardMap(WAVES, readings(WAVES, grid, 2))
    forward(Problem(WAVES).sample_coefficient(3, grid, seeded()))
    assert forward.solver_calls == 6


# Results


def simulated(pde, n, counts=(6, 8), noise=0.02):
    """A truth with a dimension of experiments, and readings of it."""
    grid = pde.grid(n)
    state, (y, x) = Problem(pde).sample(1, grid, seeded(5))[0], grid.coordinates()
    shared, names = pde.fields[0], list(pde.experiments)
    solutions = state[list(pde.solution_channels)]
    truth = xr.Dataset(
        {
            shared.name: (("y", "x"), state[0].numpy()),
            pde.solution_field.name: (("experiment", "y", "x"), solutions.numpy()),
        },
        {"x": x.numpy(), "y": y.numpy(), "experiment": names},
    )
    parts = [truth[shared.name]]
    parts += [truth[pde.solution_field.name].sel(experiment=name) for name in names]
    tables = []
    for i, part in enumerate(parts):
        points = layouts.random(counts[min(i, 1)], i, pde.domain)
        order = shared.interpolation_order if i == 0 else 3
        std = noise * float(part.std())
        tables.append(Sensors.observe(part, points, noise_std=std, order=order))
    return truth, sum(tables[1:], start=tables[0])


def test_a_list_of_physics_is_several_experiments():
    truth, sensors = simulated(Experiments(WAVES.physics), 16)
    assert sensors.table.experiment.tolist() == [""] * 6 + ["1"] * 8 + ["2"] * 8
    found = reconstruct(sensors, list(WAVES.physics), grid=16, n_samples=3)
    assert found.source_mean.dims == ("y", "x") and found.wavefield_std.dims[0] == "experiment"
    assert found.wavefield_samples.dims == ("sample", "experiment", "y", "x")
    assert found.experiment.values.tolist() == ["1", "2"] and found.attrs["solver"] == "gaussian"
    assert found.sensor_experiment.values.tolist() == sensors.table.experiment.tolist()
    again = pde_by_name(found.attrs["pde"], **json.loads(found.attrs["pde_parameters"]))
    assert again == Experiments(WAVES.physics)
    assumed = found.attrs["assumed"]
    assert "experiment 1: helmholtz" in assumed and "with k 3" in assumed
    for name, scale in (("source", 0.9), ("wavefield", 0.2)):
        assert float(abs(found[f"{name}_mean"] - truth[name]).max()) < scale * float(
            abs(truth[name]).max()
        )
    alone = reconstruct(
        Sensors(sensors.table[sensors.table.experiment != "2"]), [WAVES.physics[0]], grid=16
    )
    assert float((found.source_std - alone.source_std).max()) < 1e-6 * float(found.source_std.max())


def test_a_result_is_written_and_read_as_it_is(tmp_path):
    _, sensors = simulated(WAVES, 16)
    found = reconstruct(sensors, WAVES, grid=16, n_samples=2)
    found.to_netcdf(tmp_path / "r.nc")
    xr.testing.assert_identical(open_result(tmp_path / "r.nc"), found)


def test_a_field_of_one_experiment_alone_is_nan_in_the_others():
    load = Poisson()
    wave = replace(WAVES.physics[0], coefficient_field=load.coefficient_field)
    with pytest.raises(InputError, match="the nodes at which the coefficient is 0 must"):
        Experiments((load, wave))  # only the latter is zero on the sides
    alone = replace(load, solution_field=replace(load.solution_field, name="deflection"))
    both = Experiments((load, alone), ("first", "second"))
    sensors = table(field=["potential", "deflection"], experiment=["first", "second"])
    found = reconstruct(sensors, both, grid=16, n_samples=2)
    missing = found.potential_mean.isnull().all(dim=("y", "x"))
    assert missing.values.tolist() == [False, True]
    assert found.deflection_mean.sel(experiment="second").notnull().all()
    titles = [a.get_title() for a in plot_reconstruction(found).axes]
    assert sum("experiment" in title for title in titles) == 2


def test_a_figure_has_a_row_for_each_experiment():
    truth, sensors = simulated(WAVES, 16)
    figure = plot_reconstruction(reconstruct(sensors, WAVES, grid=16, n_samples=2), truth)
    titles = [axis.get_title().split("\n")[0] for axis in figure.axes]
    shown = [title for title in titles if title]
    assert shown == [
        "source term a",
        "wave field u, experiment low",
        "wave field u, experiment high",
    ]


def test_two_pumping_tests_are_reconstructed_together():
    pde = Experiments(
        tuple(
            Darcy(source=0.0, domain=FIVE_BY_THREE, boundary=SIDES, wells=(well,))
            for well in (Well(1.3, 1.2, -4.0), Well(3.7, 1.8, -2.0))
        )
    )
    truth, sensors = simulated(pde, 16, (6, 12))
    solver = quick_solver("optimal-interpolation")
    found = reconstruct(sensors, pde, grid=16, n_samples=3, solver=solver)
    assert found.pressure_mean.dims == ("experiment", "y", "x")
    error = abs(found.pressure_mean - truth.pressure).max(dim=("y", "x"))
    assert bool((error < 0.3 * (truth.pressure.max() - truth.pressure.min())).all())
    assert abs(found.permeability_mean - truth.permeability).mean() < 4.0


@pytest.mark.filterwarnings("ignore::pdeinv.MisfitWarning", "ignore::pdeinv.InputWarning")
@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("prior", [None, 1, 2], ids=["no prior", "coefficient", "joint"])
def test_each_solver_takes_experiments_or_refuses_them(name, prior):
    """A prior of the coefficient serves all experiments, one of both fields is of one alone."""
    solver, one = quick_solver(name), WAVES.physics[0]
    given = gaussian_prior(one, channels=prior) if prior else None
    _, sensors = simulated(WAVES, 16)
    reason = refused(solver, WAVES, given)
    expected = {
        None: name
        in (
            *("gaussian", "gauss-newton", "kriging", "optimal-interpolation", "ensemble-smoother"),
            *("moment", "ddis"),
        ),
        1: name in ("moment", "ddis", "optimal-interpolation"),
        2: False,
    }
    assert (not reason) == expected[prior], reason
    if reason:
        assert ";" in reason and "\n" not in reason
        return
    found = reconstruct(sensors, WAVES, solver=solver, prior=given, grid=16, n_samples=2)
    assert found.wavefield_samples.shape == (2, 2, 16, 16)
    assert bool(np.isfinite(found.wavefield_mean).all())


def test_an_experiment_without_readings_has_the_fields_of_the_others():
    """Its solution follows from the coefficient that the readings of the first determine."""
    table = {"field": "wavefield", "x": [0.3], "y": [0.4], "value": [0.01], "noise_std": [0.01]}
    both = [Helmholtz(k=1.0), Helmholtz(k=3.0)]
    result = reconstruct(table | {"experiment": ["1"]}, both, grid=16)
    alone = reconstruct(table, both[0], grid=16)
    np.testing.assert_allclose(result.source_mean, alone.source_mean, rtol=1e-9, atol=1e-12)
    assert bool((result.wavefield_std[1] > 0).any())

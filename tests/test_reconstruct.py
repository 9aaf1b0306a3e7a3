"""The door: every solver, on every PDE that it accepts, returns the same kind of result from any
reasonable sensors."""

import dataclasses
import json
import warnings
from functools import cache
from importlib.metadata import version

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
import xarray as xr

import pdeinv.datasets as datasets
from pdeinv import Ensemble, Grid, InputError, MisfitWarning, Sensors, layouts, reconstruct
from pdeinv.datasets import PDES, Poisson
from pdeinv.files import save_netcdf
from pdeinv.priors import GaussianPrior, TrainingData
from pdeinv.solvers import (
    DAPS,
    DDIS,
    DPS,
    SOLVERS,
    DiffusionPDE,
    FunDPS,
    LevelSet,
    Moment,
    OptimalInterpolation,
    level_set,
)
from pdeinv.solvers.diffusion import moment
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.learned import LearnedSolver

N = 16
SMALL = {
    "optimal-interpolation": OptimalInterpolation(members=32, copies=2),
    "level-set": LevelSet(ensemble=4, draws=32),
    "dps": DPS(steps=20),
    "diffusionpde": DiffusionPDE(steps=25, weight=10.0),
    "fundps": FunDPS(steps=15),
    "daps": DAPS(steps=25, ode_steps=3, langevin=15, weights=(1000.0, 1000.0)),
    "ddis": DDIS(steps=10, ode_steps=3, langevin=10),
    "moment": Moment(steps=4),
}
PAIRS = [(s, p) for s in SOLVERS for p in PDES if SOLVERS[s]().accepts(PDES[p]())]
every_pair = pytest.mark.parametrize(("solver", "name"), PAIRS)

# Points on the coefficient, points on the solution, and the noise relative to each field's standard
# deviation.
RING = layouts.boundary(8)
CLUSTER = 0.4 + 1e-3 * layouts.random(5, 3)
LAYOUTS = {
    "both, noisy": (layouts.random(9, 1), layouts.random(12, 2), 0.05),
    "coefficient only": (layouts.random(12, 1), None, 0.0),
    "solution only": (None, layouts.random(12, 2), 0.0),
    "nodes": (layouts.random_nodes(9, Grid(N), 1), layouts.random_nodes(9, Grid(N), 2), 0.0),
    "one sensor": (None, np.array([[0.53, 0.3]]), 0.0),
    "repeated and clustered": (
        np.repeat(layouts.random(3, 4), 3, axis=0),
        np.concatenate([CLUSTER, CLUSTER]),
        0.0,
    ),
    "zeros on the boundary": (None, np.concatenate([RING, layouts.random(6, 5)]), 0.0),
    "boundary and coefficient": (layouts.random(6, 5), RING, 0.0),
    "boundary alone": (None, RING[:1], 0.0),
}


@cache
def truth(name):
    """A random state as a Dataset of named fields."""
    pde = PDES[name]()
    state = pde.sample(1, pde.grid(N), torch.Generator().manual_seed(11))[0]
    s = pde.grid(N).coordinates().numpy()
    return xr.Dataset(
        {f.name: (("y", "x"), v.numpy()) for f, v in zip(pde.fields, state, strict=True)},
        {"x": s, "y": s},
    )


@cache
def readings(name, layout):
    fields, (*points, noise) = PDES[name]().fields, LAYOUTS[layout]
    parts = []
    for f, p in zip(fields, points, strict=True):
        if p is not None:
            field, order = truth(name)[f.name], f.interpolation_order
            parts.append(
                Sensors.observe(field, p, noise_std=noise * float(field.std()), order=order)
            )
    return parts[0] + parts[1] if len(parts) == 2 else parts[0]


@cache
def diffusion_prior(solver, name):
    """A small prior for the solvers that need one, else None."""
    if not issubclass(SOLVERS[solver], DiffusionSolver):
        return None
    pde = PDES[name]()
    fields = pde.fields[:1] if SOLVERS[solver].suffix else pde.fields
    states = pde.sample(300, pde.grid(N), torch.Generator().manual_seed(12))[:, : len(fields)]
    return GaussianPrior.fit(TrainingData(states.float(), fields, pde.grid(N), pde, "here"))


def run(solver, name, layout="both, noisy", seed=0, n_samples=3):
    with warnings.catch_warnings():
        # 32 members, or no physics at all, fit no exact readings
        warnings.simplefilter("ignore", MisfitWarning)
        settings = {
            "grid": N,
            "n_samples": n_samples,
            "seed": seed,
            "prior": diffusion_prior(solver, name),
        }
        return reconstruct(
            readings(name, layout), name, solver=SMALL.get(solver, solver), **settings
        )


@pytest.fixture
def brief(monkeypatch):
    """Two stages of the level set's annealing: what they reach is no worse in kind, and comes in a
    third of the time."""
    monkeypatch.setattr(level_set, "STAGES", level_set.STAGES[:2])
    monkeypatch.setattr(moment, "BRIEF_STAGES", moment.BRIEF_STAGES[:2])


# The contract


@pytest.mark.parametrize("layout", LAYOUTS)
@every_pair
def test_any_sensors_give_finite_fields_and_spreads(solver, name, layout, brief):
    result = run(solver, name, layout)
    for f in PDES[name]().fields:
        for what, shape in (("mean", (N, N)), ("std", (N, N)), ("samples", (3, N, N))):
            values = result[f"{f.name}_{what}"].values
            assert values.shape == shape and np.isfinite(values).all()
        assert (result[f"{f.name}_std"] >= 0).all() and (result[f"{f.name}_std"] > 0).any()
        if f.name == "permeability":
            bounds = PDES[name]().coefficient_range
            for what in ("mean", "samples"):
                assert (
                    bounds[0] <= result[f"{f.name}_{what}"].min()
                    and result[f"{f.name}_{what}"].max() <= bounds[1]
                )
    assert np.isfinite(result.attrs["reduced_chi_squared"])


@every_pair
def test_the_result_says_what_it_is_and_how_it_was_made(solver, name, brief):
    pde, result = PDES[name](), run(solver, name, seed=5)
    expected = {f"{f.name}_{what}" for f in pde.fields for what in ("mean", "std", "samples")}
    sampled = issubclass(SOLVERS[solver], DiffusionSolver)
    if solver == "level-set" or (sampled and name == "darcy"):
        expected.add("permeability_probability")
    columns = ("field", "x", "y", "value", "noise_std")
    assert set(result.data_vars) == expected | {f"sensor_{c}" for c in columns}
    assert set(result.coords) == {"x", "y", "sample"}
    for axis in ("x", "y"):
        assert np.array_equal(result[axis], pde.grid(N).coordinates())
        assert result[axis].attrs == {"long_name": f"{axis} coordinate", "units": "1"}
    for f in pde.fields:
        for what, label in (
            ("mean", "mean"),
            ("std", "standard deviation"),
            ("samples", "samples"),
        ):
            variable = result[f"{f.name}_{what}"]
            assert variable.dims == (("sample",) if what == "samples" else ()) + ("y", "x")
            assert variable.attrs == {
                "long_name": f"posterior {label} of the {f.long_name}",
                "units": f.units,
            }
    table = readings(name, "both, noisy").table
    for c in columns:
        assert (
            result[f"sensor_{c}"].dims == ("sensor",)
            and result[f"sensor_{c}"].values.tolist() == table[c].tolist()
        )
    attributes = result.attrs
    assert (attributes["pde"], attributes["solver"], attributes["seed"]) == (name, solver, 5)
    assert PDES[name](**json.loads(attributes["pde_parameters"])) == pde
    if solver in SMALL:
        assert json.loads(attributes["solver_settings"]) == json.loads(
            json.dumps(dataclasses.asdict(SMALL[solver]))
        )
    assert isinstance(json.loads(attributes["solver_settings"]), dict)
    # Two values need none
    asked = issubclass(SOLVERS[solver], LearnedSolver) and (solver, name) != ("moment", "darcy")
    assert 0 < attributes["seconds"] < 60 and (attributes["network_evaluations"] > 0) == asked
    assert attributes["pdeinv_version"] == version("pdeinv")
    assert all(isinstance(value, str | int | float) for value in attributes.values())


def test_there_are_as_many_samples_as_asked():
    assert run("optimal-interpolation", "poisson", n_samples=100).sizes["sample"] == 100


@every_pair
def test_the_seed_decides_the_samples(solver, name, brief):
    first, again, other = (run(solver, name, seed=seed) for seed in (1, 1, 2))
    assert first.drop_attrs().identical(again.drop_attrs())
    for f in PDES[name]().fields:
        samples = [r[f"{f.name}_samples"].values for r in (first, other)]
        assert not np.allclose(samples[0], samples[1]) and not np.allclose(
            samples[0][0], samples[0][1]
        )


@every_pair
def test_a_result_survives_its_file(solver, name, tmp_path):
    result = run(solver, name)
    save_netcdf(result, tmp_path / "r.nc")
    with xr.open_dataset(tmp_path / "r.nc") as stored:
        xr.testing.assert_identical(stored.load(), result)
    assert [path.name for path in tmp_path.iterdir()] == ["r.nc"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    def full(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "r.nc").write_text("last week's")
    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.raises(InputError, match=r"r.nc cannot be written \(No space left on device\)"):
        save_netcdf(run("gaussian", "poisson"), tmp_path / "r.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["r.nc"]
    assert (tmp_path / "r.nc").read_text() == "last week's"


# What the numbers mean


@pytest.mark.parametrize("name", ["poisson", "helmholtz"])
def test_exact_readings_are_met(name):
    pde = PDES[name]()
    grid = pde.grid(N)
    fields = [truth(name)[f.name] for f in pde.fields]
    sensors = Sensors.observe(fields[0], layouts.random(30, 1)) + Sensors.observe(
        fields[1], layouts.random(40, 2)
    )
    result = reconstruct(sensors, pde, grid=N)
    H = sensors.observation(pde, grid)
    for variable in ("mean", "samples"):
        states = [
            torch.as_tensor(result[f"{f.name}_{variable}"].values).reshape(-1, N, N)
            for f in pde.fields
        ]
        misfit = H(torch.stack(states, dim=1)) - H.values
        for c in (0, 1):
            mine = H.channel == c
            assert misfit[:, mine].abs().max() < 1e-4 * H.values[mine].abs().max()
    for f in pde.fields:  # and between the sensors the error is what the spread says
        error = (result[f"{f.name}_mean"] - truth(name)[f.name]) / result[f"{f.name}_std"].max()
        assert 0.05 < float(abs(error).max()) < 4


@every_pair
def test_many_sensors_lead_to_the_truth(solver, name):
    """A swapped axis, a shifted grid or a missing wrap-around cannot pass."""
    pde = PDES[name]()
    u = truth(name)[pde.solution_field.name]
    error = []
    for points in (layouts.random(3, 1), layouts.random(80, 1)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MisfitWarning)
            settings = {"solver": SMALL.get(solver, solver), "prior": diffusion_prior(solver, name)}
            result = reconstruct(Sensors.observe(u, points), pde, grid=N, **settings)
        error.append(float(np.linalg.norm(result[f"{u.name}_mean"] - u) / np.linalg.norm(u)))
    assert error[1] < 0.25 and error[1] < error[0] / 2


def test_readings_in_another_unit_raise_a_warning():
    table = readings("poisson", "solution only").table
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisfitWarning)
        reconstruct(table, "poisson", grid=N)
    with pytest.warns(
        MisfitWarning, match="do not fit poisson: reduced chi-squared is .* check units"
    ):
        reconstruct(table.assign(value=10 * table.value), "poisson", grid=N)


@pytest.mark.parametrize("layout", ["solution only", "coefficient only", "both, noisy"])
@pytest.mark.parametrize(
    ("solver", "name"),
    [
        pair
        for pair in PAIRS
        if pair[0] in ("gaussian", "gauss-newton", "moment") and pair[1] != "darcy"
    ],
)
def test_solvers_that_know_the_prior_see_a_unit_three_times_too_large(solver, name, layout):
    table, settings = (
        readings(name, layout).table,
        {"grid": N, "prior": diffusion_prior(solver, name)},
    )
    settings["solver"] = SMALL.get(solver, solver)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisfitWarning)
        reconstruct(table, name, **settings)
    with pytest.warns(
        MisfitWarning, match=f"do not fit {name}: reduced chi-squared is .* check units"
    ):
        reconstruct(table.assign(value=3 * table.value), name, **settings)


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("name", ["poisson", "navier-stokes"])
def test_a_matlab_file_of_diffusionpde_is_observed_and_reconstructed(name, version, tmp_path):
    pde = PDES[name]()
    # Samples x X x Y
    a, u = (
        pde.sample(3, pde.grid(N), torch.Generator().manual_seed(2)).numpy().transpose(1, 0, 3, 2)
    )
    arrays = (
        {"f_data": a, "phi_data": u}
        if name == "poisson"
        else {"a": a, "u": u[..., None], "t": np.ones((1, 1))}
    )
    if version == "5":
        scipy.io.savemat(tmp_path / "data.mat", arrays)
    # MATLAB's HDF5 files hold every array with its dimensions reversed, behind 512 bytes of their
    # own
    else:
        with h5py.File(tmp_path / "data.mat", "w", userblock_size=512) as file:
            for variable, array in arrays.items():
                file[variable] = array.T
    with datasets.open(tmp_path / "data.mat") as dataset:
        sensors = Sensors.observe(
            dataset[pde.solution_field.name].isel(sample=1), layouts.random(90)
        )
        result = reconstruct(sensors, datasets.pde_of(dataset), grid=N, n_samples=1)
    error = result[f"{pde.solution_field.name}_mean"].values - u[1].T
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(u[1])


# Priors and refusals


def test_an_ensemble_is_a_prior():
    pde = Poisson()
    states = pde.sample(64, pde.grid(N), torch.Generator().manual_seed(3))
    ensemble = Ensemble(states)
    assert len(ensemble) == 64 and torch.equal(ensemble.sample(99, pde.grid(N)), states)
    some = ensemble.sample(5, pde.grid(N), torch.Generator().manual_seed(1))
    assert len(some.unique(dim=0)) == 5 and all(
        (member == states).flatten(1).all(dim=1).any() for member in some
    )
    result = reconstruct(
        readings("poisson", "solution only"),
        pde,
        grid=N,
        solver="optimal-interpolation",
        prior=ensemble,
    )
    assert result.attrs["prior"] == "Ensemble" and result.attrs["solver_calls"] == 0
    with pytest.raises(InputError, match="grid of 16 nodes, not 20; reconstruct with grid=16"):
        reconstruct(
            readings("poisson", "solution only"),
            pde,
            grid=20,
            solver="optimal-interpolation",
            prior=ensemble,
        )
    for bad, message in [
        (states[:1], "not of the form"),
        (states[:, :1], "not of the form"),
        (states[..., 1:], "not of the form"),
        (
            torch.where(torch.arange(64)[:, None, None, None] == 7, torch.nan, states),
            "member 7 holds nan or inf",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            Ensemble(bad)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pde": "poison"}, "did you mean 'poisson'"),
        ({"solver": "magic"}, "solver 'magic' is unknown; use one of auto, daps"),
        ({"grid": 15}, "grid = 15 is too coarse"),
        ({"grid": 16.0}, r"grid = 16.0"),
        ({"n_samples": 0}, "n_samples = 0"),
        (
            {"pde": "darcy", "solver": "gaussian"},
            "the gaussian solver is not made for darcy: .*; choose the solver 'auto'",
        ),
        (
            {"solver": "gaussian", "prior": Ensemble(torch.zeros(2, 2, N, N))},
            "only the PDE's own prior",
        ),
    ],
)
def test_bad_settings_are_refused(settings, message):
    table = pd.DataFrame({"field": "solution", "x": [0.5], "y": [0.5], "value": [1e-3]})
    with pytest.raises(InputError, match=message):
        reconstruct(table, **{"pde": "poisson", "grid": N} | settings)

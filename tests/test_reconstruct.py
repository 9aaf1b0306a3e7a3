"""The door: every solver, on every PDE that it accepts, returns the same kind of result from any
reasonable sensors."""

import itertools
import json
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from cases import LAYOUTS, PAIRS, N, every_pair, pairs_in_turn, readings, run
from helpers import brief_solver, quick_prior, seeded, suited_prior

from pdeinv import Ensemble, InputError, reconstruct
from pdeinv.datasets import PDES, Poisson, Problem, pde_by_name
from pdeinv.files import save_netcdf
from pdeinv.result import open_result
from pdeinv.solvers import SOLVERS
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.misfit import MISFIT_TESTS


def covering():
    """Return (solver, PDE, layout): each two of them together at least once, where accepted."""
    cases = []
    for i, solver in enumerate(SOLVERS):
        accepted = [p for s, p in PAIRS if s == solver]
        for j, layout in enumerate(LAYOUTS):
            cases.append((solver, accepted[(i + j) % len(accepted)], layout))
    return cases


LAYOUT_OF = {(s, p): layout for s, p, layout in reversed(covering())}
"""A layout with which each solver and PDE are together."""


def test_the_cases_cover_every_two_of_solver_pde_and_layout():
    cases = covering()
    assert {(s, p) for s, p, _ in cases} == set(PAIRS)
    assert {(s, l) for s, _, l in cases} == set(itertools.product(SOLVERS, LAYOUTS))
    assert {(p, l) for _, p, l in cases} == set(itertools.product(PDES, LAYOUTS))
    assert LAYOUT_OF.keys() == set(PAIRS)


@pytest.mark.parametrize(("solver", "name", "layout"), covering())
def test_any_sensors_give_finite_fields_and_spreads(solver, name, layout):
    result = run(solver, name, layout)
    for f in pde_by_name(name).fields:
        one = (N, N) if f.time is None else (1, N, N)
        for what, shape in (("mean", one), ("std", one), ("samples", (3, *one))):
            values = result[f"{f.name}_{what}"].values
            assert values.shape == shape and np.isfinite(values).all()
        assert (result[f"{f.name}_std"] >= 0).all() and (result[f"{f.name}_std"] > 0).any()
        bounds = pde_by_name(name).default_prior.bounds
        # Kriging reports what it interpolates
        if bounds and f == pde_by_name(name).coefficient_field and solver != "kriging":
            for what in ("mean", "samples"):
                assert (
                    bounds[0] <= result[f"{f.name}_{what}"].min()
                    and result[f"{f.name}_{what}"].max() <= bounds[1]
                )
    assert np.isfinite(result.attrs["reduced_chi_squared"])


@every_pair
def test_the_result_says_what_it_is_and_how_it_was_made(solver, name):
    layout = LAYOUT_OF[solver, name]
    pde, result = pde_by_name(name), run(solver, name, layout)
    logarithmic = pde.logarithm and pde.default_prior.logarithmic
    if logarithmic and quick_prior(solver, name, N) is None:
        pde = pde.reading([pde.logarithm.name])
    expected = {f"{f.name}_{what}" for f in pde.fields for what in ("mean", "std", "samples")}
    two_valued = (suited_prior(solver, pde) or pde.default_prior).phases
    sampled = issubclass(SOLVERS[solver], DiffusionSolver)
    if two_valued and (sampled or solver in ("level-set", "ensemble-smoother", "object-chains")):
        expected.add(f"{pde.coefficient_field.name}_probability")
    columns = ("field", "x", "y", "value", "noise_std")
    if SOLVERS[solver].misfit != "none" or "sensor_predicted" in result:
        predictions = ("predicted", "predicted_std", "p_value", "log_density")
        expected |= {f"sensor_{name}" for name in predictions}
    evolves = {"time"} if any(f.time is not None for f in pde.fields) else set()
    assert set(result.data_vars) == expected | {f"sensor_{c}" for c in {*columns, *evolves}}
    assert set(result.coords) == {"x", "y", "sample"} | evolves
    period = {"period": 1.0} if pde.grid(N).periodic else {}
    for axis in ("x", "y"):
        assert np.array_equal(result[axis], pde.grid(N).coordinates()[1])
        assert result[axis].attrs == {"long_name": f"{axis} coordinate", "units": "1"} | period
    for f in pde.fields:
        for what, label in (
            ("mean", "mean"),
            ("std", "standard deviation"),
            ("samples", "samples"),
        ):
            variable = result[f"{f.name}_{what}"]
            of_time = () if f.time is None else ("time",)
            of_sample = ("sample",) if what == "samples" else ()
            assert variable.dims == (*of_sample, *of_time, "y", "x")
            assert variable.attrs == {
                "long_name": f"posterior {label} of the {f.long_name}",
                "units": f.units,
            }
    table = readings(name, layout).table
    for c in columns:
        assert (
            result[f"sensor_{c}"].dims == ("sensor",)
            and result[f"sensor_{c}"].values.tolist() == table[c].tolist()
        )
    attributes = result.attrs
    assert (attributes["pde"], attributes["solver"], attributes["seed"]) == (name, solver, 0)
    assert PDES[name](**json.loads(attributes["pde_parameters"])) == pde
    assert json.loads(attributes["solver_settings"]) == json.loads(
        json.dumps(brief_solver(solver).settings())
    )
    assert attributes["misfit_test"] == MISFIT_TESTS[SOLVERS[solver].misfit]
    # A coefficient of two values needs no denoiser of `moment`
    learned = sampled or solver == "fno"
    evaluates = learned and not (solver == "moment" and two_valued)
    assert 0 < attributes["seconds"] < 60 and (attributes["network_evaluations"] > 0) == evaluates
    assert attributes["pdeinv_version"] == version("pdeinv")
    assert json.loads(attributes["extent"]) == [0, 1, 0, 1] and attributes["unit"] == "1"
    assert all(isinstance(value, str | int | float) for value in attributes.values())


@pairs_in_turn
def test_a_result_survives_its_file(solver, name, tmp_path):
    result = run(solver, name, LAYOUT_OF[solver, name])
    save_netcdf(result, tmp_path / "r.nc")
    xr.testing.assert_identical(open_result(tmp_path / "r.nc"), result)
    assert [path.name for path in tmp_path.iterdir()] == ["r.nc"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "r.nc").write_text("last week's")
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(InputError, match=r"r.nc cannot be written \(No space left on device\)"):
        save_netcdf(run("gaussian", "poisson"), tmp_path / "r.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["r.nc"]
    assert (tmp_path / "r.nc").read_text() == "last week's"


# Priors and refusals


def test_an_ensemble_is_a_prior():
    pde = Poisson()
    states = Problem(pde).sample(64, pde.grid(N), seeded(3))
    ensemble = Ensemble(states)
    assert len(ensemble) == 64 and torch.equal(ensemble.sample(99, pde.grid(N)), states)
    some = ensemble.sample(5, pde.grid(N), seeded(1))
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
    assert (
        result.attrs["prior"] == "an ensemble of 64 members" and result.attrs["solver_calls"] == 0
    )
    with pytest.raises(InputError, match="16 x 16 nodes, got 20 x 20; reconstruct with grid=16"):
        reconstruct(
            readings("poisson", "solution only"),
            pde,
            grid=20,
            solver="optimal-interpolation",
            prior=ensemble,
        )
    for bad, message in [
        (states[:1], "must be .N, 2, ny, nx."),
        (states[:, [0, 1, 1]], "must be .N, 2, ny, nx."),
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
        ({"solver": "magic"}, "solver must be one of auto, daps, .*, got 'magic'"),
        ({"solver": "ensemble-smother"}, "did you mean 'ensemble-smoother'?"),
        ({"grid": 15}, "grid must be an integer of at least 16, got 15"),
        (
            {"pde": None, "grid": None, "problem": Problem(Poisson(), grid=8)},
            r"grid of the problem \(\[grid\] in its file\) must be .* at least 16, got 8",
        ),
        ({"grid": 16.0}, "grid must be an integer, got 16.0"),
        ({"n_samples": 0}, "n_samples must be an integer of at least 1, got 0"),
        (
            {"pde": "darcy", "solver": "gaussian"},
            "not made for darcy with the two-phase prior: .*; choose the solver 'auto'",
        ),
        (
            {"solver": "gaussian", "prior": Ensemble(torch.randn(2, 2, N, N))},
            "the gaussian solver needs a prior of pdeinv.coefficients, got Ensemble",
        ),
    ],
)
def test_bad_settings_are_refused(settings, message):
    table = pd.DataFrame(
        {"field": "solution", "x": [0.5], "y": [0.5], "value": [1e-3], "noise_std": 0}
    )
    with pytest.raises(InputError, match=message):
        reconstruct(table, **{"pde": "poisson", "grid": N} | settings)

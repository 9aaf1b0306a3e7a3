"""Instruments with a bias: what a table and a problem state of them, and what is refused."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from pdeinv import GaussianField, InputError, Instrument, Problem, Sensors, reconstruct
from pdeinv.datasets import Darcy, Experiments, Helmholtz, Poisson, TransientDarcy
from pdeinv.errors import InputWarning

PDE = Poisson()
A, B = Instrument("probe A", 0.5), Instrument("probe B", 2.0)


def table(**columns):
    rows = {"field": "potential", "x": [0.2, 0.5, 0.8], "y": 0.5, "value": 1.0, "noise_std": 0.1}
    return Sensors(pd.DataFrame({**rows, **columns}))


def common(sensors, instruments, pde=PDE):
    return sensors.observation(pde, pde.grid(16), instruments=instruments).common


def test_readings_of_one_instrument_share_a_bias():
    found = common(table(instrument=["probe B", "", "probe A"]), (A, B))
    assert found.tolist() == [[2.0, 0.0], [0.0, 0.0], [0.0, 0.5]]
    assert common(table(instrument="probe A"), (A, B)).tolist() == [[0.5]] * 3


def test_an_instrument_has_a_bias_for_each_field():
    given = table(field=["source", "potential", "source"], instrument="probe A")
    found = given.observation(PDE, PDE.grid(16), instruments=(A,))
    assert found.common.tolist() == [[0.5, 0.0], [0.0, 0.5], [0.5, 0.0]]
    assert found.common_names == ("bias of probe A, source", "bias of probe A, potential")


def test_a_bias_is_that_of_all_experiments_and_times():
    both = Experiments((Helmholtz(k=1.0), Helmholtz(k=6.0)))
    given = table(field="wavefield", experiment=["1", "2", "1"], instrument="probe A")
    assert common(given, (A,), both).tolist() == [[0.5]] * 3
    given = table(field="pressure", time=[0.5, 1.0, ""], instrument="probe A")
    pde = TransientDarcy().reading(("pressure",), (0.5, 1.0))
    assert common(given, (A,), pde).tolist() == [[0.5]] * 3


def test_without_a_bias_an_observation_is_as_without_the_column():
    assert common(table(instrument="probe A"), (Instrument("probe A", 0),)) is None
    assert common(table(instrument=["", "", ""]), ()) is None


def test_a_problem_keeps_its_instruments_with_another_prior():
    problem = Problem(PDE, instruments={"probe A": 0.5})
    assert problem.instruments == (A,)
    changed = Problem.of(problem, GaussianField(0.0, 1.0, 0.3))
    assert changed.instruments == (A,) and changed.prior != problem.prior


def run(sensors, **options):
    options = {"pde": "poisson", "solver": "optimal-interpolation"} | options
    return reconstruct(sensors, grid=16, n_samples=2, **options)


def test_the_result_states_the_instruments_and_their_biases():
    rng = np.random.default_rng(0)
    given = table(x=rng.random(3), instrument=["probe A", "probe B", ""], value=1e-3)
    problem = Problem(PDE, instruments=(A, B))
    found = run(given, pde=None, problem=problem)
    assert found.attrs["assumed"].endswith(
        "noise: stated for each reading, and biases with the standard deviations "
        "probe A, potential 0.5, probe B, potential 2"
    )
    assert found.sensor_instrument.values.tolist() == ["probe A", "probe B", ""]
    short = run(given, instruments={"probe A": 0.5, "probe B": 2.0})
    np.testing.assert_array_equal(found.source_mean, short.source_mean)
    instead = run(given, pde=None, problem=problem, instruments={"probe A": 0.0, "probe B": 0.0})
    assert not np.array_equal(found.source_mean, instead.source_mean)


@pytest.mark.parametrize("solver", ["gaussian", "gauss-newton"])
def test_the_result_has_the_estimated_biases(solver):
    rng = np.random.default_rng(0)
    given = table(
        x=rng.random(3), instrument=["probe A", "probe A", ""], value=1e-3, noise_std=1e-3
    )
    found = run(given, solver=solver, instruments={"probe A": 0.5})
    assert found.parameter.values.tolist() == ["bias of probe A, potential"]
    assert 0 < float(found.parameter_std[0]) < 0.5


def test_the_command_line_takes_the_instruments_of_a_problem(tmp_path, pdeinv):
    given = table(instrument=["probe A", "prob B", ""], value=1e-3)
    given.to_csv(tmp_path / "s.csv")
    problem, out = Problem(PDE, grid=16, instruments=(A, B)).save(tmp_path / "p.toml"), "r.nc"
    arguments = ("--problem", problem, "--solver", "optimal-interpolation", "--out", tmp_path / out)
    code, _, message = pdeinv("reconstruct", tmp_path / "s.csv", *arguments)
    assert code == 2 and "s.csv, row 2: instrument must be one that the problem states" in message
    (tmp_path / "s.csv").write_text((tmp_path / "s.csv").read_text().replace("prob B", "probe B"))
    code, _, message = pdeinv("reconstruct", tmp_path / "s.csv", *arguments)
    assert code == 0, message
    with xr.open_dataset(tmp_path / out) as found:
        assert found.sensor_instrument.values.tolist() == ["probe A", "probe B", ""]


def test_a_column_without_stated_instruments_is_not_used():
    with pytest.warns(InputWarning, match=r"'instrument' is not used.*\[\[instrument\]\]"):
        found = common(table(instrument="probe A"), ())
    assert found is None


def test_instruments_that_no_reading_names_are_not_used():
    with pytest.warns(InputWarning, match="instruments of the problem are not used.*add the col"):
        assert common(table(), (A,)) is None


@pytest.mark.parametrize(
    ("columns", "pde", "words"),
    [
        (
            {"instrument": ["probe A", "prob B", ""]},
            PDE,
            "row 1: instrument must be one .* 'probe A', 'probe B', or empty, got 'prob B'; did "
            "you mean 'probe B'",
        ),
        ({"instrument": [3, "", ""]}, PDE, "row 0: instrument must be .* got '3'; use one"),
        (
            {"instrument": "probe A", "field": ["permeability", "permeability", "pressure"]},
            Darcy(solution_field=dataclasses.replace(Darcy().solution_field, units="Pa")),
            "row 2: instrument 'probe A' must read fields of one unit, .* permeability in 1 and "
            "pressure in Pa; give",
        ),
        (
            {"instrument": ["", "probe A", "probe A"], "value": [1.0, 1e-9, -1e-8]},
            PDE,
            "row 1: bias_std of instrument 'probe A' must be at most 100000 times its readings of "
            ".*, which are up to 1e-08 in size, got .*; state a smaller one",
        ),
    ],
)
def test_a_wrong_instrument_is_refused_with_its_row_and_a_remedy(columns, pde, words):
    with pytest.raises(InputError, match=words):
        common(table(**columns), (A, B), pde)


def test_an_instrument_without_a_bias_may_read_fields_of_any_units():
    pde = Darcy(solution_field=dataclasses.replace(Darcy().solution_field, units="Pa"))
    given = table(instrument="probe A", field=["permeability", "pressure", "pressure"])
    assert common(given, (Instrument("probe A", 0),), pde) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"probe A": -1}, "bias_std of an instrument must be .* at least 0, got -1"),
        ({"probe A": "big"}, "bias_std of an instrument must be a finite number, got 'big'"),
        ({"": 1}, "name of an instrument must not be empty"),
        ({3: 1}, "name of an instrument must be a text, got 3"),
        ((A, A), "names of instruments must differ, got 'probe A' twice"),
        (("probe A",), "instruments must be instances of Instrument, got"),
        (A, "instruments must be instances of Instrument, got"),
    ],
)
def test_wrong_instruments_are_refused(given, words):
    with pytest.raises(InputError, match=words + ".*; "):
        Problem(PDE, instruments=given)


# Exact readings

SAME = {"x": 0.5, "value": [1.0, 1.0, 2.0], "noise_std": 0.0}
CONTRADICT = "row 2: the exact reading 2 contradicts 1 at the same point"


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["probe A", "probe A", "probe B"], False),
        (["", "", "probe A"], False),
        (["probe A", "probe B", "probe A"], True),
        (["", "probe A", ""], True),
    ],
)
def test_exact_readings_contradict_each_other_where_they_share_their_bias(names, refused):
    given = table(**SAME, instrument=names)
    if refused:
        with pytest.raises(InputError, match=CONTRADICT):
            common(given, (A, B))
    else:
        assert len(common(given, (A, B))) == 3


def test_exact_readings_with_a_bias_do_not_contradict_the_boundary_or_the_bounds():
    given = table(x=[0.0, 0.3, 0.5], noise_std=0.0, instrument="probe A")
    assert len(common(given, (A,))) == 3
    with pytest.raises(InputError, match="row 0: the exact reading 1 contradicts the boundary"):
        common(given, (Instrument("probe A", 0),))
    beyond, bounds = table(field="source", noise_std=0.0, instrument="probe A"), (2.0, 3.0)
    beyond.observation(PDE, PDE.grid(16), bounds=bounds, instruments=(A,))
    with warnings.catch_warnings(), pytest.raises(InputError, match="within the prior's 2 to 3"):
        warnings.simplefilter("ignore", InputWarning)
        beyond.observation(PDE, PDE.grid(16), bounds=bounds)


def test_without_biases_is_as_before():
    given = table(value=[1.0, 2.0, 3.0])
    plain = given.observation(PDE, PDE.grid(16))
    assert plain.common is None and plain.biases == 0
    torch.testing.assert_close(plain.noise_covariance(), torch.diag(plain.noise_std**2))

"""Odd values of parameters, settings and arguments: finite results, or one sentence."""

import dataclasses
import decimal
import os
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import normal, seeded

from pdeinv import (
    Ensemble,
    EquiReg,
    Field,
    GaussianRandomField,
    Grid,
    InputError,
    NumericalError,
    layouts,
    reconstruct,
)
from pdeinv.cli.options import parsed
from pdeinv.datasets import PDES, NavierStokes, Poisson, Problem, generate, pde_by_name
from pdeinv.priors import GaussianPrior, TrainingData
from pdeinv.solvers import DAPS, SOLVERS, FunDPS, GaussNewton, Moment

WRONG = [None, "x", "", b"3", [1], (1,), {}, True, 1j, object(), torch.tensor(3.0), np.array([3])]
NUMBERS = [
    *(0, -1, 5e-324, 1e-300, -1e-300, 1e-30, 1e-9, 9.999, 1e6, 1e9, -1e9, 1e300, 10**400),
    *(float("nan"), float("inf"), decimal.Decimal("0.1")),
]

TABLE = pd.DataFrame(
    {"field": ["solution", "coefficient"], "x": [0.3, 0.6], "y": [0.4, 0.1], "value": [1e-3, 5.0]}
).assign(noise_std=1e-3)


def numeric(kind):
    return [f.name for f in dataclasses.fields(kind) if isinstance(f.default, int | float)]


def refused_or_finite(make, fields):
    """Call `make`; return whether it was refused. Its fields must be finite and not all zero."""
    try:
        made = fields(make())
    except (InputError, NumericalError) as error:
        assert "\n" not in str(error) and len(str(error)) < 600
        return True
    assert all(bool(x.isfinite().all()) for x in made)
    assert float(made[0].abs().max()) > 0
    return False


def states_of(pde):
    states = Problem(pde).sample(1, pde.grid(16), seeded())
    a, u = states.split(1, dim=1)
    return a, u, pde.residual(a, u), pde.surrogate(a)


@pytest.mark.parametrize("name", PDES)
def test_an_odd_parameter_of_a_pde_is_refused_or_gives_finite_fields(name):
    for parameter in numeric(PDES[name]):
        for value in NUMBERS:
            refused_or_finite(lambda v=value, p=parameter: PDES[name](**{p: v}), states_of)
        for value in WRONG:
            for make in (PDES[name], lambda **kw: pde_by_name(name, **kw)):
                with pytest.raises(InputError, match=f"parameter {parameter} of {name} must be"):
                    make(**{parameter: value})


def test_a_flow_without_a_source_is_refused():
    with pytest.raises(InputError, match=r"source of darcy .* got 0: the pressure would be 0"):
        pde_by_name("darcy", source=0)


@pytest.mark.parametrize("name", PDES)
def test_numbers_of_numpy_are_parameters(name):
    kind = PDES[name]
    for parameter in numeric(kind):
        usual = getattr(kind(), parameter)
        made = np.int64(usual) if isinstance(usual, int) else np.float64(usual)
        pde = kind(**{parameter: made})
        assert pde == kind() and type(pde.parameters[parameter]) is type(usual)


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "periodic"])
@pytest.mark.parametrize(("alpha", "tau"), [(1e9, 3.0), (2.0, 1e-300), (5.0, 1e-12), (1e4, 1.0)])
def test_a_random_field_without_a_size_is_refused_with_its_values(boundary, alpha, tau):
    with pytest.raises(InputError, match=r"alpha = .* and tau = |tau of a random field must be"):
        GaussianRandomField(boundary, alpha, tau)


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-40, 1e40])
def test_an_ensemble_without_a_spread_is_refused(scale):
    with pytest.raises(InputError, match="must differ in channel 0, by a spread"):
        Ensemble(scale * normal(4, 2, 16, 16))
    one = normal(1, 2, 16, 16)
    with pytest.raises(InputError, match="standard deviation of at most 0;"):
        Ensemble(one.expand(4, 2, 16, 16))
    with pytest.raises(InputError, match="array of real numbers"):
        Ensemble("members")


@pytest.mark.parametrize("change", [lambda x: 0 * x, lambda x: 0 * x + 3, lambda x: 1e-40 * x])
def test_constant_training_fields_are_refused(change):
    states = normal(12, 1, 16, 16).float()
    data = TrainingData(change(states), (Field("head", "head"),), Grid(16), None, "here")
    with pytest.raises(InputError, match="'head' must vary in here"):
        GaussianPrior.fit(data)


@pytest.mark.parametrize("name", SOLVERS)
def test_an_odd_setting_of_a_solver_is_refused(name):
    kind = SOLVERS[name]
    for field in dataclasses.fields(kind):
        if field.name == "physics":  # any callable, which `check` judges with the PDE
            continue
        for value in (b"3", 1j, object(), torch.tensor([3.0]), float("nan")):
            with pytest.raises(InputError, match=f"{field.name} of {name} must be"):
                kind(**{field.name: value})
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            made = kind(**{field.name: np.int64(field.default)})
            assert type(getattr(made, field.name)) is int and made == kind()
            least = () if field.name == "chords" else (0,)  # which may all be left out
            for value in (*least, -1, 10**9, 2.5, "9", True):
                with pytest.raises(InputError, match=f"{field.name} of {name} must be"):
                    kind(**{field.name: value})


def test_settings_of_numpy_and_lists_are_taken():
    assert DAPS(steps=np.int64(20)).steps == 20
    assert DAPS(weights=[1, np.float32(2)]).weights == (1.0, 2.0)
    assert Moment(thorough=np.bool_(True)).thorough is True
    assert FunDPS(guidance=[EquiReg()]).guidance == (EquiReg(),)
    assert GaussNewton(tolerance=1).tolerance == 1.0


def test_a_million_steps_are_refused():
    for make in (
        lambda: FunDPS(steps=10**6),
        lambda: reconstruct(TABLE, "poisson", grid=16, solver="dps", steps=10**6),
    ):
        with pytest.raises(InputError, match=r"steps .*of at most 100000, got 1000000"):
            make()


@pytest.mark.parametrize(
    "settings", [{"time": 1e6}, {"time": 1e9, "dt": 1e-9}, {"dt": 1e-300}, {"dt": 1e-7}]
)
def test_hours_of_time_steps_are_refused_with_the_estimate(settings, tmp_path):
    pde = NavierStokes(**settings)
    start = time.perf_counter()
    for call, message in (
        (
            lambda: Problem(pde).sample(1, pde.grid(16), seeded()),
            r"steps on 16 x 16 nodes take about .*hour",
        ),
        (lambda: reconstruct(TABLE, pde, grid=16), "hours or more of a reconstruction"),
        (lambda: generate(pde, 10**6, 16, 0, tmp_path / "d.h5"), "take about .* hours here"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert time.perf_counter() - start < 10 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("free", [1e9, 1e18])
def test_a_dataset_of_terabytes_or_weeks_is_refused_with_the_estimate(free, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    message = "take about 6.55e.04 GB, and .* has 1 GB free" if free < 1e10 else "hours here"
    with pytest.raises(InputError, match=f"n must be smaller: 1000000000 samples .*{message}"):
        generate(Poisson(), 10**9, 64, 0, tmp_path / "d.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", [None, 3, b"d.h5", "", "a\0b", ["d.h5"]])
def test_a_path_is_a_text(out):
    with pytest.raises(InputError, match="out must be a path"):
        generate(Poisson(), 1, 16, 0, out)


@pytest.mark.parametrize("value", [*WRONG, 0, -1, 2.5, 10**9, float("nan")])
def test_odd_counts_of_layouts_and_grids_are_refused(value):
    for call in (
        layouts.random,
        layouts.regular,
        layouts.boundary,
        Grid,
        lambda n: layouts.random_nodes(n, Grid(16)),
        lambda n: layouts.track([(0, 0), (1, 1)], n),
    ):
        with pytest.raises(InputError, match="must be"):
            call(value)
    for call in (lambda v: layouts.random_nodes(3, v), lambda v: layouts.track(v, 3)):
        with pytest.raises(InputError, match="must be"):
            call(value)


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("argument", ["grid", "n_samples", "seed", "solver", "pde", "preset"])
def test_odd_arguments_of_a_reconstruction_are_refused(argument, value):
    if argument in ("preset", "grid") and value is None:  # which is allowed
        return
    with pytest.raises(InputError):
        reconstruct(**{"sensors": TABLE, "pde": "poisson", "grid": 16} | {argument: value})


def test_parameters_on_the_command_line_are_numbers_or_texts():
    assert parsed(["tau=5", " k = 1.5 ", "kind=a=b"]) == {"tau": 5, "k": 1.5, "kind": "a=b"}
    for item in ("tau", "tau=", "=5", " = "):
        with pytest.raises(InputError, match="--param must be NAME=VALUE"):
            parsed([item])

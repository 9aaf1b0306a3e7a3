"""A PDE under the decorator `register` works in the whole package by its name."""

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from helpers import ROOT
from typer.testing import CliRunner

from pdeinv import InputError, Sensors, datasets, layouts, reconstruct
from pdeinv.cli import app
from pdeinv.datasets import PDES, Poisson, pde_by_name, register
from pdeinv.metrics import relative_l2

CODE = (ROOT / "tests/screened_poisson.py").read_text()


@pytest.fixture(scope="module")
def kind():
    """The class, registered for this module's tests alone."""
    scope = {"__name__": "pdeinv.datasets.screened_poisson"}
    before = dict(PDES)
    exec(CODE, scope)
    yield scope["ScreenedPoisson"]
    PDES.clear()
    PDES.update(before)


@pytest.fixture(scope="module")
def file(kind, tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "data.h5"
    arguments = f"generate {kind.name} --n 8 --grid 24 --seed 1 --workers 1 --param screening=5"
    run(*arguments.split(), "--out", str(out))
    return out


def run(*arguments):
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_its_name_is_known(kind):
    assert kind.name in run("info") and "charge -> voltage" in run("info")
    assert pde_by_name(kind.name, screening=2) == kind(screening=2.0)


def test_its_datasets_are_read(kind, file, tmp_path):
    with datasets.open_dataset(file) as dataset:
        pde, states = datasets.pde_of(dataset), datasets.states(dataset, kind())
    assert pde == kind(screening=5.0)
    a, u = states[:, :1], states[:, 1:]
    assert float(pde.residual(a, u).norm() / pde.residual(a, 0 * u).norm()) < 1e-3
    scipy.io.savemat(
        tmp_path / "d.mat",
        {
            name: field[:, 0].mT.numpy()
            for name, field in zip(kind.matlab_names, (a, u), strict=True)
        },
    )
    with datasets.open_dataset(tmp_path / "d.mat") as dataset:
        assert dataset.attrs["pde"] == kind.name
        assert torch.equal(datasets.states(dataset, kind()), states)


def test_sensors_become_fields(kind, file, tmp_path):
    with datasets.open_dataset(file) as dataset:
        truth = dataset.isel(sample=0).load()
    sensors = Sensors.observe(truth["voltage"], layouts.random(40)) + Sensors.observe(
        truth["charge"], layouts.random(20, seed=1)
    )
    sensors.to_csv(tmp_path / "s.csv")
    table = str(tmp_path / "s.csv")
    run(
        *("reconstruct", table, "--pde", kind.name, "--param", "screening=5"),
        *("--grid", "24", "--out", str(tmp_path / "r.nc")),
    )
    result = reconstruct(table, kind(screening=5.0), grid=24)
    assert result.attrs["solver"] == "gaussian"
    mean, true = (
        torch.tensor(np.asarray(v), dtype=torch.float64)[None, None]
        for v in (result["voltage_mean"], truth["voltage"])
    )
    assert float(relative_l2(mean, true)) < 0.1


def test_a_solver_is_measured_on_it(kind, tmp_path):
    arguments = (
        f"benchmark --pde {kind.name} --method gaussian --task inverse --grid 16 --sensors 20"
    )
    out = run(*arguments.split(), "--instances", "2", "--out", str(tmp_path / "b.jsonl"))
    assert f"| {kind.name} | inverse | charge |" in out


def test_what_is_not_shipped_is_refused(kind):
    assert kind.name not in datasets.examples() and "poisson" in datasets.examples()
    with pytest.raises(InputError, match=f"shipped for .*poisson alone, got '{kind.name}'"):
        datasets.example(kind.name)


def test_a_name_is_registered_once(kind):
    assert register(kind) is kind
    with pytest.raises(InputError, match="the name of a PDE must be new, got 'poisson'"):
        register(type("Other", (Poisson,), {}))
    table = pd.DataFrame({"field": ["source"], "x": [0.5], "y": [0.5], "value": [1.0]})
    with pytest.raises(InputError, match="row 0: field must be 'charge'"):
        Sensors(table).observation(kind(), kind().grid(16))

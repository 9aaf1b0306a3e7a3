"""The page on plans is true: its program and its commands run."""

import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from helpers import ROOT, run_command
from matplotlib.image import imread
from readme_blocks import blocks

import pdeinv
from pdeinv.solvers import MisfitWarning

PAGE = "docs/plans.md"


@pytest.mark.filterwarnings("ignore::pdeinv.solvers.MisfitWarning")
def test_the_program_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python", PAGE)
    scope = {}
    exec(code.replace("grid=64", "grid=16"), scope)
    assert scope["week"].source_mean.dims == ("table", "y", "x")
    values = [0.012, -0.004, 0.003, 0.008]
    table = {**scope["layout"], "value": values}
    fresh = pdeinv.reconstruct(table, "poisson", noise=1e-3, grid=16)
    np.testing.assert_allclose(scope["plan"](values).source_mean, fresh.source_mean, atol=1e-12)


def test_the_commands_follow_the_file_on_the_page(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("layout.csv").write_text(
        "field,x,y\npotential,0.2,0.3\npotential,0.5,0.6\npotential,0.8,0.2\npotential,0.3,0.8\n"
    )
    (csv,) = blocks("csv", PAGE)
    Path("readings.csv").write_text(csv)
    prepare, follow = blocks("sh", PAGE)[0].splitlines()
    run_command(*shlex.split(prepare)[1:], "--grid", "16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisfitWarning)
        printed = run_command(*shlex.split(follow)[1:], "--polls", "1").output
    assert [line.split(": ")[0] for line in printed.splitlines()[-3:]] == [
        "time 10:00",
        "time 10:01",
        "readings.csv",
    ]
    assert imread("live.png").std() > 0.05
    with xr.open_dataset("latest.nc", engine="h5netcdf") as latest:
        assert np.isnan(latest.sensor_value.values[2])


def test_the_methods_on_the_page_are_those_of_plans():
    text = (ROOT / PAGE).read_text()
    for name in ("stored gain", "search from the last mode", "solve afresh"):
        assert f"| {name} |" in text

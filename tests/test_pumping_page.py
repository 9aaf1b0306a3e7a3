"""The page on the pumping test is true: its commands and its program run."""

from pathlib import Path

import pytest
import xarray as xr
from helpers import ROOT, run_command
from readme_blocks import blocks

from pdeinv import Problem
from pdeinv.problems import EXAMPLES
from pdeinv.solvers import GaussNewton, selection

PAGE = "docs/pumping-test.md"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Return the folder in which the page's first command and its program ran, and their names."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # A search of its own for each of few members is enough
        patch.setattr(selection, "_FOR_COEFFICIENTS", (GaussNewton(ensemble=8),))
        first, second = blocks("sh", PAGE)[0].splitlines()
        run_command(*first.split()[1:])
        found = {"__name__": "page", "second": second.split()[1:]}
        (code,) = blocks("python", PAGE)
        exec(code, found)
    return folder, found


@pytest.fixture
def scope(ran, monkeypatch):
    monkeypatch.chdir(ran[0])
    return ran[1]


def test_the_program_poses_the_problem_of_the_file(scope):
    written = Problem.load("pumping-test.toml")
    assert scope["problem"] == Problem(written.physics, written.prior, 21)


def test_the_heads_have_times_and_fall(scope):
    result, truth = scope["result"], EXAMPLES["pumping-test"].truth(0)
    assert result["head_mean"].dims == ("time", "y", "x")
    assert result.sizes["time"] == 8 and result["time"].units == "day"
    assert result["hydraulic_conductivity_mean"].dims == ("y", "x")
    assert float(scope["fall"].sel(x=400, y=200).item()) > 0.3
    assert float(scope["fall"].min()) > -0.01
    mean = result["log_hydraulic_conductivity_mean"].values
    log = truth.problem.physics.fields.index(truth.problem.physics.logarithm)
    exact = truth.state[0, log, ::4, ::4].numpy()
    assert ((mean - exact) ** 2).mean() < 0.8 * exact.var()


def test_the_command_has_the_options_of_the_page(scope):
    options = ["--grid", "16", "--samples", "1", "--solver", "kriging"]
    Path("pumping-test.nc").unlink(missing_ok=True)  # of the program
    assert run_command(*scope["second"], *options).exit_code == 0
    with xr.open_dataset("pumping-test.nc") as result:
        assert result.sizes["time"] == 8


def test_the_rows_of_the_page_are_of_the_table(scope):
    (csv,) = blocks("csv", PAGE)
    with open("pumping-test.csv") as table:
        assert set(csv.splitlines()) <= set(table.read().splitlines())
    assert (ROOT / "docs/figures/pumping-test.png").exists()

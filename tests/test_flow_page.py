"""The page on the velocities of a flow is true: its commands and its program run."""

import pytest
from helpers import ROOT, run_command
from readme_blocks import blocks

from pdeinv import Sensors
from pdeinv.problems.truths import Choice, observed_fields

PAGE = "docs/flow-sensors.md"


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        first, second = blocks("sh", PAGE)[0].splitlines()
        run_command(*first.split()[1:])
        found = {"__name__": "page", "folder": folder, "second": second.split()[1:]}
        (code,) = blocks("python", PAGE)
        exec(code, found)
        yield found


def test_the_velocities_of_the_result_have_all_times(scope):
    result = scope["result"]
    assert result["time"].values.tolist() == [0, 0.25, 0.5, 1]
    assert result["velocity_y_mean"].dims == ("time", "y", "x")
    assert result["initial_vorticity_mean"].dims == ("y", "x")
    spread = scope["speed"].mean(["y", "x"]).std("sample")
    assert spread.dims == ("time",) and (spread > 0).all()


def test_the_start_that_is_found_is_near_the_truth(scope):
    (truth,) = observed_fields("navier-stokes", Choice(("initial_vorticity",))).fields
    found = scope["result"]["initial_vorticity_mean"]
    exact = truth.interp(x=found.x, y=found.y).values
    assert ((found.values - exact) ** 2).mean() < 0.5 * exact.var()
    assert 0.5 < scope["result"].attrs["reduced_chi_squared"] < 1.6


def test_the_command_has_the_options_of_the_page(scope, monkeypatch):
    monkeypatch.chdir(scope["folder"])
    options = ["--grid", "16", "--samples", "1"]
    run_command(*scope["second"], *options)
    assert (scope["folder"] / "flow.png").stat().st_size > 10_000


def test_the_rows_of_the_page_are_of_the_table(scope):
    (csv,) = blocks("csv", PAGE)
    lines = (scope["folder"] / "flow.csv").read_text().splitlines()
    assert set(csv.splitlines()) <= set(lines)
    assert len(Sensors.read(scope["folder"] / "flow.csv")) == len(lines) - 1 == 60
    assert (scope["folder"] / "layout.png").stat().st_size > 10_000
    assert (ROOT / "benchmarks/results/flow-sensors.jsonl").exists()

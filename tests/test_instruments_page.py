"""The page on instruments is true: its commands and its program run, its tables are complete."""

import re
import shlex

import pytest
import xarray as xr
from helpers import ROOT, run_command
from readme_blocks import blocks

from pdeinv import Sensors
from pdeinv.problems.truths import Choice, observed_fields
from pdeinv.sensors.columns import COLUMNS, REQUIRED
from pdeinv.sensors.kinds import KINDS
from pdeinv.solvers import SOLVERS
from pdeinv.solvers.supported_readings import BIASES, CENSORED

PAGE = "docs/instruments.md"
TEXT = (ROOT / PAGE).read_text()


def rows(header):
    """Return the cells of the table on the page with a header."""
    lines = TEXT.split(header)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    """The names of the programs, after the commands, in a folder with the files of both."""
    commands, surveys = (block.splitlines() for block in blocks("sh", PAGE))
    (toml,) = blocks("toml", PAGE)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        for line in [*commands, *surveys]:
            run_command(*shlex.split(line)[1:])
        (folder / "layout.png").rename(folder / "wells.png")
        with (folder / "aquifer.toml").open("a") as file:
            file.write(f"\n{toml}")
        found = {"__name__": "page", "folder": folder}
        for code in blocks("python", PAGE):
            exec(code, found)
        yield found


def test_the_commands_write_a_table_of_every_kind(scope):
    table = Sensors.read(scope["folder"] / "wells.csv").table
    assert set(table.kind) == set(KINDS)
    assert set(table.censored) == {"", "left"} and set(table.instrument) == {"", "gauge"}
    (csv,) = blocks("csv", PAGE)
    assert set(csv.splitlines()) <= set((scope["folder"] / "wells.csv").read_text().splitlines())
    assert (scope["folder"] / "wells.png").stat().st_size > 10_000
    assert (ROOT / "docs/figures/instruments.png").exists()


def test_the_bias_that_is_printed_is_that_of_the_gauge(scope):
    table = Sensors.read(scope["folder"] / "wells.csv").table
    gauge = table[(table.instrument == "gauge") & (table.censored == "")]
    (truth,) = observed_fields("aquifer", Choice(("head",))).fields
    heads = truth.interp(x=("reading", gauge.x), y=("reading", gauge.y))
    bias = float((gauge.value - heads.values).mean())
    result = scope["result"]
    assert result.parameter.values.tolist() == ["bias of gauge, head"]
    assert abs(bias) > 0.3
    assert abs(float(result.parameter_mean[0]) - bias) < 0.08
    assert float(result.parameter_std[0]) < 0.04
    assert 0.5 < result.attrs["reduced_chi_squared"] < 1.6


def test_the_surveys_are_two_replicates(scope):
    with xr.open_dataset(scope["folder"] / "surveys.nc") as result:
        assert result.source_mean.dims == ("replicate", "y", "x")
        assert result.replicate.values.tolist() == ["2026-05", "2026-06"]


def test_the_readings_made_in_python_are_reconstructed(scope):
    low, lines, found = (scope[name] for name in ("low", "lines", "found"))
    assert 0 < (low.table.censored == "left").sum() < len(low)
    assert found.potential_mean.shape == (32, 32) and found.sizes["sensor"] == len(low + lines)
    assert found.parameter.values.tolist() == ["bias of A, potential"]
    assert 0.5 < found.attrs["reduced_chi_squared"] < 1.6
    assert (scope["folder"] / "layout.png").stat().st_size > 10_000


def test_the_table_has_every_optional_column():
    named = [name for row in rows("| column | unit |") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(set(COLUMNS) - set(REQUIRED))


@pytest.mark.parametrize("name", SOLVERS)
def test_the_table_of_solvers_states_what_each_takes(name):
    stated = [
        (solver, cells)
        for names, *cells in rows("| solvers | shared biases |")
        for solver in re.findall(r"`([\w-]+)`", names)
    ]
    assert sorted(solver for solver, _ in stated) == sorted(SOLVERS)
    takes = SOLVERS[name].takes
    assert dict(stated)[name] == ["yes" if one in takes else "no" for one in (BIASES, CENSORED)]

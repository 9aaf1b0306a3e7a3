"""The page on instruments is true: its commands and its program run, its tables are complete."""

import re
import shlex
import warnings

import pytest
import xarray as xr
from helpers import ROOT, run_command
from readme_blocks import blocks

from pdeinv import Sensors
from pdeinv.sensor_columns import COLUMNS, REQUIRED
from pdeinv.sensor_kinds import KINDS
from pdeinv.solvers import SOLVERS
from pdeinv.solvers.supported_readings import BIASES, CENSORED

PAGE = "docs/instruments.md"
TEXT = (ROOT / PAGE).read_text()


def rows(header):
    """Return the cells of the table on the page with a header."""
    lines = TEXT.split(header)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_commands_write_a_table_of_every_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in blocks("sh", PAGE)[0].splitlines():
        words = shlex.split(line)[1:]
        if words[0] == "reconstruct":
            words[words.index("24")] = "16"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a grid as coarse as the fall around a well
                run_command(*words, "--samples", "2")
        else:
            run_command(*words)
    table = Sensors.read("wells.csv").table
    assert set(table.kind) == set(KINDS)
    assert set(table.censored) == {"", "left"} and set(table.instrument) == {"", "gauge"}
    with xr.open_dataset("wells.nc") as result:
        assert result.sizes["sensor"] == len(table) - 6
    (csv,) = blocks("csv", PAGE)
    assert set(csv.splitlines()) <= set((tmp_path / "wells.csv").read_text().splitlines())
    assert (tmp_path / "layout.png").stat().st_size > 10_000
    assert (ROOT / "docs/figures/instruments.png").exists()


def test_the_program_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python", PAGE)
    scope = {}
    exec(code, scope)
    result = scope["result"]
    assert result.potential_mean.shape == (32, 32) and result.sizes["sensor"] == 36
    assert 0.5 < result.attrs["reduced_chi_squared"] < 1.6
    assert (tmp_path / "layout.png").stat().st_size > 10_000


def test_the_table_has_every_optional_column():
    named = [name for row in rows("| column | unit |") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(set(COLUMNS) - set(REQUIRED))


@pytest.mark.parametrize("name", SOLVERS)
def test_the_table_of_solvers_states_what_each_takes(name):
    stated = {row[0].strip("`"): row[1:] for row in rows("| solver | shared biases |")}
    takes = SOLVERS[name].takes
    assert stated.keys() == SOLVERS.keys()
    assert stated[name] == ["yes" if one in takes else "no" for one in (BIASES, CENSORED)]

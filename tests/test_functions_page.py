"""docs/functions-as-physics.md is true: its function runs on workers, and a run continues."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import distance, run_command
from readme_blocks import ROOT, blocks

PAGE = "docs/functions-as-physics.md"
FUNCTION, OBSERVE, TIMES = blocks("python", PAGE)
TEST, USE = blocks("sh", PAGE)


def run_lines(commands, *options):
    for line in commands.splitlines():
        found = run_command(*line.split()[1:], *options)
        assert found.exit_code == 0, found.output


def results():
    """Return when each file of the store was written, by its path."""
    return {path: path.stat().st_mtime_ns for path in sorted(Path("results").glob("*.npz"))}


def test_the_page_is_short():
    assert len((ROOT / PAGE).read_text().splitlines()) < 100


def test_a_slow_function_is_called_once_for_each_coefficient(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "separation.py").write_text(FUNCTION)
    run_lines(TEST)
    scope, before = {}, results()
    exec(OBSERVE, scope)
    run_lines(USE)
    first = results()
    assert len(first) - len(before) == 200
    with xr.open_dataset("result.nc") as result:
        result.load()
    assert result.attrs["solver"] == "ensemble-smoother"
    for field, most in (("initial_composition", 0.7), ("composition", 0.45)):
        truth = torch.tensor(scope["truth"][field].values)
        assert distance(torch.tensor(result[f"{field}_mean"].values), truth) < most
    removed = sorted(first.keys() - before.keys())[::10]
    for path in removed:
        path.unlink()
    (tmp_path / "separation.py").write_text(f"{FUNCTION}\n# a file that is read again\n")
    run_lines(USE, "--param", "workers=1")
    again = results()
    assert again.keys() == first.keys()
    assert [path for path in again if again[path] != first[path]] == removed
    with xr.open_dataset("result.nc") as repeated:
        xr.testing.assert_equal(repeated, result)


def test_the_function_with_times_and_an_adjoint_is_solved_exactly():
    scope = {}
    exec(TIMES, scope)
    result = scope["result"]
    assert result.attrs["solver"] == "gaussian"
    assert result["amount_mean"].sizes["time"] == 2
    early, late = (result["amount_mean"].sel(time=t).values for t in scope["TIMES"])
    np.testing.assert_allclose(late, early * np.exp(-0.5), rtol=1e-6)
    points = result["amount_mean"].interp(
        x=xr.DataArray([0.3, 0.6]), y=0.5, time=xr.DataArray([0.5, 1.0])
    )
    assert points.values == pytest.approx([0.6, 0.2], abs=0.05)

"""The study of killed commands, with few kills, and what it can tell apart."""

import json
import os
import shutil

import pytest
import xarray as xr
from helpers import read_lines

from pdeinv.benchmarks.studies import crashes
from pdeinv.benchmarks.studies.crashes import crashes_table, run, same
from pdeinv.errors import NumericalError

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@forks
def test_killed_commands_give_the_undisturbed_result(tmp_path):
    out, lines = tmp_path / "crashes.jsonl", []
    records = run(out, kills=1, seed=6, echo=lines.append)
    assert len(records) == len(lines) == 4
    assert {(r["whole"], r["identical"], r["left"]) for r in records} == {(1, 1, 0)}
    assert any(r["hit"] for r in records)
    assert run(out, kills=1, seed=6, echo=lines.append) == read_lines(out) and len(lines) == 4


@forks
def test_a_command_that_fails_undisturbed_is_no_measurement(tmp_path, monkeypatch):
    monkeypatch.setitem(crashes.CASES, "bad", crashes.Case("train none.h5 --out o", ("o",)))
    with pytest.raises(NumericalError, match=r"must end well where nothing disturbs it.*none\.h5"):
        run(tmp_path / "crashes.jsonl", kills=1, cases=["bad"])


def test_results_differ_by_anything_but_seconds_and_memory(tmp_path):
    def kept(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    def records(**more):
        return json.dumps({"n": 1, "seconds_per_instance": 2.0, "peak_megabytes": 3} | more)

    first = kept("a.jsonl", records().encode())
    assert same(first, kept("b.jsonl", records(seconds_per_instance=9.0).encode()))
    assert not same(first, kept("c.jsonl", records(n=2).encode()))
    assert not same(first, tmp_path / "missing.jsonl")
    fields = xr.Dataset({"a": ("x", [1.0, 2.0])}, attrs={"seconds": 1.0, "seed": 0})
    fields.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for name, other, equal in (
        ("b.nc", fields.assign_attrs(seconds=2.0), True),
        ("c.nc", fields.assign_attrs(seed=1), False),
        ("d.nc", fields.assign(a=("x", [1.0, 2.0 + 1e-15])), False),
        ("e.nc", fields.assign(a=("y", [1.0, 2.0])), False),
    ):
        other.to_netcdf(tmp_path / name, engine="h5netcdf")
        assert same(tmp_path / "a.nc", tmp_path / name) == equal, name
    shutil.copy(tmp_path / "a.nc", tmp_path / "f.nc")
    assert same(tmp_path / "a.nc", tmp_path / "f.nc")


def test_the_table_counts_what_went_wrong():
    shared = {"case": "train", "seconds": 2.0, "hit": 1, "kept": 1, "whole": 1, "identical": 1}
    table = crashes_table([shared | {"left": 0}, shared | {"left": 2, "whole": 0, "identical": 0}])
    assert "| `pdeinv train` | 2 | 2 | 2 | 2 | 1 | 1 | 2 |" in table

"""Runs in several processes, and killed runs: the same records, and nothing left behind."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from cells import CELLS
from helpers import read_lines

from pdeinv.benchmarks.runner import run_cells


def script(call):
    """Return the command of a process that makes a call of `run_cells` with `CELLS`."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from cells import CELLS\n"
        "from pdeinv.benchmarks.runner import run_cells\n"
        f"{call}"
    )
    return [sys.executable, "-c", code]


def untimed(path):
    key = ("pde", "task", "method", "instance")
    dropped = ("seconds_per_instance", "peak_megabytes", "machine")
    return sorted(
        ({k: v for k, v in r.items() if k not in dropped} for r in read_lines(path)),
        key=lambda r: [r[k] for k in key],
    )


def test_two_processes_make_the_same_records_as_one_and_leave_nothing_behind(tmp_path):
    run_cells(CELLS, tmp_path / "one.jsonl")
    command = script(f"run_cells(CELLS, {str(tmp_path / 'two.jsonl')!r}, processes=2)")
    ran = subprocess.run(command, text=True, capture_output=True, timeout=120, check=True)
    assert "leaked" not in ran.stderr
    one, two = (untimed(tmp_path / f"{name}.instances.jsonl") for name in ("one", "two"))
    assert len(one) == 16
    for a, b in zip(one, two, strict=True):
        # One thread sums up in another order than two.
        assert a.keys() == b.keys() and a["instance_hash"] == b["instance_hash"]
        assert a["error"] == pytest.approx(b["error"], rel=1e-6)
    assert "torch" in one[0]["versions"]
    assert "1 threads" in read_lines(tmp_path / "two.instances.jsonl")[0]["machine"]


def test_a_run_that_is_killed_loses_an_instance_at_most_and_goes_on(tmp_path):
    out, log = tmp_path / "r.jsonl", tmp_path / "r.instances.jsonl"
    child = subprocess.Popen(script(f"run_cells(CELLS, {str(out)!r})"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not log.exists() or log.read_text().count("\n") < 3):
        time.sleep(0.005)
    child.kill()
    child.wait()
    kept = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert len(kept) >= 3
    records = run_cells(CELLS, out)
    assert log.read_text().startswith("".join(kept))
    assert [r["instances"] for r in records] == [2] * 8
    before = log.read_bytes()
    run_cells(CELLS, out)
    assert log.read_bytes() == before

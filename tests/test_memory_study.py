"""The study of the memory that commands take."""

import numpy as np
import pytest
from helpers import read_lines

from pdeinv import NumericalError
from pdeinv.benchmarks.studies import memory
from pdeinv.benchmarks.studies.memory import CASES, memory_table, run


def test_the_memory_of_the_caller_does_not_count(tmp_path):
    held = np.ones(250_000_000)  # 2 GB
    peak = memory._run("--version", tmp_path)
    assert 50 < peak < 1000 < held.nbytes / 1e6


def test_a_command_is_measured_beside_a_small_run_and_its_estimate(tmp_path):
    out, lines = tmp_path / "m.jsonl", []
    given = {"cases": ["reconstruct"], "grids": [64], "sensors": [1500], "echo": lines.append}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CASES, "reconstruct", CASES["reconstruct"]._replace(pdes=("poisson",)))
        (record,) = run(out, **given)
        assert run(out, **given) == read_lines(out) and len(lines) == 1
    beyond = record["megabytes"] - record["small"]
    assert 200 < record["small"] < 2000
    assert 0 < beyond < 1.5 * record["estimate"]
    assert f"| 64 x 64 | 1500 | {record['megabytes']:.0f} |" in memory_table([record])


def test_each_command_line_is_one_of_the_program(pdeinv):
    for name, case in CASES.items():
        command, *given = case.arguments.format(pde=case.pdes[0], grid=16, sensors=9).split()
        code, out, _ = pdeinv(command, "--help")
        assert (name, code) == (command, 0)
        assert all(option in out for option in given if option.startswith("--")), name


def test_a_command_that_fails_is_named(monkeypatch, tmp_path):
    wrong = CASES["observe"]._replace(arguments="observe no.h5 --field potential --out o.csv")
    monkeypatch.setitem(memory.CASES, "observe", wrong)
    with pytest.raises(NumericalError, match=r"pdeinv observe .* must end well, got error: no.h5 "):
        run(tmp_path / "m.jsonl", cases=["observe"], grids=[16], sensors=[5])

"""The study of solves alone: what it scores, and that a repeated run goes on."""

import pytest
from helpers import read_lines, run_command

from pdeinv.benchmarks.studies import black_box
from pdeinv.solvers import EnsembleSmoother, OptimalInterpolation

FEW = {
    ("ensemble-smoother", 200): EnsembleSmoother(members=16, rounds=1),
    ("ensemble-smoother", 1000): EnsembleSmoother(members=20, rounds=2),
    ("optimal-interpolation", 200): OptimalInterpolation(members=24),
}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    out = tmp_path_factory.mktemp("black_box") / "b.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(black_box, "METHODS", FEW)
        command = ("study", "black-box", "--out", out, "--instances", 1)
        run_command(*command, "--method", "optimal-interpolation")
        first = run_command(*command).output
        content = out.read_bytes()
        again = run_command(*command).output
    assert out.read_bytes() == content and again.splitlines() == first.splitlines()[-8:]
    return read_lines(out), again.splitlines()


def test_each_method_takes_the_solves_of_its_settings(output):
    records, _ = output
    calls = {(r["method"], r["budget"]): r["solver_calls"] for r in records}
    assert calls == dict(zip(FEW, (32, 60, 24), strict=True))
    assert all(0 < r["error"] < 3 and 0 <= r["coverage90"] <= 1 for r in records)
    assert {r["field"] for r in records} == {"head", "log_hydraulic_conductivity"}


def test_the_table_has_a_row_for_each_budget_and_field(output):
    records, table = output
    assert len(records) == 6 and len(table) == 8
    assert [row.split(" | ")[2] for row in table[2:]] == ["32", "32", "60", "60", "24", "24"]

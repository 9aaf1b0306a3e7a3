"""The aquifer study: what it scores, and that a repeated run goes on."""

import pytest
from helpers import read_lines, run_command

from pdeinv.benchmarks.studies import aquifer


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    out = tmp_path_factory.mktemp("aquifer") / "a.jsonl"
    command = ("study", "aquifer", "--out", out, "--instances", 1, "--method", "kriging")
    first = run_command(*command).output
    content = out.read_bytes()
    again = run_command(*command).output
    assert out.read_bytes() == content and again.splitlines() == first.splitlines()[-4:]
    run_command(*command, "--log-std", 0.5)
    return read_lines(out)


def test_both_fields_of_a_truth_are_scored(records):
    assert [(r["log_std"], r["field"]) for r in records] == [
        (std, field) for std in (1.5, 0.5) for field in ("head", "log_hydraulic_conductivity")
    ]
    head, log, _, milder = records
    assert 0 < head["error"] < 1 and 0 < head["relative_error"] < 1
    assert 0 < milder["error"] < log["error"]
    assert all(0 <= r["coverage90"] <= 1 and r["spread"] > 0 for r in records)


def test_the_table_has_a_row_for_each_method_and_field(records):
    other = [{**r, "instance": 1, "error": 2 * r["error"]} for r in records[:2]]
    table = aquifer.aquifer_table(records + other).splitlines()
    mean = 1.5 * records[0]["error"]
    assert len(table) == 6
    assert f"{mean:.3f} ± {mean / 3:.3f}" in table[4] and table[4].endswith("| 2 |")
    assert "±" not in table[2] and table[2].startswith("| 0.5 | kriging | head |")

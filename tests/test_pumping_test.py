"""The study of the pumping test: what it scores, and that a repeated run goes on."""

import numpy as np
import pytest
from helpers import read_lines, run_command

from pdeinv.benchmarks.studies.example_scores import measure
from pdeinv.benchmarks.studies.pumping_test import pumping_table
from pdeinv.datasets import Problem
from pdeinv.problems.examples import example_by_name
from pdeinv.solvers import Kriging


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Let the example have a small grid."""
    example = example_by_name("pumping-test")
    given = example.problem
    small = Problem(given.physics, given.prior, given.physics.grid(16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(example), "problem", small)  # where it is cached
        yield


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    out = tmp_path_factory.mktemp("pumping") / "p.jsonl"
    command = ("study", "pumping-test", "--out", out, "--instances", 1, "--method", "kriging")
    first = run_command(*command).output
    content = out.read_bytes()
    again = run_command(*command).output
    assert out.read_bytes() == content and again.splitlines() == first.splitlines()[-4:]
    return read_lines(out)


def test_both_fields_of_a_truth_are_scored(records):
    assert [r["field"] for r in records] == ["head", "log_hydraulic_conductivity"]
    assert all(r["times"] == 8 and 0 < r["coverage90"] <= 1 for r in records)


def test_the_head_is_scored_at_all_times_together():
    """The score of the head is that of the means at all times, in the order of the truth."""
    truth = example_by_name("pumping-test").truth(0)
    head, _ = measure(truth, Kriging(), 0)
    result = Kriging()(
        truth.problem.physics,
        truth.problem.prior,
        truth.sensors.observation(truth.problem.physics, truth.problem.grid),
    )
    assert min(truth.problem.grid.shape) == 16
    exact = truth.state[0, :, ::2, ::2]
    mine = [c for c, f in enumerate(truth.problem.physics.fields) if f.name == "head"]
    assert len(mine) == 8
    error = float((result.mean[mine] - exact[mine]).square().mean().sqrt())
    np.testing.assert_allclose(head["error"], error, rtol=0.02)


def test_the_table_takes_a_method_that_is_not_of_the_study(records):
    other = [{**r, "method": "ensemble-smoother"} for r in records]
    rows = pumping_table(other + records).splitlines()[2:]
    methods = ["kriging", "kriging", "ensemble-smoother", "ensemble-smoother"]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == methods

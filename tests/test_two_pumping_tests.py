"""The study of two pumping tests: what its arms share, what it scores, and its tables."""

import numpy as np
import pytest
from helpers import read_lines, run_command

from pdeinv import reconstruct, seeds
from pdeinv.benchmarks.reports.queries import difference
from pdeinv.benchmarks.studies import example_scores
from pdeinv.benchmarks.studies import two_pumping_tests as module
from pdeinv.benchmarks.studies.example_scores import measure
from pdeinv.benchmarks.studies.two_pumping_tests import ARMS, two_tests_table
from pdeinv.datasets import Problem
from pdeinv.problems.examples import example_by_name
from pdeinv.solvers import GaussNewton

LOG = "log_hydraulic_conductivity"
SMALL, SAMPLES = GaussNewton(ensemble=8), 4


def brief(*given, solver, **settings):
    assert solver in (module.METHOD, SMALL)
    return reconstruct(*given, solver=SMALL, n_samples=SAMPLES, **settings)


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Let the arms have a small grid, and the study a small ensemble."""
    given = example_by_name("two-pumping-tests").problem
    small = Problem(given.physics, given.prior, given.physics.grid(16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Arm, "problem", small)
        patch.setattr(example_scores, "reconstruct", brief)
        yield


@pytest.fixture(scope="module")
def truths():
    example = example_by_name("two-pumping-tests")
    return {name: module._Arm.of(example, *arm).truth(1) for name, arm in ARMS.items()}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    out = tmp_path_factory.mktemp("two") / "t.jsonl"
    command = ("study", "two-pumping-tests", "--out", out, "--instances", 2)
    first = run_command(*command).output
    content = out.read_bytes()
    again = run_command(*command).output
    assert out.read_bytes() == content and first.endswith(again)
    return read_lines(out)


def test_the_arms_are_parts_of_one_truth(truths):
    whole = truths["both tests"]
    rows = {name: set(map(tuple, t.sensors.table.to_numpy())) for name, t in truths.items()}
    for name, truth in truths.items():
        physics, state = truth.problem.physics, truth.state
        assert state.shape[1] == len(physics.fields)
        for channel, f in enumerate(physics.fields):
            same = whole.problem.physics.channel(*f.place)
            np.testing.assert_array_equal(state[0, channel], whole.state[0, same])
        # The state solves the arm's own physics
        solved = physics.solve(state[:, :1])
        np.testing.assert_allclose(solved, state[:, physics.solution_channels], atol=1e-9)
        logs = truth.sensors.table.query("field == @LOG").reset_index(drop=True)
        assert len(logs) == 5
        assert logs.equals(whole.sensors.table.query("field == @LOG").reset_index(drop=True)), name
    east, west, more = rows["east alone"], rows["west alone"], rows[list(ARMS)[3]]
    assert rows["both tests"] == east | west and len(east) == len(west) == 12 + 5
    assert west < more and len(more) == 24 + 5 and not more - west & east
    assert not any("east" in row for row in more | west)


def test_each_arm_is_scored_with_its_number_of_heads(records):
    assert [(r["arm"], r["instance"]) for r in records[::2]] == [
        (arm, i) for arm in ARMS for i in (0, 1)
    ]
    assert [r["field"] for r in records] == ["head", LOG] * 8
    assert [r["heads"] for r in records[::4]] == [24, 12, 12, 24]
    assert all(0 < r["coverage90"] <= 1 for r in records)


def test_the_heads_of_all_tests_are_scored_together(truths):
    """A score is that of the means of both experiments, in the order of the truth."""
    truth = truths["both tests"]
    head, log = measure(truth, SMALL, 1)
    physics, grid = truth.problem.physics, truth.problem.grid
    observation = truth.sensors.observation(physics, grid)
    generator = seeds.generator(seeds.SOLVER, 1)
    drawn = {"n_samples": SAMPLES, "generator": generator}
    result = SMALL(physics, truth.problem.prior, observation, **drawn)
    error = result.mean - truth.state[0, :, ::2, ::2]
    for score, channels in ((head, list(physics.solution_channels)), (log, [2])):
        expected = float(error[channels].square().mean().sqrt())
        np.testing.assert_allclose(score["error"], expected, rtol=1e-4)


def test_the_second_table_has_paired_differences_of_the_conductivity(records):
    scores, fits = two_tests_table(records).split("\n\n")
    assert len(scores.splitlines()) == 2 + 8
    errors = {
        arm: {r["instance"]: r["error"] for r in records if (r["arm"], r["field"]) == (arm, LOG)}
        for arm in ARMS
    }
    cells = [row.strip("| ").split(" | ") for row in fits.splitlines()[2:]]
    assert [row[0] for row in cells] == list(ARMS) and len(cells[0]) == 5
    for row in cells[1:]:
        paired = difference(errors["both tests"], errors[row[0]])
        assert row[5] == f"{paired:+.3f}" and "±" in row[6]


def test_one_truth_and_an_unknown_arm_have_rows_without_differences(records):
    one = [r for r in records if r["instance"] == 0]
    other = [{**r, "arm": "north"} for r in one]
    rows = two_tests_table(other + one).split("\n\n")[1].splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [*ARMS, "north"]
    assert not any("±" in row for row in rows)

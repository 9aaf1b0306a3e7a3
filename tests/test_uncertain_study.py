"""The study of an uncertain side and recharge: what it scores, and that a repeated run goes on."""

from dataclasses import replace

import pytest
from helpers import read_lines

from pdeinv.benchmarks.studies import uncertain_sides
from pdeinv.benchmarks.studies.example_scores import measure
from pdeinv.problems.examples import example_by_name
from pdeinv.solvers import GaussNewton


@pytest.fixture(scope="module")
def example():
    class Small(uncertain_sides._Arm):
        problem = replace(example_by_name("uncertain-aquifer").problem, grid=16)

    usual = example_by_name("uncertain-aquifer")
    return lambda known: Small(usual.name, usual.summary, usual.readings, known)


def test_both_arms_have_the_same_truths(example):
    inferred, known = (example(one).truth(3) for one in (False, True))
    assert inferred.sensors.table.equals(known.sensors.table)
    assert inferred.problem.physics.uncertain and not known.problem.physics.uncertain
    left = known.problem.physics.boundary.left
    assert left.value.value == 52.0 != float(inferred.drawn.boundary.left.at([0, 9], *_place())[0])


def _place():
    return example_by_name("uncertain-aquifer").problem.physics.domain, "left"


def test_sides_and_sources_are_scored_with_the_fields(example):
    truth = example(False).truth(0)
    solver = GaussNewton(ensemble=4)
    records = measure(truth, solver, 0, uncertain_sides.FIELDS)
    by_field = {r["field"]: r for r in records}
    assert tuple(by_field) == uncertain_sides.FIELDS
    # Errors are those of the posterior, and no larger than a few standard deviations a priori
    assert 0 < by_field["left_head"]["error"] < 3.0 and 0 < by_field["left_head"]["spread"] <= 1.0
    assert 0 < by_field["source"]["error"] < 3e-5 and 0 < by_field["source"]["spread"] <= 1e-5
    assert all(0 <= r["coverage90"] <= 1 for r in records)


def test_a_repeated_run_goes_on(example, tmp_path, monkeypatch):
    made = []

    def scored(truth, solver, i, fields=()):
        made.append(i)
        keys = ("relative_error", "reduced_chi_squared", "seconds")
        common = dict.fromkeys(keys, 1.0) | {"converged": 1, "solver_calls": 1, "rows": len(fields)}
        return [
            {"pde": "darcy", "instance": i, "seed": i, "method": solver, "field": f, **common}
            | {"error": 1.0 + i, "spread": 2.0, "coverage90": 0.8 + 0.1 * i}
            for f in fields
        ]

    monkeypatch.setattr("pdeinv.benchmarks.studies.example_scores.measure", scored)
    monkeypatch.setattr(uncertain_sides._Arm, "problem", example(False).problem)
    out, arms = tmp_path / "u.jsonl", uncertain_sides.ARMS
    uncertain_sides.run(out, instances=1, echo=str)
    records = uncertain_sides.run(out, instances=2, arms=arms, echo=str)
    assert made == [0, 1, 0, 1] and read_lines(out) == records
    table = uncertain_sides.uncertain_table(records).splitlines()
    assert len(table) == 2 + 4 + 2 and table[4].startswith("| inferred | left_head |")
    assert "| 0.79 | 85.0 ± 5.0 | 2 |" in table[4]
    assert table[6].startswith("| taken as known | head |")

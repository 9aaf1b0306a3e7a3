"""Budgets of seconds: how many steps each method can take."""

from dataclasses import replace

import pytest
from helpers import run_command, tuning_task

from pdeinv import InputError
from pdeinv.benchmarks import budget
from pdeinv.benchmarks.cells import Cell
from pdeinv.benchmarks.records import read_records


def test_a_budget_of_seconds_decides_the_steps_once(tmp_path, monkeypatch):
    """Here a step costs a tenth of a second, and a run one second more."""
    calls = []

    def cost(cell):
        calls.append(cell.steps)
        return 1 + 0.1 * cell.steps, 0 if cell.task.pde == "darcy" else cell.steps

    monkeypatch.setattr(budget, "_trial", cost)
    out = tmp_path / "records.jsonl"
    gaussian, fundps = (
        Cell(tuning_task("poisson", "inverse", 16, 20), method, 2, 8)
        for method in ("gaussian", "fundps")
    )
    gaussian, unused = (
        replace(gaussian, steps=None),
        Cell(tuning_task("darcy", "inverse", 16, 20), "moment", 2),
    )
    found = budget.fit_to_budget([gaussian, fundps, unused], [0.5, 6.0, 1000.0], out)
    # What is published is the most, not what a suite would take; what makes no use of steps comes
    # once.
    assert found == [gaussian, *(replace(fundps, steps=n) for n in (2, 50, 500)), unused]
    measured = len(calls)
    assert (
        budget.fit_to_budget([fundps], [6.0], out) == [replace(fundps, steps=50)]
        and len(calls) == measured
    )
    assert budget.fit_to_budget([fundps], [], out) == [fundps]
    with pytest.raises(InputError, match=r"budget must be a positive number of seconds, got 0"):
        budget.fit_to_budget([fundps], [0], out)


def test_a_method_that_diverges_in_the_trials_of_a_budget_goes_on_as_it_is(tmp_path):
    wild = Cell(
        tuning_task("poisson", "inverse", 16, 20),
        "ddis",
        1,
        samples=2,
        settings={"preset": "published", "rate": 1e9, "physics": "solver"},
    )
    assert budget.fit_to_budget([wild], [1.0], tmp_path / "r.jsonl") == [wild]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "the text must be JSON"),
        ("[1]", r"the text must be an object, got \[1\]"),
        ('{"a": [1]}', r"a must have 2 numbers or none, got \[1.0\]"),
        ('{"a": [1, "2"]}', "a.1 must be a number, got '2'"),
        ('{"a": [1, NaN]}', "a.1 must be a finite number, got nan"),
    ],
)
def test_a_faulty_file_of_stored_costs_is_refused(text, words, tmp_path):
    (tmp_path / "r.budget.json").write_text(text)
    cell = Cell(tuning_task("poisson", "inverse", 16, 20), "kriging", 1)
    with pytest.raises(InputError, match=rf"^{words}.*, in .*r\.budget\.json.*; move it away"):
        budget.fit_to_budget([cell], [1.0], tmp_path / "r.jsonl")


def test_budgets_are_given_on_the_command_line(tmp_path):
    command = ["benchmark", "--pde", "poisson", "--task", "inverse", "--grid", 16, "--sensors", 9]
    command += ["--method", "moment", "--method", "kriging", "--instances", 1, "--samples", 2]
    command += ["--budget", 0.001, "--budget", 1000, "--out", tmp_path / "r.jsonl"]
    assert run_command(*command).exit_code == 0
    records = read_records(tmp_path / "r.jsonl")
    assert sorted((r["method"], r["steps"]) for r in records) == [
        ("kriging", 0),
        ("moment", 2),
        ("moment", 20),
    ]
    with pytest.raises(InputError, match="--budget decides the steps; leave out --steps"):
        run_command(*command, "--steps", 4)

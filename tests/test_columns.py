"""Columns of tables: coverage at a level that all rows have, seconds of one processor, unbiased
scores; and comparisons of published solvers with ours."""

import re

import pytest

from pdeinv.benchmarks.records import write_records
from pdeinv.benchmarks.reports.queried_tables import best_prior_table, joint_prior_table
from pdeinv.benchmarks.reports.queries import GUIDED, PLACES, Results
from pdeinv.benchmarks.reports.tables import beside_limit, published_table, tasks_table
from pdeinv.benchmarks.summary import coverage_of, crps_of, summarise

EVEN = {4: [0.2] * 5, 19: [0.05] * 20}


def row(method="m", instance=0, error=0.1, **change):
    """A made-up record of an instance."""
    fixed = {
        **{"pde": "poisson", "task": "forward", "grid": 64, "sensors": 9, "noise": 0.0, "seed": 0},
        **{"method": method, "instance": instance, "prior": "exact", "field": "potential"},
        **{"metric": "relative_l2", "error": error, "sample_error": 1.4 * error, "samples": 19},
        **{"predicted_error": error, "crps": 1.0, "network_evaluations": 0, "solver_calls": 8},
        **{"seconds_per_instance": 2.0, "machine": "M", "settings": None, "given_prior": None},
    }
    made = fixed | change
    return made | {"ranks": change.get("ranks", EVEN[made["samples"]])}


def cells_of(text, line=-1):
    """The cells of a table's line by their head."""
    head, _, *body = (row.strip("| ").split(" | ") for row in text.split("\n\n")[0].splitlines())
    return dict(zip(head, body[line], strict=True))


def test_coverage_is_at_the_level_that_all_rows_have():
    many, few = row(instance=0), row("n", samples=4, ranks=[0.1, 0.2, 0.3, 0.2, 0.2])
    assert cells_of(tasks_table(summarise([many])))["coverage of 90 %, %"] == "90"
    mixed = tasks_table(summarise([many, few]))
    assert {cells_of(mixed, line)["coverage of 60 %, %"] for line in (0, 1)} == {"60", "70"}
    (found,) = summarise([few])
    assert (found["coverage60"], found["coverage90"]) == (0.7, None)
    assert coverage_of({"ranks": [None] * 5}, 60) is None and coverage_of({}, 60) is None


def test_a_biased_score_of_pairs_is_blank():
    old, new = row("moment"), row("moment", crps_pairs=True)
    assert crps_of(old) is None and crps_of(new) == 1.0 and crps_of(row("fundps")) == 1.0
    assert crps_of(summarise([old, row("moment", 1, crps_pairs=True)])[0]) is None
    assert crps_of(summarise([new])[0]) == 1.0
    assert cells_of(tasks_table(summarise([old])))["CRPS"] == ""


def test_seconds_are_shown_for_one_processor_alone():
    rows = [row(), row("n", 0, 0.2), row("n", 1, 0.2, machine="other")]
    del rows[2]["seconds_per_instance"]  # not timed there
    text = tasks_table(summarise(rows))
    assert cells_of(text)["seconds"] == "2.00" and "left out" not in text
    rows[2]["seconds_per_instance"] = 3.0
    text = tasks_table(summarise(rows))
    assert "seconds" not in cells_of(text) and text.endswith("of more than one processor.")
    assert cells_of(text)["instances"] == "2"


def test_seconds_of_optimal_interpolation_say_what_they_lack():
    text = tasks_table(summarise([row("optimal-interpolation")]))
    assert cells_of(text)["seconds"] == "2.00 †" and re.search(r"\n\n† Without the solves", text)


def test_single_samples_stand_next_to_published_ones_and_means_next_to_the_limit():
    rows = [row(m, i, e) for m, e in (("moment", 0.02), ("gaussian", 0.01)) for i in (0, 1)]
    cells = cells_of(beside_limit(rows))
    assert cells["single sample: moment, %"] == "2.80 ± 0.00"
    assert cells["√2 times the limit, %"] == "1.41"
    assert cells["lowest published, %"] == "1.99 (FunDPS)"
    assert (cells["mean: moment, %"], cells["limit, %"]) == ("2.00 ± 0.00", "1.00")
    lines = published_table(summarise(rows)).splitlines()
    assert [line.split(" | ")[4] for line in lines[2:]] == [
        "4.5",
        "4.88",
        "1.99",
        "",
        "1.41",
        "2.80",
    ]


@pytest.fixture
def results(tmp_path):
    """Rivals err twice as much as ours in single samples; the spread of four explains the excess of
    their means."""
    ours, joint, theirs = [], [], []
    for pde, task in PLACES:
        for i, error in enumerate((0.1, 0.2, 0.3)):
            place = {"pde": pde, "task": task}
            mine = row("moment", i, error, **place)
            ours.append(mine)
            joint.append(mine | {"given_prior": pde, "error": 2 * error, "sample_error": error})
            for method in GUIDED:
                rival = row(method, i, 2**0.5 * error, samples=4, **place)
                theirs.append(rival | {"predicted_error": 2 * error, "sample_error": 2.8 * error})
    write_records(tmp_path / "all.instances.jsonl", ours + theirs)
    write_records(tmp_path / "joint.instances.jsonl", joint[:6])
    return Results(tmp_path)


def test_rivals_are_compared_in_single_samples_and_in_means_corrected_for_the_spread(results):
    single, means = best_prior_table(results, "all").split("\n\n")
    assert cells_of(single)["fundps, change in %"] == "+100 ± 0"
    assert cells_of(means)["ddis, change in %"] == "+0 ± 0"
    assert cells_of(single, 0)["single sample of `moment`, %"] == "28.00"
    assert len(single.splitlines()) == 2 + len(PLACES) + 1


def test_with_the_joint_prior_only_what_is_recorded_is_compared(results):
    single, means = joint_prior_table(results, "joint", "all").split("\n\n")
    assert len(single.splitlines()) == 4 and "ddis" not in single
    assert cells_of(single)["dps, change in %"] == "+180 ± 0"
    assert cells_of(means)["dps, change in %"] == "-50 ± 0"

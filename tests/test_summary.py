"""Summaries of records and the tables of them: means that add up, pairs that are pairs, names that
tell methods apart."""

import json
import re

import numpy as np
import pytest

from pdeinv import InputError
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.reports.figures import plot_over_limit, plot_ranks
from pdeinv.benchmarks.reports.standings import standings
from pdeinv.benchmarks.reports.tables import (
    beside_limit,
    markdown_table,
    overall_table,
    ranked_table,
    table,
)
from pdeinv.benchmarks.summary import summarise


def row(instance, error, **change):
    fixed = {
        "pde": "darcy",
        "task": "inverse",
        "method": "m",
        "grid": 64,
        "sensors": 9,
        "noise": 0.0,
        "seed": 0,
    }
    fixed |= {
        "instance": instance,
        "error": error,
        "prior": "exact",
        "field": "permeability",
        "metric": "error_rate",
    }
    fixed |= {
        "predicted_error": error,
        "ranks": [error, 1 - error],
        "crps": 2 * error,
        "coverage90": 0.9,
        "reduced_chi_squared": 1.0,
        "seconds_per_instance": 0.25,
    }
    return (
        fixed
        | {
            "network_evaluations": 0,
            "solver_calls": 8,
            "commit": "c",
            "machine": "m",
            "command": "x",
        }
        | change
    )


def test_summaries_are_means_with_standard_errors():
    rows = [
        row(0, 0.1),
        row(0, 0.5, metric="relative_l2"),
        row(1, 0.2),
        row(2, 0.6),
        row(0, 0.4, noise=0.1),
    ]
    first, second, third = summarise(rows)
    assert (first["error"], first["instances"]) == (pytest.approx(0.3), 3)
    assert first["error_se"] == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1) / 3**0.5, rel=1e-5)
    assert first["ranks"] == pytest.approx([0.3, 0.7])
    assert first["crps"] == pytest.approx(0.6)
    assert (second["metric"], second["error"], second["error_se"]) == ("relative_l2", 0.5, None)
    assert (third["noise"], third["instances"]) == (0.1, 1)
    # Seconds that were not measured alone are left out of a row, and of the mean.
    del rows[0]["seconds_per_instance"]
    assert summarise(rows)[0]["seconds_per_instance"] == 0.25
    assert "seconds_per_instance" not in summarise(rows[:1])[0]


def test_an_error_stands_over_the_limit_on_shared_instances_alone():
    limit = [row(i, e, method="level-set") for i, e in ((0, 0.1), (1, 0.3))]
    other = [
        row(0, 9.0, method="level-set", sensors=50),
        row(0, 9.0, method="level-set", metric="relative_l2"),
    ]
    ours = [row(i, e) for i, e in ((0, 0.2), (1, 0.3), (7, 5.0))]
    _, _, _, found = summarise(limit + other + ours)
    assert found["over_limit"] == pytest.approx(1.25) and found["instances"] == 3
    assert found["over_limit_se"] == pytest.approx(
        np.std([0.2 - 0.125, 0.3 - 0.375], ddof=1) / 0.2 / 2**0.5, rel=1e-5
    )
    assert all("over_limit" not in r for r in summarise(ours))
    assert re.search(
        r"\| 2 \| 183.33 ± 158.\d+ \| 1.25 ± 0.3[78] \|", ranked_table(summarise(limit + ours))
    )


def test_the_table_holds_the_numbers(tmp_path):
    ranks = {"ranks": [0.03, *[0.05] * 18, 0.07]}
    rows = [row(0, 0.1), row(1, 0.2), row(0, 0.5, metric="relative_l2", method="n")]
    records = summarise(r | ranks for r in rows)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    head, rule, *body = markdown_table(read_records(tmp_path / "a.jsonl")).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, rule, *body)]
    assert {len(c) for c in cells} == {10} and set("".join(cells[1])) <= set("-:")
    assert cells[2] == [
        "darcy",
        "inverse",
        "permeability",
        "error rate",
        "m",
        "15.00 ± 5.00",
        "15.00",
        "90.0",
        "0.25",
        "2",
    ]
    assert cells[3] == [
        "darcy",
        "inverse",
        "permeability",
        "relative L2",
        "n",
        "50.00",
        "50.00",
        "90.0",
        "0.25",
        "1",
    ]


def test_several_numbers_of_sensors_make_columns():
    rows = [row(0, 0.1), row(1, 0.2), row(0, 0.3, sensors=50), row(0, 0.4, noise=0.1, sensors=50)]
    head, _, *body = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table(summarise(rows)).splitlines()
    )
    assert head[-3:] == ["noise", "9 sensors", "50 sensors"]
    assert [line[-3:] for line in body] == [["0 %", "15.00 ± 5.00", "30.00"], ["10 %", "", "40.00"]]


def test_rank_histograms_are_drawn_once_a_cell():
    rows = [row(0, 0.1), row(0, 0.2, metric="relative_l2"), row(0, 0.3, pde="poisson")]
    figure = plot_ranks(summarise(rows))
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in panels] == [
        "darcy inverse: permeability",
        "poisson inverse: permeability",
    ]
    assert [bar.get_height() for bar in panels[1].patches] == pytest.approx([0.6, 1.4])


def test_our_solver_stands_beside_the_limit_on_the_instances_that_they_share():
    more = {"network_evaluations": 20, "seconds_per_instance": 3.0, "sample_error": 0.07}
    ours = [
        row(i, e, method="moment", metric="error_rate") | more
        for i, e in ((0, 0.02), (1, 0.05), (7, 9.0))
    ]
    theirs = [
        row(i, e, method="level-set", metric="error_rate") | more
        for i, e in ((0, 0.02), (1, 0.03), (3, 9.0))
    ]
    ignored = [row(0, 9.0, method="moment", metric="relative_l2") | more]
    *_, line = beside_limit([*ours, *theirs, *ignored]).splitlines()
    cells = line.strip("| ").split(" | ")
    assert cells[:2] == ["darcy inverse", "permeability (error rate)"]
    # Differences from 1.4 times the limit: -0.008 and 0.008, standard deviation 0.0113, over 0.025
    # and the square root of 2.
    assert cells[2:5] == ["7.00 ± 0.00", "", "3.2 (DiffusionPDE)"]  # √2 is not for an error rate
    assert cells[5:8] == ["3.50 ± 1.50", "2.50", "1.40 ± 0.32"] and cells[-1] == "2"


def test_ranks_do_not_depend_on_how_many_instances_a_method_had():
    """Here the second instance is the hard one, and a method that has not met it is worse none the
    less."""
    limit = [row(i, e, method="level-set") for i, e in ((0, 0.1), (1, 0.9))]
    (group,) = standings(summarise([*limit, row(0, 0.2)])).values()
    assert [(r["method"], r["error"]) for r in group] == [("level-set", 0.5), ("m", 0.2)]
    (group,) = standings(summarise([row(0, 0.5, method="n"), row(0, 0.2)])).values()
    assert [r["method"] for r in group] == ["m", "n"]  # no limit to be compared with


def test_methods_stand_over_the_limit_from_best_to_worst():
    limits = [
        row(i, e, method="level-set", task=kind)
        for kind in ("forward", "inverse")
        for i, e in ((0, 0.1), (1, 0.3))
    ]
    ours = [
        row(r["instance"], 3 * r["error"] + r["instance"] / 100, task=r["task"]) for r in limits
    ]
    bad = [row(0, 0.5, method="n"), row(1, 0.5, method="n")]
    (axis,) = plot_over_limit(summarise([*limits, *ours, *bad])).axes
    assert [bars.get_label() for bars in axis.containers] == ["n", "m"]
    assert axis.containers[0].lines[0].get_xdata().tolist() == [2.5]
    assert axis.containers[1].lines[0].get_xdata().tolist() == pytest.approx([3.025, 3.025])
    assert [tick.get_text() for tick in axis.get_yticklabels()] == [
        "darcy forward: permeability",
        "darcy inverse: permeability",
    ]


def test_a_limit_without_error_is_no_divisor():
    exact = [row(i, 0.0, method="level-set") for i in (0, 1)]
    records = summarise([*exact, row(0, 0.1), row(1, 0.1)])
    assert all("over_limit" not in r for r in records)
    assert "| 2 | 10.00 ± 0.00 |  |" in ranked_table(records)


def test_of_two_limits_the_first_has_the_word():
    rows = [row(0, 0.1, method="gaussian"), row(0, 0.2, method="gauss-newton"), row(0, 0.3)]
    for order in (rows, rows[::-1]):
        assert {r["method"]: r["over_limit"] for r in summarise(order)} == pytest.approx(
            {"gaussian": 1.0, "gauss-newton": 2.0, "m": 3.0}
        )


def test_settings_priors_and_samples_tell_records_of_one_method_apart():
    rows = [
        row(0, 0.1),
        row(0, 0.2, settings='{"depth": 3}'),
        row(0, 0.3, samples=4),
        row(0, 0.4, task="forward"),
    ]
    text = overall_table(summarise(rows))
    names = [line.split(" | ")[0].strip("| ") for line in text.splitlines()[2:]]
    assert sorted(names) == ["m, 19 samples", "m, 4 samples", "m, depth 3, 19 samples"]
    assert [line.split(" | ")[2] for line in table(summarise(rows[::3])).splitlines()[2:]] == [
        "permeability"
    ] * 2
    assert "| m |" in table(summarise(rows[::3]))


def test_no_ranks_are_drawn_of_what_diverged():
    with pytest.raises(InputError, match="every method diverged"):
        plot_ranks([r | {"error": None} for r in summarise([row(0, 0.1)])])


def test_records_of_a_pde_of_ones_own_come_last():
    shown = table(summarise([row(0, 0.1, pde="ocean", task="inverse"), row(0, 0.1)])).splitlines()
    assert [line.split()[1] for line in shown[2:]] == ["darcy", "ocean"]

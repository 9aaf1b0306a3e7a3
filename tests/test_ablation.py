"""EquiReg on and off, in pairs, and what else the symmetries are used for."""

import numpy as np
import pytest
from helpers import tuning_task

from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.reports.tables import table
from pdeinv.benchmarks.runner import run
from pdeinv.benchmarks.studies.ablation import (
    ablation_page,
    ablation_table,
    alternatives_table,
    paired,
    plot_gain,
    verdict,
)


def test_equireg_is_paired_instance_by_instance(tmp_path):
    task, out = tuning_task("poisson", "forward", grid=16, sensors=30), tmp_path / "e.jsonl"
    for on in (False, True):
        records = run(task, "fundps", 2, out, steps=6, equireg=on, samples=3)
        assert (
            records[0]["equireg"] == on
            and records[0]["steps"] == 6
            and records[0]["prior"] == "the shipped poisson"
        )
        assert records[0]["network_evaluations"] >= 11
    rows = read_records(tmp_path / "e.instances.jsonl")
    assert (
        len(rows) == 4 and run(task, "fundps", 2, out, steps=6, equireg=True, samples=3) == records
    )
    # Records of another prior or number of samples are kept apart, and a method without steps is
    # passed over.
    run(task, "fundps", 1, out, steps=6, samples=4)
    (named,) = run(task, "fundps", 1, out, steps=6, samples=3, prior="poisson")
    assert (
        named["prior"] == named["given_prior"] == "poisson" and named["error"] == rows[0]["error"]
    )
    assert len(read_records(out)) == 4 and len(paired([*rows, {"method": "kriging"}])) == 1
    shown = table(read_records(out))
    assert (
        "| fundps, 6 steps, EquiReg |" in shown
        and "| fundps, 6 steps, prior poisson, 3 samples |" in shown
    )
    (pair,) = paired(rows)
    error = {on: [r["sample_error"] for r in rows if r["equireg"] == on] for on in (False, True)}
    difference = np.subtract(error[True], error[False])
    assert pair["instances"] == 2 and pair["change"] == pytest.approx(
        difference.mean() / np.mean(error[False])
    )
    low, high = pair["interval"]
    # Student's t with one degree of freedom.
    assert (high - low) / 2 == pytest.approx(
        12.706 * difference.std(ddof=1) / 2**0.5 / np.mean(error[False]), rel=1e-3
    )
    text = ablation_table([pair])
    assert "| poisson | forward | fundps | 6 |" in text and text.count("→") == 7
    assert "of 1 cells" in verdict([pair])
    page = ablation_page(rows + [row | {"steps": 20} for row in rows])
    assert (
        page.index("### 6 steps") < page.index("### 20 steps")
        and page.count("| poisson | forward |") == 2
    )
    (panel,) = plot_gain(rows + [row | {"steps": 20} for row in rows]).axes
    (line,) = (
        line
        for line in panel.lines
        if line.get_linestyle() == "-" and len(line.get_xdata()) == 2 and line.get_marker() == "o"
    )
    assert line.get_xdata().tolist() == [6, 20] and line.get_ydata() == pytest.approx(
        [100 * pair["change"]] * 2
    )
    assert panel.get_title() == "poisson forward" and not panel.texts
    far = plot_gain(
        [row | {"sample_error": row["sample_error"] * (9 if row["equireg"] else 1)} for row in rows]
    ).axes[0]
    assert [text.get_text() for text in far.texts] == [f"{900 * (1 + pair['change']) - 100:+.0f} %"]


def test_other_uses_of_the_symmetries_are_paired_with_none(tmp_path):
    task, out = tuning_task("poisson", "forward", grid=16, sensors=30), tmp_path / "e.jsonl"
    for on in (False, True, "identity", "equi", "reweight"):
        run(task, "fundps", 2, out, steps=6, equireg=on, samples=4)
    run(task, "fundps", 2, out, steps=6, samples=4, settings={"group_average": True})
    rows = read_records(tmp_path / "e.instances.jsonl")
    error = {
        on: np.mean([r["sample_error"] for r in rows if r["equireg"] == on and not r["settings"]])
        for on in (False, True, "identity", "equi", "reweight")
    }
    off = error.pop(False)
    for on, name in zip(error, ("EquiReg", "identity alone", "*Equi*", "reweighted"), strict=True):
        (pair,) = paired(rows, variant=name)
        assert pair["change"] == pytest.approx(error[on] / off - 1, abs=1e-12)
    *_, line = alternatives_table(rows).splitlines()
    head, *cells = line.strip("| ").split(" | ")
    assert head == "poisson" and len(cells) == 8 and all(c.endswith("; 2)") for c in cells[3:])
    assert len(set(error.values())) == 4  # to the table's digits two may agree
    for change, cell in zip(error.values(), cells[3:], strict=False):
        assert cell.startswith(f"{100 * (change / off - 1):+.1f} ")
    assert "EquiReg (identity) |" in table(read_records(out))


def test_only_what_differs_in_equireg_alone_is_paired():
    fixed = {
        "pde": "darcy",
        "task": "forward",
        "method": "fundps",
        "steps": 6,
        "given_prior": None,
        "grid": 16,
        "sensors": 30,
    }
    fixed |= {
        "noise": 0.0,
        "field": "pressure",
        "metric": "relative_l2",
        "seed": 0,
        "settings": None,
        "samples": 4,
    }
    fixed |= dict.fromkeys(
        ("error", "crps", "spread", "network_evaluations", "seconds_per_instance"),
        1.0,
    )

    def rows(on, value, **changes):
        return [
            fixed | {"equireg": on, "sample_error": value, "instance": i} | changes
            for i in range(3)
        ]

    assert len(paired(rows(False, 0.5) + rows(True, 0.4))) == 1
    assert paired(rows(False, 0.5) + rows(True, 0.4, samples=19)) == []
    assert paired(rows(False, 0.5) + rows(True, 0.4, variant="rougher")) == []
    averaged = {"settings": '{"group_average": true}'}
    both = rows(False, 0.5) + rows(False, 0.3, **averaged) + rows(True, 0.1, **averaged)
    (average,) = paired(both, variant="group average")
    assert average["on"]["sample_error"] == pytest.approx(0.3)  # and not that with EquiReg on top
    # An instance on which one of the two diverged is left out.
    diverged = rows(True, 0.4)
    diverged[0]["sample_error"] = None
    (pair,) = paired(rows(False, 0.5) + diverged)
    assert pair["instances"] == 2

"""What the timing benchmark makes of its measurements."""

import pytest
import torch

from pdeinv.benchmarks.provenance import peak_megabytes
from pdeinv.benchmarks.studies import timing
from pdeinv.benchmarks.studies.timing import (
    cells,
    cost_table,
    growth,
    measure,
    plot_scaling,
    run,
    scaling_table,
)


def records():
    """Made-up measurements: the moment solver's time grows as grid^2 and as sensors^0.5, rivals
    take a second a step."""
    found = []
    for cell in cells():
        steps, published = (
            (20, 20)
            if cell["method"] == "moment"
            else (50, {"diffusionpde": 2000, "fundps": 500}[cell["method"]])
        )
        seconds = (
            (cell["grid"] / 128) ** 2 * (cell["sensors"] / 500) ** 0.5
            if cell["method"] == "moment"
            else 50.0
        )
        times = published / steps
        more = {
            "seconds": seconds,
            "published_seconds": seconds * times,
            "peak_megabytes": cell["grid"] * cell["sensors"],
        }
        found.append(cell | {"steps": steps} | more)
    return found


def test_every_cell_is_measured_once_and_all_tasks_meet_all_rivals():
    found = cells()
    assert len({tuple(c.values()) for c in found}) == len(found)
    rivals = [(c["pde"], c["task"], c["method"]) for c in found if c["method"] != "moment"]
    assert len(rivals) == len(set(rivals)) == 4 * 2 * 2


def test_a_power_law_has_its_exponent():
    assert growth([64, 128, 256], [3 * n**1.7 for n in (64, 128, 256)]) == pytest.approx(1.7)


def test_tables_extrapolate_and_fit():
    text = cost_table(records())
    assert (
        text.count("\n") == 9
        and "| darcy inverse | 1.0 | 1.0 | 2,000 (2000 and 2000 times) | 500 (500 and 500 times) |"
        in text
    )
    text = scaling_table(records())
    assert (
        "| poisson inverse | 0.2 s, 32,000 MB | 1.0 s, 64,000 MB | 4.0 s, 128,000 MB | 2.00 "
        "(2.00) | 1.00 (1.00) |" in text
    )
    assert text.count("| 0.50 (0.50) | 1.00 (1.00) |") == 3


def test_the_figure_has_a_line_a_task_and_says_how_it_grows():
    axes = plot_scaling(records()).axes
    assert [len(axis.lines) for axis in axes] == [3] * 4
    assert axes[0].get_legend().get_texts()[0].get_text() == "poisson inverse: exponent 2.00"


SMALL = {
    "pde": "poisson",
    "task": "forward",
    "method": "moment",
    "prior": None,
    "grid": 16,
    "sensors": 9,
}


def test_a_rival_s_time_is_extrapolated_to_its_published_steps(monkeypatch):
    monkeypatch.setattr(timing, "_MEASURED_STEPS", 4)
    found = measure(SMALL | {"method": "fundps", "prior": "poisson"})
    assert (found["steps"], found["published_steps"]) == (4, 500)
    assert found["network_evaluations"] >= 4
    # Both are rounded to a millisecond
    assert found["published_seconds"] == pytest.approx(125 * found["seconds"], abs=0.1)


def test_a_measurement_has_a_process_of_its_own_and_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(timing, "cells", lambda: [SMALL])
    held = torch.ones(200_000_000)  # 800 MB, here and not there
    (found,) = run(tmp_path / "t.jsonl", command="type this")
    assert found["published_seconds"] == found["seconds"] > 0 and len(held) > 0
    assert found["steps"] == found["published_steps"] == found["network_evaluations"] == 20
    assert 50 < found["peak_megabytes"] < peak_megabytes() - 200
    assert run(tmp_path / "t.jsonl") == [found] and found["command"] == "type this"

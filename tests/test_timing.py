"""What the timing benchmark makes of its measurements."""

import time

import pytest
from helpers import gaussian_prior

from pdeinv import InputError
from pdeinv.benchmarks.studies.timing import (
    cells,
    cost_table,
    growth,
    measure,
    plot_scaling,
    scaling_table,
)
from pdeinv.priors import save


def records():
    """Made-up measurements: the moment solver's time grows as grid^2 and as sensors^0.5, rivals
    take a second a step."""
    found = []
    for cell in cells():
        ours = cell["method"] == "moment"
        seconds = (cell["grid"] / 128) ** 2 * (cell["sensors"] / 500) ** 0.5 if ours else 50.0
        more = {
            "steps": 20 if ours else 50,
            "seconds": seconds,
            "peak_megabytes": cell["grid"] * cell["sensors"],
            "machine": "M",
        }
        found.append(cell | more)
    return found


def test_every_cell_is_measured_once_and_all_tasks_meet_all_rivals():
    found = cells()
    assert len({tuple(c.values()) for c in found}) == len(found)
    rivals = [(c["pde"], c["task"], c["method"]) for c in found if c["method"] != "moment"]
    assert len(rivals) == len(set(rivals)) == 4 * 2 * 2


def test_a_power_law_has_its_exponent():
    assert growth([64, 128, 256], [3 * n**1.7 for n in (64, 128, 256)]) == pytest.approx(1.7)


def test_tables_have_the_seconds_of_one_machine_and_fit_their_growth():
    text = cost_table(records())
    assert text.count("\n") == 9 and "| darcy inverse | 1.0 | 1.0 | 50.0 | 50.0 |" in text
    other = [r | {"machine": "N"} if r["pde"] == "darcy" else r for r in records()]
    with pytest.raises(InputError, match="seconds must be of one machine, got M; N"):
        cost_table(other)
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


@pytest.mark.parametrize(
    ("method", "steps", "published", "evaluations"),
    [("moment", 20, 20, 20), ("fundps", 50, 500, 2 * 50 - 1)],
)
def test_a_measurement_counts_its_steps_and_evaluations(
    method, steps, published, evaluations, tmp_path
):
    prior = str(save(gaussian_prior("poisson"), tmp_path / "p.safetensors"))
    cell = {"pde": "poisson", "task": "forward", "method": method, "prior": prior}
    cell |= {"grid": 16, "sensors": 9}
    start = time.perf_counter()
    found = measure(cell)
    assert cell.items() <= found.items()
    assert (found["steps"], found["published_steps"]) == (steps, published)
    assert found["network_evaluations"] == evaluations
    assert 0 < found["seconds"] < time.perf_counter() - start
    assert found["peak_megabytes"] > 50

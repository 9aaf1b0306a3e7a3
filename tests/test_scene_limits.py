"""The study of chains over objects that start at draws of the prior and at the truth."""

import pytest
import torch

from pdeinv import InputError
from pdeinv.benchmarks.studies import scene_limits
from pdeinv.benchmarks.tasks import TUNING_SEEDS, Task
from pdeinv.coefficients import Inclusions, Spikes

TASK = Task("darcy", "inverse", 12, 12, 0.05, TUNING_SEEDS[0], family="inclusions")
SPIKES = Task("poisson", "inverse", 12, 12, 0.05, TUNING_SEEDS[0], family="spikes")


@pytest.mark.parametrize("task", [TASK, SPIKES], ids=lambda task: task.family)
def test_the_true_scene_is_that_of_the_instance(task):
    truth, _ = task.instance(3)
    drawn = task.problem.prior.render(scene_limits._true_scene(task, 3), task.physics.grid(12))
    torch.testing.assert_close(task.physics.restrict(drawn)[0, 0], truth[0])


@pytest.mark.parametrize("task", [TASK, SPIKES], ids=lambda task: task.family)
def test_runs_are_recorded_and_kept(task, tmp_path):
    out, lines = tmp_path / "limits.jsonl", []
    options = {"steps": 60, "runs": 2, "echo": lines.append}
    records = scene_limits.run(out, [task], range(1), **options)
    assert [r["start"] for r in records] == ["prior", "truth"] and len(lines) == 2
    assert all(len(r["draw_errors"]) == 2 and r["r_hat"] > 0.9 for r in records)
    # A few steps from the truth stay closer to it than as many from the prior
    assert max(records[1]["draw_errors"]) < max(records[0]["draw_errors"])
    assert scene_limits.run(out, [task], range(1), **options) == records and len(lines) == 2


def test_errors_are_of_the_wrong_nodes_or_of_the_distance():
    truth, prior = torch.full((4, 4), 3.0).double(), Inclusions()
    truth[0] = 12.0
    draws = truth.repeat(4, 1, 1)
    draws[0] = 12.0  # twelve of sixteen nodes are wrong in one of four draws
    measure, errors, error, expected = scene_limits._errors(draws, truth, prior)
    assert measure == "error_rate" and errors.tolist() == [0.75, 0, 0, 0]
    assert error == 0 and expected == pytest.approx(0.25 * 0.75)
    measure, errors, error, expected = scene_limits._errors(
        torch.stack([0.5 * truth, 1.5 * truth]), truth, Spikes()
    )
    assert measure == "relative_l2" and errors.tolist() == pytest.approx([0.5, 0.5])
    assert error == pytest.approx(0) and expected == pytest.approx(0.5)


def test_the_table_names_the_instances_whose_starts_are_apart():
    def record(instance, start, errors):
        place = {"family": "channels", "pde": "darcy", "sensors": 40, "noise": 0.05, "steps": 9}
        return place | {
            "instance": instance,
            "start": start,
            "draw_errors": errors,
            "error": 0.02,
            "expected_error": 0.03,
            "seconds": 1.0,
        }

    records = [
        record(0, "prior", [0.10, 0.14]),
        record(0, "truth", [0.11, 0.11]),
        record(1, "prior", [0.30, 0.31]),
        record(1, "truth", [0.10, 0.11]),
        record(2, "prior", [0.10, 0.11]),  # without the other start
    ]
    line = scene_limits.scene_limits_table(records).splitlines()[-1].split(" | ")
    assert line[0].endswith("channels") and line[-3:-1] == ["1 of 2", "1"]
    assert line[5] == "21.25 ± 9.25" and line[6] == "10.75 ± 0.25"


def test_what_has_no_chains_is_refused(tmp_path):
    out = tmp_path / "limits.jsonl"
    gaussian = Task("poisson", "inverse", 12, 12, 0.05, family="scenarios")
    exact = Task("darcy", "inverse", 12, 12, family="channels")
    for task, runs, match in (
        (gaussian, 2, "family must be one of objects, such as channels, got 'scenarios'"),
        (exact, 2, "noise must be above 0, got 0"),
        (TASK, 1, "runs must be at least 2, to compare them, got 1"),
    ):
        with pytest.raises(InputError, match=match):
            scene_limits.run(out, [task], range(1), steps=20, runs=runs)
    assert not out.exists()

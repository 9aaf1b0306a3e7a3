"""The runner: a line for each instance and score, runs that resume, methods that diverge."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers import gaussian_prior, read_lines, tuning_task

from pdeinv import InputError, reconstruct
from pdeinv.benchmarks import cells, runner
from pdeinv.benchmarks.cells import Cell, posterior_of, solver_generator
from pdeinv.benchmarks.provenance import peak_megabytes
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.reports.tables import overall_table, ranked_table, table
from pdeinv.benchmarks.runner import run, run_cells
from pdeinv.benchmarks.summary import summarise
from pdeinv.datasets import PDES
from pdeinv.errors import DivergedError
from pdeinv.metrics import relative_l2
from pdeinv.priors import load, save
from pdeinv.solvers import SOLVERS, FunDPS

TINY = tuning_task("poisson", "inverse", grid=16, sensors=20)
BOTH = tuning_task("poisson", "both", grid=16, sensors=20)


@pytest.mark.parametrize("task", [TINY, BOTH], ids=lambda t: t.kind)
def test_a_line_an_instance_and_score(task, tmp_path):
    out = tmp_path / "b.jsonl"
    records = run(task, "gaussian", 3, out, command="type this")
    rows = read_lines(tmp_path / "b.instances.jsonl")
    fields = [PDES["poisson"]().fields[c].name for c in task.scored]
    assert [(r["instance"], r["field"], r["metric"]) for r in rows] == [
        (i, field, "relative_l2") for i in range(3) for field in fields
    ]
    for row in rows:  # the score is that of the solver, run by hand
        truth, H = task.instance(row["instance"])
        posterior = SOLVERS["gaussian"]()(task.physics, None, H, n_samples=19)
        c = task.physics.channel(row["field"])
        error = relative_l2(posterior.mean[None, c : c + 1], truth[None, c : c + 1])
        assert row["error"] == pytest.approx(float(error), rel=1e-5) and 0 < row["error"] < 1
        expected = posterior.std[c].norm() / truth[c].norm()
        assert row["predicted_error"] == pytest.approx(float(expected), rel=1e-5)
        assert len(row["ranks"]) == 20 and sum(row["ranks"]) == pytest.approx(1, rel=1e-4)
        assert row["coverage90"] == pytest.approx(sum(row["ranks"][1:-1]), rel=1e-4)
        assert 0 < row["crps"] < float(truth[c].std()) and 0.5 < row["coverage90"] <= 1
        assert (row["solver_calls"], row["network_evaluations"], row["prior"]) == (
            (1 + len(H)) + len(H) + 19,  # the adjoints, their images, the samples
            0,
            "exact",
        )
    assert read_lines(out) == records == summarise(rows) and len(records) == len(fields)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.instances.jsonl", "b.jsonl"]
    stated = {
        "pde": "poisson",
        "task": task.kind,
        "method": "gaussian",
        "grid": 16,
        "sensors": 20,
        "noise": 0.0,
    }
    stated |= {
        "seed": task.seed,
        "equireg": False,
        "steps": 0,
        "instances": 3,
        "command": "type this",
    }
    for record in records:
        assert stated.items() <= record.items() and record["commit"] and record["machine"]


@pytest.mark.parametrize("through_the_door", [False, True])
def test_no_sample_is_the_truth_of_the_same_seed(through_the_door):
    task = tuning_task("poisson", "inverse", grid=16, sensors=20)
    truth, H = task.instance(0)
    if through_the_door:
        table = pd.DataFrame(
            {"field": "solution", "x": H.points[:, 0], "y": H.points[:, 1], "value": H.values}
        )
        samples = torch.tensor(
            reconstruct(table, "poisson", noise=0, grid=16, seed=0)["source_samples"].values
        )
    else:
        samples = SOLVERS["gaussian"]()(
            task.physics, None, H, generator=solver_generator(0)
        ).samples[:, 0]
    assert float((samples - truth[0]).flatten(1).norm(dim=1).min()) > 0.05 * float(truth[0].norm())


def test_the_binary_coefficient_has_an_error_rate_too(tmp_path):
    task = tuning_task("darcy", "inverse", grid=16, sensors=20)
    few = {"members": 32, "copies": 2}
    records = run(task, "optimal-interpolation", 2, tmp_path / "b.jsonl", settings=few)
    assert [(r["field"], r["metric"], r["prior"]) for r in records] == [
        ("permeability", "relative_l2", "ensemble"),
        ("permeability", "error_rate", "ensemble"),
    ]
    assert 0 < records[1]["error"] < 0.5


def test_a_run_resumes_and_adds_nothing_that_is_there(tmp_path, monkeypatch):
    out, log = tmp_path / "b.jsonl", tmp_path / "b.instances.jsonl"
    scored = []
    score = runner.score
    monkeypatch.setattr(runner, "score", lambda *a: (scored.append(a[3]), score(*a))[1])
    run(TINY, "gaussian", 2, out)
    before = log.read_bytes()
    run(TINY, "gaussian", 2, out)
    assert scored == [0, 1] and log.read_bytes() == before
    records = run(TINY, "gaussian", 3, out)
    assert (
        scored == [0, 1, 2] and log.read_bytes().startswith(before) and records[0]["instances"] == 3
    )
    # The file keeps other tasks and methods too; each call returns its own.
    assert [r["method"] for r in run(TINY, "kriging", 1, out)] == ["kriging"]
    assert [
        r["noise"]
        for r in run(tuning_task("poisson", "inverse", 16, 20, noise=0.1), "gaussian", 1, out)
    ] == [0.1]
    assert (
        scored == [0, 1, 2, 0, 0] and len(read_lines(out)) == 3 and read_lines(out)[0] == records[0]
    )


def test_an_instance_cut_between_its_lines_is_computed_again(tmp_path):
    out, log = tmp_path / "b.jsonl", tmp_path / "b.instances.jsonl"
    run(BOTH, "gaussian", 2, out)
    log.write_bytes(log.read_bytes()[:-50])
    assert [r["instances"] for r in run(BOTH, "gaussian", 2, out)] == [2, 2]


@pytest.mark.parametrize("cut", [1, 50])
def test_a_line_cut_short_is_dropped_and_computed_again(cut, tmp_path):
    out, log = tmp_path / "b.jsonl", tmp_path / "b.instances.jsonl"
    whole = run(TINY, "gaussian", 3, out)
    rows = read_lines(log)
    log.write_bytes(log.read_bytes()[:-cut])
    again = run(TINY, "gaussian", 3, out)
    untimed = {k: v for k, v in whole[0].items() if k != "seconds_per_instance"}
    assert untimed.items() <= again[0].items() and len(again) == 1
    assert [r["instance"] for r in read_lines(log)] == [0, 1, 2] and read_lines(log)[:2] == rows[:2]


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a process's peak"
)
def test_peak_memory_is_that_of_the_instance(tmp_path):
    torch.ones(100_000_000)  # 400 MB, gone at once
    before = peak_megabytes()
    run(TINY, "gaussian", 1, tmp_path / "r.jsonl")
    assert 50 < read_lines(tmp_path / "r.instances.jsonl")[0]["peak_megabytes"] < before - 200


def test_a_spoilt_line_in_the_middle_is_told(tmp_path):
    out, log = tmp_path / "b.jsonl", tmp_path / "b.instances.jsonl"
    run(TINY, "gaussian", 2, out)
    log.write_text("{oops\n" + log.read_text())
    with pytest.raises(
        InputError, match=r"line 1 of .*b\.instances\.jsonl must be JSON, and is not .*; correct it"
    ):
        run(TINY, "gaussian", 2, out)
    with pytest.raises(InputError, match=r"nothing\.jsonl must be a file"):
        read_records(tmp_path / "nothing.jsonl")
    with pytest.raises(InputError, match=r"the folder .* does not exist; create it first"):
        run(TINY, "gaussian", 2, tmp_path / "nowhere" / "b.jsonl")


WILD = {"preset": "published", "rate": 1e9, "physics": "solver"}


def test_a_method_that_diverges_is_told_and_spoils_no_other(tmp_path):
    out = tmp_path / "b.jsonl"
    run(TINY, "kriging", 2, out)
    (record,) = run(TINY, "ddis", 2, out, steps=3, samples=2, settings=WILD)
    assert record["error"] is None and record["error_se"] is None and record["instances"] == 2
    shown = table(read_lines(out))
    assert "| kriging |" in shown and "| ddis, 3 steps | diverged |" in shown
    ranked = ranked_table(read_lines(out))
    assert "| ddis, 3 steps | 2 | diverged |" in ranked
    darcy = tuning_task("darcy", "inverse", grid=16, sensors=20)
    settings = {"preset": "published", "weight": 1e300}
    records = run(darcy, "fundps", 1, out, steps=3, samples=2, settings=settings, prior="darcy")
    assert [(r["metric"], r["error"]) for r in records] == [
        ("relative_l2", None),
        ("error_rate", None),
    ]
    with pytest.raises(DivergedError, match="the samples of poisson diverged; use more steps"):
        FunDPS(steps=3, **settings)(TINY.physics, load("poisson"), TINY.instance(0)[1])


def test_priors_of_one_name_are_not_one(tmp_path):
    given = []
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        prior = gaussian_prior("poisson", samples=20, seed=seed)
        save(prior, tmp_path / name / "p.safetensors")
        given.append(
            Cell(
                TINY, "fundps", 1, steps=3, prior=str(tmp_path / name / "p.safetensors"), samples=2
            )
        )
    records = run_cells(given, tmp_path / "b.jsonl")
    assert len(records) == 2 and records[0]["error"] != records[1]["error"]
    rows = read_lines(tmp_path / "b.instances.jsonl")
    truth, _, posterior = posterior_of(rows[1])
    assert float(relative_l2(posterior.mean[None, :1], truth[None, :1])) == pytest.approx(
        rows[1]["error"], rel=1e-5
    )
    first, second = (line for line in overall_table(records).splitlines() if "fundps" in line)
    assert (
        first.endswith("| 1 |")
        and second.endswith("| 1 |")
        and "p.safetensors#" in first
        and first[:99] != second[:99]
    )
    (tmp_path / "b" / "p.safetensors").write_bytes((tmp_path / "a" / "p.safetensors").read_bytes())
    cells.prior_label.cache_clear()
    with pytest.raises(
        InputError,
        match=r"the prior .*p\.safetensors must be that of the record, .*p\.safetensors#",
    ):
        posterior_of(rows[1])

"""Benchmarks: tasks that anyone can draw again, runs that resume, and summaries that add up."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from pdeinv import InputError, reconstruct
from pdeinv.benchmarks import cells, runner, scoring
from pdeinv.benchmarks.cells import Cell, posterior_of, solver_generator
from pdeinv.benchmarks.provenance import peak_megabytes
from pdeinv.benchmarks.records import read_records, select_records
from pdeinv.benchmarks.reports.html_report import write_page
from pdeinv.benchmarks.reports.tables import overall_table, ranked_table, table
from pdeinv.benchmarks.runner import run, run_cells
from pdeinv.benchmarks.summary import summarise
from pdeinv.benchmarks.tasks import KINDS, Task
from pdeinv.cli import app
from pdeinv.cli.benchmark import parsed_settings
from pdeinv.datasets import PDES, Poisson
from pdeinv.errors import DivergedError
from pdeinv.metrics import relative_l2
from pdeinv.priors import GaussianPrior, TrainingData, save
from pdeinv.solvers import SOLVERS, FunDPS, GaussianSolver, OptimalInterpolation

TINY = Task("poisson", "inverse", grid=16, sensors=20)
BOTH = Task("poisson", "both", grid=16, sensors=20)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# Tasks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PDES)
def test_an_instance_is_a_true_pair_seen_at_random_nodes(name, kind):
    task = Task(name, kind, grid=16, sensors=20)
    truth, H = task.instance(3)
    pde = PDES[name]()
    assert torch.allclose(pde.solve(truth[None, :1])[0, 0], truth[1], rtol=1e-6, atol=1e-9)
    assert torch.equal(H.values, H(truth[None])[0]) and (H.noise_std == 0).all()
    observed = {"forward": [0], "inverse": [1], "both": [0, 1]}[kind]
    assert set(task.scored) == ({0, 1} if kind == "both" else {0, 1} - set(observed))
    assert H.channel.bincount(minlength=2).tolist() == [20 * (c in observed) for c in (0, 1)]
    nodes = H.points * H.grid.cells
    assert torch.allclose(nodes, nodes.round(), atol=1e-9)
    for c in observed:
        assert len(nodes[H.channel == c].round().unique(dim=0)) == 20
    if kind == "both":
        assert not torch.equal(nodes[H.channel == 0], nodes[H.channel == 1])


def test_an_instance_depends_on_its_seed_and_number_alone():
    task = Task("poisson", "both", grid=16, sensors=20, noise=0.1)
    truth, H = task.instance(2)
    torch.manual_seed(99)  # neither the global state nor what was drawn before matters
    task.instance(0)
    again, again_H = Task("poisson", "both", grid=16, sensors=20, noise=0.1).instance(2)
    assert (
        torch.equal(truth, again)
        and torch.equal(H.values, again_H.values)
        and torch.equal(H.points, again_H.points)
    )
    for other in (
        task.instance(3),
        Task("poisson", "both", grid=16, sensors=20, noise=0.1, seed=1).instance(2),
    ):
        assert not torch.isclose(other[0], truth).all(dim=0).any()
        assert not torch.equal(other[1].points, H.points)
    # Another task sees the same truth, so that methods and sensors are compared on the same fields.
    assert torch.equal(Task("poisson", "inverse", grid=16, sensors=9).instance(2)[0], truth)


def test_the_noise_has_the_stated_level():
    task = Task("darcy", "both", grid=20, sensors=300, noise=0.2)
    truth, H = task.instance(0)
    for c in (0, 1):
        mine = H.channel == c
        assert torch.allclose(H.noise_std[mine], 0.2 * truth[c].std().expand(300))
        error = (H.values - H(truth[None])[0])[mine] / H.noise_std[mine]
        assert float(error.std()) == pytest.approx(1, abs=0.15) and abs(float(error.mean())) < 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "backward"}, "task must be one of forward, inverse, both, got 'backward'"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0, got -0.1"),
        ({"noise": float("nan")}, "noise must be a finite number of at least 0, got nan"),
        ({"sensors": 257}, "at most 256"),
        ({"sensors": 0}, "at least 1"),
        ({"pde": "stokes"}, "got 'stokes'"),
    ],
)
def test_an_impossible_task_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Task(
            **{"pde": "poisson", "kind": "inverse", "grid": 16, "sensors": 20} | settings
        ).instance(0)


# The runner


@pytest.mark.parametrize("task", [TINY, BOTH], ids=lambda t: t.kind)
def test_a_line_an_instance_and_score(task, tmp_path):
    out = tmp_path / "b.jsonl"
    records = run(task, "gaussian", 3, out, command="type this")
    rows = lines(tmp_path / "b.instances.jsonl")
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
            1 + 2 * len(H) + 19,  # the adjoint's solve, its rows, their states and the samples
            0,
            "exact",
        )
    assert lines(out) == records == summarise(rows) and len(records) == len(fields)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.instances.jsonl", "b.jsonl"]
    stated = {
        "pde": "poisson",
        "task": task.kind,
        "method": "gaussian",
        "grid": 16,
        "sensors": 20,
        "noise": 0.0,
    }
    stated |= {"seed": 0, "equireg": False, "steps": 0, "instances": 3, "command": "type this"}
    for record in records:
        assert stated.items() <= record.items() and record["commit"] and record["machine"]


@pytest.mark.parametrize("through_the_door", [False, True])
def test_no_sample_is_the_truth_of_the_same_seed(through_the_door):
    task = Task("poisson", "inverse", grid=16, sensors=20)
    truth, H = task.instance(0)
    if through_the_door:
        table = pd.DataFrame(
            {"field": "solution", "x": H.points[:, 0], "y": H.points[:, 1], "value": H.values}
        )
        samples = torch.tensor(
            reconstruct(table, "poisson", grid=16, seed=0)["source_samples"].values
        )
    else:
        samples = SOLVERS["gaussian"]()(
            task.physics, None, H, generator=solver_generator(0)
        ).samples[:, 0]
    assert float((samples - truth[0]).flatten(1).norm(dim=1).min()) > 0.05 * float(truth[0].norm())


def test_the_binary_coefficient_has_an_error_rate_too(tmp_path, monkeypatch):
    small = type(
        "Small",
        (OptimalInterpolation,),
        {"__init__": lambda s: OptimalInterpolation.__init__(s, 32, 2)},
    )
    monkeypatch.setitem(SOLVERS, "optimal-interpolation", small)
    task = Task("darcy", "inverse", grid=16, sensors=20)
    records = run(task, "optimal-interpolation", 2, tmp_path / "b.jsonl")
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
    # Other tasks and methods stand beside it; each call returns its own.
    assert [r["method"] for r in run(TINY, "kriging", 1, out)] == ["kriging"]
    assert [
        r["noise"] for r in run(Task("poisson", "inverse", 16, 20, noise=0.1), "gaussian", 1, out)
    ] == [0.1]
    assert scored == [0, 1, 2, 0, 0] and len(lines(out)) == 3 and lines(out)[0] == records[0]


def test_an_instance_cut_between_its_lines_is_computed_again(tmp_path):
    out, log = tmp_path / "b.jsonl", tmp_path / "b.instances.jsonl"
    run(BOTH, "gaussian", 2, out)
    log.write_bytes(log.read_bytes()[:-50])
    assert [r["instances"] for r in run(BOTH, "gaussian", 2, out)] == [2, 2]


@pytest.mark.parametrize("cut", [1, 50])
def test_a_line_cut_short_is_dropped_and_computed_again(cut, tmp_path):
    out, log = tmp_path / "b.jsonl", tmp_path / "b.instances.jsonl"
    whole = run(TINY, "gaussian", 3, out)
    rows = lines(log)
    log.write_bytes(log.read_bytes()[:-cut])
    again = run(TINY, "gaussian", 3, out)
    untimed = {k: v for k, v in whole[0].items() if k != "seconds_per_instance"}
    assert untimed.items() <= again[0].items() and len(again) == 1
    assert [r["instance"] for r in lines(log)] == [0, 1, 2] and lines(log)[:2] == rows[:2]


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a process's peak"
)
def test_peak_memory_is_that_of_the_instance(tmp_path):
    torch.ones(100_000_000)  # 400 MB, gone at once
    before = peak_megabytes()
    run(TINY, "gaussian", 1, tmp_path / "r.jsonl")
    assert 50 < lines(tmp_path / "r.instances.jsonl")[0]["peak_megabytes"] < before - 200


def test_a_spoilt_line_in_the_middle_is_told(tmp_path):
    out, log = tmp_path / "b.jsonl", tmp_path / "b.instances.jsonl"
    run(TINY, "gaussian", 2, out)
    log.write_text("{oops\n" + log.read_text())
    with pytest.raises(
        InputError, match=r"b.instances.jsonl, line 1 must be JSON; delete that line"
    ):
        run(TINY, "gaussian", 2, out)
    with pytest.raises(InputError, match=r"nothing\.jsonl must be a file"):
        read_records(tmp_path / "nothing.jsonl")
    with pytest.raises(InputError, match=r"the folder .* does not exist; create it first"):
        run(TINY, "gaussian", 2, tmp_path / "nowhere" / "b.jsonl")


def test_a_method_that_diverges_is_told_and_spoils_no_other(tmp_path):
    out = tmp_path / "b.jsonl"
    run(TINY, "kriging", 2, out)
    (record,) = run(
        TINY, "ddis", 2, out, steps=3, samples=2, settings={"careful": False, "rate": 1e9}
    )
    assert record["error"] is None and record["error_se"] is None and record["instances"] == 2
    shown = table(lines(out))
    assert "| kriging |" in shown and "| ddis, 3 steps | diverged |" in shown
    ranked = ranked_table(lines(out))
    assert "| ddis, 3 steps | 2 | diverged |" in ranked
    darcy = Task("darcy", "inverse", grid=16, sensors=20)
    records = run(
        darcy, "fundps", 1, out, steps=3, samples=2, settings={"careful": False, "weight": 1e300}
    )
    assert [(r["metric"], r["error"]) for r in records] == [
        ("relative_l2", None),
        ("error_rate", None),
    ]
    with pytest.raises(DivergedError, match="the samples of poisson diverged; use more steps"):
        FunDPS(steps=3, careful=False, weight=1e300)(TINY.physics, None, TINY.instance(0)[1])


def test_priors_of_one_name_are_not_one(tmp_path):
    given = []
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        states = (
            Poisson().sample(20, TINY.physics.grid(16), torch.Generator().manual_seed(seed)).float()
        )
        prior = GaussianPrior.fit(
            TrainingData(states, Poisson().fields, Poisson().grid(16), Poisson(), "here")
        )
        save(prior, tmp_path / name / "p.safetensors")
        given.append(
            Cell(
                TINY, "fundps", 1, steps=3, prior=str(tmp_path / name / "p.safetensors"), samples=2
            )
        )
    records = run_cells(given, tmp_path / "b.jsonl")
    assert len(records) == 2 and records[0]["error"] != records[1]["error"]
    rows = lines(tmp_path / "b.instances.jsonl")
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


def test_a_method_that_no_file_has_is_told(tmp_path):
    run(TINY, "gaussian", 1, tmp_path / "b.jsonl")
    assert len(select_records([tmp_path / "b.jsonl"])) == 1
    with pytest.raises(
        InputError, match=r"must be among those of the files \(gaussian\), got magic"
    ):
        select_records([tmp_path / "b.jsonl"], ["magic"])


def test_an_unknown_method_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"method must be one of daps, .*, got 'magic'"):
        run(TINY, "magic", 2, tmp_path / "b.jsonl")
    assert not any(tmp_path.iterdir())


def test_equireg_and_steps_are_refused_where_they_mean_nothing(tmp_path):
    for options in ({"equireg": True}, {"steps": 9}):
        with pytest.raises(InputError, match="the gaussian solver does not support"):
            run(TINY, "gaussian", 1, tmp_path / "r.jsonl", **options)
    with pytest.raises(InputError, match="prior must be None for method 'gaussian'"):
        run(TINY, "gaussian", 1, tmp_path / "r.jsonl", prior="darcy")
    assert list(tmp_path.iterdir()) == []


def test_a_solver_of_ones_own_may_have_steps(tmp_path, monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class Own(GaussianSolver):
        steps: int = 4

    monkeypatch.setitem(SOLVERS, "own", Own)
    records = [run(TINY, "own", 1, tmp_path / "r.jsonl", steps=n)[0] for n in (None, 8)]
    assert [r["steps"] for r in records] == [4, 8]
    assert posterior_of(lines(tmp_path / "r.instances.jsonl")[1])[2].samples.shape[0] == 19
    with pytest.raises(
        InputError,
        match=r"the gaussian solver does not support equireg; choose one of daps, .* moment",
    ):
        run(TINY, "own", 1, tmp_path / "r.jsonl", equireg=True)


def test_settings_of_a_method_are_recorded_and_change_it(tmp_path):
    out = tmp_path / "s.jsonl"
    command = [
        "benchmark",
        "--pde",
        "poisson",
        "--task",
        "forward",
        "--grid",
        "16",
        "--sensors",
        "20",
        "--instances",
        "1",
    ]
    for extra in ([], ["--set", "nugget=0.5"], ["--set", "nugget=0.5"]):
        result = CliRunner().invoke(
            app, [*command, "--method", "gaussian", "--out", str(out), *extra]
        )
        assert result.exit_code == 0, result.output
    plain, loose = lines(out)
    assert (plain["settings"], loose["settings"]) == (None, '{"nugget": 0.5}') and plain[
        "error"
    ] != loose["error"]
    for setting, message in (
        ("weight=2", "setting of method 'gaussian' must be one of nugget, got 'weight'"),
        ("nugget", "must be NAME=VALUE"),
        ("nugget=much", "setting nugget .* must be of the kind of its default 1e-12, got 'much'"),
    ):
        arguments = [*command, "--method", "gaussian", "--out", str(out), "--set", setting]
        with pytest.raises(InputError, match=message):
            CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_few_samples_cover_as_often_as_many(tmp_path):
    """Student's interval for one more draw, where there are too few samples for quantiles."""
    truth = torch.randn(
        400, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    # However exact the posterior's own spread is.
    (record,) = run(TINY, "gaussian", 24, tmp_path / "r.jsonl", samples=4)
    assert 0.85 < record["coverage90"] < 0.95
    share = []
    for n in (3, 4, 19):
        samples = torch.randn(
            400, n, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(n)
        )
        covered = [
            scoring._coverage(s, t[0], torch.Generator().manual_seed(0))[0]
            for s, t in zip(samples, truth, strict=True)
        ]
        share.append(np.mean(covered))
    assert np.allclose(share, 0.9, atol=0.005)


@pytest.mark.parametrize(
    ("method", "setting", "good"),
    [
        ("moment", "group_average=maybe", False),
        ("moment", "group_average=FALSE", True),
        ("moment", "group_average=1", False),
        ("gauss-newton", "ensemble=abc", False),
        ("gauss-newton", "ensemble=4", True),
        ("daps", "weights=[1.0,2.0]", True),
        ("daps", "weights=3", False),
        ("ddis", "physics=operator", True),
    ],
)
def test_a_setting_is_of_its_default_s_kind(method, setting, good):
    cell = Cell(TINY, method, settings=parsed_settings([setting]))
    if good:
        assert repr(getattr(cell.solver(), setting.split("=")[0])) not in ("'FALSE'", "None")
        return
    with pytest.raises(
        InputError, match=f"setting {setting.split('=')[0]} of method .* must be of the kind of"
    ):
        cell.solver()


def test_options_go_to_the_methods_that_take_them(tmp_path):
    out = tmp_path / "mine.jsonl"
    arguments = [
        "benchmark",
        "--pde",
        "poisson",
        "--task",
        "inverse",
        "--grid",
        "16",
        "--sensors",
        "20",
        "--out",
        str(out),
    ]
    arguments += [
        "--instances",
        "2",
        "--samples",
        "4",
        "--steps",
        "3",
        "--equireg",
        "both",
        "--method",
        "gaussian",
    ]
    with pytest.raises(
        InputError, match="steps must be left out, for none of the methods gaussian supports it"
    ):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    result = CliRunner().invoke(app, [*arguments, "--method", "fundps"], catch_exceptions=False)
    assert result.exit_code == 0
    assert [(r["method"], r["steps"], r["equireg"]) for r in lines(out)] == [
        ("gaussian", 0, False),
        ("fundps", 3, False),
        ("fundps", 3, True),
    ]
    page = CliRunner().invoke(app, ["report", str(out), "--no-pictures"], catch_exceptions=False)
    assert page.exit_code == 0 and (tmp_path / "mine.report.html").stat().st_size > 10_000
    assert "| fundps, 3 steps, EquiReg |" in (tmp_path / "mine.report.md").read_text()
    with pytest.raises(
        InputError, match=r"has no other.instances.jsonl; make it with `pdeinv benchmark --pde"
    ):
        write_page(tmp_path / "other.jsonl")

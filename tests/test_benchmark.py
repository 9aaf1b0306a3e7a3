"""Benchmarks: tasks that anyone can draw again, runs that resume, and summaries that add up."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from pdeinv import InputError, reconstruct
from pdeinv.benchmarks import runner
from pdeinv.benchmarks.figures import plot_ranks
from pdeinv.benchmarks.report import beside_limit, chosen, markdown_table, ranked_table, read_records, table
from pdeinv.benchmarks.runner import Cell, posterior_of, run, run_cells
from pdeinv.benchmarks.summary import summarise
from pdeinv.benchmarks.tasks import KINDS, Task
from pdeinv.cli import app
from pdeinv.datasets import PDES, Poisson
from pdeinv.errors import DivergedError
from pdeinv.metrics import relative_l2
from pdeinv.priors import GaussianPrior, TrainingData, save
from pdeinv.solvers import SOLVERS, FunDPS, OptimalInterpolation

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
    assert torch.equal(truth, again) and torch.equal(H.values, again_H.values) and torch.equal(H.points, again_H.points)
    for other in (task.instance(3), Task("poisson", "both", grid=16, sensors=20, noise=0.1, seed=1).instance(2)):
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
        ({"kind": "backward"}, "task 'backward' is unknown; use forward, inverse or both"),
        ({"noise": -0.1}, "noise = -0.1 must not be negative"),
        ({"noise": float("nan")}, "noise = nan must not be negative"),
        ({"sensors": 257}, "at most 256"),
        ({"sensors": 0}, "at least 1"),
        ({"pde": "stokes"}, "PDE 'stokes' is unknown"),
    ],
)
def test_an_impossible_task_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Task(**{"pde": "poisson", "kind": "inverse", "grid": 16, "sensors": 20} | settings).instance(0)


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
        assert (row["solver_calls"], row["network_evaluations"], row["prior"]) == (2 * len(H) + 19, 0, "exact")
    assert lines(out) == records == summarise(rows) and len(records) == len(fields)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.instances.jsonl", "b.jsonl"]
    stated = {"pde": "poisson", "task": task.kind, "method": "gaussian", "grid": 16, "sensors": 20, "noise": 0.0}
    stated |= {"seed": 0, "equireg": False, "steps": 0, "instances": 3, "command": "type this"}
    for record in records:
        assert stated.items() <= record.items() and record["commit"] and record["machine"]


@pytest.mark.parametrize("through_the_door", [False, True])
def test_no_sample_is_the_truth_of_the_same_seed(through_the_door):
    task = Task("poisson", "inverse", grid=16, sensors=20)
    truth, H = task.instance(0)
    if through_the_door:
        table = pd.DataFrame({"field": "solution", "x": H.points[:, 0], "y": H.points[:, 1], "value": H.values})
        samples = torch.tensor(reconstruct(table, "poisson", grid=16, seed=0)["source_samples"].values)
    else:
        samples = SOLVERS["gaussian"]()(task.physics, None, H, generator=runner.solver_generator(0)).samples[:, 0]
    assert float((samples - truth[0]).flatten(1).norm(dim=1).min()) > 0.05 * float(truth[0].norm())


def test_the_binary_coefficient_has_an_error_rate_too(tmp_path, monkeypatch):
    small = type("Small", (OptimalInterpolation,), {"__init__": lambda s: OptimalInterpolation.__init__(s, 32, 2)})
    monkeypatch.setitem(runner.SOLVERS, "optimal-interpolation", small)
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
    score = runner._score
    monkeypatch.setattr(runner, "_score", lambda *a: (scored.append(a[3]), score(*a))[1])
    run(TINY, "gaussian", 2, out)
    before = log.read_bytes()
    run(TINY, "gaussian", 2, out)
    assert scored == [0, 1] and log.read_bytes() == before
    records = run(TINY, "gaussian", 3, out)
    assert scored == [0, 1, 2] and log.read_bytes().startswith(before) and records[0]["instances"] == 3
    # Other tasks and methods stand beside it; each call returns its own.
    assert [r["method"] for r in run(TINY, "kriging", 1, out)] == ["kriging"]
    assert [r["noise"] for r in run(Task("poisson", "inverse", 16, 20, noise=0.1), "gaussian", 1, out)] == [0.1]
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


def test_a_spoilt_line_in_the_middle_is_told(tmp_path):
    out, log = tmp_path / "b.jsonl", tmp_path / "b.instances.jsonl"
    run(TINY, "gaussian", 2, out)
    log.write_text("{oops\n" + log.read_text())
    with pytest.raises(InputError, match=r"b.instances.jsonl, line 1 is not JSON; delete that line"):
        run(TINY, "gaussian", 2, out)
    with pytest.raises(InputError, match="there is no file"):
        read_records(tmp_path / "nothing.jsonl")
    with pytest.raises(InputError, match=r"the folder .* does not exist; create it first"):
        run(TINY, "gaussian", 2, tmp_path / "nowhere" / "b.jsonl")


def test_a_method_that_diverges_is_told_and_spoils_no_other(tmp_path):
    out = tmp_path / "b.jsonl"
    run(TINY, "kriging", 2, out)
    (record,) = run(TINY, "ddis", 2, out, steps=3, samples=2, settings={"careful": False, "rate": 1e9})
    assert record["error"] is None and record["error_se"] is None and record["instances"] == 2
    shown = table(lines(out))
    assert "| kriging |" in shown and "| ddis, 3 steps | diverged |" in shown
    ranked = ranked_table(lines(out))
    assert "| ddis, 3 steps | 2 | diverged |" in ranked
    darcy = Task("darcy", "inverse", grid=16, sensors=20)
    records = run(darcy, "fundps", 1, out, steps=3, samples=2, settings={"careful": False, "weight": 1e300})
    assert [(r["metric"], r["error"]) for r in records] == [("relative_l2", None), ("error_rate", None)]
    with pytest.raises(DivergedError, match="the samples of poisson diverged; use more steps"):
        FunDPS(steps=3, careful=False, weight=1e300)(TINY.physics, None, TINY.instance(0)[1])


def test_priors_of_one_name_are_not_one(tmp_path):
    cells = []
    for name, seed in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        states = Poisson().sample(20, TINY.physics.grid(16), torch.Generator().manual_seed(seed)).float()
        prior = GaussianPrior.fit(TrainingData(states, Poisson().fields, Poisson().grid(16), Poisson(), "here"))
        save(prior, tmp_path / name / "p.safetensors")
        cells.append(Cell(TINY, "fundps", 1, steps=3, prior=str(tmp_path / name / "p.safetensors"), samples=2))
    records = run_cells(cells, tmp_path / "b.jsonl")
    assert len(records) == 2 and records[0]["error"] != records[1]["error"]
    rows = lines(tmp_path / "b.instances.jsonl")
    assert float(
        relative_l2(posterior_of(rows[1])[2].mean[None, :1], posterior_of(rows[1])[0][None, :1])
    ) == pytest.approx(rows[1]["error"], rel=1e-5)


def test_records_of_a_pde_of_ones_own_come_last():
    shown = table(summarise([row(0, 0.1, pde="ocean", task="inverse"), row(0, 0.1)])).splitlines()
    assert [line.split()[1] for line in shown[2:]] == ["darcy", "ocean"]


def test_a_method_that_no_file_has_is_told(tmp_path):
    run(TINY, "gaussian", 1, tmp_path / "b.jsonl")
    assert len(chosen([tmp_path / "b.jsonl"], None)) == 1
    with pytest.raises(InputError, match="the files have no record of magic; their methods: gaussian"):
        chosen([tmp_path / "b.jsonl"], ["magic"])


def test_an_unknown_method_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="method 'magic' is unknown; use one of daps"):
        run(TINY, "magic", 2, tmp_path / "b.jsonl")
    assert not any(tmp_path.iterdir())


# Summaries


def row(instance, error, **change):
    fixed = {"pde": "darcy", "task": "inverse", "method": "m", "grid": 64, "sensors": 9, "noise": 0.0, "seed": 0}
    fixed |= {"instance": instance, "error": error, "prior": "exact", "field": "permeability", "metric": "error_rate"}
    fixed |= {
        "predicted_error": error,
        "ranks": [error, 1 - error],
        "crps": 2 * error,
        "coverage90": 0.9,
        "reduced_chi_squared": 1.0,
        "seconds_per_instance": 0.25,
    }
    return fixed | {"network_evaluations": 0, "solver_calls": 8, "commit": "c", "machine": "m", "command": "x"} | change


def test_summaries_are_means_with_standard_errors():
    rows = [row(0, 0.1), row(0, 0.5, metric="relative_l2"), row(1, 0.2), row(2, 0.6), row(0, 0.4, noise=0.1)]
    first, second, third = summarise(rows)
    assert (first["error"], first["instances"]) == (pytest.approx(0.3), 3)
    assert first["error_se"] == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1) / 3**0.5, rel=1e-5)
    assert first["ranks"] == pytest.approx([0.3, 0.7])
    assert first["crps"] == pytest.approx(0.6) and first["coverage90"] == pytest.approx(0.9)
    assert (second["metric"], second["error"], second["error_se"]) == ("relative_l2", 0.5, None)
    assert (third["noise"], third["instances"]) == (0.1, 1)
    # Seconds that were not measured alone are left out of a row, and of the mean.
    del rows[0]["seconds_per_instance"]
    assert summarise(rows)[0]["seconds_per_instance"] == 0.25
    assert "seconds_per_instance" not in summarise(rows[:1])[0]


def test_an_error_stands_over_the_limit_on_shared_instances_alone():
    limit = [row(i, e, method="level-set") for i, e in ((0, 0.1), (1, 0.3))]
    other = [row(0, 9.0, method="level-set", sensors=50), row(0, 9.0, method="level-set", metric="relative_l2")]
    ours = [row(i, e) for i, e in ((0, 0.2), (1, 0.3), (7, 5.0))]
    _, _, _, found = summarise(limit + other + ours)
    assert found["over_limit"] == pytest.approx(1.25) and found["instances"] == 3
    assert found["over_limit_se"] == pytest.approx(np.std([0.2 - 0.125, 0.3 - 0.375], ddof=1) / 0.2 / 2**0.5, rel=1e-5)
    assert all("over_limit" not in r for r in summarise(ours))
    assert re.search(r"\| 2 \| 183.33 ± 158.\d+ \| 1.25 ± 0.3[78] \|", ranked_table(summarise(limit + ours)))


def test_the_table_holds_the_numbers(tmp_path):
    records = summarise([row(0, 0.1), row(1, 0.2), row(0, 0.5, metric="relative_l2", method="n")])
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
    assert cells[3] == ["darcy", "inverse", "permeability", "relative L2", "n", "50.00", "50.00", "90.0", "0.25", "1"]


def test_several_numbers_of_sensors_make_columns():
    rows = [row(0, 0.1), row(1, 0.2), row(0, 0.3, sensors=50), row(0, 0.4, noise=0.1, sensors=50)]
    head, _, *body = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in table(summarise(rows)).splitlines()
    )
    assert head[-3:] == ["noise", "9 sensors", "50 sensors"]
    assert [line[-3:] for line in body] == [["0 %", "15.00 ± 5.00", "30.00"], ["10 %", "", "40.00"]]


def test_rank_histograms_are_drawn_once_a_cell():
    rows = [row(0, 0.1), row(0, 0.2, metric="relative_l2"), row(0, 0.3, pde="poisson")]
    figure = plot_ranks(summarise(rows))
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in panels] == ["darcy inverse: permeability", "poisson inverse: permeability"]
    assert [bar.get_height() for bar in panels[1].patches] == pytest.approx([0.6, 1.4])


def test_our_solver_stands_beside_the_limit_on_the_instances_that_they_share():
    more = {"seed": 0, "network_evaluations": 20, "seconds_per_instance": 3.0}
    ours = [row(i, e, method="moment", metric="error_rate") | more for i, e in ((0, 0.02), (1, 0.05), (7, 9.0))]
    theirs = [row(i, e, method="level-set", metric="error_rate") | more for i, e in ((0, 0.02), (1, 0.03), (3, 9.0))]
    ignored = [row(0, 9.0, method="moment", metric="relative_l2") | more]
    *_, line = beside_limit([*ours, *theirs, *ignored]).splitlines()
    cells = line.strip("| ").split(" | ")
    assert cells[:2] == ["darcy inverse", "permeability (error rate)"]
    # Differences from 1.4 times the limit: -0.008 and 0.008, standard deviation 0.0113, over 0.025 and the square root of 2.
    assert cells[2:6] == ["3.50 ± 1.50", "2.50", "1.40 ± 0.32", "5.18"] and cells[-1] == "2"


def test_equireg_and_steps_are_refused_where_they_mean_nothing(tmp_path):
    for options in ({"equireg": True}, {"steps": 9}):
        with pytest.raises(InputError, match="means nothing to the gaussian solver"):
            run(TINY, "gaussian", 1, tmp_path / "r.jsonl", **options)
    with pytest.raises(InputError, match="'gaussian' takes no prior from a file"):
        run(TINY, "gaussian", 1, tmp_path / "r.jsonl", prior="darcy")
    assert list(tmp_path.iterdir()) == []


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
        result = CliRunner().invoke(app, [*command, "--method", "gaussian", "--out", str(out), *extra])
        assert result.exit_code == 0, result.output
    plain, loose = lines(out)
    assert (plain["settings"], loose["settings"]) == (None, '{"nugget": 0.5}') and plain["error"] != loose["error"]
    for setting, message in (("weight=2", "no setting 'weight'; it has nugget"), ("nugget", "is not NAME=VALUE")):
        arguments = [*command, "--method", "gaussian", "--out", str(out), "--set", setting]
        with pytest.raises(InputError, match=message):
            CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_few_samples_cover_as_often_as_many():
    """Student's interval for one more draw, where there are too few samples for quantiles."""
    truth = torch.randn(400, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    share = []
    for n in (3, 4, 19):
        samples = torch.randn(400, n, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
        covered = [
            runner._covered(s, s.mean(0), s.std(0), t[0], torch.Generator().manual_seed(0))[0]
            for s, t in zip(samples, truth, strict=True)
        ]
        share.append(np.mean(covered))
    assert np.allclose(share, 0.9, atol=0.005)

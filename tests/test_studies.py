"""The studies on the command line: what they print is of the records, and what they measure
resumes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pdeinv import InputError
from pdeinv.benchmarks.kinds import Kind
from pdeinv.benchmarks.records import JsonLines, read_records
from pdeinv.benchmarks.reports.tables import table
from pdeinv.benchmarks.studies import numerics, prior_reports, reference
from pdeinv.benchmarks.studies.ablation import ablation_page
from pdeinv.benchmarks.tasks import Task
from pdeinv.cli import app
from pdeinv.cli.study import study
from pdeinv.priors import load, save

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def invoke(*arguments):
    outcome = CliRunner().invoke(app, ["study", *map(str, arguments)], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_every_study_is_listed_and_has_help():
    names = {command.name or command.callback.__name__ for command in study.registered_commands}
    names = {name.replace("_", "-") for name in names}
    listed = invoke("--help")
    assert all(name in listed for name in names)
    assert {"ablation", "gaussian-limit", "numerics", "reference", "timing", "priors"} < names
    assert {"prior-ablation", "figures", "tables", "docs-tables"} < names
    for name in names:
        assert name in invoke(name, "--help")


def test_records_are_printed_as_the_table_of_the_pages():
    for name in ("standard-128", "numerics", "reference-64"):
        path = RESULTS / f"{name}.jsonl"
        assert invoke("tables", path).strip() == table(read_records(path))
    limit = invoke("tables", RESULTS / "standard-128.jsonl", "--method", "level-set")
    assert "| darcy |" in limit and "poisson" not in limit
    with pytest.raises(InputError, match=r"must be among those of the files .*, got magic"):
        invoke("tables", RESULTS / "standard-128.jsonl", "--method", "magic")


@pytest.mark.parametrize("kind", ["over-limit", "ranks", "spectra", "seconds", "evaluations"])
def test_figures_are_drawn_of_recorded_summaries(kind, tmp_path):
    figure, methods = tmp_path / "f.png", ("--method", "moment", "--method", "level-set")
    invoke("figures", kind, RESULTS / "suite-paper.jsonl", *methods, "--out", figure)
    assert figure.stat().st_size > 5000


def test_an_unknown_figure_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"figure must be one of over-limit, .*, got 'pie'"):
        invoke("figures", "pie", RESULTS / "suite-paper.jsonl", "--out", tmp_path / "f.png")


def test_the_ablation_is_that_of_the_page():
    path = RESULTS / "moment-equireg-64.instances.jsonl"
    assert invoke("ablation", path).strip() == ablation_page(read_records(path))
    with pytest.raises(InputError, match="both without and with EquiReg"):
        invoke("ablation", RESULTS / "moment-128.instances.jsonl")


def test_pages_are_written_with_the_tables_of_the_records(tmp_path, monkeypatch):
    monkeypatch.chdir(RESULTS.parent.parent)
    page = Path("docs/moment.md").read_text()
    (tmp_path / "p.md").write_text(page.replace("| darcy inverse |", "| darcy forward |"))
    invoke("docs-tables", tmp_path / "p.md")
    assert (tmp_path / "p.md").read_text() == page


# Long studies go on after a kill


def numbers(path):
    kind = Kind("a number", dict[str, int], ("n",), ("n", "part"))
    return JsonLines(path, kind, lambda record: record["n"])


def test_a_file_of_lines_keeps_whole_units_of_work(tmp_path):
    path = tmp_path / "n.jsonl"
    log = numbers(path)
    log.append({"n": 1})
    log.append({"n": 2, "part": 0, "rows": 2}, {"n": 2, "part": 1, "rows": 2})
    assert 1 in log and 2 in log and 3 not in log
    whole = path.read_text()
    assert 2 in numbers(path) and path.read_text() == whole
    for cut in (
        1,
        5,
        len('{"n": 2, "part": 1, "rows": 2}\n'),
    ):  # within the last line, or the whole of it
        path.write_text(whole[:-cut])
        log = numbers(path)
        assert 1 in log and 2 not in log and log.read() == [{"n": 1}]
    path.write_text('{"n": 1\n' + whole)
    with pytest.raises(InputError, match=r"line 1 of .*n\.jsonl must be JSON"):
        numbers(path)


def test_the_chains_go_on_after_a_kill_in_a_line(tmp_path, monkeypatch):
    calls = []

    def compared(task, i, chains, steps):
        calls.append((task.pde, i))
        key = {"pde": task.pde, "task": task.kind, "grid": task.grid, "sensors": task.sensors}
        setting = {"seed": task.seed, "chains": chains, "steps": steps}
        return (
            first | key | {"noise": task.noise, "instance": i} | setting | {"variant": task.variant}
        )

    first = read_records(RESULTS / "reference-64.jsonl")[0]
    monkeypatch.setattr(reference, "compare", compared)
    out, tasks = tmp_path / "r.jsonl", [Task(p, "inverse", noise=0.1) for p in ("darcy", "poisson")]
    reference.run(out, tasks, 1, echo=calls.append)
    out.write_bytes(out.read_bytes()[:-30])
    del calls[:]
    reference.run(out, tasks, 2, echo=lambda line: None)
    assert calls == [("poisson", 0), ("darcy", 1), ("poisson", 1)]
    assert [r["instance"] for r in read_records(out)] == [0, 0, 1, 1]
    for other in ({"chains": 4}, {"steps": 100}):  # other settings are other records
        del calls[:]
        reference.run(out, tasks[:1], 1, **other, echo=lambda line: None)
        assert calls == [("darcy", 0)]
    del calls[:]
    reseeded = [Task("darcy", "inverse", noise=0.1, seed=1)]
    reference.run(out, reseeded, 1, echo=lambda line: None)
    assert calls == [("darcy", 0)] and len(read_records(out)) == 7


def test_the_numerics_go_on_where_they_were_stopped(tmp_path, monkeypatch):
    errors, calls = numerics.solver_errors, []

    def generated(problem, grid, n, seed):
        name = problem.physics.name
        calls.append(name)
        setting = {"pde": name, "grid": grid, "instances": n, "seed": seed}
        return [
            {"measure": what, **setting, "value": 1.0} for what in ("generation seconds", "std")
        ]

    def interrupted(problem, *arguments):
        if problem.physics.name == "darcy":
            raise KeyboardInterrupt
        return errors(problem, *arguments)

    def key(record):
        return record["pde"], record["measure"], record.get("reference")

    monkeypatch.setattr(numerics, "generation", generated)
    monkeypatch.setattr(numerics, "solver_errors", interrupted)
    out = tmp_path / "n.jsonl"
    with pytest.raises(KeyboardInterrupt):
        numerics.run(out, grid=16, n=5)
    monkeypatch.setattr(numerics, "solver_errors", errors)
    numerics.run(out, grid=16, n=5)
    assert calls == ["poisson", "helmholtz", "darcy", "navier-stokes"]
    assert len(read_records(out)) == 4 * (2 + 2)
    whole = out.read_text()
    lines = whole.splitlines(keepends=True)
    assert all(r["rows"] == 2 for r in read_records(out))
    for end in range(1, len(lines)):  # a kill in the middle of a part, or between two
        out.write_text("".join(lines[:end]))
        numerics.run(out, grid=16, n=5)
        assert [key(r) for r in read_records(out)] == [key(json.loads(line)) for line in lines]
    linear = [r for r in read_records(out) if r.get("reference") == "sparse LU"]
    assert len(linear) == 3 and all(r["value"] < 1e-8 for r in linear)


def test_a_model_of_the_same_training_is_not_measured_again(tmp_path, monkeypatch):
    calls = []

    def reported(name, model, command):
        calls.append(name)
        return measured[name]

    known = read_records(RESULTS / "priors.jsonl")
    measured = {r["prior"]: r for r in known}
    out = tmp_path / "p.jsonl"
    out.write_text("".join(json.dumps(r) + "\n" for r in known if r["prior"] == "darcy-operator"))
    monkeypatch.setattr(prior_reports, "operator_report", reported)
    found = prior_reports.run(["darcy-operator", "poisson-operator"], out, tmp_path)
    assert calls == ["poisson-operator"] == [r["prior"] for r in found]
    assert [r["prior"] for r in read_records(out)] == ["darcy-operator", "poisson-operator"]
    retrained = [r | {"training": r["training"] | {"batch": 1}} for r in read_records(out)]
    out.write_text("".join(json.dumps(r) + "\n" for r in retrained))
    prior_reports.run(["darcy-operator"], out, tmp_path)
    assert calls[1:] == ["darcy-operator"]
    with pytest.raises(InputError, match="must be a diffusion prior"):
        prior_reports.run([str(_gaussian(tmp_path))], out, tmp_path)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({}, "grid is missing"),
        ({"history": "long"}, "grid is missing"),
        ({"history": [{}]}, "a row of history lacks seconds"),
    ],
)
def test_a_model_that_does_not_state_its_training_is_refused(record, words, tmp_path):
    model = load("darcy-operator")
    model.record = record if words.startswith("grid") else model.record | record
    path = save(model, tmp_path / "o.safetensors")
    with pytest.raises(
        InputError, match=rf"o\.safetensors must state its training.*{words}; train"
    ):
        prior_reports.run([str(path)], tmp_path / "p.jsonl", tmp_path)


def _gaussian(folder):
    from pdeinv.datasets import Poisson, Problem
    from pdeinv.priors import GaussianPrior, TrainingData, save

    pde = Poisson()
    states = Problem(pde).sample(20, pde.grid(16)).float()
    data = TrainingData(states, pde.fields, pde.grid(16), pde, "here")
    save(GaussianPrior.fit(data), folder / "g.safetensors")
    return folder / "g.safetensors"

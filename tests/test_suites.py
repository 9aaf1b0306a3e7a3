"""Suites and their page: the same cells for everyone, the same records whoever makes them, a page
that says what they say."""

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from typer.testing import CliRunner

from pdeinv import InputError
from pdeinv.benchmarks import budget, demo, provenance, published, suites
from pdeinv.benchmarks.cells import Cell, posterior_of
from pdeinv.benchmarks.published import PUBLISHED, best_published
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.reports.figures import plot_cost
from pdeinv.benchmarks.reports.html_report import write_page
from pdeinv.benchmarks.reports.labels import pde_order
from pdeinv.benchmarks.reports.tables import overall_table, ranked_table
from pdeinv.benchmarks.runner import run_cells
from pdeinv.benchmarks.suites import RECORDS, SUITES, Suite, product_cells, suite_cells
from pdeinv.benchmarks.summary import LIMITS
from pdeinv.benchmarks.tasks import VARIANTS, Task, fingerprint
from pdeinv.cli import app
from pdeinv.datasets import PDES, Darcy, Poisson
from pdeinv.metrics import relative_l2
from pdeinv.solvers import SOLVERS
from pdeinv.solvers.reconstruction import solver_for

TINY = Suite(16, 20, 2, ("gaussian", "kriging"), ("fundps",), steps=4, samples=4)
CELLS = [
    Cell(Task(pde, kind, 16, 20), method, 2, samples=4)
    for pde in ("poisson", "helmholtz")
    for kind in ("forward", "inverse")
    for method in ("gaussian", "kriging")
]


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_has_one_limit_for_every_task_and_can_be_run(name):
    cells = suite_cells(name, instances=1)
    for pde in PDES:
        for kind in ("forward", "inverse"):
            methods = [c.method for c in cells if (c.task.pde, c.task.kind) == (pde, kind)]
            assert len([m for m in methods if m in LIMITS]) == 1 and "moment" in methods
    for cell in cells:
        assert cell.solver().accepts(cell.task.physics)
        cell.solver().check(cell.task.physics, None)


def test_a_suite_can_be_narrowed_and_widened():
    cells = suite_cells("standard", pdes=["darcy"], methods=["fundps", "kriging"], instances=3)
    assert {(c.task.pde, c.method, c.equireg, c.instances) for c in cells} == {
        ("darcy", "fundps", False, 3),
        ("darcy", "fundps", True, 3),
        ("darcy", "kriging", False, 3),
    }
    # Beside the suite's limit, on request
    named = suite_cells("standard", pdes=["poisson"], methods=["gauss-newton"])
    assert [(c.method, c.task.kind) for c in named] == [
        ("gauss-newton", "forward"),
        ("gauss-newton", "inverse"),
    ]
    for arguments, message in (
        (("huge",), "suite must be one of quick, standard, paper, got 'huge'"),
        (("quick", ["stokes"]), "pde must be one of darcy, .*, got 'stokes'"),
        (("quick", [], ["magic"]), "method must be one of daps, .*, got 'magic'"),
        (
            ("quick", ["poisson"], ["level-set"]),
            "method 'level-set' is not made for poisson: .*; leave it out",
        ),
    ):
        with pytest.raises(InputError, match=message):
            suite_cells(arguments[0], **dict(zip(("pdes", "methods"), arguments[1:], strict=False)))


def test_a_product_leaves_out_options_that_a_method_lacks():
    cells = product_cells(
        ["poisson", "darcy"],
        ["kriging", "fundps", "fno"],
        tasks=["inverse"],
        sensors=[9, 20],
        noise=[0.0, 0.1],
        steps=[4, 8],
        equireg=[False, True],
        prior="p.safetensors",
    )
    keys = [(c.task, c.method, c.steps, c.equireg, c.prior) for c in cells]
    assert len(set(keys)) == len(keys) == 2 * 2 * 2 * (1 + 4 + 1)
    assert {k[2:] for k in keys if k[1] == "kriging"} == {(None, False, None)}
    assert {k[2:] for k in keys if k[1] == "fno"} == {(None, False, "p.safetensors")}
    first = [(c.task.noise, c.task.sensors) for c in cells[:24:6]]
    assert first == [(0.0, 9), (0.0, 20), (0.1, 9), (0.1, 20)]
    with pytest.raises(InputError, match="equireg must be left out, for none of the methods fno"):
        product_cells(["poisson"], ["fno"], equireg=[True])


# PDEs of one's own


@dataclass(frozen=True)
class Toy(Poisson):
    name: ClassVar[str] = "toy"


@dataclass(frozen=True)
class Stones(Darcy):
    name: ClassVar[str] = "stones"


@pytest.fixture
def registered(monkeypatch):
    for pde in (Toy, Stones):
        monkeypatch.setitem(PDES, pde.name, pde)


def test_a_pde_of_ones_own_is_benchmarked_and_reported_like_the_others(registered, tmp_path):
    out = tmp_path / "toy.jsonl"
    task = ["--task", "inverse", "--grid", "16", "--sensors", "20", "--instances", "2"]

    def benchmark(method, *pdes):
        names = [word for pde in pdes for word in ("--pde", pde)]
        arguments = ["benchmark", *names, "--method", method, *task, "--variant", "rougher"]
        arguments += ["--out", str(out)]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        return [line.split(" | ")[0].strip("| ") for line in result.stdout.splitlines()[2:]]

    # The published ones first, and a line for each metric
    shown = benchmark("kriging", "toy", "stones", "poisson")
    assert shown == ["poisson", "toy", "stones", "stones"]
    assert benchmark("gauss-newton", "toy") == ["toy"]
    result = CliRunner().invoke(app, ["report", str(out)], catch_exceptions=False)
    page = (tmp_path / "toy.report.md").read_text()
    assert result.exit_code == 0
    assert "| toy inverse | source | gauss-newton | 1 |" in page
    assert "| stones inverse | permeability (error rate) | kriging | 1 |" in page
    assert "toy inverse: source by kriging" in page


def test_the_suites_and_the_demo_have_what_is_published_and_shipped(registered):
    assert {c.task.pde for c in suite_cells("standard")} == set(published.PDES)
    assert {c.task.pde for c in suite_cells("quick", pdes=["stones"])} == {"stones"}
    assert demo.demo_pdes() == sorted(published.PDES)
    with pytest.raises(InputError, match="got toy, of which no example is shipped"):
        demo.run_demo(None, ["toy"])
    names = ["zebra", *sorted(PDES), "apple"]
    ordered = sorted(names, key=pde_order)
    assert ordered == [*published.PDES, "toy", "stones", "apple", "zebra"]


@pytest.mark.parametrize("pde", published.PDES)
def test_the_limit_is_what_auto_takes_for_the_pde_itself(pde):
    assert solver_for("auto", PDES[pde]()).name in LIMITS


def untimed(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    key = ("pde", "task", "method", "instance")
    dropped = ("seconds_per_instance", "peak_megabytes", "machine")
    return sorted(
        ({k: v for k, v in r.items() if k not in dropped} for r in rows),
        key=lambda r: [r[k] for k in key],
    )


def test_two_processes_make_the_same_records_as_one(tmp_path):
    for name, processes in (("one", 1), ("two", 2)):
        run_cells(CELLS, tmp_path / f"{name}.jsonl", processes=processes)
    one, two = (untimed(tmp_path / f"{name}.instances.jsonl") for name in ("one", "two"))
    assert len(one) == 16
    for a, b in zip(one, two, strict=True):
        # One thread sums up in another order than two.
        assert a.keys() == b.keys() and a["instance_hash"] == b["instance_hash"]
        assert a["error"] == pytest.approx(b["error"], rel=1e-6)
    assert (
        "torch" in one[0]["versions"]
        and "1 threads"
        in json.loads((tmp_path / "two.instances.jsonl").read_text().splitlines()[0])["machine"]
    )


def test_worker_processes_leave_nothing_behind(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_suites import CELLS\n"
        "from pdeinv.benchmarks.runner import run_cells\n"
        f"run_cells(CELLS[:1], {str(tmp_path / 'r.jsonl')!r}, processes=2)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, timeout=120, check=True
    )
    assert "leaked" not in ran.stderr


def test_a_run_that_is_killed_loses_an_instance_at_most_and_goes_on(tmp_path):
    out, log = tmp_path / "r.jsonl", tmp_path / "r.instances.jsonl"
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_suites import CELLS\n"
        "from pdeinv.benchmarks.runner import run_cells\n"
        f"run_cells(CELLS, {str(out)!r})"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not log.exists() or log.read_text().count("\n") < 3):
        time.sleep(0.005)
    child.kill()
    child.wait()
    kept = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert len(kept) >= 3
    records = run_cells(CELLS, out)
    assert (
        log.read_text().startswith("".join(kept)) and [r["instances"] for r in records] == [2] * 8
    )
    before = log.read_bytes()
    run_cells(CELLS, out)
    assert log.read_bytes() == before


# Out of distribution


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", PDES)
def test_variants_change_the_world_but_not_what_the_solvers_are_told(name, variant):
    task = Task(name, "both", 16, 20, variant=variant)
    if (variant == "contrast" and name != "darcy") or (
        variant == "viscosity" and name != "navier-stokes"
    ):
        with pytest.raises(
            InputError, match=f"variant must change parameters that {name} has, got '{variant}'"
        ):
            task.instance(0)
        return
    truth, observation = task.instance(0)
    assert task.physics == PDES[name]() and (task.world == task.physics) == (variant == "standard")
    assert torch.allclose(task.world.solve(truth[None, :1])[0, 0], truth[1], rtol=1e-6, atol=1e-9)
    standard = Task(name, "both", 16, 20).instance(0)
    assert torch.equal(observation.points, standard[1].points)
    assert torch.equal(truth, standard[0]) == (variant == "standard")
    if variant == "contrast":
        assert set(truth[0].unique().tolist()) == {4.0, 12.0}


def test_an_unknown_variant_is_refused():
    with pytest.raises(
        InputError, match=r"variant must be one of standard, smoother, .*, got 'harder'"
    ):
        Task("darcy", "forward", variant="harder")


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("poisson", "standard", "d53f59260ea8"),
        ("helmholtz", "standard", "3649e6f3a2f2"),
        ("darcy", "standard", "b7b0528bb1f1"),
        ("navier-stokes", "standard", "f8dc260877c2"),
        ("darcy", "rougher", "e10a1f79e66d"),
    ],
)
def test_the_instances_are_those_of_the_records(name, variant, expected):
    task = Task(name, "inverse", 64, 125, variant=variant)
    assert fingerprint(*task.instance(0)) == expected != fingerprint(*task.instance(1))


# The page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite")
    tiny = pytest.MonkeyPatch()
    tiny.setitem(suites.SUITES, "tiny", TINY)
    arguments = [
        "benchmark",
        "--suite",
        "tiny",
        "--pde",
        "poisson",
        "--pde",
        "helmholtz",
        "--out",
        str(path),
    ]
    results = [CliRunner().invoke(app, arguments, catch_exceptions=False) for _ in range(2)]
    tiny.undo()
    assert [r.exit_code for r in results] == [0, 0] and results[0].stdout == results[1].stdout
    return path, results[0].stdout


def test_the_ranked_table_is_that_of_the_records(folder):
    path, printed = folder
    records = read_records(path / RECORDS)
    assert ranked_table(records) in printed
    lines = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in printed.splitlines()
        if line.startswith("| poisson")
    ]
    inverse = [line for line in lines if line[0] == "poisson inverse"]
    assert [line[3] for line in inverse] == ["1", "2", "3", "4"] and {
        line[2] for line in inverse
    } == {
        "gaussian",
        "kriging",
        "fundps, 4 steps",
        "fundps, 4 steps, EquiReg",
    }
    limit = next(
        r
        for r in records
        if (r["task"], r["pde"], r["method"]) == ("inverse", "poisson", "gaussian")
    )
    other = next(
        r
        for r in records
        if (r["task"], r["pde"], r["method"]) == ("inverse", "poisson", "kriging")
    )
    line = next(line for line in inverse if line[2] == "kriging")
    assert line[5].split(" ± ")[0] == f"{other['error'] / limit['error']:.2f}"
    assert "| the limit | 1." in printed


def test_the_page_shows_tables_and_figures_and_stands_alone(folder):
    path, _ = folder
    markdown, page = write_page(path)
    text, whole = markdown.read_text(), page.read_text()
    shown = re.findall(r"\]\((figures/[\w-]+\.png)\)", text)
    assert len(shown) == 5 + 4 and all((path / name).stat().st_size > 5000 for name in shown)
    assert (
        whole.count("<img ") == len(shown) and 'src="http' not in whole and "figures/" not in whole
    )
    assert whole.count("<tr>") == sum(
        line.startswith("|") for line in text.splitlines()
    ) - text.count("\n| ---")
    assert "Published" not in text  # another grid
    assert "at commit" in text and "with pdeinv" in text


def test_steps_of_one_method_are_joined_and_ranked_apart(folder):
    records = read_records(folder[0] / RECORDS)
    costlier = [
        r | {"steps": 8, "seconds_per_instance": 9.0, "error": r["error"] / 2}
        for r in records
        if r["method"] == "fundps" and not r["equireg"]
    ]
    axis = plot_cost(records + costlier, "seconds").axes[0]
    lines = {bars.get_label(): bars.lines[0] for bars in axis.containers}
    assert set(lines) == {"the limit", "kriging", "fundps", "fundps, EquiReg"}
    assert [len(line.get_xdata()) for line in lines.values()].count(2) == 1
    assert lines["fundps"].get_xdata()[1] == 9.0 and lines["fundps"].get_linestyle() == "-"
    pair = lines["fundps"], lines["fundps, EquiReg"]
    assert (
        len({line.get_color() for line in pair}) == 1
        and len({line.get_fillstyle() for line in pair}) == 2
    )
    text = overall_table(records + costlier)
    found = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in text.splitlines()}
    assert {"fundps, 4 steps", "fundps, 8 steps", "fundps, EquiReg"} <= set(found)
    asked = [r["network_evaluations"] for r in costlier]
    assert found["fundps, 8 steps"][4:6] == [f"{sum(asked) / len(asked):.0f}", "9.00"]


def test_a_record_can_be_computed_again(folder):
    rows = read_records(folder[0] / "records.instances.jsonl")
    for row in (next(r for r in rows if r["method"] == m) for m in ("gaussian", "fundps")):
        truth, _, posterior = posterior_of(row)
        c = [f.name for f in posterior.fields].index(row["field"])
        error = relative_l2(posterior.mean[None, c : c + 1], truth[None, c : c + 1])
        assert float(error) == pytest.approx(row["error"], rel=1e-4)


def test_records_of_other_fields_are_not_compared(folder, tmp_path):
    text = (folder[0] / "records.instances.jsonl").read_text()
    first = json.loads(text.splitlines()[0])
    (tmp_path / "records.instances.jsonl").write_text(
        text + json.dumps(first | {"method": "kriging", "instance_hash": "0" * 12}) + "\n"
    )
    with pytest.raises(InputError, match="must be the same for all methods, got"):
        write_page(tmp_path)
    (tmp_path / "records.instances.jsonl").write_text(
        text + json.dumps(first | {"grid": 64}) + "\n"
    )
    with pytest.raises(
        InputError, match=r"records must be of the same tasks, got grid 16.* and grid 64"
    ):
        write_page(tmp_path)
    for text, message in ((None, "has no records.instances.jsonl; make it with"), ("", "is empty")):
        if text is None:
            (tmp_path / "records.instances.jsonl").unlink()
        else:
            (tmp_path / "records.instances.jsonl").write_text(text)
        with pytest.raises(InputError, match=message):
            write_page(tmp_path)


def test_published_figures_are_complete_and_have_sources():
    for source, errors in PUBLISHED.values():
        assert "arXiv" in source and set(errors) <= {
            (p, k) for p in PDES for k in ("forward", "inverse")
        }
    assert (
        best_published("helmholtz", "inverse") == 15.08
        and best_published("darcy", "forward") == 2.49
    )


def test_without_a_suite_a_run_names_what_it_runs(tmp_path):
    with pytest.raises(InputError, match="needs --pde and --method; try --suite quick"):
        CliRunner().invoke(
            app, ["benchmark", "--out", str(tmp_path / "r.jsonl")], catch_exceptions=False
        )
    for option in (["--noise", "0.1"], ["--grid", "16"], ["--equireg", "xyz"]):
        with pytest.raises(InputError, match=f"{option[0]} is fixed by a suite; leave it out"):
            arguments = ["benchmark", "--suite", "quick", "--out", str(tmp_path / "q"), *option]
            CliRunner().invoke(app, arguments, catch_exceptions=False)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"the folder .*file cannot be made"):
        CliRunner().invoke(
            app,
            ["benchmark", "--suite", "quick", "--out", str(tmp_path / "file")],
            catch_exceptions=False,
        )
    assert set(SOLVERS) >= {m for s in SUITES.values() for m in (*s.methods, *s.guided)}


def test_a_budget_of_seconds_decides_the_steps_once(tmp_path, monkeypatch):
    """Whatever a step costs: here a tenth of a second beside one second that is spent in any
    case."""
    calls = []

    def cost(cell):
        calls.append(cell.steps)
        return 1 + 0.1 * cell.steps, 0 if cell.task.pde == "darcy" else cell.steps

    monkeypatch.setattr(budget, "_trial", cost)
    out = tmp_path / "records.jsonl"
    gaussian, fundps = (
        Cell(Task("poisson", "inverse", 16, 20), method, 2, 8) for method in ("gaussian", "fundps")
    )
    gaussian, unused = (
        replace(gaussian, steps=None),
        Cell(Task("darcy", "inverse", 16, 20), "moment", 2),
    )
    found = budget.fit_to_budget([gaussian, fundps, unused], [0.5, 6.0, 1000.0], out)
    # What is published is the most, not what a suite would take; what makes no use of steps comes
    # once.
    assert found == [gaussian, *(replace(fundps, steps=n) for n in (2, 50, 500)), unused]
    measured = len(calls)
    assert (
        budget.fit_to_budget([fundps], [6.0], out) == [replace(fundps, steps=50)]
        and len(calls) == measured
    )
    assert budget.fit_to_budget([fundps], [], out) == [fundps]
    with pytest.raises(InputError, match=r"budget must be a positive number of seconds, got 0"):
        budget.fit_to_budget([fundps], [0], out)


def test_a_method_that_diverges_in_the_trials_of_a_budget_goes_on_as_it_is(tmp_path):
    wild = Cell(
        Task("poisson", "inverse", 16, 20),
        "ddis",
        1,
        samples=2,
        settings={"careful": False, "rate": 1e9},
    )
    assert budget.fit_to_budget([wild], [1.0], tmp_path / "r.jsonl") == [wild]


def test_a_commit_is_that_of_this_code_or_none(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=tmp_path,
            check=True,
        )

    copy = tmp_path / "provenance.py"
    copy.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(copy))
    git("init", "-q")
    assert provenance._commit.__wrapped__() == "not a git checkout"  # of another project
    git("add", "."), git("commit", "-qm", "here")
    clean = provenance._commit.__wrapped__()
    assert re.fullmatch("[0-9a-f]{12}", clean)
    copy.write_text("changed")
    assert provenance._commit.__wrapped__() == f"{clean}-dirty"


def test_budgets_are_asked_for_on_the_command_line(tmp_path):
    arguments = [
        "benchmark",
        "--pde",
        "poisson",
        "--task",
        "inverse",
        "--method",
        "moment",
        "--method",
        "kriging",
    ]
    arguments += [
        "--grid",
        "16",
        "--sensors",
        "9",
        "--instances",
        "1",
        "--samples",
        "2",
        "--out",
        str(tmp_path / "r.jsonl"),
    ]
    budgets = ["--budget", "0.001", "--budget", "1000"]
    assert CliRunner().invoke(app, arguments + budgets, catch_exceptions=False).exit_code == 0
    records = read_records(tmp_path / "r.jsonl")
    assert sorted((r["method"], r["steps"]) for r in records) == [
        ("kriging", 0),
        ("moment", 2),
        ("moment", 20),
    ]
    with pytest.raises(InputError, match="--budget decides the steps; leave out --steps"):
        CliRunner().invoke(app, [*arguments, *budgets, "--steps", "4"], catch_exceptions=False)

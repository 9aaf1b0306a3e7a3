"""Suites: the same cells for everyone, on the fields of the records."""

import re
import subprocess

import pytest
import torch
from helpers import accepts, run_command

from pdeinv import InputError
from pdeinv.benchmarks import provenance
from pdeinv.benchmarks.cells import Cell
from pdeinv.benchmarks.families import FAMILIES
from pdeinv.benchmarks.published import PUBLISHED, best_published
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.reports.html_report import write_page
from pdeinv.benchmarks.runner import run_cells
from pdeinv.benchmarks.suites import SUITES, suite_cells
from pdeinv.benchmarks.summary import FAMILY_LIMITS, LIMITS
from pdeinv.benchmarks.tasks import VARIANTS, Task, fingerprint
from pdeinv.datasets import PDES, Problem, pde_by_name
from pdeinv.solvers import SOLVERS

BENCHMARK = {pde for _, errors in PUBLISHED.values() for pde, _ in errors}


@pytest.mark.parametrize("name", [name for name in SUITES if name != "beyond"])
def test_a_suite_has_one_limit_for_every_task_and_can_be_run(name):
    cells = suite_cells(name, instances=1)
    assert {c.task.pde for c in cells} == BENCHMARK
    for pde in BENCHMARK:
        for kind in ("forward", "inverse"):
            methods = [c.method for c in cells if (c.task.pde, c.task.kind) == (pde, kind)]
            assert len([m for m in methods if m in LIMITS]) == 1 and "moment" in methods
    for cell in cells:
        assert accepts(cell.solver(), cell.task.physics)
        cell.solver().check(cell.task.physics, cell.task.problem.prior)


def test_the_suite_of_families_has_a_limit_for_each_but_vortices_and_can_be_run():
    cells = suite_cells("beyond", instances=1)
    assert {c.task.family for c in cells} == FAMILIES.keys()
    for task in {c.task for c in cells}:
        methods = [c.method for c in cells if c.task == task]
        vortices = task.family == "vortices"
        assert len([m for m in methods if m in FAMILY_LIMITS]) == (not vortices)
        assert len([m for m in methods if m in LIMITS]) == 1 and "optimal-interpolation" in methods
    for cell in cells:
        solver = cell.solver()
        given = cell.prior_for(solver)
        assert solver.accepts(cell.task.physics, given)
        own = solver.accepts(cell.task.physics, cell.task.problem.prior)
        assert given == (cell.task.problem.prior if own else cell.task.physics.default_prior)


def test_a_family_is_scored_by_wrong_nodes_and_by_its_probabilities(tmp_path):
    task = Task("darcy", "inverse", 16, 20, noise=0.05, family="channels")
    cells = [
        Cell(task, "object-chains", 2, steps=40, settings={"levels": 3, "runs": 2}),
        Cell(task, "optimal-interpolation", 2, settings={"members": 32, "copies": 2}),
        Cell(task, "level-set", 2, settings={"ensemble": 4, "stages": "brief"}),
    ]
    records = run_cells(cells, tmp_path / "records.jsonl")
    rows = read_records(tmp_path / "records.instances.jsonl")
    for row in (r for r in rows if r["metric"] == "error_rate"):
        share, stated, found = (sum(column) for column in zip(*row["reliability"], strict=True))
        truth = Cell.of_record(row).task.instance(row["instance"])[0][0]
        assert share == pytest.approx(1, abs=1e-4)
        assert found == pytest.approx(float((truth > 7.5).double().mean()), abs=1e-4)
        assert 0 <= stated <= 1 and 0 <= row["brier"] <= 1
        # The score is at least that of the tenths, for a forecast's error is that of its means
        least = sum((p - y) ** 2 / s for s, p, y in row["reliability"] if s)
        assert row["brier"] >= least - 1e-3
    assert {r["method"]: r["prior"] for r in rows} == {
        "object-chains": "exact",
        "optimal-interpolation": "ensemble",
        "level-set": "default",
    }
    rated = {r["method"]: r for r in records if r["metric"] == "error_rate"}
    assert rated["object-chains"]["over_limit"] == pytest.approx(1)
    assert "over_limit" in rated["level-set"] and len(rated["level-set"]["reliability"]) == 10
    pages = write_page(tmp_path, pictures=False)
    text = pages[0].read_text()
    assert "| darcy channels, 20 sensors, noise 5 % inverse |" in text and "| Brier score |" in text
    assert "## Reliability" in text and (tmp_path / "figures/reliability.png").stat().st_size > 9000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "rivers"}, "family must be one of channels, .* got 'rivers'"),
        ({"family": "vortices"}, "pde must be one of navier-stokes for the family 'vortices', got"),
        ({"family": "channels", "variant": "contrast"}, "variant must be 'standard' for a family"),
    ],
)
def test_a_family_that_a_task_cannot_have_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Task("darcy", "inverse", **settings)


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
        (("huge",), "suite must be one of quick, standard, paper, beyond, got 'huge'"),
        (("quick", ["stokes"]), "pde must be one of acoustics, darcy, .*, got 'stokes'"),
        (("quick", [], ["magic"]), "method must be one of daps, .*, got 'magic'"),
        (
            ("quick", ["poisson"], ["level-set"]),
            "method 'level-set' is not made for poisson: .*; leave it out",
        ),
    ):
        with pytest.raises(InputError, match=message):
            suite_cells(arguments[0], **dict(zip(("pdes", "methods"), arguments[1:], strict=False)))


# Out of distribution


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", PDES)
def test_variants_change_the_world_but_not_what_the_solvers_are_told(name, variant):
    task = Task(name, "both", 16, 20, variant=variant)
    changed = {"contrast": "low", "viscosity": "viscosity"}.get(variant, "alpha")
    if variant != "standard" and changed not in (
        task.problem.prior.numbers | task.physics.parameters
    ):
        with pytest.raises(
            InputError, match=f"variant must change numbers that {name} has, got '{variant}'"
        ):
            task.instance(0)
        return
    truth, observation = task.instance(0)
    assert task.problem == Problem(pde_by_name(name))
    assert (task.world == task.problem) == (variant == "standard")
    assert torch.allclose(
        task.world.physics.solve(truth[None, :1])[0, 0], truth[1], rtol=1e-6, atol=1e-9
    )
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
    ("name", "seed", "variant", "expected"),
    [
        ("poisson", 0, "standard", "d53f59260ea8"),
        ("helmholtz", 0, "standard", "3649e6f3a2f2"),
        ("darcy", 0, "standard", "b7b0528bb1f1"),
        ("navier-stokes", 0, "standard", "f8dc260877c2"),
        ("darcy", 0, "rougher", "e10a1f79e66d"),
        ("poisson", 1001, "standard", "25b3454cd377"),
        ("helmholtz", 1001, "standard", "a40058018cb1"),
        ("darcy", 1001, "standard", "fd781a566414"),
        ("navier-stokes", 1001, "standard", "c467ff765147"),
    ],
)
def test_the_instances_are_those_of_the_records(name, seed, variant, expected):
    task = Task(name, "inverse", 64, 125, seed=seed, variant=variant)
    assert fingerprint(*task.instance(0)) == expected != fingerprint(*task.instance(1))


def test_published_figures_are_complete_and_have_sources():
    for source, errors in PUBLISHED.values():
        assert "arXiv" in source and set(errors) <= {
            (p, k) for p in PDES for k in ("forward", "inverse")
        }
    assert best_published("helmholtz", "inverse") == (15.08, "DDIS")
    assert best_published("darcy", "forward") == (2.49, "FunDPS")
    assert best_published("darcy", "inverse") == (3.2, "DiffusionPDE")


def test_without_a_suite_a_run_names_what_it_runs(tmp_path):
    with pytest.raises(InputError, match="needs --pde and --method; try --suite quick"):
        run_command("benchmark", "--out", tmp_path / "r.jsonl")
    for option in (["--noise", "0.1"], ["--grid", "16"], ["--equireg", "xyz"]):
        with pytest.raises(InputError, match=f"{option[0]} is fixed by a suite; leave it out"):
            run_command("benchmark", "--suite", "quick", "--out", tmp_path / "q", *option)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"the folder .*file cannot be made"):
        run_command("benchmark", "--suite", "quick", "--out", tmp_path / "file")
    assert set(SOLVERS) >= {m for s in SUITES.values() for m in (*s.methods, *s.guided)}


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

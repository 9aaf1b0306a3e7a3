"""Suites: the same cells for everyone, on the fields of the records."""

import re
import subprocess

import pytest
import torch
from helpers import accepts, run_command

from pdeinv import InputError
from pdeinv.benchmarks import provenance
from pdeinv.benchmarks.published import PUBLISHED, best_published
from pdeinv.benchmarks.suites import SUITES, suite_cells
from pdeinv.benchmarks.summary import LIMITS
from pdeinv.benchmarks.tasks import VARIANTS, Task, fingerprint
from pdeinv.datasets import PDES, Problem, pde_by_name
from pdeinv.solvers import SOLVERS

BENCHMARK = {pde for _, errors in PUBLISHED.values() for pde, _ in errors}


@pytest.mark.parametrize("name", SUITES)
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

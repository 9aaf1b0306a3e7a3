"""Settings and options of a benchmark: which method takes which, and what is recorded of them."""

from dataclasses import dataclass

import pytest
from helpers import gaussian_prior, read_lines, run_command, tuning_task

from pdeinv import InputError
from pdeinv.benchmarks.cells import Cell, posterior_of
from pdeinv.benchmarks.records import select_records
from pdeinv.benchmarks.reports.html_report import write_page
from pdeinv.benchmarks.runner import run
from pdeinv.cli.benchmark import parsed_settings
from pdeinv.priors import DiffusionPrior, Ensemble, save
from pdeinv.solvers import SOLVERS, GaussianSolver

TINY = tuning_task("poisson", "inverse", grid=16, sensors=20)
COMMAND = ("benchmark", "--pde", "poisson", "--grid", 16, "--sensors", 20)


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


def test_a_given_prior_is_that_of_the_ensemble():
    # The cell without one shares an ensemble of the PDE's own draws
    few = {"members": 16}
    _, own = Cell(TINY, "optimal-interpolation", settings=few).prepare()
    _, given = Cell(TINY, "optimal-interpolation", prior="poisson", settings=few).prepare()
    assert isinstance(own, Ensemble) and isinstance(given, DiffusionPrior)
    with pytest.raises(InputError, match="must be of source and potential for poisson"):
        Cell(TINY, "optimal-interpolation", prior="darcy", settings=few).prepare()


def test_a_solver_of_ones_own_may_have_steps(tmp_path, monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class Own(GaussianSolver):
        steps: int = 4

    monkeypatch.setitem(SOLVERS, "own", Own)
    records = [run(TINY, "own", 1, tmp_path / "r.jsonl", steps=n)[0] for n in (None, 8)]
    assert [r["steps"] for r in records] == [4, 8]
    assert posterior_of(read_lines(tmp_path / "r.instances.jsonl")[1])[2].samples.shape[0] == 19
    with pytest.raises(
        InputError,
        match=r"the gaussian solver does not support equireg; choose one of daps, .* moment",
    ):
        run(TINY, "own", 1, tmp_path / "r.jsonl", equireg=True)


def test_settings_of_a_method_are_recorded_and_change_it(tmp_path):
    out = tmp_path / "s.jsonl"
    command = (*COMMAND, "--task", "forward", "--instances", 1, "--method", "gaussian")
    command = (*command, "--out", out)
    for extra in ([], ["--set", "nugget=0.5"], ["--set", "nugget=0.5"]):
        assert run_command(*command, *extra).exit_code == 0
    plain, loose = read_lines(out)
    assert (plain["settings"], loose["settings"]) == (None, '{"nugget": 0.5}')
    assert plain["error"] != loose["error"]
    for setting, message in (
        ("weight=2", "setting of method 'gaussian' must be one of nugget, got 'weight'"),
        ("nugget", "must be NAME=VALUE"),
        ("nugget=much", "setting nugget .* must be of the kind of its default 1e-12, got 'much'"),
    ):
        with pytest.raises(InputError, match=message):
            run_command(*command, "--set", setting)


def test_records_have_coverage_by_rank_where_it_is_defined(tmp_path):
    (few,) = run(TINY, "gaussian", 24, tmp_path / "few.jsonl", samples=4)
    (many,) = run(TINY, "gaussian", 24, tmp_path / "many.jsonl")
    assert few["coverage90"] is None and 0.85 < many["coverage90"] < 0.95
    for record in (few, many):
        assert 0.5 < record["coverage60"] < 0.7 and record["crps_pairs"] is False
        shares = record["ranks"]
        inner = shares[1:4] if len(shares) == 5 else shares[4:16]
        assert record["coverage60"] == pytest.approx(sum(inner))
    prior = str(save(gaussian_prior("poisson", channels=1), tmp_path / "p.safetensors"))
    (pairs,) = run(TINY, "moment", 1, tmp_path / "pairs.jsonl", prior=prior)
    assert pairs["crps_pairs"] is True


@pytest.mark.parametrize(
    ("method", "setting", "expected"),
    [
        ("moment", "group_average=maybe", None),
        ("moment", "group_average=FALSE", False),
        ("moment", "group_average=true", True),
        ("moment", "group_average=1", None),
        ("gauss-newton", "ensemble=abc", None),
        ("gauss-newton", "ensemble=4", 4),
        ("daps", "weights=[1.0,2.0]", (1.0, 2.0)),
        ("ddis", "physics=operator", "operator"),
    ],
)
def test_a_setting_is_of_its_default_s_kind(method, setting, expected):
    name = setting.split("=")[0]
    cell = Cell(TINY, method, settings=parsed_settings([setting]))
    if expected is None:
        with pytest.raises(InputError, match=f"setting {name} of method .* must be of the kind of"):
            cell.solver()
    else:
        found = getattr(cell.solver(), name)
        assert found == expected and type(found) is type(expected)


def test_a_setting_whose_default_is_the_preset_s_is_checked_by_the_solver():
    cell = Cell(TINY, "daps", settings=parsed_settings(["weights=3"]))
    with pytest.raises(InputError, match=r"weights of daps must be a tuple of 2 entries, got 3"):
        cell.solver()


def test_options_go_to_the_methods_that_take_them(tmp_path):
    out = tmp_path / "mine.jsonl"
    command = (*COMMAND, "--task", "inverse", "--out", out, "--instances", 2, "--samples", 4)
    command = (*command, "--steps", 3, "--equireg", "both", "--method", "gaussian")
    with pytest.raises(
        InputError, match="steps must be left out, for none of the methods gaussian supports it"
    ):
        run_command(*command)
    assert run_command(*command, "--method", "fundps").exit_code == 0
    assert [(r["method"], r["steps"], r["equireg"]) for r in read_lines(out)] == [
        ("gaussian", 0, False),
        ("fundps", 3, False),
        ("fundps", 3, True),
    ]
    assert run_command("report", out, "--no-pictures").exit_code == 0
    assert (tmp_path / "mine.report.html").stat().st_size > 10_000
    assert "| fundps, 3 steps, EquiReg |" in (tmp_path / "mine.report.md").read_text()
    with pytest.raises(
        InputError, match=r"has no other.instances.jsonl; make it with `pdeinv benchmark --pde"
    ):
        write_page(tmp_path / "other.jsonl")

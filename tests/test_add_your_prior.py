"""docs/add-your-prior.md is true: its class works in the whole package, and keeps the contract."""

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import pytest
import test_problem_contract as contract
import torch
import xarray as xr
from helpers import seeded
from readme_blocks import ROOT, blocks, import_block

import pdeinv as package
from pdeinv import GaussianField, InputError, Problem, reconstruct
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import Poisson, generate, open_dataset, pde_of, prior_of
from pdeinv.datasets.contents import problem_of
from pdeinv.priors import GaussianPrior, load, save
from pdeinv.solvers.selection import solver_for
from pdeinv.solvers.trained_problem import trained_coefficients

PAGE = "docs/add-your-prior.md"
CLASS, USE = blocks("python", PAGE)
TABLE = {"field": "source", "x": [0.3, 0.6], "y": [0.4, 0.7], "value": [1.0, -2.0]}
TOML = """format = 1
[physics]
pde = "poisson"
[prior]
kind = "own/heavy.py:HeavyTailed"
length = 0.4
[grid]
n = 16
"""
INSTANCE = "\nnarrow = HeavyTailed(scale=0.5)\nnumber = 3\n"
NAME = "own/heavy.py:HeavyTailed"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The working directory, with the page's class in a file and a problem of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "heavy.py").write_text(CLASS + INSTANCE)
    (tmp_path / "soil.toml").write_text(TOML)
    before = dict(CoefficientPrior.kinds)
    yield tmp_path
    assert before == CoefficientPrior.kinds, "nothing is registered for good"


@pytest.fixture
def kind():
    """The class as a program defines it, for one test alone."""
    with patch.dict(CoefficientPrior.kinds), pytest.MonkeyPatch.context() as monkeypatch:
        import_block(monkeypatch, "heavy", CLASS)
        yield sys.modules["heavy"].HeavyTailed


def test_the_page_is_short():
    assert len((ROOT / PAGE).read_text().splitlines()) < 100


def test_the_example_runs_and_its_prior_is_the_better_one(tmp_path, monkeypatch, capsys, pdeinv):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heavy.py").write_text(CLASS)
    (tmp_path / "hot.toml").write_text(blocks("toml", PAGE)[0])
    with patch.dict(CoefficientPrior.kinds):
        import_block(monkeypatch, "heavy", CLASS)
        exec(USE, {})
    rows = [line.replace(",", "").split() for line in capsys.readouterr().out.splitlines()]
    for command in blocks("sh", PAGE)[0].splitlines():
        code, _, message = pdeinv(*command.split()[1:])
        assert code == 0, message
    assert load("hot.safetensors").coefficient_prior["tail"] == 0.2
    (own, own_error, own_inside), (other, error, inside) = ((r[0], r[2], r[4]) for r in rows)
    assert (own, other) == ("heavy-tailed:", "gaussian-field:")
    assert float(own_error) < 0.95 * float(error)
    assert abs(float(own_inside) - 0.9) < 0.08 and float(inside) < float(own_inside)


PHYSICS = ("poisson", "helmholtz", "poisson, rectangle")


@pytest.mark.parametrize("physics", PHYSICS)
def test_it_keeps_the_contract_of_problems(kind, physics):
    with patch.dict(contract.PRIORS, {"heavy": kind(scale=0.5, length=0.4)}):
        contract.test_auto_takes_a_solver_or_names_the_reason("heavy", physics)
        for solver in ("gauss-newton", "optimal-interpolation"):
            contract.test_readings_of_the_coefficient_give_its_known_posterior(
                solver, "heavy", physics
            )
        for cached in (contract.problem, contract.truth, contract.readings):
            cached.cache_clear()
        contract.coefficient_posterior.cache_clear()


def test_a_physics_or_a_solver_that_cannot_use_it_refuses_it(kind):
    with pytest.raises(InputError, match="must be positive everywhere, got the heavy-tailed prior"):
        Problem(package.datasets.Darcy(), kind())
    for solver, words in (("gaussian", "linear in a Gaussian"), ("level-set", "with two values")):
        with pytest.raises(InputError, match=words):
            solver_for(solver, Poisson(), kind()).check(Poisson(), kind())


def test_its_coefficients_are_those_of_the_formula(kind):
    prior, grid = kind(median=2.0, scale=3.0, tail=0.2), Poisson().grid(12)
    g = GaussianField(0.0, 1.0, 0.25).sample(5, grid, seeded())
    expected = 2.0 + 3.0 * g * torch.exp(0.1 * g**2)
    torch.testing.assert_close(prior.sample(5, grid, seeded()), expected)
    assert prior.with_numbers(tail=0.0).tail == 0 and kind.name == "heavy-tailed"
    assert prior.phrase(grid.domain) == (
        "heavy-tailed with median 2, scale 3, length 0.25, tail 0.2"
    )
    with pytest.raises(InputError, match=r"tail of the heavy-tailed prior must be .* got 0"):
        kind(tail=0.6)


def test_files_state_the_file_and_the_class(own):
    problem = Problem.load("soil.toml")
    assert problem.prior.length == 0.4 and problem.prior.scale == 1.0
    problem.save(own / "own" / "again.toml")
    assert 'kind = "heavy.py:HeavyTailed"' in (own / "own" / "again.toml").read_text()
    assert Problem.load("own/again.toml").prior.numbers == problem.prior.numbers
    generate(problem, 12, 16, seed=1, out="d.h5", workers=2)  # pickled for the processes
    with open_dataset("d.h5") as dataset:
        assert prior_of(dataset).numbers == problem.prior.numbers
    assert pickle.loads(pickle.dumps(problem.prior)).numbers == problem.prior.numbers
    save(GaussianPrior.fit("d.h5", channels="coefficient"), "m.safetensors")
    assert load("m.safetensors").coefficient_prior["length"] == 0.4
    found = reconstruct(TABLE, problem=problem, prior="m.safetensors", noise=0.1, n_samples=2)
    assert found.attrs["solver"] == "moment"
    # A data file does not run code that nobody has named
    (own / "own" / "heavy.py").write_text("raise SystemExit(9)")
    model = load("m.safetensors")
    assert model.coefficient_prior["length"] == 0.4 and trained_coefficients(model) is None
    with open_dataset("d.h5") as dataset:
        assert prior_of(dataset) is None and pde_of(dataset) == problem.physics
        with pytest.raises(InputError, match=r"whose code was not run; .* give it as pde="):
            problem_of(dataset)
    found = reconstruct(TABLE, problem=problem, prior="m.safetensors", noise=0.1, n_samples=2)
    assert found.attrs["solver"] == "moment"


def test_the_command_line_takes_it(own, pdeinv):
    package.Sensors.read(TABLE).table.assign(noise_std=0.1).to_csv("s.csv", index=False)
    for name, scale in ((NAME, "scale 1,"), ("own/heavy.py:narrow", "scale 0.5,")):
        code, out, error = pdeinv(
            *("reconstruct", "s.csv", "--pde", "poisson", "--prior", name),
            *("--grid", 16, "--samples", 2, "--out", "r.nc"),
        )
        assert code == 0 and scale in out, error
        with xr.open_dataset("r.nc") as result:
            assert result.attrs["prior_source"] == name
            assert result.attrs["solver"] == "gauss-newton"
    code, _, error = pdeinv(
        *("reconstruct", "s.csv", "--pde", "poisson", "--prior", "own/heavy.py:number"),
        *("--grid", 16, "--out", "r.nc"),
    )
    assert code == 2 and "use own/heavy.py:HeavyTailed or own/heavy.py:narrow" in error


def test_a_class_of_a_program_is_stated_by_its_name(kind):
    stated = kind(scale=2.0).to_json()
    assert stated["kind"] == "heavy-tailed" and CoefficientPrior.of(stated) == kind(scale=2.0)
    CoefficientPrior.kinds.pop("heavy-tailed")
    with pytest.raises(InputError, match=r"got 'heavy-tailed'; use one of them, or file\.py:Class"):
        CoefficientPrior.of(stated)


def test_what_files_cannot_hold_is_refused(kind):
    @dataclass(frozen=True)
    class WithFunction(kind):
        function: Callable = torch.exp

        name = "with-function"

    with pytest.raises(InputError, match="must be one that files can hold, got function = "):
        WithFunction().to_json()


def test_any_object_that_draws_states_serves_optimal_interpolation():
    class Program:
        def sample(self, n, grid, generator=None):
            return Problem.named("poisson").sample(n, grid, generator)

    table = TABLE | {"value": [0.2, -0.1]}
    found = reconstruct(table, "poisson", prior=Program(), noise=0.01, grid=16, n_samples=2)
    assert found.attrs["solver"] == "optimal-interpolation" and found.attrs["prior"] == "Program"
    assert abs(float(found.source_mean.sel(x=0.3, y=0.4, method="nearest")) - 0.2) < 0.1

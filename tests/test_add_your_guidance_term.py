"""docs/add-your-guidance-term.md is true; and what is no term is refused in one sentence."""

import dataclasses
import json

import pytest
import torch
import xarray as xr
from helpers import distance, gaussian_prior, seeded, tuning_task
from readme_blocks import ROOT, blocks, import_block

from pdeinv import InputError
from pdeinv.datasets import Helmholtz
from pdeinv.solvers import DAPS, DDIS, DPS, SOLVERS, DiffusionPDE, FunDPS, Moment
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.guidance import LossTerm

PAGE = "docs/add-your-guidance-term.md"
TERM, USE, SOLVER = blocks("python", PAGE)
N = 12


def test_the_page_is_short():
    assert len((ROOT / PAGE).read_text().splitlines()) < 100


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.py").write_text(TERM)
    return tmp_path


def test_the_example_runs_and_its_term_lowers_the_error(folder, monkeypatch, capsys, pdeinv):
    import_block(monkeypatch, "layers", TERM)
    scope = {}
    exec(USE, scope)
    plain, guided = map(float, capsys.readouterr().out.split())
    assert guided < 0.8 * plain
    result = scope["result"]
    assert float(result.reduced_chi_squared) < 3
    terms = json.loads(result.solver_settings)["guidance"]
    assert terms == ["LossTerm(loss=<function layered>, share=1.0)"]
    (command,) = blocks("sh", PAGE)
    code, _, error = pdeinv(*command.split()[1:])
    assert code == 0, error
    with xr.open_dataset("result.nc") as again:
        assert again.attrs["solver_source"] == "layers.py:moment_of_layers"
        assert again.attrs["solver"] == "moment"
        assert (
            distance(
                torch.from_numpy(again.source_mean.values),
                torch.from_numpy(result.source_mean.values),
            )
            < 1e-3
        )


def fitted(solver):
    channels = 1 if solver.role == "coefficient" else 2
    return gaussian_prior("helmholtz", N, 200, channels=channels)


def observed():
    return tuning_task("helmholtz", "both", grid=N, sensors=12, noise=0.05).instance(0)[1]


def run(solver, *terms):
    return dataclasses.replace(solver, guidance=terms)(
        Helmholtz(), fitted(solver), observed(), n_samples=4, generator=seeded()
    )


CASES = {
    "dps": DPS(steps=6),
    "fundps": FunDPS(steps=6),
    "diffusionpde": DiffusionPDE(steps=6),
    "daps": DAPS(steps=6, ode_steps=2, langevin=8, every=2, weights=(1e3, 1e3)),
    "ddis": DDIS(steps=4, ode_steps=2, langevin=4, every=2),
    "moment": Moment(steps=4),
}


def test_every_solver_by_diffusion_has_a_case():
    assert set(CASES) == {n for n, s in SOLVERS.items() if issubclass(s, DiffusionSolver)}


@pytest.mark.parametrize("solver", CASES.values(), ids=CASES)
def test_a_function_and_a_term_with_a_share_lower_their_loss_in_every_solver(solver):
    channels, seen = fitted(solver).scale.numel(), []
    weight = 1e4 if isinstance(solver, DAPS) else 1.0  # of the size of its sensors' weights

    def size(x_t, sigma, x0_hat):
        assert x_t.shape == x0_hat.shape == (4, channels, N, N) and not x_t.requires_grad
        seen.append(sigma)
        return weight * x0_hat[:, 0].square().mean(dim=(1, 2))

    def never(x_t, sigma, x0_hat):
        return None

    plain, same = run(solver), run(solver, never)
    assert torch.equal(plain.samples, same.samples)
    before = float(plain.samples[:, 0].square().mean())
    for term in (size, LossTerm(size, share=1.0)):
        assert float(run(solver, term).samples[:, 0].square().mean()) < before
    assert seen and all(isinstance(sigma, float) and sigma > 0 for sigma in seen)


def constant(x_t, sigma, x0_hat):
    return torch.ones(len(x_t), dtype=torch.float64)


WRONG = {
    "a number": (lambda x, s, h: h.square().mean(), r"shape \(4,\), .* got \(\); sum over"),
    "of each node": (lambda x, s, h: h.square(), r"shape \(4,\), one number for each sample, got"),
    "no tensor": (lambda x, s, h: 3.0, r"must be a tensor of shape \(4,\), .* got 3\.0"),
    "numpy": (lambda x, s, h: h.detach().numpy().mean(axis=(1, 2, 3)), "must be a tensor of shape"),
    "constant": (constant, "guidance term constant must depend on x0_hat, got one without a"),
    "detached": (
        lambda x, s, h: torch.zeros(4, requires_grad=True) + h.detach().sum(dim=(1, 2, 3)),
        "must depend on x0_hat",
    ),
    "nan": (lambda x, s, h: (-h.square()).sum(dim=(1, 2, 3)).log(), "must be finite with a finite"),
    "infinite slope": (
        lambda x, s, h: (h - h.detach()).sum(dim=(1, 2, 3)).abs().sqrt(),
        "got nan or inf at sigma = .*; add a small number below roots",
    ),
}


@pytest.mark.parametrize("solver", [FunDPS(steps=4), Moment(steps=3)], ids=lambda s: s.name)
@pytest.mark.parametrize(("loss", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_loss_is_refused(loss, message, solver):
    with pytest.raises(InputError, match=message):
        run(solver, loss)


@pytest.fixture(scope="module")
def robust():
    scope = {}
    exec(SOLVER, scope)
    return scope["RobustGuidance"]


def test_the_robust_guidance_minds_wrong_readings_less_than_a_squared_misfit_does(robust):
    task, errors = tuning_task("poisson", "forward", grid=16, sensors=40), {}
    truth, observation = task.instance(0)
    wrong = observation.values + 5 * observation.values.std() * (torch.arange(40) < 4)
    given = dataclasses.replace(observation, values=wrong)
    for solver in (robust(steps=15), DPS(steps=15)):
        found = solver(task.physics, None, given, n_samples=2, generator=seeded(0))
        errors[solver.name] = distance(found.mean[1], truth[1])
    assert errors["robust-guidance"] < 0.75 * errors["dps"]

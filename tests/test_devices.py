"""Devices: whatever computes with tensors takes the device from them. The device is one that every
machine can pretend to have; see `elsewhere`."""

import dataclasses
import warnings

import pytest
import torch
from cases import readings
from elsewhere import DEVICE, Elsewhere, pretended
from helpers import (
    accepts,
    brief_searches,
    gaussian_prior,
    quick_prior,
    quick_solver,
    run_command,
    seeded,
    tiny_diffusion,
    training_data,
)

import pdeinv.solvers.reconstruction as door
from pdeinv import GaussianField, Grid, InputError, Observation, layouts, reconstruct
from pdeinv.benchmarks.scoring import score
from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets import PDES, Problem, pde_by_name
from pdeinv.footprints.operator import FootprintObservation
from pdeinv.solvers import SOLVERS
from pdeinv.torch_state import moved

# A pretended device takes milliseconds for an operation
_FEWER = {"steps": 3, "langevin": 2, "ode_steps": 2}
_OWN = {"daps": {"langevin": 2}, "ddis": {"langevin": 2}, "object-chains": {"steps": 20, "runs": 1}}


def few(name):
    solver = quick_solver(name)
    known = {f.name for f in dataclasses.fields(solver)}
    return dataclasses.replace(
        solver, **{k: v for k, v in _FEWER.items() if k in known} | _OWN.get(name, {})
    )


def first_pde(name):
    """The first PDE of the registry, by name, of those that a solver accepts at little cost."""
    order = ("poisson", "darcy", *PDES)
    return next(pde for pde in order if accepts(SOLVERS[name](), pde_by_name(pde)))


def both(function, *tensors):
    """Return the result on the processor, and that elsewhere, moved back."""
    here = function(*tensors)
    with pretended() as device:
        there = function(*(t.to(device) for t in tensors))
        assert isinstance(there, Elsewhere) and there.device == device
        return here, there.cpu()


def test_a_tensor_of_the_processor_does_not_combine_with_one_elsewhere():
    with pretended() as device:
        x = torch.ones(3, device=device)
        for wrong in (
            lambda: x + torch.ones(3),
            lambda: torch.ones(3)[torch.arange(2, device=device)],
            lambda: x.numpy(),
            lambda: torch.randn(3, generator=seeded(), device=device),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                wrong()
        found = (x * torch.tensor(2.0))[torch.arange(2)]
        assert found.tolist() == [2.0, 2.0] and found.device == DEVICE


@pytest.mark.parametrize("method", ["solve", "respond", "surrogate", "residual", "gradient"])
@pytest.mark.parametrize("name", PDES)
def test_a_pde_computes_where_its_coefficient_is(name, method):
    pde = pde_by_name(name)
    a = Problem(pde).sample(2, pde.grid(12), seeded(1))[:, :1]

    def gradient(a):
        leaf = a.clone().requires_grad_()
        return torch.autograd.grad(pde.surrogate(leaf).square().sum(), leaf)[0]

    function = {"gradient": gradient}.get(method) or getattr(pde, method)
    given = (a, pde.solve(a)) if method == "residual" else (a,)
    here, there = both(function, *given)
    torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-9 * float(here.abs().max() + 1))


@pytest.mark.parametrize("make", [gaussian_prior, lambda pde: tiny_diffusion(training_data(pde))])
def test_a_prior_denoises_where_the_states_are(make):
    prior = make("poisson")
    x = training_data("poisson").states[:2].double()
    here, there = both(lambda x: prior.denoise(x, 0.3), x)
    torch.testing.assert_close(there, here)
    again = prior.denoise(x, 0.3)  # the weights of a network follow back
    assert again.device.type == "cpu" and torch.equal(again, here)


def test_a_latent_field_has_its_functions_where_its_numbers_are():
    grid = Grid(12)
    for law in (GaussianField(0.0, 1.0, length=0.3), pde_by_name("poisson").default_prior):
        field = law.latent_field(grid.domain) if hasattr(law, "latent_field") else None
        field = field or Problem(pde_by_name("poisson"), law).latent
        xi = field.white(2, seeded())
        here, there = both(lambda xi, field=field: field.square_root(xi, grid), xi)
        torch.testing.assert_close(there, here)
        here, there = both(lambda v, field=field: field.square_root_adjoint(v, grid), here.double())
        torch.testing.assert_close(there, here)


def observations():
    grid, m = Grid(16), 9
    points = torch.as_tensor(layouts.random(m, 0))
    points = 0.2 + 0.5 * points
    channel, values = torch.arange(m) % 2, torch.randn(m, dtype=torch.float64, generator=seeded())
    given = (grid, points, channel, values, torch.full_like(values, 0.1), (3, 0))
    yield "points", Observation(*given, censored=torch.arange(m) % 3 - 1)
    yield "biases", Observation(*given, common=torch.ones(m, 1, dtype=torch.float64))
    yield (
        "footprints",
        FootprintObservation(
            *given,
            kind=torch.arange(m) % 4,
            radius=torch.full_like(values, 0.15),
            ends=points + torch.tensor([0.1, 0.05]),
        ),
    )


@pytest.mark.parametrize(("kind", "observation"), [*observations()])
def test_an_observation_reads_states_where_it_is(kind, observation):
    o, chosen = observation, torch.arange(0, 9, 2)
    x = torch.randn(2, 2, 16, 16, dtype=torch.float64, generator=seeded())
    v = torch.randn(2, 9, dtype=torch.float64, generator=seeded())
    with pretended() as device:
        there = o.to(device)
        assert {t.device for t in there._rows().values()} == {device}
        moves = {
            "read": (there(x.to(device)), o(x)),
            "spread": (there.adjoint(v.to(device)), o.adjoint(v)),
            "rows": (there.rows(chosen, range(1, 2)), o.rows(chosen, range(1, 2))),
            "noise": (there.noise_covariance(), o.noise_covariance()),
            "subset": (there.subset(chosen)(x.to(device)), o.subset(chosen)(x)),
            "of field": (there.of_field, o.of_field),
            "censored": (there.below_or_above, o.below_or_above),
        }
        for name, (found, expected) in moves.items():
            assert found.device == device, name
            torch.testing.assert_close(found.cpu(), expected)
        back = there.to("cpu")
    assert torch.equal(back(x), o(x)) and torch.equal(back.values, o.values)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_computes_on_the_device_that_the_door_is_given(name, monkeypatch):
    monkeypatch.setattr(door, "checked_device", lambda device, _: torch.device(device))
    pde = first_pde(name)
    given = {"grid": 16, "n_samples": 3, "solver": few(name), "prior": quick_prior(name, pde)}
    table = readings(pde, "both, noisy")
    seen = []
    condition = SOLVERS[name].condition

    def spy(self, pde, prior, observation, *more):
        seen.append(observation.values.device)
        return condition(self, pde, prior, observation, *more)

    with brief_searches(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = reconstruct(table, pde, **given)
        monkeypatch.setattr(SOLVERS[name], "condition", spy)
        with pretended() as device:
            there = reconstruct(table, pde, device=device, **given)
    expected = torch.device("cpu") if SOLVERS[name].on_processor else DEVICE
    assert set(seen) == {expected} and there.attrs["device"] == str(expected)
    for field in pde_by_name(pde).fields[:2]:
        for what in ("mean", "std"):
            one, other = (r[f"{field.name}_{what}"].values for r in (here, there))
            assert abs(one - other).max() <= 1e-6 * abs(one).max()


def test_a_benchmark_scores_what_was_computed_elsewhere():
    task = Task("poisson", "both", 16, 20)
    given = (task, SOLVERS["gaussian"](), task.problem.prior, 0, 4)
    with pretended() as device:
        there = score(*given, device)
    for one, other in zip(score(*given), there, strict=True):
        assert one["error"] == pytest.approx(other["error"], rel=1e-6)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_in_a_sentence(device, tmp_path):
    table = tmp_path / "sensors.csv"
    table.write_text("field,x,y,value\npotential,0.3,0.4,0.002\n")
    rule = rf"device must be one of this machine, got '{device}'.*use cpu"
    with pytest.raises(InputError, match=rule):
        reconstruct(table, "poisson", device=device)
    for command in (
        ["reconstruct", str(table), "--pde", "poisson", "--out", str(tmp_path / "r.nc")],
        ["benchmark", "--pde", "poisson", "--method", "gaussian", "--task", "both", "--grid", "16"]
        + ["--instances", "1", "--out", str(tmp_path / "r.jsonl")],
    ):
        with pytest.raises(InputError, match=rule):
            run_command(*command, "--device", device)


def test_moved_follows_every_container():
    x = torch.zeros(2)
    with pretended() as device:
        found = moved({"a": [x, (x, 1)], "b": "text"}, device)
        assert found["a"][0].device == found["a"][1][0].device == device
        assert found["a"][1][1] == 1 and found["b"] == "text"

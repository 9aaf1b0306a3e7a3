"""A prior of the coefficient alone serves any physics, sides, wells and experiments."""

import dataclasses

import pytest
import torch
from helpers import gaussian_prior, normal, observe, seeded, training_data

import pdeinv
from pdeinv import Ensemble, Field, GaussianField, InputError, LogNormal, Problem
from pdeinv.benchmarks.families import FAMILIES
from pdeinv.benchmarks.studies import any_experiment
from pdeinv.datasets import (
    Darcy,
    Experiments,
    Flux,
    Helmholtz,
    NoFlux,
    Poisson,
    Sides,
    Value,
    Well,
)
from pdeinv.grid import Domain
from pdeinv.priors import GaussianPrior, TrainingData, load, prior_from_denoiser, save, shipped
from pdeinv.solvers import DAPS, DDIS, FunDPS, Moment, OptimalInterpolation
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.trained_problem import trained_coefficients, trained_physics

N = 16
OTHER = Sides(Value(0.1), NoFlux(), Flux(0.2), Value(0.0))
WELL = Darcy(
    source=0.0,
    boundary=Sides(Value(1.0), Value(0.0), NoFlux(), NoFlux()),
    wells=(Well(0.6, 0.4, rate=-2.0),),
)
TWO = Experiments((Poisson(boundary=OTHER), Poisson(source=3.0)), names=("sides", "source"))
PHYSICS = {
    "sides": Poisson(boundary=OTHER),
    "another class": Helmholtz(k=3.0, boundary=OTHER),
    "experiments": TWO,
}


def observed(pde, channel, sensors=12, noise=0.05, seed=1):
    points = torch.rand(sensors, 2, dtype=torch.float64, generator=seeded(seed))
    channel = torch.as_tensor(channel).repeat(sensors)[:sensors]
    return observe(pde, pde.grid(N), points, channel, noise=noise, seed=seed)


# The posterior


@pytest.mark.parametrize("name", PHYSICS)
def test_moment_has_the_exact_posterior_under_other_physics(name):
    """That of the Gaussian prior, restricted to what the physics leaves free."""
    pde, prior = PHYSICS[name], gaussian_prior("poisson", N, channels=1)
    _, o = observed(pde, [0, 1, len(pde.fields) - 1])
    found = Moment(steps=5, batch=100)(pde, prior, o, n_samples=100, generator=seeded())
    forward, centre = ForwardMap(pde, o), prior.mean(o.grid)
    predicted, rows = forward(centre)[0], forward.jacobian(centre)
    carried = prior.covariance(rows).double().flatten(1)
    gram = rows.flatten(1) @ carried.T + torch.diag(o.noise_std**2)
    mean = centre.flatten() + torch.linalg.solve(gram, o.values - predicted) @ carried
    mean = pde.restrict(mean.reshape(1, 1, N, N))
    moved = float((mean - pde.restrict(centre)).norm())
    assert float((found.mean[:1] - mean[0]).norm()) < 0.02 * moved
    a = found.samples[:, :1]
    assert torch.equal(a, pde.restrict(a))
    assert torch.allclose(found.samples[:, 1:], pde.respond(a))


@pytest.mark.parametrize("name", PHYSICS)
def test_an_ensemble_of_coefficients_is_solved_for_the_physics(name):
    """Its posterior is that of the same members with their solutions."""
    pde, a = PHYSICS[name], training_data("poisson", N, 60, channels=1).states.double()
    _, o = observed(pde, list(range(len(pde.fields))))
    solver = OptimalInterpolation(copies=1)
    found = solver(pde, Ensemble(a), o, generator=seeded())
    a = pde.restrict(a)
    states = torch.cat([a, pde.respond(a)], dim=1)
    if pde.experiments:
        mean, innovation = states.mean(dim=0), o.values - o(states.mean(dim=0)[None])[0]
        cross = torch.einsum("n...,nm->...m", states - mean, o(states - mean)) / (len(states) - 1)
        gram = torch.cov(o(states).T)
        nugget = torch.diag(o.noise_std**2 + found.record["nugget"] * gram.diagonal())
        expected = mean + cross @ torch.linalg.solve(gram + nugget, innovation)
        assert torch.allclose(found.mean, expected, rtol=0.05, atol=0.05 * float(expected.std()))
    else:
        joint = solver(pde, Ensemble(states), o, generator=seeded())
        assert torch.allclose(found.mean, joint.mean) and torch.allclose(found.std, joint.std)
    assert found.record["solver_calls"] == len(a) * len(pde.solution_channels)


def test_a_shipped_prior_draws_media_under_a_new_well():
    """They meet the readings, which draws of the prior do not."""
    _, o = observed(WELL, 1, sensors=20, noise=0.02)
    medium = Moment()(WELL, load("darcy-coefficient"), o, n_samples=4, generator=seeded())
    assert set(medium.samples[:, 0].unique().tolist()) == {3.0, 12.0}
    off = o(medium.samples) - o.values
    assert float((off / o.noise_std).square().mean()) < 6
    prior_only = o(Problem(WELL).sample(16, o.grid, seeded(3))) - o.values
    assert float(off.square().mean()) < 0.1 * float(prior_only.square().mean())


def test_the_door_takes_the_name_of_a_prior_and_a_problem_with_it():
    _, o = observed(WELL, 1, sensors=6)
    x, y = o.points.T.numpy()
    table = {"field": "pressure", "x": x, "y": y, "value": o.values.numpy(), "noise_std": 0.05}
    settings = {"grid": N, "solver": DDIS(steps=3, langevin=2, ode_steps=2), "n_samples": 2}
    posed = pdeinv.reconstruct(table, problem=Problem(WELL, "darcy-coefficient"), **settings)
    named = pdeinv.reconstruct(table, WELL, prior="darcy-coefficient", **settings)
    usual = pdeinv.reconstruct(table, WELL, **settings)
    for other in (named, usual):
        assert posed.permeability_mean.equals(other.permeability_mean)
    assert usual.attrs["prior"] == "the shipped darcy-coefficient"


def test_ddis_samples_the_coefficient_of_several_experiments():
    pde, prior = TWO, gaussian_prior("poisson", N, channels=1)
    truth, o = observed(pde, [1, 2], sensors=20, noise=0.01)
    solver = DDIS(steps=25, langevin=20, ode_steps=3)
    found = solver(pde, prior, o, n_samples=4, generator=seeded())
    assert found.samples.shape == (4, 3, N, N)
    assert float((found.mean[0] - truth[0, 0]).norm()) < 0.7 * float(truth[0, 0].norm())


# What a model states


def test_a_model_of_an_unknown_distribution_states_none(tmp_path):
    data = training_data("darcy", N, 40, channels=1)
    for known in (data, dataclasses.replace(data, prior=None)):
        prior = load(save(GaussianPrior.fit(known), tmp_path / f"{known is data}.safetensors"))
        assert trained_physics(prior) == Darcy()
        assert trained_coefficients(prior) == known.prior
        _, o = observed(WELL, 1)
        problem = SamplingProblem(WELL, prior, o)
        assert problem.phases == ((3.0, 12.0) if known is data else None)
    for name in shipped():
        model = load(name)
        physics, family = trained_physics(model), FAMILIES.get(name.split("-")[0])
        problem = family[physics.name] if family else Problem(physics)
        assert trained_coefficients(model) == problem.coefficient_prior


def test_an_anisotropic_prior_is_not_turned():
    grid = Poisson().grid(N)
    layered = GaussianField(0.0, 1.0, length=0.3, anisotropy=0.3)
    for prior, elements in ((layered, 4), (dataclasses.replace(layered, angle=20.0), 2), (None, 8)):
        states = Problem.of(Poisson(), prior).sample(40, grid, seeded())[:, :1].float()
        data = TrainingData(states, Poisson().fields[:1], grid, Poisson(), "here", prior=prior)
        assert len(data.symmetries) == elements
    fitted = GaussianPrior.fit(dataclasses.replace(data, prior=layered, states=data.states))
    assert trained_coefficients(fitted) == layered


# What does not go together


def stating(pde, prior, channels=1):
    """A Gaussian prior that was fitted to states of a problem."""
    return gaussian_prior(Problem(pde, prior), N, 40, channels=channels)


SOURCE = Field("source", "source term a")
ROUND = GaussianField(0.0, 1.0, length=0.3)


@pytest.mark.parametrize(
    ("solver", "pde", "prior", "message"),
    [
        (
            Moment(),
            Poisson(),
            lambda: load("darcy-coefficient"),
            "must be of source .*for poisson, got one of permeability; choose another prior",
        ),
        (
            DDIS(),
            Poisson(
                coefficient_field=dataclasses.replace(SOURCE, kind="pseudo-scalar"),
                solution_field=Field("potential", "potential u", kind="pseudo-scalar"),
            ),
            lambda: load("poisson-coefficient"),
            "source of poisson must be of a pseudo-scalar, got one of a scalar; train one for it",
        ),
        (
            Moment(),
            Darcy(coefficient_field=SOURCE),
            lambda: load("poisson-coefficient"),
            "source of darcy must be positive everywhere, got one of the spectral-field kind",
        ),
        (
            Moment(),
            Poisson(),
            lambda: load("helmholtz-coefficient"),
            "must vary on the sides that do not fix a value, got one trained for helmholtz",
        ),
        (
            Moment(),
            Poisson(domain=Domain((0.0, 2.0, 0.0, 1.0))),
            lambda: load("poisson-coefficient"),
            "must have the aspect 1 to 1 of its training data, got the aspect 2 to 1",
        ),
        (
            Moment(),
            Poisson(domain=Domain((0.0, 9.0, 0.0, 9.0), "m")),
            lambda: stating(Poisson(), ROUND),
            r"must have the lengths of its training on .*, got .*9\] m, where these would be other",
        ),
        (
            DAPS(),
            WELL,
            lambda: load("darcy-coefficient"),
            "must be of permeability and pressure .* of permeability; choose moment, or ddis, "
            "which is daps for a prior of the coefficient alone",
        ),
        (
            FunDPS(),
            WELL,
            lambda: load("darcy"),
            "pressure of darcy with these parameters, got one with boundary = .*, wells = .*; "
            "train one for them, or use a prior of the permeability alone",
        ),
        (
            OptimalInterpolation(),
            TWO,
            lambda: Ensemble(normal(4, 2, N, N)),
            "needs a prior of the source alone for several experiments, got Ensemble",
        ),
        (
            OptimalInterpolation(),
            WELL,
            lambda: Ensemble(normal(4, 1, N, N)),
            "members of a prior of the permeability of darcy must be positive everywhere, got -",
        ),
        (
            OptimalInterpolation(),
            WELL,
            lambda: Ensemble(normal(4, 1, 8, 8).exp()),
            "grid of this ensemble must have 8 x 8 nodes",
        ),
    ],
    ids=lambda v: v.name if hasattr(v, "name") else "",
)
def test_what_does_not_go_together_is_refused_in_one_sentence(solver, pde, prior, message):
    _, o = observed(pde, 1, sensors=4)
    with pytest.raises(InputError, match=message) as refused:
        solver(pde, prior(), o, n_samples=2, generator=seeded())
    assert str(refused.value).count(";") == 1 and "\n" not in str(refused.value)


def test_a_denoiser_that_is_not_positive_is_refused_where_it_must_be():
    """It states nothing but its field, and its draws have the mean 0."""
    _, o = observed(WELL, 1, sensors=4)
    examples = stating(Poisson(), ROUND).sample(40, WELL.grid(N), seeded())

    def denoiser(z, sigma):
        return z * (0.25 / (0.25 + sigma**2))[:, None, None, None]

    silent = prior_from_denoiser(denoiser, ["permeability"], WELL.grid(N), examples=examples)
    with pytest.raises(InputError, match=r"must be positive everywhere, got .* at \d+ % of the"):
        Moment()(WELL, silent, o, n_samples=2, generator=seeded())


def test_lengths_without_a_unit_go_with_any_square():
    large = Domain((0.0, 300.0, 0.0, 300.0), "m")
    Moment().check(dataclasses.replace(Poisson(), domain=large), load("poisson-coefficient"))
    kept = LogNormal(2.0, 0.5, length=0.3)
    Moment().check(WELL, stating(Darcy(), kept))


# The study


def test_the_study_resumes_and_tabulates(tmp_path, monkeypatch):
    out = tmp_path / "r.jsonl"
    monkeypatch.setitem(any_experiment.METHODS, "moment", Moment(steps=3))
    for name in ("well",):
        monkeypatch.delitem(any_experiment.EXPERIMENTS, name)
    settings = {"instances": 1, "grid": 16, "sensors": 12}
    any_experiment.run(out, methods=("limit",), **settings)
    first = out.read_text()
    records = any_experiment.run(out, methods=("limit", "moment"), **settings)
    assert out.read_text().startswith(first) and len(records) == 4
    table = any_experiment.experiment_table(records)
    assert (
        table.count("\n") == 5 and "| waves | helmholtz | moment | poisson-coefficient |" in table
    )
    for one, other in zip(records[:2], records[2:], strict=True):
        assert one["coefficient_error"] == pytest.approx(other["coefficient_error"], rel=0.1)

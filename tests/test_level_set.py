"""The posterior of the level-set solver: exact where it should be, honest everywhere."""

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import accepts, brief_searches, normal, seeded, tuning_task, vector, with_modes

from pdeinv import InputError, LogNormal, MisfitWarning, SpectralField, reconstruct
from pdeinv.datasets import Darcy, Poisson, Problem
from pdeinv.metrics import error_rate
from pdeinv.solvers import GaussianSolver, LevelSet, OptimalInterpolation, annealing

SMALL = with_modes(Darcy(), 16)
LOW, HIGH = SMALL.default_prior.phases


def instance(kind, i=0, n=24, m=40, noise=0.0, pde=SMALL):
    """A truth of few modes and its readings at random nodes."""
    _, observation = tuning_task("darcy", kind, grid=n, sensors=m).instance(i)
    truth = Problem(pde).sample(1, observation.grid, seeded(i))
    std = noise * truth[0].flatten(1).std(dim=1)[observation.channel]
    values = observation(truth)[0] + std * normal(len(observation), seed=i)
    return truth[0], dataclasses.replace(observation, values=values, noise_std=std)


def latent_of(pde, xi, grid):
    latent = Problem(pde).latent
    return latent.square_root(xi.unflatten(1, latent.shape), grid)


# The posterior


CORNERS = [(3, 4), (5, 11), (11, 6), (12, 12)]  # (x, y), nodes of a grid of 16


@pytest.mark.parametrize(
    ("values", "noise", "prior_draws"),
    [((12.0, 12.0, 3.0, 12.0), 0.0, 20_000), ((14.0, 12.0, -2.0, 5.0, 9.0), 6.0, 6_000)],
    ids=["exact", "doubtful"],
)
def test_what_the_permeability_tells_is_told_exactly(values, noise, prior_draws):
    pde = with_modes(Darcy(tolerance=1e-5), 16)
    grid = pde.grid(16)
    nodes = (CORNERS + CORNERS[:1])[: len(values)]  # a second reading at the first node
    _, observation = instance("forward", n=16, m=len(values))
    observation = dataclasses.replace(
        observation,
        points=vector(*nodes) / 15,
        values=vector(*values),
        noise_std=torch.full_like(vector(*values), noise),
    )
    ours = LevelSet(draws=1600)(pde, None, observation, generator=seeded(1))

    a = Problem(pde).sample_coefficient(prior_draws, grid, seeded(2))
    y, variance = torch.stack([a[:, 0, j, i] for i, j in nodes], dim=1), max(noise, 0.1) ** 2
    weight = (-(observation.values - y).square().sum(dim=1) / (2 * variance)).exp()
    a, weight = a[weight > 1e-12], weight[weight > 1e-12]
    states = torch.cat([a, torch.cat([pde.solve(part) for part in a.split(500)])], dim=1)
    weight = (weight / weight.sum())[:, None, None, None]
    mean = (weight * states).sum(dim=0)
    std = (weight * (states - mean) ** 2).sum(dim=0).sqrt()
    # Both sides' effective numbers of draws; the pressure's kurtosis is about 3.
    count = 1 / (float((weight**2).sum()) + 1 / min(1600, ours.record["effective_sample_size"]))
    assert count > 300
    inside = std[1] > 0
    assert float((((ours.mean - mean)[1] / std[1])[inside]).abs().max()) < 4 / count**0.5
    assert float((ours.std[1] / std[1] - 1)[inside].abs().max()) < 4 / count**0.5
    share = (mean[0] - LOW) / (HIGH - LOW)
    assert float((ours.probability - share).abs().max()) < 4 * 0.5 / count**0.5
    # The readings are worth more than that.
    assert float((ours.probability - 0.5).abs().max()) > 0.3
    assert (
        float(
            (ours.mean[1] - Problem(pde).sample(200, grid, seeded())[:, 1].mean(dim=0)).abs().max()
            / std[1].max()
        )
        > 0.3
    )


class Passing(SpectralField):
    """A Gaussian coefficient that passes for one with two values: its posterior is known in closed
    form."""

    phases, threshold = (-1.0, 1.0), 0.0


def test_a_linear_pde_gets_its_exact_posterior():
    _, observation = tuning_task("poisson", "inverse", grid=40, sensors=20, noise=0.1).instance(0)
    pde, prior = Poisson(), Passing(modes=16)
    exact = GaussianSolver()(pde, prior, observation, generator=seeded())
    ours = LevelSet(ensemble=400)(pde, prior, observation, generator=seeded(1))
    left = exact.std > 1e-3 * exact.std.amax(dim=(1, 2), keepdim=True)
    # Antithetic pairs: only members that were left out without their partners move the mean.
    assert float(((ours.mean - exact.mean) / exact.std)[left].abs().max()) < 0.1
    ratio = (ours.std / exact.std - 1)[left]
    assert (
        float(ratio.abs().max()) < 4 / ours.record["members_kept"] ** 0.5
        and abs(float(ratio.mean())) < 0.04
    )
    misfit = (observation(exact.mean[None])[0] - observation.values) / observation.noise_std
    assert ours.record["reduced_chi_squared"] == pytest.approx(
        float(misfit.square().mean()), rel=0.1
    )


@cache
def solved(kind, i):
    truth, observation = instance(kind, i)
    return (
        truth,
        observation,
        LevelSet(ensemble=6)(SMALL, None, observation, n_samples=5, generator=seeded()),
    )


@pytest.mark.parametrize(("kind", "instances"), [("inverse", (2, 4)), ("both", (2,))])
def test_the_phases_are_found_better_than_by_the_best_linear_estimate(kind, instances):
    wrong = torch.zeros(2)
    for i in instances:
        truth, observation, ours = solved(kind, i)
        linear = OptimalInterpolation(members=300)(SMALL, None, observation, generator=seeded())
        means = torch.stack([ours.mean, linear.mean])
        wrong += error_rate(means, truth[None], (LOW + HIGH) / 2)[:, 0]
    assert float(wrong[0]) < 0.9 * float(wrong[1])


@pytest.mark.parametrize("kind", ["inverse", "both"])
def test_the_parts_of_a_posterior_belong_together(kind):
    _, observation, posterior = solved(kind, 2)
    a, u = posterior.samples[:, :1], posterior.samples[:, 1:]
    assert posterior.samples.shape == (5, 2, 24, 24) and a.unique().tolist() == [
        LOW,
        HIGH,
    ]
    latent = latent_of(SMALL, posterior.latent, posterior.grid)
    assert torch.equal(Problem(SMALL).coefficient(latent), a)
    p, kept, jump = posterior.probability, posterior.record["members_kept"], HIGH - LOW
    assert torch.allclose(posterior.mean[0], LOW + jump * p)
    assert torch.allclose(posterior.std[0], jump * (p * (1 - p) * kept / (kept - 1)).sqrt())
    # The pressure is that of the samples but for a slight smoothing, with which it meets the
    # readings.
    assert 0 < float((u - SMALL.solve(a)).norm() / u.norm()) < 0.1
    misfit, mine = observation(posterior.samples) - observation.values, observation.channel == 1
    assert float(misfit[:, mine].square().mean().sqrt() / observation.values[mine].std()) < 0.03
    assert float((misfit[:, ~mine] == 0).double().mean()) > 0.9 or kind == "inverse"


@pytest.mark.parametrize("kind", ["forward", "inverse", "both"])
def test_the_record_says_what_was_done(kind):
    record = solved(kind, 2)[2].record
    assert 0 <= record["reduced_chi_squared"] < 2
    assert record["solver_calls"] == 128 if kind == "forward" else record["solver_calls"] > 100
    assert record["members_kept"] == 128 if kind == "forward" else 5 <= record["members_kept"] <= 8
    assert ("r_hat" in record) == ("effective_sample_size" in record) == (kind != "inverse")
    if kind != "inverse":
        assert 0.99 < record["r_hat"] < 1.2 and 50 < record["effective_sample_size"] < 1000


@pytest.mark.parametrize(("ensemble", "n_samples"), [(4, 9), (12, 5)])
def test_no_sample_is_repeated_even_where_members_are_left_out(ensemble, n_samples, monkeypatch):
    class Stuck(annealing.SmoothedProblem):
        def minimise(self, *given):
            xi, value = super().minimise(*given)
            value[[1, -1]] = 1e9  # the second member and the last of each batch get stuck
            return xi, value

    monkeypatch.setattr(annealing, "SmoothedProblem", Stuck)
    _, observation = instance("inverse", 2)
    with brief_searches():
        found = LevelSet(ensemble=ensemble)(
            SMALL, None, observation, n_samples=n_samples, generator=seeded()
        )
    assert found.samples.shape == (n_samples, 2, 24, 24)
    assert len(found.latent.unique(dim=0)) == n_samples <= found.record["members_kept"] < 13
    assert len(found.samples[:, 0].flatten(1).unique(dim=0)) == n_samples


# Through the door


def table_of(observation):
    columns = {
        "x": observation.points[:, 0],
        "y": observation.points[:, 1],
        "value": observation.values,
    }
    names = np.array(["permeability", "pressure"])[observation.channel.numpy()]
    return pd.DataFrame({"field": names, **columns, "noise_std": observation.noise_std})


def reconstructed(table):
    return reconstruct(table, SMALL, grid=24, n_samples=2, solver=LevelSet(ensemble=4, draws=16))


def test_honest_readings_raise_no_warning_and_give_a_probability(recwarn):
    result = reconstructed(table_of(instance("both", 2, noise=0.01)[1]))
    assert not [w for w in recwarn if issubclass(w.category, MisfitWarning)]
    probability = result["permeability_probability"]
    assert probability.dims == ("y", "x") and probability.attrs == {
        "long_name": "posterior probability of the high value of the permeability a",
        "units": "1",
    }
    assert np.allclose(result["permeability_mean"], LOW + (HIGH - LOW) * probability)


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("inverse", lambda values: 10 * values),
        ("inverse", lambda values: values[::-1]),
        ("forward", lambda values: 10 * values),
        ("forward", lambda values: np.random.default_rng(0).uniform(3, 12, len(values))),
    ],
    ids=["pressure scaled", "pressure shuffled", "permeability scaled", "permeability at random"],
)
def test_readings_that_no_such_medium_can_have_raise_a_warning(kind, spoil):
    table = table_of(instance(kind, 2, noise=0.01)[1])
    # Two stages are enough to see it
    with brief_searches(), pytest.warns(MisfitWarning, match="do not fit darcy"):
        reconstructed(table.assign(value=spoil(table.value.to_numpy())))


def test_what_it_cannot_do_is_refused():
    _, observation = tuning_task("poisson", "inverse", grid=16, sensors=5).instance(0)
    with pytest.raises(
        InputError, match=r"not made for poisson with .*: it needs a coefficient with two values"
    ):
        LevelSet()(Poisson(), None, observation)
    bounded = LogNormal(median=1.0, log_std=0.5, length=0.3)
    assert bounded.bounds and accepts(LevelSet(), Darcy())
    assert not accepts(LevelSet(), Darcy(), bounded)
    for settings, message in (
        ({"ensemble": 7}, "even integer"),
        ({"ensemble": 2}, "4"),
        ({"draws": 8}, "at least 16"),
        ({"stages": "quick"}, "stages of level-set must be 'thorough' or 'brief', got 'quick'"),
    ):
        with pytest.raises(InputError, match=message):
            LevelSet(**settings)

"""Unknown noise of readings under a learned prior."""

import dataclasses

import pytest
import torch
from helpers import gaussian_prior, observe, seeded

from pdeinv import InputError, Unknown
from pdeinv.datasets import Darcy, NavierStokes, Poisson
from pdeinv.solvers import Moment
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.unknown_noise import NoiseEvidence

N, M = 16, 60


def unknown(o):
    """Return readings with one unknown noise for each field, in a range about the spread of its
    readings."""
    std, group, ranges = o.noise_std.clone(), torch.zeros_like(o.channel), []
    for j, channel in enumerate(o.channel.unique().tolist()):
        mine = o.channel == channel
        spread = float(o.values[mine].std())
        one = Unknown(1e-4 * spread, spread, "log-normal")
        std[mine], group[mine] = float(one), j
        ranges.append((f"noise of {channel}", one))
    return dataclasses.replace(o, noise_std=std, noise_group=group, unknown_noise=tuple(ranges))


def readings(pde, channels, seed=0, noise=0.05):
    points = torch.rand(M, 2, dtype=torch.float64, generator=seeded(seed))
    channel = torch.tensor(channels)[torch.arange(M) % len(channels)]
    return observe(pde, pde.grid(N), points, channel, noise=noise, seed=seed)


def evidence(prior, o):
    given = unknown(o)
    return NoiseEvidence(SamplingProblem(Poisson(), prior, given), given)


def test_the_density_is_that_of_the_gaussian_part():
    prior = gaussian_prior("poisson", N, channels=1)
    _, o = readings(Poisson(), [0])
    found = evidence(prior, o)
    unit = o.adjoint(torch.eye(M, dtype=torch.float64))[:, :1]
    gram = o(torch.cat([prior.covariance(unit), 0 * unit], dim=1))
    mean = o(torch.cat([prior.mean(o.grid), 0 * prior.mean(o.grid)], dim=1).double())[0]

    def exact(z):
        covariance = gram + torch.diag(found.std(z) ** 2)
        law = torch.distributions.MultivariateNormal(mean, (covariance + covariance.T) / 2)
        return float(law.log_prob(o.values)) - float(z @ z) / 2

    low, high = torch.tensor([-0.5]).double(), torch.tensor([1.0]).double()
    change = found.log_density(high, o.values) - found.log_density(low, o.values)
    assert change == pytest.approx(exact(high) - exact(low), rel=1e-3)


@pytest.mark.parametrize("channels", [[1], [0, 1]])
def test_the_noise_is_found_within_its_interval(channels):
    prior, off = gaussian_prior("poisson", N, channels=1), []
    for seed in range(4):
        _, o = readings(Poisson(), channels, seed)
        found = evidence(prior, o)
        z, covariance = found.fitted(found.observation.values)
        for j, (_, one) in enumerate(found.observation.unknown_noise):
            true = one.white(float(o.noise_std[o.channel == channels[j]][0]))
            off.append((float(z[j]) - true) / float(covariance[j, j].sqrt()))
    size = torch.tensor(off).square().mean().sqrt()
    assert 0.4 < size < 1.7


def test_draws_of_a_gaussian_prior_need_little_correction():
    prior = gaussian_prior("poisson", N, channels=1)
    found = evidence(prior, readings(Poisson(), [1])[1])
    z, curved = found.fitted(found.observation.values)
    corrected, variance, change = found.checked(seeded(1))
    assert float((corrected - z).abs()) < 1.5 * float(curved.sqrt())
    assert float(variance) >= float(curved)
    assert float(change.abs()) < 0.5


def test_the_posterior_is_near_that_of_the_noise_that_is_right():
    prior = gaussian_prior("poisson", N, channels=1)
    _, o = readings(Poisson(), [1])
    solver = Moment(steps=2)
    found, known = (
        solver(Poisson(), prior, one, n_samples=32, generator=seeded()) for one in (unknown(o), o)
    )
    spread = known.std[0].mean()
    assert float((found.mean[0] - known.mean[0]).abs().mean()) < 0.7 * float(spread)
    assert 0.7 < float(found.std[0].mean() / spread) < 1.5
    low, high = found.parameters.interval
    assert float(low) < float(o.noise_std[0]) < float(high)
    assert found.parameters.samples.shape == (32, 1)
    assert found.record["noise_correction"] >= 1


@pytest.mark.parametrize("pde", [Darcy(), NavierStokes()])
def test_where_readings_are_not_linear_unknown_noise_is_refused(pde):
    prior = gaussian_prior(pde, N, channels=1)
    _, o = readings(pde, [1])
    with pytest.raises(InputError, match="of which the readings are not linear, got unknown noise"):
        Moment(steps=2)(pde, prior, unknown(o), generator=seeded())


def test_other_unknown_numbers_are_refused():
    prior = gaussian_prior("poisson", N, channels=1)
    _, o = readings(NavierStokes(), [1])
    pde = NavierStokes(viscosity=(1e-4, 1e-2))
    with pytest.raises(InputError, match="but those of the noise must be known, got unknown visc"):
        Moment(steps=2).condition(pde, prior, o, 2, seeded(), False)

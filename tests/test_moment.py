"""The moment solver: exact for Gaussians, near the limit for the PDEs' own priors, honest about
what it did."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from helpers import normal, seeded

from pdeinv import InputError
from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, pde_by_name
from pdeinv.metrics import error_rate
from pdeinv.priors import GaussianPrior, TrainingData
from pdeinv.solvers import (
    GaussianSolver,
    GaussNewton,
    LevelSet,
    Moment,
    OptimalInterpolation,
)
from pdeinv.solvers.base import count_informative, nugget_variance
from pdeinv.solvers.diffusion import moment
from pdeinv.solvers.diffusion.base import Problem
from pdeinv.solvers.diffusion.conditioning import Dense, Linearised, sensitivity
from pdeinv.solvers.diffusion.equireg import EquiReg

N = 16


class Exact(Darcy):
    """Its surrogate is its solve, so that derivatives can be compared to many digits."""

    def surrogate(self, a):
        return self.solve(a)


@cache
def fitted(name="helmholtz", channels=1, n=N, samples=800):
    pde = pde_by_name(name)
    states = pde.sample(samples, pde.grid(n), seeded())[:, :channels].float()
    return GaussianPrior.fit(TrainingData(states, pde.fields[:channels], pde.grid(n), pde, "here"))


# A Gaussian prior: the posterior is known


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_on_a_gaussian_prior_mean_and_covariance_are_those_of_the_posterior(noise):
    prior, draws = fitted(channels=2), 4000
    _, o = Task("helmholtz", "both", grid=N, sensors=6, noise=noise).instance(0)
    found = Moment(steps=20, batch=draws)(
        Helmholtz(), prior, o, n_samples=draws, generator=seeded()
    )
    m = len(o)
    eye = torch.eye(2 * N * N, dtype=torch.float64).reshape(-1, 2, N, N)
    covariance = prior.covariance(eye).flatten(1)
    h = o.adjoint(torch.eye(m, dtype=torch.float64)).flatten(1)
    gram = h @ covariance @ h.T
    told, judged = (
        count_informative(gram.diagonal(), o),
        torch.diag(o.noise_std**2 + nugget_variance(gram.diagonal(), o, 1e-6)),
    )
    judged = judged + gram
    gram = gram + torch.diag(o.noise_std**2 + nugget_variance(gram.diagonal(), o, 1e-10))
    posterior = covariance - covariance @ h.T @ torch.linalg.solve(gram, h @ covariance)
    centre = prior.mean(o.grid)
    residual = (o.values - o(centre))[0]
    mean = centre.flatten() + covariance @ h.T @ torch.linalg.solve(gram, residual)
    chi2 = float(residual @ torch.linalg.solve(judged, residual)) / told
    assert found.record["reduced_chi_squared"] == pytest.approx(chi2, rel=1e-4)
    std = posterior.diagonal().clamp(min=1e-30).sqrt()
    # Neither read exactly nor held at the boundary
    moving = std > 1e-3 * covariance.diagonal().clamp(min=1e-20).sqrt()
    samples = found.samples.flatten(1)
    # Antithetic pairs: no sampling error in the mean, which is exact as far as the denoiser and S
    # are of one Gaussian.
    assert float(((found.mean.flatten() - mean) / std)[moving].abs().max()) < 0.05
    ratio = samples.var(dim=0)[moving] / std[moving] ** 2
    assert float((ratio - 1).abs().max()) < 5 * (2 / (draws / 2)) ** 0.5
    standard = (samples - samples.mean(dim=0))[:, moving] / std[moving]
    expected = posterior[moving][:, moving] / (std[moving][:, None] * std[moving])
    off = standard.T @ standard / draws - expected
    assert float(off.square().mean().sqrt()) < 1.5 * (2 / draws) ** 0.5


@pytest.mark.parametrize("kind", ["forward", "inverse", "both"])
@pytest.mark.parametrize("channels", [1, 2])
def test_its_mean_is_the_exact_one_of_a_linear_pde(kind, channels):
    prior = fitted(channels=channels, n=24, samples=3000)
    ours = best = 0.0
    for i in range(4):
        truth, o = Task("helmholtz", kind, grid=24, sensors=30, seed=1).instance(i)
        for c in {"forward": (1,), "inverse": (0,), "both": (0, 1)}[kind]:
            found = Moment(steps=4)(Helmholtz(), prior, o, n_samples=4, generator=seeded(i))
            exact = GaussianSolver()(Helmholtz(), None, o, n_samples=1, generator=seeded())
            ours += float((found.mean[c] - truth[c]).norm() / truth[c].norm())
            best += float((exact.mean[c] - truth[c]).norm() / truth[c].norm())
    assert ours < 1.1 * best


def test_noisy_readings_count_by_their_noise():
    prior = fitted(n=24)
    _, o = Task("helmholtz", "inverse", grid=24, sensors=30, noise=0.1).instance(0)
    exact = GaussianSolver()(Helmholtz(), None, o, n_samples=1, generator=seeded())
    found = Moment(steps=4)(Helmholtz(), prior, o, n_samples=8, generator=seeded())
    assert float((found.mean[0] - exact.mean[0]).norm() / exact.mean[0].norm()) < 0.1
    assert float((o.values - o(found.mean[None])[0]).abs().mean()) > 0.3 * float(
        o.noise_std.mean()
    )  # not followed blindly


# Nonlinear PDEs


def test_navier_stokes_is_as_good_as_gauss_newton():
    pde, prior, ours, theirs = NavierStokes(), fitted("navier-stokes", n=24, samples=3000), 0.0, 0.0
    for i in range(3):
        truth, o = Task("navier-stokes", "inverse", grid=24, sensors=60).instance(i)
        found = Moment(steps=4)(pde, prior, o, n_samples=16, generator=seeded(i))
        reference = GaussNewton()(pde, None, o, n_samples=16, generator=seeded(i))
        ours += float((found.mean[0] - truth[0]).norm() / truth[0].norm())
        theirs += float((reference.mean[0] - truth[0]).norm() / truth[0].norm())
        assert float((o.values - o(found.samples)).abs().max() / o.values.std()) < 0.02
    assert ours < 1.15 * theirs


def test_darcy_is_better_than_the_best_linear_estimate():
    pde, prior, ours, linear = Darcy(), fitted("darcy", n=24), 0.0, 0.0
    for i in range(2):
        truth, o = Task("darcy", "inverse", grid=24, sensors=60).instance(i)
        found = Moment()(pde, prior, o, n_samples=8, generator=seeded(i))
        reference = OptimalInterpolation()(pde, None, o, n_samples=8, generator=seeded(i))
        for s, total in ((found, "ours"), (reference, "linear")):
            rate = float(error_rate(s.mean[None, :1], truth[None, :1], 7.5).mean())
            ours, linear = (ours + rate, linear) if total == "ours" else (ours, linear + rate)
        assert set(found.samples[:, 0].unique().tolist()) == {3.0, 12.0}
        assert torch.allclose(found.probability, (found.mean[0] - 3) / 9)
    assert ours < linear


def test_darcys_solution_from_a_permeability_that_is_read_is_near_that_of_the_level_set():
    pde, prior, ours, theirs = Darcy(), fitted("darcy", n=24), 0.0, 0.0
    for i in range(4):
        truth, o = Task("darcy", "forward", grid=24, sensors=60).instance(i)
        found = Moment(steps=6)(pde, prior, o, n_samples=16, generator=seeded(i))
        reference = LevelSet()(pde, None, o, n_samples=16, generator=seeded(i))
        ours += float((found.mean[1] - truth[1]).norm() / truth[1].norm())
        theirs += float((reference.mean[1] - truth[1]).norm() / truth[1].norm())
        assert set(found.samples[:, 0].unique().tolist()) == {3.0, 12.0}
        assert float((o(found.samples) == o.values).double().mean()) > 0.95
    assert ours < 1.3 * theirs


def test_a_thorough_anneal_takes_longer_and_both_meet_the_readings():
    pde, prior = Darcy(), fitted("darcy", n=24)
    _, o = Task("darcy", "inverse", grid=24, sensors=40).instance(1)
    calls = []
    for thorough in (True, False):
        found = Moment(thorough=thorough)(pde, prior, o, n_samples=4, generator=seeded(1))
        assert found.record["reduced_chi_squared"] < 2 and found.samples[:, 0].unique().numel() == 2
        calls.append(found.record["solver_calls"])
    assert calls[0] > 1.5 * calls[1]


# The pieces


def test_sensitivity_is_the_derivative_of_the_readings():
    pde = Exact(modes=8)
    _, o = Task("darcy", "both", grid=12, sensors=5).instance(0)
    a = pde.smoothed(normal(1, 1, 12, 12), 1.0)
    rows = sensitivity(pde, o, a)
    step = 1e-5 * normal(1, 1, 12, 12, seed=2)
    ahead, behind = (o(torch.cat([x, pde.solve(x)], dim=1))[0] for x in (a + step, a - step))
    assert torch.allclose(
        (ahead - behind) / 2, (rows * step).sum(dim=(1, 2, 3)), rtol=1e-4, atol=1e-10
    )


def test_linear_conditioning_meets_exact_readings():
    prior = fitted(channels=2)
    _, o = Task("helmholtz", "both", grid=N, sensors=6).instance(0)
    spread = prior.spread(o.grid)
    rows = o.adjoint(torch.eye(len(o), dtype=torch.float64))
    condition = Linearised(spread, o, Dense(spread, o, rows))
    x, _ = condition(
        normal(3, 2, N, N), 0.5, normal(3, len(spread), seed=1), normal(3, len(o), seed=2), o
    )
    varies = spread.adjoint(rows).norm(dim=1) > 1e-9
    assert torch.allclose(
        o(x)[:, varies], o.values[varies].expand(3, -1), atol=1e-4 * float(o.values.abs().max())
    )


@pytest.mark.parametrize("kind", ["forward", "inverse", "both"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_many_sensors_need_no_matrix(kind, channels, noise, monkeypatch):
    truth, o = Task("helmholtz", kind, grid=24, sensors=80, noise=noise).instance(0)
    found = []
    for many in (2000, 50):
        monkeypatch.setattr(moment, "_MANY", many)
        found.append(
            Moment(steps=4)(
                Helmholtz(), fitted(channels=channels), o, n_samples=4, generator=seeded()
            )
        )
    dense, free = (f.record["reduced_chi_squared"] for f in found)
    # Conjugate gradients stop before such readings are met to the last digit
    early = kind == "both" and not noise
    assert free == pytest.approx(dense, rel=0.25 if early else 0.02) and dense < 2
    for c in (0, 1):
        dense, free = (float((f.mean[c] - truth[c]).norm() / truth[c].norm()) for f in found)
        assert free < 1.03 * dense + 1e-3
        if noise:  # exact readings of both fields are met to the last digit by the matrix alone
            apart = [
                float((getattr(found[0], k)[c] - getattr(found[1], k)[c]).norm())
                for k in ("mean", "std")
            ]
            assert max(apart) < 0.02 * float(truth[c].norm())


@pytest.mark.parametrize("kind", ["forward", "inverse"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_matrix_free_readings_have_their_adjoint(kind, channels, monkeypatch):
    monkeypatch.setattr(moment, "_MANY", 1)
    _, o = Task("helmholtz", kind, grid=N, sensors=7).instance(0)
    problem = Problem(Helmholtz(), fitted(channels=channels), o, (), seeded())
    derivative = moment._Conditioning(Moment(), problem)._derivative(
        problem.gaussian.mean(o.grid)[None]
    )
    c, w = normal(3, len(derivative.spread)), normal(3, len(o), seed=1)
    assert torch.allclose(
        (derivative.forward(c) * w).sum(dim=1), (c * derivative.adjoint(w)).sum(dim=1), rtol=1e-10
    )


def test_a_guidance_term_pushes_by_its_share_and_leaves_the_readings_met():
    _, o = Task("helmholtz", "inverse", grid=N, sensors=6).instance(0)

    def lower(x_t, sigma, x0_hat):
        return x0_hat.sum(dim=(1, 2, 3))

    lower.share = 0.5
    found = {
        share: Moment(steps=4, guidance=terms)(
            Helmholtz(), fitted(), o, n_samples=4, generator=seeded()
        )
        for share, terms in ((0, ()), (0.5, (lower,)))
    }
    assert float(found[0.5].mean[0].mean()) < float(found[0].mean[0].mean())
    for posterior in found.values():
        assert torch.allclose(
            o(posterior.samples), o.values.expand(4, -1), atol=1e-4 * float(o.values.abs().max())
        )
    equireg = Moment(steps=6, guidance=(EquiReg(),))(
        Helmholtz(), fitted(), o, n_samples=4, generator=seeded()
    )
    assert equireg.record["network_evaluations"] > 6
    problem = Problem(Helmholtz(), fitted(), o, (lower,), seeded())
    mean, moved = normal(2, 1, N, N), normal(2, 1, N, N, seed=1)
    sizes = [
        v.flatten(1).norm(dim=1) for v in (moment._pushed(problem, mean, 0.1, mean, moved), moved)
    ]
    assert torch.allclose(sizes[0], 0.5 * sizes[1])


# What it says and refuses


@pytest.mark.parametrize("kind", ["forward", "inverse"])
@pytest.mark.parametrize("name", ["helmholtz", "navier-stokes"])
def test_its_reduced_chi_squared_is_that_of_the_solvers_that_know_the_prior(name, kind):
    pde, prior, exact = pde_by_name(name), fitted(name, n=24, samples=3000), GaussNewton()
    for i in range(2):
        _, o = Task(name, kind, grid=24, sensors=40, noise=0.05).instance(i)
        ours, theirs = (
            s(pde, p, o, n_samples=2, generator=seeded()).record["reduced_chi_squared"]
            for s, p in ((Moment(steps=2), prior), (exact, None))
        )
        assert ours == pytest.approx(theirs, rel=0.1)


def test_readings_of_no_stable_flow_are_told():
    _, o = Task("navier-stokes", "inverse", grid=24, sensors=40).instance(0)
    with pytest.raises(
        InputError,
        match="no initial_vorticity for which navier-stokes is stable comes near the readings",
    ):
        Moment(steps=2)(
            NavierStokes(), fitted("navier-stokes", n=24), replace(o, values=1000 * o.values)
        )


@pytest.mark.parametrize("option", [{"guidance": (EquiReg(),)}, {"group_average": True}])
def test_what_asks_the_denoiser_is_refused_where_there_is_none(option):
    _, o = Task("darcy", "inverse", grid=N, sensors=6).instance(0)
    with pytest.raises(InputError, match="asks no denoiser for a two-valued permeability"):
        Moment(**option)(Darcy(), fitted("darcy"), o, n_samples=2)


def test_it_tells_its_cost():
    _, o = Task("helmholtz", "inverse", grid=N, sensors=6).instance(0)
    record = Moment(steps=5)(Helmholtz(), fitted(), o, n_samples=3, generator=seeded()).record
    assert record["network_evaluations"] == 5
    assert (
        record["solver_calls"] == 6 + 1 + 6 * 3 + 3
    )  # the sensors' rows, the mode, the predictions at six levels, the samples' solutions
    _, o = Task("darcy", "inverse", grid=N, sensors=6).instance(0)
    record = Moment()(Darcy(), fitted("darcy"), o, n_samples=2, generator=seeded()).record
    assert record["network_evaluations"] == 0 and record["solver_calls"] > 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma_min": 6.0}, "sigma_min = 6.0 must be less than sigma_max = 3.0"),
        ({"steps": 1}, "steps = 1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Moment(**settings)


def test_a_prior_of_other_fields_is_refused():
    _, o = Task("darcy", "forward", grid=N, sensors=6).instance(0)
    for channels, message in (
        (1, "of permeability, not of source"),
        (2, "not of source and wavefield"),
    ):
        with pytest.raises(InputError, match=message):
            Moment(steps=2)(Darcy(), fitted(channels=channels), o)

"""Solvers use readings of discs, lines and differences by their operator, or refuse them."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from helpers import (
    PAIRS,
    distance,
    on_rectangle,
    quick_prior,
    quick_solver,
    rms,
    seeded,
    suited_prior,
    with_modes,
)
from test_affine_solvers import dense_posterior

from pdeinv import Grid, InputError, LogNormal, Problem, layouts
from pdeinv.coefficients import GaussianField
from pdeinv.datasets import Darcy, NavierStokes, Poisson, pde_by_name
from pdeinv.footprints import FootprintObservation
from pdeinv.solvers import SOLVERS, GaussianSolver, GaussNewton
from pdeinv.solvers.linear_algebra import levels_of

DISC, DIFFERENCE = 1, 3
POINTS_ALONE = {"kriging", "fno"}
# Standard deviations of the noise that quick runs leave
LOOSE = {"dps": 2.2, "diffusionpde": 2.2, "daps": 2.5, "ddis": 3.0, "object-chains": 3.5}


def read(problem, grid, kind, channel, noise=0.05, seed=0):
    """Return a state of the prior and readings of kinds and channels (m,), by turns."""
    m, domain, physics = len(kind), grid.domain, problem.physics
    points, ends = (torch.as_tensor(layouts.random(m, seed + k)) for k in range(2))
    points, ends = (domain.absolute(0.16 + 0.68 * p) for p in (points, ends))
    truth = problem.sample(1, grid, seeded(seed))[:, : len(physics.fields)]
    std = noise * truth[0].flatten(1).std(dim=1)[channel]
    blank = FootprintObservation(
        grid,
        points,
        channel,
        torch.zeros_like(std),
        std,
        tuple(f.interpolation_order for f in physics.fields),
        kind=kind,
        radius=torch.full((m,), 0.15 * domain.shorter, dtype=torch.float64),
        ends=ends,
    )
    white = torch.randn(1, m, dtype=torch.float64, generator=seeded(seed + 1))
    values = (blank(truth.double()) + blank.noise(white))[0]
    return truth[0], dataclasses.replace(blank, values=values)


def turns(m, *numbers):
    return torch.tensor(numbers).repeat(m)[:m]


# Against closed forms


@pytest.mark.parametrize("place", ["square", "rectangle"])
def test_the_gaussian_posterior_is_the_closed_form(place):
    pde = with_modes(Poisson(), 10)
    pde = pde if place == "square" else on_rectangle(pde)
    grid = pde.grid(14)
    kind, channel = turns(24, 0, 1, 2, 3), turns(24, 0, 0, 0, 0, 1, 1, 1, 1)
    _, observation = read(Problem(pde, pde.default_prior), grid, kind, channel)
    mean, covariance, chi_squared = dense_posterior(pde, observation)
    found = GaussianSolver()(pde, None, observation, n_samples=2, generator=seeded())
    std = np.sqrt(covariance.diagonal().clip(0))
    for c, (part, deviation) in enumerate(zip(np.split(mean, 2), np.split(std, 2), strict=True)):
        scale = deviation.max()
        assert np.abs(found.mean[c].flatten().numpy() - part).max() < 1e-5 * scale
        assert np.abs(found.std[c].flatten().numpy() - deviation).max() < 1e-4 * scale
    misfit = found.record["reduced_chi_squared"] * found.record["degrees_of_freedom"]
    assert misfit == pytest.approx(chi_squared, rel=1e-4)


def test_differences_do_not_shift_the_level_of_a_flat_mean():
    prior = GaussianField(mean=0.0, std=1.0, length=0.3, mean_std=float("inf"))
    problem = Problem(Poisson(), GaussianField(mean=0.0, std=1.0, length=0.3))
    truth, o = read(problem, Grid(16), turns(24, 0, 1, 3), turns(24, 0), noise=0.01)
    far = dataclasses.replace(o, values=o.values + 1e6 * o.of_field)
    here, there = (
        GaussianSolver()(Poisson(), prior, each, n_samples=2, generator=seeded())
        for each in (o, far)
    )
    assert levels_of(far, 0).min() > 9e5 and len(levels_of(far, 0)) == 16
    torch.testing.assert_close(there.mean[0] - 1e6, here.mean[0], rtol=0, atol=1e-6)
    assert distance(here.mean[0], truth[0]) < 0.6


def test_gauss_newton_recovers_a_medium_from_all_kinds():
    problem = Problem(Darcy(), LogNormal(median=1.0, log_std=0.7, length=0.3))
    truth, observation = read(
        problem, Grid(20), turns(48, 0, 1, 2, 3), turns(48, 0, 0, 0, 0, 1, 1, 1, 1)
    )
    found = GaussNewton()(
        problem.physics, problem.prior, observation, n_samples=8, generator=seeded()
    )
    assert 0.4 < found.record["reduced_chi_squared"] < 1.6
    error = (found.mean[0] - truth[0]).square().mean().sqrt()
    assert error < 0.6 * truth[0].std()
    assert distance(found.mean[1], truth[1]) < 0.1
    assert ((found.mean - truth).abs() < 2.5 * found.std + 1e-12).double().mean() > 0.85


# Every solver


@cache
def case(name):
    """Return the physics, the prior and readings of all kinds for a quick run; of points alone of a
    coefficient with two values."""
    accepted = [pde_by_name(p) for s, p in PAIRS if s == name]
    pde = min(accepted, key=lambda pde: (pde.waves, not pde.linear, pde.grid(16).periodic))
    kind, channel = turns(32, 0, 1, 2, 3), turns(32, 0, 0, 0, 0, 1, 1, 1, 1)
    if pde.default_prior.phases:
        kind[channel == 0] = 0
    given = Problem(pde, suited_prior(name, pde)), pde.grid(16), kind, channel
    return pde, quick_prior(name, pde), read(*given, noise=0.1)[1]


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_meets_readings_of_all_kinds_or_refuses_them_in_a_sentence(name):
    pde, prior, observation = case(name)
    solver = quick_solver(name)
    if name in POINTS_ALONE:
        with pytest.raises(InputError, match=r"must not be readings of something else .*; choose"):
            solver(pde, prior, observation, n_samples=3, generator=seeded())
        return
    if name == "object-chains":  # few steps end in a mode that meets a part of the readings
        solver = dataclasses.replace(solver, steps=1500)
    found = solver(pde, prior, observation, n_samples=3, generator=seeded())
    assert bool(found.samples.isfinite().all())
    left = (observation.values - observation(found.mean[None])[0]) / observation.noise_std
    for kind in observation.kind.unique():
        mine = observation.kind == kind
        assert rms(left[mine]) < LOOSE.get(name, 1.6)
        assert rms((observation.values / observation.noise_std)[mine]) > 3


@pytest.mark.parametrize("name", ["level-set", "moment"])
def test_means_of_a_coefficient_with_two_values_are_refused_in_one_sentence(name):
    pde, _, observation = case("level-set")
    prior = quick_prior(name, pde)
    kind = torch.where(observation.channel == 0, DISC, observation.kind)
    wide = dataclasses.replace(observation, kind=kind)
    with pytest.raises(
        InputError, match=r"^sensors must read points .* got means over discs; leave"
    ):
        quick_solver(name)(pde, prior, wide, n_samples=2, generator=seeded())


def test_readings_across_the_sides_of_a_torus_are_those_of_the_shifted_field():
    problem = Problem(NavierStokes(), NavierStokes().default_prior)
    grid = problem.physics.grid(16)
    truth, o = read(problem, grid, turns(12, 1, 2, 3), turns(12, 0))
    points = (o.points + 0.5) % 1
    moved = dataclasses.replace(o, points=points, ends=points + o.ends - o.points)
    rolled = truth[None].roll((8, 8), dims=(2, 3))
    torch.testing.assert_close(moved(rolled), o(truth[None]))

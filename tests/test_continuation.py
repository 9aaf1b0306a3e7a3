"""The search for a mode from afar: levels of an added variance, starting points, last steps."""

import dataclasses

import pytest
import torch
from helpers import gaussian_prior, observe, seeded, with_modes
from test_times import PRIOR, table
from test_times_in_results import Curved

from pdeinv import Sensors, layouts
from pdeinv.datasets import NavierStokes, Poisson, Problem
from pdeinv.solvers import mode as mode_module
from pdeinv.solvers.continuation import AddedVariance, largest_objective
from pdeinv.solvers.diffusion.mode_draws import GaussianPart
from pdeinv.solvers.ensemble_start import ensemble_start
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.mode import ModeSearch
from pdeinv.solvers.whitened_problem import WhitenedProblem


def smooth_problem(m=12, noise=0.0, biased=False):
    pde = with_modes(Poisson(), 8)
    _, o = observe(pde, pde.grid(12), layouts.random(m, 0), 1, noise=noise)
    if biased:
        std = 10 * float(o.values.std())
        o = dataclasses.replace(o, values=o.values + std, common=torch.full((m, 1), std).double())
    problem = WhitenedProblem(Problem(pde), o)
    return problem, problem.jacobian(problem.zero).square().sum(dim=1)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_next_level_keeps_the_objective_at_what_is_allowed(noise):
    problem, variances = smooth_problem(noise=noise)
    o, largest = problem.observation, largest_objective(12)
    levels = AddedVariance(o, variances, 1e-10, largest)
    far = problem.zero, o.values[None] + 100 * variances.sqrt()
    near = problem.zero, o.values[None] + 0.5 * variances.sqrt()
    assert levels.next(*far) == pytest.approx(10.0)  # no level allows it
    level = levels.next(*near)
    assert 1e-10 < level < 10
    assert levels.objective(*near, level) == pytest.approx(2 * largest, rel=1e-3)
    # The next level is at most half of the last one, wherever the search is
    assert levels.next(*near, level) == pytest.approx(level / 2)
    assert levels.next(*far, 1e-10) == pytest.approx(1e-10)


def test_the_last_level_comes_as_soon_as_it_is_allowed():
    problem, variances = smooth_problem(noise=0.02)
    o = problem.observation
    levels = AddedVariance(o, variances, 1e-10, largest_objective(12))
    assert levels.next(problem.zero, o.values[None]) == 1e-10


@pytest.mark.parametrize("biased", [False, True])
def test_an_ensemble_starts_nearer_to_the_mode_than_the_mean_of_the_prior(biased):
    problem, variances = smooth_problem(noise=0.05, biased=biased)
    o = problem.observation
    start = ensemble_start(problem, o, variances, seeded(), progress=False)
    mode = ModeSearch(problem, 10, 3, 0.1, False)(1e-13)
    assert float((start - mode.xi).norm()) < 0.5 * float(mode.xi.norm())


class Burst(NavierStokes):
    """Solves are never finite."""

    def _vorticity(self, a):
        return super()._vorticity(a) * float("nan")


def test_an_ensemble_of_unstable_members_is_no_start():
    pde = with_modes(Burst(time=0.1), 16)
    calm = with_modes(NavierStokes(time=0.1), 16)
    _, o = observe(calm, calm.grid(16), layouts.random(4, 0), 1, noise=0.1)
    problem = WhitenedProblem(Problem(pde), o)
    assert ensemble_start(problem, o, torch.ones(4).double(), seeded(), progress=False) is None


def test_an_ensemble_starts_a_search_for_the_part_of_a_learned_prior():
    problem, _ = smooth_problem(noise=0.05)
    prior = gaussian_prior(problem.forward.pde, 12, channels=1)
    o = problem.observation
    root, mean = prior.covariance_root(o.grid), prior.mean(o.grid).reshape(1, 1, *o.grid.shape)
    part = GaussianPart(ForwardMap(problem.forward.pde, o), root, mean.double(), 1e4)
    variances = part.jacobian(part.zero).square().sum(dim=1)
    start = ensemble_start(part, part.observation, variances, seeded(), progress=False)
    mode = ModeSearch(part, 10, 3, 0.1, False)(1e-13)
    assert float((start - mode.xi).norm()) < 0.7 * float(mode.xi.norm())


def long_flow(seed):
    """A few readings after the time in which a typical eddy turns."""
    pde = NavierStokes(time=20.0, viscosity=2e-5, dt=0.5)
    _, o = observe(pde, pde.grid(24), layouts.random(20, seed), 1, noise=0.02, seed=seed)
    return WhitenedProblem(Problem(pde), o)


def test_a_search_that_stops_short_of_the_mode_settles(monkeypatch):
    problem = long_flow(seed=3)
    search = ModeSearch(problem, 4, 1, 0.1, False)
    mode = search(1e-13)
    assert mode.converged and mode.gradient < 1e-3
    assert mode.objective <= largest_objective(20)
    assert not problem.forward.exact_derivatives
    monkeypatch.setattr(mode_module, "settle", lambda search, mode: mode)
    short = ModeSearch(problem, 4, 1, 0.1, False)(1e-13)
    assert not short.converged and mode.objective <= short.objective


def test_readings_that_the_prior_contradicts_end_within_bounds():
    pde = with_modes(NavierStokes(time=3.0, viscosity=2e-5, dt=0.5), 16)
    _, o = observe(pde, pde.grid(16), layouts.random(8, 1), 1, noise=0.02, seed=1)
    spoilt = dataclasses.replace(o, values=30 * o.values)
    problem = WhitenedProblem(Problem(pde), spoilt)
    mode = ModeSearch(problem, 2, 0, 0.1, False)(1e-13)
    assert mode.objective > largest_objective(8)
    assert 2 <= mode.searches <= 4 and not problem.forward.exact_derivatives


def test_readings_that_no_field_gives_are_met_as_far_as_they_can_be():
    _, rows = table([0.5, 2.0])  # of another physics, below the least value of this one
    pde = Curved().reading(["level"], [0.5])
    o = Sensors.read(rows).observation(pde, pde.grid(16))
    problem = WhitenedProblem(Problem(pde, PRIOR), o)
    mode = ModeSearch(problem, 10, 3, 0.1, False)(1e-13)
    assert mode.searches > 1 and not mode.converged
    assert largest_objective(len(o)) < mode.objective < 10 * largest_objective(len(o))

"""A nan at a chosen step: the error names the step, the noise level and the term; hard input."""

import dataclasses
import itertools
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from helpers import (
    PAIRS,
    brief_searches,
    brief_solver,
    by_turns,
    gaussian_prior,
    observe,
    quick_prior,
    quick_solver,
    seeded,
    suited,
)
from time_limit import time_limit

from pdeinv import InputError, NumericalError, TwoPhase, layouts
from pdeinv.coefficients import GaussianField, LogNormal
from pdeinv.datasets import Darcy, NavierStokes, pde_by_name
from pdeinv.errors import DivergedError
from pdeinv.observation import Observation
from pdeinv.solvers import DAPS, SOLVERS, GaussNewton, LevelSet
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.guidance import BoundTerm

N = 16
SAMPLERS = [name for name, kind in SOLVERS.items() if issubclass(kind, DiffusionSolver)]


@cache
def readings_of(pde, count=9, noise=0.02):
    points = pde.domain.absolute(torch.as_tensor(layouts.random(count, 3)))
    channel = torch.tensor([0, *[1] * (count - 1)])
    return observe(pde, pde.grid(N), points, channel, noise=noise)[1]


class Spoilt(BoundTerm):
    """A guidance term whose gradient is nan from one call on."""

    share = 0.1

    def __init__(self, call):
        self.call, self.calls = call, 0

    def bind(self, pde, prior, generator):
        return self

    def __call__(self, x_t, sigma, x0_hat):
        self.calls += 1
        total = x0_hat.square().sum(dim=(1, 2, 3))
        return total * float("nan") if self.calls >= self.call else total


def joint_prior(solver):
    pde = pde_by_name("poisson")
    kwargs = {"channels": 1} if solver.role == "coefficient" else {"symmetric": False}
    return pde, gaussian_prior(pde, N, **kwargs)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_term_whose_gradient_becomes_nan_is_named_with_its_step_and_level(name):
    pde, prior = joint_prior(quick_solver(name))
    every = {"every": 1, "langevin": 1} if issubclass(SOLVERS[name], DAPS) else {}
    solver = dataclasses.replace(quick_solver(name), guidance=(Spoilt(3),), **every)
    found = r"at step 3 of \d+, noise level [\d.e+-]+, the loss of the guidance term Spoilt"
    with pytest.raises(InputError, match=found):
        solver(pde, prior, readings_of(pde), n_samples=2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_denoiser_that_becomes_nan_is_named_with_its_step_and_keeps_the_last_states(
    name, monkeypatch
):
    solver = quick_solver(name)
    pde, prior = joint_prior(solver)
    calls, whole = [], type(prior).denoise

    def denoise(self, x, sigma):
        calls.append(sigma)
        found = whole(self, x, sigma)
        return found * float("nan") if len(calls) > 4 else found

    monkeypatch.setattr(type(prior), "denoise", denoise)
    with pytest.raises(
        DivergedError, match=r"at step \d+ of \d+, noise level .* denoised"
    ) as found:
        solver(pde, prior, readings_of(pde), n_samples=2)
    assert f"the {name} solver failed: " in str(found.value)
    kept = found.value.last_state
    assert kept.shape[1:] == (len(prior.fields), N, N) and np.isfinite(kept).all()


def test_a_solve_that_fails_inside_a_sampler_is_named_with_its_step(monkeypatch):
    solver = quick_solver("ddis")
    pde, prior = joint_prior(solver)
    calls, whole = [], type(pde).solve

    def solve(self, a):
        calls.append(len(a))
        if len(calls) > 40:
            raise NumericalError("the scheme became unstable; use a shorter time step")
        return whole(self, a)

    monkeypatch.setattr(type(pde), "solve", solve)
    with pytest.raises(DivergedError, match=r"at step \d+ of \d+, noise level .* unstable"):
        solver(pde, prior, readings_of(pde), n_samples=2)


@pytest.mark.parametrize("first", [1, 4, 12])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_solve_that_becomes_nan_ends_in_a_finite_result_or_one_sentence(name, first, monkeypatch):
    """All solves and their derivatives are nan from one on, whatever the solver does then."""
    solver = quick_solver(name)
    pde, prior = suited(solver)
    prior = quick_prior(name, pde, N) if prior is None else prior
    o = readings_of(pde)
    calls = []

    def spoil(whole):
        def spoilt(self, a, *arguments, **options):
            calls.append(1)
            u = whole(self, a, *arguments, **options)
            return u * float("nan") if len(calls) >= first else u

        return spoilt

    for method in ("solve", "surrogate", "respond"):
        monkeypatch.setattr(type(pde), method, spoil(getattr(type(pde), method)))
    finite_or_refused(solver, pde, prior, o)


def finite_or_refused(solver, pde, prior, o):
    """Return the posterior, which must be finite, or the sentence of the refusal."""
    with time_limit(60), warnings.catch_warnings(), brief_searches():
        warnings.simplefilter("ignore")
        try:
            found = solver(pde, prior, o, n_samples=2, generator=seeded(1))
        except (InputError, NumericalError) as error:
            text = str(error)
            assert "\n" not in text and len(text) < 600 and text[-1] not in ". "
            return text
    for values in (found.mean, found.std, found.samples):
        assert bool(values.isfinite().all())
    assert bool((found.std >= 0).all())
    return found


def duplicates(o):
    return repeated(o, torch.arange(len(o)).repeat(3), torch.zeros_like(o.noise_std).repeat(3))


def repeated(o, rows, noise):
    return Observation(o.grid, o.points[rows], o.channel[rows], o.values[rows], noise, o.order)


def nearly_one_place(o):
    shift = 1e-12 * torch.arange(len(o), dtype=torch.float64)[:, None]
    points = o.grid.domain.absolute(0.4 + shift.expand(-1, 2))
    return Observation(
        *(o.grid, points, torch.ones_like(o.channel), o.values, 1e-3 * o.values.abs() + 1e-9),
        o.order,
    )


def in_one_cell(o, count):
    within = torch.rand(count, 2, dtype=torch.float64, generator=seeded())
    points = o.grid.domain.absolute((5 + within) / N)
    values = o.values[-1:].expand(count)
    noise = (0.1 * values.abs() + 1e-9).clone()
    channel = torch.ones(count, dtype=torch.long)
    return Observation(o.grid, points, channel, values.clone(), noise, o.order)


HARD = {
    "exact duplicates": duplicates,
    "nearly at one place": nearly_one_place,
    "no noise": lambda o: dataclasses.replace(o, noise_std=torch.zeros_like(o.noise_std)),
    "huge noise": lambda o: dataclasses.replace(o, noise_std=torch.full_like(o.noise_std, 1e30)),
    "constant": lambda o: dataclasses.replace(o, values=torch.full_like(o.values, 0.5)),
    "zero": lambda o: dataclasses.replace(o, values=torch.zeros_like(o.values)),
}


# The pairs take the kinds by turns; all of each would be most of the time of the tests
TURNS = [(*pair, kind) for pair, kind in zip(PAIRS, itertools.cycle(HARD), strict=False)]


@pytest.mark.parametrize(("name", "pde", "hard"), by_turns(TURNS))
def test_hard_readings_end_in_a_finite_result_or_one_sentence(name, pde, hard):
    solver, pde = brief_solver(name), pde_by_name(pde)
    prior = quick_prior(name, pde, N)
    finite_or_refused(solver, pde, prior, HARD[hard](readings_of(pde)))


@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("name", SOLVERS)
def test_each_solver_takes_or_refuses_every_kind_of_hard_readings(name, hard):
    solver = brief_solver(name)
    pde, prior = suited(solver)
    prior = quick_prior(name, pde, N) if prior is None else prior
    finite_or_refused(solver, pde, prior, HARD[hard](readings_of(pde)))


@pytest.mark.parametrize("name", SOLVERS)
def test_thousands_of_sensors_in_one_cell_end_in_a_finite_result_or_one_sentence(name):
    count = 500 if name == "ensemble-smoother" else 2000  # whose time grows with the square
    solver = brief_solver(name)
    pde, prior = suited(solver)
    prior = quick_prior(name, pde, N) if prior is None else prior
    finite_or_refused(solver, pde, prior, in_one_cell(readings_of(pde), count))


@pytest.mark.parametrize("contrast", [1.001, 1e3, 1e6])
def test_two_phases_of_any_contrast_have_a_finite_result(contrast):
    pde = Darcy()
    prior = TwoPhase(GaussianField(0.0, 1.0, length=0.3), 1e-3, 1e-3 * contrast)
    solution = observe(pde, pde.grid(N), layouts.random(9, 3), 1, noise=0.02)[1]
    assert not isinstance(finite_or_refused(LevelSet(ensemble=4), pde, prior, solution), str)


@pytest.mark.parametrize("log_std", [1e-6, 3.0])
def test_log_normal_fields_of_any_contrast_have_a_finite_result(log_std):
    prior = LogNormal(median=1.0, log_std=log_std, length=0.3)
    found = finite_or_refused(GaussNewton(ensemble=8), Darcy(), prior, readings_of(Darcy()))
    assert not isinstance(found, str)


@pytest.mark.parametrize("viscosity", [1e-6, 1e-12])
def test_a_tiny_viscosity_ends_in_a_finite_result_or_one_sentence(viscosity):
    pde = NavierStokes(viscosity=viscosity)
    finite_or_refused(GaussNewton(ensemble=8), pde, None, readings_of(NavierStokes()))

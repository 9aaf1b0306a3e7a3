"""A strongly nonlinear PDE of one's own: a result that is sound, or one that states its doubts."""

import math
import warnings
from functools import cache

import pandas as pd
import pytest
import torch
from helpers import distance, normal, observe, seeded
from nonlinear_physics import AllenCahn, Reaction, Stiff

from pdeinv import MisfitWarning, layouts, reconstruct
from pdeinv.coefficients import TwoPhase
from pdeinv.datasets import Problem
from pdeinv.errors import NumericalError
from pdeinv.priors import GaussianPrior, TrainingData
from pdeinv.solvers import GaussNewton, Moment
from pdeinv.solvers import mode as mode_module
from pdeinv.solvers.continuation import largest_objective
from pdeinv.solvers.damping import DampedSteps, Pull, Step, TrustRegion
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.mode import ModeSearch
from pdeinv.solvers.selection import solver_for
from pdeinv.solvers.unstable import finite_or_infinite
from pdeinv.solvers.whitened_problem import WhitenedProblem

N, SENSORS = 16, 24


@cache
def learned(pde):
    """The Gaussian part of a learned prior of the coefficient alone."""
    problem, grid = Problem.of(pde), pde.grid(N)
    a = problem.sample_coefficient(1500, grid, seeded()).float()
    return GaussianPrior.fit(
        TrainingData(a, pde.fields[:1], grid, source="here", pde=None, prior=problem.prior)
    )


def read(pde, kind, noise, seed=0):
    """A state and readings of its solution, or of both fields in turn."""
    channel = {"solution": [1] * SENSORS, "both": [0, 1] * (SENSORS // 2)}[kind]
    points = layouts.random(SENSORS, seed + 1)
    return observe(pde, pde.grid(N), points, channel, noise=noise, seed=seed)


# The physics


def test_interfaces_sharpen():
    pde = AllenCahn()
    a = Problem.of(pde).sample_coefficient(4, pde.grid(32), seeded())
    u = pde.solve(a)
    assert float((a.abs() > 0.8).double().mean()) < 0.3 < float((u.abs() > 0.8).double().mean())
    finer = AllenCahn(steps=64).solve(a)
    assert distance(u, finer) < 0.03


def test_the_steady_reaction_is_differentiated_and_of_second_order():
    pde, error = Reaction(), []
    for n in (9, 17):
        x = torch.linspace(0, 1, n, dtype=torch.float64)
        u = (torch.sin(math.pi * x)[:, None] * torch.sin(math.pi * x))[None, None]
        error.append(distance(pde.solve(2 * math.pi**2 * u + pde.strength * u**3), u))
    assert error[0] > 3.5 * error[1]
    a, v = 50 * normal(1, 1, 9, 9), normal(1, 1, 9, 9, seed=1)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(pde.solve(a.requires_grad_()).sum(), a)
    a, h = a.detach(), 1e-4
    slope = (pde.solve(a + h * v) - pde.solve(a - h * v)).sum() / (2 * h)
    assert float((gradient * v).sum()) == pytest.approx(float(slope), rel=1e-6)


# The trust region


@pytest.mark.parametrize("damping", [0.0, 0.3, 50.0])
def test_a_damped_step_is_that_of_the_normal_equations(damping):
    m, size = 5, 9
    jacobian, variance = normal(m, size), normal(m, seed=1).square() + 0.1
    offset, residual = normal(size, seed=2), normal(m, seed=3)
    weighted = jacobian.T / variance
    matrix = (1 + damping) * torch.eye(size, dtype=torch.float64) + weighted @ jacobian
    expected = torch.linalg.solve(matrix, weighted @ residual - offset)
    steps = DampedSteps(offset, residual, jacobian, variance)
    delta, objective = steps.step(damping)
    torch.testing.assert_close(delta, expected)
    left = residual - jacobian @ expected
    stated = (offset + expected).square().sum() + (left**2 / variance).sum()
    assert objective == pytest.approx(float(stated))
    full = float(steps.step(0.0)[0].norm())
    for share in (0.7, 0.1, 1e-3):
        assert 0.85 * share * full < float(steps.within(share * full)[0].norm()) <= share * full


class Curve:
    """Two readings of two numbers, whose posterior is a banana: Rosenbrock's valley."""

    zero = torch.zeros(1, 2, dtype=torch.float64)

    def values(self, xi):
        return torch.stack([xi[:, 0], xi[:, 1] - 10 * xi[:, 0].square()], dim=1)

    def jacobian(self, xi):
        x = float(xi[0, 0])
        return torch.tensor([[1.0, 0.0], [-20 * x, 1.0]], dtype=torch.float64)


def search_by(step, problem, pull, variance, iterations):
    """The objective after some steps, each with a Jacobian of its own; `step` is given the full
    step's end and returns the next point."""
    xi = problem.zero + torch.tensor([[-1.0, 10.0]], dtype=torch.float64)
    region = TrustRegion(problem, pull, variance)
    for _ in range(iterations):
        values, jacobian = problem.values(xi), problem.jacobian(xi)
        lower = cholesky_with_nugget(jacobian @ jacobian.T, variance)
        target, floor = mode_module._target(pull, xi, values, jacobian, lower)
        start = Step(xi, values, region.objective(xi, values), full=True)
        found = step(region, start, jacobian, target, floor)
        if found is None:
            break
        xi = found
    return region.objective(xi, problem.values(xi))


def damped(region, start, jacobian, target, floor):
    found = region.step(start, jacobian, target, floor, 0.0)
    return found and found.xi


def halved(region, start, jacobian, target, floor):
    for k in range(8):
        trial = start.xi + 0.5**k * (target - start.xi)
        if region.objective(trial, region.problem.values(trial)) < start.objective:
            return trial
    return None


def test_a_trust_region_follows_a_bent_valley_in_which_halved_steps_end():
    problem = Curve()
    variance = torch.tensor([0.1, 1e-3], dtype=torch.float64)
    pull = Pull(problem.zero, torch.tensor([3.0, 0.0], dtype=torch.float64))
    ours, theirs = (search_by(s, problem, pull, variance, 80) for s in (damped, halved))
    x = torch.linspace(-5, 5, 100_001, dtype=torch.float64)  # the other number has a closed form
    y = 10 * x**2 / (1 + variance[1])
    misfit = (3 - x) ** 2 / variance[0] + (y - 10 * x**2) ** 2 / variance[1]
    least = float((x**2 + y**2 + misfit).min())
    assert ours == pytest.approx(least, rel=1e-5) and theirs > 2 * least


def test_an_undamped_step_is_the_full_one():
    problem = Curve()
    xi = torch.tensor([[0.1, 0.2]], dtype=torch.float64)
    values, jacobian = problem.values(xi), problem.jacobian(xi)
    pull = Pull(problem.zero, torch.tensor([0.11, 0.09], dtype=torch.float64))
    region = TrustRegion(problem, pull, torch.full((2,), 0.5, dtype=torch.float64))
    target = xi + 0.5 * (normal(1, 2) - xi)
    start = Step(xi, values, math.inf, full=True)
    found = region.step(start, jacobian, target, 0.0, 0.0)
    assert found.full and torch.equal(found.xi, xi + (target - xi))
    assert region.radius == math.inf


def test_the_mode_of_a_nonlinear_pde_is_stationary_where_it_says_so(monkeypatch):
    monkeypatch.setattr(mode_module, "search_again", lambda search, mode, *_: mode)
    pde = AllenCahn()
    for seed, iterations, chords in ((0, 30, 3), (1, 30, 3), (0, 1, 0)):
        _, o = read(pde, "solution", 0.1, seed)
        problem = WhitenedProblem(Problem.of(pde), o)
        mode = ModeSearch(problem, iterations, chords, 0.1, False)(1e-13)
        rows = problem.jacobian(mode.xi)
        slope = mode.xi.flatten() - ((o.values - mode.values[0]) / o.noise_std**2) @ rows
        matrix = torch.eye(rows.shape[1], dtype=torch.float64) + (rows.T / o.noise_std**2) @ rows
        left = float(torch.linalg.solve(matrix, slope).norm() / mode.xi.norm())
        assert (left < 5e-3) == mode.converged == (iterations > 1), left
        if mode.converged:
            assert mode.objective < largest_objective(len(o))


# The solvers


@pytest.mark.parametrize("kind", ["solution", "both"])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_moment_is_as_good_as_gauss_newton(kind, noise):
    pde = AllenCahn()
    state, o = read(pde, kind, noise)
    ours, theirs = (
        solver(pde, prior, o, n_samples=8, generator=seeded())
        for solver, prior in ((Moment(steps=4), learned(pde)), (GaussNewton(ensemble=8), None))
    )
    for found in (ours, theirs):
        assert bool(found.samples.isfinite().all())
        covered = (found.mean - state[0]).abs() <= 1.645 * found.std + 1e-9
        assert float(covered[0].double().mean()) > 0.6
    mine, other = (distance(found.mean[0], state[0, 0]) for found in (ours, theirs))
    assert mine < 1.3 * other and other < 1


@pytest.mark.parametrize("solver", [GaussNewton(ensemble=8), Moment(steps=4)], ids=lambda s: s.name)
def test_a_pde_that_is_unstable_for_many_coefficients_gets_a_sound_result(solver):
    pde = Stiff()
    state, o = read(pde, "both", 0.05, seed=2)
    prior = learned(pde) if isinstance(solver, Moment) else None
    found = solver(pde, prior, o, n_samples=8, generator=seeded())
    assert bool(found.samples.isfinite().all())
    assert distance(found.mean[0], state[0, 0]) < 0.6


def test_a_result_that_has_not_converged_warns(monkeypatch):
    pde = Reaction()
    _, o = read(pde, "solution", 0.1)
    table = pd.DataFrame(o.points.numpy(), columns=["x", "y"]).assign(
        field="output", value=o.values.numpy(), noise_std=o.noise_std.numpy()
    )
    brief = GaussNewton(iterations=1, chords=0, ensemble=4)
    with monkeypatch.context() as patch:
        patch.setattr(mode_module, "search_again", lambda search, mode, *_: mode)
        with (
            pytest.warns(UserWarning, match="most probable input must converge, and ended after"),
            pytest.warns(MisfitWarning),
        ):
            result = reconstruct(table, pde, grid=N, solver=brief, n_samples=4)
    assert result.attrs["converged"] == 0 and result.attrs["final_gradient"] > 1e-3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = reconstruct(
            table, pde, grid=N, solver=GaussNewton(iterations=30, ensemble=4), n_samples=4
        )
    assert result.attrs["converged"] == 1


def test_the_choice_is_by_the_kind_of_the_prior():
    for pde in (AllenCahn(), Reaction(), Stiff()):
        assert solver_for("auto", pde).name == "gauss-newton"
        phases = Problem(pde, TwoPhase(pde.default_prior, -1.0, 1.0))
        assert solver_for("auto", phases.physics, phases.prior).name == "level-set"


def test_unstable_and_infinite_states_have_infinite_readings():
    def torn(x):
        if bool((x > 1).any()):
            raise NumericalError("steps must be stable, and are not; use more steps")
        assert bool(x.isfinite().all())
        return x.flatten(1)[:, :2]

    x = torch.tensor([0.0, 2.0, math.nan, 0.5], dtype=torch.float64)[:, None, None, None]
    values = finite_or_infinite(torn, 2)(x.expand(4, 1, 2, 2))
    assert values.isfinite().all(dim=1).tolist() == [True, False, False, True]
    assert values[3].tolist() == [0.5, 0.5]

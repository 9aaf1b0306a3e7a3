"""Unknown numbers of the physics, as unknowns of a search."""

import dataclasses
import math
from functools import cache

import pytest
import torch
from helpers import accepts, observe, seeded

from pdeinv import GaussianField, InputError, LogNormal, NumericalError, Problem
from pdeinv.datasets import (
    Darcy,
    Experiments,
    Helmholtz,
    NavierStokes,
    Poisson,
    Sides,
    Value,
    Well,
)
from pdeinv.solvers import GaussianSolver, GaussNewton
from pdeinv.solvers.ensemble_smoother import EnsembleSmoother
from pdeinv.solvers.evidence.scale import implied_scale
from pdeinv.solvers.number_law import stratified_normal
from pdeinv.solvers.selection import solver_for
from pdeinv.solvers.whitened_problem import WhitenedProblem
from pdeinv.unknown import Unknown

FIELD = GaussianField(0.0, 1.0, 0.4, 2.5)
MEDIUM = LogNormal(median=1.0, log_std=0.7, length=0.3, smoothness=1.5)
FLOW = NavierStokes(
    viscosity=(1e-3, 3e-2), forcing=0.1, time=0.5, outputs=("velocity_x", "velocity_y")
)
HELD = Unknown(0.1, 0.5, "normal")
PROBLEMS = {
    "viscosity": Problem(FLOW),
    "k": Problem(Helmholtz(k=(1.0, 3.5)), FIELD),
    "value of left": Problem(Poisson(boundary=Sides(left=Value(HELD))), FIELD),
    "source": Problem(Darcy(source=Unknown(0.5, 2.0)), MEDIUM),
    "rate of well 1": Problem(Darcy(wells=(Well(0.4, 0.6, Unknown(-2.0, 1.0)),)), MEDIUM),
}


@cache
def known(name, m=20, n=12, noise=0.02, seed=0):
    """Return a problem, its number, the true value, and readings of the solution."""
    problem = PROBLEMS[name]
    (number,) = problem.unknowns
    value = number.unknown.at(float(torch.randn(1, generator=seeded(seed), dtype=torch.float64)))
    points = torch.rand(m, 2, dtype=torch.float64, generator=seeded(seed + 50))
    truth, grid = problem.at({number.name: value}), problem.physics.grid(n)
    _, o = observe(truth, grid, points, 1, noise=noise, seed=seed)
    return problem, number, value, o


def solve(solver, problem, observation, seed=0):
    given = problem.physics, problem.prior, observation
    return solver(*given, n_samples=4, generator=seeded(seed))


@pytest.mark.parametrize("name", PROBLEMS)
def test_derivatives_to_a_number_are_those_of_the_readings(name):
    problem, _, _, o = known(name)
    white = WhitenedProblem(problem, o)
    assert white.inner == 1 and white.zero.shape == (1, white.size + 1)
    xi, direction = white.white(2, seeded(3)).split(1)
    for step in (1e-4,):
        ahead, behind = white.values(torch.cat([xi + step * direction, xi - step * direction]))
        product = white.jacobian(xi) @ direction[0]
        torch.testing.assert_close(product, (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", PROBLEMS)
def test_readings_and_states_are_those_of_the_problem_with_the_value(name):
    problem, number, _, o = known(name)
    white = WhitenedProblem(problem, o)
    xi = white.white(3, seeded(4))
    xi[2, white.few] = xi[0, white.few]  # rows of equal numbers are solved together
    for row, states, values in zip(xi, white.states(xi), white.values(xi), strict=True):
        value = number.unknown.at(float(row[white.few]))
        table = white.tables(row[None])
        state = problem.at({number.name: value}).state(table, o.grid)
        torch.testing.assert_close(states, state[0], rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(values, o(state)[0], rtol=1e-8, atol=1e-10)


def test_a_side_of_an_unknown_value_has_the_posterior_of_a_bias():
    """The readings are linear in it: the exact posterior is that of a bias with its response."""
    problem, number, _, o = known("value of left")
    std = (HELD.high - HELD.low) / (2 * 1.959963984540054)
    nothing = torch.zeros(1, 1, *o.grid.shape, dtype=torch.float64)
    of_unit = [
        o(torch.cat([nothing, problem.at({number.name: v}).physics.respond(nothing)], dim=1))[0]
        for v in (0.0, 1.0)
    ]
    column = std * (of_unit[1] - of_unit[0])
    certain = problem.at({number.name: float(HELD)})
    biased = dataclasses.replace(o, common=column[:, None])
    exact = solve(GaussianSolver(), certain, biased)
    found = solve(GaussNewton(), problem, o)
    share = std / float(column.abs().max())  # of a bias, the largest entry is the unit
    parameters, given = found.parameters, exact.parameters
    assert parameters.names == ("value of left",)
    expected = float(HELD) + share * float(given.mean[0])
    assert float(parameters.mean[0]) == pytest.approx(expected, abs=1e-3 * std)
    assert float(parameters.std[0]) == pytest.approx(share * float(given.std[0]), rel=0.02)
    torch.testing.assert_close(found.mean[0], exact.mean[0], rtol=0, atol=0.02)
    torch.testing.assert_close(found.std[0], exact.std[0], rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_a_wave_number_has_the_posterior_of_quadrature(seed):
    """Given k all is linear: its density is the exact evidence times the prior."""
    problem, number, _, o = known("k", seed=seed)
    found = solve(GaussNewton(), problem, o).parameters
    z = torch.linspace(-4, 4, 81, dtype=torch.float64)
    logarithm = []
    for one in z.tolist():
        certain = problem.at({"k": number.unknown.at(one)})
        linear = GaussianSolver().linearised(certain.physics, certain.prior, o)
        logarithm.append(linear.log_evidence(linear.gram(certain.latent)) - one**2 / 2)
    density = torch.tensor(logarithm, dtype=torch.float64)
    weight = (density - density.max()).exp()
    weight /= weight.sum()
    values = torch.tensor([number.unknown.at(one) for one in z.tolist()], dtype=torch.float64)
    mean = float((weight * values).sum())
    std = float((weight * (values - mean).square()).sum()) ** 0.5
    assert float(found.mean[0]) == pytest.approx(mean, abs=0.15 * std)
    assert float(found.std[0]) == pytest.approx(std, rel=0.15)
    below = [float(weight[values <= float(end[0])].sum()) for end in found.interval]
    assert below == pytest.approx([0.05, 0.95], abs=0.03)


def test_intervals_of_a_viscosity_hold_the_truth():
    hits = 0
    for seed in range(3):
        problem, _, value, o = known("viscosity", m=12, seed=seed)
        parameters = solve(GaussNewton(ensemble=4), problem, o).parameters
        low, high = (float(end[0]) for end in parameters.interval)
        hits += low <= value <= high
        assert low < float(parameters.mean[0]) < high
    assert hits >= 2


def test_the_evidence_of_a_linearisation_is_that_of_laplace():
    """It is the same formula, and highest near the length of the truth."""
    problem = Problem(Darcy(), MEDIUM)
    points = torch.rand(40, 2, dtype=torch.float64, generator=seeded(5))
    _, o = observe(problem, problem.physics.grid(16), points, 1, noise=0.01, seed=2)
    linear = GaussNewton().linearised(problem.physics, problem.prior, o)
    record = solve(GaussNewton(ensemble=4), problem, o).record
    evidence = [
        linear.log_evidence(linear.gram(Problem(Darcy(), prior).latent))
        for prior in (MEDIUM.with_numbers(length=length) for length in (0.3, 0.06, 1.5))
    ]
    assert evidence[0] == pytest.approx(record["log_evidence"], abs=0.05)
    assert max(evidence) == evidence[0]


def test_a_linearisation_has_columns_of_numbers():
    problem, _, _, o = known("source")
    linear = GaussNewton().linearised(problem.physics, problem.prior, o)
    assert linear.columns.shape == (len(o), 1)
    assert float(linear.columns.abs().max()) > 0


def test_solvers_of_linear_problems_refuse_an_unknown_number():
    problem, _, _, o = known("k")
    assert not problem.linear and problem.at({"k": 2.0}).linear
    assert not accepts(GaussianSolver(), problem.physics, problem.prior)
    assert solver_for("auto", problem.physics, problem.prior).name == "gauss-newton"
    with pytest.raises(InputError, match="without unknown numbers"):
        solve(GaussianSolver(), problem, o)
    flat = GaussianField(0.0, 1.0, 0.4, 2.5, mean_std=float("inf"))
    assert not accepts(GaussNewton(), problem.physics, flat)
    assert accepts(GaussNewton(), Helmholtz(k=2.0), flat)


def test_a_number_that_the_physics_does_not_allow_is_an_unstable_solve():
    physics = dataclasses.replace(FLOW, viscosity=Unknown(1e-3, 1e-1, "normal"))
    white = WhitenedProblem(Problem(physics), known("viscosity")[3])
    xi = white.zero.repeat(2, 1)
    xi[1, white.few] = -10.0
    values = white.values(xi)
    assert bool(values[0].isfinite().all()) and bool(values[1].isinf().all())
    assert "viscosity" in white.reason


def test_a_number_may_be_as_large_as_a_step_makes_it():
    white = WhitenedProblem(PROBLEMS["viscosity"], known("viscosity")[3])
    xi = white.zero.repeat(3, 1)
    xi[1:, white.few] = torch.tensor([[-1e6], [1e6]], dtype=torch.float64)
    assert white.values(xi).isfinite().all(dim=1).tolist() == [True, False, False]


def test_derivatives_that_fail_end_a_search_not_the_run(monkeypatch):
    problem, _, _, o = known("viscosity")
    jacobian, calls = WhitenedProblem.jacobian, []

    def failing(self, xi):
        calls.append(xi)
        if len(calls) > 1:
            raise NumericalError("no derivative")
        return jacobian(self, xi)

    monkeypatch.setattr(WhitenedProblem, "jacobian", failing)
    search = GaussNewton()._search(problem.physics, problem.prior, o, progress=False)
    mode = search(1e-13)
    assert len(calls) > 1 and math.isfinite(mode.objective)


def test_experiments_share_a_number_of_one_range():
    number = Unknown(1.0, 6.0)
    parts = Helmholtz(k=number), Helmholtz(k=number, boundary=Sides(left=Value(0.2)))
    both = Problem(Experiments(parts), FIELD)
    grid = both.physics.grid(12)
    _, o = observe(both.at({"k": 3.0}), grid, [[0.3, 0.4], [0.6, 0.7]], [1, 2], noise=0.01)
    white = WhitenedProblem(both, o)
    assert white.inner == 1
    physics = white.forward_at(torch.tensor([0.5], dtype=torch.float64)).pde
    assert [part.k for part in physics.physics] == [pytest.approx(number.at(0.5))] * 2
    apart = Helmholtz(k=number), Helmholtz(k=Unknown(2.0, 9.0))
    assert WhitenedProblem(Problem(Experiments(apart), FIELD), o).inner == 2


def test_an_ensemble_smoother_infers_a_number():
    problem, _, value, o = known("source")
    found = solve(EnsembleSmoother(members=40, rounds=2), problem, o).parameters
    assert found.names == ("source",)
    assert float(found.std[0]) < 0.5
    assert abs(float(found.mean[0]) - value) < 3 * float(found.std[0])


@pytest.mark.parametrize("scale", [2e-13, 3.0, 5e8])
def test_the_scale_of_a_homogeneous_medium_is_its_value(scale):
    physics = Darcy()
    grid = physics.grid(16)
    a = torch.full((1, 1, *grid.shape), scale, dtype=torch.float64)
    state = torch.cat([a, physics.respond(a)], dim=1)
    points = torch.rand(12, 2, dtype=torch.float64, generator=seeded(1))
    _, o = observe(physics, grid, points, 1, noise=0.01, state=state)
    assert implied_scale(Problem(physics, LogNormal()), o) == pytest.approx(scale, rel=0.1)


def test_readings_that_any_homogeneous_medium_gives_have_no_scale():
    held = Sides(left=Value(1.0), right=Value(0.0))
    physics = Darcy(source=0.0, boundary=held)
    points = [[0.3, 0.4], [0.7, 0.6]]
    _, o = observe(Problem(physics, MEDIUM), physics.grid(12), points, 1, noise=0.01)
    with pytest.raises(InputError, match="state the median"):
        implied_scale(Problem(physics, LogNormal()), o)


def test_normal_numbers_that_stand_for_a_law_are_quantiles():
    drawn = stratified_normal(2)
    assert torch.equal(drawn[:, 0].sort().values, drawn[:, 1].sort().values)
    torch.testing.assert_close(
        drawn.var(dim=0), torch.ones(2, dtype=torch.float64), rtol=0, atol=0.01
    )
    assert abs(float(torch.corrcoef(drawn.T)[0, 1])) < 0.1


def test_no_unknown_number_is_no_further_unknown():
    problem = Problem(Darcy(), MEDIUM)
    points = torch.rand(8, 2, dtype=torch.float64, generator=seeded(5))
    _, o = observe(problem, problem.physics.grid(12), points, 1, noise=0.01)
    white = WhitenedProblem(problem, o)
    assert (
        not white.inner and not len(white.few) and white.forward_at(white.zero[0]) is white.forward
    )

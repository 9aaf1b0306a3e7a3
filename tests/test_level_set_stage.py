"""One stage of the level set's annealing: its objective, derivatives and Gauss–Newton steps."""

import pytest
import torch
from helpers import normal, seeded, vector

from pdeinv import Grid, Observation, Problem, TwoPhase
from pdeinv.coefficients import SpectralField
from pdeinv.datasets import Darcy, Poisson
from pdeinv.solvers.annealing import Members, derivative_grid
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.phase_values import PhaseValues
from pdeinv.solvers.signs import Signs
from pdeinv.solvers.smoothed_problem import SmoothedProblem, leading_directions
from pdeinv.solvers.stages import SCHEDULES
from pdeinv.solvers.whitening import Whitening

FIELD = SpectralField("neumann", 2.0, 3.0, modes=8)
MEDIUM = TwoPhase(FIELD, low=3.0, high=12.0)
PROBLEMS = {
    "darcy": Problem(Darcy(method="direct"), MEDIUM),
    "poisson": Problem(Poisson(), TwoPhase(FIELD, low=-1.0, high=1.0)),
}


def readings(problem, channels, m=10, n=12):
    """Exact, doubtful and noisy readings of a draw; some of the solution share a bias."""
    grid, channel = Grid(n), torch.tensor(channels).repeat(m)
    count = len(channel)
    points = torch.rand(count, 2, dtype=torch.float64, generator=seeded(1))
    zeros = torch.zeros(count, dtype=torch.float64)
    truth = problem.sample(1, grid, seeded(2))
    values = Observation(grid, points, channel, zeros, zeros, (0, 1))(truth)[0]
    std = torch.where(channel == 0, 0.7 * (torch.arange(count) % 4), 0.02 * values.std())
    shared = (channel == 1) & (torch.arange(count) < count / 2)
    common = (0.5 * values[channel == 1].std() * shared.double())[:, None]
    return Observation(grid, points, channel, values, std, (0, 1), common=common)


def small_stage(problem, channels=(0, 1), members=3, width=0.3):
    """A stage in the middle of the annealing, and ξ of its members."""
    observation = readings(problem, channels)
    seen = LatentMap(problem, observation.subset(observation.channel == 1))
    m, size, std = len(seen.observation), problem.latent.size, seen.observation.noise_std
    centre, xi = (normal(members, size, seed=s) for s in (1, 2))
    stage = SmoothedProblem(
        seen,
        seen,
        Signs(problem, observation),
        width * problem.latent.std,
        Whitening(std, seen.observation.common),
        centre,
        std * normal(members, m, seed=3),
        torch.eye(m, dtype=torch.float64),
        PhaseValues.of(problem),
    )
    return stage, observation, xi


def predicted(stage, xi):
    """The readings of the solution of ξ."""
    problem, grid = stage.forward.problem, stage.forward.grid
    latent = problem.latent.square_root(xi.unflatten(1, problem.latent.shape), grid)
    return latent, stage.forward(problem.smoothed(latent, stage.width))


def test_the_objective_is_prior_misfit_and_signs():
    problem, members = PROBLEMS["darcy"], torch.tensor([2, 0])
    stage, observation, xi = small_stage(problem)
    latent, readings = predicted(stage, xi[members])
    first = observation.subset(observation.channel == 0)
    g, y = first(torch.cat([latent, latent], dim=1)), first.values
    share = 1 / (1 + ((MEDIUM.threshold - g) / stage.width).exp())
    variance = first.noise_std**2 + 0.09**2
    high, low = ((-((y - v) ** 2) / (2 * variance)).exp() for v in (12.0, 3.0))
    of_signs = ((share * high + (1 - share) * low) / torch.maximum(high, low)).log().sum(dim=1)
    seen = stage.forward.observation
    left = seen.values + seen.noise_std * normal(3, 10, seed=3)[members] - readings
    misfit = (left * torch.linalg.solve(seen.noise_covariance(), left.T).T).sum(dim=1)
    departure = (xi - normal(3, 64, seed=1))[members].square().sum(dim=1)
    found = stage.objective(xi[members], members)
    assert torch.allclose(found.value, (departure + misfit) / 2 - of_signs, rtol=1e-6)
    assert bool((of_signs < -0.1).all() and (misfit > 1).all())  # each part counts


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_step_solves_the_problem_linearised_by_differences(name):
    stage, _, xi = small_stage(PROBLEMS[name])
    everyone, step = torch.arange(len(xi)), 1e-5
    reached = stage.objective(xi, everyone)
    steps = stage._steps(xi, reached, stage._linearised(xi, reached))

    def residuals(x):
        found = stage.objective(x, torch.full((len(x),), member))
        return torch.cat(
            [-found.residual, stage.signs.least_squares(found.latent, stage.width)[0]], dim=1
        )

    for member in range(len(xi)):
        eye, here = torch.eye(64, dtype=torch.float64), xi[member : member + 1]
        ahead, behind = (residuals(here + s * step * eye) for s in (1, -1))
        jacobian = ((ahead - behind) / (2 * step)).T
        departure = here[0] - stage.centre[member]
        hessian = eye + jacobian.T @ jacobian
        gradient = departure + jacobian.T @ residuals(here)[0]
        expected = -torch.linalg.solve(hessian, gradient)
        assert float((steps[member] - expected).norm() / expected.norm()) < 1e-3


def test_the_objective_falls_to_its_minimum():
    stage, _, xi = small_stage(PROBLEMS["darcy"], width=1.0)
    everyone = torch.arange(len(xi))
    values = [stage.objective(xi, everyone).value]
    for iterations, chords in ((1, 1), (1, 3), (8, 2)):
        found, value = stage.minimise(xi, iterations, chords)
        assert torch.allclose(value, stage.objective(found, everyone).value, rtol=1e-9)
        values.append(value)
    steps = torch.stack(values).diff(dim=0)
    assert bool((steps <= 0).all()) and bool((steps.sum(dim=0) < -30).all())
    reached = stage.objective(found, everyone)
    steps = stage._steps(found, reached, stage._linearised(found, reached))
    assert float(steps.norm(dim=1).max()) < 0.05 * float((found - xi).norm(dim=1).min())


def test_sensitivities_are_rows_of_the_jacobian():
    stage, _, xi = small_stage(PROBLEMS["darcy"], channels=(1,))
    forward, m = stage.forward, len(stage.forward.observation)
    a = PROBLEMS["darcy"].smoothed(predicted(stage, xi)[0], 0.2)
    weights = normal(4, m, seed=5)
    usual = LatentMap(Problem(Darcy(), MEDIUM), forward.observation)
    assert torch.equal(usual.sensitivities(a, weights), forward.sensitivities(a, weights))
    before = forward.solver_calls
    found = forward.sensitivities(a, weights)
    assert forward.solver_calls - before == len(a) * 5
    for i in range(len(a)):
        rows = forward.jacobian(a[i : i + 1])
        expected = torch.einsum("rm,mcyx->ryx", weights, rows)
        assert torch.allclose(found[i], expected, rtol=1e-8, atol=1e-10 * float(expected.max()))


def test_leading_directions_hold_most_of_what_varies():
    forward = small_stage(PROBLEMS["darcy"], channels=(1,))[0].forward
    whitening = Whitening(forward.observation.noise_std, forward.observation.common)
    directions = leading_directions(forward, whitening, 4)
    unit = torch.eye(4, dtype=torch.float64)
    assert torch.allclose(directions @ directions.T, unit, atol=1e-12)
    everything = leading_directions(forward, whitening, 10)
    assert torch.equal(everything, torch.eye(10, dtype=torch.float64))
    draws = forward(PROBLEMS["darcy"].sample_coefficient(200, forward.grid, seeded(3)))
    draws = whitening(draws)
    draws -= draws.mean(dim=0)
    assert float((draws @ directions.T).square().sum() / draws.square().sum()) > 0.9


def test_the_grid_of_derivatives_suits_the_readings():
    sizes = [derivative_grid(Grid(128), m).ny for m in (10, 200, 500, 5000)]
    assert sizes == [32, 40, 64, 64] and derivative_grid(Grid(24), 500).ny == 24


def test_members_whose_partner_was_left_out_come_last_when_draws_are_joined():
    problem = PROBLEMS["darcy"]
    law = PhaseValues.of(problem)
    first, more = (
        Members(vector(*rows)[:, None], paired, problem.latent, 0.1, vector(1.0), 1.0, {}, law)
        for rows, paired in (([0.0, 1.0, 2.0], 2), ([3.0, 4.0, 5.0, 6.0, 7.0], 4))
    )
    both = first.joined(more)
    assert both.paired == 6 and both.xi[:, 0].tolist() == [0, 1, 3, 4, 5, 6, 2, 7]


@pytest.mark.parametrize("stages", SCHEDULES.values(), ids=SCHEDULES)
def test_the_jump_narrows_and_the_grid_is_refined(stages):
    widths = [stage.width for stage in stages]
    grids = [stage.refinement or 99 for stage in stages]
    assert widths == sorted(widths, reverse=True) and grids == sorted(grids)
    assert stages[-1].refinement is None

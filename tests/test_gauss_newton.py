"""Gauss–Newton: exact where the problem is linear, the mode and honest samples where it is not."""

import dataclasses

import pandas as pd
import pytest
import torch
from helpers import brief_searches, normal, observe, seeded, tuning_task, with_modes
from scipy.optimize import minimize

from pdeinv import InputError, MisfitWarning, layouts, reconstruct
from pdeinv.datasets import Darcy, NavierStokes, Poisson, Problem, pde_by_name
from pdeinv.errors import NumericalError
from pdeinv.metrics import relative_l2
from pdeinv.solvers import GaussianSolver, GaussNewton
from pdeinv.solvers import mode as mode_module
from pdeinv.solvers.continuation import largest_objective
from pdeinv.solvers.mode import ModeSearch
from pdeinv.solvers.whitened_problem import WhitenedProblem

SMALL = with_modes(pde_by_name("navier-stokes"), 16)


def test_the_surrogate_is_the_flow_where_longer_steps_are_unstable():
    pde = with_modes(NavierStokes(forcing=28.0, dt=0.005), 16)
    a = Problem(pde).sample(1, pde.grid(64), seeded())[:, :1]  # which it would coarsen
    assert torch.equal(pde.surrogate(a), pde.solve(a))
    for brief in (NavierStokes(dt=1e9), NavierStokes(time=1e-11)):
        assert brief.steps(brief.grid(32)) == 1


def test_a_flow_without_a_derivative_is_told():
    class Torn(NavierStokes):
        def surrogate(self, a):
            return self.solve(a) * float("nan")

    _, observation = tuning_task("navier-stokes", "inverse", grid=16, sensors=5).instance(0)
    with pytest.raises(
        NumericalError, match=r"must be finite at the prior's mean.* change the PDE's parameters"
    ):
        GaussNewton()(Torn(time=0.1), None, observation)


def small_problem(m=12, noise=0.05, channels=(1,)):
    """Sensors on a band-limited flow on 24 x 24 nodes, few enough modes for a general-purpose
    optimiser."""
    _, observation = tuning_task("navier-stokes", "both", grid=24, sensors=m, seed=5).instance(0)
    keep = torch.tensor([int(c) in channels for c in observation.channel])
    observation = observation.subset(keep)
    truth = Problem(SMALL).sample(1, observation.grid, seeded(7))
    values = observation(truth)[0]
    std = torch.full_like(values, noise * float(truth.std()))
    values = values + std * torch.randn(len(values), dtype=torch.float64, generator=seeded(8))
    return truth, dataclasses.replace(observation, values=values, noise_std=std)


@pytest.mark.parametrize("kind", ["forward", "inverse", "both"])
def test_a_linear_pde_gets_its_exact_posterior(kind):
    task = tuning_task("poisson", kind, grid=16, sensors=20, noise=0.02)
    _, observation = task.instance(0)
    exact = GaussianSolver()(Poisson(), None, observation, generator=seeded())
    ours = GaussNewton(ensemble=1000)(Poisson(), None, observation, generator=seeded())
    for channel in (0, 1):
        scale = float(exact.mean[channel].abs().max())
        assert torch.allclose(ours.mean[channel], exact.mean[channel], atol=1e-5 * scale)
    assert torch.allclose(ours.std[0], exact.std[0], atol=1e-4 * float(exact.std[0].max()))
    assert torch.allclose(ours.std[1], exact.std[1], atol=0.15 * float(exact.std[1].max()))
    assert ours.record["reduced_chi_squared"] == pytest.approx(
        exact.record["reduced_chi_squared"], rel=1e-5
    )


def test_samples_2i_and_2i_plus_1_are_antithetic():
    _, observation = tuning_task("poisson", "inverse", grid=16, sensors=20, noise=0.02).instance(0)
    found = GaussNewton()(Poisson(), None, observation, n_samples=7, generator=seeded())
    assert found.pairs
    for i in range(0, 6, 2):  # of a linear PDE exactly
        torch.testing.assert_close(found.samples[i : i + 2].mean(dim=0), found.mean)
    assert not torch.allclose(found.samples[5:7].mean(dim=0), found.mean, atol=1e-3)


def test_the_jacobian_is_the_derivative_of_the_sensors():
    _, observation = small_problem(channels=(0, 1))
    problem = WhitenedProblem(Problem(SMALL), observation)
    xi, direction = (problem.white(1, seeded(s)) for s in (1, 2))
    step = 1e-4
    difference = (problem.values(xi + step * direction) - problem.values(xi - step * direction))[
        0
    ] / (2 * step)
    product = problem.jacobian(xi) @ direction.flatten()
    # The surrogate costs a little accuracy on the solution, and none on the coefficient.
    for channel, tolerance in ((0, 1e-9), (1, 2e-3)):
        mine = observation.channel == channel
        assert float((difference - product)[mine].norm() / difference[mine].norm()) < tolerance


@pytest.mark.parametrize(("n", "tolerance"), [(24, 5e-2), (25, 5e-2), (64, 5e-3)])
def test_the_surrogate_of_navier_stokes_is_close_to_its_solve(n, tolerance):
    pde = pde_by_name("navier-stokes")
    a = Problem(pde).sample_coefficient(2, pde.grid(n), seeded())
    assert float(relative_l2(pde.surrogate(a), pde.solve(a)).max()) < tolerance


def test_the_mode_is_where_a_general_optimiser_ends():
    _, observation = small_problem()
    problem = WhitenedProblem(Problem(SMALL), observation)
    xi, values, *_ = ModeSearch(problem, 10, 3, 0.1, False)(1e-13)

    def objective(vector):
        with torch.enable_grad():
            z = torch.tensor(vector)[None].requires_grad_()
            misfit = (
                observation.values - observation(problem.forward.state(problem.tables(z)))[0]
            ) / observation.noise_std
            value = z.square().sum() + misfit.square().sum()
            (gradient,) = torch.autograd.grad(value, z)
        return float(value.detach()), gradient.flatten().numpy()

    ours = objective(xi.flatten().numpy())[0]
    start = 0.1 * Problem(SMALL).latent.white(1, seeded(3)).flatten().numpy()
    best = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 400})
    assert ours < 1.002 * best.fun
    assert torch.allclose(values, problem.values(xi))


def test_exact_readings_are_met_by_the_mean_and_by_every_sample():
    task = tuning_task("navier-stokes", "both", grid=24, sensors=20)
    truth, observation = task.instance(0)
    posterior = GaussNewton()(task.physics, None, observation, n_samples=40, generator=seeded())
    assert posterior.samples.shape == (40, 2, 24, 24)
    states = torch.cat([posterior.mean[None], posterior.samples])
    misfit = (observation(states) - observation.values).abs() / truth.flatten(1).std(dim=1)[
        observation.channel
    ]
    assert float(misfit[0].max()) < 2e-2 and float(misfit.max()) < 2e-2
    # Samples are flows: their second field is the first one's solution, both those of their latent
    # field.
    xi = posterior.latent.unflatten(1, task.problem.latent.shape)
    assert torch.allclose(
        task.problem.state(xi[:3], observation.grid), posterior.samples[:3], atol=1e-10
    )
    assert torch.allclose(
        task.physics.solve(posterior.samples[:3, :1]), posterior.samples[:3, 1:], atol=1e-10
    )


def test_the_ensemble_scatters_about_the_truth_as_it_says():
    """Truths drawn from the prior fall anywhere in their posterior's samples: ranks are uniform."""
    task = tuning_task("navier-stokes", "inverse", grid=16, sensors=12, noise=0.05, seed=2)
    inside, count = torch.zeros(2, dtype=torch.float64), 12
    for i in range(count):
        truth, observation = task.instance(i)
        posterior = GaussNewton()(task.physics, None, observation, generator=seeded(i))
        covered = (posterior.mean - truth).abs() <= 1.645 * posterior.std
        inside += covered.double().mean(dim=(1, 2)) / count
    assert bool((inside > 0.8).all()) and bool((inside < 0.97).all()), inside


def exact_readings_of_a_smooth_flow():
    """Much of what 200 exact readings tell is below 1e-5 of their spread."""
    pde = with_modes(pde_by_name("navier-stokes", viscosity=0.01), 16)
    _, observation = tuning_task("navier-stokes", "inverse", grid=24, sensors=200).instance(0)
    truth = Problem(pde).sample(1, observation.grid, seeded())
    return pde, truth, dataclasses.replace(observation, values=observation(truth)[0])


def test_exact_readings_tell_what_a_larger_nugget_hides():
    pde, truth, observation = exact_readings_of_a_smooth_flow()
    errors = {}
    for nugget in (1e-8, 1e-10, 1e-13, 1e-18):
        found = GaussNewton(nugget=nugget)(pde, None, observation, generator=seeded())
        errors[nugget] = float(relative_l2(found.mean[None, :1], truth[:, :1]))
    assert errors[1e-13] < 0.9 * errors[1e-10] < 0.9**2 * errors[1e-8]
    assert errors[1e-18] < 1.02 * errors[1e-13]  # beyond what rounding leaves


def test_the_nugget_stays_where_readings_are_not_as_exact_as_they_say():
    pde, truth, observation = exact_readings_of_a_smooth_flow()
    moved = observation.values + 1e-3 * truth[:, 1].std() * normal(200, seed=3)
    observation = dataclasses.replace(observation, values=moved)
    with brief_searches():
        found = GaussNewton()(pde, None, observation, generator=seeded())
    assert found.record["nugget"] == pytest.approx(1e-10)
    assert found.record["reduced_chi_squared"] > 3
    with pytest.raises(
        InputError, match="nugget of gauss-newton must be a finite number above 0, got 0"
    ):
        GaussNewton(nugget=0.0)


def unmet_readings(spoil):
    """Readings of a short flow, spoilt so that each search fails."""
    pde = pde_by_name("navier-stokes", time=0.3)
    _, observation = observe(pde, pde.grid(20), layouts.random(20, 1), [0, 1] * 10, seed=1)
    return pde, dataclasses.replace(observation, values=spoil(observation.values))


@pytest.mark.parametrize(
    "spoil", [lambda v: 10 * v, lambda v: v.flip(0)], ids=["scaled", "shuffled"]
)
def test_readings_that_no_flow_can_have_end_with_a_large_misfit(spoil):
    pde, observation = unmet_readings(spoil)
    posterior = GaussNewton()(pde, None, observation, generator=seeded())
    assert posterior.record["searches"] == 4
    assert posterior.record["reduced_chi_squared"] > 3
    assert bool(torch.isfinite(posterior.mean).all() and torch.isfinite(posterior.std).all())


def long_flow():
    """Exact readings of a flow of little viscosity, after several turns of its eddies; a short
    search ends far from them."""
    pde, seed = pde_by_name("navier-stokes", time=6.0, viscosity=2e-5), 4
    state, observation = observe(pde, pde.grid(32), layouts.random(60, seed), 1, seed=seed)
    return pde, state, observation


def check_that_a_second_search_helps(pde, observation, iterations=10, chords=3):
    problem, m = WhitenedProblem(Problem(pde), observation), len(observation)
    search = ModeSearch(problem, iterations, chords, 0.1, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mode_module, "search_again", lambda search, mode, *_: mode)
        plain = search(1e-13)
    mode = search(1e-13)
    assert plain.objective > largest_objective(m) > mode.objective
    assert mode.converged and mode.gradient < 1e-4
    assert not problem.forward.exact_derivatives


def test_readings_that_a_first_search_does_not_meet_are_met_by_another_search():
    pde, _, observation = long_flow()
    check_that_a_second_search_helps(pde, observation, iterations=2, chords=0)


class Crude(NavierStokes):
    """Its surrogate has another time."""

    def surrogate(self, a):
        return NavierStokes(**self.parameters | {"time": 0.2 * self.time}).surrogate(a)


def test_a_surrogate_that_misleads_gives_way_to_the_solve():
    pde = with_modes(Crude(time=3.0), 16)
    points, channel = layouts.random(40, 1), [0, 1] * 20
    _, observation = observe(pde, pde.grid(24), points, channel, noise=1e-3)
    check_that_a_second_search_helps(pde, observation)


def test_the_record_states_whether_the_search_converged():
    _, observation = small_problem()
    found, stopped = (
        GaussNewton(ensemble=4, iterations=i, chords=c)(
            SMALL, None, observation, n_samples=4, generator=seeded()
        ).record
        for i, c in ((10, 3), (1, 0))
    )
    assert found["converged"] == 1 and stopped["converged"] == 0
    assert found["iterations"] > stopped["iterations"] >= 1
    assert found["final_gradient"] < 1e-3 < stopped["final_gradient"]


def test_a_large_misfit_names_a_local_minimum_as_a_possible_cause():
    pde, observation = unmet_readings(lambda v: v.flip(0))
    fields = [pde.fields[c].name for c in observation.channel]
    table = pd.DataFrame(observation.points.numpy(), columns=["x", "y"]).assign(
        field=fields, value=observation.values.numpy(), noise_std=0.0
    )
    warned = pytest.warns(MisfitWarning, match="the iteration may have ended in a local minimum")
    with brief_searches(), warned:
        reconstruct(table, pde, grid=20, solver=GaussNewton(ensemble=4), n_samples=4)


def test_what_it_cannot_do_is_refused():
    _, observation = tuning_task("darcy", "inverse", grid=16, sensors=5).instance(0)
    with pytest.raises(InputError, match="not made for darcy with the two-phase prior: it needs a"):
        GaussNewton()(Darcy(), None, observation)
    with pytest.raises(InputError, match="even integer"):
        GaussNewton(ensemble=7)


def test_a_flow_that_is_unstable_from_the_start_is_told():
    pde = with_modes(NavierStokes(forcing=30.0), 16)
    _, observation = tuning_task("navier-stokes", "inverse", grid=16, sensors=4).instance(0)
    with pytest.raises(NumericalError, match=r"forcing of 30.*; use a smaller dt"):
        GaussNewton()(pde, None, observation, generator=seeded())


class Torn(NavierStokes):
    """Flows that are unstable where the vorticity exceeds a bound, far out in its distribution."""

    bound = 1.0

    def solve(self, a):
        if bool((a.abs().amax(dim=(1, 2, 3)) > self.bound).any()):
            raise NumericalError("the flow must be calm, and one is not; use a calmer one")
        return super().solve(a)


@pytest.mark.parametrize("kind", ["forward", "inverse"])
def test_unstable_members_are_left_out_and_counted(kind):
    pde, size = with_modes(Torn(forcing=0.1), 16), 16
    _, observation = tuning_task("navier-stokes", kind, grid=24, sensors=6, noise=0.1).instance(0)
    calm = GaussNewton(ensemble=size)(SMALL, None, observation, n_samples=size, generator=seeded())
    largest = calm.samples[:, 0].abs().amax(dim=(1, 2)).unflatten(0, (-1, 2)).amax(dim=1)
    pde.__class__.bound = float(largest.sort().values[-3:-1].mean())  # one or two pairs exceed it
    with pytest.warns(UserWarning, match="members of the ensemble were left out, since .* calmer"):
        found = GaussNewton(ensemble=size)(
            pde, None, observation, n_samples=size, generator=seeded()
        )
    assert 2 <= found.record["members_left_out"] <= 8 and found.record["members_left_out"] % 2 == 0
    assert found.samples.shape == calm.samples.shape and bool(found.samples.isfinite().all())
    assert float(found.samples[:, 0].abs().max()) <= pde.bound
    # The others are as they were, in pairs, and come first
    apart = torch.cdist(*(p.samples.flatten(1) for p in (found, calm))).amin(dim=1)
    old = int((apart < 1e-8).sum())
    assert size - 8 <= old < size and old % 2 == 0 and bool((apart[:old] < 1e-8).all())
    assert calm.record["members_left_out"] == 0


def test_too_few_stable_members_are_refused():
    # The prior's mean flows, most of its draws do not.
    pde = with_modes(NavierStokes(forcing=12.0), 16)
    _, observation = tuning_task("navier-stokes", "forward", grid=32, sensors=3).instance(0)
    with pytest.raises(NumericalError, match=r"of \d+ members were unstable: .*use a smaller dt"):
        GaussNewton(ensemble=4)(pde, None, observation, n_samples=4, generator=seeded())

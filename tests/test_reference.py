"""The reference chains have the posterior that is known in closed form, and the solvers are
compared with it."""

import pytest
import torch
from helpers import normal, seeded, tuning_task

from pdeinv import InputError
from pdeinv.benchmarks.reports.tables import table
from pdeinv.benchmarks.studies.chains import reference_chains
from pdeinv.benchmarks.studies.reference import _drift, _error_of_solver, _r_hat, compare
from pdeinv.datasets import Darcy, Problem
from pdeinv.posterior import Posterior
from pdeinv.solvers import GaussianSolver

STEPS = 4000


@pytest.mark.parametrize("kind", ["forward", "inverse"])
def test_chains_sample_the_posterior_of_a_linear_pde(kind):
    problem = Problem.named("poisson", modes=6)
    task = tuning_task("poisson", kind, grid=16, sensors=6, noise=0.1)
    _, observation = task.instance(0)
    channel = task.scored[0]
    exact = GaussianSolver()(problem.physics, problem.prior, observation)
    generator = seeded(1)
    start = problem.latent.white(24, generator).flatten(1)
    annealed = torch.arange(24) % 2 == 0
    run = reference_chains(
        problem, observation, start, annealed, start[:1], STEPS, channel, generator
    )
    mean = run.means.mean(dim=0)
    scale = exact.std[channel].norm()
    error = (run.means.var(dim=0).sum() / len(start)).sqrt()  # of the chains' common mean
    assert float((mean - exact.mean[channel]).norm()) < 2 * float(error) and float(
        error
    ) < 0.2 * float(scale)
    spread = (run.squares.mean(dim=0) - mean**2).clamp(min=0).sqrt().norm()
    assert float(spread / scale) == pytest.approx(1, abs=0.1)
    assert 0.1 < run.acceptance[0] < 0.9 and run.likelihood.shape == (STEPS // 10, 24)
    assert run.trace.shape == (STEPS // 20, 24, 17) and float(_r_hat(run.trace).max()) < 1.2
    # Annealing lets chains wander first, after those that are not annealed have settled
    early = run.likelihood[20:60].mean(dim=0)
    assert float(early[annealed].mean()) < 2 * float(early[~annealed].mean())


def test_a_comparison_fills_a_row_of_the_table():
    record = compare(
        tuning_task("navier-stokes", "inverse", grid=16, sensors=12, noise=0.1),
        0,
        chains=4,
        steps=80,
    )
    assert record["method"] == "gauss-newton" and 0 < record["distance"] < 100
    # Pairs cancel what is odd in their draws
    assert record["monte_carlo_solver"] < 0.5 * record["spread_solver"] / 32**0.5
    head, _, row = table([record]).splitlines()
    assert head.count("|") == row.count("|") and f"{record['distance']:.2f}" in row
    with pytest.raises(InputError, match="noise must be above 0"):
        compare(tuning_task("darcy", "inverse", grid=16, sensors=12), 0, chains=4, steps=10)
    with pytest.raises(InputError, match="chains must be an even integer of at least 4, got 3"):
        compare(
            tuning_task("darcy", "inverse", grid=16, sensors=12, noise=0.1), 0, chains=3, steps=10
        )


@pytest.mark.parametrize("pairs", [False, True])
def test_the_error_of_a_solvers_mean_counts_independent_draws(pairs):
    """Over many ensembles the mean scatters as each of them says."""
    means, told = [], []
    for seed in range(200):
        half = normal(8, 1, 4, 4, seed=seed)
        partner = 0.5 * half**2 - half if pairs else normal(8, 1, 4, 4, seed=1000 + seed)
        samples = torch.stack([half, partner], dim=1).flatten(0, 1)
        posterior = Posterior((), Darcy().grid(4), None, None, samples, pairs=pairs)
        means.append(samples.mean(dim=0)[0])
        told.append(_error_of_solver(posterior, 0))
    scatter = float(torch.stack(means).var(dim=0).sum().sqrt())
    assert sum(told) / len(told) == pytest.approx(scatter, rel=0.1)


def test_diagnostics_see_chains_that_disagree_or_drift():
    trace = normal(400, 4, 3)
    assert float(_r_hat(trace).max()) < 1.02 and abs(_drift(trace[..., 0])) < 0.3
    trace[:, 2:, 1] += 3
    assert float(_r_hat(trace)[1]) > 1.3 > 1.02 > float(_r_hat(trace)[0])
    assert _drift(torch.arange(400.0)[:, None].expand(400, 2)) == 100.0

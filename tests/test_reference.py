"""The reference chains have the posterior that is known in closed form, and the solvers are
compared with it."""

import pytest
from helpers import seeded, tuning_task

from pdeinv import InputError
from pdeinv.benchmarks.reports.tables import table
from pdeinv.benchmarks.studies.reference import compare, reference_chains
from pdeinv.datasets import Poisson
from pdeinv.solvers import GaussianSolver

STEPS = 4000


@pytest.mark.parametrize("kind", ["forward", "inverse"])
def test_chains_sample_the_posterior_of_a_linear_pde(kind):
    pde, task = Poisson(modes=6), tuning_task("poisson", kind, grid=16, sensors=6, noise=0.1)
    _, observation = task.instance(0)
    channel = task.scored[0]
    exact = GaussianSolver()(pde, None, observation)
    generator = seeded(1)
    start = pde.latent_prior.white(24, generator).flatten(1)
    run = reference_chains(pde, observation, start, STEPS, channel, generator)
    mean = run.means.mean(dim=0)
    scale = exact.std[channel].norm()
    error = (run.means.var(dim=0).sum() / len(start)).sqrt()  # of the chains' common mean
    assert float((mean - exact.mean[channel]).norm()) < 2 * float(error) and float(
        error
    ) < 0.2 * float(scale)
    spread = (run.squares.mean(dim=0) - mean**2).clamp(min=0).sqrt().norm()
    assert float(spread / scale) == pytest.approx(1, abs=0.1)
    assert 0.1 < run.acceptance[0] < 0.9 and run.trace.shape == (STEPS // 10, 24)


def test_a_comparison_fills_a_row_of_the_table():
    record = compare(
        tuning_task("navier-stokes", "inverse", grid=16, sensors=12, noise=0.1),
        0,
        chains=3,
        steps=80,
    )
    assert record["method"] == "gauss-newton" and 0 < record["distance"] < 100
    head, _, row = table([record]).splitlines()
    assert head.count("|") == row.count("|") and f"{record['distance']:.2f}" in row
    with pytest.raises(InputError, match="noise must be above 0"):
        compare(tuning_task("darcy", "inverse", grid=16, sensors=12), 0, chains=3, steps=10)

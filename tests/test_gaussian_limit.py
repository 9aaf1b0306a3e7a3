"""The exact posterior mean under a fitted Gaussian prior, and the table of solvers beside it."""

import torch
from helpers import seeded, tuning_task

from pdeinv.benchmarks.studies.gaussian_limit import exact_mean, limit_table, score
from pdeinv.datasets import Helmholtz, Problem
from pdeinv.priors import GaussianPrior, TrainingData
from pdeinv.solvers import FunDPS, GaussianSolver

N = 16


def fitted(channels, samples=3000):
    pde = Helmholtz()
    states = Problem(pde).sample(samples, pde.grid(N), seeded())[:, :channels].float()
    return GaussianPrior.fit(TrainingData(states, pde.fields[:channels], pde.grid(N), pde, "here"))


def test_it_is_the_mean_of_the_dense_formula():
    prior = fitted(2, samples=200)
    _, observation = tuning_task("helmholtz", "both", grid=N, sensors=10, noise=0.2).instance(0)
    eye = torch.eye(2 * N * N, dtype=torch.float64).reshape(-1, 2, N, N)
    C = prior.covariance(eye).flatten(1)
    H = observation.adjoint(torch.eye(20, dtype=torch.float64)).flatten(1)
    # The prior's mean is its denoiser's answer where the noise drowns everything.
    mean = prior.denoise(torch.zeros(1, 2, N, N, dtype=torch.float64), 1e6).flatten()
    gain = C @ H.T @ torch.linalg.inv(H @ C @ H.T + torch.diag(observation.noise_std**2))
    expected = mean + gain @ (observation.values - H @ mean)
    found = exact_mean(prior, observation).flatten()
    for part in (slice(0, N * N), slice(N * N, None)):
        assert float((found[part] - expected[part]).norm() / expected[part].norm()) < 1e-4


def test_it_is_near_the_posterior_mean_of_the_pde():
    prior = fitted(2)
    for kind in ("forward", "inverse"):
        task = tuning_task("helmholtz", kind, grid=N, sensors=20)
        truth, observation = task.instance(0)
        c = task.scored[0]
        exact = GaussianSolver()(Helmholtz(), None, observation, n_samples=1).mean[c]
        found = exact_mean(prior, observation)[c]
        assert float((found - truth[c]).norm()) < 1.1 * float((exact - truth[c]).norm())


def test_scores_make_a_table():
    priors = {2: fitted(2, samples=300)}
    task = tuning_task("helmholtz", "forward", grid=N, sensors=20)
    records = [score(FunDPS(steps=s), priors, task, i) for s in (5, 30) for i in range(2)]
    assert all(r["error"] >= 0.5 * r["limit"] and r["distance"] > 0 for r in records)
    lines = limit_table(records).splitlines()
    assert lines[0] == "| task | solver | 5 steps | 30 steps |" and lines[2].startswith(
        "| forward | fundps |"
    )
    ratio = sum(r["error"] for r in records[2:]) / sum(r["limit"] for r in records[2:])
    assert lines[2].endswith(f"| {ratio:.2f} |")

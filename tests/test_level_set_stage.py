"""One stage of the level set's annealing: its objective, gradient and Hessian."""

import dataclasses

import pytest
import torch
from helpers import Exact, normal, with_modes
from test_level_set import instance, latent_of

from pdeinv.datasets import Darcy, Problem
from pdeinv.solvers import annealing
from pdeinv.solvers.annealing import Members, SmoothedProblem
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.signs import Signs


def small_stage(pde, members=3, n=12, m=10):
    """A stage in the middle of the annealing, with exact, doubtful and noisy readings, and ξ of its
    members."""
    _, observation = instance("both", n=n, m=m, noise=0.02, pde=pde)
    mixed = torch.where(
        observation.channel == 0, 6.0 * (torch.arange(2 * m) % 2), observation.noise_std
    )
    observation = dataclasses.replace(observation, noise_std=mixed)
    problem = Problem(pde)
    width = 0.3 * problem.latent.std
    centre, xi = (normal(members, problem.latent.size, seed=s) for s in (1, 2))
    seen = observation.subset(observation.channel == 1)
    noise = seen.noise_std * normal(members, m, seed=3)
    return (
        SmoothedProblem(
            LatentMap(problem, seen),
            Signs(problem, observation),
            width,
            seen.noise_std,
            centre,
            noise,
        ),
        observation,
        xi,
    )


def test_the_objective_is_prior_misfit_and_signs():
    pde, members = with_modes(Exact(), 8), torch.tensor([2, 0])
    stage, observation, xi = small_stage(pde)
    centre, noise = (
        scale * normal(3, d, seed=s)[members] for scale, d, s in ((1, 64, 1), (stage.sigma, 10, 3))
    )
    latent = latent_of(pde, xi[members], stage.grid)
    read = observation(
        torch.cat([latent, pde.solve(Problem(pde).smoothed(latent, stage.width))], dim=1)
    )
    (g, u), (y, data), (std, sigma) = (
        x.split(10, dim=-1) for x in (read, observation.values, observation.noise_std)
    )
    share = 1 / (1 + (-g / stage.width).exp())
    high, low = ((-((y - v) ** 2) / (2 * (std**2 + 0.09**2))).exp() for v in (12.0, 3.0))
    told = ((share * high + (1 - share) * low) / torch.maximum(high, low)).log().sum(dim=1)
    misfit = ((data + noise - u) / sigma).square().sum(dim=1)
    value, _ = stage.objective(xi[members], members)
    assert torch.allclose(
        value, (xi[members] - centre).square().sum(dim=1) / 2 + misfit / 2 - told, rtol=1e-8
    )
    assert bool((told < -0.1).all() and (misfit > 1).all())  # each part has its say


def test_the_gradient_is_that_of_the_objective():
    pde = with_modes(Exact(tolerance=1e-14), 8)
    stage, _, xi = small_stage(pde)
    members = torch.tensor([2, 0])
    xi, step = xi[members], 1e-4
    _, gradient = stage.objective(xi, members)
    for seed in range(4):
        direction = normal(*xi.shape, seed=10 + seed)
        ahead, behind = (stage.objective(xi + s * step * direction, members)[0] for s in (1, -1))
        assert torch.allclose(
            (gradient * direction).sum(dim=1), (ahead - behind) / (2 * step), rtol=1e-6
        )
    # The surrogate of Darcy costs a few digits.
    rough = small_stage(with_modes(Darcy(), 8))[0].objective(xi, members)[1]
    assert 1e-9 < float((rough - gradient).norm() / gradient.norm()) < 1e-3


@pytest.mark.parametrize(("modes", "rank"), [(8, 300), (8, 2), (16, 300)])
def test_the_preconditioner_is_the_inverse_of_the_dense_hessian(modes, rank, monkeypatch):
    monkeypatch.setattr(annealing, "_RANK", rank)
    pde = with_modes(Exact(tolerance=1e-14), modes)
    stage, _, xi = small_stage(pde)
    (units, eye), step = (
        (torch.eye(k, dtype=torch.float64) for k in (stage.grid.nodes, modes**2)),
        1e-5,
    )

    def readings(a):
        return stage.forward.observation(torch.cat([a, pde.solve(a)], dim=1)) / stage.sigma

    def permeability(xi):
        return Problem(pde).smoothed(latent_of(pde, xi, stage.grid), stage.width)

    def jacobian(function, x, directions):
        return (
            ((function(x + step * directions) - function(x - step * directions)) / (2 * step))
            .flatten(1)
            .T
        )

    # One sensitivity for all, that of the first member, of which the leading directions are kept.
    sensitivity = jacobian(readings, permeability(xi[:1]), units.reshape(-1, 1, *stage.grid.shape))
    u, s, v = torch.linalg.svd(sensitivity, full_matrices=False)
    sensitivity = u[:, :rank] * s[:rank] @ v[:rank]
    resolved = (torch.arange(modes) < stage.grid.nx).double()  # the others would alias
    seen = (resolved[:, None] * resolved).flatten()
    members = [sensitivity @ jacobian(permeability, member, eye) * seen for member in xi]
    z = normal(len(xi), len(eye), seed=4)
    expected = torch.stack(
        [torch.linalg.solve(eye + j.T @ j, v) for j, v in zip(members, z, strict=True)]
    )
    assert float((stage.preconditioner(xi)(z) - expected).norm() / (expected - z).norm()) < 1e-4


def test_members_whose_partner_was_left_out_come_last_when_draws_are_joined():
    first, more = (
        Members(torch.tensor(rows)[:, None], paired, Problem(Darcy()).latent, 0.1, 1.0, 1.0, {})
        for rows, paired in (([0.0, 1.0, 2.0], 2), ([3.0, 4.0, 5.0, 6.0, 7.0], 4))
    )
    both = first.joined(more)
    assert both.paired == 6 and both.xi[:, 0].tolist() == [0, 1, 3, 4, 5, 6, 2, 7]

"""The batched minimiser: one step on a quadratic, valleys, members that do not touch one
another."""

import numpy as np
import pytest
import torch
from helpers import normal, vector
from scipy.optimize import minimize

from pdeinv.solvers.lbfgs import _BACKTRACKS, minimise


def test_a_quadratic_takes_one_step_with_its_own_hessian():
    root, centre, start = normal(5, 6, 6), normal(5, 6, seed=1), normal(5, 6, seed=2)
    hessian, calls = root @ root.mT + torch.eye(6), []

    def objective(x, members):
        calls.append(len(x))
        gradient = torch.einsum("kij,kj->ki", hessian[members], x - centre[members])
        return ((x - centre[members]) * gradient).sum(dim=1) / 2 - members, gradient

    x, value = minimise(objective, start, lambda z: torch.linalg.solve(hessian, z), 50)
    assert torch.allclose(x, centre, atol=1e-10) and torch.allclose(
        value, -torch.arange(5).double(), atol=1e-10
    )
    assert calls == [5, 5]
    # With a wrong Hessian the memory finds it out.
    x, _ = minimise(objective, start, lambda z: 0.1 * z, 60, tolerance=1e-14)
    assert torch.allclose(x, centre, atol=1e-5)


def test_a_search_that_fails_starts_afresh():
    calls, scale = [], vector(1.0, 3.0, 10.0)

    def flaky(x, members):
        calls.append(x[0])
        failed = 5 <= len(calls) < 5 + _BACKTRACKS
        return (scale * x**2).sum(dim=1) * (torch.inf if failed else 1.0), 2 * scale * x

    x, _ = minimise(flaky, vector([3.0, -1.0, 2.0]), lambda z: z / 20, 60, tolerance=1e-12)
    assert torch.allclose(x, 0 * x, atol=1e-5)
    # They were the trials of one search, and the next one went down the slope again.
    before, trials, after = calls[3], calls[4 : 4 + _BACKTRACKS], calls[4 + _BACKTRACKS]
    assert all(
        float(torch.cosine_similarity(t - before, trials[0] - before, dim=0)) > 0.999999
        for t in trials
    )
    assert torch.allclose(after - before, -scale * before / 10)


def valleys(steepness):
    """Rosenbrock functions in four dimensions less 10, each member's own."""

    def objective(x, members):
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            bent = steepness[members, None] * (x[:, 1:] - x[:, :-1] ** 2) ** 2
            value = (bent + (x[:, :-1] - 0.1 * members[:, None]) ** 2).sum(dim=1) - 10
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    return objective


STEEPNESS = vector(1.0, 10.0, 100.0, 30.0)


def test_rosenbrock_valleys_are_followed_to_their_ends():
    objective, start = valleys(STEEPNESS), 0.5 * normal(4, 4)
    x, value = minimise(objective, start, lambda z: z / 50, 300, tolerance=1e-13)
    for i in range(4):

        def one(vector, i=i):
            reached, gradient = objective(torch.tensor(vector)[None], torch.tensor([i]))
            return float(reached), gradient[0].numpy()

        best = minimize(one, start[i].numpy(), jac=True, method="BFGS", options={"gtol": 1e-9})
        assert np.allclose(x[i], best.x, atol=1e-4) and float(value[i]) == pytest.approx(
            best.fun, abs=1e-8
        )


@pytest.mark.parametrize("spoilt", ["non-finite", "uphill"])
def test_members_do_not_care_about_one_another(spoilt):
    objective, start = valleys(STEEPNESS), 0.5 * normal(4, 4)

    def some_bad(x, members):
        value, gradient = objective(x, members)
        bad = (members == 1)[:, None]
        if spoilt == "uphill":
            return value, torch.where(bad, -gradient, gradient)
        return torch.where(bad[:, 0], torch.nan, value), torch.where(bad, torch.nan, gradient)

    x, value = minimise(some_bad, start, lambda z: z / 50, 12)
    assert torch.equal(x[1], start[1])
    for i in (0, 2, 3):

        def alone(x, members, i=i):
            return objective(x, members + i)

        x_alone, value_alone = minimise(alone, start[i : i + 1], lambda z: z / 50, 12)
        assert torch.allclose(x[i], x_alone[0], atol=1e-8) and torch.allclose(
            value[i], value_alone[0]
        )
        assert torch.allclose(value[i], objective(x[i : i + 1], torch.tensor([i]))[0])
        assert float(value[i]) < float(objective(start[i : i + 1], torch.tensor([i]))[0]) - 0.1

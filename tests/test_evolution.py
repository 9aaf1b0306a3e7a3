"""The change of u over time with storage: its accuracy, its derivatives and its factorisations."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import torch
from helpers import distance, normal
from numpy.polynomial import chebyshev

from pdeinv.datasets.elliptic import sparse_solver
from pdeinv.datasets.elliptic.decay import step_rule
from pdeinv.datasets.elliptic.evolution import Evolution
from pdeinv.datasets.elliptic.volumes import Volumes

MIXES = {"values": (True,) * 4, "mixed": (True, False, False, True), "floating": (False,) * 4}
each_mix = pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
TIMES = (1e-3, 0.03, 0.4, 20.0)


def random_problem(volumes, count=2, seed=0):
    """Coefficient, start, inflow and storage."""
    a = normal(count, 1, volumes.ny, volumes.nx, seed=seed).mul(0.7).exp()
    start = normal(count, 1, volumes.ny, volumes.nx, seed=seed + 1)
    inflow = normal(count, 1, *volumes.shape, seed=seed + 2)
    return a, start, inflow, 0.5 + normal(*volumes.shape, seed=seed + 3).square()


def rates(volumes, a, u, inflow, storage, mean):
    """du/dt (ny, nx), node by node."""
    out = np.zeros_like(u)
    held = np.ones(u.shape, dtype=bool)
    held[volumes.rows, volumes.columns] = False
    for i, j in zip(*np.nonzero(~held), strict=True):
        tall = 1.0 if 0 < i < volumes.ny - 1 else 0.5
        wide = 1.0 if 0 < j < volumes.nx - 1 else 0.5
        total = inflow[i - volumes.rows.start, j - volumes.columns.start]
        for di, dj, area in ((1, 0, wide), (-1, 0, wide), (0, 1, tall), (0, -1, tall)):
            k, m = i + di, j + dj
            if 0 <= k < volumes.ny and 0 <= m < volumes.nx:
                h = volumes.hy if di else volumes.hx
                both = a[i, j], a[k, m]
                face = sum(both) / 2 if mean == "arithmetic" else 2 / (1 / both[0] + 1 / both[1])
                total += face * area * (u[k, m] - u[i, j]) / h**2
        own = storage[i - volumes.rows.start, j - volumes.columns.start] * tall * wide
        out[i, j] = total / own
    return out


@pytest.mark.parametrize("accuracy", [1e-2, 1e-4, 1e-6, 1e-9])
def test_a_rule_has_the_error_that_it_states(accuracy):
    rule = step_rule(accuracy)
    z = np.logspace(-6, 8, 20001)
    w = 1 / (1 + rule.pole * z)
    found = rule.pole * w * chebyshev.chebval(2 * w - 1, rule.weights)
    error = np.abs(found * z / -np.expm1(-z) - 1).max()
    assert error <= 1.01 * rule.error <= 1.01 * accuracy
    assert error >= 0.5 * rule.error
    fewer = [r for r in (step_rule(10 * accuracy),) if accuracy < 1e-2]
    assert all(len(r.weights) < len(rule.weights) for r in fewer)
    # The growth of a mode without decay, and the steady state
    assert abs(rule.pole * chebyshev.chebval(1, rule.weights) - 1) < 1e-12
    assert abs(chebyshev.chebval(-1, rule.weights) - 1) < 1e-12


@each_mix
@pytest.mark.parametrize("mean", ["arithmetic", "harmonic"])
def test_an_independent_integration_gives_the_same(mix, mean):
    volumes = Volumes(5, 6, 1.0, 1.4, *mix)
    a, start, inflow, storage = random_problem(volumes, 1)
    accuracy = 1e-8
    u = Evolution(volumes, storage, mean, accuracy).after(a, start, inflow, TIMES)
    plain = [x.squeeze().numpy() for x in (a, start, inflow, storage)]

    def slope(_, u):
        return rates(volumes, plain[0], u.reshape(5, 6), *plain[2:], mean).ravel()

    found = scipy.integrate.solve_ivp(
        slope, (0, TIMES[2]), plain[1].ravel(), "BDF", TIMES[:3], rtol=1e-8, atol=1e-10
    )
    expected = torch.from_numpy(found.y.T.reshape(1, 3, 5, 6))
    for i in range(3):
        change = expected[:, i] - start[:, 0]
        assert distance(u[:, i] - start[:, 0], change) < 2e-6


def manufactured(n, accuracy, time):
    """The largest error for u = x + exp(-t) sin πx sin πy, whose a and storage vary."""
    volumes = Volumes(n, n)
    y, x = torch.meshgrid(*[torch.linspace(0, 1, n, dtype=torch.float64)] * 2, indexing="ij")
    wave = torch.sin(math.pi * x) * torch.sin(math.pi * y)
    a = 2 + 0.5 * torch.cos(math.pi * x)
    storage = math.pi**2 * (2 * a + 0.5 * torch.cos(math.pi * x))  # -∇·(a ∇wave) / wave
    source = 0.5 * math.pi * torch.sin(math.pi * x)  # -∇·(a ∇x)
    evolution = Evolution(volumes, volumes.inside(storage), "arithmetic", accuracy)
    inflow = volumes.times_volume(volumes.inside(source))
    u = evolution.after(a[None, None], (x + wave)[None, None], inflow[None, None], [time])
    return float((u - (x + math.exp(-time) * wave)).abs().max())


def test_order_two_in_space():
    errors = [manufactured(n, 1e-9, 0.7) for n in (9, 17, 33)]
    for coarse, fine in itertools.pairwise(errors):
        assert 3.7 < coarse / fine < 4.3


@pytest.mark.parametrize("time", [0.01, 0.7, 5.0])
def test_the_error_of_a_step_is_at_most_the_accuracy_of_the_change(time):
    exact = manufactured(17, 1e-10, time)
    for accuracy in (1e-2, 1e-4, 1e-6):
        gap = abs(manufactured(17, accuracy, time) - exact)
        assert gap < 1.1 * accuracy * (1 - math.exp(-time))


def test_two_steps_are_one():
    volumes = Volumes(9, 12, 2.0, 1.0, True, False, True, False)
    a, start, inflow, storage = random_problem(volumes)
    evolution = Evolution(volumes, storage, "harmonic", 1e-9)
    half = evolution.after(a, start, inflow, [0.2])
    whole = evolution.after(a, start, inflow, [0.5])
    assert distance(evolution.after(a, half, inflow, [0.3]) - start, whole - start) < 1e-8


@each_mix
def test_derivatives(mix):
    volumes = Volumes(3, 3, 2.0, 1.0, *mix)
    a, start, inflow, storage = random_problem(volumes, 1)
    evolution = Evolution(volumes, storage, "harmonic", 1e-2)
    given = [x.requires_grad_() for x in (a, start, inflow)]

    def solve(*given):
        return evolution.after(*given, (0.05, 2.0))

    assert torch.autograd.gradcheck(solve, given, eps=1e-5, atol=1e-8, rtol=1e-5)
    if mix == MIXES["mixed"]:
        assert torch.autograd.gradgradcheck(solve, given, eps=1e-5, atol=1e-8, rtol=1e-5)


def test_many_adjoints_are_one_by_one_and_share_the_factorisations_of_the_state(monkeypatch):
    made, make = [], sparse_solver._Factorisation
    monkeypatch.setattr(
        sparse_solver, "_Factorisation", lambda *given: made.append(1) or make(*given)
    )
    sparse_solver._kept.kept.clear()
    volumes = Volumes(9, 12, 2.0, 1.0, True, True, False, False)
    a, start, inflow, storage = random_problem(volumes)
    a.requires_grad_(), start.requires_grad_()
    u = Evolution(volumes, storage).after(a, start, inflow, TIMES)
    assert len(made) == len(a) * len(TIMES)
    cotangents = normal(7, *u.shape, seed=3)
    cotangents[1:5, :, ::2] = 0  # of some times
    cotangents[2, 0] = 0

    def pull_back(v):
        return torch.autograd.grad(u, (a, start), v, retain_graph=True)

    many = torch.vmap(pull_back)(cotangents)
    for i, v in enumerate(cotangents):
        for part, one in zip(many, pull_back(v), strict=True):
            assert distance(part[i], one) < 1e-12
    assert len(made) == len(a) * len(TIMES)


def test_nothing_is_lost_between_sides_without_flow():
    volumes = Volumes(8, 11, 3.0, 1.0, *MIXES["floating"])
    a, start, inflow, storage = random_problem(volumes)
    u = Evolution(volumes, storage, "harmonic", 1e-2).after(a, start, inflow, TIMES)
    stored = volumes.times_volume(storage * (u - start)).sum(dim=(-1, -2))
    entered = inflow.sum(dim=(-1, -2)) * torch.tensor(TIMES, dtype=torch.float64)
    torch.testing.assert_close(stored, entered, rtol=1e-9, atol=1e-12)

"""Manufactured solutions for every mix of side conditions: second order, and both solvers agree."""

import itertools
import math

import pytest
import torch
from helpers import distance

from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.faces import balance, divergence_form, relative_conductances
from pdeinv.datasets.elliptic.transform_solver import laplacian, solve_shifted_laplacian
from pdeinv.datasets.elliptic.variable_coefficient import BalanceSolver
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.sides import SIDES

MIXES = list(itertools.product((True, False), repeat=4))
"""Whether left, right, bottom and top hold values."""
RECTANGLES = {"1:1": (1.0, 1.0, 6, 6), "5:2": (5.0, 2.0, 9, 6)}
"""Width, height, and cells per direction of the coarsest grid; the second has no square cells."""

each_mix = pytest.mark.parametrize(
    "mix", MIXES, ids=["".join("FV"[value] for value in mix) for mix in MIXES]
)
each_rectangle = pytest.mark.parametrize("rectangle", RECTANGLES.values(), ids=RECTANGLES)


def volumes_of(mix, rectangle, refinement):
    width, height, across, along = rectangle
    return Volumes(refinement * along + 1, refinement * across + 1, width, height, *mix)


def constant(x, y):
    return torch.ones_like(x)


def varying(x, y):
    return torch.exp(0.8 * torch.sin(1.1 * x + 0.7) * torch.cos(0.9 * y - 0.3))


def manufactured(volumes, a=constant):
    """Return a, u, ∇·(a ∇u) and the conditions of a u without symmetry, each (1, 1, ny, nx)."""
    y, x = torch.meshgrid(
        torch.linspace(0, volumes.height, volumes.ny, dtype=torch.float64),
        torch.linspace(0, volumes.width, volumes.nx, dtype=torch.float64),
        indexing="ij",
    )
    x, y = x.requires_grad_(), y.requires_grad_()

    def derivatives(f):
        return torch.autograd.grad(f.sum(), (x, y), create_graph=True)

    u = torch.sin(1.2 * x + 0.3) * torch.exp(0.4 * y) + 0.5 * torch.cos(0.8 * x - 1.4 * y)
    coefficient = a(x, y)
    ux, uy = derivatives(u)
    flux_x, flux_y = coefficient * ux, coefficient * uy
    divergence = derivatives(flux_x)[0] + derivatives(flux_y)[1]
    outward = {
        "left": -flux_x[:, 0],
        "right": flux_x[:, -1],
        "bottom": -flux_y[0],
        "top": flux_y[-1],
    }
    values = {"left": u[:, 0], "right": u[:, -1], "bottom": u[0], "top": u[-1]}
    given = {side: (values if getattr(volumes, side) else outward)[side].detach() for side in SIDES}
    fields = (f.detach()[None, None] for f in (coefficient, u, divergence))
    return *fields, Conditions.on(volumes, given)


def solve_constant(volumes, f, conditions, shift):
    right = conditions.with_inflow(volumes.inside(f), -1)
    if conditions.values is not None:
        right = right - laplacian(volumes, conditions.values)
    return conditions.completed(solve_shifted_laplacian(volumes, right, shift))


def solve_balance(volumes, a, f, conditions, method, mean):
    right = volumes.times_volume(conditions.with_inflow(volumes.inside(f)))
    if conditions.values is not None:
        h2 = volumes.hy**2
        x, y = relative_conductances(volumes, a, mean)
        right = right - balance(volumes, (x / h2, y / h2), conditions.values)
    return conditions.completed(BalanceSolver(volumes, mean, method, 1e-13)(a, right))


def order(errors):
    return math.log2(errors[-2] / errors[-1])


@each_mix
@each_rectangle
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_transforms_are_of_second_order(mix, rectangle, shift):
    if shift == 0 and volumes_of(mix, rectangle, 1).floating:
        return
    errors = []
    for refinement in (2, 4, 8):
        volumes = volumes_of(mix, rectangle, refinement)
        _, u, divergence, conditions = manufactured(volumes)
        solved = solve_constant(volumes, divergence + shift * u, conditions, shift)
        errors.append(float((solved - u).abs().max()))
    assert order(errors) >= 1.9


@each_mix
@each_rectangle
@pytest.mark.parametrize("mean", ["arithmetic", "harmonic"])
def test_both_solvers_of_a_varying_coefficient_are_of_second_order(mix, rectangle, mean):
    if volumes_of(mix, rectangle, 1).floating:
        return
    errors = []
    for refinement in (2, 4, 8):
        volumes = volumes_of(mix, rectangle, refinement)
        a, u, divergence, conditions = manufactured(volumes, varying)
        direct, iterative = (
            solve_balance(volumes, a, -divergence, conditions, method, mean)
            for method in ("direct", "iterative")
        )
        assert distance(direct, iterative) < 1e-10
        errors.append(float((direct - u).abs().max()))
    assert order(errors) >= 1.9


@each_mix
@each_rectangle
def test_transforms_and_factorisation_agree_on_a_constant_coefficient(mix, rectangle):
    volumes = volumes_of(mix, rectangle, 2)
    if volumes.floating:
        return
    a, _, divergence, conditions = manufactured(volumes)
    by_transforms = solve_constant(volumes, divergence, conditions, 0.0)
    direct = solve_balance(volumes, a, -divergence, conditions, "direct", "arithmetic")
    assert distance(direct, by_transforms) < 1e-11


@each_mix
@each_rectangle
def test_the_residual_of_a_solution_vanishes_and_that_of_another_field_shows_where(mix, rectangle):
    volumes = volumes_of(mix, rectangle, 2)
    if volumes.floating:
        return
    a, _, divergence, conditions = manufactured(volumes, varying)
    u = solve_balance(volumes, a, -divergence, conditions, "direct", "arithmetic")

    def residual(u):
        equation = divergence_form(volumes, a, u, "arithmetic")
        sources = conditions.with_inflow(-volumes.inside(divergence))
        return conditions.residual(equation - sources, u)

    scale = divergence.abs().max() + 1 / min(volumes.hx, volumes.hy)
    assert residual(u).abs().max() < 1e-11 * scale
    wrong = u.clone()
    wrong[0, 0, 0, 4] += 0.25
    wrong[0, 0, 5, 0] += 0.25
    for held, at in ((volumes.bottom, (0, 4)), (volumes.left, (5, 0))):
        found = float(residual(wrong)[0, 0][at])
        assert found == pytest.approx(0.25) if held else abs(found) > 0.25


@each_mix
@each_rectangle
def test_the_spectral_eigenvalues_are_exact_on_waves(mix, rectangle):
    volumes = volumes_of(mix, rectangle, 2)

    def wave(length, n, first, last, half):
        half = half + (first != last) / 2
        s = torch.linspace(0, 1, n, dtype=torch.float64) * half * math.pi
        return (torch.sin(s) if first else torch.cos(s)), (half * math.pi / length) ** 2

    x, square_x = wave(volumes.width, volumes.nx, mix[0], mix[1], 2)
    y, square_y = wave(volumes.height, volumes.ny, mix[2], mix[3], 3)
    u = (y[:, None] * x)[None, None]
    shift = 0.3
    f = volumes.inside(u) * (shift - square_x - square_y)
    solved = volumes.extended(solve_shifted_laplacian(volumes, f, shift, "spectral"))
    torch.testing.assert_close(solved, u, atol=1e-12, rtol=0)
    again = laplacian(volumes, u, "spectral") + shift * volumes.inside(u)
    torch.testing.assert_close(again, f, atol=1e-10, rtol=0)

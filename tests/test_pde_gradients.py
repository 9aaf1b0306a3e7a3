"""Derivatives of the solvers: by differences, by independent linearised solves, and by duality."""

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from helpers import normal, seeded

from pdeinv.datasets import PDES, Darcy, Problem
from pdeinv.datasets.elliptic.transform_solver import laplacian_eigenvalues
from pdeinv.datasets.elliptic.variable_coefficient import BalanceSolver
from pdeinv.datasets.elliptic.volumes import Volumes

# Parameters at which differences see the derivatives to many digits
PRECISE = {
    "helmholtz": {"k": 2.0},
    "darcy": {"tolerance": 1e-14},
    "navier-stokes": {"viscosity": 1e-2, "forcing": 0.3},
}
CASES = {name: kind(**PRECISE.get(name, {})) for name, kind in PDES.items()}
LINEAR = {name: pde for name, pde in CASES.items() if pde.linear}

each_pde = pytest.mark.parametrize("pde", CASES.values(), ids=CASES)


def coefficient(pde, n, count=2, seed=0):
    """Return a rough field with a different value at every node, positive where it must be."""
    a = normal(count, 1, n, n, seed=seed)
    return a.exp() if pde.positive_coefficient else a


def pull_back(pde, a, v):
    """The adjoint of the linearised solve, times v."""
    a = a.clone().requires_grad_()
    return torch.autograd.grad(pde.solve(a), a, v)[0]


def push_forward(pde, a, da):
    """The linearised solve times da, as the derivative of the adjoint with respect to what it is
    applied to."""
    a = a.clone().requires_grad_()
    u = pde.solve(a)
    v = torch.zeros_like(u, requires_grad=True)
    (pulled,) = torch.autograd.grad(u, a, v, create_graph=True)
    return torch.autograd.grad(pulled, v, da)[0]


def by_differences(pde, a, da, step):
    """The directional derivative by central differences of eighth order."""
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    return (
        sum(
            w * (pde.solve(a + k * step * da) - pde.solve(a - k * step * da))
            for k, w in weights.items()
        )
        / step
    )


@each_pde
@pytest.mark.parametrize("n", [6, 7])
def test_gradcheck(pde, n):
    a = coefficient(pde, n).requires_grad_()
    # A step at which the cubic term and the rounding of Darcy's iteration both stay below the
    # tolerance.
    assert torch.autograd.gradcheck(pde.solve, a, eps=1e-5, atol=1e-8, rtol=1e-5)


@each_pde
def test_gradgradcheck(pde):
    a = coefficient(pde, 5, count=1).requires_grad_()
    v = normal(1, 1, 5, 5, seed=1).requires_grad_()
    assert torch.autograd.gradgradcheck(pde.solve, a, v, eps=1e-5, atol=1e-8, rtol=1e-5)


@each_pde
@pytest.mark.parametrize("n", [12, 15])
def test_the_linearisation_and_its_adjoint(pde, n):
    a, da, v = coefficient(pde, n), 0.3 * normal(2, 1, n, n, seed=1), normal(2, 1, n, n, seed=2)
    if pde.positive_coefficient:
        da = a * da
    forward = push_forward(pde, a, da)
    scale = forward.norm() * v.norm()
    assert abs((forward * v).sum() - (da * pull_back(pde, a, v)).sum()) < 1e-12 * scale
    # The linearisation is the right one, and the adjoint its transpose, by differences without
    # autograd.
    differences = by_differences(pde, a, da, step=0.02)
    assert (differences - forward).norm() < 1e-10 * forward.norm()
    assert abs((differences * v).sum() - (da * pull_back(pde, a, v)).sum()) < 1e-10 * scale


@pytest.mark.parametrize("pde", LINEAR.values(), ids=LINEAR)
def test_linear_solves_are_linear_and_their_own_adjoints(pde):
    """The latter where sides fix all values: at others the nodes own parts of a cell."""
    a, b, v = (normal(2, 1, 13, 13, seed=seed) for seed in range(3))
    combined = 2 * pde.solve(a) - 3 * pde.solve(b)
    torch.testing.assert_close(
        pde.solve(2 * a - 3 * b), combined, atol=1e-12 * combined.abs().max(), rtol=0
    )
    adjoint = pull_back(pde, b, v)
    if all(side.fixes_value for _, side in pde.boundary.items()):
        torch.testing.assert_close(adjoint, pde.solve(v), atol=1e-12 * adjoint.abs().max(), rtol=0)
    assert (
        abs((pde.solve(a) * v).sum() - (a * adjoint).sum()) < 1e-10 * pde.solve(a).norm() * v.norm()
    )


def test_darcy_gradient_against_a_sparse_linearised_solve():
    """A(a) du = -A(da) u with the matrix read off the residual column by column, and a sparse
    LU."""
    pde, n = CASES["darcy"], 10
    m = (n - 2) ** 2
    a = coefficient(pde, n, count=1)
    da, v = normal(1, 1, n, n, seed=1), normal(1, 1, n, n, seed=2)

    def flux_balance(a, u):
        return (pde.residual(a, u) + pde.source.value)[..., 1:-1, 1:-1]

    units = torch.zeros(m, 1, n, n, dtype=torch.float64)
    units[..., 1:-1, 1:-1] = torch.eye(m, dtype=torch.float64).reshape(m, 1, n - 2, n - 2)
    matrix = flux_balance(a, units).reshape(m, m).T.numpy()
    right = -flux_balance(da, pde.solve(a)).flatten().numpy()
    du = scipy.sparse.linalg.spsolve(scipy.sparse.csc_matrix(matrix), right)
    expected = float(np.dot(du, v[..., 1:-1, 1:-1].flatten().numpy()))
    assert float((da * pull_back(pde, a, v)).sum()) == pytest.approx(expected, rel=1e-10)


@each_pde
def test_gradients_survive_a_first_use_in_inference_mode(pde):
    n = 19  # a size that no other test puts into the caches
    a = coefficient(pde, n)
    with torch.inference_mode():
        Problem(pde).sample(1, pde.grid(n))
        pde.solve(a)
        laplacian_eigenvalues(Volumes(n, n))
    assert torch.isfinite(pull_back(pde, a, torch.ones_like(a))).all()
    assert not laplacian_eigenvalues(Volumes(n, n)).is_inference()


@each_pde
@pytest.mark.parametrize("function", ["solve", "surrogate"])
def test_many_adjoints_at_once_are_one_by_one(pde, function):
    function, n = getattr(pde, function), 12
    a, v = coefficient(pde, n), normal(5, 2, 1, n, n, seed=1)
    rows = torch.vmap(torch.func.vjp(function, a)[1])(v)[0]
    a.requires_grad_()
    alone = torch.stack([torch.autograd.grad(function(a), a, part)[0] for part in v])
    tolerance = 1e-10 if function == pde.solve else 1e-4  # what is left of single precision
    torch.testing.assert_close(rows, alone, atol=tolerance * float(alone.abs().max()), rtol=0)


@each_pde
def test_an_instance_without_a_say_gets_a_zero_gradient(pde):
    """And the others get what they get alone: the adjoint solve must not divide by a zero
    right-hand side."""
    a, v = coefficient(pde, 9, count=3), normal(3, 1, 9, 9, seed=1)
    v[1] = 0
    gradient = pull_back(pde, a, v)
    assert (gradient[1] == 0).all()
    alone = torch.cat([pull_back(pde, a[i : i + 1], v[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(gradient, alone, atol=1e-12 * alone.abs().max(), rtol=0)


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e25])
@pytest.mark.parametrize("n", [16, 33])
def test_float32_gradients_of_any_size(size, n):
    """Darcy's iteration squares the right-hand side, which must neither underflow nor overflow."""
    pde = Darcy()
    a = Problem(pde).sample_coefficient(2, pde.grid(n), seeded())
    v = pde.solve(a)
    gradient = pull_back(pde, a.float(), size * v.float())
    assert gradient.dtype == torch.float32
    expected = pull_back(pde, a, v)
    assert (gradient.double() / size - expected).norm() < 1e-5 * expected.norm()
    nothing = torch.zeros_like(a[..., 1:-1, 1:-1])
    assert (BalanceSolver(Volumes(n, n), method="iterative")(a, nothing) == 0).all()

"""The solvers of a varying coefficient: adjoints, tangents, one factorisation for a state, high
contrasts, and the choice of the method."""

import itertools
import math
import time

import pytest
import torch
from helpers import distance, normal, seeded

from pdeinv import NumericalError
from pdeinv.datasets.elliptic import conjugate_gradients, sparse_solver
from pdeinv.datasets.elliptic.faces import balance, relative_conductances
from pdeinv.datasets.elliptic.transform_solver import solve_shifted_laplacian
from pdeinv.datasets.elliptic.variable_coefficient import BalanceSolver, iterates
from pdeinv.datasets.elliptic.volumes import Volumes

MIXES = [mix for mix in itertools.product((True, False), repeat=4) if any(mix)]
each_mix = pytest.mark.parametrize("mix", MIXES, ids=["".join("FV"[v] for v in m) for m in MIXES])
each_mean = pytest.mark.parametrize("mean", ["arithmetic", "harmonic"])
each_method = pytest.mark.parametrize("method", ["direct", "iterative"])


def random_problem(volumes, count=2, seed=0):
    a = normal(count, 1, volumes.ny, volumes.nx, seed=seed).mul(0.7).exp()
    return a, normal(count, 1, *volumes.shape, seed=seed + 1)


def applied(volumes, a, u, mean):
    """A(a) u of free values."""
    faces = (x / volumes.hy**2 for x in relative_conductances(volumes, a, mean))
    return balance(volumes, tuple(faces), volumes.extended(u))


@pytest.fixture
def factorisations(monkeypatch):
    """The list of all factorisations from now on; none is kept from before."""
    made, make = [], sparse_solver._Factorisation
    monkeypatch.setattr(
        sparse_solver, "_Factorisation", lambda *given: made.append(1) or make(*given)
    )
    sparse_solver._kept.kept.clear()
    return made


@each_mix
@each_mean
def test_the_matrix_is_the_balance_and_symmetric(mix, mean):
    volumes = Volumes(5, 7, 3.0, 1.5, *mix)
    a, _ = random_problem(volumes, 1)
    matrix = torch.from_numpy(sparse_solver.assembled(volumes, a[0, 0], mean).toarray())
    units = torch.eye(math.prod(volumes.shape), dtype=torch.float64)
    columns = applied(volumes, a[0, 0], units.reshape(-1, *volumes.shape), mean).flatten(1)
    torch.testing.assert_close(matrix, columns.T, atol=1e-12, rtol=1e-13)
    torch.testing.assert_close(matrix, matrix.T, atol=0, rtol=0)
    assert torch.linalg.eigvalsh(matrix)[0] > 0


@each_mix
@each_mean
@each_method
def test_derivatives(mix, mean, method):
    volumes = Volumes(4, 5, 2.0, 1.0, *mix)
    a, f = (x.requires_grad_() for x in random_problem(volumes, 1))
    solver = BalanceSolver(volumes, mean, method, 1e-14)
    assert torch.autograd.gradcheck(solver, (a, f), eps=1e-5, atol=1e-8, rtol=1e-5)
    if sum(mix) in (1, 3):
        assert torch.autograd.gradgradcheck(solver, (a, f), eps=1e-5, atol=1e-8, rtol=1e-5)


@each_mix
@each_mean
def test_tangent_and_adjoint_are_transposes_and_those_of_the_linearised_system(mix, mean):
    volumes = Volumes(12, 15, 5.0, 2.0, *mix)
    solver = BalanceSolver(volumes, mean, "direct")
    a, f = random_problem(volumes)
    da, df = random_problem(volumes, seed=2)
    da = a * (da - 1)
    a.requires_grad_(), f.requires_grad_()
    u = solver(a, f)
    v = normal(*u.shape, seed=5).requires_grad_()
    pulled = torch.autograd.grad(u, (a, f), v, create_graph=True)
    tangent = torch.autograd.grad(pulled, v, (da, df))[0]
    dots = (tangent * v).sum(), (da * pulled[0]).sum() + (df * pulled[1]).sum()
    assert abs(dots[0] - dots[1]) < 1e-12 * tangent.norm() * v.norm()
    # A du = df - dA u, with dA by automatic differentiation of the balance
    _, change = torch.autograd.functional.jvp(
        lambda a: applied(volumes, a, u.detach(), mean), a.detach(), da
    )
    left = applied(volumes, a.detach(), tangent, mean)
    assert distance(left, df - change) < 1e-10


@each_method
@pytest.mark.parametrize("over", ["right-hand sides", "coefficients", "both"])
def test_a_batch_by_vmap_is_one_by_one(method, over):
    volumes = Volumes(7, 9, 1.5, 1.0, True, False, True, False)
    solver = BalanceSolver(volumes, "harmonic", method, 1e-13)
    a, f = random_problem(volumes, 6)
    a, f = a.reshape(3, 2, 1, 7, 9), f.reshape(3, 2, 1, *volumes.shape)
    if over == "right-hand sides":
        a = a[0]
    if over == "coefficients":
        f = f[0]
    dims = (None if a.ndim == 4 else 0, None if f.ndim == 4 else 0)

    def gradient(a, f):
        return torch.func.grad(lambda a: solver(a, f).square().sum())(a)

    for function in (solver, gradient):
        many = torch.vmap(function, dims)(a, f)
        for i in range(3):
            one = function(a if a.ndim == 4 else a[i], f if f.ndim == 4 else f[i])
            assert distance(many[i], one) < 1e-10


def test_a_state_is_factorised_once(factorisations):
    volumes = Volumes(9, 12, 2.0, 1.0, True, True, False, False)
    a, f = random_problem(volumes)
    leaf = a.clone().requires_grad_()
    solver = BalanceSolver(volumes, method="direct")
    u = solver(leaf, f)
    assert len(factorisations) == len(a)
    cotangents = normal(40, *u.shape, seed=3)
    many = torch.vmap(lambda v: torch.autograd.grad(u, leaf, v, retain_graph=True)[0])(cotangents)
    one = torch.autograd.grad(u, leaf, cotangents[7], create_graph=True)[0]
    assert distance(many[7], one) < 1e-12
    one.square().sum().backward()  # the tangents
    solver(a, 2 * f)
    solver(a[1:], f[1:])
    assert len(factorisations) == len(a)
    solver(1.5 * a, f)
    BalanceSolver(volumes, "harmonic", "direct")(a, f)
    BalanceSolver(Volumes(9, 12, 2.0, 1.0), method="direct")(a, f[..., :7, :10])
    assert len(factorisations) == 4 * len(a)


def test_the_memory_of_kept_factorisations_is_bounded(factorisations, monkeypatch):
    volumes = Volumes(12, 12)
    a, f = random_problem(volumes, 8)
    solver = BalanceSolver(volumes, method="direct")
    solver(a[:1], f[:1])
    (kept,) = sparse_solver._kept.kept.found.values()
    monkeypatch.setattr(sparse_solver._kept.kept, "limit", 3.5 * kept.bytes)
    u = solver(a, f)
    assert len(sparse_solver._kept.kept.found) == 3
    assert sparse_solver._kept.kept.bytes == sum(
        x.bytes for x in sparse_solver._kept.kept.found.values()
    )
    monkeypatch.setattr(sparse_solver._kept.kept, "limit", 0)
    again = torch.cat([solver(x, y) for x, y in zip(a.split(1), f.split(1), strict=True)])
    assert torch.equal(again, u) and len(sparse_solver._kept.kept.found) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing(threads, factorisations):
    volumes = Volumes(16, 13, 1.0, 2.0, False, True, True, True)
    a, f = random_problem(volumes, 7)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        u = BalanceSolver(volumes, method="direct")(a, f)
    finally:
        torch.set_num_threads(before)
    for i in range(len(a)):
        solved = applied(volumes, a[i], u[i], "arithmetic")
        assert distance(solved, f[i]) < 1e-12


def rough(volumes, spread, seed=0):
    """A correlated logarithm of mean 0 and standard deviation `spread`."""
    white = normal(1, 1, *volumes.shape, seed=seed)
    smooth = volumes.extended(solve_shifted_laplacian(volumes, white, -60.0))
    return torch.exp(spread * smooth / smooth.std())


@each_mean
@pytest.mark.parametrize("shape", [(64, 256), (256, 256)])
@pytest.mark.parametrize("spread", [2.0, 3.0, "phases"])
def test_high_contrasts_are_solved(shape, mean, spread):
    ny, nx = shape
    volumes = Volumes(ny, nx, nx / ny, 1.0, True, True, False, False)
    a = rough(volumes, 2.0 if spread == "phases" else spread)
    if spread == "phases":
        a = torch.where(a > 1, 1e6, 1.0).double()
    f = volumes.times_volume(torch.ones(1, 1, *volumes.shape, dtype=torch.float64))
    begin = time.perf_counter()
    u = BalanceSolver(volumes, mean)(a, f)
    assert time.perf_counter() - begin < 2
    # Rounding of u alone makes a residual where a phase of a million is enclosed by one of 1
    assert distance(applied(volumes, a, u, mean), f) <= (1e-6 if spread == "phases" else 1e-9)
    assert float(u.min()) > 0


@pytest.mark.parametrize("method", ["auto", "iterative"])
def test_a_contrast_beyond_double_precision_is_named_at_once(method):
    volumes = Volumes(64, 64)
    a = (12.0 * normal(1, 1, 64, 64)).exp()
    f = torch.ones(1, 1, *volumes.shape, dtype=torch.float64)
    begin = time.perf_counter()
    with pytest.raises(NumericalError, match=r"residual .* contrast"):
        BalanceSolver(volumes, method=method)(a, f)
    assert time.perf_counter() - begin < 2


def test_a_coefficient_that_makes_a_singular_matrix_is_a_numerical_error():
    volumes = Volumes(8, 8)
    for value in (0.0, float("nan"), float("inf")):
        a = torch.full((1, 1, 8, 8), value, dtype=torch.float64)
        with pytest.raises(NumericalError, match="residual"):
            BalanceSolver(volumes, method="direct")(a, torch.ones(1, 1, 6, 6, dtype=torch.float64))


def test_each_coefficient_of_a_batch_is_solved_by_the_method_that_suits_it(monkeypatch):
    volumes = Volumes(9, 9)
    a, f = random_problem(volumes, 5)
    for i, contrast in enumerate((2.0, 1e4, 20.0, 31.0, 29.0)):
        a[i] = 1 + (contrast - 1) * (a[i] - a[i].min()) / (a[i].max() - a[i].min())
    assert iterates(a, a.dtype).tolist() == [True, False, True, False, True]
    assert iterates(a, torch.float32).tolist() == [True, False, True, True, True]
    leaf = a.clone().requires_grad_()
    u = BalanceSolver(volumes)(leaf, f)
    expected = torch.cat([BalanceSolver(volumes)(a[i : i + 1], f[i : i + 1]) for i in range(5)])
    assert torch.equal(u, expected)
    (gradient,) = torch.autograd.grad(u, leaf, f)
    other = a.clone().requires_grad_()
    direct = BalanceSolver(volumes, method="direct")(other, f)
    assert distance(gradient, torch.autograd.grad(direct, other, f)[0]) < 1e-9
    calls = []
    solve = conjugate_gradients.conjugate_gradients
    name = "pdeinv.datasets.elliptic.variable_coefficient.conjugate_gradients"
    monkeypatch.setattr(name, lambda *x: calls.append(len(x[1])) or solve(*x))
    BalanceSolver(volumes)(a, f)
    assert calls == [3]


@each_method
def test_float32(method):
    volumes = Volumes(17, 20, 1.2, 1.0, True, False, False, True)
    a, f = (x.float() for x in random_problem(volumes))
    u = BalanceSolver(volumes, method=method)(a, f)
    assert u.dtype == torch.float32
    exact = BalanceSolver(volumes, method=method)(a.double(), f.double())
    assert distance(u.double(), exact) < 1e-5


def test_conjugate_gradients_count_as_the_contrast_not_as_the_grid(monkeypatch):
    calls = []
    solve = solve_shifted_laplacian
    monkeypatch.setattr(
        conjugate_gradients, "solve_shifted_laplacian", lambda *x: calls.append(1) or solve(*x)
    )
    counts = []
    for n in (17, 33, 65):
        volumes = Volumes(n, 2 * n, 2.0, 1.0, True, False, False, False)
        a = torch.where(rough(volumes, 1.0) > 1, 4.0, 1.0).double()
        f = torch.randn(1, 1, *volumes.shape, dtype=torch.float64, generator=seeded())
        calls.clear()
        BalanceSolver(volumes, method="iterative", tolerance=1e-8)(a, f)
        counts.append(len(calls))
    assert max(counts) <= 1.3 * min(counts) < 40

"""The solvers against analytic solutions, with their order of convergence, and against independent
numerics."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.sparse
import scipy.sparse.linalg
import torch
from helpers import distance, normal, seeded

from pdeinv import Grid
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, Poisson, Problem, pde_by_name
from pdeinv.errors import NumericalError

# The last between resonances, at k = 4.44 and 7.02
SOURCES = [Poisson(), Helmholtz(), Helmholtz(k=6.0)]
each_source_pde = pytest.mark.parametrize(
    "pde", SOURCES, ids=["poisson", "helmholtz", "helmholtz-k6"]
)


def shift_of(pde):
    return getattr(pde, "k", 0.0) ** 2


def random_coefficient(pde, n, count=2):
    return Problem(pde).sample_coefficient(count, pde.grid(n), seeded())


def orders(errors):
    """Observed orders of convergence of errors at halved mesh widths."""
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]


# Manufactured solutions: the exact derivatives come from automatic differentiation of a formula


def bump(x, y):
    """Zero on the boundary, without symmetry."""
    return torch.sin(math.pi * x) * torch.sin(2 * math.pi * y) * torch.exp(x + 0.5 * y)


def permeability(x, y):
    return 2 + torch.sin(3 * x + y) + x * y


def derivatives(function, x, y):
    return torch.autograd.grad(function.sum(), (x, y), create_graph=True)


def manufactured(n, a=lambda x, y: torch.ones_like(x)):
    """(a, u, ∇·(a ∇u)) of u = bump at the nodes, each (1, 1, n, n)."""
    x, y = (s.clone().requires_grad_() for s in Grid(n).points().unbind(dim=1))
    u, a = bump(x, y), a(x, y)
    ux, uy = derivatives(u, x, y)
    divergence = derivatives(a * ux, x, y)[0] + derivatives(a * uy, x, y)[1]
    return tuple(f.detach().reshape(1, 1, n, n) for f in (a, u, divergence))


@each_source_pde
def test_second_order_on_a_manufactured_solution(pde):
    solution_errors, residuals = [], []
    for n in (17, 33, 65, 129):
        _, u, laplacian = manufactured(n)
        a = laplacian + shift_of(pde) * u
        solution_errors.append((pde.solve(a) - u).abs().max())
        residuals.append(pde.residual(a, u).abs().max())
    assert orders(solution_errors) == pytest.approx([2, 2, 2], abs=0.2)
    assert orders(residuals) == pytest.approx([2, 2, 2], abs=0.2)


def test_darcy_residual_is_second_order_for_a_smooth_permeability():
    pde, errors = Darcy(source=3.0), []
    for n in (17, 33, 65, 129):
        a, u, divergence = manufactured(n, permeability)
        equation = pde.residual(a, u) + pde.source.value  # -∇·(a ∇u), at the interior nodes
        errors.append((equation + divergence)[..., 1:-1, 1:-1].abs().max())
    assert orders(errors) == pytest.approx([2, 2, 2], abs=0.2)


def test_darcy_against_the_series_of_a_constant_permeability():
    """-a Δu = s in double sines: u = Σ 16 s / (a π⁴ p q (p² + q²)) sin πpx sin πqy over odd p,
    q."""
    a, source, errors = 2.5, 3.0, []
    odd = torch.arange(1, 400, 2, dtype=torch.float64)
    weights = 16 * source / (a * math.pi**4) / (odd[:, None] * odd * (odd[:, None] ** 2 + odd**2))
    for n in (17, 33, 65):
        sines = torch.sin(math.pi * Grid(n).coordinates()[0][:, None] * odd)
        u = Darcy(source=source).solve(torch.full((1, 1, n, n), a, dtype=torch.float64))
        assert torch.isfinite(u).all()
        errors.append((u - sines @ weights @ sines.T).abs().max())
    assert errors[-1] < 3e-4 * u.max()
    assert orders(errors) == pytest.approx([2, 2], abs=0.2)


@each_source_pde
def test_an_eigenfunction_is_solved_for_to_second_order(pde):
    errors = []
    for n in (17, 33, 65):
        x, y = Grid(n).points().unbind(dim=1)
        u = (torch.sin(2 * math.pi * x) * torch.sin(math.pi * y)).reshape(1, 1, n, n)
        errors.append((pde.solve((shift_of(pde) - 5 * math.pi**2) * u) - u).abs().max())
    assert orders(errors) == pytest.approx([2, 2], abs=0.2)


# Independent elliptic solvers: the matrix is assembled entry by entry, the solve is a sparse LU


@each_source_pde
@pytest.mark.parametrize("n", [12, 33])
def test_poisson_and_helmholtz_against_sparse_lu(pde, n):
    m, h = n - 2, 1 / (n - 1)
    second = scipy.sparse.diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(m, m)) / h**2
    eye = scipy.sparse.identity(m)
    matrix = (
        scipy.sparse.kron(second, eye)
        + scipy.sparse.kron(eye, second)
        + shift_of(pde) * scipy.sparse.identity(m * m)
    )
    a = random_coefficient(pde, n)
    expected = np.stack(
        [scipy.sparse.linalg.spsolve(matrix.tocsc(), f[0, 1:-1, 1:-1].numpy().ravel()) for f in a]
    )
    u = pde.solve(a)[:, 0, 1:-1, 1:-1].flatten(1)
    assert distance(u, torch.tensor(expected)) < 1e-9


def darcy_matrix(a):
    """Balance of the fluxes through the four faces of every interior node's cell, face by face."""
    n = len(a)
    number = {(j, i): (j - 1) * (n - 2) + i - 1 for j in range(1, n - 1) for i in range(1, n - 1)}
    matrix = scipy.sparse.lil_matrix((len(number), len(number)))
    for (j, i), row in number.items():
        for neighbour in [(j + 1, i), (j - 1, i), (j, i + 1), (j, i - 1)]:
            conductance = 0.5 * (a[j, i] + a[neighbour]) * (n - 1) ** 2
            matrix[row, row] += conductance
            if neighbour in number:  # u = 0 on the boundary
                matrix[row, number[neighbour]] -= conductance
    return matrix.tocsc()


@pytest.mark.parametrize(
    "problem",
    [Problem(Darcy()), Problem.named("darcy", low=0.5, high=50.0, source=-2.0)],
    ids=["3-12", "0.5-50"],
)
@pytest.mark.parametrize("n", [12, 25])
def test_darcy_against_sparse_lu(problem, n):
    pde = problem.physics
    a = problem.sample_coefficient(2, pde.grid(n), seeded())
    for field, u in zip(a[:, 0], pde.solve(a)[:, 0, 1:-1, 1:-1], strict=True):
        expected = scipy.sparse.linalg.spsolve(
            darcy_matrix(field.numpy()), np.full((n - 2) ** 2, pde.source.value)
        )
        assert distance(u.flatten(), torch.tensor(expected)) < 1e-9


# Navier–Stokes


def phase(n, kx, ky):
    x, y = Grid(n, kind="periodic").points().unbind(dim=1)
    return (2 * math.pi * (kx * x + ky * y)).reshape(1, 1, n, n)


@pytest.mark.parametrize(("kx", "ky"), [(1, 0), (0, 2), (3, 2), (-1, 2)])
def test_a_single_wave_decays_exactly(kx, ky):
    pde = NavierStokes(forcing=0.0, viscosity=5e-3, time=0.8)
    w = torch.cos(phase(16, kx, ky) + 0.3)
    decay = math.exp(-4 * math.pi**2 * (kx**2 + ky**2) * pde.viscosity * pde.time)
    torch.testing.assert_close(pde.solve(w), decay * w, atol=1e-13, rtol=0)


@pytest.mark.parametrize("n", [16, 21])
def test_a_vorticity_of_x_plus_y_follows_a_linear_equation(n):
    """The flow is along the lines of constant vorticity; w_t = -μ w + f for the forced wave, μ =
    8π²ν."""
    pde = NavierStokes(forcing=0.3, viscosity=2e-3, time=1.5, dt=0.05)
    wave, double = phase(n, 1, 1), torch.cos(phase(n, 2, 2))
    force = 0.3 * (torch.sin(wave) + torch.cos(wave))
    mu = 8 * math.pi**2 * pde.viscosity
    decay = math.exp(-mu * pde.time)
    expected = (
        decay * torch.sin(wave) + (1 - decay) / mu * force + math.exp(-4 * mu * pde.time) * double
    )
    torch.testing.assert_close(pde.solve(torch.sin(wave) + double), expected, atol=1e-10, rtol=0)


def generic_vorticity(n, scale=1.0):
    """A few long waves without symmetry, the same function on every grid."""
    waves = [(1, 0, 0.3), (0, 1, 1.1), (1, -1, 2.0), (2, 1, -0.4), (-1, 2, 0.9), (2, 0, 0.2)]
    return scale * sum(torch.cos(phase(n, kx, ky) + shift) for kx, ky, shift in waves)


def test_fourth_order_in_time():
    w = generic_vorticity(24)
    reference = pde_by_name("navier-stokes", dt=1 / 400).solve(w)
    errors = [
        (pde_by_name("navier-stokes", dt=1 / steps).solve(w) - reference).norm()
        for steps in (20, 40, 80)
    ]
    assert orders(errors) == pytest.approx([4, 4], abs=0.2)


def test_the_last_step_ends_on_time():
    """A dt that does not divide T is shortened, and finer grids take shorter steps."""
    w = generic_vorticity(16)
    assert distance(NavierStokes(dt=0.07).solve(w), NavierStokes(dt=0.01).solve(w)) < 1e-4
    pde = NavierStokes(time=1.0, dt=0.1)
    assert [pde.steps(pde.grid(n)) for n in (16, 128, 256)] == [10, 10, 20]


@pytest.mark.parametrize("scale", [1.5, 1e4])  # the first stays finite, and is off by 80 %
def test_an_unstable_time_step_is_refused(scale):
    calm, wild = generic_vorticity(64), generic_vorticity(64, scale)
    with pytest.raises(NumericalError, match="dt"):
        pde_by_name("navier-stokes").solve(torch.cat([calm, wild]))
    if scale < 10:
        calmed = pde_by_name("navier-stokes", dt=0.02).solve(wild)
        assert calmed.square().mean() < wild.square().mean()


def test_refining_the_grid_converges_spectrally():
    pde = pde_by_name("navier-stokes", viscosity=1e-2, dt=0.05)
    reference = pde.solve(generic_vorticity(64))
    errors = [
        distance(pde.solve(generic_vorticity(n)), reference[..., :: 64 // n, :: 64 // n])
        for n in (8, 16, 32)
    ]
    assert errors[0] > 1e-2 and errors[1] < 1e-2 * errors[0] and errors[2] < 1e-4 * errors[1]


def velocity_form(w, most, viscosity, forcing, time):
    """w(T) by another route: momentum equation, explicit sum over wave triads, no grid, adaptive
    integrator.

    Velocities u_k of the waves |kx|, |ky| <= most obey du_k/dt = P_k [F_k - Σ_{p+q=k} (u_p · 2πi q)
    u_q] - 4π²ν|k|² u_k, where P_k removes the part along k, and the force F has the curl f. A
    Galerkin truncation commutes with the curl, so that the package's vorticity form with the same
    waves solves the same ordinary differential equation.
    """
    n = len(w)
    one = np.arange(-most, most + 1)
    waves = np.array([(kx, ky) for ky in one for kx in one])
    number = {tuple(k): i for i, k in enumerate(waves)}
    square = np.maximum((waves**2).sum(axis=1), 1)[:, None]
    fourier = np.exp(-2j * np.pi * np.outer(one, np.arange(n)) / n)

    def from_curl(c):  # u = (ψ_y, -ψ_x), -Δψ = w
        return (
            2j
            * np.pi
            * np.stack([waves[:, 1], -waves[:, 0]], axis=1)
            * c[:, None]
            / (4 * np.pi**2 * square)
        )

    curl = np.zeros(len(waves), dtype=complex)
    curl[number[1, 1]], curl[number[-1, -1]] = forcing * (0.5 - 0.5j), forcing * (0.5 + 0.5j)
    force = from_curl(curl)
    triads = [
        (number[tuple(p + q)], i, j)
        for i, p in enumerate(waves)
        for j, q in enumerate(waves)
        if tuple(p + q) in number
    ]
    target, i, j = np.array(triads).T
    gather = scipy.sparse.csr_matrix((np.ones(len(target)), (target, np.arange(len(target)))))

    def tendency(_, state):
        u = state.reshape(-1, 2)
        change = force - gather @ ((u[i] * 2j * np.pi * waves[j]).sum(axis=1, keepdims=True) * u[j])
        change = change - waves * (waves * change).sum(axis=1, keepdims=True) / square
        return (change - 4 * np.pi**2 * viscosity * square * u).ravel()

    start = from_curl((fourier @ w @ fourier.T).ravel() / n**2).ravel()
    end = scipy.integrate.solve_ivp(
        tendency, (0, time), start, method="DOP853", rtol=1e-10, atol=1e-12
    ).y[:, -1]
    u = end.reshape(-1, 2)
    curl = 2j * np.pi * (waves[:, 0] * u[:, 1] - waves[:, 1] * u[:, 0]).reshape(len(one), len(one))
    return (fourier.conj().T @ curl @ fourier.conj()).real


def test_navier_stokes_against_the_velocity_form():
    n, most = 14, 4  # |k| < 14/3
    pde = NavierStokes(viscosity=2e-3, forcing=0.2, dt=0.005)
    w = generic_vorticity(n, scale=1.5)
    u = pde.solve(w)
    expected = velocity_form(w[0, 0].numpy(), most, pde.viscosity, 0.2, pde.time)
    assert distance(u[0, 0], torch.tensor(expected)) < 1e-8
    linear = NavierStokes(viscosity=2e-3, forcing=0.2).solve(1e-6 * w) * 1e6
    assert distance(u, w) > 0.3 and distance(u, linear) > 0.3, "the field must have been stirred"


def test_stalled_conjugate_gradients_are_a_numerical_error():
    a = torch.exp(12 * normal(1, 1, 33, 33))
    with pytest.raises(NumericalError, match=r"in 400 iterations, .* contrast .* lower"):
        Darcy(method="iterative").solve(a)

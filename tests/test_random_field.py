"""The Gaussian random fields: their basis, their covariance, and the same draw everywhere."""

import math

import numpy as np
import pytest
import torch
from helpers import normal, seeded

from pdeinv import GaussianRandomField, Grid, InputError
from pdeinv.basis import eigenfunctions
from pdeinv.datasets import Helmholtz, NavierStokes, Poisson, Problem

FIELDS = {
    "neumann": GaussianRandomField("neumann", 2.0, 3.0, 6),
    "dirichlet": GaussianRandomField("dirichlet", 1.5, 2.0, 5),
    "periodic": GaussianRandomField("periodic", 2.5, 7.0, 7),
    "periodic-even": GaussianRandomField("periodic", 1.5, 2.0, 8),
}

each_field = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
each_grid = pytest.mark.parametrize(
    "grid", [Grid(9), Grid(12), Grid(8, kind="periodic")], ids=["9v", "12v", "8p"]
)


def at_points(field, xi, points):
    """Values (batch, p) of the draws xi at points (x, y), as sums over the eigenfunctions."""
    phi_x, phi_y = (eigenfunctions(field.boundary, field.wavenumbers, s) for s in points.T)
    table = (field.eigenvalues.sqrt() * xi)[:, 0]
    return torch.einsum("pi,bij,pj->bp", phi_y, table, phi_x)


def eigenpairs(field, points):
    """(variance, values at the points) of every eigenfunction, each written out from its
    formula."""

    def one(k, kind, s):
        return {
            "one": lambda: torch.ones_like(s),
            "neumann": lambda: math.sqrt(2) * torch.cos(math.pi * k * s),
            "dirichlet": lambda: math.sqrt(2) * torch.sin(math.pi * k * s),
            "cosine": lambda: math.sqrt(2) * torch.cos(2 * math.pi * k * s),
            "sine": lambda: math.sqrt(2) * torch.sin(2 * math.pi * k * s),
        }[kind]()

    if field.boundary == "neumann":
        family = [(0, "one")] + [(k, "neumann") for k in range(1, field.modes)]
    elif field.boundary == "dirichlet":
        family = [(k, "dirichlet") for k in range(1, field.modes + 1)]
    else:
        waves = [k for k in range(1, field.modes) if k < field.modes / 2]
        family = [(0, "one")] + [(k, kind) for kind in ("cosine", "sine") for k in waves]
    period, c = (2 * math.pi, 2) if field.boundary == "periodic" else (math.pi, 1)
    for ky, kind_y in family:
        for kx, kind_x in family:
            if (kind_x, kind_y) == ("one", "one"):
                continue
            kappa2 = period**2 * (kx**2 + ky**2)
            variance = (
                c * field.tau ** (2 * field.alpha - 2) / (kappa2 + field.tau**2) ** field.alpha
            )
            yield variance, one(kx, kind_x, points[:, 0]) * one(ky, kind_y, points[:, 1])


@each_field
@each_grid
def test_covariance_is_the_sum_over_eigenfunctions(field, grid):
    expected = sum(
        variance * torch.outer(phi, phi) for variance, phi in eigenpairs(field, grid.points())
    )
    identity = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, 1, *grid.shape)
    covariance = field.covariance(identity, grid).reshape(grid.nodes, grid.nodes)
    torch.testing.assert_close(covariance, expected, atol=1e-13, rtol=0)
    torch.testing.assert_close(
        field.variance(grid).flatten(), expected.diagonal(), atol=1e-13, rtol=0
    )


@each_field
@each_grid
def test_square_root_and_its_adjoint(field, grid):
    xi, v = field.white(3, seeded(1)), normal(3, 1, *grid.shape)
    forward, backward = (
        (field.square_root(xi, grid) * v).sum(),
        (xi * field.square_root_adjoint(v, grid)).sum(),
    )
    assert abs(forward - backward) < 1e-12 * field.square_root(xi, grid).norm() * v.norm()


@each_field
def test_one_draw_is_one_function_on_nested_grids_and_between_nodes(field):
    xi = field.white(2, seeded(3))
    fine = Grid(17)
    values = field.sample(2, fine, seeded(3))
    torch.testing.assert_close(
        at_points(field, xi, fine.points()), values.flatten(1), atol=1e-12, rtol=0
    )
    for coarse in (Grid(9), Grid(5), Grid(8, kind="periodic")):
        step = fine.cells[0] // coarse.cells[0]
        common = values[..., ::step, ::step][..., : coarse.ny, : coarse.nx]
        sample = field.sample(2, coarse, seeded(3))
        torch.testing.assert_close(sample, common, atol=1e-12, rtol=0)


@each_field
def test_covariance_off_the_grid(field):
    points = torch.rand(20, 2, dtype=torch.float64, generator=seeded(4))
    m = len(field.wavenumbers)
    matrix = at_points(field, torch.eye(m * m, dtype=torch.float64).reshape(-1, 1, m, m), points)
    expected = sum(variance * torch.outer(phi, phi) for variance, phi in eigenpairs(field, points))
    torch.testing.assert_close(matrix.T @ matrix, expected, atol=1e-12, rtol=0)


@each_field
def test_the_basis_is_orthonormal(field):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    phi = eigenfunctions(field.boundary, field.wavenumbers, torch.tensor((nodes + 1) / 2))
    gram = phi.T @ (torch.tensor(weights / 2)[:, None] * phi)
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("boundary", ["neumann", "periodic"])
def test_there_is_no_constant_mode(boundary):
    field = FIELDS[boundary]
    nodes, weights = np.polynomial.legendre.leggauss(40)
    s = torch.tensor((nodes + 1) / 2)
    y, x = torch.meshgrid(s, s, indexing="ij")
    w = torch.outer(torch.tensor(weights), torch.tensor(weights)).flatten() / 4
    values = at_points(field, field.white(5, seeded()), torch.stack([x.flatten(), y.flatten()], 1))
    assert (values**2 @ w).min() > 1e-3
    assert (values @ w).abs().max() < 1e-13


@each_field
def test_boundary_behaviour(field):
    edge = torch.linspace(0, 1, 9, dtype=torch.float64)
    xi = field.white(2, seeded())
    step = 1e-4

    def at(x):
        return at_points(field, xi, torch.stack([torch.full_like(edge, x), edge], 1))

    if field.boundary == "dirichlet":
        flat = [at(0.0), at(1.0)]
    elif field.boundary == "neumann":
        flat = [(at(step) - at(-step)) / step, (at(1 + step) - at(1 - step)) / step]
    else:
        flat = [at(1.3) - at(0.3), (at(1.0) - at(0.0))]
    for values in flat:
        assert values.abs().max() < 1e-10
    assert at(0.3).abs().max() > 1e-2


@each_field
def test_sample_variance(field):
    grid, n = Grid(7), 4000
    sample = field.sample(n, grid, seeded())
    expected = field.variance(grid)
    # Five standard errors of a Gaussian's second moment at each of 49 nodes.
    assert (
        (sample.square().mean(0)[0] - expected).abs() <= 5 * math.sqrt(2 / n) * expected + 1e-15
    ).all()
    assert (sample.mean(0)[0].abs() <= 5 * (expected / n).sqrt() + 1e-15).all()


@each_field
def test_gradients_survive_a_first_use_in_inference_mode(field):
    grid = Grid(11)  # a grid that no other test puts into the cache
    fresh = GaussianRandomField(field.boundary, field.alpha, field.tau + 0.5, field.modes)
    with torch.inference_mode():
        fresh.sample(1, grid)
    xi = fresh.white(1).requires_grad_()
    fresh.square_root(xi, grid).square().sum().backward()
    torch.testing.assert_close(
        xi.grad, 2 * fresh.square_root_adjoint(fresh.square_root(xi.detach(), grid), grid)
    )
    assert not fresh.eigenvalues.is_inference()


def test_float32_tables_give_float32_fields():
    field, grid = FIELDS["neumann"], Grid(9)
    xi = field.white(1, seeded())
    values = field.square_root(xi.float(), grid)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), field.square_root(xi, grid), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("pde", "std"), [(Poisson(), 0.292), (Helmholtz(), 0.284), (NavierStokes(), 0.262)]
)
def test_published_standard_deviation(pde, std):
    """That of the training data of Huang et al., NeurIPS 2024, over all nodes and samples; here
    without sampling."""
    variance = Problem(pde).latent.variance(pde.grid(64))
    variance = Problem(pde).coefficient(variance[None, None])  # Helmholtz's zero boundary
    assert variance.mean().sqrt() == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("robin", 2.0, 3.0), "robin"),
        (("neumann", 1.0, 3.0), "alpha"),
        (("neumann", float("nan"), 3.0), "alpha"),
        (("neumann", 2.0, 0.0), "tau"),
        (("neumann", 2.0, 3.0, 1), "modes"),
        (("periodic", 2.5, 7.0, 2), "modes"),
    ],
)
def test_bad_arguments(arguments, named):
    with pytest.raises(InputError, match=named):
        GaussianRandomField(*arguments)


@each_field
def test_the_fewest_modes_still_give_a_field(field):
    fewest = 3 if field.boundary == "periodic" else 2
    assert GaussianRandomField(field.boundary, 2.0, 3.0, fewest).variance(Grid(8)).max() > 0

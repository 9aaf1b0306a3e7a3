"""Fields as coefficients of eigenfunctions: the same function on every grid."""

import pytest
import torch
from helpers import seeded

from pdeinv import Grid, InputError
from pdeinv.basis import Basis
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, Poisson

BASES = [Basis("neumann"), Basis("dirichlet"), Basis("neumann", masked=True), Basis("periodic")]


def grid_for(basis, n):
    return Grid(n, "periodic" if basis.boundary == "periodic" else "vertex")


def table(basis, modes, batch=2):
    return torch.randn(batch, modes, modes, dtype=torch.float64, generator=seeded())


@pytest.mark.parametrize("n", [8, 9, 32])
@pytest.mark.parametrize("basis", BASES, ids=str)
def test_analysis_inverts_synthesis(basis, n):
    grid = grid_for(basis, n)
    c = table(basis, basis.capacity(grid))
    assert torch.allclose(basis.analysis(basis.synthesis(c, grid), grid), c, atol=1e-10)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_few_coefficients_mean_the_same_function_on_every_grid(basis):
    few = table(basis, 5)
    coarse, fine = grid_for(basis, 12), grid_for(basis, 24 if basis.boundary == "periodic" else 23)
    on_both = slice(1, -1)  # a masked field is cut off at the boundary
    fields = basis.synthesis(few, coarse), basis.synthesis(few, fine)[:, ::2, ::2]
    assert torch.allclose(
        fields[0][:, on_both, on_both], fields[1][:, on_both, on_both], atol=1e-12
    )
    back = basis.resize(basis.analysis(fields[0], coarse), 5)
    assert torch.allclose(back, few, atol=1e-10)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_resizing_keeps_what_fits(basis):
    c = table(basis, 7)
    larger = basis.resize(c, 11)
    assert torch.equal(basis.resize(larger, 7), c)
    assert float(larger.square().sum()) == pytest.approx(float(c.square().sum()))


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_the_adjoint_passes_the_dot_product_test(basis):
    grid = grid_for(basis, 10)
    c = table(basis, basis.capacity(grid))
    v = torch.randn(2, 10, 10, dtype=torch.float64, generator=seeded(1))
    assert torch.allclose(
        (basis.synthesis(c, grid) * v).sum(), (c * basis.synthesis_adjoint(v, grid)).sum()
    )


@pytest.mark.parametrize("basis", [b for b in BASES if not b.masked], ids=str)
def test_the_functions_are_orthonormal(basis):
    grid = grid_for(basis, 200)
    weight = torch.full((200,), grid.hx, dtype=torch.float64)
    if not grid.periodic:
        weight[[0, -1]] /= 2
    eye = (
        torch.eye(7, dtype=torch.float64)[:, :, None]
        * torch.eye(7, dtype=torch.float64)[:, None, :]
    )
    norms = basis.synthesis(eye, grid).square() * weight[:, None] * weight
    assert torch.allclose(norms.sum(dim=(1, 2)), torch.ones(7, dtype=torch.float64), atol=1e-10)


@pytest.mark.parametrize(
    ("pde", "expected"),
    [
        (Poisson(), ("neumann", "dirichlet")),
        (Helmholtz(), ("neumann masked", "dirichlet")),
        (Darcy(), ("neumann", "dirichlet")),
        (NavierStokes(), ("periodic", "periodic")),
    ],
    ids=lambda p: getattr(p, "name", ""),
)
def test_the_basis_of_a_field_is_told_from_its_boundary(pde, expected):
    grid = pde.grid(32)
    states = pde.sample(16, grid, seeded())
    found = tuple(Basis.of(states[:, c], grid) for c in range(2))
    assert tuple(b.boundary + " masked" * b.masked for b in found) == expected


def test_a_periodic_field_has_no_values_on_a_vertex_grid():
    with pytest.raises(InputError, match="periodic"):
        Basis("periodic").synthesis(torch.zeros(1, 5, 5), Grid(16))

"""Fields as coefficients of eigenfunctions: the same function on every grid."""

import pytest
import torch
from helpers import seeded

from pdeinv import Grid, InputError
from pdeinv.basis import Basis
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, Poisson, Problem

BASES = [Basis("neumann"), Basis("dirichlet"), Basis("neumann", masked=True), Basis("periodic")]


def grid_for(basis, ny, nx=None, **settings):
    kind = "periodic" if basis.boundary == "periodic" else "vertex"
    return Grid(ny, nx or ny, kind=kind, **settings)


def table(basis, modes, batch=2):
    return torch.randn(batch, *modes, dtype=torch.float64, generator=seeded())


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (32, 32), (24, 40), (11, 6)])
@pytest.mark.parametrize("basis", BASES, ids=str)
def test_analysis_inverts_synthesis(basis, shape):
    grid = grid_for(basis, *shape, extent=(0.0, 5.0, 0.0, 3.0))
    c = table(basis, basis.capacity(grid))
    assert torch.allclose(basis.analysis(basis.synthesis(c, grid), grid), c, atol=1e-10)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_few_coefficients_mean_the_same_function_on_every_grid(basis):
    few = table(basis, (5, 3))
    coarse, fine = (
        grid_for(basis, *shape, extent=(100.0, 105.0, -3.0, 0.0))
        for shape in ((12, 10), (24, 20) if basis.boundary == "periodic" else (23, 19))
    )
    on_both = slice(1, -1)  # a masked field is cut off at the boundary
    fields = basis.synthesis(few, coarse), basis.synthesis(few, fine)[:, ::2, ::2]
    assert torch.allclose(
        fields[0][:, on_both, on_both], fields[1][:, on_both, on_both], atol=1e-12
    )
    back = basis.resize(basis.analysis(fields[0], coarse), (5, 3))
    assert torch.allclose(back, few, atol=1e-10)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_resizing_keeps_what_fits(basis):
    c = table(basis, (7, 5))
    larger = basis.resize(c, (11, 7))
    assert torch.equal(basis.resize(larger, (7, 5)), c)
    mixed = basis.resize(c, (5, 7))  # fewer along y, more along x
    assert torch.equal(basis.resize(mixed, (5, 5)), basis.resize(c, (5, 5)))
    assert float(larger.square().sum()) == pytest.approx(float(c.square().sum()))


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_the_adjoint_passes_the_dot_product_test(basis):
    grid = grid_for(basis, 10, 14, extent=(0.0, 5.0, 0.0, 3.0))
    c = table(basis, basis.capacity(grid))
    v = torch.randn(2, 10, 14, dtype=torch.float64, generator=seeded(1))
    assert torch.allclose(
        (basis.synthesis(c, grid) * v).sum(), (c * basis.synthesis_adjoint(v, grid)).sum()
    )


@pytest.mark.parametrize("basis", [b for b in BASES if not b.masked], ids=str)
def test_the_functions_are_orthonormal(basis):
    # In units of the shorter side, which is 3
    grid = grid_for(basis, 120, 200, extent=(0.0, 5.0, 0.0, 3.0))
    along_y, along_x = (
        torch.full((n,), h / 3, dtype=torch.float64)
        for n, h in zip(grid.shape, grid.spacing, strict=True)
    )
    if not grid.periodic:
        along_y[[0, -1]] /= 2
        along_x[[0, -1]] /= 2
    eye = (
        torch.eye(7, dtype=torch.float64)[:, :, None]
        * torch.eye(7, dtype=torch.float64)[:, None, :]
    )
    norms = basis.synthesis(eye, grid).square() * along_y[:, None] * along_x
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
    states = Problem(pde).sample(16, grid, seeded())
    found = tuple(Basis.of(states[:, c], grid) for c in range(2))
    assert tuple(b.boundary + " masked" * b.masked for b in found) == expected


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_the_frequencies_are_those_of_the_laplacian_in_units_of_the_shorter_side(basis):
    grid = grid_for(basis, 64, 128, extent=(0.0, 10.0, 0.0, 5.0))
    modes = (5, 7)
    k = basis.frequencies(modes, grid.domain)
    unit = torch.zeros(1, *basis.capacity(grid), dtype=torch.float64)
    places = [
        basis._places(m + 1 - m % 2, many)
        for m, many in zip(modes, basis.capacity(grid), strict=True)
    ]
    inner = (slice(1, -1), slice(1, -1))
    for j, i in ((1, 3), (3, 1)):
        unit.zero_()[0, places[0][j], places[1][i]] = 1.0
        phi = basis.synthesis(unit, grid)[0]
        if basis.masked:
            phi = phi[inner]
        second = (phi[2:, 1:-1] - 2 * phi[inner] + phi[:-2, 1:-1]) / (grid.hy / 5) ** 2 + (
            phi[1:-1, 2:] - 2 * phi[inner] + phi[1:-1, :-2]
        ) / (grid.hx / 5) ** 2
        ratio = -(second * phi[inner]).sum() / phi[inner].square().sum()
        assert float(ratio.sqrt()) == pytest.approx(float(k[j, i]), rel=2e-2)


def test_a_periodic_field_has_no_values_on_a_vertex_grid():
    with pytest.raises(InputError, match="periodic"):
        Basis("periodic").synthesis(torch.zeros(1, 5, 5), Grid(16))

"""The noise of a diffusion and the extrapolated spectrum against closed forms."""

import pytest
import torch

from pdeinv import Grid
from pdeinv.basis import Basis
from pdeinv.priors import Noise
from pdeinv.priors.spectrum import extrapolate_power_law

DOMAINS = {"square": (0.0, 1.0, 0.0, 1.0), "rectangle": (100.0, 105.0, -3.0, 0.0)}
NODES = {"square": 48, "rectangle": (48, 80)}
each_domain = pytest.mark.parametrize("domain", DOMAINS)


def grid_on(domain, basis, nodes):
    periodic = basis.boundary == "periodic"
    ny, nx = nodes if isinstance(nodes, tuple) else (nodes, nodes)
    ends = 0 if periodic else 1
    kind = "periodic" if periodic else "vertex"
    return Grid(ny + ends, nx + ends, DOMAINS[domain], "m", kind)


def covariance(noise, basis, grid, row, column):
    """The covariance of a node's value with those of all nodes."""
    unit = torch.zeros(1, *grid.shape, dtype=torch.float64)
    unit[0, row, column] = 1.0
    table = noise.variance(basis, grid) * basis.synthesis_adjoint(unit, grid)
    return basis.synthesis(table, grid)[0]


@each_domain
@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "periodic"])
def test_the_correlation_is_exponential_in_both_directions(domain, boundary):
    basis, length = Basis(boundary), 0.15
    grid = grid_on(domain, basis, NODES[domain])
    row, column = grid.ny // 2, grid.nx // 2
    found = covariance(Noise("exponential", length), basis, grid, row, column)
    assert float(found[row, column]) == pytest.approx(1.0, abs=0.06)  # but for the finest modes
    steps = torch.arange(2, 10, dtype=torch.float64)
    for line, step in ((found[row, column:], grid.hx), (found[row:, column], grid.hy)):
        distances = steps * step / grid.domain.shorter
        assert torch.allclose(line[2:10], (-distances / length).exp(), atol=0.015)
    diagonal = found.diagonal(column - row)[row + 2 : row + 10]
    distances = steps * (grid.hx**2 + grid.hy**2) ** 0.5 / grid.domain.shorter
    assert torch.allclose(diagonal, (-distances / length).exp(), atol=0.015)


@each_domain
@pytest.mark.parametrize("basis", [Basis("dirichlet"), Basis("periodic")], ids=str)
def test_white_noise_is_independent_from_node_to_node(domain, basis):
    grid = grid_on(domain, basis, {"square": 11, "rectangle": (9, 15)}[domain])
    for row, column in ((3, 5), (4, 2)):
        unit = torch.zeros(grid.shape, dtype=torch.float64)
        unit[row, column] = 1.0
        found = covariance(Noise("white"), basis, grid, row, column)
        assert torch.allclose(found, unit, atol=1e-12)


def test_white_noise_of_cosines_has_unit_variance_within():
    basis = Basis("neumann")
    grid = grid_on("rectangle", basis, (9, 15))
    for row, column, variance in ((4, 6, 1.0), (0, 6, 2.0), (4, 15, 2.0), (9, 15, 4.0)):
        found = covariance(Noise("white"), basis, grid, row, column)
        assert float(found[row, column]) == pytest.approx(variance, abs=1e-12)
        found[row, column] = 0.0
        assert float(found.abs().max()) < 1e-12


@each_domain
@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "periodic"])
@pytest.mark.parametrize("more", [(2, 2), (1, 3), (3, 1)], ids=str)
def test_a_power_law_is_extrapolated_in_the_frequency(domain, boundary, more):
    basis = Basis(boundary)
    few = grid_on(domain, basis, {"square": 12, "rectangle": (12, 20)}[domain])
    many = few.resized(few.ny * more[0], few.nx * more[1])
    law = [
        basis.frequencies(basis.capacity(g), g.domain).clamp(min=1e-3) ** -5.0 for g in (few, many)
    ]
    found = extrapolate_power_law(basis, law[0], basis.capacity(many), few.domain)
    assert torch.allclose(found.double(), law[1], rtol=1e-4)

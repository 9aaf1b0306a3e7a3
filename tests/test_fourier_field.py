"""Fields that are sums of waves of a torus: their covariance, their transpose, their truncation."""

import math

import pytest
import torch
from helpers import normal, seeded

from pdeinv import GaussianField, Grid, InputError
from pdeinv.fourier_field import FourierField
from pdeinv.grid import Domain

AQUIFER = Domain((-500.0, 2500.0, 100.0, 1300.0), "m")


def table(my, mx, seed=0):
    """Variances of waves, the same for a wave and its negative."""
    spectrum = normal(2 * my + 1, mx + 1, seed=seed).square()
    spectrum[:my, 0] = spectrum[my + 1 :, 0].flip(0)
    return spectrum


FIELDS = {
    "padded": FourierField(Domain(), (1.3, 1.7), table(3, 4)),
    "rectangle": FourierField(AQUIFER, (3500.0, 2000.0), table(5, 2)),
    "torus": FourierField(Domain(), (1.0, 1.0), table(6, 6)),
    "matern": GaussianField(0.0, 1.0, 0.4, 5.0, 0.7, angle=30).latent(Domain(), "vertex"),
}
each_field = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)


def grid_of(field, ny=7, nx=9):
    kind = "periodic" if field.periods == field.domain.lengths else "vertex"
    return Grid(ny, nx, extent=field.domain.extent, unit=field.domain.unit, kind=kind)


@each_field
def test_the_covariance_is_the_sum_over_all_waves_of_the_plane(field):
    grid = grid_of(field)
    x, y = (grid.points() - grid.points()[0]).unbind(dim=1)
    dx, dy = x[:, None] - x, y[:, None] - y
    (my, mx), spectrum = (len(field.spectrum) // 2, field.spectrum.shape[1] - 1), field.spectrum
    expected = torch.zeros_like(dx)
    for ky in range(-my, my + 1):
        for kx in range(-mx, mx + 1):
            variance = spectrum[my + ky, kx] if kx >= 0 else spectrum[my - ky, -kx]
            phase = 2 * math.pi * (kx * dx / field.periods[0] + ky * dy / field.periods[1])
            expected += variance * torch.cos(phase)
    unit = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, 1, *grid.shape)
    covariance = field.covariance(unit, grid).reshape(grid.nodes, grid.nodes)
    torch.testing.assert_close(covariance, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(field.variance(grid).flatten(), expected.diagonal())
    assert field.std == pytest.approx(math.sqrt(float(expected[0, 0])))


@each_field
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_adjoint_is_the_transpose(field, dtype, error):
    grid = grid_of(field)
    xi, v = field.white(3, seeded()).to(dtype), normal(3, 1, *grid.shape, seed=1).to(dtype)
    one, two = field.square_root(xi, grid), field.square_root_adjoint(v, grid)
    assert one.dtype == two.dtype == dtype and two.shape == xi.shape
    size = float(one.norm() * v.norm())
    assert float((one * v).sum() - (xi * two).sum()) == pytest.approx(0, abs=error * size)


@each_field
def test_gradients_pass_through_even_behind_cached_inference(field):
    grid = grid_of(field, 6, 8)
    v = normal(2, 1, *grid.shape)
    with torch.inference_mode():
        field.sample(1, grid, seeded())
    xi = field.white(2, seeded()).requires_grad_()
    (field.square_root(xi, grid) * v).sum().backward()
    torch.testing.assert_close(xi.grad, field.square_root_adjoint(v, grid))


@each_field
def test_a_draw_is_the_same_function_on_every_grid(field):
    grid = grid_of(field, 8, 10)
    fine = grid.resized(*(n + cells for n, cells in zip(grid.shape, grid.cells, strict=True)))
    one, two = (field.sample(2, g, seeded()) for g in (grid, fine))
    torch.testing.assert_close(two[..., ::2, ::2], one, rtol=0, atol=1e-12)


@each_field
def test_the_truncated_field_is_that_of_the_resolved_waves(field):
    grid = grid_of(field, 6, 7)
    kept, cut = field.resolved(grid).bool(), field.truncated(grid)
    assert kept.shape == field.shape and 0 < kept.sum() < field.size
    xi = field.white(3, seeded())
    cropped = xi[:, kept].reshape(3, *cut.shape)
    torch.testing.assert_close(cut.square_root(cropped, grid), field.square_root(xi * kept, grid))
    assert cut.truncated(grid).shape == cut.shape and bool(cut.resolved(grid).all())


@pytest.mark.parametrize("n", [7, 8])
def test_the_nodes_of_a_torus_tell_the_resolved_waves_apart(n):
    field, grid = FIELDS["torus"], Grid(n, kind="periodic")
    cut = field.truncated(grid)
    unit = torch.eye(cut.size, dtype=torch.float64).reshape(-1, *cut.shape)
    fields = cut.square_root(unit, grid).flatten(1)
    present = fields.norm(dim=1) > 0
    assert torch.linalg.matrix_rank(fields) == present.sum() == (2 * ((n - 1) // 2) + 1) ** 2


def test_a_grid_that_resolves_the_field_keeps_its_covariance():
    field, grid = FIELDS["matern"], Grid(33)
    unit = torch.zeros(1, 1, 33, 33, dtype=torch.float64)
    unit[..., 16, 16] = 1.0
    whole, cut = (f.covariance(unit, grid) for f in (field, field.truncated(grid)))
    torch.testing.assert_close(cut, whole, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    "grid", [Grid(8, 6), Grid(8, 6, extent=AQUIFER.extent), Grid(6, extent=(0, 1, 0, 2))]
)
def test_a_grid_on_another_domain_is_refused(grid):
    field = FIELDS["rectangle"]
    for use in (field.variance, field.resolved, field.truncated, lambda g: field.sample(1, g)):
        with pytest.raises(InputError, match=r"domain of this random field must be .* m, got"):
            use(grid)


def test_a_periodic_grid_on_a_padded_domain_is_refused():
    with pytest.raises(InputError, match="must be a vertex grid, got a periodic one"):
        FIELDS["padded"].variance(Grid(8, kind="periodic"))

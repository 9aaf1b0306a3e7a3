"""The map to the readings with the methods of deepinv: its adjoint, its gradients, its use."""

import numpy as np
import pytest
import torch
from helpers import seeded

import pdeinv
from pdeinv import GaussianField, InputError, LogNormal, Problem
from pdeinv.datasets import Darcy, Poisson, Sides, Value
from pdeinv.grid import Domain
from pdeinv.solvers import SensorPhysics

SIDES = Sides(left=Value(3.0), right=Value(1.0), bottom=Value(0.0), top=Value(0.0))
DOMAIN = Domain((0.0, 2.0, 0.0, 1.0), unit="m")
KINDS = {
    "linear": "poisson",
    "affine": Poisson(domain=DOMAIN, boundary=SIDES),
    "nonlinear": Darcy(domain=DOMAIN, boundary=SIDES),
    "evolving": "navier-stokes",
}


def table(pde, n=7):
    pde = pdeinv.datasets.pde_by_name(pde) if isinstance(pde, str) else pde
    x0, x1, y0, y1 = pde.domain.extent
    rng = np.random.default_rng(4)
    names = [pde.solution_field.name] * (n - 2) + [pde.coefficient_field.name] * 2
    places = {"x": rng.uniform(x0, x1, n), "y": rng.uniform(y0, y1, n)}
    return {"field": names, **places, "value": np.ones(n), "noise_std": np.full(n, 0.1)}


def coefficients(physics, kind, n=2):
    prior = LogNormal(1.0, 0.3, 0.5) if kind == "nonlinear" else GaussianField(0.0, 1.0, 0.5)
    return prior.sample(n, physics.grid, seeded(1))


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def physics(kind):
    return SensorPhysics(table(KINDS[kind]), KINDS[kind], grid=16)


def test_the_products_are_those_of_the_jacobian(physics, kind):
    x, direction = coefficients(physics, kind), torch.randn(2, 1, *physics.grid.shape).double()
    v = torch.randn(2, 7, generator=seeded(2), dtype=torch.float64)
    step = 1e-5
    change = (physics.A(x + step * direction) - physics.A(x - step * direction)) / (2 * step)
    expected = (change * v).sum(dim=1)
    found = (physics.A_vjp(x, v) * direction).sum(dim=(1, 2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_the_adjoint_passes_the_dot_product_test(physics, kind):
    x = coefficients(physics, kind)
    v = torch.randn(2, 7, generator=seeded(2), dtype=torch.float64)
    if not physics.linear:
        assert kind in ("nonlinear", "evolving")
        with pytest.raises(InputError, match=r"must be linear .* use A_vjp"):
            physics.A_adjoint(v)
        return
    without = physics.A(x) - physics.A(torch.zeros_like(x))
    assert (physics.A(torch.zeros_like(x)).abs().max() > 0) == (kind == "affine")
    found = (physics.A_adjoint(v) * x).sum(dim=(1, 2, 3))
    torch.testing.assert_close(found, (without * v).sum(dim=1), rtol=1e-10, atol=1e-12)


def test_readings_are_those_of_simulated_sensors(physics, kind):
    x = coefficients(physics, kind)
    clean, noisy = physics.A(x), physics(x)
    assert clean.shape == (2, 7) and physics.y.shape == (1, 7)
    assert 0 < float((noisy - clean).abs().max()) < 1  # ten standard deviations
    single = physics.A(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), clean, rtol=1e-3, atol=1e-3)
    # The last two sensors read the coefficient itself, between the nodes
    smooth = torch.full_like(x, 2.0) if kind != "evolving" else torch.zeros_like(x)
    torch.testing.assert_close(physics.A(smooth)[:, -2:], smooth[:, 0, 0, :2])


def test_gradient_steps_lead_to_the_posterior_mean():
    """Least squares by the adjoint and the prior's covariance alone."""
    problem = Problem(Poisson(), GaussianField(0.0, 1.0, 0.5))
    sensors = table("poisson") | {"value": np.linspace(-0.1, 0.2, 7), "noise_std": np.full(7, 0.05)}
    physics = SensorPhysics(sensors, problem=problem, grid=16)
    latent = problem.prior.latent(physics.grid.domain, physics.grid.kind)
    rows = physics.A_adjoint(torch.eye(7, dtype=torch.float64))
    gains = latent.covariance(rows, physics.grid)
    gram = torch.stack([physics.A(one[None])[0] for one in gains])
    weights = torch.linalg.solve(gram + torch.diag(physics.noise_std**2), physics.y[0])
    mean = (weights[:, None, None, None] * gains).sum(dim=0)[0]
    expected = pdeinv.reconstruct(sensors, problem=problem, grid=16, n_samples=2)
    np.testing.assert_allclose(mean, expected["source_mean"], atol=1e-6)


def test_what_it_cannot_state_is_refused():
    sensors = table("poisson") | {"value": np.linspace(0, 1, 7)}
    with pytest.raises(InputError, match="plain ones of a known noise, got censored"):
        SensorPhysics(sensors | {"censored": ["left"] + [""] * 6}, "poisson", grid=16)
    with pytest.raises(InputError, match="got a noise that is unknown or shared"):
        SensorPhysics(sensors | {"noise_std": [np.nan] * 7}, "poisson", noise="unknown", grid=16)
    physics = SensorPhysics(sensors, "poisson", grid=16)
    with pytest.raises(InputError, match=r"must be \(batch, 1, 16, 16\), got \(1, 2, 16, 16\)"):
        physics.A(torch.zeros(1, 2, 16, 16))
    with pytest.raises(InputError, match="pde or problem must be given, got neither"):
        SensorPhysics(sensors)


def test_a_data_fidelity_of_deepinv_takes_it():
    deepinv = pytest.importorskip("deepinv", exc_type=ImportError)
    physics = SensorPhysics(table("poisson"), "poisson", grid=16)
    fidelity = deepinv.optim.L2(sigma=0.1)
    x = coefficients(physics, "linear")
    y = physics.y.expand(2, -1)
    expected = physics.A_adjoint(physics.A(x) - y) / 0.1**2
    torch.testing.assert_close(fidelity.grad(x, y, physics), expected)
    before = fidelity(x, y, physics)
    small = 1e-7 / expected.square().mean()
    assert bool((fidelity(x - small * expected, y, physics) < before).all())

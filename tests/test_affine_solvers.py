"""The solvers that evaluate the physics, on rectangles, with side values, sources and derived
fields: against closed forms, and whatever the unit."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import observe, quick_solver, seeded

from pdeinv import Ensemble, Field, Grid, InputError, SpectralField, layouts, reconstruct
from pdeinv.datasets import (
    PDE,
    Darcy,
    Flux,
    NavierStokes,
    NoFlux,
    Poisson,
    Problem,
    Sides,
    Value,
    Well,
)
from pdeinv.grid import Domain
from pdeinv.solvers import GaussianSolver, GaussNewton, Kriging, OptimalInterpolation
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.symmetry import torus_group
from pdeinv.transforms import fourier_coefficients, fourier_synthesis, wavenumbers

RECTANGLE = Domain((0.0, 5.0, 0.0, 3.0), "km")
MOVED = Domain((100.0, 105.0, -3.0, 0.0), "km")
SIDES = Sides(left=Value(2.0), right=NoFlux(), bottom=Flux(0.3), top=Value(lambda x, y: x / 100))
SLOPES = ("slope_x", "slope_y")


@dataclass(frozen=True)
class Sloped(Poisson):
    """With the slope of the potential, and few modes a priori."""

    @property
    def default_prior(self):
        return SpectralField(modes=8)

    @property
    def derived(self):
        return tuple(
            Field(name, f"slope along {name[-1]}", kind=f"vector-{name[-1]}") for name in SLOPES
        )

    def derive(self, a, u):
        grid = self.grid_of(u)
        y, x = torch.gradient(u, spacing=grid.spacing, dim=(-2, -1))
        return torch.cat([x, y], dim=1)


@dataclass(frozen=True)
class Blur(PDE):
    """On a torus: u is a, smoothed over a length, and a constant."""

    length: float = 0.3

    name = "blur"
    grid_kind = "periodic"
    equation = "u = exp(length² Δ) a + 1"
    coefficient_field = Field("sharp", "sharp a")
    solution_field = Field("blurred", "blurred u")
    linear = True
    operator_symmetries = torus_group()

    @property
    def default_prior(self):
        return SpectralField("periodic", alpha=2.5, tau=7.0, modes=9)

    def solve(self, a):
        (width, height), (ky, kx) = self.domain.lengths, wavenumbers(tuple(a.shape[-2:]))
        square = (2 * torch.pi) ** 2 * ((kx / width) ** 2 + (ky / height) ** 2)
        damped = fourier_coefficients(a) * torch.exp(-(self.length**2) * square)
        return fourier_synthesis(damped, tuple(a.shape[-2:])) + 1

    def residual(self, a, u):
        return u - self.solve(a)


OFFSET = Sloped(domain=MOVED, boundary=SIDES, source=0.5, outputs=SLOPES)
CASES = {
    "sides and source": (OFFSET, (9, 14)),
    "square": (Sloped(outputs=SLOPES), (10, 10)),
    "rectangle": (Sloped(outputs=SLOPES, domain=RECTANGLE), (9, 14)),
    "torus": (Blur(domain=MOVED), (10, 15)),
}
each_case = pytest.mark.parametrize("case", CASES)


def read(pde, shape, m=24, channels=None, noise=0.05, **given):
    """Return a state and readings at random positions of the channels in turn."""
    points = pde.domain.absolute(torch.as_tensor(layouts.random(m, 3)))
    channels = range(len(pde.fields)) if channels is None else channels
    channel = torch.tensor([channels[i % len(channels)] for i in range(m)])
    return observe(pde, pde.grid(*shape), points, channel, noise=noise, seed=4, **given)


def prior_moments(pde, grid):
    """Mean and covariance of the flattened states, from the images of all unit tables."""
    problem = Problem(pde)
    latent = problem.latent
    tables = torch.eye(latent.size, dtype=torch.float64).reshape(-1, *latent.shape)
    mean = problem.state(latent.origin(), grid)
    columns = (problem.state(tables, grid) - mean).flatten(1).T.numpy()
    return mean.flatten().numpy(), columns @ columns.T


def dense_posterior(pde, observation):
    mean, covariance = prior_moments(pde, observation.grid)
    eye = torch.eye(len(observation), dtype=torch.float64)
    H = observation.adjoint(eye).flatten(1).numpy()
    G = H @ covariance @ H.T + np.diag(observation.noise_std.numpy() ** 2)
    gain = covariance @ H.T @ np.linalg.inv(G)
    residual = observation.values.numpy() - H @ mean
    chi_squared = residual @ np.linalg.solve(G, residual)
    return mean + gain @ residual, covariance - gain @ H @ covariance, chi_squared


def fields(flat, grid):
    return torch.tensor(flat).reshape(-1, *grid.shape)


def check_close(found, wanted, scales, tolerance):
    for one, other, scale in zip(found, wanted, scales, strict=True):
        assert float((one - other).abs().max()) <= tolerance * float(scale)


@each_case
def test_the_gaussian_posterior_is_the_closed_form(case):
    pde, shape = CASES[case]
    _, observation = read(pde, shape)
    grid = observation.grid
    found = GaussianSolver()(pde, None, observation, n_samples=3000, generator=seeded(1))
    mean, covariance, chi_squared = dense_posterior(pde, observation)
    wanted, std = fields(mean, grid), fields(np.diag(covariance).clip(0) ** 0.5, grid)
    prior = fields(np.diag(prior_moments(pde, grid)[1]), grid).sqrt().amax(dim=(1, 2))
    check_close(found.mean, wanted, prior, 1e-8)
    check_close(found.std, std, prior, 1e-6)
    freedom = found.record["degrees_of_freedom"]
    assert found.record["reduced_chi_squared"] * freedom == pytest.approx(chi_squared, rel=1e-5)
    # The samples have this mean and this spread, to Monte-Carlo error
    check_close(found.samples.mean(dim=0), wanted, prior, 5 / 3000**0.5)
    check_close(found.samples.std(dim=0), std, prior, 5 / 6000**0.5)


def test_an_offset_of_any_size_leaves_the_posterior_of_the_rest():
    level = Value(1e6)
    near = dataclasses.replace(OFFSET, boundary=Sides(), outputs=())
    far = dataclasses.replace(near, boundary=Sides(level, level, level, level))
    _, observation = read(near, (9, 14), noise=1e-4)
    raised = observation.values + 1e6 * (observation.channel == 1)
    wanted, found = (
        GaussianSolver()(
            pde, None, dataclasses.replace(observation, values=values), generator=seeded()
        )
        for pde, values in ((near, observation.values), (far, raised))
    )
    assert torch.allclose(found.std, wanted.std, rtol=1e-6, atol=1e-9)
    assert torch.allclose(found.mean[1] - 1e6, wanted.mean[1], atol=1e-6)


@each_case
def test_gauss_newton_gives_the_same_posterior(case):
    pde, shape = CASES[case]
    _, observation = read(pde, shape)
    exact = GaussianSolver()(pde, None, observation, generator=seeded())
    ours = GaussNewton(ensemble=600)(pde, None, observation, generator=seeded())
    scales = exact.std.amax(dim=(1, 2))
    check_close(ours.mean, exact.mean, scales, 1e-4)
    check_close(ours.std[:1], exact.std[:1], scales[:1], 1e-4)
    check_close(ours.std[1:], exact.std[1:], scales[1:], 0.2)
    chi_squared = exact.record["reduced_chi_squared"]
    assert ours.record["reduced_chi_squared"] == pytest.approx(chi_squared, rel=1e-4)


@pytest.mark.parametrize("given", [False, True], ids=["own prior", "ensemble"])
@each_case
def test_optimal_interpolation_approaches_the_same_posterior(case, given):
    pde, shape = CASES[case]
    _, observation = read(pde, shape)
    exact = GaussianSolver()(pde, None, observation, generator=seeded())
    states = Problem(dataclasses.replace(pde, outputs=())).sample(2000, observation.grid, seeded(5))
    solver = OptimalInterpolation(members=2000)
    prior = Ensemble(states) if given else None
    ours = solver(pde, prior, observation, n_samples=300, generator=seeded())
    # Errors of a finite ensemble, in posterior standard deviations
    scales = exact.std.amax(dim=(1, 2))
    check_close(ours.mean, exact.mean, scales, 0.5)
    check_close(ours.std, exact.std, scales, 0.25)
    check_close(ours.samples.std(dim=0), exact.std, scales, 0.5)


def test_copies_are_no_more_than_the_elements():
    pde, shape = CASES["rectangle"]
    _, observation = read(pde, shape)
    few, many = (
        OptimalInterpolation(members=50, copies=n)(pde, None, observation, generator=seeded())
        for n in (4, 40)
    )
    assert torch.equal(few.mean, many.mean) and torch.equal(few.std, many.std)


@each_case
def test_jacobian_and_adjoint_are_transposes_with_derived_fields(case):
    pde, shape = CASES[case]
    _, observation = read(pde, shape)
    problem = Problem(pde)
    forward = LatentMap(problem, observation)
    xi, other = (problem.latent.white(1, seeded(s)) for s in (1, 2))
    rows = forward.whitened_jacobian(xi)
    step = forward(forward.coefficient(xi + other)) - forward(forward.coefficient(xi))
    assert torch.allclose(rows @ other.flatten(), step[0], rtol=1e-8, atol=1e-8)


# Kriging


def moved(pde, factor, unit):
    """Return the same problem in another unit, from another origin."""
    x0, x1, y0, y1 = (factor * v for v in pde.domain.extent)
    return dataclasses.replace(pde, domain=Domain((x0 + 7, x1 + 7, y0 - 2, y1 - 2), unit))


@pytest.mark.parametrize("case", ["rectangle", "torus"])
def test_kriging_does_not_depend_on_the_unit_but_for_its_length(case):
    pde, shape = CASES[case]
    _, observation = read(pde, shape, m=60, channels=(0, 1))
    other = moved(pde, 1000.0, "m")
    shares = pde.domain.relative(observation.points)
    elsewhere = dataclasses.replace(
        observation, grid=other.grid(*shape), points=other.domain.absolute(shares)
    )
    solve = Kriging(smoothness=1.5)
    here = solve(dataclasses.replace(pde, outputs=()), None, observation_of(observation, 2))
    there = solve(dataclasses.replace(other, outputs=()), None, observation_of(elsewhere, 2))
    for c in (0, 1):
        scale = float(here.mean[c].std())
        assert torch.allclose(here.mean[c], there.mean[c], atol=1e-5 * scale)
        assert torch.allclose(here.std[c], there.std[c], atol=1e-5 * scale)
    lengths = [
        json.loads(found.record["kernels"])[pde.coefficient_field.name]["length"]
        for found in (here, there)
    ]
    assert lengths[1] == pytest.approx(1000 * lengths[0], rel=1e-4)
    assert 0.05 < lengths[0] < 10


def observation_of(observation, channels):
    return dataclasses.replace(observation, order=observation.order[:channels])


def test_kriging_measures_distance_along_both_sides_alike():
    """A reading reaches equally far along both axes of a rectangle."""
    pde = Sloped(domain=RECTANGLE)
    grid = pde.grid(25, 41)
    points = torch.tensor([[2.5, 1.5], [0.5, 0.5], [4.5, 2.5]], dtype=torch.float64)
    state = torch.zeros(1, 2, *grid.shape, dtype=torch.float64)
    state[0, :, 12, 20] = 1.0
    _, observation = observe(pde, grid, points, 1, state=state, noise=0.1)
    mean = Kriging(smoothness=1.5)(pde, None, observation, generator=seeded()).mean[1]
    assert torch.allclose(mean[12 + 4, 20], mean[12, 20 + 4], rtol=0.05)
    assert not torch.allclose(mean[12 + 4, 20], mean[12, 20 + 8], rtol=0.05)


def test_kriging_wraps_around_both_circumferences():
    pde, shape = CASES["torus"]
    _, observation = read(pde, shape, m=40)
    shares = (pde.domain.relative(observation.points) + torch.tensor([0.2, 0.5])) % 1.0
    shifted = dataclasses.replace(observation, points=pde.domain.absolute(shares))
    here, there = (
        Kriging(smoothness=1.5)(pde, None, o, n_samples=1, generator=seeded())
        for o in (observation, shifted)
    )
    scale = float(here.mean.std())
    assert torch.allclose(here.mean.roll((5, 3), dims=(-2, -1)), there.mean, atol=1e-5 * scale)


def test_kriging_thins_a_fine_grid_in_each_direction():
    pde = Sloped(domain=Domain((0.0, 4.0, 0.0, 1.0)))
    _, observation = read(pde, (48, 190), m=60, channels=(0,))
    found = Kriging(smoothness=1.5)(pde, None, observation, n_samples=200, generator=seeded())
    left = found.std[0] > 0.3 * found.std[0].max()
    ratio = found.samples[:, 0].std(dim=0)[left] / found.std[0][left]
    assert 0.9 < float(ratio.mean()) < 1.1 and float(ratio.min()) > 0.7


AQUIFER = Darcy(
    source=0.0,
    domain=MOVED,
    boundary=Sides(Value(52.0), Value(50.0), NoFlux(), NoFlux()),
    wells=(Well(102.0, -1.5, -5.0),),
    outputs=("flux_x", "flux_y", "log_permeability"),
)


@pytest.mark.filterwarnings("ignore::pdeinv.InputWarning")
@pytest.mark.parametrize("channels", [(0,), (1,), (0, 1), (2, 3)])
def test_kriging_computes_the_fields_without_sensors(channels):
    _, observation = read(AQUIFER, (16, 27), m=60, channels=channels)
    found = Kriging()(AQUIFER, None, observation, generator=seeded())
    a, u = found.mean[None, :1].clamp(*AQUIFER.default_prior.bounds), found.mean[None, 1:2]
    if 1 not in channels:
        assert torch.allclose(u, AQUIFER.solve(a))
    derived = AQUIFER.derive(a, u)[0]
    for c in (2, 3, 4):
        assert torch.allclose(found.mean[c], derived[c - 2]) == (c not in channels)
    assert bool((found.std[1:].flatten(1).amax(dim=1) > 0).all())


# The contract, on a rectangle

FLOW = NavierStokes(viscosity=0.01, time=0.3, forcing=0.1, outputs=("velocity_x", "velocity_y"))


@pytest.mark.filterwarnings("ignore::pdeinv.InputWarning")
@pytest.mark.parametrize("domain", [RECTANGLE, MOVED], ids=["at the origin", "elsewhere"])
@pytest.mark.parametrize(
    ("name", "pde"),
    [
        ("gaussian", OFFSET),
        ("gauss-newton", OFFSET),
        ("optimal-interpolation", OFFSET),
        ("optimal-interpolation", AQUIFER),
        ("kriging", OFFSET),
        ("kriging", AQUIFER),
        ("gaussian", Sloped()),
        ("gaussian", Blur()),
        ("kriging", Blur()),
        ("gauss-newton", FLOW),
        ("optimal-interpolation", FLOW),
        ("kriging", FLOW),
    ],
    ids=lambda v: getattr(v, "name", v),
)
def test_a_posterior_of_every_field_on_24_x_40_nodes(name, pde, domain):
    changes = {"domain": domain}
    if isinstance(pde, Darcy):  # at the same place of the domain
        changes["wells"] = (Well(domain.extent[0] + 2.0, domain.extent[2] + 1.5, -5.0),)
    pde = dataclasses.replace(pde, **changes)
    grid = pde.grid(24, 40)
    _, observation = read(pde, grid.shape, m=40, noise=0.1)
    found = quick_solver(name)(pde, None, observation, n_samples=3, generator=seeded())
    shape = (len(pde.fields), 24, 40)
    assert found.fields == pde.fields and found.grid == grid
    assert found.mean.shape == found.std.shape == shape and found.samples.shape == (3, *shape)
    assert bool((found.std >= 0).all() and (found.std > 0).flatten(1).any(dim=1).all())
    constant = found.mean.mean(dim=(1, 2), keepdim=True).expand(shape)
    ours, blind = (
        ((observation(state[None])[0] - observation.values) / observation.noise_std).square().mean()
        for state in (found.mean, constant)
    )
    # Kriging does not read the nearest node of a two-valued field
    assert float(ours) < (3 if pde.linear else 0.3 * float(blind)) and float(blind) > 10


def test_readings_on_another_domain_are_refused():
    other = dataclasses.replace(OFFSET, domain=RECTANGLE, boundary=Sides())
    _, observation = read(other, (16, 27))
    with pytest.raises(InputError, match=r"domain \[100, 105\] x \[-3, 0\] km, got \[0, 5\]"):
        GaussianSolver()(OFFSET, None, observation)


# The door


def test_a_rectangle_through_the_door():
    table = pd.DataFrame(
        {
            "field": ["flux_x", "pressure", "pressure"],
            "x": [101.0, 103.0, 104.5],
            "y": [-1.0, -2.0, -0.5],
            "value": [1.0, 51.0, 50.2],
            "noise_std": 0.1,
        }
    )
    pde = dataclasses.replace(AQUIFER, outputs=(), source=lambda x, y: 0 * x + 0.1)
    grid = Grid(18, 31, MOVED.extent, "km")
    solver = quick_solver("optimal-interpolation")
    result = reconstruct(table, pde, grid=grid, solver=solver, n_samples=2)
    assert result.flux_y_mean.shape == result.permeability_std.shape == (18, 31)
    assert float(result.x[0]) == 100 and float(result.x[-1]) == 105 and float(result.y[0]) == -3
    assert result.x.attrs["units"] == "km"
    assert result.sensor_field.values.tolist() == table.field.tolist()
    attributes = result.attrs
    assert json.loads(attributes["extent"]) == [100, 105, -3, 0] and attributes["unit"] == "km"
    stated = json.loads(attributes["pde_parameters"])
    assert stated["source"] == "Distributed(f(x, y))" and stated["outputs"] == ["flux_x", "flux_y"]
    assert stated["wells"] == [{"x": 102.0, "y": -1.5, "rate": -5.0}]
    words = ("u = 52 on the left", "no flux on", "1 well", "f(x, y)", "on [100, 105] x [-3, 0] km")
    assert all(word in attributes["assumed"] for word in words)
    shorter = reconstruct(table, pde, grid=16, solver=solver, n_samples=2)
    assert shorter.pressure_mean.shape == pde.grid(16).shape == (16, 26)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid(64), r"on its domain \[100, 105\] x \[-3, 0\] km, got \[0, 1\] x \[0, 1\]"),
        (Grid(12, 20, MOVED.extent, "km"), "at least 16 nodes in each direction, got 12 x 20"),
        (Grid(16, 20, MOVED.extent, "km", "periodic"), "kind 'vertex', got 'periodic'"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(grid, message):
    table = {"field": "pressure", "x": [101.0], "y": [-1.0], "value": [51.0], "noise_std": 0.1}
    with pytest.raises(InputError, match=message):
        reconstruct(table, dataclasses.replace(AQUIFER, outputs=()), grid=grid)


class ExactAquifer(Darcy):
    """Its surrogate is its solve."""

    def surrogate(self, a):
        return self.solve(a)


@pytest.mark.parametrize("method", ["direct", "iterative"])
@pytest.mark.parametrize("channels", [(1,), (2, 3), (0, 1, 2, 3, 4)])
def test_the_jacobian_of_an_aquifer_is_the_derivative_of_its_readings(method, channels):
    given = {k: v for k, v in AQUIFER.parameters.items() if k != "method"}
    pde = ExactAquifer(**given, method=method)
    _, observation = read(pde, (16, 27), m=40, channels=channels)
    forward, problem = ForwardMap(pde, observation), Problem(pde)
    latent = (problem.latent.sample(1, observation.grid, seeded(s)) for s in (1, 2))
    a, other = (problem.smoothed(g, 1.0) for g in latent)
    step = 1e-5 * (other - a)
    difference = (forward(a + step) - forward(a - step))[0] / 2e-5
    product = (forward.jacobian(a) * (other - a)).sum(dim=(1, 2, 3))
    for c in channels:
        mine = observation.channel == c
        scale = float(difference[mine].abs().max())
        assert torch.allclose(product[mine], difference[mine], rtol=1e-4, atol=1e-5 * scale)
    weights = observation.values[None] / observation.noise_std
    pulled = (forward.adjoint_at(a)(weights) * (other - a)).sum()
    assert float(pulled) == pytest.approx(float((weights[0] * product).sum()), rel=1e-6)

"""What every physics module promises: names, seeds, batches, symmetries, residuals, published
statistics."""

import pytest
import torch

from pdeinv import Grid, InputError, Symmetry, datasets
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, Poisson

# Every registered PDE, and settings that are harder than the default ones
PDES = {name: kind() for name, kind in datasets.PDES.items()} | {
    "poisson-rough": Poisson(alpha=1.3, tau=1.0),
    "helmholtz-k6": Helmholtz(k=6.0),  # between resonances, where the operator is indefinite
    "darcy-contrast-100": Darcy(low=0.5, high=50.0, source=-2.0),
    "navier-stokes-free": NavierStokes(viscosity=1e-2, forcing=0.0, time=0.7),
    "navier-stokes-fast": NavierStokes(viscosity=1e-4, forcing=0.5, time=2.0, dt=0.04),
}
NAMES = {
    "poisson": ("source", "potential"),
    "helmholtz": ("source", "wavefield"),
    "darcy": ("permeability", "pressure"),
    "navier-stokes": ("initial_vorticity", "final_vorticity"),
}

each_pde = pytest.mark.parametrize("pde", PDES.values(), ids=PDES)
# Periodic fields shifted by 1/8: whole cells and fractions of one
each_size = pytest.mark.parametrize("n", [16, 21])


def coefficients(pde, n, count=2, seed=0):
    return pde.sample_coefficient(count, pde.grid(n), torch.Generator().manual_seed(seed))


def distance(x, y):
    return float((x - y).norm() / y.norm())


@each_pde
def test_names(pde):
    names = tuple(field.name for field in pde.fields)
    assert names == NAMES.get(pde.name, names)
    for channel, alias in enumerate(("coefficient", "solution")):
        assert pde.channel(alias) == pde.channel(names[channel]) == channel
    with pytest.raises(InputError, match="temperature"):
        pde.channel("temperature")


@each_pde
def test_a_seed_is_a_function_on_every_grid(pde):
    coarse, fine = (8, 16) if pde.grid(8).periodic else (9, 17)
    a = coefficients(pde, fine)
    assert torch.equal(a, coefficients(pde, fine))
    assert distance(coefficients(pde, fine, seed=1), a) > 0.1
    torch.testing.assert_close(coefficients(pde, coarse), a[..., ::2, ::2], atol=1e-12, rtol=0)


@each_pde
def test_a_state_is_a_coefficient_and_its_solution(pde):
    state = pde.sample(3, pde.grid(16), torch.Generator().manual_seed(0))
    assert state.shape == (3, 2, 16, 16) and state.dtype == torch.float64
    torch.testing.assert_close(state[:, :1], coefficients(pde, 16, 3))
    torch.testing.assert_close(state[:, 1:], pde.solve(state[:, :1]))
    for channel, field in enumerate(pde.fields):
        if field.boundary_value is not None:
            edge = torch.ones(16, 16, dtype=torch.bool)
            edge[1:-1, 1:-1] = False
            assert (state[:, channel, edge] == field.boundary_value).all()


def test_coefficients_of_a_latent_field():
    latent = torch.tensor([-1e-9, 0.0, 2.0, -3.0] * 4, dtype=torch.float64).reshape(1, 1, 4, 4)
    assert Darcy().coefficient(latent)[0, 0].tolist() == [[3.0, 12.0, 12.0, 3.0]] * 4
    for pde in (Poisson(), NavierStokes()):
        assert torch.equal(pde.coefficient(latent), latent)
    inside = torch.tensor(
        [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    )
    assert torch.equal(Helmholtz().coefficient(latent)[0, 0], inside.double())


@each_pde
def test_a_smoothed_coefficient_tends_to_the_sharp_one(pde):
    latent = torch.linspace(-3, 3, 64, dtype=torch.float64).reshape(1, 1, 8, 8)
    sharp = pde.coefficient(latent)
    torch.testing.assert_close(pde.smoothed(latent, 1e-3), sharp, atol=1e-10, rtol=0)
    if pde.coefficient_range is not None:
        low, high = pde.coefficient_range
        gap = [distance(pde.smoothed(latent, width), sharp) for width in (1.0, 0.3, 0.1)]
        assert gap[0] > gap[1] > gap[2] > 1e-3
        wide = pde.smoothed(latent, 1.0).flatten()
        assert low < float(wide[0]) and float(wide[-1]) < high and bool((wide.diff() > 0).all())


def test_the_smoothed_permeability_keeps_the_pressure():
    """Better than the arithmetic mean of the phases does."""
    pde, n = Darcy(), 33
    latent = pde.latent_prior.sample(12, pde.grid(n), torch.Generator().manual_seed(0))
    sharp = pde.solve(pde.coefficient(latent))
    for width in (0.05 * latent.std(), 0.1 * latent.std()):
        arithmetic = pde.low + (pde.high - pde.low) * torch.sigmoid(latent / width)
        bias = [
            abs(float((pde.solve(a) - sharp).mean() / sharp.std()))
            for a in (pde.smoothed(latent, width), arithmetic)
        ]
        assert bias[0] < 0.005 and bias[0] < 0.4 * bias[1]


@pytest.mark.parametrize("name", ["darcy", "darcy-contrast-100"])
def test_the_surrogate_of_darcy_has_four_digits(name):
    a = coefficients(PDES[name], 33)
    u = PDES[name].surrogate(a)
    assert u.dtype == torch.float64 and 1e-9 < distance(u, PDES[name].solve(a)) < 1e-4


@each_pde
@each_size
def test_an_instance_does_not_depend_on_its_batch(pde, n):
    # Instances that need very different numbers of iterations, none at all included.
    a = torch.cat([coefficients(pde, n, 3), torch.ones(1, 1, n, n, dtype=torch.float64)])
    u = pde.solve(a)
    assert u.shape == a.shape
    for i in range(len(a)):
        assert distance(pde.solve(a[i : i + 1])[0], u[i]) < 1e-12


@each_pde
@each_size
def test_the_residual_of_a_solution_vanishes(pde, n):
    a = coefficients(pde, n)
    u = pde.solve(a)
    scale = pde.residual(a, torch.zeros_like(u)).norm()  # of the forcing
    assert pde.residual(a, u).norm() < 1e-10 * scale
    generator = torch.Generator().manual_seed(1)
    wrong = u + 1e-3 * u.abs().max() * torch.randn(u.shape, dtype=u.dtype, generator=generator)
    assert pde.residual(a, wrong).norm() > 1e-4 * scale


@pytest.mark.parametrize("pde", [Poisson(), Helmholtz(), Darcy()], ids=lambda pde: pde.name)
def test_the_residual_shows_a_violated_boundary_condition(pde):
    a = coefficients(pde, 9, 1)
    u = pde.solve(a)
    u[0, 0, 0, 4] = 0.25
    assert pde.residual(a, u)[0, 0, 0, 4] == 0.25


@each_pde
@each_size
def test_solve_commutes_with_the_symmetries(pde, n):
    grid, generator = pde.grid(n), torch.Generator().manual_seed(3)
    a = coefficients(pde, n)
    u = pde.solve(a)
    for g in [*pde.symmetries, *(pde.symmetries.sample(generator) for _ in range(6))]:
        assert distance(pde.solve(g(a, grid)), g(u, grid)) < 1e-8
        if g != Symmetry():  # the fields themselves are not symmetric, so that the test can fail
            assert distance(g(a, grid), a) > 0.1
            assert distance(g(u, grid), u) > 1e-2


SWAP, HALF_TURN = ((0, 1), (1, 0)), ((-1, 0), (0, -1))


@pytest.mark.parametrize(
    ("forcing", "wrong"),
    [
        (0.0, Symmetry(SWAP)),  # a reflection without its sign
        (0.0, Symmetry(HALF_TURN, signs=(-1,))),
        (0.1, Symmetry(SWAP, (0.25, 0.25))),
        (0.1, Symmetry(SWAP, signs=(-1,))),  # without its shift
        (0.1, Symmetry(HALF_TURN)),
        (0.1, Symmetry(shift=(0.25, 0.25))),  # across the diagonal
    ],
)
def test_solve_does_not_commute_with_what_is_no_symmetry(forcing, wrong):
    pde = NavierStokes(forcing=forcing)
    grid, a = pde.grid(16), coefficients(pde, 16)
    assert distance(pde.solve(wrong(a, grid)), wrong(pde.solve(a), grid)) > 0.1


@each_pde
def test_float32(pde):
    a = coefficients(pde, 33)
    u = pde.solve(a.float())
    assert u.dtype == torch.float32
    assert distance(u.double(), pde.solve(a.float().double())) < 2e-5


@each_pde
def test_bad_fields_and_grids(pde):
    kind = "vertex" if pde.grid(8).periodic else "periodic"
    with pytest.raises(InputError, match=kind):
        pde.sample_coefficient(1, Grid(8, kind))
    for shape in [(8, 9), (9, 8), (4, 9)]:
        with pytest.raises(InputError, match="must be square"):
            pde.solve(torch.ones(1, 1, *shape, dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "arguments", "named"),
    [
        (Darcy, {"low": 3.0, "high": 3.0}, "low"),
        (Darcy, {"low": 0.0}, "low"),
        (Darcy, {"low": float("nan")}, "low"),
        (NavierStokes, {"dt": 0.0}, "dt"),
        (NavierStokes, {"viscosity": -1e-3}, "viscosity"),
        (NavierStokes, {"time": float("nan")}, "time"),
    ],
)
def test_bad_parameters(make, arguments, named):
    with pytest.raises(InputError, match=named):
        make(**arguments)


def test_a_resonance_is_refused():
    n = 17
    k = (
        2
        * 4.0
        * (n - 1) ** 2
        * torch.sin(torch.tensor(torch.pi / (2 * (n - 1)), dtype=torch.float64)) ** 2
    ).sqrt()
    with pytest.raises(InputError, match="resonance"):
        Helmholtz(k=float(k)).solve(torch.ones(1, 1, n, n, dtype=torch.float64))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_permeability_that_is_not_positive_is_refused(value):
    a = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    a[0, 0, 3, 3] = value
    with pytest.raises(InputError, match="positive"):
        Darcy().solve(a)


# Means and standard deviations of the training data of Huang et al., NeurIPS 2024. Averages here
# are integrals (all four solutions vanish on the boundary or are periodic): a mean over 64 vertex
# nodes a side would be 3 % low.


def average(pde, u):
    return u.sum(dim=(-1, -2)).mean() * pde.grid_of(u).h ** 2


@pytest.mark.parametrize(
    ("pde", "std"), [(Poisson(), 4.17e-3), (Helmholtz(), 4.28e-3)], ids=["poisson", "helmholtz"]
)
def test_published_spread_of_the_linear_solutions(pde, std):
    """Exact: every Karhunen–Loève term is solved for once."""
    # The rest has 1e-6 of the solution's variance
    prior, grid = type(pde)(modes=16).latent_prior, pde.grid(64)
    m = len(prior.wavenumbers)
    terms = prior.square_root(torch.eye(m * m, dtype=torch.float64).reshape(-1, 1, m, m), grid)
    variance = pde.solve(pde.coefficient(terms)).square().sum(dim=0)
    assert average(pde, variance).sqrt() == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize(
    ("pde", "mean", "std"),
    [(Darcy(), 5.69e-3, 3.79e-3), (NavierStokes(), 0.0, 0.256)],
    ids=["darcy", "navier-stokes"],
)
def test_published_statistics_of_the_nonlinear_solutions(pde, mean, std):
    # Standard errors 0.5 and 1.2 %
    u = pde.sample(300, pde.grid(64), torch.Generator().manual_seed(0))[:, 1]
    assert average(pde, u) == pytest.approx(mean, rel=0.05, abs=1e-12)
    assert (average(pde, u**2) - average(pde, u) ** 2).sqrt() == pytest.approx(std, rel=0.05)

"""What single PDEs promise beyond the contract: names, permeabilities, symmetries that are none,
parameters, and the published statistics."""

import pytest
import torch
from helpers import distance, seeded

from pdeinv import InputError, SpectralField, Symmetry, TwoPhase
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, Poisson, Problem, pde_by_name


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("poisson", ("source", "potential")),
        ("helmholtz", ("source", "wavefield")),
        ("darcy", ("permeability", "pressure")),
        ("navier-stokes", ("initial_vorticity", "final_vorticity")),
    ],
)
def test_the_names_of_the_benchmark_stay(name, fields):
    assert tuple(f.name for f in pde_by_name(name).fields) == fields


def test_coefficients_of_a_latent_field():
    latent = torch.tensor([-1e-9, 0.0, 2.0, -3.0] * 4, dtype=torch.float64).reshape(1, 1, 4, 4)
    assert Problem(Darcy()).coefficient(latent)[0, 0].tolist() == [[3.0, 12.0, 12.0, 3.0]] * 4
    for pde in (Poisson(), pde_by_name("navier-stokes")):
        assert torch.equal(Problem(pde).coefficient(latent), latent)
    inside = torch.tensor(
        [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    )
    assert torch.equal(Problem(Helmholtz()).coefficient(latent)[0, 0], inside.double())


def test_the_smoothed_permeability_keeps_the_pressure():
    """Better than the arithmetic mean of the phases does."""
    pde, n = Darcy(), 33
    problem, (low, high) = Problem(pde), pde.default_prior.phases
    latent = problem.latent.sample(12, pde.grid(n), seeded())
    sharp = pde.solve(problem.coefficient(latent))
    for width in (0.05 * latent.std(), 0.1 * latent.std()):
        arithmetic = low + (high - low) * torch.sigmoid(latent / width)
        bias = [
            abs(float((pde.solve(a) - sharp).mean() / sharp.std()))
            for a in (problem.smoothed(latent, width), arithmetic)
        ]
        assert bias[0] < 0.005 and bias[0] < 0.4 * bias[1]


@pytest.mark.parametrize(
    "problem",
    [Problem.named("darcy"), Problem.named("darcy", low=0.5, high=45.0, source=-2.0)],
)
def test_the_surrogate_of_darcy_has_four_digits(problem):
    pde = problem.physics
    a = problem.sample_coefficient(2, pde.grid(33), seeded())
    u = pde.surrogate(a)
    assert u.dtype == torch.float64 and 1e-9 < distance(u, pde.solve(a)) < 1e-4


SWAP, HALF_TURN = ((0, 1), (1, 0)), ((-1, 0), (0, -1))


@pytest.mark.parametrize(
    ("forcing", "wrong"),
    [
        (0.0, Symmetry(SWAP)),  # a reflection without its sign
        (0.1, Symmetry(SWAP, (0.25, 0.25))),
        (0.1, Symmetry(SWAP, kinds=("pseudo-scalar",))),  # without its shift
        (0.1, Symmetry(HALF_TURN)),
        (0.1, Symmetry(shift=(0.25, 0.25))),  # across the diagonal
    ],
)
def test_solve_does_not_commute_with_what_is_no_symmetry(forcing, wrong):
    pde = NavierStokes(forcing=forcing)
    grid, a = pde.grid(16), Problem(pde).sample_coefficient(2, pde.grid(16), seeded())
    assert distance(pde.solve(wrong(a, grid)), wrong(pde.solve(a), grid)) > 0.1


@pytest.mark.parametrize(
    ("make", "arguments", "named"),
    [
        (Darcy, {"source": float("nan")}, "source"),
        (NavierStokes, {"dt": 0.0}, "dt"),
        (NavierStokes, {"viscosity": -1e-3}, "viscosity"),
        (NavierStokes, {"time": float("nan")}, "time"),
    ],
)
def test_bad_parameters(make, arguments, named):
    with pytest.raises(InputError, match=named):
        make(**arguments)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"low": 3.0, "high": 3.0}, "low must be below high"),
        ({"low": 0.0}, "permeability of darcy must be positive everywhere"),
        ({"low": float("nan")}, "low of the two-phase prior must be a finite number"),
    ],
)
def test_a_prior_that_no_permeability_can_have_is_refused(numbers, message):
    with pytest.raises(InputError, match=message):
        Problem(Darcy(), TwoPhase(SpectralField(), **{"low": 3.0, "high": 12.0} | numbers))
    with pytest.raises(InputError, match=message):
        Problem.named("darcy", **numbers)


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
    return u.sum(dim=(-1, -2)).mean() * pde.grid_of(u).hx ** 2


@pytest.mark.parametrize(
    ("pde", "std"), [(Poisson(), 4.17e-3), (Helmholtz(), 4.28e-3)], ids=["poisson", "helmholtz"]
)
def test_published_spread_of_the_linear_solutions(pde, std):
    """Exact: every Karhunen–Loève term is solved for once."""
    # The rest has 1e-6 of the solution's variance
    problem, grid = Problem(pde, pde.default_prior.with_numbers(modes=16)), pde.grid(64)
    latent = problem.latent
    tables = torch.eye(latent.size, dtype=torch.float64).reshape(-1, *latent.shape)
    terms = problem.coefficient(latent.square_root(tables, grid))
    variance = pde.solve(terms).square().sum(dim=0)
    assert average(pde, variance).sqrt() == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize(
    ("pde", "mean", "std"),
    [(Darcy(), 5.69e-3, 3.79e-3), (pde_by_name("navier-stokes"), 0.0, 0.256)],
    ids=["darcy", "navier-stokes"],
)
def test_published_statistics_of_the_nonlinear_solutions(pde, mean, std):
    # Standard errors 0.5 and 1.2 %
    u = Problem(pde).sample(300, pde.grid(64), seeded())[:, 1]
    assert average(pde, u) == pytest.approx(mean, rel=0.05, abs=1e-12)
    assert (average(pde, u**2) - average(pde, u) ** 2).sqrt() == pytest.approx(std, rel=0.05)

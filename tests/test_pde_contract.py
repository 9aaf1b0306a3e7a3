"""The contract of a physics module, for every PDE in `PDES` with its prior: names, seeds, batches,
symmetries, residuals."""

import json
from dataclasses import replace

import pytest
import torch
from helpers import distance, seeded

from pdeinv import Grid, InputError, Symmetry
from pdeinv.datasets import PDES, Problem, check_pde, pde_by_name
from pdeinv.grid import Domain
from pdeinv.solvers.forward import clamped

# Parameters at which more can go wrong than at the defaults
EXTREMES = {
    "poisson": {"rough": {"alpha": 1.3, "tau": 1.0}},
    "helmholtz": {"k6": {"k": 6.0}},  # between resonances, where the operator is indefinite
    "darcy": {"contrast-100": {"low": 0.5, "high": 50.0, "source": -2.0}},
    "navier-stokes": {
        "free": {"viscosity": 1e-2, "forcing": 0.0, "time": 0.7},
        "fast": {"viscosity": 1e-4, "forcing": 0.5, "time": 2.0, "dt": 0.04},
    },
}
CASES = {name: Problem.named(name) for name in PDES} | {
    f"{name}-{label}": Problem.named(name, **parameters)
    for name, extremes in EXTREMES.items()
    if name in PDES
    for label, parameters in extremes.items()
}

BOX = Domain((0.0, 5.0, 0.0, 3.0), "km")  # 24 x 40 nodes are among the sizes
CASES |= {
    f"{case}-rectangle": Problem(replace(problem.physics, domain=BOX), problem.prior)
    for case, problem in CASES.items()
}

each_problem = pytest.mark.parametrize("problem", CASES.values(), ids=CASES)
# Periodic fields shifted by 1/8: whole cells and fractions of one
each_size = pytest.mark.parametrize("n", [16, 21, 24])


def grid_of(pde, n):
    """Return a grid with n nodes on the shorter side."""
    return pde.grid(n, n if pde.domain.square else round(n * 5 / 3))


def coefficients(problem, n, count=2, seed=0):
    return problem.sample_coefficient(count, grid_of(problem.physics, n), seeded(seed))


@each_problem
def test_its_names_are_usable(problem):
    pde = problem.physics
    assert PDES[pde.name] is type(pde) and pde.equation and type(pde).__doc__
    names = [f.name for f in pde.fields]
    assert len(set(names)) == 2 and all(name.isidentifier() for name in names)
    for channel, alias in enumerate(("coefficient", "solution")):
        assert pde.channel(alias) == pde.channel(names[channel]) == channel
    with pytest.raises(InputError, match="temperature"):
        pde.channel("temperature")


@each_problem
def test_its_parameters_make_it_again(problem):
    pde = problem.physics
    stored = json.dumps(pde.json_parameters())
    for parameters in (pde.parameters, json.loads(stored)):
        again = pde_by_name(pde.name, **parameters)
        assert again == pde and hash(again) == hash(pde)
        assert json.dumps(again.json_parameters()) == stored
    with pytest.raises(InputError, match=f"parameter of {pde.name} .* got 'wavelength'"):
        pde_by_name(pde.name, wavelength=1.0)
    for name in pde.parameters:
        with pytest.raises(InputError, match=name):
            pde_by_name(pde.name, **{name: float("inf")})


@each_problem
def test_a_seed_is_a_function_on_every_grid(problem):
    pde = problem.physics
    coarse = grid_of(pde, 9)
    fine = coarse.resized(*(2 * n - (not coarse.periodic) for n in coarse.shape))
    a, same, other = (problem.sample_coefficient(2, fine, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, same) and distance(other, a) > 0.1
    on_coarse = problem.sample_coefficient(2, coarse, seeded(0))
    torch.testing.assert_close(on_coarse, a[..., ::2, ::2], atol=1e-12, rtol=0)


@each_problem
def test_a_state_is_a_coefficient_and_its_solution(problem):
    pde = problem.physics
    grid = grid_of(pde, 24)
    state = problem.sample(3, grid, seeded())
    assert state.shape == (3, 2, *grid.shape) and state.dtype == torch.float64
    torch.testing.assert_close(state[:, :1], coefficients(problem, 24, 3))
    torch.testing.assert_close(state[:, 1:], pde.solve(state[:, :1]))
    for channel in range(2):
        known = pde.known_values(channel, grid.points()).reshape(grid.shape)
        fixed = ~known.isnan()
        assert torch.equal(state[:, channel, fixed], known[fixed].expand(3, -1))


@each_problem
def test_a_smoothed_coefficient_tends_to_the_sharp_one(problem):
    latent = torch.linspace(-3, 3, 64, dtype=torch.float64).reshape(1, 1, 8, 8)
    sharp = problem.coefficient(latent)
    torch.testing.assert_close(problem.smoothed(latent, 1e-3), sharp, atol=1e-10, rtol=0)
    if problem.prior.phases is not None:
        low, high = problem.prior.phases
        gap = [distance(problem.smoothed(latent, width), sharp) for width in (1.0, 0.3, 0.1)]
        assert gap[0] > gap[1] > gap[2] > 1e-3
        wide = problem.smoothed(latent, 1.0).flatten()
        assert low < float(wide[0]) and float(wide[-1]) < high and bool((wide.diff() > 0).all())


@each_problem
def test_its_flags_are_true(problem):
    """A linear PDE has solutions linear in the coefficient, an affine prior coefficients linear in
    the latent field."""
    pde = problem.physics
    grid, (x, y) = grid_of(pde, 12), problem.latent.white(2, seeded())[:, None]
    both = 2 * x - 3 * y
    latent = [problem.latent.square_root(xi, grid) for xi in (x, y, both)]
    a, b, mixed = (problem.coefficient(g) for g in latent)
    assert (distance(2 * a - 3 * b, mixed) < 1e-10) == problem.affine
    u, v, mixed = (problem.state(xi, grid) for xi in (x, y, both))
    linear = all(distance(2 * u[:, c] - 3 * v[:, c], mixed[:, c]) < 1e-10 for c in (0, 1))
    assert linear == problem.linear
    u, v, mixed = (pde.respond(c) for c in (a, b, 2 * a + 3 * b))
    assert (distance(2 * u + 3 * v, mixed) < 1e-10) == pde.linear


@each_problem
def test_its_coefficients_stay_within_their_range(problem):
    pde = problem.physics
    state = problem.sample(3, grid_of(pde, 16), seeded())
    bounds = problem.prior.bounds
    assert torch.equal(clamped(state, bounds), state)
    assert problem.prior.positive or not pde.positive_coefficient
    if bounds is not None:
        low, high = bounds
        wild = torch.cat([2 * high - low + state[:, :1], state[:, 1:]], dim=1)
        assert float(clamped(wild, bounds)[:, 0].max()) == high
        assert torch.equal(clamped(wild, bounds)[:, 1], state[:, 1])


@each_problem
@each_size
def test_it_keeps_the_contract(problem, n):
    """As `check_pde` states it, with the digits of the package's own classes."""
    found = check_pde(problem.physics, problem.prior, grid=grid_of(problem.physics, n), seed=n)
    deviation = found.set_index("check").deviation
    assert deviation["batches do not matter"] < 1e-12
    assert deviation["solve(g a) = g solve(a)"] < 1e-8
    assert deviation["the residual vanishes"] < 1e-10
    assert deviation["known values are kept"] == deviation["solutions are finite"] == 0
    assert (deviation["it is linear"] < 1e-10) == problem.physics.linear


@each_problem
@each_size
def test_an_instance_that_takes_no_iteration_does_not_change_its_batch(problem, n):
    pde = problem.physics
    a = coefficients(problem, n, 1)
    a = torch.cat([a, torch.ones_like(a)])
    assert distance(pde.solve(a[:1])[0], pde.solve(a)[0]) < 1e-12


@each_problem
@each_size
def test_the_residual_of_a_wrong_solution_does_not_vanish(problem, n):
    pde = problem.physics
    a = coefficients(problem, n)
    u = pde.solve(a)
    scale = pde.residual(a, torch.zeros_like(u)).norm()  # of the forcing
    generator = seeded(1)
    wrong = u + 1e-3 * u.abs().max() * torch.randn(u.shape, dtype=u.dtype, generator=generator)
    assert pde.residual(a, wrong).norm() > 1e-4 * scale


@each_problem
def test_the_residual_shows_a_violated_boundary_condition(problem):
    pde = problem.physics
    a = coefficients(problem, 9, 1)
    u = pde.solve(a)
    grid = grid_of(pde, 9)
    known = pde.known_values(1, grid.points()).reshape(grid.shape)[0, 4]
    if not known.isnan():
        u[0, 0, 0, 4] = known + 0.25
        assert pde.residual(a, u)[0, 0, 0, 4] == 0.25


@each_problem
@each_size
def test_solve_commutes_with_the_symmetries(problem, n):
    pde = problem.physics
    grid, generator = grid_of(pde, n), seeded(3)
    a = coefficients(problem, n)
    u = pde.solve(a)
    assert problem.symmetries == pde.symmetries
    for g in [*pde.symmetries, *(pde.symmetries.sample(generator) for _ in range(6))]:
        assert distance(pde.solve(g(a, grid)), g(u, grid)) < 1e-8
        # The fields themselves are not symmetric, so that the test can fail
        if g != Symmetry(kinds=g.kinds):
            assert distance(g(a, grid), a) > 0.1
            assert distance(g(u, grid), u) > 1e-2


@each_problem
def test_float32(problem):
    pde = problem.physics
    a = coefficients(problem, 33)
    u = pde.solve(a.float())
    assert u.dtype == torch.float32
    assert distance(u.double(), pde.solve(a.float().double())) < 2e-5


@each_problem
def test_bad_fields_and_grids(problem):
    pde = problem.physics
    kind = "vertex" if pde.grid(8).periodic else "periodic"
    with pytest.raises(InputError, match=kind):
        problem.sample_coefficient(1, Grid(8, kind=kind))
    with pytest.raises(InputError, match="must be on its domain"):
        problem.sample_coefficient(1, replace(pde.grid(8), extent=(0.0, 2.0, 0.0, 1.0)))
    with pytest.raises(InputError, match="must be on its domain"):
        problem.sample_coefficient(1, replace(pde.grid(8), unit="mm"))

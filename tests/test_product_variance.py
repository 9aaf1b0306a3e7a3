"""The closed form of a solution's variance before readings is the sum over all functions."""

import dataclasses

import pytest
import torch
from helpers import seeded

from pdeinv import GaussianField, Grid, SpectralField
from pdeinv.datasets import Helmholtz, Poisson, Problem
from pdeinv.datasets.features import Leakage
from pdeinv.datasets.sides import NoFlux, Sides, Value
from pdeinv.grid import Domain
from pdeinv.solvers import prior_moments as moments
from pdeinv.solvers.prior_moments import prior_moments
from pdeinv.solvers.product_variance import product_variance

RECTANGLE = Domain((10.0, 310.0, 0.0, 120.0), "m")
MIXED = Sides(left=NoFlux(), top=NoFlux(), right=Value(3.0))
ROUGH = SpectralField("neumann", alpha=1.5, tau=9.0)
PROBLEMS = {
    "published": Problem(Poisson()),
    "waves": Problem(Helmholtz()),
    "above a resonance": Problem(Helmholtz(k=11.0), ROUGH),
    "exact waves": Problem(Poisson(discretisation="spectral"), ROUGH),
    "mixed sides": Problem(Poisson(domain=RECTANGLE, boundary=MIXED, source=2.0)),
    "turned": Problem(
        Poisson(domain=RECTANGLE, boundary=MIXED),
        GaussianField(mean=4.0, std=2.0, length=40.0, anisotropy=0.4, angle=30.0),
    ),
}


def by_functions(problem, grid):
    """The variance of the solution, as the sum of squares of the images of all unit tables."""
    latent = problem.latent
    tables = torch.eye(latent.size, dtype=torch.float64).reshape(-1, *latent.shape)
    origin = problem.state(latent.origin(), grid)
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for part in tables.split(500):
        total += (problem.state(part, grid) - origin)[:, 1].square().sum(dim=0)
    return total


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_it_is_the_sum_over_all_functions(problem):
    grid = problem.physics.grid(9)
    found, wanted = product_variance(problem, grid), by_functions(problem, grid)
    assert float((found - wanted).abs().max()) <= 1e-9 * float(wanted.max())
    both = prior_moments(problem, grid, False, torch.device("cpu"))
    assert torch.allclose(both.variance[1], wanted, rtol=1e-9, atol=1e-9 * float(wanted.max()))


def test_there_is_none_where_waves_do_not_solve_the_equation():
    leak = Leakage([[20.0, 20.0], [90.0, 80.0]], 1.0, 2.0)
    part = Domain(RECTANGLE.extent, "m", active=[(10, 0), (310, 0), (310, 120), (150, 60)])
    for given in ({"domain": RECTANGLE, "features": (leak,)}, {"domain": part}):
        problem = Problem(Poisson(**given), GaussianField(std=1.0, length=40.0))
        grid = problem.physics.grid(9)
        assert product_variance(problem, grid) is None
        found = prior_moments(problem, grid, False, torch.device("cpu")).variance[1]
        wanted = by_functions(problem, grid)
        active = wanted > 1e-9 * wanted.max()
        assert torch.allclose(found[active], wanted[active], rtol=1e-6)


class Halved(Poisson):
    """A class of a user that solves another equation than the one it inherits."""

    name = "halved"

    def solve(self, a):
        return super().solve(a) / 2


def test_a_class_that_solves_another_equation_has_the_variance_of_its_own_solution():
    problem, grid = Problem(Halved()), Grid(9)
    found = prior_moments(problem, grid, False, torch.device("cpu")).variance[1]
    assert torch.allclose(found, by_functions(problem, grid), rtol=1e-8)
    assert not torch.allclose(found, product_variance(problem, grid), rtol=0.1)


def test_it_needs_no_solve_for_each_node(monkeypatch):
    asked, at = [], moments._variance_at

    def counted(problem, grid, places, *given):
        asked.append(len(places))
        return at(problem, grid, places, *given)

    monkeypatch.setattr(moments, "_variance_at", counted)
    prior = GaussianField(mean=4.0, std=1.5, length=40.0)
    problem = dataclasses.replace(PROBLEMS["turned"], prior=prior)
    grid = problem.physics.grid(20)
    found = prior_moments(problem, grid, False, torch.device("cpu"))
    assert sum(asked) <= 5
    draws = problem.sample(400, grid, seeded())[:, 1].var(dim=0)
    inside = draws > 0.1 * draws.max()
    assert torch.allclose(draws[inside], found.variance[1][inside], rtol=0.5)

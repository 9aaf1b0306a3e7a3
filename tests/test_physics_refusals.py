"""Fields that a physics could take for one another, and what it would compute wrongly, are
refused or mended."""

import numpy as np
import pytest
import torch
from helpers import brief_searches, distance, quick_solver, seeded

from pdeinv import Field, Grid, InputError, reconstruct
from pdeinv.datasets import Darcy, NavierStokes, NoFlux, Poisson, Problem, Sides, Value, Well
from pdeinv.datasets.distributed import node_positions


def field(name, kind="scalar"):
    return Field(name, name, kind=kind)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Darcy, {"solution_field": field("permeability")}),
        (Darcy, {"solution_field": field("log_permeability")}),
        (Darcy, {"coefficient_field": field("flux_x")}),
        (Darcy, {"coefficient_field": field("solution")}),
        (Poisson, {"solution_field": field("coefficient")}),
        (Poisson, {"coefficient_field": field("q"), "solution_field": field("q")}),
    ],
)
def test_fields_of_one_name_are_refused(kind, fields):
    with pytest.raises(InputError, match="must have different names"):
        kind(**fields)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Poisson, {"coefficient_field": field("w", "pseudo-scalar")}, "must be of one kind"),
        (Poisson, {"coefficient_field": field("w", "vector-x")}, "scalar or a pseudo-scalar"),
        (Darcy, {"coefficient_field": field("a", "pseudo-scalar")}, "'a' of darcy must be a sca"),
        (Darcy, {"solution_field": field("u", "vector-y")}, "scalar or a pseudo-scalar"),
    ],
)
def test_kinds_of_fields_that_the_equation_does_not_have_are_refused(kind, fields, message):
    with pytest.raises(InputError, match=message):
        kind(**fields)


def test_the_outputs_of_one_state_are_one_pde():
    both = Darcy(outputs=("flux_x", "flux_y"))
    for outputs in (("flux_y",), ("flux_y", "flux_x"), ("flux_x", "flux_y", "flux_x")):
        assert Darcy(outputs=outputs) == both
    assert len(Darcy(outputs=("flux_y",)).symmetries) == 8


@pytest.mark.parametrize(("level", "step"), [(0.0, 1.0), (4000.0, 0.05)])
def test_a_high_level_of_the_sides_costs_the_cheap_solve_no_digits(level, step):
    sides = Sides(Value(level + step), Value(level), NoFlux(), NoFlux())
    wells = (Well(0.4, 0.6, rate=-step),)
    pde = Darcy(source=0.0, boundary=sides, wells=wells, outputs=("flux_x", "flux_y"))
    a = Problem(pde).sample_coefficient(1, pde.grid(33), seeded())
    rough, exact = (f(a)[:, 1:] for f in (pde.respond_roughly, pde.respond))
    assert distance(rough, exact) < 1e-2


def test_a_small_source_breaks_the_symmetry():
    def spot(x, y):
        return 1.0 + 500 * ((np.abs(x - 0.2102) < 0.004) & (np.abs(y - 0.3323) < 0.004))

    assert len(Poisson(source=spot).symmetries) == 1


@pytest.mark.parametrize("method", ["auto", "direct", "iterative"])
def test_what_is_no_coefficient_is_refused_and_none_is_an_empty_batch(method):
    pde, ones = Darcy(method=method), torch.ones(1, 1, 9, 9, dtype=torch.float64)
    for value in (torch.inf, torch.nan, 0.0, -1.0):
        with pytest.raises(
            InputError, match=f"must be positive and finite everywhere, got {value:.3g}"
        ):
            pde.solve(value * ones)
    for dtype in (torch.half, torch.long):
        with pytest.raises(InputError, match="must be float32 or float64"):
            pde.solve(ones.to(dtype))
    assert pde.solve(ones[:0]).shape == (0, 1, 9, 9)


@pytest.mark.parametrize(
    "pde",
    [
        Poisson(boundary=Sides(left=Value(2.0)), source=[[1.0, 2.0], [0.0, 1.0]]),
        NavierStokes(forcing=lambda x, y: np.sin(2 * np.pi * y), time=0.1),
    ],
    ids=["poisson", "navier-stokes"],
)
def test_the_first_use_may_be_inside_of_torch_func(pde):
    a = Problem(pde).sample_coefficient(
        1, pde.grid(11, 13), seeded()
    )  # sizes that no other test uses
    u, pull_back = torch.func.vjp(pde.solve, a)
    (gradient,) = pull_back(torch.ones_like(u))
    a.requires_grad_()
    (expected,) = torch.autograd.grad(pde.solve(a).sum(), a)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("kind", ["vertex", "periodic"])
def test_positions_without_tensors_are_those_of_the_grid(kind):
    grid = Grid(7, 9, (100.0, 105.0, -3.0, 0.0), kind=kind)
    assert np.array_equal(node_positions(grid), grid.points().numpy())


def test_the_logarithm_of_a_level_set_is_that_of_its_coefficient():
    table = {
        "field": ["pressure", "pressure", "pressure", "log_permeability"],
        "x": [0.3, 0.5, 0.7, 0.2],
        "y": [0.3, 0.6, 0.4, 0.2],
        "value": [0.01, 0.015, 0.012, np.log(12.0)],
        "noise_std": [0.001, 0.001, 0.001, 0.05],
    }
    with brief_searches():
        solver = quick_solver("level-set")
        result = reconstruct(table, "darcy", grid=16, solver=solver, n_samples=3)
    log = result["log_permeability_samples"]
    np.testing.assert_allclose(np.exp(log), result["permeability_samples"], rtol=1e-12)

"""docs/add-your-observation.md is true: its beams are weighted means, and a solver reads them."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import distance, vector
from readme_blocks import blocks

from pdeinv import Grid, InputError, Observation
from pdeinv.solvers import GaussNewton, Kriging

CENTRES = vector(0.35, 0.4, 0.5, 0.5, 0.62, 0.41).reshape(3, 2)
WIDTHS = vector(0.1, 0.12, 0.0)


@pytest.fixture(scope="module")
def page():
    """The names that the page's examples leave behind."""
    scope = {}
    for block in blocks("python", "docs/add-your-observation.md"):
        exec(block, scope)
    return scope


def averages(page, function, grid, order=3):
    """Return the readings of a function of (x, y) on a grid by three beams."""
    zeros = torch.zeros(3, dtype=torch.float64)
    channel = torch.zeros(3, dtype=torch.long)
    H = page["Beams"](grid, CENTRES, channel, zeros, zeros, (order,), width=WIDTHS)
    return H(function(*grid.points().T).reshape(1, 1, *grid.shape))[0]


def test_polynomials_are_averaged_in_closed_form(page):
    x, y = CENTRES.T
    found = averages(page, lambda x, y: x**3 * y + y**2, Grid(15))
    assert torch.allclose(found, x**3 * y + (3 * x * y + 1) * WIDTHS**2 + y**2, atol=1e-13)


def test_the_error_of_a_smooth_field_falls_at_order_four(page):
    def wave(x, y):
        return torch.cos(2 * x) * torch.cosh(2 * y)  # harmonic: its mean is the value in the middle

    errors = [
        float((averages(page, wave, Grid(n)) - wave(*CENTRES.T)).abs().max()) for n in (12, 23, 45)
    ]
    assert np.log2(errors[0] / errors[-1]) / 2 > 3.5 and errors[-1] < 1e-6


def test_a_beam_must_lie_in_the_domain(page):
    sensors = page["sensors"]
    with pytest.raises(InputError, match=r"beams must lie in \[0, 1\] x \[0, 1\]"):
        dataclasses.replace(sensors, width=4 * sensors.width)


def test_the_beams_are_used_by_the_solver(page):
    problem, sensors, truth = (page[name] for name in ("problem", "sensors", "truth"))
    found = page["posterior"]
    assert found.record["reduced_chi_squared"] < 1.6
    spread = [distance(t.mean().expand_as(t), t) for t in truth[0]]
    errors = [distance(m, t) for m, t in zip(found.mean, truth[0], strict=True)]
    assert errors[0] < 0.7 * spread[0] and errors[1] < 0.1 * spread[1]
    # As points, the same readings tell less
    given = {f.name: getattr(sensors, f.name) for f in dataclasses.fields(Observation) if f.init}
    mistaken = GaussNewton()(problem.physics, problem.prior, Observation(**given))
    assert distance(mistaken.mean[0], truth[0, 0]) > errors[0]
    assert page["result"]["permeability_mean"].shape == (24, 24)


def test_a_baseline_that_uses_positions_refuses_them(page):
    problem = page["problem"]
    with pytest.raises(
        InputError,
        match=r"kriging .* else than points, got 40 of 40; choose one of",
    ):
        Kriging()(problem.physics, problem.prior, page["sensors"])

"""Kriging reports what it interpolates, and the kernel that it fits."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from cases import N, truth
from helpers import (
    PAIRS,
    brief_searches,
    distance,
    observe,
    quick_prior,
    quick_solver,
    seeded,
)

from pdeinv import (
    Ensemble,
    InputWarning,
    LogNormal,
    MisfitWarning,
    Sensors,
    layouts,
    reconstruct,
)
from pdeinv.datasets import Darcy, Problem
from pdeinv.solvers import Kriging
from pdeinv.solvers.kernel_fit import centre_and_scale

POINTS = layouts.random(50, 1)
# A smooth field between -6 and -4, such as the logarithm of a permeability
LOGARITHM = np.sin(5 * POINTS[:, 0]) * np.cos(3 * POINTS[:, 1]) - 5


def table(values, field="permeability", noise_std=0.01):
    x, y = POINTS.T
    return pd.DataFrame({"field": field, "x": x, "y": y, "value": values, "noise_std": noise_std})


def krige(sensors, pde="darcy"):
    return reconstruct(sensors, pde, grid=N, solver="kriging", n_samples=3)


def kernels(result):
    return json.loads(result.attrs["kernels"])


def test_a_field_outside_the_range_of_the_pde_is_reported_as_it_was_kriged():
    with pytest.warns(
        InputWarning,
        match=f"{N * N} of {N * N} nodes of the kriged permeability .* check the units",
    ) as caught:
        result = krige(table(LOGARITHM))
    assert [w.filename for w in caught] == [__file__] * len(caught)
    mean = result.permeability_mean
    x, y = np.meshgrid(mean.x, mean.y)
    assert float(abs(mean - (np.sin(5 * x) * np.cos(3 * y) - 5)).max()) < 0.5
    assert float(result.permeability_samples.max()) < 3  # the lower bound
    assert result.attrs["nodes_clamped"] == N * N
    # The pressure is that of the bound
    bound = Darcy().solve(torch.full((1, 1, N, N), 3.0, dtype=torch.float64))[0, 0]
    assert np.allclose(result.pressure_mean, bound)


def test_an_overshoot_is_counted_and_names_another_cause():
    sensors = Sensors.observe(truth("darcy").permeability, POINTS, order=0)
    with pytest.warns(InputWarning, match="kriged permeability .* interpolation overshoots"):
        result = krige(sensors)
    outside = (result.permeability_mean < 3) | (result.permeability_mean > 12)
    assert result.attrs["nodes_clamped"] == int(outside.sum()) > 0


def test_a_coefficient_that_is_not_solved_for_is_not_clamped(recwarn):
    both = pd.concat([table(LOGARITHM), table(1e-3 * LOGARITHM, "pressure")], ignore_index=True)
    result = krige(both)
    assert result.attrs["nodes_clamped"] == 0 and float(result.permeability_mean.max()) < 3
    assert not [w for w in recwarn if "outside" in str(w.message)]


def test_the_fitted_kernel_of_each_field_is_in_the_result():
    result = krige(table(LOGARITHM, "source"), "poisson")
    (name, kernel), *others = kernels(result).items()
    assert name == "source" and not others and kernel["units"] == "1"
    assert kernel["smoothness"] in (0.5, 1.5, 2.5) and kernel["at_bounds"] == []
    assert 0.1 < kernel["length"] < 3 and 0.3 < kernel["standard_deviation"] < 10
    larger = kernels(krige(table(1e3 * LOGARITHM, "source", 10.0), "poisson"))["source"]
    assert larger["standard_deviation"] == pytest.approx(1e3 * kernel["standard_deviation"], 1e-3)
    assert larger["length"] == pytest.approx(kernel["length"], rel=1e-3)


@pytest.mark.parametrize(
    ("values", "bound"),
    [
        (np.full(50, 7.0), "largest correlation length"),
        (np.where(np.arange(50) % 2, 1.0, -1.0), "smallest correlation length"),
    ],
    ids=["a constant field", "readings without correlation"],
)
def test_a_fit_at_a_bound_is_one_warning(values, bound):
    both = pd.concat([table(values, f, 0.0) for f in ("source", "potential")], ignore_index=True)
    with pytest.warns(InputWarning, match=f"{bound} allowed for source, .* and .* add") as caught:
        result = krige(both, "poisson")
    assert len(caught) == 1 and caught[0].filename == __file__
    assert all(bound in kernel["at_bounds"] for kernel in kernels(result).values())


@pytest.mark.parametrize("noise", [0.0, 0.01, 5.0])
def test_readings_of_equal_noise_have_equal_weights(noise):
    centre, scale = centre_and_scale(LOGARITHM, np.full(50, noise))
    assert centre == LOGARITHM.mean() and scale == max(LOGARITHM.std(), noise)


@pytest.mark.parametrize("huge", [1e9, 1e90])
@pytest.mark.parametrize("least", [0.0, 0.01])
@pytest.mark.parametrize("good", [1, 2, 49])
def test_a_value_with_huge_noise_has_no_part_in_centre_and_scale(good, least, huge):
    noise = np.where(np.arange(50) < good, least, huge)
    values = np.where(np.arange(50) < good, LOGARITHM, 2 * huge * (LOGARITHM + 5))
    centre, scale = centre_and_scale(values, noise)
    assert centre == pytest.approx(LOGARITHM[:good].mean(), rel=1e-3)
    assert scale < 2 * max(LOGARITHM[:good].std(), 0.01)


@pytest.mark.parametrize("solver", [s for s, p in PAIRS if p == "darcy"])
def test_no_solver_brings_a_coefficient_in_other_units_to_a_bound_in_silence(solver):
    settings = {"solver": quick_solver(solver), "prior": quick_prior(solver, "darcy")}
    told = pytest.warns((InputWarning, MisfitWarning), match="check (the )?units|has not met")
    with brief_searches(), told:
        reconstruct(table(LOGARITHM), "darcy", grid=N, **settings)


def test_an_ensemble_with_a_wider_range_than_the_pde_keeps_it():
    wide = Problem.named("darcy", low=1.0, high=40.0)
    states = wide.sample(200, Darcy().grid(N), torch.Generator().manual_seed(3))
    sensors = table(np.full(50, 40.0))
    result = reconstruct(
        sensors, "darcy", grid=N, solver="optimal-interpolation", prior=Ensemble(states)
    )
    assert float(result.permeability_mean.max()) > 30
    assert float(result.permeability_samples.max()) <= 40


def test_readings_of_the_logarithm_make_the_coefficient_and_the_solution():
    """The kriged logarithm is log-normal node by node, and its samples are solved."""
    pde = Darcy().reading(["log_permeability"])
    problem, grid = Problem(pde, LogNormal(1.0, 1.0, 0.5)), pde.grid(12)
    state = problem.sample(1, grid, seeded(1))
    points = layouts.random(40, 2)
    _, o = observe(problem, grid, points, 2, noise=0.01, state=state)
    found = Kriging()(pde, problem.prior, o, n_samples=20, generator=seeded())
    (a, u, log), std = found.mean, found.std[2]
    assert torch.allclose(a, (log + std**2 / 2).exp())
    assert torch.allclose(found.samples[:, 0].log(), found.samples[:, 2])
    assert distance(u, pde.solve(a[None, None])[0, 0]) < 1e-6
    assert distance(a, state[0, 0]) < 0.3

"""Readings that are kept in a table without weight, by a very large noise: the answer is that
without them."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from cases import N, truth
from helpers import PAIRS, brief_searches, quick_prior, quick_solver

from pdeinv import InputError, InputWarning, MisfitWarning, Sensors, layouts, reconstruct
from pdeinv.datasets import PDES, pde_by_name
from pdeinv.solvers import SOLVERS

each_solver = pytest.mark.parametrize("solver", SOLVERS)
# Whose ensemble is drawn otherwise for another number of readings, or whose chains part where sums
# have another last bit: relative distance of the mean
RANDOM = {"level-set": 0.02, "object-chains": 0.1}


def pde_for(solver):
    accepted = [pde_by_name(p) for s, p in PAIRS if s == solver]
    return min(accepted, key=lambda pde: (not pde.linear, pde.waves, pde.name))


@cache
def good(name):
    """Sixty readings of the solution, with 1 % noise."""
    u = truth(name)[PDES[name].solution_field.name]
    noise = 0.01 * float(u.std())
    return Sensors.observe(u, layouts.random(60, 1), noise_std=noise, seed=1).table


def weightless(name, noise, value, count=1):
    points = layouts.random(count, 5)
    field = PDES[name].solution_field.name
    return pd.DataFrame(
        {"field": field, "x": points[:, 0], "y": points[:, 1], "value": value, "noise_std": noise}
    )


def answer(solver, pde, table):
    with warnings.catch_warnings(), brief_searches():
        warnings.simplefilter("ignore", MisfitWarning)  # two stages meet nothing
        warnings.simplefilter("ignore", InputWarning)
        return reconstruct(
            table,
            pde,
            grid=N,
            solver=quick_solver(solver),
            prior=quick_prior(solver, pde.name),
            n_samples=4,
        )


@cache
def without(solver):
    return answer(solver, pde_for(solver), good(pde_for(solver).name))


def compare(solver, found):
    """Return how far the mean of the solution is, and by what factor its spread and misfit
    differ."""
    before, name = without(solver), pde_for(solver).solution_field.name
    for field in pde_for(solver).fields:
        for what in ("mean", "std", "samples"):
            assert np.isfinite(found[f"{field.name}_{what}"]).all()
    mean, std = f"{name}_mean", f"{name}_std"
    distance = np.linalg.norm(found[mean] - before[mean]) / np.linalg.norm(before[mean])
    spread = np.linalg.norm(found[std]) / np.linalg.norm(before[std])
    chi2 = found.attrs["reduced_chi_squared"] / before.attrs["reduced_chi_squared"]
    return float(distance), float(spread), chi2


# Of a value as large as the noise, or of zero; zero with the least noise is tested below
@pytest.mark.parametrize(("noise", "value"), [(1e4, 1.0), (1e12, 0.0), (1e29, 1.0)])
@each_solver
def test_a_reading_of_huge_noise_changes_nothing(solver, noise, value):
    name = pde_for(solver).name
    table = pd.concat([good(name), weightless(name, noise, value * noise)], ignore_index=True)
    distance, spread, chi2 = compare(solver, answer(solver, pde_for(solver), table))
    assert distance < RANDOM.get(solver, 2e-3)
    assert 0.5 < spread < 2 and 0.9 < chi2 < 1.1


@each_solver
def test_many_readings_of_huge_noise_change_nothing(solver):
    name = pde_for(solver).name
    table = pd.concat([good(name), weightless(name, 1e4, 0.0, 300)], ignore_index=True)
    distance, spread, chi2 = compare(solver, answer(solver, pde_for(solver), table))
    assert distance < RANDOM.get(solver, 2e-3)
    assert 0.5 < spread < 2 and 0.9 < chi2 < 1.1


@each_solver
def test_a_field_whose_readings_all_have_huge_noise_is_not_determined(solver):
    pde = pde_for(solver)
    loose = good(pde.name).assign(noise_std=1e6)
    found, again = (answer(solver, pde, table) for table in (loose, loose.assign(value=0.0)))
    for field in pde.fields:
        mean, std = found[f"{field.name}_mean"], found[f"{field.name}_std"]
        assert np.isfinite(mean).all() and np.isfinite(std).all()
        # The values do not matter: any difference is within the uncertainty
        assert (abs(mean - again[f"{field.name}_mean"]) <= 1e-2 * float(std.max())).all()
    if solver != "kriging":  # which has no prior of a field but its readings
        typical = float(truth(pde.name)[pde.solution_field.name].std())
        assert 0.1 * typical < float(found[f"{pde.solution_field.name}_std"].max()) < 10 * typical
    assert found.attrs["reduced_chi_squared"] < 1e-3


@pytest.mark.parametrize("column", ["value", "noise_std"])
def test_a_number_whose_square_overflows_is_refused(column):
    table = good("poisson").copy()
    table.loc[7, column] = 1e200
    with pytest.raises(InputError, match=rf"row 7: {column} must be below 1e\+30 in size, got"):
        reconstruct(table, "poisson", grid=N)

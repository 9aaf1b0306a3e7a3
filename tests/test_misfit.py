"""What a result says of a reduced chi-squared far from 1, and of what it took as known."""

import dataclasses
import math
import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from cases import N, readings, run
from helpers import brief_searches, gaussian_prior, observe, seeded, with_modes
from scipy.stats import chi2

from pdeinv import Ensemble, GaussianField, MisfitWarning, Posterior, reconstruct
from pdeinv.datasets import PDES, NavierStokes, Poisson, Problem, pde_by_name
from pdeinv.solvers import SOLVERS, DiffusionPDE, GaussianSolver, GaussNewton, Solver
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.misfit import MISFIT_TESTS, misfit_limits


@dataclasses.dataclass(frozen=True)
class Off(Solver):
    """Returns zeros and the chi-squared that it is given."""

    chi2: float = 1.0
    name: ClassVar[str] = "off"

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        zeros = torch.zeros(n_samples, 2, *observation.grid.shape, dtype=torch.float64)
        record = {"reduced_chi_squared": self.chi2, "solver_calls": 0}
        return Posterior(pde.fields, observation.grid, zeros[0], zeros[0], zeros, record)


class Sampler(Off):
    misfit = "none"


class Fitter(Off):
    misfit_remedy = "use a larger ensemble"


class Exact(Off):
    misfit = "two-sided"


TABLE = pd.DataFrame({"field": "solution", "x": [0.5], "y": [0.5], "value": [1e-3]})
MANY = pd.DataFrame(
    {"field": "solution", "x": np.linspace(0.1, 0.9, 60), "y": 0.3, "value": 1e-3, "noise_std": 1.0}
)


def test_a_sampler_that_stopped_early_does_not_blame_the_sensors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisfitWarning)
        reconstruct(TABLE, "poisson", grid=N, solver=Sampler(5.0))
    with pytest.warns(MisfitWarning, match="the sensors do not fit poisson: .* check units"):
        reconstruct(TABLE, "poisson", grid=N, solver=Off(50.0))
    with pytest.warns(MisfitWarning, match="off solver has not met the readings: .* use more") as w:
        reconstruct(TABLE, "poisson", grid=N, solver=Sampler(50.0))
    assert "check units" not in str(w[0].message)
    with pytest.warns(MisfitWarning, match="or the off solver has .* check units.* use a larger"):
        reconstruct(TABLE, "poisson", grid=N, solver=Fitter(50.0))


def test_each_solver_states_on_which_side_its_misfit_is_evidence():
    kinds = {n: s.misfit for n, s in SOLVERS.items()}
    assert {n for n, kind in kinds.items() if kind == "two-sided"} == {"gaussian", "gauss-newton"}
    own = {n for n, s in SOLVERS.items() if issubclass(s, DiffusionSolver) and n != "moment"}
    assert {n for n, kind in kinds.items() if kind == "none"} == own
    assert set(kinds.values()) == set(MISFIT_TESTS)
    for kind, words in MISFIT_TESTS.items():
        assert ("cannot tell overstated noise" in words) != (kind == "two-sided")
    either = {n for n, s in SOLVERS.items() if s.misfit_remedy}
    assert either == {"ensemble-smoother", "gauss-newton", "level-set", "moment", "object-chains"}
    assert all("in Python" in SOLVERS[n].misfit_remedy for n in either)
    with pytest.warns(MisfitWarning, match="the diffusionpde solver has not met the readings"):
        prior = gaussian_prior("poisson", N, 40)
        solver = DiffusionPDE(steps=2)
        reconstruct(TABLE, "poisson", grid=N, solver=solver, prior=prior, n_samples=2)


@pytest.mark.parametrize("solver", [Off(1e-3), Sampler(1e-3)])
def test_a_solver_that_cannot_tell_does_not_warn_of_a_small_misfit(solver):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisfitWarning)
        reconstruct(MANY, "poisson", grid=N, solver=solver)
    with pytest.warns(MisfitWarning, match="fit poisson too closely"):
        reconstruct(MANY, "poisson", grid=N, solver=Exact(1e-3))


# Gaussian and Gauss–Newton


def fit(truth, told, m=60, noise=0.01, channel=1, understated=1.0):
    """Return a state of one problem, and its reconstruction under another."""
    points = torch.rand(m, 2, dtype=torch.float64, generator=seeded(4))
    state, o = observe(truth, truth.physics.grid(N), points, channel, noise=noise, seed=2)
    table = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "value": o.values})
    table["field"] = told.physics.fields[channel].name
    table["noise_std"] = o.noise_std.numpy() / understated
    return state[0], reconstruct(table, problem=told, grid=N, n_samples=2)


@pytest.mark.parametrize(
    ("truth", "told"),
    [
        (Problem.named(name, alpha=alpha), Problem.named(name))
        for name, alpha in (("poisson", 3.0), ("helmholtz", 3.0), ("navier-stokes", 3.5))
    ],
    ids=lambda problem: problem.physics.name,
)
def test_a_prior_that_is_too_rough_is_told_by_a_small_chi_squared(truth, told):
    message = "too closely: [^;]*; the reported spread likely overstates the error, since .*prior"
    with pytest.warns(MisfitWarning, match=message) as caught:
        state, rough = fit(truth, told)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisfitWarning)
        _, right = fit(truth, truth)
    name = told.physics.coefficient_field.name
    errors = [float(abs(r[f"{name}_mean"] - state[0].numpy()).mean()) for r in (rough, right)]
    assert errors[0] > 1.1 * errors[1]
    inside = abs(rough[f"{name}_mean"] - state[0].numpy()) <= 1.645 * rough[f"{name}_std"]
    assert float(inside.mean()) > 0.97


@pytest.mark.parametrize("name", ["poisson", "navier-stokes"])
def test_both_an_overstated_and_an_understated_noise_are_told(name):
    problem = Problem.named(name)
    with pytest.warns(
        MisfitWarning, match="too closely: .*, since the .* times their noise_std"
    ) as w:
        fit(problem, problem, noise=0.2, understated=0.1)
    assert str(w[0].message).count("noise_std") == 1
    with pytest.warns(MisfitWarning, match="do not fit"), brief_searches():
        fit(problem, problem, noise=0.2, understated=10.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisfitWarning)
        fit(problem, problem, noise=0.2)


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("channel", [0, 1])
def test_draws_of_the_prior_raise_no_alarm(channel, noise):
    pde, values = with_modes(Poisson(), 16), []
    for i in range(40):
        points = torch.rand(30, 2, dtype=torch.float64, generator=seeded(i))
        _, o = observe(pde, pde.grid(N), points, channel, noise=noise, seed=i)
        record = GaussianSolver()(pde, None, o, n_samples=1, generator=seeded()).record
        low, high = misfit_limits(record["degrees_of_freedom"])
        assert low < record["reduced_chi_squared"] < high
        values.append(record["reduced_chi_squared"] * record["degrees_of_freedom"])
    low, high = chi2.ppf([1e-4, 1 - 1e-4], 40 * record["degrees_of_freedom"])
    assert low < sum(values) < high


@pytest.mark.parametrize("solver", [GaussianSolver(), GaussNewton(ensemble=4)])
def test_readings_that_state_nothing_new_have_no_degree_of_freedom(solver):
    pde = with_modes(Poisson(), 16)
    points = torch.rand(20, 2, dtype=torch.float64, generator=seeded(1))
    corner = torch.tensor([[0.0, 0.3], [1.0, 1.0]], dtype=torch.float64)  # where u = 0
    _, o = observe(pde, pde.grid(N), torch.cat([points, points, points, corner]), 1)
    record = solver(pde, None, o, n_samples=1, generator=seeded()).record
    assert record["degrees_of_freedom"] == pytest.approx(20, abs=0.5)
    assert 0.3 < record["reduced_chi_squared"] < 2


def test_the_limits_are_those_of_the_chi_squared_and_leave_small_deviations_alone():
    low, high = misfit_limits(12.0)
    assert chi2.cdf(12 * low, 12) == pytest.approx(1e-4)
    assert chi2.sf(12 * high, 12) == pytest.approx(1e-4)
    assert misfit_limits(5000.0) == (0.7, 2.0)
    assert misfit_limits(0.0)[0] == 0.0


# What it took as known


@pytest.mark.parametrize("name", PDES)
def test_the_result_states_the_assumed_numbers(name):
    pde = pde_by_name(name)
    stated = run("optimal-interpolation", name).attrs["assumed"]
    assert stated.startswith(f"{name}, {pde.equation}") and stated.endswith("for each reading")
    assert pde.default_prior.phrase(pde.domain) in stated
    for parameter, value in pde.parameters.items():
        if not isinstance(value, int | float | str):
            continue
        words = f"{parameter} {value}" if isinstance(value, str) else f"{parameter} {value:g}"
        # Of the scheme, not of the problem
        assert (words in stated) == (parameter not in pde.numerical_parameters)


def test_a_changed_parameter_and_a_given_prior_are_stated():
    table = readings("navier-stokes", "both, noisy")
    pde = NavierStokes(viscosity=0.02, forcing=0.0, time=0.1)
    prior = Ensemble(Problem(pde).sample(20, pde.grid(N), seeded()))
    solver = "optimal-interpolation"
    stated = reconstruct(table, pde, grid=N, solver=solver, prior=prior).attrs["assumed"]
    assert "= ν Δw, periodic, with viscosity 0.02, time 0.1;" in stated
    assert "prior: an ensemble of 20 members;" in stated


def test_kriging_states_that_it_does_not_use_the_prior():
    stated = run("kriging", "poisson").attrs["assumed"]
    assert "prior: of each field by itself, with a kernel fitted to its readings;" in stated


@pytest.mark.filterwarnings("ignore::pdeinv.MisfitWarning")  # of readings that are the same
@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (0.0, "noise: none, every reading is exact"),
        (0.1, "noise: stated for each reading"),
        ([0.1, 0.0], "noise: stated for 1 of 2 readings, the others exact"),
    ],
)
def test_the_noise_is_stated_in_words(noise, words):
    table = pd.concat([TABLE, TABLE.assign(x=0.3)], ignore_index=True).assign(noise_std=noise)
    assert reconstruct(table, "poisson", grid=N).attrs["assumed"].endswith(words)


@pytest.mark.filterwarnings("ignore::pdeinv.MisfitWarning")
@pytest.mark.parametrize("solver", ["gaussian", "gauss-newton"])
def test_a_flat_mean_fits_readings_of_any_level(solver):
    """Ordinary kriging is indifferent to the level, and so is its chi-squared."""
    places = np.linspace(0.05, 0.95, 10)
    waves = 0.05 * np.cos(7 * places)
    table = {"field": "source", "x": places, "y": places[::-1], "noise_std": 0.05}
    prior = GaussianField(0.0, 0.1, 0.2, mean_std=math.inf)
    near, far = (
        reconstruct(
            pd.DataFrame({**table, "value": level + waves}),
            Poisson(),
            prior=prior,
            grid=16,
            solver=solver,
            n_samples=2,
        )
        for level in (0.0, 3000.0)
    )
    assert float(abs(far.source_mean - 3000 - near.source_mean).max()) < 1e-3
    low, high = (found.attrs["reduced_chi_squared"] for found in (near, far))
    assert high == pytest.approx(low, rel=1e-3)


class Unmoved(Poisson):
    """Its solution does not depend on the source."""

    def solve(self, a):
        return 1.0 + 0.0 * a


@pytest.mark.parametrize("solver", ["gaussian", "gauss-newton", "ensemble-smoother"])
@pytest.mark.parametrize("factor", [1.0, 0.999])
def test_a_solution_that_the_coefficient_does_not_move_is_judged_by_its_noise(solver, factor):
    table = MANY.assign(field="potential", value=factor, noise_std=1e-5)
    prior = GaussianField(0.0, 1.0, 0.3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = reconstruct(table, Unmoved(), prior=prior, grid=N, solver=solver)
    expected = ((factor - 1) / 1e-5) ** 2
    assert found.attrs["reduced_chi_squared"] == pytest.approx(expected, rel=0.01, abs=1e-6)
    assert (factor < 1) == any("do not fit" in str(w.message) for w in caught)

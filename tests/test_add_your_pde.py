"""docs/add-your-pde.md is true: its class, in one file, goes from data to a learned prior."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import distance, run_command, seeded
from readme_blocks import blocks

from pdeinv import GaussianField, Problem, Sensors, reconstruct
from pdeinv.datasets import PDES, pde_by_name

PAGE = "docs/add-your-pde.md"
CLASSES, OBSERVE = blocks("python", PAGE)
TEST, USE = blocks("sh", PAGE)
FIELDS = ("initial_composition", "composition")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The folder in which all commands of the page ran, in their order."""
    folder, before = tmp_path_factory.mktemp("page"), dict(PDES)
    (folder / "allen_cahn.py").write_text(CLASSES)
    with pytest.MonkeyPatch.context() as moved:
        moved.chdir(folder)
        run_lines(TEST)
        scope = {}
        exec(OBSERVE, scope)
        scope["truth"].load().to_netcdf("truth.nc")
        run_lines(USE)
    assert before == PDES
    return folder


def run_lines(commands):
    for line in commands.splitlines():
        program, *arguments = line.split()
        assert program == "pdeinv"
        found = run_command(*arguments)
        assert found.exit_code == 0, found.output


@pytest.fixture(scope="module")
def mixture(page):
    return pde_by_name(f"{page}/allen_cahn.py:Mixture")


def errors(result, truth):
    """Return the relative errors of the means of both fields."""
    return [
        distance(*map(torch.tensor, (result[f"{f}_mean"].values, truth[f].values))) for f in FIELDS
    ]


@pytest.mark.parametrize(("name", "solver"), [("auto", "gauss-newton"), ("moment", "moment")])
def test_its_commands_find_the_truth(page, name, solver):
    with (
        xr.open_dataset(page / f"{name}.nc") as result,
        xr.open_dataset(page / "truth.nc") as truth,
    ):
        assert result.attrs["solver"] == solver
        assert result.attrs["pde_source"] == "allen_cahn.py:Mixture"
        coefficient, solution = errors(result, truth)
        assert coefficient < 0.45 and solution < 0.15
        inside = abs(result["composition_mean"] - truth["composition"])
        assert float((inside < 3 * result["composition_std"]).mean()) > 0.9


def test_solve_alone_is_enough(page):
    table = Sensors.read(page / "sensors.csv").table.assign(field="solution")
    prior = GaussianField(0.0, 0.4, length=0.3)
    result = reconstruct(
        table, f"{page}/allen_cahn.py:AllenCahn", prior=prior, grid=24, n_samples=2
    )
    assert result.attrs["solver"] == "gauss-newton" and result.attrs["pde"] == "allen-cahn"
    with xr.open_dataset(page / "truth.nc") as truth:
        found = torch.tensor(result["solution_mean"].values)
        assert distance(found, torch.tensor(truth["composition"].values)) < 0.2


def test_it_goes_into_a_problem_file(page, mixture):
    text = 'format = 1\n[physics]\npde = "allen_cahn.py:Mixture"\nrate = 3.0\n'
    (page / "mixture.toml").write_text(text)
    problem = Problem.load(page / "mixture.toml")
    assert problem.physics.parameters == replace(mixture, rate=3.0).parameters
    assert problem.prior == mixture.default_prior


def with_steps(pde, steps):
    """Return the PDE with another number of time steps, which is no parameter of it."""
    return type("Other", (type(pde),), {"steps": steps})(**pde.parameters)


def test_the_splitting_is_of_order_two(mixture):
    a = Problem(mixture).sample(2, mixture.grid(20, 28), seeded())[:, :1]
    fine = with_steps(mixture, 512).solve(a)
    found = [distance(with_steps(mixture, steps).solve(a), fine) for steps in (4, 8, 16)]
    rates = np.log2(np.divide(found[:-1], found[1:]))
    assert rates == pytest.approx([2, 2], abs=0.1) and found[1] < 1e-3


def test_without_a_reaction_and_without_diffusion_it_is_the_closed_form(mixture):
    grid = mixture.grid(17)
    x, y = grid.points().T
    a = (0.3 + 0.2 * torch.cos(2 * torch.pi * x) * torch.cos(torch.pi * y)).reshape(1, 1, 17, 17)
    heat = replace(mixture, rate=1e-9).solve(a)
    decay = np.exp(-5 * np.pi**2 * mixture.diffusivity * mixture.end)
    torch.testing.assert_close(heat, 0.3 + decay * (a - 0.3))
    growth = replace(mixture, diffusivity=1e-12).solve(a)
    expected = a / (a**2 + (1 - a**2) * np.exp(-2 * mixture.rate * mixture.end)).sqrt()
    torch.testing.assert_close(growth, expected)


def test_a_group_element_of_its_symmetries_commutes_with_it(mixture):
    grid = mixture.grid(16)
    a = Problem(mixture).sample(1, grid, seeded())[:, :1]
    assert len(tuple(mixture.symmetries)) == 8
    for g in mixture.symmetries:
        torch.testing.assert_close(mixture.solve(g(a, grid)), g(mixture.solve(a), grid))

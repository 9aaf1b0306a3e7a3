"""The example problems: their files, their sensors, and the commands that take them."""

import fnmatch
import math
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import ROOT, contents
from matplotlib.image import imread
from scipy.stats import chi2

from pdeinv import GaussianField, Problem
from pdeinv.datasets import Darcy, NoFlux, open_dataset, problem_of
from pdeinv.observation import Observation
from pdeinv.problems import EXAMPLES, example_by_name
from pdeinv.problems.loading import tomllib
from pdeinv.solvers import GaussianSolver, GaussNewton, LevelSet, selection

each_example = pytest.mark.parametrize("name", EXAMPLES)

SMALL = """
format = 1
[domain]
extent = [0, 20, 0, 10]
unit = "m"
[physics]
pde = "poisson"
[boundary]
left = {value = 1}
right = "no flux"
bottom = "no flux"
top = "no flux"
[prior]
kind = "gaussian-field"
mean = 0.5
std = 0.1
length = 4
[grid]
nx = 33
ny = 17
"""


@pytest.fixture
def small(folder):
    Path("small.toml").write_text(SMALL)
    Path("small.csv").write_text("field,x,y,value,noise_std\npotential,15,5,-92,2\n")
    return Problem.load("small.toml")


@pytest.fixture(scope="module")
def truths():
    return {name: example.truth() for name, example in EXAMPLES.items()}


def test_the_aquifer_is_the_one_that_is_recorded():
    problem = example_by_name("aquifer").problem
    physics = problem.physics
    assert isinstance(physics, Darcy) and problem.grid.shape == (48, 120)
    assert physics.domain.extent == (0, 3000, 0, 1200) and physics.domain.unit == "m"
    assert [side.phrase("h") for _, side in physics.boundary.items()][:2] == ["h = 52", "h = 50"]
    assert physics.boundary.bottom == physics.boundary.top == NoFlux()
    assert len(physics.wells) == 2 and all(well.rate < 0 for well in physics.wells)
    assert (problem.prior.log_std, problem.prior.length) == (1.5, 400)
    # Heads fall by a few decimetres near the wells of a uniform aquifer
    uniform = torch.full((1, 1, *problem.grid.shape), problem.prior.median, dtype=torch.float64)
    rest = Darcy(**{**physics.parameters, "wells": ()})
    fall = float((rest.solve(uniform) - physics.solve(uniform)).max())
    assert 0.2 < fall < 1.0


@each_example
def test_every_line_of_an_example_is_explained(name):
    for block in EXAMPLES[name].text.split("\n\n"):
        if "=" in block and not block.startswith(("#", "[[well]]")):
            assert "#" in block, block
    assert EXAMPLES[name].problem.physics.domain.lengths[0] > 1.4 * min(
        EXAMPLES[name].problem.physics.domain.lengths
    )


@each_example
def test_a_truth_is_on_a_grid_twice_as_fine_and_is_read_with_the_stated_noise(name, truths):
    example, truth = EXAMPLES[name], truths[name]
    table, physics = truth.sensors.table, truth.problem.physics
    assert truth.grid.cells == tuple(2 * cells for cells in example.problem.grid.cells)
    for read in example.readings:
        rows = table[table.field == read.field]
        assert len(rows) == read.count * len(read.places)
        assert len(rows[["x", "y"]].drop_duplicates()) == read.count
        assert set(rows.noise_std) == {read.noise_std}
        times = rows.time if read.times else [None] * len(rows)
        names = rows.experiment if read.experiments else [""] * len(rows)
        places = list(zip(names, times, strict=True))
        assert set(places) == set(read.places)
        channel = torch.tensor([physics.channel(read.field, *place) for place in places])
        points = torch.as_tensor(rows[["x", "y"]].to_numpy(copy=True))
        values = torch.as_tensor(rows.value.to_numpy(copy=True))
        std = torch.as_tensor(rows.noise_std.to_numpy(copy=True))
        order = tuple(f.interpolation_order for f in physics.fields)
        exact = Observation(truth.grid, points, channel, values, std, order)(truth.state)[0]
        z = ((values - exact) / std).numpy()
        assert 1e-3 < chi2.cdf(np.sum(z**2), len(z)) < 1 - 1e-3 and np.abs(z).max() < 4.5
    several = physics.experiments.values() or (physics,)
    for well in (well for one in several for well in one.parameters.get("wells", ())):
        away = np.abs(table[["x", "y"]].to_numpy() - [well.x, well.y])
        assert (away > [truth.grid.hx, truth.grid.hy]).any(axis=1).all()


@each_example
def test_a_truth_is_fixed_by_its_number(name, truths):
    again, other = EXAMPLES[name].truth(0), EXAMPLES[name].truth(1)
    assert torch.equal(again.state, truths[name].state)
    assert again.sensors.table.equals(truths[name].sensors.table)
    assert not torch.equal(other.state, again.state)
    assert not np.array_equal(other.sensors.table.x, again.sensors.table.x)


def test_a_truth_is_a_draw_of_the_prior():
    prior = EXAMPLES["torus-flow"].problem.prior
    assert isinstance(prior, GaussianField)
    states = torch.cat([EXAMPLES["torus-flow"].truth(i).state[:, :1] for i in range(6)])
    assert abs(float(states.mean()) - prior.mean) < 0.2 * prior.std
    assert math.isclose(float(states.std()), prior.std, rel_tol=0.2)


# pdeinv problem


def test_problem_lists_the_examples(pdeinv, folder):
    before = contents(folder)
    code, out, err = pdeinv("problem")
    assert (code, err) == (0, "") and contents(folder) == before
    for name, example in EXAMPLES.items():
        assert any(line.split(maxsplit=1) == [name, example.summary] for line in out.splitlines())


@each_example
def test_an_example_is_written_and_its_command_reconstructs_it(
    name, pdeinv, folder, truths, monkeypatch
):
    # A search of its own for each of few members is enough
    usual = (GaussianSolver(), GaussNewton(ensemble=8), LevelSet())
    monkeypatch.setattr(selection, "_FOR_COEFFICIENTS", usual)
    code, out, _ = pdeinv("problem", name, "--out", "new folder")
    assert code == 0
    assert set(contents(Path("new folder"))) == {f"{name}.toml", f"{name}.csv"}
    assert Problem.load(f"new folder/{name}.toml") == EXAMPLES[name].problem
    program, *arguments = shlex.split(out.splitlines()[-1])
    assert program == "pdeinv" and out.count("\n") == 4
    code, out, err = pdeinv(*arguments, "--samples", 2, "--grid", 16)
    assert code == 0 and "error" not in err
    truth = truths[name]
    with xr.open_dataset(f"new folder/{name}.nc") as result:
        assert result.sizes["sensor"] == len(truth.sensors)
        assert result.attrs["extent"] == str(list(truth.grid.extent))
        for f in truth.problem.physics.fields:
            assert result[f"{f.name}_mean"].units == f.units
    assert imread(f"new folder/{name}.png").std() > 0.05


def test_files_that_are_there_are_left_unless_they_are_the_same(pdeinv, folder):
    assert pdeinv("problem", "torus-flow")[0] == 0
    before = contents(folder)
    assert pdeinv("problem", "torus-flow")[0] == 0 and contents(folder) == before
    Path("torus-flow.csv").write_text("mine")
    Path("torus-flow.toml").unlink()
    before = contents(folder)
    code, out, err = pdeinv("problem", "torus-flow")
    assert (code, out) == (2, "") and contents(folder) == before
    assert err.startswith("error: torus-flow.csv exists already, with other content; move it away")


def test_an_unknown_example_is_refused(pdeinv, folder):
    before = contents(folder)
    code, out, err = pdeinv("problem", "aquifers")
    assert (code, out) == (2, "") and "did you mean 'aquifer'?" in err
    assert "did you mean 'heat-sources'?" in pdeinv("problem", "heat")[2]
    assert pdeinv("problem", "aquifer", "--out", "s.csv")[0] == 2
    assert contents(folder) == before


# --problem


@pytest.mark.parametrize(("grid", "shape"), [((), (17, 33)), (("--grid", 20), (20, 39))])
def test_reconstruct_takes_a_problem(pdeinv, small, grid, shape):
    command = "reconstruct small.csv --problem small.toml --samples 2 --out r.nc"
    code, out, err = pdeinv(*command.split(), *grid)
    assert code == 0, err
    assert f"r.nc: poisson on {shape[0]} x {shape[1]} nodes" in out
    with xr.open_dataset("r.nc") as result:
        assert result.potential_mean.shape == shape and result.x.units == "m"
        assert np.allclose(result.potential_mean[:, 0], 1.0)
        # Δu = 0.5 with u = 1 at x = 0 and no flux at x = 20 has the mean 1 - 10 x + x² / 4
        middle = float(result.potential_mean.sel(x=15, y=5, method="nearest"))
        assert abs(middle - (1 - 150 + 225 / 4)) < 4


def test_generate_and_train_take_a_problem(pdeinv, small, folder):
    given = ("--problem", "small.toml")
    code, out, _ = pdeinv("generate", *given, "--n", 12, "--out", "g.h5")
    assert code == 0 and out == "g.h5: 12 pairs of poisson on 17 x 33 nodes, seed 0\n"
    with open_dataset("g.h5") as dataset:
        made = problem_of(dataset)
        assert (made.physics, made.prior) == (small.physics, small.prior)
    code, _, err = pdeinv("train", "g.h5", *given, "--model", "gaussian", "--out", "p.st")
    assert code == 0, err
    for change, message in {
        "std = 0.1|std = 0.2": "std = 0.1, not 0.2",
        "value = 1|value = 2": "boundary = ",
        "20, 0, 10|20, 0, 11": "domain = ",
    }.items():
        Path("other.toml").write_text(SMALL.replace(*change.split("|")))
        before = contents(folder)
        code, out, err = pdeinv("train", "g.h5", "--problem", "other.toml", "--out", "q.st")
        assert (code, out) == (2, "") and contents(folder) == before
        assert "g.h5 must be of the problem, got " in err and message in err
    Path("other.toml").write_text(SMALL.replace("value = 1", "value = 2"))
    command = "train g.h5 --problem other.toml --channels coefficient --model gaussian --out q.st"
    assert pdeinv(*command.split())[0] == 0  # which the sides do not matter to


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("reconstruct s.csv --out r.nc", "one of --pde and --problem must be given, got neither"),
        ("reconstruct s.csv --pde poisson --problem small.toml --out r.nc", "got both"),
        ("reconstruct s.csv --problem small.toml --param tau=3 --out r.nc", "--param must be left"),
        ("reconstruct s.csv --problem none.toml --out r.nc", "none.toml cannot be read"),
        ("reconstruct s.csv --problem s.csv --out r.nc", "s.csv: the file must be TOML"),
        ("reconstruct s.csv --problem small.toml --out small.toml", "another file of this command"),
        ("generate --n 2 --out g.h5", "one of PDE and --problem must be given, got neither"),
        ("generate poisson --problem small.toml --n 2 --out g.h5", "PDE and --problem .* got both"),
        ("train ensemble.h5 --pde poisson --problem small.toml --out p.st", "exclude each other"),
        ("train ensemble.h5 --problem small.toml --out p.st", "must be of the problem"),
    ],
)
def test_what_excludes_a_problem_is_refused(pdeinv, small, folder, command, message):
    before = contents(folder)
    code, out, err = pdeinv(*command.split())
    assert (code, out) == (2, "") and contents(folder) == before
    assert err.startswith("error: ") and err.count("\n") == 1
    assert all(part in err for part in message.split(" .* "))


def test_every_package_and_data_file_is_in_the_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"pdeinv": "pdeinv"} | settings["package-dir"]
    for name, folder in folders.items():
        for file in (ROOT / folder).rglob("__init__.py"):
            below = file.parent.relative_to(ROOT / folder).parts
            assert ".".join([name, *below]) in settings["packages"], file
    patterns = [
        f"{package.replace('.', '/')}/{pattern}"
        for package, given in settings["package-data"].items()
        for pattern in given
    ]
    for file in (ROOT / "pdeinv").rglob("*.*"):
        path = file.relative_to(ROOT).as_posix()
        if file.is_file() and file.suffix not in (".py", ".pyc"):
            assert any(fnmatch.fnmatch(path, pattern) for pattern in patterns), path

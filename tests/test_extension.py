"""A new PDE and a new solver are one new file and one export line each: in a copy of the repository
they pass the contracts, and every command works with them."""

import json
import math
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from helpers import ROOT, read_lines

CODE = ("pdeinv", "datasets", "solvers", "benchmarks", "tests", "pyproject.toml")
LARGE = ("data", "results", "baseline", "extension", "__pycache__")
CONTRACTS = (
    "tests/test_pde_contract.py",
    "tests/test_pde_gradients.py",
    "tests/test_solver_contract.py",
    "tests/test_reconstruct.py",
    "tests/test_reconstruct_truth.py",
)

COMMANDS = {
    "info": "info",
    "generate": "generate toy --n 60 --grid 16 --seed 1 --workers 1 --out toy.h5",
    "sensors": "",  # of the dataset's first sample, made by DRIVER
    "train gaussian": "train toy.h5 --model gaussian --out joint.safetensors",
    "train coefficient": "train toy.h5 --model gaussian --channels coefficient "
    "--out coefficient.safetensors",
    "train network": "train toy.h5 --channels coefficient --widths 16,32 --steps 3 --batch 8 "
    "--out network.safetensors",
    "reconstruct": "reconstruct sensors.csv --pde toy --grid 16 --samples 4 --out auto.nc "
    "--plot auto.png",
    "reconstruct moment": "reconstruct sensors.csv --pde toy --grid 16 --samples 4 "
    "--solver moment --steps 4 --prior coefficient.safetensors --out moment.nc",
    "reconstruct network": "reconstruct sensors.csv --pde toy --grid 16 --samples 4 "
    "--steps 4 --prior network.safetensors --out network.nc",
    "reconstruct joint": "reconstruct sensors.csv --pde toy --grid 16 --samples 4 "
    "--solver fundps --steps 20 --prior joint.safetensors --out joint.nc",
    "demo": "demo --pde poisson --out demo",
    "benchmark": "benchmark --pde toy --method gauss-newton --method toy-solver --task inverse "
    "--grid 16 --sensors 12 --instances 2 --out mine.jsonl",
    "report": "report mine.jsonl",
}
REFUSED = {"demo of the toy": "demo --pde toy --out none"}  # no example of it is shipped
SHIPPED = {
    "ship": "",  # an example of the toy and its sensor table, by DRIVER
    "demo of the shipped toy": "demo --pde toy --out toy-demo",
}
# Runs all commands in one process, and tells the exit code and the output of each
DRIVER = """
import json, sys, traceback
from pathlib import Path
from typer.testing import CliRunner
import pdeinv
from pdeinv import InputError, Sensors, datasets, layouts
from pdeinv.benchmarks.demo import demo_sensors
from pdeinv.cli import app

def sensors():
    with datasets.open("toy.h5") as pairs:
        first = pairs.isel(sample=0).load()
    tables = [
        Sensors.observe(first[f], layouts.random(m, m), noise_std=0.02 * float(first[f].std()))
        for f, m in (("load", 6), ("deflection", 30))
    ]
    (tables[0] + tables[1]).to_csv("sensors.csv")
    return 0, ""

def ship():
    toy, data = datasets.pde_by_name("toy"), Path(pdeinv.__file__).parent / "data"
    datasets.generate(toy, 2, 64, 20_000, data / "toy.h5", workers=1)
    demo_sensors(toy).to_csv(data / "toy-sensors.csv")
    return 0, ""

def run(command):
    result = CliRunner().invoke(app, command.split(), catch_exceptions=False)
    return result.exit_code, result.output

outcomes = {}
for step, command in json.loads(sys.argv[1]).items():
    try:
        outcomes[step] = run(command) if command else {"sensors": sensors, "ship": ship}[step]()
    except InputError as error:
        outcomes[step] = (2, str(error))
    except BaseException:
        outcomes[step] = (1, traceback.format_exc())
json.dump(outcomes, open("outcomes.json", "w"))
"""


def program(folder, home, *arguments):
    """Run Python in a folder, with the copy's package and one thread."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment = kept | {"PYTHONPATH": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a copy of the repository with the toys in it: two new files, two new lines."""
    home = tmp_path_factory.mktemp("copy") / "checkout"
    home.mkdir()
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns(*LARGE))
        else:
            shutil.copy(ROOT / name, home / name)
    (home / "pdeinv" / "data").mkdir()
    for file in (ROOT / "pdeinv" / "data").iterdir():
        (home / "pdeinv" / "data" / file.name).symlink_to(file)
    toys = ROOT / "tests" / "extension"
    for folder, file, kind in (("datasets", "toy", "Toy"), ("solvers", "toy_solver", "ToySolver")):
        shutil.copy(toys / f"{file}.py", home / folder)
        exports = home / folder / "__init__.py"
        line = f"from pdeinv.{folder}.{file} import {kind} as {kind}\n"
        text = exports.read_text()
        first = text.index("from pdeinv.")
        exports.write_text(text[:first] + line + text[first:])
    return home


def test_the_toys_pass_the_contracts(checkout):
    ran = program(checkout, checkout, "-m", "pytest", *CONTRACTS, "-k", "toy or cover")
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]


@pytest.fixture(scope="module")
def outcomes(checkout, tmp_path_factory):
    """Return the folder in which all commands ran, and the exit code and output of each."""
    folder = tmp_path_factory.mktemp("commands")
    ran = program(folder, checkout, "-c", DRIVER, json.dumps(COMMANDS | REFUSED | SHIPPED))
    assert ran.returncode == 0, ran.stderr
    return folder, json.loads((folder / "outcomes.json").read_text())


@pytest.mark.parametrize("step", COMMANDS | SHIPPED)
def test_every_command_works_with_the_toys(outcomes, step):
    code, output = outcomes[1][step]
    assert code == 0, output


def test_the_toys_are_listed(outcomes):
    output = outcomes[1]["info"][1]
    assert "load -> deflection" in output and "toy-solver" in output


def test_the_reconstructions_agree(outcomes):
    folder, _ = outcomes
    with xr.open_dataset(folder / "toy.h5", engine="h5netcdf") as pairs:
        truth = pairs.isel(sample=0).load()
    solvers = {"auto": "gauss-newton", "moment": "moment", "network": "moment", "joint": "fundps"}
    error = {}
    for name, solver in solvers.items():
        with xr.open_dataset(folder / f"{name}.nc") as result:
            assert (result.attrs["pde"], result.attrs["solver"]) == ("toy", solver)
            error[name] = [
                float(np.linalg.norm(result[f"{f}_mean"] - truth[f]) / np.linalg.norm(truth[f]))
                for f in ("load", "deflection")
            ]
    assert error["auto"][0] < 0.6 and error["auto"][1] < 0.15
    for name in ("moment", "network"):
        assert all(e < 1.5 * best for e, best in zip(error[name], error["auto"], strict=True))
    assert error["joint"][1] < 0.3
    assert (folder / "auto.png").stat().st_size > 5000


def test_the_benchmark_and_its_page_have_the_toys(outcomes):
    folder, printed = outcomes
    records = {r["method"]: r for r in read_lines(folder / "mine.jsonl")}
    assert set(records) == {"gauss-newton", "toy-solver"}
    for record in records.values():
        assert record["pde"] == "toy" and record["field"] == "load"
        assert math.isfinite(record["error"]) and 0 < record["error"] < 1
    assert printed["benchmark"][1].count("| toy | inverse | load |") == 2
    text = (folder / "mine.report.md").read_text()
    assert "toy inverse" in text and "| toy-solver |" in text
    assert (folder / "mine.report.html").stat().st_size > 10_000


def test_the_demo_shows_what_is_shipped(outcomes):
    folder, printed = outcomes
    assert {path.name for path in (folder / "demo").iterdir()} >= {"poisson.nc", "poisson.png"}
    for step in REFUSED:
        code, message = printed[step]
        assert code == 2 and "toy" in message and "no example" in message
    assert not (folder / "none").exists()

"""Bad input ends in one sentence, exit code 2 and an untouched folder."""

import os
from pathlib import Path

import pytest
from helpers import contents
from test_sensor_refusals import BAD

from pdeinv.datasets import PDES


@pytest.fixture
def tables(folder):
    """Return the working directory, with every bad table in it, too."""
    for name, (content, _) in BAD.items():
        Path(f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def assert_refused(outcome, message, before, folder):
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1
    assert message in err
    assert contents(folder) == before


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused(pdeinv, tables, case):
    # The message itself is tested where the table is read.
    before = contents(tables)
    command = ("reconstruct", f"{case}.csv", "--pde", "poisson", "--grid", 16)
    outcome = pdeinv(*command, "--out", "r.nc", "--plot", "r.png")
    assert_refused(outcome, f"{case}.csv", before, tables)


RECONSTRUCT = {
    "sensors": "s.csv",
    "--pde": "poisson",
    "--grid": 16,
    "--out": "r.nc",
    "--plot": "r.png",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sensors": "none.csv"}, "'none.csv' does not exist; check the path"),
        ({"sensors": "folder.nc"}, "folder.nc is a folder; give the name of a sensor file"),
        ({"--pde": "aquifer.toml"}, "got 'aquifer.toml'; use --problem aquifer.toml"),
        ({"--pde": "navier_stokes"}, "did you mean 'navier-stokes'?"),
        (
            {"--pde": "burgers"},
            f"pde must be one of {', '.join(sorted(PDES))}, got 'burgers'",
        ),
        ({"--solver": "magic"}, "solver must be one of auto, daps"),
        (
            {"sensors": "darcy.csv", "--pde": "darcy", "--solver": "gaussian"},
            "the gaussian solver is not made for darcy",
        ),
        ({"--grid": 4}, "grid must be an integer of at least 16"),
        ({"--samples": 0}, "n_samples must be an integer of at least 1, got 0"),
        ({"--seed": -1}, "--seed must be an integer from 0 to 4294967295, got -1"),
        ({"--seed": 10**30}, "--seed must be"),
        ({"--out": "nowhere/r.nc"}, "the folder nowhere does not exist; create it first"),
        ({"--out": "s.csv/r.nc"}, "the folder s.csv does not exist"),
        ({"--out": "folder.nc"}, "folder.nc is a folder; give the name of a file in it"),
        ({"--plot": "nowhere/r.png"}, "the folder nowhere does not exist"),
        ({"--plot": "r.jpgg"}, "r.jpgg must end in a figure format; use .png, .pdf or .svg"),
        ({"--plot": "r"}, "must end in a figure format"),
        ({"--out": "./s.csv"}, "an output must not have the name of another file"),
        ({"--out": "r.png"}, "an output must not have the name of another file"),
        (
            {"--out": "ensemble.h5", "--ensemble": "ensemble.h5"},
            "an output must not have the name of another file",
        ),
        ({"--param": "tau"}, "--param must be NAME=VALUE, got 'tau'"),
        (
            {"--param": "tau=three"},
            "tau of the spectral-field prior must be a number or a range (low, high), got 'three'",
        ),
        (
            {"--param": "tau=inf"},
            "tau of the spectral-field prior must be a finite number, got inf",
        ),
        (
            {"--param": "tau=-1"},
            "tau of the spectral-field prior must be a finite number above 0, got -1",
        ),
        (
            {"--param": "k=2"},
            "parameter of poisson must be one of alpha, tau, modes, ",
        ),
        ({"--ensemble": "cut.h5"}, "cut.h5 is damaged or was cut short"),
        ({"--ensemble": "text.h5"}, "text.h5 is neither an HDF5 nor a MATLAB file"),
        ({"--ensemble": "none.h5"}, "none.h5 cannot be read"),
        (
            {"--solver": "gaussian", "--ensemble": "ensemble.h5"},
            "the gaussian solver needs a prior of pdeinv.coefficients, got Ensemble",
        ),
        (
            {"--ensemble": "ensemble.h5", "--solver": "optimal-interpolation"},
            "must have 64 x 64 nodes, got 16 x 16; reconstruct with grid=64",
        ),
        (
            {"sensors": "darcy.csv", "--pde": "darcy", "--ensemble": "ensemble.h5"},
            "a dataset of darcy must hold permeability and pressure",
        ),
    ],
)
def test_bad_settings_are_refused(pdeinv, folder, change, message):
    before = contents(folder)
    settings = RECONSTRUCT | change
    arguments = [
        settings.pop("sensors"),
        *(str(part) for option in settings.items() for part in option),
    ]
    assert_refused(pdeinv("reconstruct", *arguments), message, before, folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not bind root")
def test_a_folder_without_permission_is_refused(pdeinv, folder):
    (folder / "folder.nc").chmod(0o500)
    before = contents(folder)
    outcome = pdeinv(
        "reconstruct", "s.csv", "--pde", "poisson", "--grid", 16, "--out", "folder.nc/r.nc"
    )
    assert_refused(outcome, "no permission in the folder folder.nc; choose another", before, folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("generate stokes --n 2 --out g.h5", "did you mean 'navier-stokes'?"),
        ("generate poisson --n 0 --out g.h5", "n must be an integer of at least 1, got 0"),
        (
            "generate poisson --n 2 --grid 4 --out g.h5",
            "grid must be an integer of at least 8, got 4",
        ),
        ("generate poisson --n 2 --seed -3 --out g.h5", "--seed must be"),
        ("generate poisson --n 2 --out nowhere/g.h5", "does not exist"),
        ("generate poisson --n 2 --out ensemble.h5", "exists already"),
        ("generate darcy --n 2 --param high=1 --out g.h5", "low must be below high"),
        ("demo --pde darcys", "did you mean 'darcy'?"),
        ("demo --out s.csv", "the folder s.csv cannot be made (File exists); choose another"),
        (
            "benchmark --pde poisson --method magic --out b.jsonl",
            "method must be one of daps, ddis, ",
        ),
        ("benchmark --pde poison --method gaussian --out b.jsonl", "did you mean 'poisson'?"),
        (
            "benchmark --pde poisson --method gaussian --task back --out b.jsonl",
            "task must be one of forward, inverse, both, got 'back'",
        ),
        (
            "benchmark --pde poisson --method gaussian --noise -1 --out b.jsonl",
            "noise must be a finite number of at least 0, got -1.0",
        ),
        (
            "benchmark --pde poisson --method gaussian --sensors 300 --grid 16 --out b.jsonl",
            "at most 256",
        ),
        (
            "benchmark --pde darcy --method gaussian --grid 16 --sensors 9 --out b.jsonl",
            "is not made for darcy",
        ),
        ("benchmark --pde poisson --method gaussian --out nowhere/b.jsonl", "does not exist"),
    ],
)
def test_the_other_commands_refuse_too(pdeinv, folder, arguments, message):
    before = contents(folder)
    assert_refused(pdeinv(*arguments.split()), message, before, folder)

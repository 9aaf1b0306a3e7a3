"""The command line: what it writes, and that bad input ends in one sentence, exit code 2 and an
untouched folder."""

import io
import json
import os
import subprocess
import sys
import warnings
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from matplotlib.image import imread
from test_sensors import BAD

import pdeinv.datasets as datasets
from pdeinv import InputError, NumericalError, Sensors, cli
from pdeinv.benchmarks.demo import demo_sensors
from pdeinv.datasets import PDES
from pdeinv.errors import run_cli

SCRIPT = Path(sys.executable).with_name("pdeinv")
SENSORS = """field,x,y,value,noise_std
potential,0.5,0.5,0.001,0
potential,0.3,0.2,0.002,1e-4
source,0.71,0.4,-0.1,0
"""


@pytest.fixture
def pdeinv(monkeypatch, capsys):
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pdeinv", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with good and bad input in it."""
    monkeypatch.chdir(tmp_path)
    Path("s.csv").write_text(SENSORS)
    Path("darcy.csv").write_text(
        SENSORS.replace("potential", "solution").replace("source", "coefficient")
    )
    Path("folder.nc").mkdir()
    shipped = (resources.files("pdeinv") / "data" / "poisson.h5").read_bytes()
    Path("ensemble.h5").write_bytes(shipped)
    Path("cut.h5").write_bytes(shipped[:3000])
    Path("text.h5").write_text("no dataset")
    for name, (content, _) in BAD.items():
        Path(f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path


def contents(folder):
    return {
        str(path.relative_to(folder)): path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


def assert_refused(outcome, message, before, folder):
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1
    assert message in err
    assert contents(folder) == before


# What works


def test_the_installed_program_helps_without_waiting_for_torch():
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr
    for command in ("reconstruct", "generate", "demo", "benchmark", "info"):
        assert command in done.stdout
    code = "import sys, pdeinv.cli; sys.exit('torch' in sys.modules or 'xarray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_the_installed_program_refuses_in_one_line(folder):
    before = contents(folder)
    done = subprocess.run(
        [SCRIPT, "reconstruct", "s.csv", "--pde", "poison", "--out", "r.nc"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert_refused(
        (done.returncode, done.stdout, done.stderr), "did you mean 'poisson'?", before, folder
    )


def test_info_lists_every_pde_and_solver(pdeinv):
    code, out, _ = pdeinv("info")
    assert code == 0
    for name in (
        *PDES,
        "initial_vorticity -> final_vorticity",
        "gaussian",
        "kriging",
        "optimal-interpolation",
        "torch",
    ):
        assert name in out


def test_generate_makes_a_dataset(pdeinv, folder):
    arguments = (
        "--n",
        3,
        "--grid",
        16,
        "--seed",
        5,
        "--workers",
        1,
        "--out",
        "p.h5",
        "--param",
        "tau=5",
    )
    code, out, _ = pdeinv("generate", "poisson", *arguments)
    assert code == 0 and out == "p.h5: 3 pairs of poisson on 16 x 16 nodes, seed 5\n"
    with datasets.open_dataset("p.h5") as dataset:
        assert dict(dataset.sizes) == {"sample": 3, "y": 16, "x": 16}
        assert datasets.pde_of(dataset) == datasets.Poisson(tau=5.0) and dataset.attrs["seed"] == 5


@pytest.mark.parametrize("ensemble", [False, True])
def test_reconstruct_writes_a_netcdf_file_and_a_figure(pdeinv, folder, ensemble):
    arguments = [
        "reconstruct",
        "s.csv",
        "--pde",
        "poisson",
        "--samples",
        3,
        "--seed",
        9,
        "--out",
        "r.nc",
    ]
    arguments += ["--plot", "r.png", "--param", "tau=4" if not ensemble else "tau=3"]
    arguments += (
        ["--solver", "optimal-interpolation", "--ensemble", "ensemble.h5"]
        if ensemble
        else ["--grid", 16]
    )
    before = contents(folder)
    code, out, err = pdeinv(*arguments)
    # a slow machine shows progress there
    assert code == 0 and "warning" not in err and "error" not in err
    n = 64 if ensemble else 16
    assert out.startswith(f"r.nc: poisson on {n} x {n} nodes by ") and "from 3 sensors" in out
    assert set(contents(folder)) - set(before) == {"r.nc", "r.png"}
    with xr.open_dataset("r.nc") as result:
        assert result.potential_samples.shape == (3, n, n) and result.attrs["seed"] == 9
        assert json.loads(result.attrs["pde_parameters"])["tau"] == (3 if ensemble else 4)
        assert np.isfinite(result.source_mean).all()
        assert result.sensor_field.values.tolist() == ["potential", "potential", "source"]
    assert imread("r.png").shape[2] == 4


@pytest.mark.filterwarnings("always::pdeinv.MisfitWarning")
def test_sensors_that_do_not_fit_are_told_in_one_line(pdeinv, folder):
    Path("s.csv").write_text("field,x,y,value\npotential,0.5,0.5,7\n")
    code, _, err = pdeinv("reconstruct", "s.csv", "--pde", "poisson", "--grid", 16, "--out", "r.nc")
    assert (
        code == 0
        and err.startswith("warning: the sensors do not fit poisson")
        and err.count("\n") == 1
    )


def test_benchmark_prints_a_table_and_resumes(pdeinv, folder):
    arguments = (
        "benchmark",
        "--pde",
        "poisson",
        "--method",
        "gaussian",
        "--task",
        "inverse",
        "--grid",
        16,
    )
    arguments += ("--sensors", 20, "--instances", 2, "--out", "b.jsonl")
    code, out, _ = pdeinv(*arguments)
    assert code == 0 and "| poisson | inverse | source | relative L2 | gaussian |" in out
    before = contents(folder)
    assert json.loads(before["b.jsonl"])["command"].startswith("pdeinv benchmark --pde poisson")
    assert pdeinv(*arguments)[1] == out and contents(folder) == before


# What is refused


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused(pdeinv, folder, case):
    # The message itself is tested where the table is read.
    before = contents(folder)
    outcome = pdeinv(
        "reconstruct",
        f"{case}.csv",
        "--pde",
        "poisson",
        "--grid",
        16,
        "--out",
        "r.nc",
        "--plot",
        "r.png",
    )
    assert_refused(outcome, f"{case}.csv", before, folder)


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
        ({"--pde": "navier_stokes"}, "did you mean 'navier-stokes'?"),
        (
            {"--pde": "burgers"},
            "pde must be one of darcy, helmholtz, navier-stokes, poisson, got 'burgers'",
        ),
        ({"--solver": "magic"}, "solver 'magic' is unknown; use one of auto, daps"),
        (
            {"sensors": "darcy.csv", "--pde": "darcy", "--solver": "gaussian"},
            "the gaussian solver is not made for darcy",
        ),
        ({"--grid": 4}, "grid = 4 is too coarse"),
        ({"--samples": 0}, "n_samples must be at least 1, got 0"),
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
        ({"--param": "tau"}, "--param must be NAME=NUMBER, got 'tau'"),
        ({"--param": "tau=three"}, "--param must be NAME=NUMBER, got 'tau=three'"),
        ({"--param": "tau=inf"}, "parameter tau of poisson must be a finite float, got inf"),
        ({"--param": "tau=-1"}, "tau must be positive, got -1.0"),
        ({"--param": "k=2"}, "parameter of poisson must be one of alpha, tau, modes, got 'k'"),
        ({"--ensemble": "cut.h5"}, "cut.h5 is damaged or was cut short"),
        ({"--ensemble": "text.h5"}, "text.h5 is neither an HDF5 nor a MATLAB file"),
        ({"--ensemble": "none.h5"}, "none.h5 cannot be read"),
        (
            {"--solver": "gaussian", "--ensemble": "ensemble.h5"},
            "the gaussian solver uses only the PDE's own prior",
        ),
        (
            {"--ensemble": "ensemble.h5", "--solver": "optimal-interpolation"},
            "a grid of 64 nodes, not 16; reconstruct",
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
        ("generate darcy --n 2 --param high=1 --out g.h5", "must be 0 < low < high"),
        ("demo --pde darcys", "did you mean 'darcy'?"),
        ("demo --out s.csv", "the folder s.csv cannot be made (File exists); choose another"),
        (
            "benchmark --pde poisson --method magic --out b.jsonl",
            "method must be one of daps, ",
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


def test_an_interruption_ends_in_130_and_leaves_nothing(pdeinv, folder, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    before = contents(folder)
    monkeypatch.setattr("pdeinv.solvers.reconstruct", interrupted)
    assert pdeinv("reconstruct", "s.csv", "--pde", "poisson", "--out", "r.nc")[0] == 130
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("grid must be\n  larger"), 2, "error: grid must be larger\n"),
        (NumericalError("the scheme is unstable"), 3, "error: the scheme is unstable\n"),
        (torch.linalg.LinAlgError("singular"), 3, "error: linear algebra failed (singular); "),
        (np.linalg.LinAlgError("singular"), 3, "error: linear algebra failed (singular); "),
    ],
)
def test_each_error_has_its_exit_code(error, code, message, capsys):
    def program():
        raise error

    with pytest.raises(SystemExit) as end:
        run_cli(program)
    assert end.value.code == code and capsys.readouterr().err.startswith(message)


def test_an_error_of_the_program_itself_stays_one():
    with pytest.raises(ZeroDivisionError):
        run_cli(lambda: 1 / 0)


# The demonstration


def test_the_demo_writes_its_files_and_a_scorecard(pdeinv, tmp_path):
    out = tmp_path / "demo"
    code, text, _ = pdeinv("demo", "--pde", "poisson", "--out", out)
    assert code == 0
    assert {path.name for path in out.iterdir()} == {
        "poisson-sensors.csv",
        "poisson.nc",
        "poisson.png",
    }
    with xr.open_dataset(out / "poisson.nc") as result:
        assert result.sizes["sensor"] == 125 and result.attrs["pde"] == "poisson"
    for field, bound in (("source", 25), ("potential", 5)):
        scores = next(
            line.split() for line in text.splitlines() if line.split()[:2] == ["poisson", field]
        )
        error, kriging, inside = (float(score.rstrip("%")) for score in scores[3:6])
        assert error < bound and error < kriging and 75 <= inside <= 100


@pytest.mark.parametrize("name", datasets.examples())
def test_the_shipped_sensors_follow_their_recipe(name):
    shipped = Sensors.read(resources.files("pdeinv") / "data" / f"{name}-sensors.csv")
    made = demo_sensors(PDES[name]())
    assert len(made) == 125 and set(made.table.field) == {f.name for f in PDES[name]().fields}
    pd.testing.assert_frame_equal(shipped.table, made.table, rtol=1e-9, atol=1e-9)


def test_a_terminal_without_greek_letters_is_served(monkeypatch):
    paper = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", paper)
    monkeypatch.setattr(sys, "argv", ["pdeinv", "info"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    paper.flush()
    assert end.value.code == 0 and b"poisson" in paper.buffer.getvalue()

"""The command line: what it writes, how it starts, and how it ends."""

import dataclasses
import io
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import contents
from matplotlib.image import imread

import pdeinv.datasets as datasets
from pdeinv import InputError, NumericalError, cli
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDES, pde_by_name
from pdeinv.errors import run_cli
from pdeinv.solvers import SOLVERS


def test_the_program_helps_without_waiting_for_torch():
    code = (
        "import sys; from pdeinv.cli import main; sys.argv = ['pdeinv', '--help']\n"
        "try: main()\n"
        "finally: assert not {'torch', 'xarray', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr
    for command in ("reconstruct", "generate", "train", "demo", "benchmark", "info"):
        assert command in done.stdout


def test_the_program_is_installed_under_its_name():
    (entry,) = entry_points(group="console_scripts", name="pdeinv")
    assert entry.load() is cli.main


def test_info_lists_every_pde_and_solver(pdeinv):
    code, out, _ = pdeinv("info")
    assert code == 0
    for name in (*PDES, *SOLVERS, "initial_vorticity -> final_vorticity", "torch"):
        assert name in out
    words = " ".join(out.split())
    assert "Solvers for censored readings: gauss-newton, gaussian" in words
    assert "Solvers for unknown numbers: " in words
    for name, solver in SOLVERS.items():
        assert f" {name} {' '.join(solver.__doc__.partition(chr(10) * 2)[0].split())}" in words
    for pde in map(pde_by_name, PDES):
        assert f" {pde.name} {pde.equation}" in words
        assert pde.default_prior.phrase(pde.domain) in words
    for kind, prior in CoefficientPrior.kinds.items():
        assert f"{kind} {prior.__doc__.splitlines()[0]}" in words
        assert all(f.name in words for f in dataclasses.fields(prior))
    assert "field, function (Python only)" in words and words.count("(Python only)") == 1


def test_generate_makes_a_dataset(pdeinv, folder):
    command = "generate poisson --n 3 --grid 16 --seed 5 --workers 1 --out p.h5 --param tau=5"
    code, out, _ = pdeinv(*command.split())
    assert code == 0 and out == "p.h5: 3 pairs of poisson on 16 x 16 nodes, seed 5\n"
    with datasets.open_dataset("p.h5") as dataset:
        assert dict(dataset.sizes) == {"sample": 3, "y": 16, "x": 16}
        assert datasets.pde_of(dataset) == datasets.Poisson() and dataset.attrs["seed"] == 5
        assert json.loads(dataset.attrs["prior"])["tau"] == 5


@pytest.mark.parametrize("ensemble", [False, True])
def test_reconstruct_writes_a_netcdf_file_and_a_figure(pdeinv, folder, ensemble):
    command = "reconstruct s.csv --pde poisson --samples 3 --seed 9 --out r.nc --plot r.png"
    stated = "--param tau=4 --grid 16"
    given = "--param discretisation=spectral --solver optimal-interpolation --ensemble ensemble.h5"
    before = contents(folder)
    code, out, err = pdeinv(*command.split(), *(given if ensemble else stated).split())
    # a slow machine shows progress there
    assert code == 0 and "warning" not in err and "error" not in err
    n = 64 if ensemble else 16
    assumed, summary = out.splitlines()
    own = "the source is a Gaussian random field (neumann) with alpha 2, tau 4, modes 128;"
    prior = "an ensemble of 8 members;" if ensemble else own
    assert assumed.startswith(f"assumed: poisson, Δu = a, u = 0 on the boundary; prior: {prior}")
    assert summary.startswith(f"r.nc: poisson on {n} x {n} nodes by ")
    assert "from 3 sensors" in summary and ("cannot tell" in summary) == ensemble
    assert set(contents(folder)) - set(before) == {"r.nc", "r.png"}
    with xr.open_dataset("r.nc") as result:
        assert result.potential_samples.shape == (3, n, n) and result.attrs["seed"] == 9
        parameters = json.loads(result.attrs["pde_parameters"])
        assert parameters["discretisation"] == ("spectral" if ensemble else "five-point")
        assert np.isfinite(result.source_mean).all()
        assert result.sensor_field.values.tolist() == ["potential", "potential", "source"]
    assert imread("r.png").shape[2] == 4


@pytest.mark.filterwarnings("ignore::pdeinv.MisfitWarning")  # two steps meet nothing
def test_reconstruct_takes_a_preset(pdeinv, folder):
    command = "reconstruct s.csv --pde poisson --solver ddis --steps 2 --grid 16 --samples 2"
    code, _, _ = pdeinv(*command.split(), "--preset", "published", "--out", "r.nc")
    assert code == 0
    with xr.open_dataset("r.nc") as result:
        settings = json.loads(result.attrs["solver_settings"])
        assert settings["preset"] == "published" and settings["physics"] == "operator"


@pytest.mark.filterwarnings("always::pdeinv.MisfitWarning")
def test_sensors_that_do_not_fit_are_told_in_one_line(pdeinv, folder):
    Path("s.csv").write_text("field,x,y,value,noise_std\npotential,0.5,0.5,7,0\n")
    code, _, err = pdeinv("reconstruct", "s.csv", "--pde", "poisson", "--grid", 16, "--out", "r.nc")
    assert (
        code == 0
        and err.startswith("warning: the sensors do not fit poisson")
        and err.count("\n") == 1
    )


def test_benchmark_prints_a_table_and_resumes(pdeinv, folder):
    command = "benchmark --pde poisson --method gaussian --task inverse --grid 16 --sensors 20"
    command += " --instances 2 --out b.jsonl"
    code, out, _ = pdeinv(*command.split())
    assert code == 0 and "| poisson | inverse | source | relative L2 | gaussian |" in out
    before = contents(folder)
    assert json.loads(before["b.jsonl"])["command"].startswith("pdeinv benchmark --pde poisson")
    assert pdeinv(*command.split())[1] == out and contents(folder) == before


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("row 3 is\nno row"), 2, "error: row 3 is no row\n"),
        (NumericalError("it diverged"), 3, "error: it diverged\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["input", "numerics", "interruption"],
)
def test_an_error_ends_in_its_code_and_leaves_nothing(
    pdeinv, folder, monkeypatch, error, code, line
):
    def fails(*_, **__):
        raise error

    before = contents(folder)
    monkeypatch.setattr("pdeinv.solvers.reconstruct", fails)
    ended = pdeinv("reconstruct", "s.csv", "--pde", "poisson", "--out", "r.nc")
    assert ended == (code, "", line)
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


def test_a_terminal_without_greek_letters_is_served(monkeypatch):
    paper = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", paper)
    monkeypatch.setattr(sys, "argv", ["pdeinv", "info"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    paper.flush()
    assert end.value.code == 0 and b"poisson" in paper.buffer.getvalue()

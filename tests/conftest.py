"""Fixtures that several test modules share."""

import os
import sys
import time
import warnings
from importlib import resources
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from tally import write_tally

import pdeinv as package
from pdeinv import cli
from pdeinv.datasets import Poisson, generate

# Side by side, with a core each, as are the programs that they start
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"

_START = pytest.StashKey()

# Fuzz tests: `pytest --hypothesis-profile=thorough tests/test_fuzz_*.py` tries many more examples
_SLOW = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "database": None,
}
settings.register_profile("brief", max_examples=30, **_SLOW)
settings.register_profile("thorough", max_examples=1000, **_SLOW)
settings.load_profile("brief")

# Programs that tests start import the package that the tests import, wherever they run
home = str(Path(package.__file__).parent.parent)
os.environ["PYTHONPATH"] = os.pathsep.join([home, os.environ.get("PYTHONPATH", "")]).strip(
    os.pathsep
)


def pytest_addoption(parser):
    parser.addoption(
        "--all-pairs", action="store_true", help="take all pairs in tests that take a part of them"
    )
    parser.addoption(
        "--tally", type=Path, help="file of records for what became of the generated inputs"
    )


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all-pairs"):
        further = [item for item in items if item.get_closest_marker("further")]
        config.hook.pytest_deselected(items=further)
        items[:] = [item for item in items if not item.get_closest_marker("further")]


def pytest_sessionstart(session):
    session.config.stash[_START] = time.perf_counter()


def pytest_sessionfinish(session, exitstatus):
    path = session.config.getoption("--tally")
    if path is not None and exitstatus == 0:
        seconds = time.perf_counter() - session.config.stash[_START]
        write_tally(path, seconds, settings.get_current_profile_name())


@pytest.fixture(scope="session")
def poisson_file(tmp_path_factory):
    """A dataset of 40 Poisson pairs on 16 x 16 nodes, seed 3; not to be changed."""
    return generate(Poisson(), 40, 16, 3, tmp_path_factory.mktemp("data") / "poisson.h5", workers=1)


@pytest.fixture
def pdeinv(monkeypatch, capsys):
    """Run the program in this process: exit code, standard output, standard error."""
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


SENSORS = """field,x,y,value,noise_std
potential,0.5,0.5,0.001,0
potential,0.3,0.2,0.002,1e-4
source,0.71,0.4,-0.1,0
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the working directory, with good and bad input in it."""
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
    Path("wide.csv").write_text("x,y,Radius [m]\n1,1,2\n")
    return tmp_path

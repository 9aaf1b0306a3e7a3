"""`file.py:Class`: a PDE or a solver of the user's own file, in Python and on the command line."""

import json
import pickle
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from helpers import ROOT
from readme_blocks import blocks

from pdeinv import InputError, reconstruct
from pdeinv.datasets import PDES, generate, open_dataset, pde_by_name, pde_of, prior_of
from pdeinv.datasets.contents import find_pde, problem_of
from pdeinv.solvers import SOLVERS

PDE_CODE = (ROOT / "tests/screened_poisson.py").read_text()
SOLVER_CODE = blocks("python", "docs/add-your-solver.md")[0]

TABLE = pd.DataFrame(
    {"field": "voltage", "x": [0.3, 0.6, 0.8], "y": [0.4, 0.1, 0.7], "value": [1e-3, 2e-3, 1e-3]}
).assign(noise_std=1e-3)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The working directory, with the classes of the pages in two files, and a table."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "screened.py").write_text(PDE_CODE)
    (tmp_path / "mine.py").write_text(SOLVER_CODE)
    TABLE.to_csv("s.csv", index=False)
    return tmp_path


PDE_NAME, SOLVER_NAME = "own/screened.py:ScreenedPoisson", "mine.py:RandomisedLikelihood"


def test_a_pde_and_a_solver_of_ones_own_files_reconstruct(own):
    before = dict(PDES), dict(SOLVERS)
    result = reconstruct(TABLE, PDE_NAME, solver=SOLVER_NAME, grid=16, n_samples=2)
    assert (dict(PDES), dict(SOLVERS)) == before, "nothing is registered for good"
    assert bool(result["voltage_mean"].notnull().all())
    assert result.attrs["pde"] == "screened-poisson" and result.attrs["pde_source"] == PDE_NAME
    assert result.attrs["solver"] == "randomised-likelihood"
    assert result.attrs["solver_source"] == SOLVER_NAME
    assert (
        "pde_source"
        not in reconstruct(TABLE.assign(field="solution"), "poisson", grid=16, n_samples=1).attrs
    )


def test_the_command_line_takes_them(own, pdeinv):
    code, _, error = pdeinv(
        *("reconstruct", "s.csv", "--pde", PDE_NAME, "--solver", SOLVER_NAME, "--grid", 16),
        *("--param", "screening=5", "--samples", 2, "--out", "r.nc"),
    )
    assert code == 0, error
    with xr.open_dataset("r.nc") as result:
        assert result.attrs["pde_source"] == PDE_NAME and '"screening": 5' in str(result.attrs)
    for command in ("reconstruct", "generate"):
        assert "file.py:Class" in pdeinv(command, "--help")[1].replace("\n", " ")


def test_worker_processes_have_the_class_of_the_file(own):
    pde = pde_by_name(PDE_NAME, screening=5)
    again = pickle.loads(pickle.dumps(pde))
    assert again.parameters == pde.parameters and type(again).__name__ == "ScreenedPoisson"
    files = [generate(pde, 40, 16, 0, own / f"{k}.h5", workers=k).read_bytes() for k in (1, 2)]
    assert files[0] == files[1]
    with open_dataset(own / "1.h5") as dataset:
        assert dataset.attrs["pde"] == "screened-poisson"


def test_a_file_that_changed_is_read_again(own):
    path = own / "own" / "screened.py"
    assert pde_by_name(PDE_NAME).parameters["screening"] == 10.0
    path.write_text(PDE_CODE.replace("screening: float = 10.0", "screening: float = 20.0"))
    assert pde_by_name(PDE_NAME).parameters["screening"] == 20.0


def test_a_file_may_import_its_neighbours(own):
    (own / "own" / "constants_beside.py").write_text("SCREENING = 7.0\n")
    code = PDE_CODE.replace(
        "from dataclasses", "from constants_beside import SCREENING\nfrom dataclasses", 1
    )
    (own / "own" / "screened.py").write_text(code.replace("= 10.0", "= SCREENING"))
    assert pde_by_name(PDE_NAME).parameters["screening"] == 7.0


WITHOUT_SOLVE = PDE_CODE.replace("def solve(", "def solved(")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            "gone.py:Heat",
            None,
            r"gone.py must be a Python file that can be read, got: No such file",
        ),
        ("own.py:Heat", PDE_CODE, "'Heat' in own.py .* got none of that name; use own.py:Screened"),
        (
            "own.py:Heat",
            "Heat = 3",
            "'Heat' in own.py must be a class that derives from PDE .* got 3",
        ),
        ("own.py:Heat", "x = (", r"own.py must run .*got SyntaxError in line 1: .* mend the file"),
        ("own.py:Heat", "\n\nx = 1 / 0", "got ZeroDivisionError in line 3: division by zero; mend"),
        ("own.py:Heat", "import absent_module_x", "ModuleNotFoundError in line 1: No module named"),
        ("own.py:Heat", "raise SystemExit(3)", "got SystemExit in line 1"),
        (
            "own.py:ScreenedPoisson",
            WITHOUT_SOLVE,
            "or an instance .*, got ScreenedPoisson, which lacks solve; use a class",
        ),
        ("own.py:ScreenedPoisson", PDE_CODE.replace("float = 10.0", "float = x"), "NameError"),
        (
            "own.py:ScreenedPoisson",
            PDE_CODE.replace('"screened-poisson"', '"poisson"'),
            "name of a PDE must be new, got 'poisson'",
        ),
        ("own.py:", PDE_CODE, "'' in own.py must be a class"),
        ("own\0.py:Heat", None, "must be a Python file that can be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(own, name, code, message):
    if code is not None:
        (own / "own.py").write_text(code)
    before = dict(PDES)
    with pytest.raises(InputError, match=message) as caught:
        reconstruct(TABLE, name, grid=16)
    assert "\n" not in str(caught.value) and dict(PDES) == before


def test_a_pde_is_no_solver(own):
    with pytest.raises(InputError, match="derives from Solver"):
        reconstruct(TABLE, PDE_NAME, solver=PDE_NAME, grid=16)
    with pytest.raises(
        InputError, match=r"a parameter of .* must be one of screening, .* got 'width'"
    ):
        pde_by_name(PDE_NAME, width=3)
    with pytest.raises(
        InputError, match="parameter screening of screened-poisson must be a number or a range"
    ):
        pde_by_name(PDE_NAME, screening="x")


@pytest.mark.parametrize("key", ["pde", "physics", "prior"])
def test_a_data_file_runs_no_code(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(PDE_CODE + "\nfrom pathlib import Path\nPath('ran').touch()\n")
    name = "own.py:ScreenedPoisson"
    attributes = {
        "pde": {"pde": name},
        "physics": {
            "pde": "experiments",
            "pde_parameters": json.dumps({"physics": [{"pde": name}], "names": ["a"]}),
        },
        "prior": {"pde": "poisson", "prior": json.dumps({"kind": "own.py:Any"})},
    }[key]
    dataset = xr.Dataset(attrs=attributes)
    for read in (problem_of, prior_of, find_pde) if key == "prior" else (problem_of, pde_of):
        with suppress(InputError):
            read(dataset)
    assert not Path("ran").exists()
    with pytest.raises(InputError, match=r"got 'own\.py:.*whose code was not run; if you trust it"):
        problem_of(dataset)
    if key != "prior":
        assert pde_by_name(name).equation in pde_of(dataset).equation
        assert Path("ran").exists()


def test_an_error_of_a_solve_is_one_sentence_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "from pdeinv.datasets import PDE\n\n\nclass Wrong(PDE):\n    def solve(self, a):\n"
        "        return a + missing\n\n\nclass Shape(PDE):\n    def solve(self, a):\n"
        "        return a[0]\n"
    )
    rows = [{"field": "solution", "x": 0.5, "y": 0.5, "value": 1.0, "noise_std": 0.1}]
    with pytest.raises(InputError, match=r"Wrong of own.py must run .* NameError in line 6"):
        reconstruct(rows, "own.py:Wrong", grid=16)
    with pytest.raises(InputError, match=r"(solve|surrogate) of Shape must return a tensor"):
        reconstruct(rows, "own.py:Shape", grid=16)


def test_a_plain_function_is_not_a_physics_and_the_remedy_makes_it_one(own):
    code = "import pdeinv\n\n\ndef decay(a):\n    return a / 2\n"
    (own / "dec.py").write_text(code)
    with pytest.raises(InputError, match=r"dec.py .*pde = pdeinv.pde_from_function\(decay"):
        pde_by_name("dec.py:decay")
    (own / "dec.py").write_text(code + "\n\npde = pdeinv.pde_from_function(decay, ['a', 'u'])\n")
    assert pde_by_name("dec.py:pde").solution_field.name == "u"

"""The page on fields that are not Gaussian is true: its commands and its program run."""

import shlex

import pytest
import xarray as xr
from helpers import ROOT, run_command
from matplotlib.image import imread
from readme_blocks import blocks

from pdeinv import Problem
from pdeinv.coefficients import CoefficientPrior
from pdeinv.solvers.selection import solver_for

PAGE = "docs/beyond.md"
TEXT = (ROOT / PAGE).read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the program and of the commands."""
    made = tmp_path_factory.mktemp("page")
    (toml,) = blocks("toml", PAGE)
    (made / "lenses.toml").write_text(toml)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for line in "\n".join(blocks("sh", PAGE)).splitlines():
            run_command(*shlex.split(line)[1:])
        for code in blocks("python", PAGE):
            exec(code, {"__name__": "page"})
    return made


def test_the_figure_is_that_of_the_program(folder):
    drawn, shown = imread(folder / "beyond.png"), imread(ROOT / "docs/figures/beyond.png")
    assert drawn.shape == shown.shape and abs(drawn - shown).mean() < 0.02


def test_the_result_has_what_the_page_names(folder):
    result = xr.load_dataset(folder / "lenses.nc")
    assert result.attrs["solver"] == "object-chains"
    for name in ("r_hat", "effective_sample_size", "log_evidence"):
        assert name in result.attrs and f"`{name}`" in TEXT
    assert float(result.permeability_probability.min()) >= 0
    truth = xr.load_dataset(folder / "truth.h5", engine="h5netcdf").permeability.values[0]
    wrong = ((result.permeability_probability.values > 0.5) != (truth > 15)).mean()
    assert wrong < min((truth > 15).mean(), (truth < 15).mean())


@pytest.mark.parametrize(
    ("kind", "numbers", "pde", "solver"),
    [
        ("channels", {}, "darcy", "object-chains"),
        ("inclusions", {}, "darcy", "object-chains"),
        ("spikes", {}, "helmholtz", "object-chains"),
        ("scenarios", {"lengths": [0.2], "angles": [0, 90]}, "poisson", "mixture"),
        ("vortices", {}, "navier-stokes", "optimal-interpolation"),
    ],
)
def test_auto_takes_the_solver_of_the_table(kind, numbers, pde, solver):
    prior = CoefficientPrior.of({"kind": kind, **numbers})
    problem = Problem(Problem.named(pde).physics, prior)
    assert solver_for("auto", problem.physics, problem.prior).name == solver
    assert f"| `{kind}` |" in TEXT and f"| `{solver}` |" in TEXT

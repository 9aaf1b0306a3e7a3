"""The page on MODFLOW is true: its programs and its commands run."""

import numpy as np
import pytest
from helpers import run_command
from readme_blocks import blocks

from pdeinv import InputError, Problem
from pdeinv.problems import read_conductivity

pytest.importorskip("flopy")
PAGE = "docs/modflow.md"


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        (table,) = blocks("csv", PAGE)
        (folder / "heads.csv").write_text(table)
        found = {"__name__": "page", "folder": folder}
        for code in blocks("python", PAGE):
            exec(code, found)
        yield found


def test_the_model_of_the_page_is_its_problem(scope):
    problem = scope["problem"]
    assert Problem.load(scope["folder"] / "site.toml") == problem
    assert (problem.grid.shape, problem.grid.kind) == ((16, 24), "cell")
    assert problem.grid.extent == (0.0, 1200.0, 0.0, 800.0)
    assert len(problem.physics.features) == 2 and len(problem.physics.wells) == 1
    assert (scope["k"] == 5.0).all()


def test_the_result_of_the_page_fits_its_readings_and_is_written(scope):
    result = scope["result"]
    assert 0.05 < result.attrs["reduced_chi_squared"] < 3
    for folder, field in (
        ("site-mean", result["hydraulic_conductivity_mean"]),
        ("site-5", result["hydraulic_conductivity_samples"][5]),
    ):
        written = read_conductivity(scope["folder"] / folder)
        np.testing.assert_allclose(written, field, rtol=1e-6)


def test_the_commands_of_the_page_run(scope, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "heads.csv").write_bytes((scope["folder"] / "heads.csv").read_bytes())
    (tmp_path / "site").symlink_to(scope["folder"] / "site")
    first, second = blocks("sh", PAGE)[1].splitlines()
    (tmp_path / "site.toml").write_text("other")
    with pytest.raises(InputError, match=r"site\.toml exists already"):
        run_command(*first.split()[1:])
    (tmp_path / "site.toml").unlink()
    assert "on 16 x 24 cells" in run_command(*first.split()[1:]).output
    run_command(*second.split()[1:], "--samples", "2")
    assert (tmp_path / "site.nc").exists()

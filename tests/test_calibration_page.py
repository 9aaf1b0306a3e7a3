"""The page on calibration is true: its commands and its program run, and find what they state."""

import shlex
import subprocess

import pytest
import xarray as xr
from helpers import ROOT, run_command
from readme_blocks import blocks

from pdeinv.solvers.calibration.verdict import SIGNIFICANT

PAGE = "docs/calibration.md"
TEXT = (ROOT / PAGE).read_text()


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    """The names of the program, after the commands, in a folder with the files of both."""
    folder = tmp_path_factory.mktemp("page")
    (toml,) = blocks("toml", PAGE)
    (folder / "sources.toml").write_text(toml)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = {"__name__": "page", "folder": folder}
        for line in "\n".join(blocks("sh", PAGE)).splitlines():
            if line.startswith("pdeinv"):
                run_command(*shlex.split(line)[1:])
            else:
                subprocess.run(line, shell=True, check=True)
        for code in blocks("python", PAGE):
            exec(code, found)
        yield found


def test_the_right_problem_passes_and_the_other_does_not(scope):
    right, half = (xr.load_dataset(scope["folder"] / f"{name}.nc") for name in ("right", "half"))
    assert right.sizes["draw"] == half.sizes["draw"] == 40
    assert half.attrs["p_value"] < SIGNIFICANT < right.attrs["p_value"]
    assert half.attrs["verdict"].startswith("the intervals are too narrow")
    assert f"below {SIGNIFICANT:g}" in " ".join(TEXT.split())


def test_the_program_has_the_same_verdict(scope):
    assert scope["result"].attrs["verdict"].startswith("the intervals are too narrow")


def test_the_figures_are_drawn(scope):
    for name in ("half", "python"):
        assert (scope["folder"] / f"{name}.png").stat().st_size > 20_000
    assert (ROOT / "docs/figures/calibration.png").exists()

"""The page on quantities is true: its command and its program run."""

import numpy as np
import pytest
from helpers import run_command
from matplotlib.image import imread
from readme_blocks import ROOT, blocks

import pdeinv
from pdeinv.quantities.text import FORMS, parse_quantity

PAGE = "docs/quantities.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        run_command("problem", "aquifer")
    return made


@pytest.mark.filterwarnings("ignore")
def test_the_command_prints_each_quantity(folder, monkeypatch):
    monkeypatch.chdir(folder)
    _, *second = blocks("sh", PAGE)[0].splitlines()
    command = " ".join(second).replace("\\", "").split()[1:]
    quick = ["16" if word == "24" else "4" if word == "99" else word for word in command]
    printed = run_command(*quick).output
    for name in ("outflow ", "mean_log_hydraulic_conductivity ", "time ", "head_exceeds_51 "):
        assert f"\n{name}" in printed
    assert "m3 day-1 (90 %: " in printed
    found = pdeinv.open_result("aquifer.nc")
    assert found.sizes["quantity"] == 3 and "head_exceeds_51" in found


@pytest.mark.filterwarnings("ignore")
def test_the_program_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (code,) = blocks("python", PAGE)
    scope = {}
    exec(code.replace("grid=24", "grid=16").replace("n_samples=99", "n_samples=4"), scope)
    result, lowest = scope["result"], scope["lowest"]
    assert np.array_equal(lowest["samples"], result["head_samples"].min(("y", "x")))
    assert {"quantity_mean", "quantity_low", "high"} <= {*result.data_vars}


def test_the_forms_of_the_page_are_known():
    table = [line for line in (ROOT / PAGE).read_text().splitlines() if line.startswith("| `")]
    texts = [part for line in table for part in line.split("|")[1].split("`")[1::2]]
    assert {text.split(":")[0] for text in texts} == {*FORMS}
    for text in texts:
        if "geojson" not in text:
            parse_quantity(text)


def test_the_figure_has_content():
    assert imread(ROOT / "docs/figures/quantities.png").std() > 0.05

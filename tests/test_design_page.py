"""The page on designs is true: its program and its command run."""

import pandas as pd
import pytest
from helpers import run_command
from matplotlib.image import imread
from readme_blocks import blocks

PAGE = "docs/design.md"


def test_the_program_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python", PAGE)
    scope = {}
    exec(code.replace("grid=32", "grid=16"), scope)
    assert scope["plan"].sizes["reading"] == 3 and scope["plan"].sizes["sensor"] == 4
    assert imread(tmp_path / "next.png").std() > 0.05


@pytest.mark.filterwarnings("ignore::pdeinv.errors.InputWarning")
def test_the_command_writes_the_places(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    first, *second = blocks("sh", PAGE)[0].splitlines()
    run_command(*first.split()[1:])
    command = " ".join(second).replace("\\", "").split()[1:]
    quick = "--grid 20 --add 2 --solver optimal-interpolation --draws 30"
    printed = run_command(*command, *quick.split()).output
    assert "is worth least" in printed and printed.count("after head at") == 2
    table = pd.read_csv("next.csv")
    assert list(table.columns) == ["field", "x", "y", "std_after"] and len(table) == 2

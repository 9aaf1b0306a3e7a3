"""The five-minute start is true: its commands and its programs run in order."""

from pathlib import Path

from helpers import run_command
from matplotlib.image import imread
from readme_blocks import blocks

PAGE = "docs/start.md"


def test_every_block_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for ending in ("csv", "toml"):
        (content,) = blocks(ending, PAGE)
        Path(f"mine.{ending}").write_text(content)
    example, mine = blocks("sh", PAGE)
    for command in (example + mine).splitlines():
        options = ["--grid", "20"] if "reconstruct" in command else []
        run_command(*command.split()[1:], *options)
    assert Path("mine.html").stat().st_size > 10_000
    capsys.readouterr()
    first, stored, own = blocks("python", PAGE)
    scope = {}
    for code in (first.replace("problem=problem", "problem=problem, grid=20"), stored):
        exec(code, scope)
    printed = capsys.readouterr().out.splitlines()
    assert "log-normal" in printed[0] and printed[1] == "none"
    assert printed[2].startswith("head at (1500, 600): 5")
    assert all(imread(f"{name}.png").std() > 0.05 for name in ("aquifer", "mine", "python"))
    exec(own.replace("noise=0.05", "noise=0.05, grid=20"), scope)
    assert len(scope["result"].sensor) == 5
    assert 0.05 < float(capsys.readouterr().out) < 2

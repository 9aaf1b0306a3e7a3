"""Progress: a bar on a terminal, elsewhere a line every ten seconds at most."""

import ast
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pdeinv import progress
from pdeinv.progress import Progress, print_above, progress_bar

LINE = re.compile(r"[\w -]+: \d+ of \d+, (\d+ s|\d+ min|\d+\.\d h) left(, .*)?\n")


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture(params=["file"])
def stream(request, monkeypatch):
    """Standard error; `clock.now` is the time in seconds."""
    stream = Stream(request.param == "terminal")
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr(Progress, "_last", -float("inf"))
    monkeypatch.setattr(progress, "_clock", lambda: stream.now)
    stream.now = 1000.0
    return stream


def work(stream, seconds, *, items=120, description="ensemble", **settings):
    for _ in progress_bar(range(items), description, **settings):
        stream.now += seconds / items
    return stream.getvalue()


def test_a_log_gets_a_line_every_ten_seconds_at_most(stream):
    lines = work(stream, 60).splitlines(keepends=True)
    assert 5 <= len(lines) <= 7
    assert all(LINE.fullmatch(line) for line in lines)
    assert lines[0] == "ensemble: 4 of 120, 58 s left\n"


def test_work_of_less_than_two_seconds_leaves_no_line(stream):
    assert work(stream, 1.9) == ""


def test_work_within_work_shares_the_ten_seconds(stream):
    for _ in progress_bar(range(30), "instances"):
        work(stream, 3, description="steps")
    assert 8 <= len(stream.getvalue().splitlines()) <= 10


def test_nothing_is_written_where_progress_is_not_wanted(stream):
    assert work(stream, 60, show=False) == ""
    with Progress(9, "training", show=False) as bar:
        stream.now += 50
        bar.update()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "left"), [(30, "28 s"), (600, "10 min"), (5390, "89 min"), (36000, "9.9 h")]
)
def test_the_time_left_is_in_readable_units(stream, seconds, left):
    assert f" {left} left\n" in work(stream, seconds, items=100).splitlines(keepends=True)[0]


def test_a_resumed_run_estimates_from_the_work_of_this_run(stream):
    with Progress(100, "training", unit="s", initial=90) as bar:
        stream.now += 20
        bar.note("loss=0.1")
        bar.update(5)
    assert stream.getvalue() == "training: 95 of 100 s, 20 s left, loss=0.1\n"


def test_work_of_unknown_length_is_counted(stream):
    for _ in progress_bar(iter(range(3)), "readings"):
        stream.now += 11
    assert stream.getvalue().splitlines() == ["readings: 1", "readings: 2", "readings: 3"]


@pytest.mark.parametrize("stream", ["terminal"], indirect=True)
def test_a_terminal_gets_a_bar(stream):
    with Progress(3, "poisson", unit="sample") as bar:
        bar.update(2)
        bar.describe("darcy")
    assert "darcy:  67%|" in stream.getvalue() and "\r" in stream.getvalue()


def test_a_line_of_a_log_is_printed_as_it_is(stream, capsys):
    print_above("step 3: 0.1")
    assert capsys.readouterr().out == "step 3: 0.1\n"


def test_the_program_writes_no_bars_into_a_file(tmp_path):
    command = "from pdeinv.cli import main; main()"
    arguments = ["generate", "poisson", "--n", "40", "--grid", "16", "--out", tmp_path / "p.h5"]
    with open(tmp_path / "log", "w+") as log:
        subprocess.run(
            [sys.executable, "-c", command, *map(str, arguments)],
            stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=True,
        )
        log.seek(0)
        text = log.read()
    assert "\r" not in text and "%|" not in text
    assert all(LINE.fullmatch(line) for line in text.splitlines(keepends=True))


def test_all_progress_goes_through_one_module():
    root = Path(__file__).parent.parent
    users = set()
    for folder in ("pdeinv", "datasets", "solvers", "benchmarks"):
        for file in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.split(".")[0] == "tqdm" for name in names):
                    users.add(file.relative_to(root).as_posix())
    assert users == {"pdeinv/progress.py"}

"""What a killed process leaves, the next run of the same command removes."""

import ast
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT

from pdeinv.datasets import Poisson, generate
from pdeinv.errors import InputError
from pdeinv.files import atomic_write
from pdeinv.temporary import _machine, _start_of, is_temporary

# The process dies when the last file is whole but not yet in its place, or in the middle of it
KILL = """
import os, signal, sys
last, replace = sys.argv[1], os.replace
def killed(old, new, **options):
    if os.path.basename(new) == last:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(old, new, **options)
os.replace = killed
"""
COMMANDS = {
    "generate": """
from pdeinv.datasets import Poisson, generate
generate(Poisson(), 20, 16, 0, "out", workers=1)
""",
    "checkpoint": """
import functools
from pdeinv.priors import NeuralOperator, Settings, TrainingData, train
data = TrainingData.read("data.h5")
make = functools.partial(NeuralOperator.untrained, width=4, modes=3)
train(make, data, "out", Settings(steps=2, batch=4))
""",
    "result": """
import xarray as xr
from pdeinv.files import save_netcdf
save_netcdf(xr.Dataset({"a": ("x", [1.0, 2.0])}), "out")
""",
}
KILLED_AT = [
    ("generate", "block-000000016.npz"),
    ("generate", "out"),
    ("checkpoint", "out.checkpoint"),
    ("result", "out"),
]


@pytest.mark.parametrize(("command", "last"), KILLED_AT, ids=" ".join)
def test_a_kill_in_the_middle_of_writing_leaves_nothing_after_the_next_run(
    command, last, tmp_path, poisson_file, monkeypatch
):
    (tmp_path / "data.h5").symlink_to(poisson_file)
    run = [sys.executable, "-c", KILL + COMMANDS[command], last]
    killed = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert any(is_temporary(path) for path in tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    exec(COMMANDS[command], {})
    assert {path.name for path in tmp_path.iterdir()} == {"data.h5", "out"}


WRITERS = {
    *("write_text", "write_bytes", "to_netcdf", "to_csv", "savefig", "savez", "save", "save_file"),
    "dump",
}


def test_every_file_is_written_under_a_temporary_name():
    written = {}
    for folder in ("pdeinv", "datasets", "solvers", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text())):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                    continue
                text = ast.unparse(call)
                # Without a file it returns the text; that of sensors writes whole files
                if call.func.attr == "to_csv" and (not call.args or text.startswith("sensors.")):
                    continue
                if call.func.attr in WRITERS and not re.search(r"temporary|stream|/proc/", text):
                    written[f"{file.relative_to(ROOT)}:{call.lineno}"] = text
    whole = ("priors.save(", "prepared.save(")  # write under a temporary name themselves
    assert {text for text in written.values() if not text.startswith(whole)} == set()
    assert "temporary" in (ROOT / "pdeinv" / "priors" / "stored.py").read_text()


def test_the_blocks_of_a_finished_dataset_are_removed(tmp_path):
    code = "import os, shutil, signal\nshutil.rmtree = lambda *a, **k: os.kill(os.getpid(), 9)\n"
    run = [sys.executable, "-c", code + COMMANDS["generate"]]
    assert subprocess.run(run, cwd=tmp_path).returncode == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.parts", ".out.lock"}
    with pytest.raises(InputError, match="exists already"):
        generate(Poisson(), 21, 16, 0, tmp_path / "out")  # another dataset: not its blocks
    assert (tmp_path / "out.parts").is_dir()
    with pytest.raises(InputError, match="exists already"):
        generate(Poisson(), 20, 16, 0, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_only_temporaries_of_dead_processes_are_swept(tmp_path):
    me, mine = os.getpid(), _start_of(os.getpid())
    kept = {
        f".out.{_machine()}-{me}-{mine}-9.partial": 0,  # of a living process, however old
        f".out.{_machine()}-{os.getppid()}-{_start_of(os.getppid())}-0.partial": 3,
        ".out.0123abcd-77-5-0.partial": 0,  # of another machine
        f".out.b.{_machine()}-999999999-5-0.partial": 3,  # of another file
        ".out.notes.partial": 3,  # of somebody else
        "out.partial": 3,
    }
    swept = {
        f".out.{_machine()}-999999999-5-0.partial": 0,
        f".out.{_machine()}-{me}-{int(mine or 0) + 1}-0.partial": 0,  # the number came again
        ".out.0123abcd-77-5-1.partial": 3,
        ".out.77.partial": 3,  # of an earlier version
    }
    for name, days in (kept | swept).items():
        (tmp_path / name).touch()
        then = time.time() - days * 86400
        os.utime(tmp_path / name, (then, then))
    with atomic_write(tmp_path / "out") as temporary:
        temporary.write_text("done")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "out"}


def test_a_name_of_the_greatest_length_is_written(tmp_path):
    path = tmp_path / ("n" * 255)
    with atomic_write(path) as temporary:
        temporary.write_text("done")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]

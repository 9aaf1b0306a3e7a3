"""Two writers of one file: the second is refused, and a lock ends with its process."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pdeinv import calibrate
from pdeinv.benchmarks.kinds import Kind
from pdeinv.benchmarks.records import JsonLines
from pdeinv.datasets import Poisson, Problem, generate
from pdeinv.errors import InputError
from pdeinv.locking import hold, sole_writer
from pdeinv.priors import Settings, TrainingData, train

pytest.importorskip("fcntl")
SQUARES = Kind("a square", dict[str, int], ("square",), ("n",))
OUTS = ("d.h5", "m.safetensors", "r.nc", "s.jsonl", "b.instances.jsonl", "b.jsonl", "c.nc", "p.csv")
# Without the package's other imports, which take seconds
HOLDER = """
import sys, time
from pdeinv.locking import hold
held = [hold(name) for name in sys.argv[1:]]
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path, monkeypatch):
    """Another process that is writing all of OUTS in the working directory."""
    monkeypatch.chdir(tmp_path)
    run = [sys.executable, "-c", HOLDER, *OUTS]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


READINGS = {"field": "potential", "x": [0.3, 0.7], "y": [0.4, 0.6], "value": 0.0}
COMMANDS = {
    "d.h5": "generate poisson --n 8 --grid 16 --workers 1 --out d.h5",
    "m.safetensors": "train data.h5 --model gaussian --out m.safetensors",
    "r.nc": "reconstruct s.csv --pde poisson --grid 16 --out r.nc",
    "b.jsonl": "benchmark --pde poisson --method gaussian --task inverse --grid 16 --samples 2 "
    "--sensors 5 --instances 1 --out b.jsonl",
    "s.jsonl": "study plans --case poisson --grid 16 --instances 1 --out s.jsonl",
    "p.csv": "design s.csv --pde poisson --grid 16 --add 1 --out p.csv",
}


def test_the_second_writer_is_refused_in_one_sentence(holder, pdeinv, poisson_file):
    Path("data.h5").symlink_to(poisson_file)
    Path("s.csv").write_text("field,x,y,value,noise_std\npotential,0.3,0.2,0.002,1e-4\n")
    before = sorted(os.listdir())
    for name, command in COMMANDS.items():
        code, _, message = pdeinv(*command.split())
        assert code == 2 and message.count("\n") == 1, (command, message)
        wanted = f"error: {name} must have one writer, and process {holder.pid} is writing it; "
        assert message.startswith(wanted), message
        assert message.endswith("wait until that has ended, or choose another name\n")
    data = TrainingData.read(poisson_file)
    with pytest.raises(InputError, match="must have one writer"):
        train(lambda _: pytest.fail("work"), data, "m.safetensors", Settings(steps=1))
    with pytest.raises(InputError, match="must have one writer"):
        calibrate(Problem(Poisson()), READINGS, noise=1e-3, draws=20, out="c.nc")
    with pytest.raises(InputError, match="must have one writer"):
        JsonLines("b.instances.jsonl", SQUARES)
    assert sorted(os.listdir()) == before


def test_the_lock_of_a_killed_process_blocks_nobody(holder):
    assert {f".{name}.lock" for name in OUTS} <= set(os.listdir())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert {f".{name}.lock" for name in OUTS} <= set(os.listdir())
    generate(Poisson(), 8, 16, 0, "d.h5", workers=1)
    log = JsonLines("s.jsonl", SQUARES)
    log.append({"n": 1, "square": 1})
    assert ".s.jsonl.lock" in os.listdir()
    del log
    left = {name for name in os.listdir() if name.startswith((".d", ".s", "d", "s"))}
    assert left == {"d.h5", "s.jsonl"}


def test_threads_exclude_each_other_and_blocks_nest(tmp_path):
    path, found = tmp_path / "out", []

    def second():
        try:
            with sole_writer(path):
                found.append("written")
        except InputError as error:
            found.append(str(error))

    with sole_writer(path):
        with sole_writer(path):
            threading.Thread(target=second).start()
            while not found:
                pass
        assert (tmp_path / ".out.lock").exists()
    assert "another thread is writing it" in found[0]
    second()
    assert found[1] == "written" and not list(tmp_path.iterdir())


def test_records_are_open_several_times_in_one_process(tmp_path):
    release, other = hold(tmp_path / "out"), hold(tmp_path / "out")
    release()
    assert (tmp_path / ".out.lock").exists()
    other()
    assert not list(tmp_path.iterdir())


def test_where_no_lock_can_be_made_nobody_is_refused(tmp_path, monkeypatch):
    with sole_writer(tmp_path / "missing" / "out"):
        pass
    import pdeinv.locking as locking

    def unsupported(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locking.fcntl, "lockf", unsupported)
    with sole_writer(tmp_path / "out"):
        pass
    monkeypatch.setattr(locking, "fcntl", None)
    with sole_writer(tmp_path / "out"):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_does_not_release_the_lock_of_its_parent(tmp_path):
    with sole_writer(tmp_path / "out"):
        release = hold(tmp_path / "out")
        if not (child := os.fork()):
            release()
            os._exit(0)
        os.waitpid(child, 0)
        assert (tmp_path / ".out.lock").exists()
        release()
    assert not list(tmp_path.iterdir())

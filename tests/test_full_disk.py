"""A full disk, or one that is protected: one sentence, exit code 2, and no file in part."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from pdeinv.appending import append_whole
from pdeinv.errors import InputError
from pdeinv.files import save_netcdf
from pdeinv.hdf5_output import HDF5Stream, hdf5_stream

resource = pytest.importorskip("resource")
PROGRAM = Path(__file__).with_name("full_disk.py")
SHARES = ("0", "0.6", "0.95")
WHOLE = {"plan.json", "block-000000000.npz", "block-000000016.npz"}  # a repeated run uses them


@pytest.fixture
def interruptible():
    """Take Ctrl-C as in a terminal, also where the tests run without one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ended(line):
    """Check how a writer ended on a full disk, and return its name."""
    found = json.loads(line)
    assert found["code"] == 2, found
    assert found["messages"].count("\n") == 1 and found["messages"].startswith("error: "), found
    assert any(why in found["messages"] for why in ("File too large", "No space left", "GB free"))
    if found["writer"] == "records":  # those that were written before
        text = found["files"].pop("out", 0)
        assert text < 60000
    assert {Path(name).name for name in found["files"]} <= WHOLE, found
    return found["writer"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_file_that_may_not_grow_is_one_sentence_for_every_writer(tmp_path):
    run = [sys.executable, PROGRAM, tmp_path, *SHARES]
    lines = subprocess.run(run, capture_output=True, text=True).stdout.splitlines()
    whole = [json.loads(line) for line in lines[:: len(SHARES) + 1]]
    assert len(whole) == 11 and all(one["code"] == 0 and one["files"] for one in whole), whole
    del lines[:: len(SHARES) + 1]
    assert [ended(line) for line in lines] == [w["writer"] for w in whole for _ in SHARES]


@pytest.mark.skipif(not shutil.which("unshare"), reason="a disk of its own")
def test_a_disk_without_space_is_one_sentence_for_every_writer(tmp_path):
    mount = 'mount -t tmpfs -o size=16k tmpfs "$0" && exec "$@"'
    run = ["unshare", "-rm", "sh", "-c", mount, tmp_path, sys.executable, PROGRAM, tmp_path]
    done = subprocess.run(run, capture_output=True, text=True)
    if not done.stdout and "Traceback" not in done.stderr:
        pytest.skip(f"no right to mount: {done.stderr}")
    assert len({ended(line) for line in done.stdout.splitlines()}) == 11, done.stderr


@pytest.mark.skipif(not shutil.which("unshare"), reason="a disk of its own")
def test_a_protected_disk_is_one_sentence(tmp_path):
    mount = 'mount -t tmpfs -o ro tmpfs "$0" && cd "$0" && exec "$@"'
    code = (
        "from pdeinv.datasets import Poisson, generate\nfrom pdeinv.errors import run_cli\n"
        "run_cli(lambda: generate(Poisson(), 20, 16, 0, 'out', workers=1))"
    )
    run = ["unshare", "-rm", "sh", "-c", mount, tmp_path, sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True)
    if done.returncode != 2 and "mount" in done.stderr:
        pytest.skip(f"no right to mount: {done.stderr}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: out cannot be written: no permission in the folder")


class Refused(HDF5Stream):
    """A stream whose disk is full from a number of writes on."""

    def __init__(self, path, writes):
        super().__init__(path)
        self.left = writes

    def write(self, data):
        self.left -= 1
        if self.left < 0 and self.failure is None:
            self.failure = OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("writes", [0, 1, 2, 5, 20, 40])
def test_hdf5_reads_again_what_the_disk_refused(writes, tmp_path):
    values = np.random.default_rng(0).standard_normal((40, 64, 64))
    with Refused(tmp_path / "out", writes) as stream:
        with h5py.File(stream, "w") as file:
            chunks = file.create_dataset("a", values.shape, "f4", chunks=(1, 64, 64))
            for i, one in enumerate(values):
                chunks[i] = one
            file.create_dataset("b", data=values)
            file.flush()
            np.testing.assert_array_equal(file["b"][()], values)
        with h5py.File(stream, "r") as file:
            np.testing.assert_array_equal(file["a"][()], values.astype("f4"))
        with pytest.raises(OSError, match="No space left"):
            stream.check()


def test_an_interruption_waits_until_hdf5_has_closed_its_file(tmp_path, interruptible):
    steps = []
    with pytest.raises(KeyboardInterrupt), hdf5_stream(tmp_path / "out") as stream:
        with h5py.File(stream, "w") as file:
            os.kill(os.getpid(), signal.SIGINT)
            file["a"] = np.arange(1000.0)
            steps.append("written")
        steps.append("closed")
    assert steps == ["written", "closed"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_result_has_the_content_that_xarray_writes(tmp_path):
    values = np.arange(12.0).reshape(3, 4)
    made = xr.Dataset({"a": (("y", "x"), values), "t": ("y", ["p", "q", "é"])}, {"x": range(4)})
    made = made.assign(k=((), "text")).assign_attrs(n=1, text="ü", several=[1.0, 2.0])
    save_netcdf(made, tmp_path / "ours.nc")
    made.to_netcdf(tmp_path / "theirs.nc", engine="h5netcdf", encoding={"a": {"zlib": True}})
    ours, theirs = (xr.load_dataset(tmp_path / f"{name}.nc") for name in ("ours", "theirs"))
    xr.testing.assert_identical(ours, theirs)
    assert ours["a"].encoding["zlib"] and ours["a"].encoding["zlib"] == theirs["a"].encoding["zlib"]


def test_what_cannot_be_appended_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path, write = tmp_path / "records", os.write
    append_whole(path, b"one\n")

    def half(descriptor, content):
        if len(content) < 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[: len(content) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(InputError, match="records cannot be written"):
        append_whole(path, b"another\n")
    assert path.read_bytes() == b"one\n"
    with pytest.raises(InputError, match="new cannot be written"):
        append_whole(tmp_path / "new", b"another\n")
    assert [p.name for p in tmp_path.iterdir()] == ["records"]

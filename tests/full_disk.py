"""Run each writer of files on a disk that is full: `full_disk.py FOLDER SHARE...`, as a program.

Each writer runs in a fork, so that its end is the end of a process, with the clean-up of HDF5. With
shares the largest file is limited to these shares of the writer's largest one; without, the folder
is on a disk that is too small for all of it. A line of JSON states how each fork ended.
"""

import gc
import json
import os
import resource
import signal
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr

from pdeinv.benchmarks.kinds import Kind
from pdeinv.benchmarks.records import JsonLines, write_records
from pdeinv.datasets import Poisson, generate
from pdeinv.datasets.function_results import Memory, Results
from pdeinv.errors import run_cli
from pdeinv.files import save_figure, save_netcdf
from pdeinv.grid import Grid
from pdeinv.priors.stored import write_tensors
from pdeinv.sensors import Sensors
from pdeinv.solvers.plans import prepare
from pdeinv.solvers.plans.storage import save_plan

NOISE = np.random.default_rng(0).standard_normal((64, 64, 16))  # does not compress
PLACES = NOISE[:2].reshape(2, -1)[:, :640] % 1
TABLE = {"field": "potential", "x": PLACES[0], "y": PLACES[1], "value": 0.0}
SQUARES = Kind("a square", dict[str, int | str], ("square",), ("n",))


def append():
    log = JsonLines("out", SQUARES)
    for n in range(100):
        log.append({"n": n, "square": n * n, "text": "t" * 500})


def figure(kind):
    def write():
        figure, axes = plt.subplots()
        axes.imshow(NOISE[..., 0])
        save_figure(figure, f"out.{kind}")

    return write


def results():
    store = Results("digest", Grid(64, 64), 1, Memory(), Path.cwd())
    store.of(NOISE[None, None, ..., 0], lambda chunk: chunk[1], [0], batched=True)


def plan():
    few = {"field": "potential", "x": PLACES[0, :64], "y": PLACES[1, :64], "value": 0.0}
    save_plan(prepare(few, pde=Poisson(), noise=1e-3, grid=16, n_samples=2), "out")


WRITERS = {
    "dataset": lambda: generate(Poisson(), 20, 16, 0, "out", workers=1),
    "result": lambda: save_netcdf(xr.Dataset({"a": (("x", "y", "z"), NOISE)}), "out"),
    "plan": plan,
    "model": lambda: write_tensors("out", {"a": torch.from_numpy(NOISE)}, "format", "{}"),
    "records": append,
    "summaries": lambda: write_records("out", [{"text": "t" * 20000}]),
    "function": results,
    "sensors": lambda: Sensors(TABLE).to_csv("out"),
    "png": figure("png"),
    "pdf": figure("pdf"),
    "svg": figure("svg"),
}


def forked(folder, writer, limit):
    """Return the exit code, the messages and the files of a writer in a fork."""
    folder.mkdir()
    read, write = os.pipe()
    if not (process := os.fork()):
        os.chdir(folder)
        os.dup2(write, 2)
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        run_cli(WRITERS[writer])
        sys.exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        messages = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    files = {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    return {"writer": writer, "limit": limit, "code": code, "messages": messages, "files": files}


def main(folder, *shares):
    torch.set_num_threads(1)  # a fork has no other threads
    gc.freeze()  # the end of a fork need not collect what was imported before it
    for writer in WRITERS:
        if not shares:
            print(json.dumps(forked(folder / writer, writer, None)), flush=True)
            continue
        whole = forked(folder / f"{writer}-whole", writer, 10**9)
        print(json.dumps(whole), flush=True)
        for share in shares:
            limit = int(float(share) * max(whole["files"].values()))
            print(json.dumps(forked(folder / f"{writer}-{share}", writer, limit)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

"""Work on a dask cluster: the results of one process, and nothing lost where a worker dies."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from cells import CELLS
from distributed import Client, LocalCluster
from helpers import read_lines, run_command
from test_replicates import readings

from pdeinv import InputError, NumericalError, Problem, cluster, parallel, reconstruct, schedulers
from pdeinv.benchmarks.runner import run_cells
from pdeinv.cluster import code_version
from pdeinv.datasets import Poisson, generate
from pdeinv.datasets.blocks import Blocks
from pdeinv.schedulers import local_cluster
from pdeinv.solvers import MisfitWarning


@pytest.fixture(scope="module")
def address():
    with local_cluster(2) as found:
        yield found


def for_each(function, items, address, report=lambda *_: None):
    parallel.for_each(function, items, 1, report, scheduler=address)


def test_a_killed_worker_loses_nothing(address, tmp_path):
    marker = tmp_path / "killed"

    def square(n):
        if n == 7 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return n * n, os.getpid()

    found = {}
    for_each(square, range(30), address, found.__setitem__)
    assert marker.exists()
    assert {n: square for n, (square, _) in found.items()} == {n: n * n for n in range(30)}
    assert os.getpid() not in {pid for _, pid in found.values()}


def test_an_item_that_kills_every_worker_ends_the_run(address):
    def die(_):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(NumericalError, match="died one after the other at the same item"):
        for_each(die, [0], address)
    with Client(address) as client:
        client.wait_for_workers(2, timeout=240)


def test_a_dataset_is_the_same_to_the_byte(address, poisson_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workers are elsewhere
    out = generate(Poisson(), 40, 16, 3, "p.h5", scheduler=address)
    assert out.read_bytes() == poisson_file.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["p.h5"]


def test_replicates_are_those_of_one_process_with_their_warnings(address):
    given = readings()
    given.loc[given.replicate == "2024-05-01", "value"] *= 100
    found = []
    for settings in ({}, {"scheduler": address}, {"workers": 2}):
        with pytest.warns(MisfitWarning, match="^replicate '2024-05-01': "):
            result = reconstruct(given, "poisson", grid=16, n_samples=2, **settings)
        found.append(result.drop_vars("seconds"))
    assert found[0].identical(found[1]) and found[0].identical(found[2])
    given.loc[3, "x"] = 5.0
    with pytest.raises(InputError, match=r"replicate .* row 3: x and y must be in the domain"):
        reconstruct(given, "poisson", grid=16, scheduler=address)


def test_records_are_those_of_one_process(address, tmp_path):
    cells = CELLS[:2]
    run_cells(cells, tmp_path / "one.jsonl")
    run_cells(cells, tmp_path / "two.jsonl", scheduler=address)
    one, two = (
        {(r["method"], r["task"], r["instance"], r["metric"], r["field"]): r["error"] for r in rows}
        for rows in (read_lines(tmp_path / f"{n}.instances.jsonl") for n in ("one", "two"))
    )
    assert one.keys() == two.keys()
    assert [*one.values()] == pytest.approx([one[k] and two[k] for k in one], rel=1e-6)


def test_errors_are_those_of_the_function(address):
    def fail(n):
        raise InputError(f"n must be even, got {n}; add one")

    with pytest.raises(InputError, match="n must be even, got 1; add one"):
        for_each(fail, [1], address)


def test_ctrl_c_cancels_what_is_left(address, tmp_path):
    def touch(n):
        time.sleep(0.05)
        (tmp_path / str(n)).touch()

    def stop(n, _):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for_each(touch, range(60), address, stop)
    time.sleep(1.0)
    assert 1 <= len(list(tmp_path.iterdir())) < 20


def test_workers_of_another_version_are_refused(address, monkeypatch):
    monkeypatch.setattr(cluster, "code_version", lambda: "pdeinv 9 with torch 1")
    with pytest.raises(InputError, match=r"must run pdeinv 9 with torch 1, got pdeinv .* at tcp:"):
        for_each(abs, [1], address)
    monkeypatch.setattr(cluster, "_check_workers", lambda *_: None)  # one that comes later
    with pytest.raises(InputError, match=r"must run pdeinv .* at a worker; install the same"):
        for_each(abs, [1], address)
    assert code_version() != cluster.code_version()


def test_workers_of_several_threads_and_a_scheduler_without_workers_are_refused(monkeypatch):
    monkeypatch.setattr(schedulers, "PATIENCE", 1.0)
    settings = {"processes": False, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=0, threads_per_worker=3, **settings) as made:
        with pytest.raises(InputError, match=r"must have workers, got none within 1 s; start some"):
            for_each(abs, [1], made.scheduler_address)
        made.scale(1)
        with pytest.raises(InputError, match=r"must have one thread, got 3 at .* --nthreads 1"):
            for_each(abs, [1], made.scheduler_address)


def test_a_scheduler_that_is_lost_ends_the_run(monkeypatch):
    monkeypatch.setattr(cluster, "_ALONE", 2.0)
    monkeypatch.setattr(cluster, "_LOOK", 0.5)
    settings = {"processes": False, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=1, threads_per_worker=1, **settings) as made:

        def close(n, _):
            made.scale(0)

        with pytest.raises(NumericalError, match=r"all workers .* are gone; start workers"):
            for_each(abs, range(50), made.scheduler_address, close)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("tcp://127.0.0.1:1", r"no scheduler answers at tcp://127\.0\.0\.1:1 .*`dask scheduler`"),
        ("foo://x:1", "no scheduler answers at foo://x:1"),
        ("nowhere.json", "scheduler file nowhere.json must hold the address"),
        ("", "scheduler must be 'local', an address or a scheduler file, got ''"),
        (8786, "scheduler must be .* got 8786; write it as tcp://host:8786"),
    ],
)
def test_a_scheduler_that_cannot_be_reached_is_refused(scheduler, message, monkeypatch, tmp_path):
    monkeypatch.setattr(schedulers, "PATIENCE", 1.0)
    start = time.monotonic()
    with pytest.raises(InputError, match=message):
        generate(Poisson(), 2, 8, 0, tmp_path / "p.h5", scheduler=scheduler)
    assert time.monotonic() - start < 20  # on a busy machine
    assert not any(tmp_path.iterdir())


def test_a_number_of_workers_is_that_of_a_local_cluster(tmp_path):
    given = {"scheduler": "tcp://here:1"}
    with pytest.raises(InputError, match="workers must be left out with the scheduler tcp://here"):
        generate(Poisson(), 2, 8, 0, tmp_path / "p.h5", workers=2, **given)
    with pytest.raises(InputError, match="workers must be left out"):
        run_cells(CELLS[:1], tmp_path / "r.jsonl", processes=2, **given)
    with pytest.raises(InputError, match="workers must be left out"):
        reconstruct(readings(), "poisson", grid=16, workers=2, **given)


def test_a_local_cluster_from_a_script_without_a_guard(poisson_file, tmp_path):
    code = (
        "from pdeinv.datasets import *\n"
        "generate(Poisson(), 40, 16, 3, 'p.h5', workers=2, scheduler='local')"
    )
    ran = subprocess.run(
        [sys.executable, "-"],
        input=code,
        text=True,
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert ran.stderr == ""
    assert (tmp_path / "p.h5").read_bytes() == poisson_file.read_bytes()


def test_a_folder_that_a_worker_lacks_is_refused(tmp_path):
    blocks = Blocks(Problem(Poisson()), 0, 2, Poisson().grid(8), 0, tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"all workers share, got none .*{socket.gethostname()}"):
        blocks.store(0)


def test_the_commands_take_a_scheduler(address, tmp_path):
    table, out = tmp_path / "s.csv", tmp_path / "r.nc"
    readings().to_csv(table, index=False)
    made = ["--pde", "poisson", "--grid", "16", "--samples", "2", "--scheduler", address]
    assert run_command("reconstruct", table, "--out", out, *made).exit_code == 0
    shards = ["--n", "40", "--grid", "16", "--out", tmp_path / "p.h5", "--shards", "2"]
    assert run_command("generate", "poisson", *shards, "--scheduler", address).exit_code == 0
    assert sorted(file.name for file in tmp_path.glob("p*")) == ["p-0001.h5", "p-0002.h5"]
    assert np.isfinite(out.stat().st_size)

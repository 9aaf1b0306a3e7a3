"""Many reconstructions, in threads and in forked processes: the same answers, nothing changed."""

import multiprocessing
import os
import threading
import warnings

import pytest
import torch
from helpers import read_lines, surroundings

from pdeinv.benchmarks import soak_parts
from pdeinv.benchmarks.studies.soak import run, soak_table
from pdeinv.caught import ignored_warnings
from pdeinv.torch_state import default_dtype, one_thread


@pytest.mark.parametrize("part", soak_parts.PARTS)
def test_a_part_makes_the_same_answers_and_changes_nothing(part, tmp_path, monkeypatch):
    few = [soak_parts.Case("poisson", 0), soak_parts.Case("helmholtz", 1)]
    monkeypatch.setattr(soak_parts, "_cases", lambda: few)
    out, lines = tmp_path / "soak.jsonl", []
    given = {"parts": [part], "count": 4, "workers": 2}
    (record,) = run(out, **given, echo=lines.append)
    assert (record["failed"], record["hung"], record["different"]) == (0, 0, 0)
    assert record["changed"] == "" and record["files_after"] <= record["files_before"]
    assert "| nothing |" in soak_table([record])
    assert run(out, **given, echo=lines.append) == read_lines(out) and len(lines) == 1


def overlapping(block):
    """Open a block in two threads, of which the first ends first."""
    opened, closed = threading.Event(), threading.Event()

    def late():
        with block():
            opened.set()
            closed.wait(10)

    thread = threading.Thread(target=late)
    with block():
        thread.start()
        opened.wait(1)  # which a block for one thread at a time does not let happen
    closed.set()
    thread.join()


def overlap_all():
    """Let blocks of each kind overlap, and check that the process is as before."""
    torch.set_num_threads(2)
    for block in (one_thread, lambda: default_dtype(torch.float64), ignored_warnings):
        before, filters = surroundings(), list(warnings.filters)
        overlapping(block)
        assert surroundings() == before and warnings.filters == filters, block


def test_blocks_of_two_threads_that_overlap_put_all_back():
    # In a process of its own: threads of other tests may be in such a block
    process = multiprocessing.get_context("spawn").Process(target=overlap_all)
    process.start()
    process.join(120)
    assert process.exitcode == 0


def test_a_forked_process_computes_after_its_parent_has_used_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        x = torch.ones(2000, 2000)
        total = float(x.exp().sum())  # in two threads, which the child does not have
        child = os.fork()
        if child == 0:
            os._exit(0 if abs(float(x.exp().sum()) / total - 1) < 1e-4 else 1)
        deadline = threading.Timer(60, os.kill, (child, 9))
        deadline.start()
        assert os.waitpid(child, 0)[1] == 0
        deadline.cancel()
    finally:
        torch.set_num_threads(threads)

"""Run cells, write the records of each instance as soon as it is done, and summarise them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import torch

from pdeinv.benchmarks.cells import Cell
from pdeinv.benchmarks.kinds import INSTANCES
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record, cell_key, write_records
from pdeinv.benchmarks.scoring import score
from pdeinv.benchmarks.summary import summarise
from pdeinv.benchmarks.tasks import Task
from pdeinv.files import check_writable
from pdeinv.parallel import for_each
from pdeinv.progress import Progress
from pdeinv.schedulers import check_scheduler
from pdeinv.torch_state import checked_device

__all__ = ["instances_file", "run", "run_cells"]

_Job: TypeAlias = tuple[Cell, int, str, str]
"""A cell, the number of an instance, the command for its record, and the device."""


def run(
    task: Task,
    method: str,
    instances: int,
    out: str | os.PathLike[str],
    *,
    command: str = "",
    progress: bool = False,
    **options: Any,
) -> list[Record]:
    """Score one method on one task by `run_cells`; further options as in `Cell`."""
    return run_cells(
        [Cell(task, method, instances, **options)], out, command=command, progress=progress
    )


def run_cells(
    cells: Iterable[Cell],
    out: str | os.PathLike[str],
    *,
    command: str = "",
    progress: bool = False,
    processes: int = 1,
    scheduler: str | None = None,
    device: str = "cpu",
) -> list[Record]:
    """Score methods on tasks; a repeated run keeps the instances that the file has and goes on.

    Arguments:
        cells: what to run, in this order.
        out: JSON-lines file of summaries in a folder that exists, rewritten at the end. Records of
            instances are appended to `instances_file(out)`, each as soon as it is done.
        command: command to type for the same records.
        progress: show a bar.
        processes: number of worker processes, one thread each; 1 for all threads on one instance
            after the other.
        scheduler: of dask, whose workers score instances, as of
            `pdeinv.schedulers.check_scheduler`; a `"local"` one has as many as `processes`.
        device: of torch, on which solvers compute.

    Returns:
        The cells' summaries, a record for each scored field and metric.

    Raises:
        InputError: a cell cannot run, the file cannot be written, or the scheduler has no workers
            that can be used.
    """
    check_scheduler(scheduler, None if processes == 1 else processes)
    cells, out = list(cells), check_writable(out)
    checked_device(device, torch.float64)
    for cell in cells:
        cell.check()
    log = JsonLines(instances_file(out), INSTANCES, lambda row: (cell_key(row), row["instance"]))
    keys = {cell_key(cell.key()): cell for cell in cells}
    jobs = [
        (cell, i, command, device)
        for key, cell in keys.items()
        for i in range(cell.instances)
        if (key, i) not in log
    ]
    with Progress(len(jobs), show=progress and bool(jobs), unit="instance") as bar:

        def keep(job: _Job, rows: list[Record]) -> None:
            bar.describe(f"{job[0].task.pde} {job[0].task.kind} {job[0].method}")
            log.append(*rows)
            bar.update()

        if processes > 1 or scheduler:
            for_each(_score_instance, jobs, processes, keep, scheduler=scheduler)
        else:
            for job in jobs:
                keep(job, _score_instance(job))
    records = summarise(log.read())
    write_records(out, records)
    return [r for r in records if cell_key(r) in keys]


def instances_file(out: Path) -> Path:
    """Return the file of the instances that belongs to a file of summaries."""
    return out.with_name(f"{out.stem}.instances.jsonl")


def _score_instance(job: _Job) -> list[Record]:
    cell, i, command, device = job
    key, rows = cell.key(), score(cell.task, *cell.prepare(), i, cell.samples, device)
    more = {"rows": len(rows), **provenance(command)}
    if cell.prior:
        more["prior"] = key["given_prior"]
    return [{**key, **row, **more} for row in rows]

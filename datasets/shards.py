"""Datasets of several files: who writes them, and their names."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pdeinv.checks import Bounds, integer
from pdeinv.datasets.blocks import BLOCK, Blocks
from pdeinv.files import atomic_write
from pdeinv.parallel import for_each
from pdeinv.progress import Progress
from pdeinv.schedulers import LOCAL, check_scheduler

__all__ = ["Shards", "Staff", "shard_files", "shard_pattern"]

_WORKERS = Bounds(1, 1024)
_DIGITS = 4  # of a shard's number in a name, at least


def shard_files(out: Path, shards: int) -> list[Path]:
    """Return the names of the shards of a file, with numbers from 1."""
    digits = max(_DIGITS, len(str(shards)))
    return [out.with_name(f"{out.stem}-{i:0{digits}d}{out.suffix}") for i in range(1, shards + 1)]


def shard_pattern(out: Path) -> Path:
    """Return the pattern of the names of a file's shards."""
    return out.with_name(f"{out.stem}-*{out.suffix}")


class Staff(NamedTuple):
    """Who computes.

    Arguments:
        workers: number of processes; None for as many as are worth starting.
        scheduler: of dask, or None.
    """

    workers: int | None
    scheduler: str | None

    @classmethod
    def of(cls, workers: int | None, scheduler: str | None) -> Staff:
        """Return the checked staff.

        Raises:
            InputError: the number or the scheduler is not allowed.
        """
        workers = None if workers is None else integer("workers", workers, _WORKERS)
        return cls(workers, check_scheduler(scheduler, workers))

    @property
    def cores(self) -> float:
        """Number of cores; infinity for a cluster, which may grow."""
        known = self.scheduler in (None, LOCAL)
        return float(self.workers or os.cpu_count() or 1) if known else math.inf

    def number(self, worthwhile: int) -> int:
        """Return the number of processes, if so many are worth starting."""
        most = os.cpu_count() or 1
        if self.scheduler is not None:
            return self.workers or most
        return self.workers or max(1, min(most, worthwhile))


@dataclass(frozen=True)
class Shards:
    """The files of a dataset, each the work of one worker.

    Arguments:
        blocks: all samples.
        settings: attributes of the files.
        files: their names.
    """

    blocks: Blocks
    settings: Mapping[str, object]
    files: Sequence[Path]

    def run(self, staff: Staff, progress: bool) -> None:
        """Write the files that are missing; of one that was begun the blocks that are missing."""
        missing = [i for i, file in enumerate(self.files) if not file.exists()]
        total, name = self.blocks.stop, self.blocks.problem.physics.name
        done = total - sum(map(self._samples, missing))
        with Progress(total, name, progress, unit="sample", initial=done) as bar:
            for_each(
                self.write,
                missing,
                staff.number(len(missing)),
                lambda i, _: bar.update(self._samples(i)),
                scheduler=staff.scheduler,
            )

    def write(self, i: int) -> None:
        """Compute and write a file; its blocks are removed once it is whole."""
        if self.files[i].exists():  # by a worker that was taken for lost
            return
        mine = self.part(i)
        for start in mine.starts:
            if mine.read(start) is None:
                mine.store(start)
        more = {
            "samples": mine.stop - mine.first,
            "shard": i + 1,
            "shards": len(self.files),
            "samples_of_all": self.blocks.stop,
        }
        with atomic_write(self.files[i]) as temporary:
            mine.assemble({**self.settings, **more}, temporary)
        for start in mine.starts:
            mine.file(start).unlink(missing_ok=True)

    def part(self, i: int) -> Blocks:
        """Return the samples of a file: whole blocks, but for the last of all."""
        whole = len(self.blocks.starts)
        first, stop = (BLOCK * (k * whole // len(self.files)) for k in (i, i + 1))
        return replace(self.blocks, first=first, stop=min(stop, self.blocks.stop))

    def _samples(self, i: int) -> int:
        mine = self.part(i)
        return mine.stop - mine.first

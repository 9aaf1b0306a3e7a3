"""The results of a slow function: kept in memory and in a folder, and computed by processes.

Each finished result is a file `<key>.npz` in the folder, written whole or not at all. The key is a
SHA-256 of the function's code and data (`code_digest`), the grid and the inputs. The file has the
arrays `inputs` (1, ny, nx), the coefficient, and `outputs` (outputs, ny, nx), float64; the outputs
of an unstable run are nan. Of an adjoint the inputs are the coefficient and the weights (1 +
outputs, ny, nx), and the outputs the gradient (1, ny, nx). A file that cannot be read, or has other
shapes, is computed again. Files may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pdeinv.files import atomic_write, ensure_folder
from pdeinv.grid import Grid
from pdeinv.parallel import for_each
from pdeinv.progress import Progress

__all__ = ["Memory", "Results"]

_MOST = 128e6  # bytes of results in memory
_BATCH = 32  # inputs in a call of a function of batches

Chunk: TypeAlias = tuple[tuple[str, ...], np.ndarray]
"""Keys, and their inputs (batch, inputs, ny, nx)."""


class Memory:
    """Arrays by key, of which the least recently used are dropped beyond a size.

    Arguments:
        most: bytes.
    """

    def __init__(self, most: float = _MOST) -> None:
        self.most, self.size = most, 0.0
        self.arrays: OrderedDict[str, np.ndarray] = OrderedDict()

    def get(self, key: str) -> np.ndarray | None:
        """Return an array, or None."""
        if key not in self.arrays:
            return None
        self.arrays.move_to_end(key)
        return self.arrays[key]

    def keep(self, key: str, array: np.ndarray) -> None:
        """Keep an array."""
        if key not in self.arrays:
            self.arrays[key] = array
            self.size += array.nbytes
        while self.size > self.most and self.arrays:
            self.size -= self.arrays.popitem(last=False)[1].nbytes


@dataclass(frozen=True)
class Results:
    """The results of a function for inputs on one grid.

    Arguments:
        digest: of the function.
        grid: of the inputs.
        outputs: number of the function's outputs.
        memory: keeps the results in this process.
        store: folder that keeps them; None for none.
        workers: number of processes.
        description: of the work, for the progress.
        keep: what the processes are kept for, as of `for_each`.
    """

    digest: str
    grid: Grid
    outputs: int
    memory: Memory = field(repr=False)
    store: Path | None = None
    workers: int = 1
    description: str = "solves"
    keep: str = ""

    def of(
        self,
        inputs: np.ndarray,
        compute: Callable[[Chunk], np.ndarray],
        chosen: list[int],
        *,
        batched: bool,
    ) -> np.ndarray:
        """Return some results (batch, chosen, ny, nx) of inputs (batch, inputs, ny, nx).

        Equal inputs are computed once. What is finished is kept at once.

        Arguments:
            inputs: float64.
            compute: returns the results of a chunk; it can be pickled.
            chosen: indices of the outputs that are returned; all are kept.
            batched: whether a chunk may have more than one instance.
        """
        keys = [self._key(one) for one in inputs]
        kept = ((key, self._kept(key)) for key in dict.fromkeys(keys))
        found = {key: None if value is None else value[chosen] for key, value in kept}
        places = {key: i for i, key in reversed(list(enumerate(keys)))}
        missing = [key for key, value in found.items() if value is None]
        alone = self.workers == 1 or multiprocessing.current_process().daemon
        workers = 1 if alone else self.workers
        size = min(_BATCH, -(-len(missing) // workers)) if batched and missing else 1
        chunks: list[Chunk] = []
        for start in range(0, len(missing), size):
            part = tuple(missing[start : start + size])
            chunks.append((part, inputs[[places[key] for key in part]]))
        slow = self.workers > 1 or self.store is not None
        with Progress(
            len(missing), self.description, slow and bool(missing), unit="solve", keep=False
        ) as bar:

            def finish(chunk: Chunk, values: np.ndarray) -> None:
                for key, given, value in zip(*chunk, values, strict=True):
                    found[key] = value[chosen]
                    self._keep(key, given, value)
                    bar.update()

            if workers > 1:
                for_each(compute, chunks, workers, finish, keep=self.keep)
            else:  # with the caller's threads
                for chunk in chunks:
                    finish(chunk, compute(chunk))
        values = [np.asarray(found[key]) for key in keys]
        return np.stack(values) if values else np.empty((0, len(chosen), *self.grid.shape))

    def _key(self, inputs: np.ndarray) -> str:
        grid = self.grid
        stated = (self.digest, self.outputs, grid.shape, grid.extent, grid.unit, grid.kind)
        return hashlib.sha256(repr(stated).encode() + inputs.tobytes()).hexdigest()

    def _kept(self, key: str) -> np.ndarray | None:
        value = self.memory.get(key)
        if value is None and self.store is not None:
            value = self._read(self.store / f"{key}.npz")
            if value is not None:
                self.memory.keep(key, value)
        return value

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            with np.load(path, allow_pickle=False) as archive:
                value = archive["outputs"]
        except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile):
            return None
        fits = value.shape == (self.outputs, *self.grid.shape) and value.dtype == np.float64
        return value if fits else None

    def _keep(self, key: str, inputs: np.ndarray, value: np.ndarray) -> None:
        self.memory.keep(key, value)
        if self.store is not None:
            ensure_folder(self.store)
            path = self.store / f"{key}.npz"
            with atomic_write(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, inputs=inputs, outputs=value)

"""Files that HDF5 writes, on a disk that may be full.

HDF5 cannot close a file after a write to it has failed. It tries again as the process ends, and
ends that by a segmentation fault. Here it writes to a stream that accepts every write. What failed
is raised when HDF5 has closed the file.
"""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["HDF5Stream", "hdf5_stream", "write_netcdf"]


class HDF5Stream(io.RawIOBase):
    """A file that `h5py.File` takes for a path; after its first failure all is kept in memory.

    Arguments:
        path: the file to write.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._place = 0
        self._kept: list[tuple[int, bytes]] = []
        self.failure: BaseException | None = None

    def check(self) -> None:
        """Raise what has failed, an interruption too; call this between large writes."""
        if self.failure is not None:
            raise self.failure

    def write(self, data: Any, /) -> int:
        """Write at the current place; keep in memory what the disk refuses."""
        view = memoryview(data).cast("B")
        start, done = self._place, 0
        try:
            while self.failure is None and done < len(view):
                done += os.pwrite(self._file.fileno(), view[done:], start + done)
        except BaseException as error:
            self.failure = error
        if done < len(view):
            self._kept.append((start + done, bytes(view[done:])))
        self._place = start + len(view)
        return len(view)

    def readinto(self, buffer: Any, /) -> int:
        """Read from the current place; what was never written is zero."""
        view = memoryview(buffer).cast("B")
        start, end = self._place, self._place + len(view)
        stored = os.pread(self._file.fileno(), len(view), start)
        view[:] = stored + bytes(len(view) - len(stored))
        for place, kept in self._kept:
            first, last = max(start, place), min(end, place + len(kept))
            if first < last:
                view[first - start : last - start] = kept[first - place : last - place]
        self._place = end
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the current place."""
        ends = [os.fstat(self._file.fileno()).st_size, *(p + len(kept) for p, kept in self._kept)]
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: max(ends)}[whence]
        self._place = origin + offset
        return self._place

    def tell(self) -> int:
        """Return the current place."""
        return self._place

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size of the file."""
        size = self._place if size is None else size
        try:
            if self.failure is None:
                os.ftruncate(self._file.fileno(), size)
        except BaseException as error:
            self.failure = error
        return size

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@contextmanager
def hdf5_stream(path: Path) -> Iterator[HDF5Stream]:
    """Yield a stream for `h5py.File`, which the block closes; raise what failed meanwhile.

    Arguments:
        path: the file to write.

    Raises:
        OSError: the disk is full, or refuses the file otherwise.
        KeyboardInterrupt: the block was interrupted; HDF5 is not, as it could not close the file.
    """
    with HDF5Stream(path) as stream, _interrupts_kept_by(stream):
        try:
            yield stream
        finally:
            stream.check()


def write_netcdf(
    dataset: xr.Dataset, path: Path, encoding: Mapping[Hashable, Mapping[str, Any]] | None = None
) -> None:
    """Write a dataset as NetCDF 4.

    Arguments:
        dataset: what to write.
        path: the file to write.
        encoding: as of `xarray.Dataset.to_netcdf`.

    Raises:
        OSError: the disk is full, or refuses the file otherwise.
    """
    import h5netcdf  # type: ignore[import-untyped]
    from xarray.backends import H5NetCDFStore

    # The way of every version of xarray that is supported; to_netcdf takes a stream in late ones
    with hdf5_stream(path) as stream, h5netcdf.File(stream, "w") as file:
        dataset.dump_to_store(H5NetCDFStore(file), encoding=dict(encoding or {}))


@contextmanager
def _interrupts_kept_by(stream: HDF5Stream) -> Iterator[None]:
    """Make Ctrl-C a failure of the stream; only the main thread ever meets it."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def keep(*_: object) -> None:
        stream.failure = stream.failure or KeyboardInterrupt()

    signal.signal(signal.SIGINT, keep)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

"""One writer for each file: a lock of the kernel, which ends with its process however that ends.

The lock is on an empty file `.<name>.lock` beside the file, which its holder removes. The file of
a killed process blocks nobody. Where the system or the file system has no locks, there are
none.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pdeinv.errors import InputError
from pdeinv.temporary import hidden_prefix

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["hold", "sole_writer"]

_HELD_BY_ANOTHER = {errno.EACCES, errno.EAGAIN}
_guard = threading.RLock()
_held: dict[tuple[int, str], tuple[int, int, int]] = {}
"""Descriptor, first thread and number of holders, by process and file: a fork inherits no lock."""


@contextmanager
def sole_writer(path: str | os.PathLike) -> Iterator[None]:
    """Be the one writer of a file during the block, which may have such blocks in it.

    Arguments:
        path: the file, which need not exist.

    Raises:
        InputError: another process or thread is writing the file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with sole_writer(folder / "result.nc"):
        ...     (folder / "result.nc").touch()
        >>> [path.name for path in folder.iterdir()]
        ['result.nc']
    """
    release = _acquired(Path(path), shared=False)
    try:
        yield
    finally:
        release()


def hold(path: str | os.PathLike) -> Callable[[], None]:
    """Make this process the one writer of a file, and return what ends that.

    All threads of this process may hold the same file.

    Arguments:
        path: as of `sole_writer`.

    Raises:
        InputError: another process is writing the file.
    """
    return _acquired(Path(path), shared=True)


def _acquired(path: Path, shared: bool) -> Callable[[], None]:
    lock = Path(os.path.realpath(path.parent)) / f"{hidden_prefix(path)}lock"
    key = os.getpid(), str(lock)
    with _guard:
        descriptor, thread, count = _held.get(key, (-1, threading.get_ident(), 0))
        if not (shared or thread == threading.get_ident()):
            raise _refusal(path, "another thread")
        if not count:
            descriptor = _locked(lock, path)
        _held[key] = descriptor, thread, count + 1
    return lambda: _release(key)


def _release(key: tuple[int, str]) -> None:
    if key[0] != os.getpid():  # of a fork's parent
        return
    with _guard:
        descriptor, thread, count = _held.pop(key)
        if count > 1:
            _held[key] = descriptor, thread, count - 1
        elif descriptor >= 0:
            with suppress(OSError):  # its folder may be gone
                os.unlink(key[1])
            os.close(descriptor)


def _locked(lock: Path, path: Path) -> int:
    """Return the descriptor of a locked file; -1 where there are no locks."""
    while fcntl is not None:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:  # a protected folder: whoever writes the file states it
            return -1
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its holder may have removed it between the two calls
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                with suppress(OSError):  # a full disk
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except FileNotFoundError:
            pass
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace")
            os.close(descriptor)
            if error.errno in _HELD_BY_ANOTHER:
                raise _refusal(path, f"process {holder}" if holder else "another process") from None
            return -1
        os.close(descriptor)
    return -1


def _refusal(path: Path, holder: str) -> InputError:
    return InputError(
        f"{path} must have one writer, and {holder} is writing it; wait until that has ended, or "
        f"choose another name"
    )

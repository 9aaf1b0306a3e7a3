"""Names of the files that `atomic_write` renames at its end, and the removal of abandoned ones."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["hidden_prefix", "is_temporary", "new_temporary", "sweep"]

_LONGEST = 150  # bytes of a file's name within a temporary one; file systems allow 255 for all
# A machine, a process, its start and a count; earlier versions wrote the process alone
_TOKEN = r"(?:([0-9a-f]{8})-(\d+)-(\d+)-\d+|\d+)"
_ABANDONED = 24 * 3600.0  # seconds after which a temporary file of another machine is nobody's
_NUMBERING = "/proc/self/ns/pid"  # which processes a number is one of
_count = itertools.count()


def new_temporary(path: Path) -> Path:
    """Return a name in the folder of a file that no other process takes."""
    process = os.getpid()
    return path.with_name(
        f"{hidden_prefix(path)}{_machine()}-{process}-{_start_of(process)}-{next(_count)}.partial"
    )


def is_temporary(path: Path) -> bool:
    """Return whether a file's name is one that `atomic_write` yields."""
    return re.fullmatch(rf"\..*\.{_TOKEN}\.partial", path.name, re.DOTALL) is not None


def hidden_prefix(path: Path) -> str:
    """Return how the temporary names of a file begin, short enough for any file system.

    Arguments:
        path: the file.
    """
    name = os.fsencode(path.name)
    if len(name) > _LONGEST:
        return f".{hashlib.sha256(name).hexdigest()[:32]}."
    return f".{path.name}."


def sweep(path: Path) -> None:
    """Remove the temporary files of dead processes that were writing `path`."""
    pattern = re.compile(rf"{re.escape(hidden_prefix(path))}{_TOKEN}\.partial", re.DOTALL)
    with suppress(OSError):  # a folder that cannot be listed, a file of another user
        for name in os.listdir(path.parent):
            match = pattern.fullmatch(name)
            if match and _is_dead(path.with_name(name), *match.groups()):
                path.with_name(name).unlink(missing_ok=True)


def _is_dead(temporary: Path, machine: str | None, process: str | None, start: str | None) -> bool:
    """Return whether nobody writes a temporary file any more.

    A process of this machine is looked up. Of others, which may share the folder, the file's age
    alone is known.
    """
    if process and machine == _machine():
        return _start_of(int(process)) != start
    try:
        return time.time() - temporary.stat().st_mtime > _ABANDONED
    except OSError:  # just renamed
        return False


def _machine() -> str:
    """Return a short name of this machine, or of the container that numbers its processes."""
    marks = [socket.gethostname()]
    for find in (lambda: Path("/etc/machine-id").read_text(), lambda: os.readlink(_NUMBERING)):
        try:
            marks.append(find())
        except OSError:
            continue
    return hashlib.sha256(" ".join(marks).encode()).hexdigest()[:8]


def _start_of(process: int) -> str:
    """Return when a process started, which tells it from a later one with its number.

    It is 0 where the system does not tell, and empty if there is no such process.
    """
    try:
        with open(f"/proc/{process}/stat", "rb") as stream:
            status = stream.read().rpartition(b")")[2].split()
        return "" if status[0] in b"ZX" else status[19].decode()
    except (OSError, IndexError):
        pass
    if os.path.exists("/proc/self/stat"):
        return ""
    if os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return ""
        except OSError:
            pass
    return "0"

"""Write files whole or not at all, check their paths first, and tell why one cannot be read.

A file is written under a temporary name, `.<name>.<machine>-<process>-<start>-<count>.partial`, in
its own folder. What a killed process left under such a name, the next one that writes the same file
removes.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pdeinv.errors import InputError
from pdeinv.hdf5_output import write_netcdf
from pdeinv.temporary import new_temporary, sweep

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = [
    "atomic_write",
    "check_figure",
    "check_new",
    "check_path",
    "check_writable",
    "ensure_folder",
    "flush",
    "read_text",
    "reading_failure",
    "save_figure",
    "save_netcdf",
    "writing_failure",
]

_IN_USE = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY, errno.ETXTBSY, errno.EDEADLK}
# Of the system, not of the file's content, such as a seek beyond its end
_SYSTEM = {
    errno.EPERM,
    errno.EACCES,
    errno.ENOENT,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.ENXIO,
    errno.ENODEV,
    errno.ENFILE,
    errno.EMFILE,
    errno.ENOMEM,
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ENOTCONN,
}


def reading_failure(path: str | os.PathLike, error: Exception, otherwise: str) -> InputError:
    """Return what to raise where a file cannot be read: it is in use, out of reach, or at fault.

    Arguments:
        path: the file.
        error: what its reader raised.
        otherwise: what to state of the file if neither the system nor another program is the cause.
    """
    code, text = getattr(error, "errno", None), str(error)
    lock = "unable to lock" in text or "already open for" in text
    if lock and code in (errno.ENOLCK, errno.ENOSYS):
        return InputError(
            f"{path} cannot be locked on its file system ({os.strerror(code)}); set the "
            f"environment variable HDF5_USE_FILE_LOCKING=FALSE"
        )
    if lock or code in _IN_USE:
        return InputError(
            f"{path} is in use by another program, which has opened it for writing; try again when "
            f"that has closed it, or set HDF5_USE_FILE_LOCKING=FALSE if nothing is written any more"
        )
    if isinstance(error, MemoryError):
        return InputError(f"{path} does not fit into memory ({text}); read a part of it")
    if code in _SYSTEM:
        return InputError(
            f"{path} cannot be read ({os.strerror(code)}); check its name, its permissions and its "
            f"disk, and try again"
        )
    return InputError(f"{path} {otherwise} ({' '.join(text.split()) or type(error).__name__})")


_SHOWN = 60  # characters of a path in a message


def check_path(path: str | os.PathLike) -> Path:
    """Return the path of what may exist or not.

    Raises:
        InputError: the system takes no such name, such as one that is too long.
    """
    path = Path(path)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise InputError(
            f"the path {_short(path)} cannot be used ({error.strerror or error}); choose another"
        ) from None
    except ValueError as error:  # a null byte, or characters that the file system cannot encode
        raise InputError(
            f"the path {_short(path)} cannot be used ({error}); choose another"
        ) from None
    return path


def read_text(path: str | os.PathLike) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(
            f"{path} must be text in UTF-8; save it as UTF-8, or give another file"
        ) from None
    except OSError as error:
        raise reading_failure(path, error, "cannot be read; give another") from None


def check_writable(path: str | os.PathLike) -> Path:
    """Return the path of a file that can be written; call this before any work.

    Raises:
        InputError: as `check_path`, or the path is a folder or a device, or its folder is missing
            or protected.
    """
    path = _check_expanded(check_path(path))
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file in it")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a device or a pipe; give the name of an ordinary file")
    if not path.parent.is_dir():
        raise InputError(
            f"{path} cannot be written: the folder {path.parent} does not exist; create it first"
        )
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path} cannot be written: no permission in the folder {path.parent}; choose another"
        )
    return path


def check_new(path: str | os.PathLike) -> Path:
    """Return the path of a file that can be written and does not exist.

    Raises:
        InputError: as `check_writable`, or the file exists.
    """
    path = check_writable(path)
    if path.exists():
        raise InputError(f"{path} exists already; choose another name, or move it away")
    return path


def ensure_folder(path: str | os.PathLike) -> Path:
    """Return the folder; make it, with all above it, where it is missing.

    Raises:
        InputError: the folder cannot be made.
    """
    path = _check_expanded(check_path(path))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {path} cannot be made ({error.strerror}); choose another"
        ) from None
    return path


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` when the block ends.

    An error in the block leaves `path` as it was. What killed processes left of earlier attempts is
    removed.

    Raises:
        InputError: the file cannot be written.
    """
    path = check_writable(path)
    sweep(path)
    temporary = new_temporary(path)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        # Some writers keep a file to its owner, whatever the user's umask
        temporary.chmod(0o666 & ~mask)
        with temporary.open("r+b") as stream:
            flush(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise writing_failure(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def flush(descriptor: int) -> None:
    """Wait until a file is on the disk: some systems state only then that the disk is full.

    Arguments:
        descriptor: of the open file.

    Raises:
        OSError: it cannot be written.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # without it
            raise


def writing_failure(path: Path, error: OSError) -> InputError:
    """Return what to raise where a file cannot be written.

    Arguments:
        path: the file.
        error: of the system.
    """
    return InputError(
        f"{path} cannot be written ({error.strerror or error}); free some space or choose another "
        f"path"
    )


def save_netcdf(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """Write a dataset as compressed NetCDF 4."""
    numeric = [name for name, variable in dataset.data_vars.items() if variable.dtype.kind == "f"]
    with atomic_write(path) as temporary:
        write_netcdf(dataset, temporary, {name: {"zlib": True} for name in numeric})


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure in the format of the path's ending: .png, .pdf or .svg."""
    kind = check_figure(path).suffix.removeprefix(".").lower()
    # In memory: the writer of PDF fails in its own ways on a full disk
    figure.savefig(stream := io.BytesIO(), dpi=150, format=kind)
    with atomic_write(path) as temporary:
        temporary.write_bytes(stream.getbuffer())


def check_figure(path: str | os.PathLike) -> Path:
    """Return the path of a figure that can be written.

    Raises:
        InputError: as `check_writable`, or the ending is not one of .png, .pdf and .svg.
    """
    path = check_writable(path)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise InputError(f"{path} must end in a figure format; use .png, .pdf or .svg")
    return path


def _check_expanded(path: Path) -> Path:
    """Return the path of what is written, which a shell would have expanded."""
    if path.parts[:1] and path.parts[0].startswith("~"):
        raise InputError(
            f"{path} cannot be written: only a shell expands ~, where it stands first; write the "
            f"whole name of the folder"
        )
    return path


def _short(path: Path) -> str:
    text = str(path)
    return ascii(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!a}..."

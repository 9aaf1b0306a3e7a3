"""Write files whole or not at all, and check their paths first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pdeinv.errors import InputError

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
    "save_figure",
    "save_netcdf",
]

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


def check_writable(path: str | os.PathLike) -> Path:
    """Return the path of a file that can be written; call this before any work.

    Raises:
        InputError: as `check_path`, or the path is a folder or a device, or its folder is missing
            or protected.
    """
    path = check_path(path)
    if path.parts[:1] and path.parts[0].startswith("~"):
        raise InputError(
            f"{path} cannot be written: only a shell expands ~, where it stands first; write the "
            f"whole name of the folder"
        )
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
    check_path(_temporary(path))
    return path


def check_new(path: str | os.PathLike) -> Path:
    """Return the path of a file that can be written and does not exist.

    Raises:
        InputError: as `check_writable`, or the file exists.
    """
    path = check_writable(path)
    if path.exists():
        raise InputError(f"{path} exists already; choose another name or delete it")
    return path


def ensure_folder(path: str | os.PathLike) -> Path:
    """Return the folder; make it, with all above it, where it is missing.

    Raises:
        InputError: the folder cannot be made.
    """
    path = check_path(path)
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

    An error in the block leaves `path` as it was.

    Raises:
        InputError: the file cannot be written.
    """
    path = check_writable(path)
    temporary = _temporary(path)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        # Some writers keep a file to its owner, whatever the user's umask
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); free some space or choose "
            f"another path"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def save_netcdf(dataset: xr.Dataset, path: str | os.PathLike) -> None:
    """Write a dataset as compressed NetCDF 4."""
    numeric = [name for name, variable in dataset.data_vars.items() if variable.dtype.kind == "f"]
    with atomic_write(path) as temporary:
        dataset.to_netcdf(
            temporary, engine="h5netcdf", encoding={name: {"zlib": True} for name in numeric}
        )


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure in the format of the path's ending: .png, .pdf or .svg."""
    kind = check_figure(path).suffix.removeprefix(".").lower()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150, format=kind)


def check_figure(path: str | os.PathLike) -> Path:
    """Return the path of a figure that can be written.

    Raises:
        InputError: as `check_writable`, or the ending is not one of .png, .pdf and .svg.
    """
    path = check_writable(path)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise InputError(f"{path} must end in a figure format; use .png, .pdf or .svg")
    return path


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _short(path: Path) -> str:
    text = str(path)
    return ascii(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!a}..."

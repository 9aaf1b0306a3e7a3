"""Learned priors by the files, or the shipped names, that problem files state."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from weakref import WeakKeyDictionary, WeakValueDictionary

from pdeinv.errors import InputError
from pdeinv.priors import load
from pdeinv.priors.base import Prior
from pdeinv.priors.storage import shipped

__all__ = ["load_learned", "origin_of"]

_loaded: WeakValueDictionary[object, Prior] = WeakValueDictionary()
"""Priors by the name or the state of their file: one file is one prior, and equal to itself."""
_origins: WeakKeyDictionary[Prior, str | Path] = WeakKeyDictionary()


def load_learned(name: str, path: Path | None) -> Prior:
    """Return a learned prior; the same one for a file that has not changed.

    Arguments:
        name: of a shipped prior; not used where there is a path.
        path: of a file.

    Raises:
        InputError: as `pdeinv.priors.load`, or it is not a prior that can be sampled.
    """
    if path is None and name not in shipped():
        raise InputError(
            f"name must be that of a shipped prior, {', '.join(shipped())}, got {name!r}; state a "
            f"file as file = ..."
        )
    key: object = name
    if path is not None and path.is_file():
        state = path.stat()
        key = (path.resolve(), state.st_mtime_ns, state.st_size)
    prior = _loaded.get(key)
    if prior is None:
        model = load(name if path is None else path)
        if not isinstance(model, Prior):
            raise InputError(
                f"a prior must be one that can be sampled, got {model!r}; give the file of a "
                f"gaussian or a diffusion prior"
            )
        prior = _loaded[key] = cast("Prior", model)
        _origins[prior] = name if path is None else path.resolve()
    return prior


def origin_of(prior: Prior) -> str | Path | None:
    """Return the shipped name or the file of a prior that `load_learned` returned, else None."""
    try:
        return _origins.get(prior)
    except TypeError:  # not hashable, so never stored
        return None

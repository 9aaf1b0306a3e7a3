"""The file of a calibration, with which a repeated run goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pdeinv.errors import InputError
from pdeinv.files import check_writable, save_netcdf
from pdeinv.netcdf_input import load_netcdf
from pdeinv.solvers.calibration.identity import differences, in_words
from pdeinv.solvers.calibration.verdict import judged

__all__ = ["DrawStore"]

_EVERY = 5.0  # seconds between two writes of the file


class DrawStore:
    """The draws that are done, in memory and in a file."""

    def __init__(
        self, path: Path | None, identity: Mapping[str, str], draws: list[xr.Dataset]
    ) -> None:
        self.path, self.identity, self.draws = path, identity, draws
        self._written = time.monotonic()

    @classmethod
    def of(cls, out: str | os.PathLike | None, identity: Mapping[str, str]) -> DrawStore:
        """Return the draws of a file, if there is one.

        Arguments:
            out: the file.
            identity: texts by name that state the calibration.

        Raises:
            InputError: it cannot be written, or is of another calibration.
        """
        path = None if out is None else check_writable(out)
        if path is None or not path.exists():
            return cls(path, identity, [])
        found = load_netcdf(path, "must be a file of a calibration; give another name")
        _check_same(path, found.attrs.get("calibration"), identity)
        found = found.drop_vars("p_value")
        return cls(path, identity, [found.isel(draw=[k]) for k in range(found.sizes["draw"])])

    @property
    def done(self) -> set[int]:
        return {int(one.draw[0]) for one in self.draws}

    def add(self, draw: xr.Dataset) -> None:
        """Keep a draw, and write the file from time to time."""
        self.draws.append(draw)
        if time.monotonic() - self._written > _EVERY:
            self.write()

    def write(self, **attributes: int) -> None:
        """Write the draws that are done."""
        if self.path and len(self.draws) > 1:
            save_netcdf(self._whole(self.draws, attributes), self.path)
        self._written = time.monotonic()

    def finish(self, count: int, failed: int) -> xr.Dataset:
        """Return, and write, the first draws."""
        made = self._whole([one for one in self.draws if int(one.draw[0]) < count], {})
        made.attrs["failed"] = failed
        self.write(failed=failed)
        return made

    def _whole(self, draws: list[xr.Dataset], attributes: Mapping[str, Any]) -> xr.Dataset:
        ordered = sorted(draws, key=lambda one: int(one.draw[0]))
        whole = xr.concat(ordered, "draw", coords="minimal", compat="override", join="exact")
        each, verdict = judged(whole)
        label = {"long_name": "p-value of uniform ranks, of three tests"}
        return whole.assign(p_value=("functional", np.asarray(each), label)).assign_attrs(
            verdict=verdict.sentence,
            p_value=verdict.p_value,
            calibration=json.dumps(dict(self.identity)),
            pdeinv_version=version("pdeinv"),
            **attributes,
        )


def _check_same(path: Path, stated: Any, identity: Mapping[str, str]) -> None:
    """Refuse a file of another calibration."""
    try:
        theirs = json.loads(stated)
    except (TypeError, ValueError):
        theirs = None
    if not isinstance(theirs, dict):
        raise InputError(
            f"{path} must state what it is a calibration of, got none; choose another name, or "
            f"move it away"
        )
    if found := differences(theirs, identity):
        raise InputError(
            f"{path} must be of the same problem, sensors, noise, truths, solver and seed, got "
            f"{in_words(found)}; choose another name, or move it away"
        )

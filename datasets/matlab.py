"""Read MATLAB files, version 5 and version 7.3, and recognise those of DiffusionPDE.

A file of DiffusionPDE's holds two variables of MATLAB size samples x X x Y. Their names, which each
PDE declares as `matlab_names`, identify the PDE. A variable may have one more dimension, times; its
last time is read. A variable `t` holds the times, the last of which becomes the parameter `time` of
a PDE that has one. The names of such a PDE, `a` and `u`, are common. They identify it only in a
file that holds `t` too, with as many times as the solution.

The first index of a field is x there and y here. The values stay as they are, on the PDE's own
grid. For Darcy flow that is an approximation: its generator puts both fields at cell centres, (i +
1/2)/n. The pressure therefore does not quite vanish at the outermost nodes.

A file of version 5 has no checksum of an uncompressed variable, and one of version 7.3 none at all
as MATLAB writes it: values that changed on their way cannot be told from sound ones.
`pdeinv.datasets.states` therefore refuses what is not finite, far beyond all other values, or
outside the range of the PDE's coefficient. Compare a checksum of the file where its source states
one.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pdeinv.datasets.base import PDE
from pdeinv.datasets.hdf5 import DAMAGED, Contents, Stored, Variable, survey_hdf5
from pdeinv.errors import InputError
from pdeinv.files import reading_failure

__all__ = ["StoredMatlab5", "diffusionpde_layout", "survey_matlab5", "survey_matlab73"]

_NUMBERS = {"double": "f8", "single": "f4"} | {
    f"{sign}int{8 * n}": f"{sign or 'i'}{n}" for sign in ("", "u") for n in (1, 2, 4, 8)
}
_HEADER = 128  # bytes before the first variable
_DEFLATE = 1100  # bytes that one compressed byte may stand for


def survey_matlab5(path: Path) -> Contents:
    """Return what a version-5 file holds.

    Raises:
        InputError: the file is damaged, in use or protected.
    """
    from scipy import io  # slow to import

    try:
        size = _check_lengths(path)
        found = io.whosmat(path)
    except Exception as error:  # a damaged file makes scipy raise almost anything
        raise reading_failure(path, error, DAMAGED) from None
    variables = {}
    for name, shape, kind in found:
        problem = None if kind in _NUMBERS else f"holds no numbers but MATLAB's {kind}"
        if problem is None and math.prod(shape) > _DEFLATE * size:
            problem = f"has the size {' x '.join(map(str, shape))}, more than its file can hold"
        variables[name] = Variable(
            name, tuple(shape), _NUMBERS.get(kind, ""), (None,) * len(shape), problem=problem
        )
    return Contents({}, variables)


def survey_matlab73(path: Path) -> Contents:
    """Return what a version-7.3 file holds: HDF5 with the axes in reverse.

    Raises:
        InputError: the file is damaged, in use or protected.
    """
    variables = {}
    for name, one in survey_hdf5(path).variables.items():
        kind = one.attributes.get("MATLAB_class", "double")
        variables[name] = dataclasses.replace(
            one,
            shape=one.shape[::-1],
            dims=one.dims[::-1],
            attributes={},
            problem=one.problem
            or (None if kind in _NUMBERS else f"holds no numbers but MATLAB's {kind}"),
        )
    return Contents({}, variables)


def diffusionpde_layout(
    pde: PDE, held: Mapping[str, Variable]
) -> tuple[tuple[str, str], bool] | None:
    """Return the two variables of a PDE in a MATLAB file of DiffusionPDE's.

    Arguments:
        pde: the PDE.
        held: the file's variables, with MATLAB's sizes.

    Returns:
        The names, and whether the axes are certain: those of a PDE with the parameter `time` are
        only where the file holds the times. None where a name is missing.
    """
    names = pde.matlab_names
    if names is None or not all(name in held for name in names):
        return None
    if "time" not in pde.parameters:
        return names, True
    shape = held[names[1]].shape
    times = shape[3] if len(shape) == 4 else 1
    return names, "t" in held and math.prod(held["t"].shape) == times


class StoredMatlab5(Stored):
    """A variable of a version-5 file, which cannot be read in part; the last time is kept."""

    _kept: np.ndarray | None = None

    def _block(self, key: tuple) -> np.ndarray:
        if self._kept is None:
            self._kept = self._load()
        ranges, dropped = [], []
        for axis, (one, size) in enumerate(zip(key, self._kept.shape, strict=True)):
            if isinstance(one, slice) or np.ndim(one):
                ranges.append(one)
                continue
            at = int(one) % size if axis in self.order else 0
            ranges.append(slice(at, at + 1))
            dropped.append(axis)
        return self._kept[tuple(ranges)].squeeze(tuple(dropped))

    def _load(self) -> np.ndarray:
        """Return the variable; of axes other than the fields', the last index alone."""
        from scipy import io

        name = self.variable.name
        self.check(self.variable.shape)
        try:
            values = io.loadmat(self.path, variable_names=[name])[name]
            if values.shape != self.variable.shape:
                raise ValueError(f"{name} has the size {values.shape}")
        except Exception as error:
            raise reading_failure(self.shown, error, DAMAGED) from None
        if values.dtype.kind not in "fiu":
            raise InputError(
                f"variable {name!r} of {self.shown} must hold real numbers, got {values.dtype}; "
                f"store its real part"
            )
        for axis in set(range(values.ndim)) - set(self.order):
            values = values.take([-1], axis)
        return np.array(values, self.dtype)


def _check_lengths(path: Path) -> int:
    """Return the file's size; refuse variables whose declared lengths do not add up to it."""
    size, position = path.stat().st_size, _HEADER
    with path.open("rb") as stream:
        order = {b"IM": "<", b"MI": ">"}[stream.read(_HEADER)[126:]]
        while position < size:
            stream.seek(position)
            _, length = struct.unpack(f"{order}II", stream.read(8))
            position += 8 + length
    if position != size:
        raise ValueError(f"{position} bytes are declared, {size} are there")
    return size

"""Read MATLAB files of version 7.3, and recognise those of DiffusionPDE of either version.

A file of DiffusionPDE's holds two variables of MATLAB size samples x X x Y. Their names, which each
PDE declares as `matlab_names`, identify the PDE. A variable may have one more dimension, times; its
last time is read. A variable `t` holds the times, the last of which becomes the parameter `time` of
a PDE that has one. The names of such a PDE, `a` and `u`, are common. They identify it only in a
file that holds `t` too, with as many times as the solution.

The first index of a field is x there and y here. The values stay as they are, on the PDE's own
grid. For Darcy flow that is an approximation: its generator puts both fields at cell centres, (i +
1/2)/n. The pressure therefore does not quite vanish at the outermost nodes.

An uncompressed variable has no checksum, in a file of version 5 or of version 7.3: values that
changed on their way cannot be told from sound ones. `pdeinv.datasets.states` therefore refuses what
is not finite, far beyond all other values, or not positive where the PDE's coefficient is. Compare
a checksum of the file where its source states one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from pdeinv.datasets.base import PDE
from pdeinv.datasets.hdf5 import Contents, Variable, survey_hdf5

__all__ = ["diffusionpde_layout", "survey_matlab73"]

_NUMBERS = {"double", "single"} | {f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}


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

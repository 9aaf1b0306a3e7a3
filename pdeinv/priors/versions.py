"""Headers of earlier versions of the format, as those of this one.

Version 1 had n x n nodes on the unit square, and fields without a kind. Versions 1 and 2 had the
numbers of the coefficient's prior among the parameters of the PDE.
"""

from __future__ import annotations

from typing import Any

from pdeinv.datasets import PDES
from pdeinv.datasets.versions import physics_and_prior
from pdeinv.errors import InputError
from pdeinv.external import named_by_data
from pdeinv.fields import FieldKind

__all__ = ["FORMAT_VERSION", "upgraded_channels"]

FORMAT_VERSION = 3


def upgraded_channels(header: dict[str, Any], version: int) -> dict[str, Any]:
    """Return the header of a model of fields on a grid as one of this version.

    Arguments:
        header: as JSON has it, of any content.
        version: that it states, an earlier one.

    Raises:
        ValueError: the parameters of the PDE are not allowed.
    """
    return _with_prior(_of_rectangles(header) if version < 2 else header)


def _of_rectangles(header: dict[str, Any]) -> dict[str, Any]:
    grid, fields, pde = (header.get(key) for key in ("grid", "fields", "pde"))
    if isinstance(grid, dict) and "n" in grid:
        square = {"extent": [0.0, 1.0, 0.0, 1.0], "unit": "1"}
        rest = {key: value for key, value in grid.items() if key != "n"}
        header = header | {"grid": {"ny": grid["n"], "nx": grid["n"], **square, **rest}}
    if isinstance(fields, list):
        name = pde[0] if isinstance(pde, list) and pde else None
        known = PDES[name]().fields if isinstance(name, str) and name in PDES else ()
        kinds = {field.name: field.kind for field in known}
        header = header | {"fields": [_with_kind(field, kinds) for field in fields]}
    network = header.get("network")
    if isinstance(network, dict) and isinstance(network.get("modes"), int):
        header = header | {"network": network | {"modes": [network["modes"]] * 2}}
    return header


def _with_kind(field: Any, kinds: dict[str, FieldKind]) -> Any:
    if not isinstance(field, dict):
        return field
    name = field.get("name")
    kind = kinds.get(name, "scalar") if isinstance(name, str) else "scalar"
    return {"kind": kind} | {k: v for k, v in field.items() if k != "boundary_value"}


def _with_prior(header: dict[str, Any]) -> dict[str, Any]:
    match header.get("pde"):
        case [str(name), dict(parameters)] if name in PDES:
            try:
                with named_by_data():
                    pde, prior = physics_and_prior(name, parameters)
            except InputError as error:
                problem = str(error).partition(";")[0]
                raise ValueError(f"pde must be one that can be made, where {problem}") from None
            stated = {"coefficient_prior": prior.to_json() if prior else None}
            return header | stated | {"pde": [name, pde.json_parameters()]}
    return {"coefficient_prior": None} | header

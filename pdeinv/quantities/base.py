"""What a ready-made quantity of a result is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import xarray as xr

from pdeinv.errors import InputError
from pdeinv.sensors.column_names import nearest

__all__ = ["PosteriorMap", "Quantity", "check_known"]


class Quantity(ABC):
    """A function of a draw: of the fields of one posterior sample, or of one truth.

    It is called with a Dataset of the fields under their own names, (y, x) and, where there are
    such, experiment, time, sample and replicate; and returns their values without y and x, with
    the attributes `long_name` and `units`. The Dataset has the attributes of the result.
    """

    fields: tuple[str, ...]
    """Names of the fields that it needs."""

    @abstractmethod
    def __call__(self, draws: xr.Dataset) -> xr.DataArray:
        """Return the value of each draw."""


class PosteriorMap(ABC):
    """A map of the posterior of one field, such as a probability at each node."""

    fields: tuple[str, ...]
    noun: ClassVar[str]
    """What its values are, for people."""

    @abstractmethod
    def of(self, result: xr.Dataset) -> xr.DataArray:
        """Return the map of a result, (y, x) and the further dimensions of the field."""


def check_known(field: object, known: list[str], what: str) -> None:
    """Refuse a field that a result lacks.

    Arguments:
        field: its name.
        known: names of the fields that there are.
        what: of the message, such as "the field of a mean".

    Raises:
        InputError: it is none of them.
    """
    if field in known:
        return
    if field in ("flux_x", "flux_y"):
        raise InputError(
            f"{what} must be in the result, got one of {', '.join(known)} without {field}; give "
            f"the quantity to reconstruct, as quantities={{'outflow': Flux(side='left')}}"
        )
    raise InputError(
        f"{what} must be one of {', '.join(known)}, got {field!r}; {nearest(str(field), known)}"
    )

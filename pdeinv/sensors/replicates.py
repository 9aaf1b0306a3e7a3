"""The column `replicate` of a table of readings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pdeinv.errors import InputError
from pdeinv.sensors.column_names import listed
from pdeinv.sensors.rows import Rows

__all__ = ["check_one_replicate", "rows_by_replicate"]


def rows_by_replicate(table: pd.DataFrame, rows: Rows) -> dict[str, np.ndarray]:
    """Return the positions of the rows of each replicate by its name, in the order of their first
    rows; none where the table names no replicate.

    Arguments:
        table: the checked readings.
        rows: names of the rows.

    Raises:
        InputError: some rows name a replicate, and others do not.
    """
    if "replicate" not in table or not table.replicate.any():
        return {}
    names = table.replicate
    rows.refuse(
        names == "",
        lambda i: (
            "replicate is empty, and other rows name one; name that of the reading, or drop the "
            "column to take all readings as those of one"
        ),
    )
    return {str(name): np.flatnonzero(names == name) for name in names.unique()}


def check_one_replicate(table: pd.DataFrame, rows: Rows) -> None:
    """Refuse readings of several replicates, which are not those of one state.

    Raises:
        InputError: there are some.
    """
    names = [*rows_by_replicate(table, rows)]
    if len(names) > 1:
        raise InputError(
            f"{rows.origin}: readings of one state must be of one replicate, got "
            f"{listed(names, 3)}; take each of Sensors.by_replicate()"
        )

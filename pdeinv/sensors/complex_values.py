"""Complex readings, split into those of the two parts of a field."""

from __future__ import annotations

import re
from numbers import Complex, Real

import pandas as pd

from pdeinv.fields import IMAGINARY, REAL

__all__ = ["split_complex"]

_COMPLEX = re.compile(r"\(?[-+.eE\d]*\d[-+.eE\d]*[ij]\)?")


def split_complex(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[int, ...] | None]:
    """Return a table with two rows for each complex value, and the row of each in the table.

    A value such as 0.3+0.1j, or 0.3+0.1i, of the field `wavefield` becomes 0.3 of `wavefield_real`
    and 0.1 of `wavefield_imag`. Both have the `noise_std` of the row, which is that of each part.

    Arguments:
        table: the readings, with a column `value` and `field`.

    Returns:
        The table itself and None where no value is complex.
    """
    if not {"field", "value"} <= set(table.columns) or table.columns.duplicated().any():
        return table, None
    if table["value"].dtype.kind in "iufb":
        return table, None
    values = [_complex(value) for value in table["value"].tolist()]
    if not any(value is not None for value in values):
        return table, None
    rows: list[int] = []
    fields: list[object] = []
    parts: list[object] = []
    given = zip(table["field"].tolist(), table["value"].tolist(), values, strict=True)
    for i, (name, plain, value) in enumerate(given):
        if value is None:
            found = [(name, plain)]
        else:
            stem = str(name).strip()
            found = [(f"{stem}{REAL}", value.real), (f"{stem}{IMAGINARY}", value.imag)]
        for one, part in found:
            rows.append(i)
            fields.append(one)
            parts.append(part)
    split = table.iloc[rows].reset_index(drop=True)
    split["field"], split["value"] = fields, pd.Series(parts, dtype=object)
    return split, tuple(rows)


def _complex(value: object) -> complex | None:
    """Return a complex value; None for a real one, or for what is no number."""
    if isinstance(value, Complex) and not isinstance(value, Real):
        return complex(value)
    if not isinstance(value, str):
        return None
    text = re.sub(r"\s*([+-])\s*", r"\1", value.strip().replace("\N{MINUS SIGN}", "-"))
    if not _COMPLEX.fullmatch(text):
        return None
    try:
        return complex(text.replace("i", "j"))
    except ValueError:
        return None

"""One page that shows a result and needs nothing else: `pdeinv view`."""

from __future__ import annotations

import base64
import json
from html import escape
from importlib import resources
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import LogNorm

from pdeinv.coordinates import grid_from
from pdeinv.errors import InputError
from pdeinv.field_style import Style, field_style, spans_decades, spread_style
from pdeinv.figures.layout import extent_of
from pdeinv.figures.times import short_coordinate, with_plain_times
from pdeinv.grid import Grid
from pdeinv.quantities.draws import field_label, field_names
from pdeinv.story import head_of
from pdeinv.units import in_figures

__all__ = ["view_page"]

_MAPS = ("viridis", "RdBu_r", "magma", "cividis")
_LARGEST = 2e8  # numbers of a page, beyond which a browser may not open it


def view_page(result: xr.Dataset) -> str:
    """Return a page in HTML that shows a result: its fields, their samples, the marginal
    distribution at a point, cuts, and the readings with their residuals.

    The page holds the numbers in single precision and needs no other file and no network.

    Arguments:
        result: of `pdeinv.reconstruct`, also one that was stored.

    Raises:
        InputError: the result has no samples, or is too large for a page.
    """
    result = with_plain_times(result)
    names = field_names(result)
    if not names:
        raise InputError("a result must have samples to be viewed, got none; reconstruct again")
    if (size := sum(result[f"{name}_samples"].size for name in names)) > _LARGEST:
        raise InputError(
            f"a result must have at most {_LARGEST:.0e} numbers to be viewed on one page, got "
            f"{size:.0e}; select some samples or times, or use a coarser grid"
        )
    grid = grid_from(result, "the result")
    fields = [_field(result, name) for name in names]
    content = {
        "title": head_of(result),
        "assumed": str(result.attrs.get("assumed", "")),
        "alarm": str(result.attrs.get("alarm", "none")),
        "unit": "" if grid.unit == "1" else grid.unit,
        **_geometry(grid),
        "fields": fields,
        "sensors": _sensors(result),
        "maps": {
            name: (255 * colormaps[name](range(256))[:, :3]).astype(int).tolist() for name in _MAPS
        },
    }
    # "</script>" in a text would end the script that holds the data
    data = json.dumps(content, allow_nan=False).replace("</", "<\\/")
    page = (resources.files("pdeinv") / "data" / "view.html").read_text(encoding="utf-8")
    title = f"pdeinv: {content['title']}"
    return page.replace("TITLE", escape(title), 1).replace(">DATA<", f">{data}<", 1)


def _geometry(grid: Grid) -> dict[str, Any]:
    """Return where the pixels and the nodes are: an image has a pixel around each node."""
    left, right, bottom, top = extent_of(grid)
    hx, hy = (right - left) / grid.nx, (top - bottom) / grid.ny
    return {
        "extent": [left, right, bottom, top],
        "shape": list(grid.shape),
        "spacing": [hy, hx],
        "offset": 0.5,
    }


def _field(result: xr.Dataset, name: str) -> dict[str, Any]:
    """Return one field: its layers are mean, standard deviation, probability, samples."""
    mean, std = result[f"{name}_mean"], result[f"{name}_std"]
    samples, high = result[f"{name}_samples"], result.get(f"{name}_probability")
    extra = [str(dim) for dim in mean.dims if dim not in ("y", "x")]
    layers = [x.transpose(*extra, "y", "x").values[..., None, :, :] for x in (mean, std)]
    if high is not None:
        layers.append(high.transpose(*extra, "y", "x").values[..., None, :, :])
    drawn = samples.transpose(*extra, "sample", "y", "x").values
    values = np.concatenate([*layers, drawn], axis=-3).astype("<f4")
    wide = name == field_names(result)[0] and spans_decades(mean.values, drawn)
    return {
        "name": name,
        "label": field_label(result, name),
        "units": in_figures(str(mean.attrs.get("units", "1"))),
        "places": [
            ", ".join(
                f"{dim} {short_coordinate(value)}" for dim, value in zip(extra, places, strict=True)
            )
            for places in product(*(result[dim].values for dim in extra))
        ],
        "samples": samples.sizes["sample"],
        "probability": high is not None,
        "values": base64.b64encode(values.tobytes()).decode(),
        "scale": _scale(field_style(mean.values, drawn, logarithmic=wide)),
        "spread": _scale(spread_style(std.values)),
    }


def _scale(style: Style) -> dict[str, Any]:
    norm = style["norm"]
    return {
        "low": float(norm.vmin or 0.0),
        "high": float(norm.vmax or 0.0),
        "logarithmic": isinstance(norm, LogNorm),
        "map": style["cmap"],
    }


def _sensors(result: xr.Dataset) -> list[dict[str, Any]]:
    """Return the readings in the order of the table."""
    given = {
        name: result[f"sensor_{name}"].values if f"sensor_{name}" in result else None
        for name in ("field", "x", "y", "value", "predicted", "predicted_std", "x2", "y2", "radius")
    }

    def number(name: str, i: int) -> float | None:
        column = given[name]
        return float(column[i]) if column is not None and np.isfinite(column[i]) else None

    found = []
    for i in range(result.sizes.get("sensor", 0)):
        field = str(result["sensor_field"].values[i])
        value, predicted, std = (number(n, i) for n in ("value", "predicted", "predicted_std"))
        known = value is not None and predicted is not None and bool(std)
        found.append(
            {
                **{name: number(name, i) for name in ("x", "y", "x2", "y2", "radius")},
                **{"row": i + 1, "field": field, "place": _place(result, field, i)},
                **{"value": value, "predicted": predicted, "std": std},
                "z": (value - predicted) / std if known else None,  # type: ignore[operator]
            }
        )
    return found


def _place(result: xr.Dataset, field: str, i: int) -> int | None:
    """Return which of the field's places a reading is of: the one nearest in time, or that of its
    replicate and experiment. None where it is of all."""
    mean = result.get(f"{field}_mean")
    extra = [] if mean is None else [str(dim) for dim in mean.dims if dim not in ("y", "x")]
    place = 0
    for dim in extra:
        values = result[dim].values
        if f"sensor_{dim}" not in result:
            return None
        mine = result[f"sensor_{dim}"].values[i]
        if dim == "time":
            if np.isnan(mine):
                return None
            index = int(np.abs(values - mine).argmin())
        else:
            same = np.flatnonzero(values.astype(str) == str(mine))
            if not len(same):
                return None
            index = int(same[0])
        place = place * len(values) + index
    return place

"""Colours of fields and of their spread, and the numbers on colour bars."""

from __future__ import annotations

import math
from typing import TypeAlias, TypedDict

import numpy as np
import xarray as xr
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, ScalarFormatter

__all__ = ["Style", "factor_of", "field_style", "format_bar", "spans_decades", "spread_style"]

Values: TypeAlias = "np.ndarray | xr.DataArray"

_SIGNED = 0.1  # share of the largest size that both signs must reach
_WIDE = 100.0  # ratio of the ends, beyond which a linear scale hides the low values
_SHOWN = 0.995  # quantile at the top of a scale of spreads
_NUMBERS = ((0.7, (1.0, 1.5, 2.0, 3.0, 5.0)), (1.5, (1.0, 2.0, 5.0)), (3.0, (1.0, 3.0)))
"""Decades of a scale, at most, and the numbers in each; only the powers of ten on longer ones."""


class Style(TypedDict):
    """Keywords of `imshow`."""

    cmap: str
    norm: Normalize


def spans_decades(*values: Values) -> bool:
    """Return whether the values of a field are positive and span more than two decades.

    Arguments:
        values: of each panel.
    """
    low = min(float(np.nanmin(v)) for v in values)
    return low > 0 and max(float(np.nanmax(v)) for v in values) > _WIDE * low


def field_style(*values: Values, logarithmic: bool = False) -> Style:
    """Return the colour map and the scale that panels of one field share.

    A field of both signs has a diverging map about 0, any other field a sequential one. The
    undershoot of a positive field does not make it one of both signs.

    Arguments:
        values: of each panel.
        logarithmic: whether the scale is; the values must be positive.
    """
    low = min(float(np.nanmin(v)) for v in values)
    high = max(float(np.nanmax(v)) for v in values)
    if logarithmic:
        return {"cmap": "viridis", "norm": LogNorm(low, high)}
    size = max(-low, high)
    if min(-low, high) > _SIGNED * size:
        return {"cmap": "RdBu_r", "norm": Normalize(-size, size)}
    return {"cmap": "viridis", "norm": Normalize(low, high)}


def spread_style(*values: Values, factors: bool = False) -> Style:
    """Return the colour map and the scale of standard deviations and errors.

    The top is a quantile: a few large errors, at the edges of a jump, must not darken the panel.

    Arguments:
        values: of each panel.
        factors: whether they are factors, from 1 on a logarithmic scale.
    """
    top = max(float(np.nanquantile(v, _SHOWN)) for v in values)
    if factors:
        return {"cmap": "magma", "norm": LogNorm(1.0, max(top, 1.01))}
    return {"cmap": "magma", "norm": Normalize(0.0, top or 1.0)}


def factor_of(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the factor exp(s) of a log-normal variable, s the deviation of its logarithm.

    Arguments:
        mean, std: of the variable itself.
    """
    return np.exp(np.sqrt(np.log1p((std / mean) ** 2)))


def format_bar(bar: Colorbar) -> None:
    """Write small numbers on a colour bar, of a logarithmic scale in full where they are short."""
    if isinstance(bar.norm, LogNorm):
        low, high = float(bar.norm.vmin or 1.0), float(bar.norm.vmax or 1.0)
        decades = math.log10(high / low)
        bar.locator = LogLocator(subs=next((n for d, n in _NUMBERS if decades <= d), (1.0,)))
        if low >= 1e-3 and high < 1e5:
            bar.formatter = FuncFormatter(lambda value, _: f"{value:g}")
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.update_ticks()
    elif isinstance(bar.formatter, ScalarFormatter):
        bar.formatter.set_powerlimits((-2, 3))
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.get_offset_text().set_fontsize(8)

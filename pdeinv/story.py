"""What a notebook shows of a result first: what it rests on, what it found, whether all fits."""

from __future__ import annotations

from html import escape

import numpy as np
import xarray as xr

from pdeinv.quantities.draws import field_label, field_names
from pdeinv.units import in_figures

__all__ = ["head_of", "story_of"]

_STYLE = "text-align: left; padding: 2px 12px 2px 0"


def story_of(result: xr.Dataset) -> str:
    """Return the story of a result as HTML: its assumptions, its alarm, and a row for each field.

    Arguments:
        result: of `pdeinv.reconstruct`; attributes that it lacks are left out.
    """
    attributes = result.attrs
    lines = [f"<b>{escape(head_of(result))}</b>"]
    if "assumed" in attributes:
        lines.append(f"Assumed: {escape(str(attributes['assumed']))}")
    if "reduced_chi_squared" in attributes:
        found = f"{float(attributes['reduced_chi_squared']):.3g}"
        lines.append(f"Reduced chi-squared of the readings: {found}")
    alarm = str(attributes.get("alarm", "none"))
    if alarm != "none":
        lines.append(f"<b>Warning:</b> {escape(alarm)}")
    rows = "".join(_row(result, name) for name in field_names(result))
    head = "".join(_cell(text, "th") for text in ("field", "posterior mean", "standard deviation"))
    return f"<div>{'<br>'.join(lines)}<table><tr>{head}</tr>{rows}</table></div>"


def head_of(result: xr.Dataset) -> str:
    """Return in a few words what a result is."""
    pde, solver = (str(result.attrs.get(name, "")) for name in ("pde", "solver"))
    nodes = f"{result.sizes.get('y', 0)} x {result.sizes.get('x', 0)} nodes"
    by = f" by {solver}" if solver else ""
    return f"{pde or 'A result'} on {nodes}{by} from {result.sizes.get('sensor', 0)} readings"


def _row(result: xr.Dataset, name: str) -> str:
    mean, std = result[f"{name}_mean"], result.get(f"{name}_std")
    units = in_figures(str(mean.attrs.get("units", "1")))
    label = field_label(result, name) + (f" [{units}]" if units else "")
    spread = "" if std is None else _range(std.values)
    return f"<tr>{_cell(label)}{_cell(_range(mean.values))}{_cell(spread)}</tr>"


def _range(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{known.min():.3g} to {known.max():.3g}" if known.size else ""


def _cell(text: str, tag: str = "td") -> str:
    return f'<{tag} style="{_STYLE}">{escape(text)}</{tag}>'

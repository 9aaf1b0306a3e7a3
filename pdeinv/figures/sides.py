"""The conditions on the sides, outside of a panel's frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.transforms import ScaledTranslation

from pdeinv.figures.layout import Panel
from pdeinv.figures.symbols import FONT, GREY, LETTER, OPENING, STROKE, short_range
from pdeinv.site import Site, Surrounding
from pdeinv.units import in_figures

__all__ = ["join_sides", "plot_sides", "title_pad"]

_DEPTHS = {"value": 4.0, "no flux": 4.0, "flux": 8.0, "impedance": 4.0, "open": 6.0}
"""Points from the frame to the outer end of what a side has."""
_TICK = 3.0  # points of a tick beyond it
_HATCHES = 5.0  # points from one stroke of a side without flux to the next
_ARROWS = 22.0  # points from one arrow to the next


def plot_sides(axis: Axes, site: Site, panel: Panel) -> None:
    """Draw the conditions outside of a panel's frame: a thick line and the value that it fixes,
    arrows of a flux and its value, strokes where nothing flows; a thick grey line and the
    admittance of a wall that takes up waves, arcs where the medium goes on. A value that was
    inferred is the posterior mean, with the mean standard deviation.

    Nothing is drawn where all four sides are alike.

    Arguments:
        axis: the panel of the field that the conditions concern.
        site: with the conditions.
        panel: its size.
    """
    for side, condition in site.sides.items() if site.varied else ():
        length = panel.width if side in ("bottom", "top") else panel.height
        look = _look(condition)
        _DRAW[look](axis, side, condition, length)
        out, room = _DEPTHS[look], 0.0
        if side in ("left", "bottom"):
            out += _TICK
        if _written(condition):
            _write(axis, side, _text(site, condition, length), out + 2)
            room = FONT + 3
        if side in ("left", "bottom"):
            axis.tick_params(axis="y" if side == "left" else "x", length=out, pad=2.5 + room)


def title_pad(site: Site) -> float:
    """Return the points between a panel's frame and its title."""
    if not site.varied:
        return 6.0
    top = site.sides["top"]
    return _DEPTHS[_look(top)] + 5.0 + (FONT + 2.0 if _written(top) else 0.0)


def _look(condition: Surrounding) -> str:
    return "no flux" if condition.closed else condition.kind


def _written(condition: Surrounding) -> bool:
    return not condition.closed and condition.kind != "open"


def _outwards(side: str, along: float, out: float) -> tuple[float, float]:
    """Return as (x, y) a step along a side and one out of the domain."""
    return {
        "left": (-out, along),
        "right": (out, along),
        "bottom": (along, -out),
        "top": (along, out),
    }[side]


def _at(side: str, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions on a side, in shares of the panel."""
    across = np.full_like(shares, float(side in ("right", "top")))
    return (across, shares) if side in ("left", "right") else (shares, across)


def _marks(axis: Axes, side: str, shares: np.ndarray, path: Path, size: float) -> None:
    """Draw a mark (its path within [-1, 1]², along and out) of a size in points on a side."""
    turned = Path([_outwards(side, *v) for v in np.asarray(path.vertices)], path.codes)
    axis.plot(
        *_at(side, shares),
        transform=axis.transAxes,
        linestyle="none",
        marker=turned,
        ms=2 * size,
        mfc="none",
        mec=GREY,
        mew=0.8,
        clip_on=False,
        scalex=False,
        scaley=False,
    )


def _draw_line(axis: Axes, side: str, condition: Surrounding, length: float) -> None:
    width = _DEPTHS["value"] - 1
    dx, dy = _outwards(side, 0.0, (width / 2 + 0.4) / 72)
    axis.plot(
        *_at(side, np.array([0.0, 1.0])),
        transform=axis.transAxes + ScaledTranslation(dx, dy, axis.figure.dpi_scale_trans),
        color="black" if condition.kind == "value" else GREY,
        linewidth=width,
        solid_capstyle="butt",
        clip_on=False,
        scalex=False,
        scaley=False,
    )


def _draw_closed(axis: Axes, side: str, condition: Surrounding, length: float) -> None:
    count = max(3, round(72 * length / _HATCHES))
    _marks(axis, side, (np.arange(count) + 0.75) / count, STROKE, _DEPTHS["no flux"])


def _draw_open(axis: Axes, side: str, condition: Surrounding, length: float) -> None:
    count = max(2, round(72 * length / _ARROWS))
    _marks(axis, side, (np.arange(count) + 0.5) / count, OPENING, _DEPTHS["open"])


def _draw_flux(axis: Axes, side: str, condition: Surrounding, length: float) -> None:
    count = max(2, round(72 * length / _ARROWS))
    shares = (np.arange(count) + 0.5) / count
    ends = np.linspace(0, 1, len(condition.values))
    flux = np.interp(shares, ends, condition.values)
    for sign in (-1, 1):
        tip, tail = (0.1, 1.0) if sign > 0 else (1.0, 0.1)
        back = tip + 0.4 * sign
        verts = [(0.0, tail), (0.0, tip), (-0.3, back), (0.0, tip), (0.3, back)]
        arrow = Path(verts, [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO])
        if (mine := np.sign(flux) == sign).any():
            _marks(axis, side, shares[mine], arrow, _DEPTHS["flux"])


_DRAW: dict[str, Callable[[Axes, str, Surrounding, float], None]] = {
    "value": _draw_line,
    "impedance": _draw_line,
    "open": _draw_open,
    "flux": _draw_flux,
    "no flux": _draw_closed,
}


def _text(site: Site, condition: Surrounding, length: float) -> str:
    """Return the condition in words that fit into a length, inches."""
    std = None if condition.std is None else float(condition.std.mean())
    values = short_range(condition.values, std)
    if condition.kind == "flux":
        return f"inflow {values}"
    if condition.kind == "impedance":
        return f"β = {values}"
    units = in_figures(site.units)
    short = f"{values} {units}".strip()
    full = f"{site.solution.replace('_', ' ')} = {short}"
    return full if len(full) * LETTER < length else short


def _write(axis: Axes, side: str, text: str, out: float) -> None:
    """Write a text along a side, so many points out of the frame."""
    x, y = _at(side, np.array([0.5]))
    axis.annotate(
        text,
        (x[0], y[0]),
        xycoords="axes fraction",
        xytext=_outwards(side, 0.0, out),
        textcoords="offset points",
        rotation={"left": 90, "right": 270}.get(side, 0),
        ha={"left": "right", "right": "left"}.get(side, "center"),
        va={"bottom": "top", "top": "bottom"}.get(side, "center"),
        fontsize=FONT,
        annotation_clip=False,
    )


def join_sides(axis: Axes) -> None:
    """Draw the frame dashed: opposite sides are joined."""
    for spine in axis.spines.values():
        spine.set_linestyle((0, (4, 3)))

"""The figure of a script of the gallery: a Figure of matplotlib, in the variable `figure`."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

__all__ = ["save_figure"]


def save_figure(
    block: tuple[str, str, int], variables: dict[str, Any], settings: dict[str, Any]
) -> str:
    """Save the figure of a script that has run, and return its directive.

    Raises:
        TypeError: the script has left no figure.
    """
    if block[0] != "code":
        return ""
    names = variables["example_globals"]
    figure, title = names.get("figure"), names["__doc__"].strip().partition("\n")[0]
    if not isinstance(figure, Figure):
        raise TypeError(f"{variables['src_file']}: figure must be a Figure, got {figure!r}")
    path = next(variables["image_path_iterator"])
    figure.savefig(path, dpi=100)
    return figure_rst([path], settings["src_dir"], title)

"""The figure of `pdeinv study two-inclusions`: a medium and what both methods make of it."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pdeinv.benchmarks.studies.two_inclusions import FIELD, METHODS, scattering_truth
from pdeinv.figures.layout import extent_of
from pdeinv.solvers.reconstruction import reconstruct

__all__ = ["plot_inclusions"]

_SPAN = 0.3  # of the colours, about 1


def plot_inclusions(number: int = 0) -> Figure:
    """Draw the medium of a number, the posterior means of both methods, and the standard deviation
    of Gauss–Newton.

    Arguments:
        number: of the medium, from 0.
    """
    truth = scattering_truth(number)
    found = {
        name: reconstruct(truth.sensors, problem=truth.problem, solver=solver, seed=number)
        for name, solver in METHODS.items()
    }
    colours = {"cmap": "RdBu_r", "vmin": 1 - _SPAN, "vmax": 1 + _SPAN}
    panels = [
        ("truth, sources (+) and receivers (•)", truth.state[0, 0].numpy(), colours),
        ("Born approximation", found["born"][f"{FIELD}_mean"].values, colours),
        ("Gauss–Newton", found["gauss-newton"][f"{FIELD}_mean"].values, colours),
        (
            "standard deviation of Gauss–Newton",
            found["gauss-newton"][f"{FIELD}_std"].values,
            {"cmap": "viridis", "vmin": 0},
        ),
    ]
    figure = Figure(figsize=(13, 3.3), layout="constrained")
    axes = figure.subplots(1, len(panels))
    for axis, (title, values, style) in zip(axes, panels, strict=True):
        image = axis.imshow(
            values,
            origin="lower",
            extent=extent_of(truth.grid),
            interpolation="nearest",
            **style,
        )
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        bar = figure.colorbar(image, ax=axis, shrink=0.85)
        bar.locator = MaxNLocator(5)
        bar.update_ticks()
    wells = [pde.parameters["wells"][0] for pde in truth.problem.physics.experiments.values()]
    axes[0].plot([w.x for w in wells], [w.y for w in wells], "k+", markersize=5)
    places = truth.sensors.table
    axes[0].plot(places["x"], places["y"], "k.", markersize=2)
    return figure

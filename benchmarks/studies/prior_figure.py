"""The figure of a prior: data and samples, spectra and histograms."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdeinv.benchmarks.studies.prior_measures import power
from pdeinv.field_style import field_style
from pdeinv.priors import GaussianPrior

__all__ = ["plot_samples"]

_SHOWN = 4  # fields of each kind
_LOOKS = (("data", "black"), ("samples", "tab:orange"))


def plot_samples(
    title: str, prior: GaussianPrior, drawn: dict[int, tuple[torch.Tensor, torch.Tensor]]
) -> Figure:
    """Draw a line for each field: data and samples, their spectra and their histograms.

    Arguments:
        title: of the figure.
        prior: whose fields and normalisation are used.
        drawn: data and samples (batch, channel, ny, nx) by nodes per side, the training's first.
    """
    data, samples = next(iter(drawn.values()))
    figure = Figure(figsize=(15, 3.1 * len(prior.fields)), layout="constrained")
    axes = figure.subplots(
        len(prior.fields),
        2 * _SHOWN + 2,
        width_ratios=[1] * (2 * _SHOWN) + [1.7, 1.7],
        squeeze=False,
    )
    for row, (c, field) in zip(axes, enumerate(prior.fields), strict=True):
        low, high = (float(np.quantile(data[:, c].numpy(), q)) for q in (0.001, 0.999))
        style = field_style(np.array([low, high]))
        images = [*data[:_SHOWN, c], *samples[:_SHOWN, c]]
        for i, (axis, values) in enumerate(zip(row, images, strict=False)):
            axis.imshow(values.numpy(), origin="lower", interpolation="nearest", **style)
            axis.set_xticks([])
            axis.set_yticks([])
            if i % _SHOWN == 0:
                axis.set_title("data" if i == 0 else "samples", loc="left", fontsize=10)
        row[0].set_ylabel(field.name.replace("_", " "), fontsize=10)
        spectra = {n: [power(prior, values)[c] for values in both] for n, both in drawn.items()}
        _plot_spectra(row[-2], spectra)
        _plot_histograms(row[-1], (data[:, c], samples[:, c]), low, high)
    figure.suptitle(title, fontsize=11)
    return figure


def _plot_spectra(axis: Axes, spectra: dict[int, list[torch.Tensor]]) -> None:
    for both, style in zip(spectra.items(), ("-", "--"), strict=True):
        n, values = both
        for spectrum, (label, colour) in zip(values, _LOOKS, strict=True):
            axis.loglog(
                spectrum[1:].clamp(min=1e-14).numpy(),
                style,
                color=colour,
                label=f"{label}, {n} nodes",
                linewidth=1,
            )
    data = next(iter(spectra.values()))[0]
    axis.set_ylim(bottom=float(data[1:].max()) * 1e-8)
    axis.set_title("power by wavenumber", fontsize=10)
    axis.legend(fontsize=7)
    axis.tick_params(labelsize=7)


def _plot_histograms(axis: Axes, both: Iterable[torch.Tensor], low: float, high: float) -> None:
    margin = 0.1 * (high - low)
    bins = np.linspace(low - margin, high + margin, 60).tolist()
    for values, (label, colour) in zip(both, _LOOKS, strict=True):
        axis.hist(
            values.flatten().numpy(), bins, density=True, histtype="step", color=colour, label=label
        )
    axis.set_title("values at a point", fontsize=10)
    axis.set_yticks([])
    axis.legend(fontsize=7)
    axis.tick_params(labelsize=7)

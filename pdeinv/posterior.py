"""The result of a solver: samples, mean and standard deviation of both fields."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from pdeinv.coordinates import coordinates_of
from pdeinv.grid import Field, Grid

__all__ = ["Posterior"]


@dataclass
class Posterior:
    """Posterior of a state (coefficient, solution, ...) given sensors.

    Arguments:
        fields: of the channels, the coefficient's first.
        grid: their grid.
        mean, std: (channels, ny, nx), pointwise.
        samples: (n_samples, channels, ny, nx).
        record: solver, settings, seconds, network evaluations, solver calls, reduced chi-squared.
        probability: (ny, nx), of the high value of a coefficient with two values.
        latent: (n_samples, modes²), Karhunen–Loève coefficients of the samples' latent field, from
            solvers that use them.
        pairs: whether samples 2i and 2i + 1 are antithetic, or drawn together otherwise; an odd
            last one is single. Samples of different pairs are independent.
    """

    fields: tuple[Field, ...]
    grid: Grid
    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor
    record: dict[str, str | float | int] = field(default_factory=dict)
    probability: torch.Tensor | None = None
    latent: torch.Tensor | None = None
    pairs: bool = False

    def to_xarray(self, **attributes: str | float | int) -> xr.Dataset:
        """Return `{field}_mean`, `{field}_std` (y, x) and `{field}_samples` (sample, y, x).

        The fields are float64. A coefficient of two values has `{field}_probability` (y, x) of the
        high one too.

        Arguments:
            attributes: global attributes in addition to the run's record.
        """
        coords: dict[Hashable, object] = {**coordinates_of(self.grid)}
        data = {}
        for i, f in enumerate(self.fields):
            for what, dims, values in (
                ("mean", ("y", "x"), self.mean[i]),
                ("std", ("y", "x"), self.std[i]),
                ("samples", ("sample", "y", "x"), self.samples[:, i]),
            ):
                label = {
                    "mean": "posterior mean",
                    "std": "posterior standard deviation",
                    "samples": "posterior samples",
                }[what]
                attrs = {"long_name": f"{label} of the {f.long_name}", "units": f.units}
                data[f"{f.name}_{what}"] = (dims, values.detach().cpu().double().numpy(), attrs)
        if self.probability is not None:
            f = self.fields[0]
            attrs = {
                "long_name": f"posterior probability of the high value of the {f.long_name}",
                "units": "1",
            }
            data[f"{f.name}_probability"] = (
                ("y", "x"),
                self.probability.detach().cpu().double().numpy(),
                attrs,
            )
        coords["sample"] = np.arange(len(self.samples))
        return xr.Dataset(data, coords, {**self.record, **attributes})

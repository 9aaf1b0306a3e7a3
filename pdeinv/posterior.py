"""What a solver returns: samples, mean and spread of both fields, with the record of the run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from pdeinv.grid import Field, Grid

__all__ = ["Posterior"]


@dataclass
class Posterior:
    """Posterior of a state (coefficient, solution) given sensors.

    Arguments:
        fields: what the two channels are.
        grid: where they live.
        mean, std: pointwise, (2, n, n).
        samples: (n_samples, 2, n, n).
        probability: of the coefficient's high value, (n, n), where the coefficient has two values.
        latent: Karhunen–Loève coefficients of the samples' latent field, (n_samples, modes²), from
            solvers that work with them.
        record: solver, its settings, seconds, network evaluations, solver calls, reduced
            chi-squared.
    """

    fields: tuple[Field, Field]
    grid: Grid
    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor
    record: dict[str, str | float | int] = field(default_factory=dict)
    probability: torch.Tensor | None = None
    latent: torch.Tensor | None = None

    def to_xarray(self, **attributes) -> xr.Dataset:
        """`{field}_mean`, `{field}_std` (y, x) and `{field}_samples` (sample, y, x) of both fields,
        as float64.

        A coefficient of two values has `{field}_probability` (y, x) of the high one too.

        Arguments:
            attributes: more global attributes beside the run's record; plain strings and numbers.
        """
        s = self.grid.coordinates().numpy()
        coords = {
            name: (name, s, {"long_name": f"{name} coordinate", "units": "1"})
            for name in ("y", "x")
        }
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

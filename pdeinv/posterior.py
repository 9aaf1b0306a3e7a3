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

        The fields are float64. A field of several experiments has one dimension more,
        `{field}_mean` (experiment, y, x) and `{field}_samples` (sample, experiment, y, x), with nan
        in an experiment that lacks it. A coefficient of two values has `{field}_probability` (y, x)
        of the high one too.

        Arguments:
            attributes: global attributes in addition to the run's record.
        """
        coords: dict[Hashable, object] = {**coordinates_of(self.grid)}
        if experiments := self._experiments():
            coords["experiment"] = np.array(experiments, dtype=object)
        data = {}
        for f in self.fields:
            for what, label, leading, values in (
                ("mean", "posterior mean", (), self.mean),
                ("std", "posterior standard deviation", (), self.std),
                ("samples", "posterior samples", ("sample",), self.samples),
            ):
                attrs = {"long_name": f"{label} of the {f.long_name}", "units": f.units}
                dims = (*leading, *(("experiment",) if f.experiment else ()), "y", "x")
                data[f"{f.name}_{what}"] = (dims, self._of_field(f, values), attrs)
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

    def _experiments(self) -> list[str]:
        """Return the names of the experiments, in the order of their channels."""
        return list(dict.fromkeys(f.experiment for f in self.fields if f.experiment))

    def _of_field(self, f: Field, values: torch.Tensor) -> np.ndarray:
        """Return the channels of a field's name, with a dimension of experiments where it has
        several."""
        values = values.detach().cpu().double()
        if not f.experiment:
            return values[..., self.fields.index(f), :, :].numpy()
        channels = {g.experiment: i for i, g in enumerate(self.fields) if g.name == f.name}
        missing = torch.full_like(values[..., 0, :, :], torch.nan)
        parts = [
            values[..., channels[name], :, :] if name in channels else missing
            for name in self._experiments()
        ]
        return torch.stack(parts, dim=-3).numpy()

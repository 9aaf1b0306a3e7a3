"""The result of a solver: samples, mean and standard deviation of both fields."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from pdeinv.coordinates import coordinates_of
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.inferred_field import InferredField
from pdeinv.leave_one_out import LeaveOneOut
from pdeinv.parameters import Parameters
from pdeinv.torch_state import moved

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
        parameters: numbers that were inferred with the fields, None without any.
        leave_one_out: each reading predicted from the others, in the order of the readings; None
            where the method has no such predictions.
        inferred: further quantities that were, such as the values of an uncertain side.
        weight: (m,), of each reading, where these were found (see `Robust`); None for equal ones.
        mode: (1, size), the most probable unknowns of a method that searches for them.
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
    parameters: Parameters | None = None
    leave_one_out: LeaveOneOut | None = None
    inferred: tuple[InferredField, ...] = ()
    weight: torch.Tensor | None = None
    mode: torch.Tensor | None = None

    def to_xarray(self, **attributes: str | float | int) -> xr.Dataset:
        """Return `{field}_mean`, `{field}_std` (y, x) and `{field}_samples` (sample, y, x).

        The fields are float64, and nan at inactive nodes. A field of several experiments has one
        dimension more, `{field}_mean` (experiment, y, x) and `{field}_samples` (sample, experiment,
        y, x), with nan in an experiment that lacks it; so has one at output times, `{field}_mean`
        (time, y, x). The same field of a stationary experiment holds at all times. A coefficient of
        two values has `{field}_probability` (y, x) of the high one too. Numbers that were inferred
        have the dimension `parameter`, see `Parameters.to_xarray`. A side that was has
        `{side}_{field}_mean` (y) or (x).

        Arguments:
            attributes: global attributes in addition to the run's record.
        """
        coords: dict[Hashable, object] = {**coordinates_of(self.grid)}
        if experiments := self._experiments():
            coords["experiment"] = np.array(experiments, dtype=object)
        if times := self._times():
            coords["time"] = np.array(times)
        data = {}
        for f in self.fields:
            for what, label, leading, values in (
                ("mean", "posterior mean", (), self.mean),
                ("std", "posterior standard deviation", (), self.std),
                ("samples", "posterior samples", ("sample",), self.samples),
            ):
                attrs = {"long_name": f"{label} of the {f.long_name}", "units": f.units}
                of_experiment = ("experiment",) if f.experiment else ()
                of_time = ("time",) if self._timed(f) else ()
                dims = (*leading, *of_experiment, *of_time, "y", "x")
                data[f"{f.name}_{what}"] = (dims, self._of_field(f, values), attrs)
        if self.probability is not None:
            f = self.fields[0]
            attrs = {
                "long_name": f"posterior probability of the high value of the {f.long_name}",
                "units": "1",
            }
            data[f"{f.name}_probability"] = (
                ("y", "x"),
                self._active(self.probability.detach().cpu().double()).numpy(),
                attrs,
            )
        coords["sample"] = np.arange(len(self.samples))
        result = xr.Dataset(data, coords, {**self.record, **attributes})
        for one in self.inferred:
            result = result.assign(one.to_xarray())
        return result if self.parameters is None else result.assign(self.parameters.to_xarray())

    def to(self, device: torch.device | str) -> Posterior:
        """Return the posterior with its tensors on a device."""
        return moved(self, device)

    def _active(self, values: torch.Tensor) -> torch.Tensor:
        """Return values (..., ny, nx), nan at inactive nodes."""
        active = self.grid.active_nodes
        return values if active is None else values.where(active, torch.nan)

    def _experiments(self) -> list[str]:
        """Return the names of the experiments, in the order of their channels."""
        return list(dict.fromkeys(f.experiment for f in self.fields if f.experiment))

    def _times(self) -> list[float]:
        """Return the output times of all fields, rising."""
        return sorted({f.time for f in self.fields if f.time is not None})

    def _timed(self, f: Field) -> bool:
        """Return whether a field of that name has a time, in one experiment at least."""
        return any(g.time is not None for g in self.fields if g.name == f.name)

    def _of_field(self, f: Field, values: torch.Tensor) -> np.ndarray:
        """Return the channels of a field's name, with dimensions of experiments and times where it
        has them."""
        values = self._active(values.detach().cpu().double())
        channels = {
            (g.experiment, g.time): i for i, g in enumerate(self.fields) if g.name == f.name
        }
        missing = torch.full_like(values[..., 0, :, :], torch.nan)

        def at(experiment: str, time: float | None) -> torch.Tensor:
            found = channels.get((experiment, time), channels.get((experiment, None)))
            return missing if found is None else values[..., found, :, :]

        def of(experiment: str) -> torch.Tensor:
            if not self._timed(f):
                return at(experiment, None)
            return torch.stack([at(experiment, time) for time in self._times()], dim=-3)

        if not f.experiment:
            return of("").numpy()
        parts = [of(name) for name in self._experiments()]
        return torch.stack(parts, dim=-4 if self._timed(f) else -3).numpy()

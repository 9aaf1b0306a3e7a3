"""Numbers that were inferred with the fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

__all__ = ["LEVEL", "QUANTILE", "Parameters", "weighted_quantile"]

LEVEL = 90
"""Of the central interval of a parameter, in percent."""
QUANTILE = 1.6448536269514722
"""Of a normal number, at the upper end of that interval."""


@dataclass(frozen=True)
class Parameters:
    """Posterior of k numbers that were inferred with the fields, such as biases of instruments.

    Arguments:
        names: of the numbers.
        units: of each.
        mean, std: (k,).
        samples: (n_samples, k), in the order of the samples of the fields.
        low, high: ends of the central 90 % interval, (k,). If None, those of normal numbers of the
            mean and the standard deviation.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor
    low: torch.Tensor | None = None
    high: torch.Tensor | None = None

    @property
    def interval(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The ends of the central interval, (k,) each."""
        end = QUANTILE * self.std
        low = self.mean - end if self.low is None else self.low
        return low, self.mean + end if self.high is None else self.high

    @classmethod
    def joined(cls, *parts: Parameters | None) -> Parameters | None:
        """Return the numbers of all parts, in their order; None without any."""
        given = [part for part in parts if part is not None]
        if not given:
            return None
        ends = [part.interval for part in given]
        return cls(
            tuple(name for part in given for name in part.names),
            tuple(units for part in given for units in part.units),
            torch.cat([part.mean for part in given]),
            torch.cat([part.std for part in given]),
            torch.cat([part.samples for part in given], dim=1),
            torch.cat([low for low, _ in ends]),
            torch.cat([high for _, high in ends]),
        )

    def to_xarray(self) -> xr.Dataset:
        """Return the variables `parameter_mean`, `parameter_std`, `parameter_low` and
        `parameter_high` (parameter), and `parameter_samples` (sample, parameter).

        The coordinates are `parameter`, the names, and `parameter_units`. The ends are those of the
        central 90 % interval.
        """
        (start, end), alone = self.interval, ("parameter",)
        interval = f"of the central {LEVEL} % interval of the parameters"
        columns = (
            ("mean", "posterior mean of the parameters", alone, self.mean),
            ("std", "posterior standard deviation of the parameters", alone, self.std),
            ("low", f"start {interval}", alone, start),
            ("high", f"end {interval}", alone, end),
            ("samples", "posterior samples of the parameters", ("sample", *alone), self.samples),
        )
        data = {
            f"parameter_{what}": (dims, values.numpy(), {"long_name": label})
            for what, label, dims, values in columns
        }
        units = (alone, np.array(self.units, dtype=object), {"long_name": "units"})
        coords = {"parameter": np.array(self.names, dtype=object), "parameter_units": units}
        return xr.Dataset(data, coords)


def weighted_quantile(values: torch.Tensor, weights: torch.Tensor, level: float) -> float:
    """Return the quantile of weighted values, between their midpoints.

    Arguments:
        values: (n,).
        weights: (n,), with the sum 1.
        level: from 0 to 1.
    """
    ordered, order = values.sort()
    heights = weights[order].cumsum(0) - weights[order] / 2
    return float(np.interp(level, heights.numpy(), ordered.numpy()))

"""Numbers that were inferred with the fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

__all__ = ["Parameters", "joined"]

_LEVEL, _QUANTILE = 95, 1.959963984540054  # of the interval in percent, and of a normal number


@dataclass(frozen=True)
class Parameters:
    """Posterior of k numbers that were inferred with the fields, such as biases of instruments.

    Arguments:
        names: of the numbers.
        units: of each.
        mean, std: (k,).
        samples: (n_samples, k), in the order of the samples of the fields.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor

    def to_xarray(self) -> xr.Dataset:
        """Return the variables `parameter_mean`, `parameter_std`, `parameter_low` and
        `parameter_high` (parameter), and `parameter_samples` (sample, parameter).

        The coordinates are `parameter`, the names, and `parameter_units`. The ends are those of the
        central interval of a normal number with the mean and the standard deviation.
        """
        end, alone = _QUANTILE * self.std, ("parameter",)
        interval = f"of the central {_LEVEL} % interval of the parameters"
        columns = (
            ("mean", "posterior mean of the parameters", alone, self.mean),
            ("std", "posterior standard deviation of the parameters", alone, self.std),
            ("low", f"start {interval}", alone, self.mean - end),
            ("high", f"end {interval}", alone, self.mean + end),
            ("samples", "posterior samples of the parameters", ("sample", *alone), self.samples),
        )
        data = {
            f"parameter_{what}": (dims, values.numpy(), {"long_name": label})
            for what, label, dims, values in columns
        }
        units = (alone, np.array(self.units, dtype=object), {"long_name": "units"})
        coords = {"parameter": np.array(self.names, dtype=object), "parameter_units": units}
        return xr.Dataset(data, coords)


def joined(parts: Iterable[Parameters | None]) -> Parameters | None:
    """Return the parameters of all parts, which have as many samples; None without any."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    return Parameters(
        tuple(name for part in found for name in part.names),
        tuple(unit for part in found for unit in part.units),
        torch.cat([part.mean for part in found]),
        torch.cat([part.std for part in found]),
        torch.cat([part.samples for part in found], dim=1),
    )

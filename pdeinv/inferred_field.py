"""A quantity of the physics that was inferred with the fields, along a side or over the domain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xarray as xr

from pdeinv.fields import Field

__all__ = ["InferredField"]


@dataclass(frozen=True)
class InferredField:
    """Posterior of a quantity at the nodes of a side or of the domain.

    Arguments:
        field: its name, such as "left_head", with its words and units.
        dimensions: ("y",) or ("x",) of a side, ("y", "x") of one over the domain.
        mean, std: at the nodes.
        samples: (n_samples, ...), in the order of the samples of the fields.
    """

    field: Field
    dimensions: tuple[str, ...]
    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor

    def to_xarray(self) -> xr.Dataset:
        """Return the variables `{name}_mean`, `{name}_std` and `{name}_samples`. The attribute
        `inferred` distinguishes them from the fields of the physics."""
        parts = (
            ("mean", "posterior mean", (), self.mean),
            ("std", "posterior standard deviation", (), self.std),
            ("samples", "posterior samples", ("sample",), self.samples),
        )
        return xr.Dataset(
            {
                f"{self.field.name}_{what}": (
                    (*leading, *self.dimensions),
                    values.numpy(),
                    {
                        "long_name": f"{label} of the {self.field.long_name}",
                        "units": self.field.units,
                        "inferred": 1,
                    },
                )
                for what, label, leading, values in parts
            }
        )

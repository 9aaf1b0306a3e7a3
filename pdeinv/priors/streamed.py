"""The states of a dataset that does not fit into memory: read from the file where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr

from pdeinv.datasets import PDE, field_values
from pdeinv.datasets.values import checked_fields, plain_values, values_memory
from pdeinv.memory import fits

__all__ = ["StreamedStates", "states_of"]

_COPIES = 2.0  # of the states, that training may hold


@dataclass(frozen=True)
class StreamedStates:
    """States (samples, channel, ny, nx), float32, of an open dataset, as a tensor has them.

    An index or a slice reads these samples alone, and a slice also checks their values.

    Arguments:
        dataset: the fields, lazily, with the dimensions sample, y and x.
        names: of the fields, in the order of the channels.
        pde: the PDE, whose coefficient may be positive; None if it is unknown.
        first, last: the samples; the last one is not among them.
    """

    dataset: xr.Dataset
    names: tuple[str, ...]
    pde: PDE | None
    first: int
    last: int

    @classmethod
    def of(cls, dataset: xr.Dataset, names: Sequence[str], pde: PDE | None) -> StreamedStates:
        """Return all states of a dataset.

        Arguments:
            dataset, names, pde: as of the class.

        Raises:
            InputError: a field has other dimensions or no real numbers.
        """
        chosen = checked_fields(dataset, names)
        return cls(chosen, tuple(names), pde, 0, chosen.sizes["sample"])

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.last - self.first

    @property
    def shape(self) -> torch.Size:
        """The shape of the tensor."""
        sizes = self.dataset.sizes
        return torch.Size([len(self), len(self.names), sizes["y"], sizes["x"]])

    def part(self, first: int, last: int) -> StreamedStates:
        """Return some of the samples, which are not read.

        Arguments:
            first, last: the samples; the last one is not among them.
        """
        return replace(self, first=self.first + first, last=self.first + last)

    def flip(self, dim: int) -> StreamedStates:
        """Return the states with their channels in reverse, which are not read.

        Arguments:
            dim: that of the channels, 1.
        """
        assert dim == 1
        return replace(self, names=self.names[::-1])

    def __getitem__(self, chosen: slice | torch.Tensor) -> torch.Tensor:
        """Return samples, read and stacked.

        Arguments:
            chosen: a slice, or indices (k,), which may repeat.

        Raises:
            InputError: the file has changed, or a value of a slice is not allowed.
        """
        if isinstance(chosen, slice):
            rows = range(*chosen.indices(len(self)))
            start = self.first + rows.start
            run = slice(start, self.first + max(rows.stop, rows.start), rows.step)
            part = self.dataset.isel(sample=run)
            return torch.from_numpy(field_values(part, self.names, self.pde, np.float32, start))
        # A file is read in the order of its samples, each once
        places, back = np.unique(chosen.numpy(force=True), return_inverse=True)
        part = self.dataset.isel(sample=self.first + places)
        found = np.stack([plain_values(part[name], np.float32) for name in self.names], axis=1)
        return torch.from_numpy(found)[torch.from_numpy(back)]


def states_of(
    dataset: xr.Dataset, names: Sequence[str], pde: PDE | None
) -> torch.Tensor | StreamedStates:
    """Return the states of a dataset: a tensor, if it fits into memory.

    Inactive nodes have the mean of all samples, which are read at once therefore.

    Arguments:
        dataset, names, pde: as of `StreamedStates`.
    """
    need = values_memory(dataset, names, np.float32)
    if fits(_COPIES * need) or (pde is not None and pde.domain.active is not None):
        return torch.from_numpy(field_values(dataset, names, pde, np.float32))
    return StreamedStates.of(dataset, names, pde)

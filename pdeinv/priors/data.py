"""The fields of a dataset file, ready to fit a prior to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from pdeinv.basis import Basis
from pdeinv.checks import EXTREME
from pdeinv.coefficients import CoefficientPrior
from pdeinv.coordinates import grid_from
from pdeinv.datasets import PDE, Problem, find_pde, open_dataset, prior_of
from pdeinv.datasets.header import Header
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.streamed import StreamedStates, states_of
from pdeinv.symmetry import Group, trivial_group

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "ROLES",
    "STD",
    "Normalisation",
    "TrainingData",
    "digest_indices",
    "digest_of",
    "held_out",
]

ROLES = {
    "both": ("coefficient", "solution"),
    "coefficient": ("coefficient",),
    "solution": ("solution",),
}
STD = 0.5
"""Standard deviation of a normalised field, as in EDM and FunDPS."""
_MIN_SAMPLES = 8
_HELD_OUT = 128  # samples at the end of the data, at most an eighth of them
_BLOCK = 512  # samples that are held at a time where all are passed through
_BOUNDARY_SAMPLES = 256  # samples from which the behaviour at the boundary is inferred
_DIGEST_SAMPLES = 64  # samples that the digest of a dataset covers


class Normalisation(NamedTuple):
    """A basis for each channel, and the normalised field (field - shift) / scale.

    Arguments:
        bases: one for each channel.
        shift, scale: (channel,), float64, in physical units.
    """

    bases: tuple[Basis, ...]
    shift: torch.Tensor
    scale: torch.Tensor


@dataclass(frozen=True)
class TrainingData:
    """Samples of fields to fit a prior to.

    Arguments:
        states: (samples, channel, ny, nx), float32, in physical units; of a dataset that does not
            fit into memory, a view of the file.
        fields: the fields of the channels.
        grid: grid of the states.
        pde: the PDE, if it is one of the package.
        source: name of the file or of another origin.
        origin: the seed of the file's samples, and the range from which it draws, if it says them.
        prior: of the coefficients, if it is known.
    """

    states: torch.Tensor | StreamedStates
    fields: tuple[Field, ...]
    grid: Grid
    pde: PDE | None
    source: str
    origin: dict[str, Any] = field(default_factory=dict)
    prior: CoefficientPrior | None = None

    @classmethod
    def read(cls, path: str | os.PathLike, channels: str = "both", **contents: Any) -> TrainingData:
        """Read the fields of a dataset file.

        Arguments:
            path: the file; see `pdeinv.datasets.generation` for its format.
            channels: `both`, `coefficient` or `solution`; `both` is the only field of a file with
                one field.
            contents: `pde`, `names` and `dims`, where the file does not state them; see
                `pdeinv.datasets.open_dataset`.

        Raises:
            InputError: the file is not a dataset of this package, lacks the field, has too few
                samples, or holds nan, inf or a constant field.
        """
        if channels not in ROLES:
            raise InputError(
                f"channels must be {', '.join(ROLES)}, got {channels!r}; choose one of them"
            )
        with open_dataset(path, **contents) as dataset:
            names = [str(dataset.attrs[role]) for role in ROLES[channels] if role in dataset.attrs]
            if not names:
                raise InputError(
                    f"{path} names no {channels} field; set its root attribute {channels!r} to the "
                    f"name of a variable"
                )
            pde, prior = find_pde(dataset), prior_of(dataset)
            grid = grid_from(dataset, str(path))
            known = {f.name: f for f in pde.fields} if pde else {}
            fields = tuple(known.get(name) or _field(dataset[name]) for name in names)
            states = states_of(dataset, names, pde)
            origin = _origin(dataset)
        data = cls(states, fields, grid, pde, Path(path).name, origin, prior)
        data.check()
        return data

    def check(self) -> None:
        """Refuse states to which no prior can be fitted.

        Raises:
            InputError: there are too few samples, a value is not finite, or a field is constant.
        """
        if len(self.states) < _MIN_SAMPLES:
            raise InputError(
                f"{self.source} must hold at least {_MIN_SAMPLES} samples, got "
                f"{len(self.states)}; add more"
            )
        for first, states in self.blocks():
            bad = ~states.flatten(1).isfinite().all(dim=1)
            if bad.any():
                raise InputError(
                    f"sample {first + int(bad.nonzero()[0])} of {self.source} holds nan or inf; "
                    f"drop it"
                )
        self.normalisation()

    def blocks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield all states in blocks, each with the number of its first sample."""
        for first in range(0, len(self), _BLOCK):
            yield first, self.states[first : first + _BLOCK]

    @property
    def symmetries(self) -> Group:
        """The symmetries of the PDE that the prior of the coefficients has too, acting on the
        fields.

        They are those of the PDE if the prior is unknown, and the identity if the PDE is.
        """
        if self.pde is None:
            return trivial_group()
        group = Problem(self.pde, self.prior).symmetries if self.prior else self.pde.symmetries
        return group.on_grid(self.grid).acting_on(self.fields)

    def stated(self) -> dict[str, Any]:
        """Return the attributes `pde` and `coefficient_prior` of a `Model` of the data."""
        return {
            "pde": (self.pde.name, self.pde.json_parameters()) if self.pde else None,
            "coefficient_prior": self.prior.to_json() if self.prior else None,
        }

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.states)

    def swapped(self) -> TrainingData:
        """Return the data with the solution first, for an operator that inverts the PDE."""
        return replace(self, states=self.states.flip(1), fields=self.fields[::-1])

    def provenance(self) -> dict[str, Any]:
        """Return what a model's file states about its data."""
        return {
            "data": self.source,
            **self.origin,
            "digest": self.digest(),
            "samples": len(self),
            "grid": list(self.grid.shape) if self.grid.ny != self.grid.nx else self.grid.ny,
            "fields": [f.name for f in self.fields],
        }

    def digest(self) -> str:
        """Return a hash of the samples, which distinguishes datasets of the same name."""
        return digest_of(self.states[:: digest_indices(len(self)).step])

    def normalisation(self) -> Normalisation:
        """Return the basis of each channel, and the shift and scale to the standard deviation
        0.5.

        Raises:
            InputError: a field is constant, or of a size that is lost in single precision.
        """
        shift, std = self._moments()
        scale = std / STD
        for f, mean, std in zip(self.fields, shift.tolist(), (STD * scale).tolist(), strict=True):
            if not max(1 / EXTREME, 1e-12 * abs(mean)) < std < EXTREME:
                raise InputError(
                    f"{f.name!r} must vary in {self.source}, got a mean of {mean:.3g} with a "
                    f"standard deviation of {std:.3g}; leave the field out with channels"
                )
        bases = []
        for c, some in enumerate(self.states[:_BOUNDARY_SAMPLES].double().unbind(1)):
            edge = some[:, 0]
            held = not self.grid.periodic and float(edge.std()) <= 1e-6 * float(some.std())
            basis = Basis.of(some - edge.mean() if held else some, self.grid)
            if basis.boundary == "dirichlet" or basis.masked:
                shift[c] = edge.mean()  # sines represent the excess over the boundary value
            bases.append(basis)
        return Normalisation(tuple(bases), shift, scale)

    def _moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean and the standard deviation of each channel, (channel,), float64; the
        blocks are merged as Chan, Golub & LeVeque do, *The American Statistician*, 1983."""
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for _, states in self.blocks():
            values = states.double()
            own, more = values.mean(dim=(0, 2, 3)), values[:, 0].numel()
            left = own - mean
            squares = squares + values.var(dim=(0, 2, 3)) * (more - 1)
            squares = squares + left.square() * (count * more / (count + more))
            count += more
            mean = own if count == more else mean + left * (more / count)
        return mean, (squares / (count - 1)).sqrt()

    def split(self, held_out: int) -> tuple[TrainingData, TrainingData]:
        """Return all samples but the last `held_out`, and these."""
        kept = len(self) - held_out
        states = self.states
        first = states[:kept] if isinstance(states, torch.Tensor) else states.part(0, kept)
        return replace(self, states=first), replace(self, states=self.states[kept:])

    @property
    def values(self) -> torch.Tensor:
        """The states as a tensor (samples, channel, ny, nx), read from the file if need be."""
        return self.states if isinstance(self.states, torch.Tensor) else self.states[:]

    @property
    def in_memory(self) -> bool:
        """Whether the states are a tensor; otherwise a file is read where they are used."""
        return isinstance(self.states, torch.Tensor)


def digest_indices(samples: int) -> range:
    """Return the indices of the samples that the digest of so many covers."""
    return range(0, samples, max(1, samples // _DIGEST_SAMPLES))


def digest_of(covered: torch.Tensor) -> str:
    """Return the digest of data, of the states (samples, channel, ny, nx), float32, it covers."""
    return hashlib.sha256(covered.numpy().tobytes()).hexdigest()[:12]


def _origin(dataset: xr.Dataset) -> dict[str, Any]:
    """Return the seeds that a generated dataset states, as JSON can hold them."""
    header = Header.read(dataset.attrs, "the dataset")
    known = {"seed": header.seed, "seed_range": header.seed_range and list(header.seed_range)}
    return {f"data_{k}": v for k, v in known.items() if v is not None}


def _field(variable: xr.DataArray) -> Field:
    a = variable.attrs
    order = a.get("interpolation_order", 3)
    if order not in (0, 1, 2, 3):
        raise InputError(
            f"the attribute 'interpolation_order' of {variable.name!r} must be an integer from 0 "
            f"to 3, got {order!r}; correct it"
        )
    return Field(
        str(variable.name),
        str(a.get("long_name", variable.name)),
        str(a.get("units", "1")),
        interpolation_order=int(order),
    )


def held_out(samples: int) -> int:
    """Return how many of so many samples are left out of the training, the last ones.

    Arguments:
        samples: their number.
    """
    return max(1, min(_HELD_OUT, samples // 8))

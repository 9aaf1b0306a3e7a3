"""The fields of a dataset file, ready to fit a prior to."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace

import numpy as np
import torch

from pdeinv.basis import Basis
from pdeinv.datasets import PDE, find_pde, open_dataset
from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.symmetry import Group, trivial_group

__all__ = ["ROLES", "STD", "TrainingData"]

ROLES = {
    "both": ("coefficient", "solution"),
    "coefficient": ("coefficient",),
    "solution": ("solution",),
}
STD = 0.5
"""Standard deviation of a normalised field, as in EDM and FunDPS."""
_FEWEST = 8  # samples
_LOOKED_AT = 256  # samples that tell how a field behaves at the boundary
_HASHED = 64  # samples that tell one dataset from another


@dataclass(frozen=True)
class TrainingData:
    """States (samples, channel, n, n), float32, what their channels are, and the PDE where it is
    one of the package's."""

    states: torch.Tensor
    fields: tuple[Field, ...]
    grid: Grid
    pde: PDE | None
    source: str

    @classmethod
    def read(cls, path: str | os.PathLike, channels: str = "both") -> TrainingData:
        """The channels (`both`, `coefficient` or `solution`) of a dataset file; `both` of a file
        with one field is that field.

        Raises:
            InputError: the file is not a dataset of this package, or lacks the field, or holds nan
                or inf.
        """
        if channels not in ROLES:
            raise InputError(f"channels = {channels!r} is unknown; use {', '.join(ROLES)}")
        with open_dataset(path) as dataset:
            names = [str(dataset.attrs[role]) for role in ROLES[channels] if role in dataset.attrs]
            if not names:
                raise InputError(
                    f"{path} names no {channels} field; set its root attribute {channels!r} to a "
                    f"variable's name"
                )
            kind = str(dataset.attrs.get("grid_kind", "vertex"))
            pde = find_pde(dataset)
            grid = Grid(dataset.sizes["x"], kind)
            known = {f.name: f for f in pde.fields} if pde else {}
            fields = tuple(known.get(name) or _field(dataset[name]) for name in names)
            try:
                values = [
                    dataset[name].transpose("sample", "y", "x").to_numpy().astype(np.float32)
                    for name in names
                ]
                states = torch.from_numpy(np.stack(values, axis=1))
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"{path} is damaged ({error}); generate or copy it again"
                ) from None
        if len(states) < _FEWEST:
            raise InputError(
                f"{path} holds {len(states)} samples; a prior needs at least {_FEWEST}"
            )
        bad = ~states.flatten(1).isfinite().all(dim=1)
        if bad.any():
            raise InputError(f"sample {int(bad.nonzero()[0])} of {path} holds nan or inf; drop it")
        constant = [
            f.name
            for f, values in zip(fields, states.unbind(1), strict=True)
            if float(values.std()) == 0
        ]
        if constant:
            raise InputError(
                f"{constant[0]!r} is the same number everywhere in {path}; there is nothing to "
                f"learn"
            )
        return cls(states, fields, grid, pde, os.path.basename(path))

    @property
    def symmetries(self) -> Group:
        return self.pde.symmetries if self.pde else trivial_group()

    def __len__(self) -> int:
        return len(self.states)

    def swapped(self) -> TrainingData:
        """The solution first, then the coefficient: for an operator that inverts the PDE."""
        return replace(self, states=self.states.flip(1), fields=self.fields[::-1])

    def digest(self) -> str:
        """Tells these samples from others of the same name."""
        return hashlib.sha256(
            self.states[:: max(1, len(self) // _HASHED)].numpy().tobytes()
        ).hexdigest()[:12]

    def normalisation(self) -> tuple[tuple[Basis, ...], torch.Tensor, torch.Tensor]:
        """For each channel the basis that suits it, the shift and the scale: (field - shift) /
        scale has the std 0.5."""
        shift = self.states.double().mean(dim=(0, 2, 3))
        scale = self.states.double().std(dim=(0, 2, 3)) / STD
        bases = []
        for c, some in enumerate(self.states[:_LOOKED_AT].double().unbind(1)):
            edge = some[:, 0]
            held = not self.grid.periodic and float(edge.std()) <= 1e-6 * float(some.std())
            basis = Basis.of(some - edge.mean() if held else some, self.grid)
            if basis.boundary == "dirichlet" or basis.masked:
                shift[c] = edge.mean()  # sines carry what the field exceeds its boundary value by
            bases.append(basis)
        return tuple(bases), shift, scale

    def split(self, held_out: int) -> tuple[TrainingData, TrainingData]:
        """All but the last samples, and these."""
        parts = self.states[:-held_out], self.states[-held_out:]
        return tuple(replace(self, states=part) for part in parts)


def _field(variable) -> Field:
    a = variable.attrs
    return Field(
        str(variable.name),
        str(a.get("long_name", variable.name)),
        str(a.get("units", "1")),
        interpolation_order=int(a.get("interpolation_order", 3)),
    )

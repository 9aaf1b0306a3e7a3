"""Trained Fourier neural operators, and the one in place of a PDE's solver."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

from pdeinv.basis import Basis
from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.priors.data import TrainingData
from pdeinv.priors.unet import without_wandb

__all__ = ["FourierOperator", "NeuralOperator", "build"]

_PADDING = 0.125  # of the domain


@dataclass
class FourierOperator:
    """A trained Fourier neural operator with what is needed to use it: the base of those below.

    Arguments:
        fields, bases: of what it is given and of what it answers: the coefficient and the solution,
            or the other way round.
        grid: the network's own.
        shift, scale: (2,); a normalised field is (field - shift) / scale.
        network: `neuralop.models.FNO`.
        arguments: what it was built with.
        pde: name and parameters of the PDE that it was trained for, where it is one of the
            package's.
        record: how it was trained.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021 (arXiv 2010.08895).
    """

    fields: tuple[Field, Field]
    bases: tuple[Basis, Basis]
    grid: Grid
    shift: torch.Tensor
    scale: torch.Tensor
    network: torch.nn.Module
    arguments: dict
    pde: tuple[str, dict] | None = None
    record: dict = field(default_factory=dict)

    @classmethod
    def _new(cls, data: TrainingData, nodes: int, **arguments):
        """With new weights, for a dataset with two fields; on a grid of an even number of nodes, at
        most the data's."""
        if len(data.fields) != 2:
            raise InputError(
                f"{data.source} holds {data.fields[0].name} alone; a neural operator needs two "
                f"fields"
            )
        grid = Grid(min(nodes, data.grid.n) // 2 * 2, data.grid.kind)
        bases, shift, scale = data.normalisation()
        # A domain that is no torus is padded, since Fourier layers wrap around.
        arguments["domain_padding"] = None if data.grid.periodic else _PADDING
        pde = (data.pde.name, dict(data.pde.parameters)) if data.pde else None
        return cls(data.fields, bases, grid, shift, scale, build(arguments), arguments, pde)

    def _moved(self, x: torch.Tensor, channel: int, start: Grid, end: Grid) -> torch.Tensor:
        """A normalised field (batch, n, n) of the channel on another grid, or on the same, as the
        basis carries it."""
        return self.bases[channel].synthesis(self.bases[channel].analysis(x, start), end)


@dataclass
class NeuralOperator(FourierOperator):
    """A Fourier neural operator from one field to another: fast, differentiable, approximate.

    It leads from the coefficient to the solution, or back if it was trained on
    `TrainingData.swapped`.

    For a PDE whose solver is slow or unknown, and as a function that is nearly, not exactly,
    equivariant. It works on a grid of its own: whatever the grid, it sees the first modes of the
    one field and answers in those of the other.

    Example:
        >>> operator = load("darcy-operator")               # doctest: +SKIP
        >>> u = operator(Darcy().sample_coefficient(4, Grid(64)))   # doctest: +SKIP
    """

    @classmethod
    def untrained(
        cls,
        data: TrainingData,
        *,
        width: int = 32,
        modes: int = 12,
        layers: int = 4,
        nodes: int = 32,
    ) -> NeuralOperator:
        """With new weights, for a dataset with two fields; on a grid of an even number of nodes, at
        most the data's."""
        size = {"n_modes": [modes, modes], "hidden_channels": width, "n_layers": layers}
        return cls._new(data, nodes, in_channels=1, out_channels=1, **size)

    def __call__(self, a: torch.Tensor) -> torch.Tensor:
        """The second field (batch, 1, n, n) for the first one's (batch, 1, n, n), in physical
        units."""
        if a.ndim != 4 or a.shape[1] != 1 or a.shape[2] != a.shape[3]:
            raise InputError(
                f"a {self.fields[0].name} of shape {tuple(a.shape)} does not fit; it needs "
                f"(batch, 1, n, n)"
            )
        shift, scale = self.shift.to(a.device), self.scale.to(a.device)
        y = self._normalised(((a[:, 0] - shift[0]) / scale[0]).float())
        return (y.double() * scale[1] + shift[1])[:, None].to(a)

    def encode(self, a: torch.Tensor) -> torch.Tensor:
        """What the last layer makes its answer of: (batch, width, m, m) on the network's own m x m
        nodes."""
        shift, scale = self.shift.to(a.device), self.scale.to(a.device)
        seen: list[torch.Tensor] = []
        hook = self.network.projection.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0])
        )
        try:
            self._answer(((a[:, 0] - shift[0]) / scale[0]).float())
        finally:
            hook.remove()
        return seen[0].to(a)

    def _answer(self, x):
        """The normalised answer (batch, m, m) on the network's nodes, to normalised fields on
        any."""
        grid = Grid(x.shape[-1], self.grid.kind)
        x = x if grid == self.grid else self._moved(x, 0, grid, self.grid)
        return self.network(x[:, None])[:, 0].float()

    def _normalised(self, x):
        """The normalised answer (batch, n, n) to normalised fields."""
        return self._moved(self._answer(x), 1, self.grid, Grid(x.shape[-1], self.grid.kind))

    def loss(self, states: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mean relative L2 error of the normalised answer."""
        x, y = (
            ((states - self.shift[:, None, None]) / self.scale[:, None, None]).float().unbind(dim=1)
        )
        return ((self._normalised(x) - y).flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1)).mean()

    @torch.no_grad()
    def validate(self, data: TrainingData) -> tuple[dict, str]:
        """Mean relative L2 error of the answer on these samples, and a line that tells it."""
        errors = []
        for states in data.states.double().split(64):
            u = self(states[:, :1])
            errors.append(
                (u - states[:, 1:]).flatten(1).norm(dim=1) / states[:, 1:].flatten(1).norm(dim=1)
            )
        error = float(torch.cat(errors).mean())
        return {
            "relative_l2": round(error, 6)
        }, f"relative L2 error of {data.fields[1].name} {100 * error:.3f} %"


def build(arguments: dict) -> torch.nn.Module:
    """A Fourier neural operator of neuraloperator's."""
    with without_wandb():
        from neuralop.models.fno import FNO
    arguments = arguments | {"n_modes": tuple(arguments["n_modes"])}
    return FNO(**arguments, positional_embedding="grid", non_linearity=F.gelu)

"""Trained Fourier neural operators, and the one that stands for a PDE's solver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeVar

import torch
from pydantic import Field as Limits
from pydantic import model_validator
from torch.nn import functional as F

from pdeinv import seeds
from pdeinv.basis import Basis
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.base import Trainable
from pdeinv.priors.data import TrainingData
from pdeinv.priors.description import (
    ChannelsDescription,
    Described,
    Modes,
    describe_channels,
    restore_channels,
    restore_network,
    weight_tensors,
)
from pdeinv.priors.normalised import trained_grid_of
from pdeinv.priors.stored import Tensors
from pdeinv.priors.unet import without_wandb
from pdeinv.torch_state import default_dtype, on_device_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FourierDescription", "FourierOperator", "NeuralOperator"]
T = TypeVar("T")

_PADDING = 0.125  # of the domain
_MAX_NODES = 512  # per side of the network's grid


class FourierArguments(Described):
    """The arguments of the network of neuraloperator, as files state them."""

    n_modes: Annotated[list[Modes], Limits(min_length=2, max_length=2)]
    in_channels: Annotated[int, Limits(ge=1, le=64)]
    out_channels: Annotated[int, Limits(ge=1, le=64)]
    hidden_channels: Annotated[int, Limits(ge=1, le=1024)]
    n_layers: Annotated[int, Limits(ge=1, le=32)]
    separable: bool = False
    domain_padding: Annotated[float, Limits(gt=0, le=1, allow_inf_nan=False)] | None


class FourierDescription(ChannelsDescription):
    """What the header of a Fourier neural operator states."""

    channels: ClassVar[tuple[int, int]]
    nodes_per_patch: ClassVar[int]

    network: FourierArguments

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        if len(self.fields) != 2:
            raise ValueError(f"fields must be two, got {len(self.fields)} of them")
        sizes, network = (self.grid.ny, self.grid.nx), self.network
        if max(sizes) > _MAX_NODES or any(n % 2 for n in sizes):
            raise ValueError(f"the grid must have even sides of at most {_MAX_NODES}, got {sizes}")
        channels = (network.in_channels, network.out_channels)
        if channels != self.channels:
            raise ValueError(
                f"network must have {self.channels[0]} in_channels and {self.channels[1]} "
                f"out_channels, got {channels[0]} and {channels[1]}"
            )
        most = [n // self.nodes_per_patch for n in sizes]
        if any(m > n for m, n in zip(network.n_modes, most, strict=True)):
            raise ValueError(
                f"network.n_modes must be at most {most[0]} and {most[1]} on {sizes[0]} x "
                f"{sizes[1]} nodes, got {network.n_modes}"
            )
        return self


class OperatorDescription(FourierDescription):
    """What the header of a neural operator states."""

    channels = (1, 1)
    nodes_per_patch = 1


@dataclass(eq=False, repr=False)
class FourierOperator(Trainable):
    """A trained Fourier neural operator with what is needed to use it: the base of those below.

    Arguments:
        fields: the two fields: the coefficient and the solution, or the other way round.
        bases: one for each field.
        grid: the grid of the network.
        shift, scale: (2,), float64; a normalised field is (field - shift) / scale.
        network: `neuralop.models.FNO`.
        arguments: the arguments of the network.
        pde, coefficient_prior: as of `Model`.
        record: how the operator was trained.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021 (arXiv 2010.08895).
    """

    description: ClassVar[type[FourierDescription]]

    fields: tuple[Field, Field]
    bases: tuple[Basis, Basis]
    grid: Grid
    shift: torch.Tensor
    scale: torch.Tensor
    network: torch.nn.Module
    arguments: dict
    pde: tuple[str, dict] | None = None
    coefficient_prior: dict | None = None
    record: dict = field(default_factory=dict)

    @classmethod
    def _new(cls, data: TrainingData, nodes: int, modes: int, seed: int, **arguments) -> Self:
        """Return an operator with new weights, on a grid with even numbers of patches, at most
        `nodes` on the shorter side and at most those of the data.

        Its filters have `modes` on the shorter side, and more on the longer one.

        Raises:
            InputError: the data do not have two fields.
        """
        if len(data.fields) != 2:
            raise InputError(
                f"a neural operator must have two fields, got {data.fields[0].name} alone from "
                f"{data.source}; train it on pairs of coefficient and solution"
            )
        grid = data.grid.at_most(nodes)
        # neuraloperator's spectral convolution is wrong on odd numbers of patches
        even = 2 * cls.description.nodes_per_patch
        grid = grid.resized(*(max(4, n // even * even) for n in grid.shape))
        arguments["n_modes"] = [round(modes * n / min(grid.shape)) for n in grid.shape]
        bases, shift, scale = data.normalisation()
        # Fourier layers wrap around, so that a domain that is not a torus is padded
        arguments["domain_padding"] = None if data.grid.periodic else _PADDING
        with seeds.global_state(seeds.TRAINING, seed):
            network = _build(arguments)
        normal = (_pair(data.fields), _pair(bases), grid, shift, scale)
        return cls(*normal, network, arguments, **data.stated())

    def describe(self, half: bool) -> tuple[dict[str, torch.Tensor], dict]:
        """Return the tensors and the header from which `restore` makes the operator."""
        tensors, header = describe_channels(self)
        header |= {"network": self.arguments, "record": self.record}
        return tensors | weight_tensors(self.network, half), header

    @classmethod
    def restore(cls, tensors: Tensors, described: FourierDescription) -> Self:
        """Return the operator of a description."""
        c = restore_channels(tensors, described)
        arguments = described.network.model_dump(exclude_unset=True)
        network = restore_network(lambda: _build(arguments), tensors)
        normal = (_pair(c.fields), _pair(c.bases), c.grid, c.shift, c.scale)
        return cls(*normal, network, arguments, c.pde, c.coefficient_prior, described.record)

    @default_dtype(torch.float32)  # of the coordinates that the network adds
    def _evaluate(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output (batch, channel, ny, nx) of the network."""
        return on_device_of(self.network, x)(x).float()

    def _on_grid(self, x: torch.Tensor, channel: int, start: Grid, end: Grid) -> torch.Tensor:
        """Return normalised fields (batch, ny, nx) of a channel on a grid, as its basis has it."""
        return self.bases[channel].synthesis(self.bases[channel].analysis(x, start), end)


@dataclass(eq=False, repr=False)
class NeuralOperator(FourierOperator):
    """A Fourier neural operator from one field to another: fast, differentiable, approximate.

    It maps the coefficient to the solution, or the solution to the coefficient if it was trained on
    `TrainingData.swapped`. Use it for a PDE whose solver is slow or unknown, or as a function that
    is nearly but not exactly equivariant.

    It has a grid of its own: on any grid its input is the lowest modes of the first field, and its
    output those of the second.

    Example:
        >>> operator = load("darcy-operator")               # doctest: +SKIP
        >>> u = operator(Darcy().sample_coefficient(4, Grid(64)))   # doctest: +SKIP
    """

    kind = "operator"
    description = OperatorDescription

    @classmethod
    def untrained(
        cls,
        data: TrainingData,
        *,
        width: int = 32,
        modes: int = 12,
        layers: int = 4,
        nodes: int = 32,
        seed: int = 0,
    ) -> NeuralOperator:
        """Return an operator with new weights.

        Arguments:
            data: samples of two fields.
            width: channels of the hidden layers.
            modes: Fourier modes along the shorter side.
            layers: number of Fourier layers.
            nodes: of the network's grid on the shorter side, made even and at most those of the
                data.
            seed: of the weights.

        Raises:
            InputError: the data do not have two fields.
        """
        size = {"hidden_channels": width, "n_layers": layers}
        return cls._new(data, nodes, modes, seed, in_channels=1, out_channels=1, **size)

    def __call__(self, a: torch.Tensor) -> torch.Tensor:
        """Return the second field of a first field, both (batch, 1, ny, nx) in physical units.

        Raises:
            InputError: the field has another shape, or that of a domain of another aspect.
        """
        if a.ndim != 4 or a.shape[1] != 1:
            raise InputError(
                f"the {self.fields[0].name} must be (batch, 1, ny, nx), got {tuple(a.shape)}; "
                f"reshape it"
            )
        shift, scale = self.shift.to(a.device), self.scale.to(a.device)
        y = self._normalised(((a[:, 0] - shift[0]) / scale[0]).float())
        return (y.double() * scale[1] + shift[1])[:, None].to(a)

    def encode(self, a: torch.Tensor) -> torch.Tensor:
        """Return the input (batch, width, ny, nx) of the last layer, on the nodes of the network.

        Arguments:
            a: (batch, 1, ny, nx), the first field in physical units.
        """
        shift, scale = self.shift.to(a.device), self.scale.to(a.device)
        seen: list[torch.Tensor] = []
        hook = self.network.get_submodule("projection").register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0])
        )
        try:
            self._on_network(((a[:, 0] - shift[0]) / scale[0]).float())
        finally:
            hook.remove()
        return seen[0].to(a)

    def _on_network(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised output (batch, ny, nx) on the nodes of the network, for normalised
        fields of another grid."""
        grid = trained_grid_of(self.grid, x)
        x = x if grid == self.grid else self._on_grid(x, 0, grid, self.grid)
        return self._evaluate(x[:, None])[:, 0]

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised output for normalised fields, both (batch, ny, nx)."""
        y = self._on_network(x)
        return self._on_grid(y, 1, self.grid, self.grid.resized(*x.shape[-2:]))

    def loss_given(self, states: torch.Tensor, *draws: torch.Tensor) -> torch.Tensor:
        """Return the mean relative L2 error of the normalised output."""
        shift, scale = (v.to(states.device)[:, None, None] for v in (self.shift, self.scale))
        x, y = ((states - shift) / scale).float().unbind(dim=1)
        return ((self._normalised(x) - y).flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1)).mean()

    @torch.no_grad()
    def validate(self, data: TrainingData) -> tuple[dict, str]:
        """Return the mean relative L2 error of the output on data, and a line that states it."""
        errors = []
        for states in data.values.double().split(64):
            u = self(states[:, :1])
            errors.append(
                (u - states[:, 1:]).flatten(1).norm(dim=1) / states[:, 1:].flatten(1).norm(dim=1)
            )
        error = float(torch.cat(errors).mean())
        line = f"relative L2 error of {data.fields[1].name} {100 * error:.3f} %"
        return {"relative_l2": round(error, 6)}, line


@default_dtype(torch.float32)
def _build(arguments: dict) -> torch.nn.Module:
    """Return a new Fourier neural operator of neuraloperator."""
    with without_wandb():
        from neuralop.models.fno import FNO
    arguments = arguments | {"n_modes": tuple(arguments["n_modes"])}
    return FNO(**arguments, positional_embedding="grid", non_linearity=F.gelu)


def _pair(items: tuple[T, ...]) -> tuple[T, T]:
    first, second = items
    return first, second

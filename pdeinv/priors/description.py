"""What the header of a stored model states, and the parts of it that several models share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, model_validator
from pydantic import Field as Limits
from torch.overrides import TorchFunctionMode

from pdeinv.basis import Basis, Boundary
from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior
from pdeinv.errors import InputError
from pdeinv.external import UnknownFile, named_by_data
from pdeinv.fields import Field, FieldKind
from pdeinv.grid import LARGEST, Domain, Grid, GridKind
from pdeinv.priors.stored import HALF_OR_FLOAT, Tensors
from pdeinv.priors.versions import upgraded_channels
from pdeinv.schema import Name, Number

__all__ = [
    "ChannelData",
    "ChannelsDescription",
    "Described",
    "Description",
    "Modes",
    "describe_channels",
    "restore_channels",
    "restore_network",
    "weight_tensors",
]

Network = TypeVar("Network", bound=torch.nn.Module)

Modes = Annotated[int, Limits(ge=1, le=512)]
_DEEPEST = 8  # lists and objects within one another
_LARGEST_PARAMETER = 1e100
_LARGEST_WEIGHT = 65504.0  # the largest number in half precision


class Described(BaseModel):
    """A part of a description: no value is converted, and unknown names are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class Description(Described):
    """What the header of every model states; a model of one's own extends it by its own names.

    Arguments:
        kind: of the model.
        record: how it was trained.
    """

    kind: Name
    record: dict[str, JsonValue] = {}

    @classmethod
    def upgraded(cls, header: dict[str, Any], version: int) -> dict[str, Any]:
        """Return a header of an earlier version of the format as one of this version.

        Raises:
            ValueError: it states what no file could; the message is without a remedy.
        """
        return header


Description.model_rebuild()  # at once, for its signature is that of no model until it is built


class _FieldDescription(Described):
    name: Name
    long_name: Annotated[str, Limits(max_length=1000)]
    units: Annotated[str, Limits(max_length=1000)]
    interpolation_order: Annotated[int, Limits(ge=0, le=3)]
    kind: FieldKind


class _BasisDescription(Described):
    boundary: Boundary
    masked: bool


_Nodes = Annotated[int, Limits(ge=4, le=LARGEST)]


class _GridDescription(Described):
    ny: _Nodes
    nx: _Nodes
    extent: Annotated[list[Number], Limits(min_length=4, max_length=4)]
    unit: Annotated[str, Limits(max_length=1000)]
    kind: GridKind

    @model_validator(mode="after")
    def _check_extent(self) -> _GridDescription:
        x0, x1, y0, y1 = self.extent
        try:
            Domain((x0, x1, y0, y1), self.unit)
        except InputError as error:
            raise ValueError(str(error).partition(";")[0]) from None
        return self


def _check_parameter(value: JsonValue) -> JsonValue:
    """Refuse numbers that are not finite, and what is nested deeper than any parameter."""
    waiting: list[tuple[JsonValue, int]] = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > _DEEPEST:
            raise ValueError(f"must be nested at most {_DEEPEST} deep")
        if isinstance(part, int | float) and not abs(part) <= _LARGEST_PARAMETER:
            raise ValueError(f"must hold finite numbers, got {described(part)}")
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [(entry, depth + 1) for entry in inner]
    return value


_Parameter = Annotated[JsonValue, AfterValidator(_check_parameter)]


def _check_prior(stated: dict[str, Any]) -> dict[str, Any]:
    try:
        with named_by_data():
            CoefficientPrior.of(stated, "it")
    except UnknownFile:  # which solvers take as not stated
        pass
    except InputError as error:
        raise ValueError(f"must be a prior, where {str(error).partition(';')[0]}") from None
    return stated


class ChannelsDescription(Description):
    """What the header of a model of fields on a grid states."""

    pde: tuple[Name, dict[str, _Parameter]] | None
    coefficient_prior: Annotated[dict[str, _Parameter], AfterValidator(_check_prior)] | None
    fields: Annotated[list[_FieldDescription], Limits(min_length=1, max_length=8)]
    bases: list[_BasisDescription]
    grid: _GridDescription

    @classmethod
    def upgraded(cls, header: dict[str, Any], version: int) -> dict[str, Any]:
        return upgraded_channels(header, version)

    @model_validator(mode="after")
    def _check_bases(self) -> ChannelsDescription:
        names, periodic = [f.name for f in self.fields], self.grid.kind == "periodic"
        if len(set(names)) < len(names):
            raise ValueError(f"fields must have different names, got {', '.join(names)}")
        if len(self.bases) != len(names):
            raise ValueError(f"bases must be one for each of {len(names)} fields, got {self.bases}")
        for basis in self.bases:
            if (basis.boundary == "periodic") != periodic:
                raise ValueError(
                    f"bases must be those of a {self.grid.kind} grid, got {basis.boundary}"
                )
            if basis.masked and basis.boundary != "neumann":
                raise ValueError(f"bases must be neumann where masked, got {basis.boundary}")
        return self


class ChannelData(NamedTuple):
    """The fields of a model, and how they are normalised and represented."""

    fields: tuple[Field, ...]
    bases: tuple[Basis, ...]
    grid: Grid
    shift: torch.Tensor
    scale: torch.Tensor
    pde: tuple[str, dict[str, Any]] | None
    coefficient_prior: dict[str, Any] | None


class _HasChannels(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def fields(self) -> tuple[Field, ...]: ...
    @property
    def bases(self) -> tuple[Basis, ...]: ...
    @property
    def grid(self) -> Grid: ...
    @property
    def shift(self) -> torch.Tensor: ...
    @property
    def scale(self) -> torch.Tensor: ...
    @property
    def pde(self) -> tuple[str, dict] | None: ...
    @property
    def coefficient_prior(self) -> dict | None: ...


def describe_channels(model: _HasChannels) -> tuple[dict[str, torch.Tensor], dict]:
    """Return the tensors and the header of a model's `ChannelData` and kind."""
    header = {
        "pde": model.pde,
        "coefficient_prior": model.coefficient_prior,
        "fields": [{"name": f.name, **f.attributes} for f in model.fields],
        "bases": [asdict(b) for b in model.bases],
        "grid": {name: getattr(model.grid, name) for name in _GridDescription.model_fields}
        | {"extent": list(model.grid.extent)},
        "kind": model.kind,
    }
    return {"shift": model.shift, "scale": model.scale}, header


def restore_channels(tensors: Tensors, described: ChannelsDescription) -> ChannelData:
    """Return what `describe_channels` has described."""
    shape, double = (len(described.fields),), (torch.float64,)
    return ChannelData(
        tuple(Field(**f.model_dump()) for f in described.fields),
        tuple(Basis(**b.model_dump()) for b in described.bases),
        Grid(**described.grid.model_dump()),
        tensors.take("shift", shape, double),
        tensors.take("scale", shape, double, least=1e-30),
        described.pde,
        described.coefficient_prior,
    )


def weight_tensors(network: torch.nn.Module, half: bool) -> dict[str, torch.Tensor]:
    """Return the weights of a network by name, complex ones as pairs of real numbers."""
    tensors = {}
    # The state dictionary of a neuralop network holds more than tensors
    for key, value in network.named_parameters():
        real = torch.view_as_real(value) if value.is_complex() else value
        tensors[f"network.{key}"] = (real.half() if half else real.float()).detach()
    return tensors


class _Unfilled(TorchFunctionMode):
    """Leave out random numbers and their scaling, which tensors without memory do not need, and
    for which torch imports a compiler."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func.__name__ in ("normal_", "mul", "__mul__", "__rmul__"):
            return next(a for a in args if isinstance(a, torch.Tensor))
        func = torch.empty if func is torch.randn else func
        return func(*args, **(kwargs or {}))


def restore_network(build: Callable[[], Network], tensors: Tensors) -> Network:
    """Return the network with the weights of `weight_tensors`, ready for evaluation.

    It is built without memory, so that a description cannot take more than its tensors have, and
    without random numbers.

    Arguments:
        build: returns the network.
        tensors: of the file.
    """
    with torch.device("meta"), _Unfilled():
        network = build()
    for name, like in list(network.named_parameters()):
        shape = (*like.shape, 2) if like.is_complex() else tuple(like.shape)
        limits = {"least": -_LARGEST_WEIGHT, "most": _LARGEST_WEIGHT}
        stored = tensors.take(f"network.{name}", shape, HALF_OR_FLOAT, **limits).float()
        stored = torch.view_as_complex(stored) if like.is_complex() else stored
        weight = torch.empty_strided(like.shape, like.stride(), dtype=stored.dtype)
        owner, _, key = name.rpartition(".")
        filled = torch.nn.Parameter(weight.copy_(stored), requires_grad=False)
        setattr(network.get_submodule(owner), key, filled)
    return network.eval()

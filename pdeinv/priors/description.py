"""The parts of a stored model's description that several models share."""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple, Protocol, TypeVar

import torch

from pdeinv.basis import Basis
from pdeinv.grid import Field, Grid

__all__ = ["ChannelData", "describe_channels", "fill_weights", "restore_channels", "weight_tensors"]

Network = TypeVar("Network", bound=torch.nn.Module)


class ChannelData(NamedTuple):
    """The fields of a model, and how they are normalised and represented."""

    fields: tuple[Field, ...]
    bases: tuple[Basis, ...]
    grid: Grid
    shift: torch.Tensor
    scale: torch.Tensor
    pde: tuple[str, dict] | None


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


def describe_channels(model: _HasChannels) -> tuple[dict[str, torch.Tensor], dict]:
    """Return the tensors and the header of a model's `ChannelData` and kind."""
    header = {
        "pde": model.pde,
        "fields": [asdict(f) for f in model.fields],
        "bases": [asdict(b) for b in model.bases],
        "grid": asdict(model.grid),
        "kind": model.kind,
    }
    return {"shift": model.shift, "scale": model.scale}, header


def restore_channels(tensors: dict[str, torch.Tensor], header: dict) -> ChannelData:
    """Return what `describe_channels` has described."""
    return ChannelData(
        tuple(Field(**f) for f in header["fields"]),
        tuple(Basis(**b) for b in header["bases"]),
        Grid(**header["grid"]),
        tensors["shift"],
        tensors["scale"],
        (header["pde"][0], header["pde"][1]) if header["pde"] else None,
    )


def weight_tensors(network: torch.nn.Module, half: bool) -> dict[str, torch.Tensor]:
    """Return the weights of a network by name, complex ones as pairs of real numbers."""
    tensors = {}
    # The state dictionary of a neuralop network holds more than tensors
    for key, value in network.named_parameters():
        real = torch.view_as_real(value) if value.is_complex() else value
        tensors[f"network.{key}"] = (real.half() if half else real).detach()
    return tensors


def fill_weights(network: Network, tensors: dict[str, torch.Tensor]) -> Network:
    """Return the network with the weights of `weight_tensors`, ready for evaluation."""
    with torch.no_grad():
        for key, value in network.named_parameters():
            stored = tensors[f"network.{key}"].float()
            value.copy_(torch.view_as_complex(stored) if value.is_complex() else stored)
    return network.requires_grad_(False).eval()

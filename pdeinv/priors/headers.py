"""What the headers of Gaussian and of diffusion priors state."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field as Limits
from pydantic import model_validator

from pdeinv.priors.description import ChannelsDescription, Described
from pdeinv.priors.noise import NoiseKind
from pdeinv.priors.unet import UShapedArguments

__all__ = ["DiffusionDescription", "GaussianDescription", "Preconditioning", "network_nodes"]

Preconditioning = Literal["gaussian", "edm"]

_MIN_NODES = 16  # of a network's own grid


class _NoiseDescription(Described):
    kind: NoiseKind
    length: Annotated[float, Limits(gt=0, le=1e6, allow_inf_nan=False)]


class GaussianDescription(ChannelsDescription):
    """What the header of a Gaussian prior states."""

    noise: _NoiseDescription


class DiffusionDescription(GaussianDescription):
    """What the header of a diffusion prior states."""

    preconditioning: Preconditioning
    network: UShapedArguments

    @model_validator(mode="after")
    def _check_network(self) -> DiffusionDescription:
        channels, network = len(self.fields), self.network
        inputs = 2 * channels if self.preconditioning == "gaussian" else channels
        if (network.channels_in, network.channels_out) != (inputs, channels):
            raise ValueError(
                f"network must have {inputs} channels_in and {channels} channels_out for these "
                f"fields, got {network.channels_in} and {network.channels_out}"
            )
        if network.periodic != (self.grid.kind == "periodic"):
            raise ValueError(f"network.periodic must be that of the grid, got {network.periodic}")
        levels = len(network.widths)
        ny, nx = (network_nodes(n, levels) for n in (self.grid.ny, self.grid.nx))
        many = any(m > n for m, n in zip(network.modes, (ny, nx), strict=True))
        if ny % 2**levels or nx % 2**levels or (levels > 1 and many):
            raise ValueError(
                f"network must have fewer levels and modes for a grid of {ny} x {nx} nodes, got "
                f"{levels} widths and {network.modes} modes"
            )
        return self


def network_nodes(nodes: int, levels: int) -> int:
    """Return the nodes per side of a network with that many levels for data on a grid."""
    return max(_MIN_NODES, nodes // 2**levels * 2**levels)

"""The estimated biases of instruments."""

from __future__ import annotations

import torch

from pdeinv.datasets.base import PDE
from pdeinv.observation import Observation
from pdeinv.parameters import Parameters

__all__ = ["bias_parameters"]


def bias_parameters(
    pde: PDE,
    observation: Observation,
    members: torch.Tensor,
    variance: torch.Tensor,
    n_samples: int,
    mean: torch.Tensor | None = None,
) -> Parameters | None:
    """Return the biases in the units of what they are added to; None without any.

    Arguments:
        pde: the physics, which has the units.
        observation: the readings. The largest entry of a column of `common` is the standard
            deviation of a bias a priori.
        members: draws of the biases b, which are standard normal a priori, (N, k).
        variance: of b, (k,).
        n_samples: of the members, which are repeated as needed.
        mean: of b, (1, k); that of the members if None.
    """
    common = observation.common
    if common is None:
        return None
    scale = common.abs().amax(dim=0)
    names = observation.common_names or [f"bias {j + 1}" for j in range(observation.biases)]
    first = (common != 0).int().argmax(dim=0)
    units = [pde.fields[channel].units for channel in observation.channel[first].tolist()]
    mean = members.mean(dim=0) if mean is None else mean[0]
    std, samples = (
        variance.clamp(min=0).sqrt(),
        members[torch.arange(n_samples, device=members.device) % len(members)],
    )
    return Parameters(tuple(names), tuple(units), scale * mean, scale * std, scale * samples)

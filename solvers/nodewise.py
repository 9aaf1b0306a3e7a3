"""Mean and standard deviation of functions of a Gaussian field, node by node."""

from __future__ import annotations

import math

import numpy as np
import torch

from pdeinv.solvers.forward import TensorMap

__all__ = ["moments_through"]

_POINTS = 64  # of the quadrature, enough for the squares of exponentials of wide fields


def moments_through(
    function: TensorMap, mean: torch.Tensor, variance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation, each (channel, ny, nx), of a function of a field.

    The quadrature is that of Gauss and Hermite.

    Arguments:
        function: node by node, from fields (batch, 1, ny, nx) to (batch, channel, ny, nx).
        mean, variance: of the field, (ny, nx).
    """
    points, shares = np.polynomial.hermite_e.hermegauss(_POINTS)
    z = torch.as_tensor(points, dtype=mean.dtype)[:, None, None, None]
    weights = torch.as_tensor(shares / math.sqrt(2 * math.pi), dtype=mean.dtype)
    values = function(mean + variance.sqrt() * z)
    average = torch.tensordot(weights, values, dims=1)
    spread = torch.tensordot(weights, (values - average) ** 2, dims=1)
    return average, spread.sqrt()

"""Mean and standard deviation of functions of a Gaussian field, node by node."""

from __future__ import annotations

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
    points, weights = np.polynomial.hermite_e.hermegauss(_POINTS)
    total, average, spread = 0.0, *torch.zeros(2, device=mean.device)
    # One point at a time: all at once would take the memory of as many states
    for z, weight in zip(points.tolist(), weights.tolist(), strict=True):
        values = function((mean + variance.sqrt() * z)[None, None])[0]
        total += weight
        from_average = values - average
        average = average + weight / total * from_average
        spread = spread + weight * from_average * (values - average)
    return average, (spread / total).sqrt()

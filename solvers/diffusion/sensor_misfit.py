"""The sensors' loss of the guided samplers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pdeinv.observation import Observation
from pdeinv.solvers.diffusion.published import Measure
from pdeinv.solvers.whitening import Whitening

__all__ = ["Misfit", "norm"]


@dataclass(frozen=True)
class Misfit:
    """The sensors' loss, Σ_c weight_c · measure_c of (y - H x)_c / scale_c over the fields c.

    The published formulas are for exact readings. By default a residual is multiplied by (1 + (s /
    b)²)^-½ as well, with s the standard deviation of the reading's noise and b the blur. Among the
    readings of a field the poor ones then count less, and exact ones as published; a mean is over
    as many readings as count. Residuals of readings that share a bias are whitened: shrunk along it
    by as much as the bias explains, beyond the noise and the blur.

    Arguments:
        observation: of the states.
        weights, measures: of each channel.
        scale: (channel,), what residuals are divided by, in physical units.
        blur: (channel,), the noise that halves the weight of a squared residual, in physical units.
    """

    observation: Observation
    weights: tuple[float, ...]
    measures: tuple[Measure, ...]
    scale: torch.Tensor
    blur: torch.Tensor

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        """Return the loss (batch,) of states (batch, channel, ny, nx)."""
        o = self.observation
        scale, blur = (v.to(o.noise_std)[o.channel] for v in (self.scale, self.blur))
        trust = (1 + (o.noise_std / blur) ** 2).rsqrt()
        residual = self._whitened(o.values - o(state), trust / scale)
        total = 0 * residual.sum(dim=1)
        for c, (weight, measure) in enumerate(zip(self.weights, self.measures, strict=True)):
            mine = residual[:, o.channel == c]
            if weight and mine.shape[1]:
                share = trust[o.channel == c] / trust[o.channel == c].max()
                total = total + weight * _size(mine, share, measure)
        return total

    def _whitened(self, residual: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """Return residuals (batch, m) times their factors (m,), shrunk along the biases."""
        o = self.observation
        blur = self.blur.to(o.noise_std)[o.channel]
        if not o.biases or bool(blur.isinf().any()):  # which hides every bias
            return residual * factor
        std = (blur**2 + o.noise_std**2).sqrt()
        return Whitening(std, o.shared)(residual) * (std * factor)


def _size(residual: torch.Tensor, share: torch.Tensor, measure: Measure) -> torch.Tensor:
    """Return the size (batch,) of residuals (batch, m), with the share (m,) of each, up to 1."""
    if measure == "mean-absolute":
        return residual.abs().sum(dim=1) / share.sum()
    if measure == "mean-square":
        return residual.square().sum(dim=1) / share.square().sum()
    size = norm(residual)
    return size / share.square().sum().sqrt() if measure == "root-mean-square" else size


def norm(fields: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean norm (batch,) of fields (batch, ...), differentiable at 0."""
    return (fields.flatten(1).square().sum(dim=1) + 1e-30).sqrt()

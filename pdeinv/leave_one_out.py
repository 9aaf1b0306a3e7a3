"""Each reading predicted from all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["LeaveOneOut"]


@dataclass(frozen=True)
class LeaveOneOut:
    """Predictions of m readings, each from all the others; nan where there is none.

    Arguments:
        values: the readings, (m,).
        mean, std: of the predictions, with the reading's own noise, (m,).
        p_value: two-sided probability of a value as far out, (m,).
        log_density: logarithm of the density of each reading, (m,). Its sum is a score of the
            whole model.
        floor: the least standard deviation of the noise that is assumed of each reading, (m,): see
            `pdeinv.solvers.leave_one_out`.
        exact: whether these are the laws of the model, not estimates from a few samples.

    Example:
        >>> one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        >>> LeaveOneOut.gaussian(values=3 * one, mean=zero, std=one).residual
        tensor([3.], dtype=torch.float64)
    """

    values: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    p_value: torch.Tensor
    log_density: torch.Tensor
    floor: torch.Tensor | None = None
    exact: bool = True

    @classmethod
    def gaussian(
        cls,
        values: torch.Tensor,
        mean: torch.Tensor,
        std: torch.Tensor,
        floor: torch.Tensor | None = None,
        exact: bool = True,
    ) -> LeaveOneOut:
        """Return predictions of Gaussian laws; arguments as of the class."""
        z = (values - mean) / std
        density = -(z.square() + math.log(2 * math.pi)) / 2 - std.log()
        p_value = torch.special.erfc(z.abs() / math.sqrt(2))
        return cls(values, mean, std, p_value, density, floor, exact)

    @classmethod
    def mixture(cls, parts: Sequence[LeaveOneOut], weights: torch.Tensor) -> LeaveOneOut:
        """Return the predictions of a mixture of models of the same readings.

        The weight of a model is that given all readings. Without reading i it is the weight over
        the model's density of that reading.

        Arguments:
            parts: the predictions of each model.
            weights: of the models given all readings, (k,), of sum 1.

        Reference:
            Gelfand, Dey & Chang, *Model determination using predictive distributions*, Bayesian
            Statistics 4, 1992.
        """
        values = parts[0].values
        mean, std, density, outside = (
            torch.stack([getattr(part, name) for part in parts])
            for name in ("mean", "std", "log_density", "p_value")
        )
        logarithm = weights.double().log()[:, None] - density
        total = logarithm.logsumexp(dim=0)
        share = (logarithm - total).exp()
        centre = (share * mean).sum(dim=0)
        variance = (share * (std.square() + (mean - centre).square())).sum(dim=0)
        tail, low = outside / 2, values < mean
        below = (share * torch.where(low, tail, 1 - tail)).sum(dim=0)
        above = (share * torch.where(low, 1 - tail, tail)).sum(dim=0)
        p_value = 2 * torch.minimum(below, above)
        exact = all(part.exact for part in parts)
        floor = parts[0].floor
        return cls(values, centre, variance.sqrt(), p_value.clamp(max=1), -total, floor, exact)

    @property
    def residual(self) -> torch.Tensor:
        """The readings less their predictions, in standard deviations of these, (m,)."""
        return (self.values - self.mean) / self.std

    def __len__(self) -> int:
        """Number of readings, m."""
        return len(self.values)

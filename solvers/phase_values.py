"""The values of the phases of a medium as functions of standard normal numbers, one for each value
that is unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.parameters import QUANTILE, Parameters
from pdeinv.unknown import Unknown

__all__ = ["NAMES", "PhaseValues", "as_arguments"]

NAMES = ("low", "high")
_STEP = 1e-4  # of a difference, in standard deviations
_LEFT = 3.0  # of the mean of members from that of a law, in its standard deviations
_LEVELS = 400  # of a law, at which its moments are evaluated
_STEPS, _CONVERGED = 30, 1e-9  # of Gauss-Newton for one number


@dataclass(frozen=True)
class PhaseValues:
    """The values low and high of a medium of two phases.

    Values that are unknown are those of their laws at mean + root z, with z standard normal: laws
    that readings have narrowed.

    Arguments:
        stated: low and high, each a number or an `Unknown` in its own unit.
        mean, root: of the numbers of those that are unknown, (size,) and (size, size).
    """

    stated: tuple[float, float]
    mean: torch.Tensor
    root: torch.Tensor

    @classmethod
    def of(cls, problem: Problem) -> PhaseValues:
        """Return the values of a problem with two phases."""
        phases = problem.coefficient_prior.phases
        assert phases is not None
        size = sum(isinstance(value, Unknown) for value in phases)
        eye = torch.eye(size, dtype=torch.float64)
        return cls(phases, torch.zeros(size, dtype=torch.float64), eye)

    @property
    def unknown(self) -> tuple[int, ...]:
        """Which of low (0) and high (1) are unknown."""
        return tuple(i for i, value in enumerate(self.stated) if isinstance(value, Unknown))

    @property
    def size(self) -> int:
        """How many of them are unknown."""
        return len(self.unknown)

    def at(self, z: torch.Tensor) -> torch.Tensor:
        """Return low and high (n, 2) of standard normal numbers z, (n, size)."""
        columns = [
            torch.full((len(z),), float(v), dtype=torch.float64, device=z.device)
            for v in self.stated
        ]
        numbers = self.mean + z @ self.root.T
        for i, own in zip(self.unknown, numbers.unbind(dim=1), strict=True):
            value = self.stated[i]
            assert isinstance(value, Unknown)
            columns[i] = torch.tensor(
                [value.at(at) for at in own.tolist()], dtype=torch.float64, device=z.device
            )
        return torch.stack(columns, dim=1)

    @property
    def middle(self) -> dict[str, float]:
        """The unknown values of z = 0 by their names."""
        found = self.at(torch.zeros(1, self.size, dtype=torch.float64))[0].tolist()
        return {NAMES[i]: found[i] for i in self.unknown}

    def narrowed(self, mean: torch.Tensor, root: torch.Tensor) -> PhaseValues:
        """Return the values with z = mean + root z' for standard normal numbers z'."""
        return replace(self, mean=self.mean + self.root @ mean, root=self.root @ root)

    def moved(self, z: torch.Tensor) -> PhaseValues:
        """Return the law of members with numbers z (k, size) where they have left this one for
        good, as they do where readings contradict a range; else this one."""
        if not self.size or len(z) < 2 or float(z.mean(dim=0).norm()) <= _LEFT:
            return self
        variances, axes = torch.linalg.eigh(torch.atleast_2d(torch.cov(z.T)))
        return self.narrowed(z.mean(dim=0), axes * variances.clamp(min=0).sqrt())

    def given(self, readings: torch.Tensor, noise_std: torch.Tensor, least: float) -> PhaseValues:
        """Return the values given readings (m,) of the coefficient.

        Readings up to some value belong to low, the others to high: that value is chosen for which
        the readings are most probable. Each number then is normal about its most probable value.

        Arguments:
            readings: of points, (m,).
            noise_std: theirs, (m,).
            least: standard deviation of an exact reading, relative to its size.
        """
        if not self.size or not len(readings):
            return self
        order = readings.argsort()
        y = readings[order]
        std = (noise_std[order] ** 2 + (least * y) ** 2).sqrt().clamp(min=1e-300)
        found = [
            (self._fitted(0, y[:cut], std[:cut]), self._fitted(1, y[cut:], std[cut:]))
            for cut in range(len(y) + 1)
        ]
        low, high = min(found, key=lambda pair: pair[0][2] + pair[1][2])
        fitted = torch.tensor(
            [(low, high)[i][:2] for i in self.unknown], dtype=torch.float64, device=readings.device
        )
        return self.narrowed(fitted[:, 0], fitted[:, 1].diag())

    def _fitted(self, i: int, y: torch.Tensor, std: torch.Tensor) -> tuple[float, float, float]:
        """Mean and deviation of the number of one value given its readings, and -log of their
        density up to a constant."""
        value = self.stated[i]
        if not isinstance(value, Unknown):
            return 0.0, 1.0, float((((y - float(value)) / std) ** 2).sum() / 2)
        if not len(y):
            return 0.0, 1.0, 0.0

        def objective(z: float) -> float:
            return float((((y - value.at(z)) / std) ** 2).sum() / 2) + z * z / 2

        z = value.white(float(y.median())) if _within(value, float(y.median())) else 0.0
        curvature = 1.0
        for _ in range(_STEPS):
            slope = (value.at(z + _STEP) - value.at(z - _STEP)) / (2 * _STEP)
            curvature = 1 + slope**2 * float((std**-2).sum())
            step = (float((slope * (y - value.at(z)) / std**2).sum()) - z) / curvature
            while objective(z + step) > objective(z) and abs(step) > _CONVERGED:
                step /= 2
            z += step
            if abs(step) <= _CONVERGED:
                break
        return z, curvature**-0.5, objective(z) + math.log(curvature) / 2

    def parameters(
        self, values: torch.Tensor | None, n_samples: int, units: str
    ) -> Parameters | None:
        """Return the posterior of the unknown values, with the moments and ends of this law; None
        without any.

        Arguments:
            values: low and high of the members, (k, 2).
            n_samples: of the members, which are repeated as needed.
            units: of the coefficient.
        """
        if values is None:
            return None
        names = tuple(NAMES[i] for i in self.unknown)
        samples = values[torch.arange(n_samples, device=values.device) % len(values)][
            :, list(self.unknown)
        ]
        levels = (torch.arange(_LEVELS, dtype=torch.float64, device=values.device) + 0.5) / _LEVELS
        at = [self._one(j, torch.special.ndtri(levels)) for j in range(len(names))]
        drawn = torch.stack(at, dim=1)
        ends = torch.tensor([-QUANTILE, QUANTILE], dtype=torch.float64, device=values.device)
        low, high = torch.stack([self._one(j, ends) for j in range(len(names))], dim=1)
        mean, std = drawn.mean(dim=0), drawn.std(dim=0)
        return Parameters(names, (units,) * len(names), mean, std, samples, low, high)

    def _one(self, j: int, z: torch.Tensor) -> torch.Tensor:
        """Return one of the unknown values at standard normal numbers (k,) of its own, (k,)."""
        value, std = self.stated[self.unknown[j]], self.root[j].norm()
        assert isinstance(value, Unknown)
        numbers = (self.mean[j] + std * z).tolist()
        return torch.tensor([value.at(at) for at in numbers], dtype=torch.float64, device=z.device)


def as_arguments(values: torch.Tensor | None) -> dict[str, Any]:
    """Return arguments of `Problem.coefficient` and `Problem.smoothed` for fields with low and high
    of their own, (k, 2); none for those of the prior."""
    return {} if values is None else {"values": values[:, :, None, None, None].unbind(dim=1)}


def _within(value: Unknown, at: float) -> bool:
    """Whether a number is one that an unknown may be."""
    if value.law.startswith("log") and at <= 0:
        return False
    return not value.law.endswith("uniform") or value.low < at < value.high

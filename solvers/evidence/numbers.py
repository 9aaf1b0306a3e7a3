"""The numbers that are inferred by their evidence, as independent standard normal ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.datasets.unknowns import UnknownNumber
from pdeinv.observation import Observation
from pdeinv.solvers.evidence.estimates import plain_ends, smooth_ends
from pdeinv.unknown import Unknown

__all__ = ["Numbers", "absorbed_number", "inner_numbers"]

_HALF_TURN = 180.0  # degrees, after which an axis is the same
_TURNING = ("anisotropy", "angle")
_LEAST = 1e-12  # share of the law of a ratio, whose quantile is finite
_NORMAL = NormalDist()


class _Number(NamedTuple):
    name: str
    unknown: Unknown
    units: str


@dataclass(frozen=True)
class Numbers:
    """Numbers of the latent field and of the noise, of standard normal ones z a priori.

    An unknown anisotropy and an unknown angle are a point (u, v) of the plane: the radius states
    the ratio, and the direction twice the angle, so that nothing jumps where the axis turns by half
    a turn or the ratio is 1. Both have the laws that they would have alone.

    Arguments:
        of_field: of the latent field.
        of_noise: standard deviations of readings.
    """

    of_field: tuple[_Number, ...]
    of_noise: tuple[_Number, ...]

    @classmethod
    def of(cls, problem: Problem, observation: Observation) -> Numbers:
        """Return those of a problem and its readings."""
        found = [(n.name, n.unknown, n.units) for n in problem.unknowns if n.role == "field"]
        fields = problem.physics.fields
        noise = []
        for j, (name, unknown) in enumerate(observation.unknown_noise):
            group = observation.noise_group
            assert group is not None
            channel = observation.channel[group == j]
            units = fields[int(channel[0])].units if len(channel) else "1"
            noise.append(_Number(name, unknown, units))
        return cls(tuple(_Number(*one) for one in found), tuple(noise))

    @property
    def all(self) -> tuple[_Number, ...]:
        """Those of the field, then those of the noise, as z has them."""
        return self.of_field + self.of_noise

    def __len__(self) -> int:
        return len(self.all)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(number.name for number in self.all)

    def values(self, z: torch.Tensor) -> tuple[dict[str, float], dict[str, float]]:
        """Return the numbers of the field and those of the noise, by their names, of z (k,)."""
        white = dict(zip(self.names, z.tolist(), strict=True))
        values = {number.name: number.unknown.at(white[number.name]) for number in self.all}
        if self._turning:
            values |= self._turned(white["anisotropy"], white["angle"])
        noise = {number.name: values.pop(number.name) for number in self.of_noise}
        return values, noise

    def ends(self, z: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ends of the central intervals of the numbers, (k,) each, of weighted points z
        (n, k)."""
        found = []
        for i, number in enumerate(self.all):
            if self._turning and number.name in _TURNING:
                values = [self.values(one)[0][number.name] for one in z]
                found.append(
                    plain_ends(torch.tensor(values, dtype=torch.float64, device=z.device), weights)
                )
            else:
                found.append([number.unknown.at(end) for end in smooth_ends(z[:, i], weights)])
        low, high = torch.tensor(found, dtype=torch.float64, device=z.device).reshape(-1, 2).T
        return low, high

    def log_prior(self, z: torch.Tensor) -> float:
        """Return the logarithm of the density of z (k,)."""
        return -float(z.square().sum()) / 2 - len(z) * math.log(2 * math.pi) / 2

    @property
    def _unknowns(self) -> dict[str, Unknown]:
        return {number.name: number.unknown for number in self.of_field}

    @property
    def _turning(self) -> bool:
        """Whether the axis may be any, and the ratio any up to 1."""
        ratio, angle = (self._unknowns.get(name) for name in _TURNING)
        if ratio is None or angle is None:
            return False
        laws = ratio.law.endswith("uniform") and angle.law == "uniform"
        return laws and ratio.high == 1 and angle.high - angle.low == _HALF_TURN

    def _turned(self, u: float, v: float) -> dict[str, float]:
        ratio, angle = self._unknowns["anisotropy"], self._unknowns["angle"]
        share = math.exp(-(u**2 + v**2) / 2)  # uniform, as the direction is
        turn = math.atan2(v, u) / (2 * math.pi)
        return {
            "anisotropy": ratio.at(_NORMAL.inv_cdf(min(max(share, _LEAST), 1 - _LEAST))),
            "angle": (angle.low + angle.high) / 2 + _HALF_TURN * turn,
        }


def absorbed_number(problem: Problem) -> UnknownNumber | None:
    """Return the unknown number of a problem that is a constant of the latent field."""
    constant = problem.coefficient_prior.constant[0]
    return next((n for n in problem.unknowns if constant and n.name == constant), None)


def inner_numbers(problem: Problem) -> tuple[UnknownNumber, ...]:
    """Return the unknown numbers that are further entries of the latent vector of a solver."""
    absorbed = absorbed_number(problem)
    return tuple(n for n in problem.unknowns if n.role != "field" and n != absorbed)

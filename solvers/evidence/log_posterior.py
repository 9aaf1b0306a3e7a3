"""The posterior density of unknown numbers: the evidence of the readings times their prior."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import NamedTuple

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.solvers.evidence.linearised import GaussianReadings, LinearisedReadings, most_grams
from pdeinv.solvers.evidence.numbers import Numbers

__all__ = ["Evaluated", "LogPosterior", "Slope"]

_STEP, _STEP_OF_SHAPE = 1e-3, 0.05  # of differences in z; tables of waves grow by leaps


class Evaluated(NamedTuple):
    """The logarithm of a density at z, and the constant of the latent field there.

    Attributes:
        value: minus infinity where there is no such field.
        constant: mean and standard deviation of the constant given the readings, from its middle.
    """

    value: float
    constant: tuple[float, float]


class Slope(NamedTuple):
    """The logarithm of a density at z, its gradient (k,) and its expected curvature (k, k)."""

    value: float
    gradient: torch.Tensor
    curvature: torch.Tensor


class LogPosterior:
    """log p(y | z) + log p(z) of numbers z, for readings that are linear in the latent field.

    The covariance that a field causes is kept for each shape of it. Its amplitude and the noise
    are then free.

    Arguments:
        problem: with the unknown numbers.
        numbers: those.
        linear: the readings, of which censored ones have no part.

    Attributes:
        whole: the readings with the censored ones.
        constant_std: standard deviation of the constant of the latent field.
    """

    def __init__(self, problem: Problem, numbers: Numbers, linear: LinearisedReadings):
        self.prior, self.numbers = problem.coefficient_prior, numbers
        self.domain, self.kind = problem.physics.domain, problem.physics.grid_kind
        self.whole, self.constant_std = linear, self.prior.constant_std
        plain = ~linear.observation.below_or_above
        self.linear = linear if bool(plain.all()) else linear.subset(plain)
        self._grams: dict[tuple[float, ...], torch.Tensor] = {}
        self._most = most_grams(len(self.linear.observation))

    def __call__(self, z: torch.Tensor) -> float:
        """Return the logarithm at z (k,); minus infinity where there is no such field."""
        found = self.readings(z)
        return -math.inf if found is None else found.log_evidence + self.numbers.log_prior(z)

    def evaluated(self, z: torch.Tensor) -> Evaluated:
        """Return the logarithm and the constant at z (k,)."""
        found, std = self.readings(z), self.constant_std
        if found is None:
            return Evaluated(-math.inf, (0.0, std))
        mean, left = found.posterior(std * self.linear.constant)
        value = found.log_evidence + self.numbers.log_prior(z)
        return Evaluated(value, (std * mean, std * left))

    def readings(self, z: torch.Tensor) -> GaussianReadings | None:
        """Return the readings at z (k,) as Gaussian numbers; None where there is no such field."""
        try:
            self.prior.with_numbers(**self.numbers.values(z)[0])  # which may refuse the numbers
            found = self.linear.gaussian(*self._parts(z), self.constant_std)
        except (InputError, NumericalError):
            return None
        return found if bool(found.white.isfinite().all()) else None

    @property
    def shape_indices(self) -> list[int]:
        """Indices in z of the numbers of the field but its amplitude."""
        names = [number.name for number in self.numbers.of_field]
        return [i for i, name in enumerate(names) if name != self.prior.amplitude]

    def slope(self, z: torch.Tensor, free: list[int] | None = None) -> Slope | None:
        """Return the logarithm with its derivatives; None where there is no such field.

        The curvature is the expected one, Fisher's information and that of the prior. Derivatives
        of the covariance are differences.

        Arguments:
            z: the numbers, (k,).
            free: indices of those that the derivatives are about; all if None.

        Reference:
            Mardia & Marshall, *Maximum likelihood estimation of models for residual covariance in
            spatial regression*, Biometrika 71, 1984.
        """
        free = list(range(len(z))) if free is None else free
        found = self.readings(z)
        if found is None:
            return None
        base, weights, changes = self._covariance(z), found.lower, []
        whole = torch.linalg.solve_triangular(weights.T, found.white, upper=True)  # G⁻¹ r
        gradient = -z[free].clone()
        for place, i in enumerate(free):
            change = self._change(z, i, base)
            half = torch.linalg.solve_triangular(weights, change, upper=False)
            half = torch.linalg.solve_triangular(weights, half.T, upper=False)
            gradient[place] += (float(whole.T @ change @ whole) - float(half.trace())) / 2
            changes.append(half.flatten())
        parts = torch.stack(changes) if free else base.new_zeros(0, base.numel())
        curvature = parts @ parts.T / 2 + torch.eye(
            len(free), dtype=parts.dtype, device=parts.device
        )
        value = found.log_evidence + self.numbers.log_prior(z)
        return Slope(value, gradient, curvature)

    def _change(self, z: torch.Tensor, i: int, base: torch.Tensor) -> torch.Tensor:
        """The derivative of the covariance, which is the base at z, by differences."""
        of_shape = i in self.shape_indices
        step = _STEP_OF_SHAPE if of_shape else _STEP
        ends = [(0.0, base)]
        for side in (step, -step):
            if len(ends) < (3 if of_shape else 2):
                with suppress(InputError, NumericalError):
                    ends.append((side, self._covariance(_moved(z, i, side))))
        if len(ends) == 1:
            return torch.zeros_like(base)
        (first, ahead), (second, behind) = ends[1:] if len(ends) == 3 else (ends[1], ends[0])
        return (ahead - behind) / (first - second)

    def _covariance(self, z: torch.Tensor) -> torch.Tensor:
        """What changes with z of the covariance of the readings."""
        gram, noise_std = self._parts(z)
        return gram + torch.diag(noise_std**2)

    def _parts(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The covariance that the field causes, and the standard deviations of the noise."""
        values, noise = self.numbers.values(z)
        factor = 1.0
        if amplitude := self.prior.amplitude:
            factor = float(values.get(amplitude, self.prior.numbers[amplitude]))
            values[amplitude] = 1.0
        key = tuple(values.values())
        if key not in self._grams:
            if len(self._grams) >= self._most:
                del self._grams[next(iter(self._grams))]
            self._grams[key] = self._gram(values)
        observation = self.linear.observation
        std = observation.with_noise(noise).noise_std if noise else observation.noise_std
        return factor**2 * self._grams[key], std

    def _gram(self, shape: dict[str, float]) -> torch.Tensor:
        """The covariance that a field of a shape causes, without its constant."""
        if self.prior.constant[1]:
            shape = shape | {self.prior.constant[1]: 0.0}
        prior = self.prior.with_numbers(**shape)
        return self.linear.gram_of(prior, prior.latent(self.domain, self.kind))


def _moved(z: torch.Tensor, i: int, step: float) -> torch.Tensor:
    moved = z.clone()
    moved[i] += step
    return moved

"""Unknown noise of readings under a learned prior: by the evidence of its Gaussian part, corrected
by the same estimate on draws of the prior."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.solvers.diffusion.conditioning import Dense, StateReadings
from pdeinv.solvers.diffusion.noise_levels import PRIOR_LEVEL
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.evidence.estimates import of_points, plain_ends
from pdeinv.solvers.evidence.lattice import lattice
from pdeinv.solvers.evidence.linearised import GaussianReadings
from pdeinv.solvers.evidence.mixture import Shares, mixed
from pdeinv.solvers.evidence.numbers import Numbers
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.leave_one_out import sampled_leave_one_out
from pdeinv.solvers.linear_algebra import cholesky_with_nugget, nugget_variance

__all__ = ["NoiseEvidence", "over_unknown_noise"]

_DRAWS = 12  # of the prior, on which the estimate is checked
_POINTS = 256  # of the posterior of the numbers, for their intervals
_NUGGET = 1e-6  # of the readings' covariance; a fitted one is not right to its least eigenvalues
_STEP = 0.1  # of differences in z
_STARTS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of which the best starts the search, for all numbers
_SEARCH = {"xatol": 1e-2, "fatol": 1e-2}


@dataclass(frozen=True)
class NoiseEvidence:
    """Posterior density of unknown standard deviations of the noise, as standard normal numbers z.

    Arguments:
        problem: the prior and the readings, which are linear in its states.
        observation: the readings, with unknown noise.
    """

    problem: SamplingProblem
    observation: Observation

    @cached_property
    def forward(self) -> ForwardMap | StateReadings:
        """F, from the states of the prior to the readings."""
        problem, o = self.problem, self.problem.observation
        if len(problem.gaussian.fields) > 1:
            return StateReadings(o)
        return ForwardMap(problem.pde, o, problem.counts, problem.bounds)

    @cached_property
    def expected(self) -> torch.Tensor:
        """The readings of the prior's mean, (m,)."""
        return self.forward(self.problem.gaussian.mean(self.problem.grid).double())[0]

    @cached_property
    def gram(self) -> torch.Tensor:
        """Covariance of the readings that the Gaussian part causes, and of their biases, (m, m)."""
        root = self.problem.gaussian.covariance_root(self.problem.grid, self.observation.values)
        mean = self.problem.gaussian.mean(self.problem.grid).double()
        rows = Dense(root, self.observation, self.forward.jacobian(mean)).rows
        return (rows * root.variances(PRIOR_LEVEL)) @ rows.T + (
            self.observation.shared @ self.observation.shared.T
        )

    @cached_property
    def numbers(self) -> Numbers:
        """The unknown standard deviations."""
        physics = self.problem.pde
        return Numbers.of(Problem(physics, physics.default_prior), self.observation)

    def std(self, z: torch.Tensor) -> torch.Tensor:
        """Return the standard deviations of the noise (m,) of numbers z (k,)."""
        return self.observation.with_noise(self.numbers.values(z)[1]).noise_std

    def log_density(self, z: torch.Tensor, values: torch.Tensor) -> float:
        """Return log p(y | z) + log p(z) for readings y (m,)."""
        nugget = nugget_variance(self.gram.diagonal(), self.observation, _NUGGET)
        lower = cholesky_with_nugget(self.gram + torch.diag(self.std(z) ** 2), nugget)
        missed = (values - self.expected)[:, None]
        white = torch.linalg.solve_triangular(lower, missed, upper=False)
        return GaussianReadings(lower, white).log_evidence + self.numbers.log_prior(z)

    def fitted(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the most probable z (k,) for readings (m,), and the covariance (k, k) there."""
        from scipy.optimize import minimize  # slow to import

        def loss(z: object) -> float:
            return -self.log_density(torch.as_tensor(z, dtype=torch.float64), values)

        start = min(([one] * len(self.numbers) for one in _STARTS), key=loss)
        found = minimize(loss, start, method="Nelder-Mead", options=_SEARCH)
        z = torch.as_tensor(found.x, dtype=torch.float64, device=values.device)
        return z, self._covariance(z, values)

    def _covariance(self, z: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """The inverse of the curvature, by differences; it is at least that of the prior."""
        k = len(z)
        steps = _STEP * torch.eye(k, dtype=torch.float64, device=z.device)
        curvature = torch.zeros(k, k, dtype=torch.float64, device=z.device)
        for i in range(k):
            for j in range(i + 1):
                signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
                total = sum(
                    a * b * self.log_density(z + a * steps[i] + b * steps[j], values)
                    for a, b in signs
                )
                curvature[i, j] = curvature[j, i] = -total / (4 * _STEP**2)
        roots, vectors = torch.linalg.eigh(curvature)
        return (vectors / roots.clamp(min=1.0)) @ vectors.T

    def checked(
        self, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return z (k,) corrected by draws of the prior, their variances (k,), and the correction
        in the logarithm of each number, (k,).

        Draws are read with the noise that was found, and it is inferred from their readings. The
        mean error is subtracted, and their spread is no less than that of the curvature.
        """
        z, curved = self.fitted(self.observation.values)
        states = self.problem.prior.sample(_DRAWS, self.problem.grid, generator)
        states = states.to(self.observation.values)
        std, m = self.std(z), len(self.observation)
        white = torch.randn(
            _DRAWS, m + self.observation.biases, dtype=torch.float64, generator=generator
        )
        noise = std * white[:, :m] + white[:, m:] @ self.observation.shared.T
        again = torch.stack([self.fitted(y)[0] for y in self.forward(states) + noise])
        error = (again - z).mean(dim=0)
        corrected = z - error
        variance = torch.maximum(again.var(dim=0), curved.diagonal()) * (1 + 1 / _DRAWS)
        change = torch.tensor(
            [
                math.log(number.unknown.at(float(after)) / number.unknown.at(float(before)))
                for number, before, after in zip(self.numbers.all, z, corrected, strict=True)
            ],
            dtype=torch.float64,
        )
        return corrected, variance, change


def over_unknown_noise(
    problem: SamplingProblem,
    condition: Callable[[Observation, int], Posterior],
    observation: Observation,
    n_samples: int,
    generator: torch.Generator | None,
) -> Posterior:
    """Return the posterior with unknown noise integrated over, at 2 k + 1 points for k numbers that
    have their mean and their variances.

    Arguments:
        problem: the prior and the readings.
        condition: the posterior of readings with known noise, with a number of samples.
        observation: the readings, with unknown noise.
        n_samples, generator: as of `Solver.condition`.

    Raises:
        InputError: the readings are not linear in the states of the prior.
    """
    evidence = NoiseEvidence(problem, observation)
    if problem.phases or not evidence.forward.linear:
        raise InputError(
            "noise_std must be known for a learned prior of which the readings are not linear, got "
            f"unknown {', '.join(evidence.numbers.names)}; state it, or choose a prior of "
            "pdeinv.coefficients"
        )
    z, variance, change = evidence.checked(generator)
    k, std = len(z), variance.sqrt()
    offsets = math.sqrt(k + 1) * torch.diag(std)
    points = torch.cat([z[None], z + offsets, z - offsets])
    weights = torch.full((2 * k + 1,), 0.5 / (k + 1), dtype=torch.float64)
    weights[0] = 1 / (k + 1)
    shares = Shares(weights, n_samples, generator)
    posteriors = []
    for point, drawn in zip(points, shares.drawn, strict=True):
        known = observation.with_noise(evidence.numbers.values(point)[1])
        posteriors.append(condition(known, drawn))
    found = mixed(posteriors, weights, shares)
    numbers = evidence.numbers
    white = torch.special.ndtri(lattice(_POINTS, k))
    values, at_points = (
        torch.tensor([list(numbers.values(one)[1].values()) for one in many]).double()
        for many in (z + std * white, points)
    )
    equal = torch.full((_POINTS,), 1 / _POINTS, dtype=torch.float64)
    units = [number.units for number in numbers.all]
    ends = torch.tensor([plain_ends(column, equal) for column in values.T]).double().T
    drawn_at = at_points[shares.of_sample]
    found.parameters = of_points(numbers.names, units, values, equal, drawn_at, [*ends])
    means = dict(zip(numbers.names, found.parameters.mean.tolist(), strict=True))
    found.leave_one_out = sampled_leave_one_out(found, observation.with_noise(means))
    found.record["noise_correction"] = math.exp(float(change.abs().max()))
    return found

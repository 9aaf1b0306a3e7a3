"""A Gaussian field given readings: the step of the moment solver at each noise level."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch

from pdeinv import seeds
from pdeinv.observation import Observation
from pdeinv.priors.covariance import CovarianceRoot
from pdeinv.solvers.forward import TensorMap
from pdeinv.solvers.linear_algebra import (
    carries_weight,
    cholesky_with_nugget,
    count_informative,
    nugget_variance,
)

__all__ = ["Dense", "Draws", "Linearised", "MatrixFree", "StateReadings"]

# Variance added to exact readings, relative to the mean variance of those of their field
_NUGGET = 1e-10
# The same for the chi-squared: a fitted covariance is not right to its least eigenvalues
_JUDGED = 1e-6
_MET = 1e-4  # and for the objective of a draw
_CHUNK = 32  # rows at a time; larger chunks fall out of the cache
_PROBES = 16  # draws behind the readings' variance
# Of the conjugate gradients: residual relative to the target's, iterations
_TOLERANCE, _LONGEST = 1e-3, 300
_TINY = 1e-300


class StateReadings:
    """F(x) = H x for states of all fields of a joint prior: linear, and without a solve.

    The counterpart of `ForwardMap` for a joint prior.

    Arguments:
        observation: H.
    """

    linear = True

    def __init__(self, observation: Observation):
        self.observation = observation

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the readings (batch, m) of states (batch, channel, ny, nx)."""
        return self.observation(x)

    def approximate(self, x: torch.Tensor) -> torch.Tensor:
        """Return the same readings."""
        return self.observation(x)

    def adjoint_at(self, x: torch.Tensor) -> TensorMap:
        """Return Hᵀ, whatever the state."""
        return self.observation.adjoint

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rows of H, (m, channel, ny, nx), whatever the state."""
        return self.observation.adjoint(torch.eye(len(self.observation)).to(x.device).double())


class Dense:
    """H T as a matrix, and (H S Hᵀ + R)⁻¹ by Cholesky factors; for up to some thousand readings.

    Arguments:
        root: T.
        observation: R.
        rows: (m, channel, ny, nx), H as a matrix.
    """

    def __init__(self, root: CovarianceRoot, observation: Observation, rows: torch.Tensor):
        self.observation = observation
        self.rows = torch.cat([root.adjoint(part) for part in rows.split(_CHUNK)])

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Return H T of coordinates (batch, coordinates): (batch, m)."""
        return coordinates @ self.rows.T

    def adjoint(self, weights: torch.Tensor) -> torch.Tensor:
        """Return Tᵀ Hᵀ of weights (batch, m): (batch, coordinates)."""
        return weights @ self.rows

    def reading_variances(self, variances: torch.Tensor) -> torch.Tensor:
        """Return the prior variances of the readings (m,), for S of these variances."""
        return self.rows.square() @ variances

    def inverse(self, variances: torch.Tensor, nugget: float = _NUGGET) -> TensorMap:
        """Return (H S Hᵀ + R)⁻¹ of residuals (batch, m), for S of these variances."""
        o, gram = self.observation, (self.rows * variances) @ self.rows.T
        lower = cholesky_with_nugget(
            gram + o.noise_covariance(), nugget_variance(gram.diagonal(), o, nugget)
        )
        return lambda residual: torch.cholesky_solve(residual.T, lower).T


class MatrixFree:
    """The same by conjugate gradients, without a matrix; for many readings and an affine F.

    Arguments:
        root: T.
        observation: R.
        predict: H, the linear part of F: states (batch, channel, ny, nx) to readings (batch, m).
        pull_back: its adjoint.
    """

    def __init__(
        self,
        root: CovarianceRoot,
        observation: Observation,
        predict: TensorMap,
        pull_back: TensorMap,
    ):
        self.root, self.observation = root, observation
        self.predict, self.pull_back = predict, pull_back
        drawn = torch.empty(_PROBES, len(root), dtype=torch.float64, device="cpu")
        self.probes = drawn.normal_(generator=seeds.generator(seeds.STATISTICS)).to(root.values)

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Return H T of coordinates (batch, coordinates): (batch, m)."""
        return self.predict(self.root.apply(coordinates))

    def adjoint(self, weights: torch.Tensor) -> torch.Tensor:
        """Return Tᵀ Hᵀ of weights (batch, m): (batch, coordinates)."""
        return self.root.adjoint(self.pull_back(weights))

    def reading_variances(self, variances: torch.Tensor) -> torch.Tensor:
        """Estimate the prior variances of the readings (m,), for S of these variances, from some
        draws."""
        return self.forward(self.probes * variances.sqrt()).square().mean(dim=0)

    def inverse(self, variances: torch.Tensor, nugget: float = _NUGGET) -> TensorMap:
        """Return (H S Hᵀ + R)⁻¹ of residuals (batch, m), for S of these variances."""
        o, reading_variances = self.observation, self.reading_variances(variances)
        diagonal = o.noise_std**2 + nugget_variance(reading_variances, o, nugget)
        # Makes readings of both fields alike
        size = (diagonal + nugget_variance(reading_variances, o, 1.0)).rsqrt()

        def product(w: torch.Tensor) -> torch.Tensor:
            w = w * size
            shared = w @ o.shared @ o.shared.T
            return size * (self.forward(self.adjoint(w) * variances) + diagonal * w + shared)

        return lambda residual: size * _conjugate_gradients(product, size * residual)


def _conjugate_gradients(product: TensorMap, target: torch.Tensor) -> torch.Tensor:
    """A⁻¹ of each row of the target, up to a residual that no reading would notice; stopped early,
    it is smoother."""
    x, residual = torch.zeros_like(target), target
    direction, size = target, target.square().sum(dim=1, keepdim=True)
    enough = size * _TOLERANCE**2
    for _ in range(_LONGEST):
        if bool((size <= enough).all()):
            break
        ahead = product(direction)
        step = size / (direction * ahead).sum(dim=1, keepdim=True).clamp(min=_TINY)
        x, residual = x + step * direction, residual - step * ahead
        before, size = size, residual.square().sum(dim=1, keepdim=True)
        direction = residual + size / before.clamp(min=_TINY) * direction
    return x


class Draws(NamedTuple):
    """Conditioned states.

    Arguments:
        states: (batch, channel, ny, nx).
        moved: how far the readings moved each, of the same shape.
        objective: of each, (batch,): |ξ|² of that step, and the misfit one iteration before, with
            an allowance for exact readings; without the misfit where F is linear.
    """

    states: torch.Tensor
    moved: torch.Tensor
    objective: torch.Tensor


class Linearised:
    """Posterior draws of x ~ N(mean, S(σ)) where y = F(x) + noise and F is linear, or nearly so
    where x is likely.

    For draws z of the prior and ε of the noise, x = z + K (y - ε - F(x) + H (x - z)) with K = S Hᵀ
    (H S Hᵀ + R)⁻¹ and H the derivative of F. Where F is linear this is Matheron's rule, and exact;
    else it is iterated.

    Arguments:
        root: a square root of S.
        observation: its noise and readings.
        derivative: H.

    Reference:
        Wilson et al., *Efficiently sampling functions from Gaussian process posteriors*, ICML 2020,
        eq. 8 (arXiv 2002.09309); Oliver, Reynolds & Liu, *Inverse Theory for Petroleum Reservoir
        Characterization and History Matching*, 2008, section 10.8 (randomised maximum likelihood).
    """

    def __init__(
        self, root: CovarianceRoot, observation: Observation, derivative: Dense | MatrixFree
    ):
        self.root, self.observation, self.derivative = root, observation, derivative

    @cached_property
    def allowed(self) -> torch.Tensor:
        """Variance of each reading in the objective, (m,), less that of its bias: no less than a
        linearisation leaves."""
        prior = self.derivative.reading_variances(self.root.variances())
        o = self.observation
        return o.noise_std**2 + nugget_variance(prior, o, _MET)

    def __call__(
        self,
        mean: torch.Tensor,
        sigma: float,
        draws: torch.Tensor,
        noise: torch.Tensor,
        predict: TensorMap,
        iterations: int = 1,
    ) -> Draws:
        """Draw states given the readings.

        Arguments:
            mean: prior means of the states, (batch, channel, ny, nx).
            sigma: σ.
            draws, noise: standard normal, (batch, coordinates) and (batch, m + k) for k biases.
            predict: F, states to readings (batch, m).
            iterations: linear solves, 1 where F is linear.

        Returns:
            The states, how far the readings moved each, and the objective of each.
        """
        variances = self.root.variances(sigma)
        z = mean + self.root.apply(draws * variances.sqrt())
        data = self.observation.values - self.observation.noise(noise)
        _, coordinates, misfit = self._settled(z, data, variances, predict, iterations)
        moved = self.root.apply(coordinates)
        return Draws(z + moved, moved, _squares(coordinates, variances) + misfit)

    def mode(
        self, mean: torch.Tensor, sigma: float, predict: TensorMap, iterations: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Return the most probable state x, for one mean; y - F(x) + H (x - mean), (1, m); and the
        objective.

        Arguments as in `__call__`.
        """
        variances = self.root.variances(sigma)
        residual, coordinates, misfit = self._settled(
            mean, self.observation.values, variances, predict, iterations
        )
        objective = float(_squares(coordinates, variances) + misfit)
        return mean + self.root.apply(coordinates), residual, objective

    def reduced_chi_squared(self, residual: torch.Tensor, sigma: float) -> float:
        """Return rᵀ (H S Hᵀ + R)⁻¹ r / m for m readings that can vary.

        It is near 1 where prior, PDE and noise agree: twice the objective that the most probable
        state minimises, for each reading, as in `GaussNewton`.

        Arguments:
            residual: r, that of `mode`, (1, m).
            sigma: σ.
        """
        variances = self.root.variances(sigma)
        terms = (residual * self.derivative.inverse(variances, _JUDGED)(residual))[0]
        prior = self.derivative.reading_variances(variances)
        weighty = carries_weight(prior, self.observation)
        return float(terms[weighty].sum()) / count_informative(prior, self.observation)

    def _settled(
        self,
        z: torch.Tensor,
        data: torch.Tensor,
        variances: torch.Tensor,
        predict: TensorMap,
        iterations: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Residuals against the linearised F at the state before the last, (batch, m); coordinates
        of the last less z; and the misfit of the one before, (batch,), 0 without iterations."""
        inverse = self.derivative.inverse(variances)
        residual = data - predict(z)
        missed = torch.zeros_like(residual)
        for _ in range(iterations - 1):
            coordinates = self.derivative.adjoint(inverse(residual)) * variances
            missed = data - predict(z + self.root.apply(coordinates))
            residual = missed + self.derivative.forward(coordinates)
        coordinates = self.derivative.adjoint(inverse(residual)) * variances
        misfit = missed.sum(dim=1)
        if iterations > 1:
            unbiased = self.observation.without_bias(missed, self.allowed)
            misfit = (missed * unbiased / self.allowed).sum(dim=1)
        return residual, coordinates, misfit


def _squares(coordinates: torch.Tensor, variances: torch.Tensor) -> torch.Tensor:
    """|ξ|² of coordinates (batch, coordinates) of independent normals, (batch,)."""
    return (coordinates**2 / variances.clamp(min=_TINY)).sum(dim=1)

"""A field, known up to a Gaussian deviation, given what the sensors read: what the moment solver
does at each noise level."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pdeinv.datasets.base import PDE
from pdeinv.observation import Observation
from pdeinv.priors.covariance import CovarianceRoot
from pdeinv.solvers.base import cholesky_with_nugget, count_informative, nugget_variance

__all__ = ["Dense", "Linearised", "MatrixFree", "sensitivity"]

# Variance added to exact readings, relative to the mean variance of those of their field
_NUGGET = 1e-10
# The same where they are judged: a fitted covariance is not right to its least eigenvalues
_JUDGED = 1e-6
_CHUNK = 32  # rows at a time; larger chunks fall out of the cache
_PROBES = 16  # draws that tell the readings' variance
# Of the conjugate gradients: residual relative to the target's, iterations
_TOLERANCE, _LONGEST = 1e-3, 300
_TINY = 1e-300


def sensitivity(pde: PDE, observation: Observation, a: torch.Tensor) -> torch.Tensor:
    """Derivative of the readings with respect to the coefficient, at a (1, 1, n, n): rows (m, 1, n,
    n)."""
    eye = torch.eye(len(observation), dtype=torch.float64)
    sees_solution = bool((observation.channel == 1).any())
    if sees_solution:
        with torch.enable_grad():
            a = a.detach().requires_grad_()
            u = pde.surrogate(a)
        # Not torch.func.vjp, which imports a compiler first: two seconds.
        pull_back = torch.vmap(lambda v: torch.autograd.grad(u, a, v, retain_graph=True)[0])
    rows = []
    for part in eye.split(_CHUNK):
        v = observation.adjoint(part)
        through = pull_back(v[:, None, 1:])[:, 0] if sees_solution else 0
        rows.append(v[:, :1] + through)
    return torch.cat(rows)


class Dense:
    """H T as a matrix, and (H S Hᵀ + R)⁻¹ by Cholesky factors; for up to some thousand readings.

    Arguments:
        spread: T.
        observation: R.
        rows: (m, channel, n, n), H as a matrix.
    """

    def __init__(self, spread: CovarianceRoot, observation: Observation, rows: torch.Tensor):
        self.observation = observation
        self.rows = torch.cat([spread.adjoint(part) for part in rows.split(_CHUNK)])

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """H T: (batch, coordinates) to (batch, m)."""
        return coordinates @ self.rows.T

    def adjoint(self, weights: torch.Tensor) -> torch.Tensor:
        """Tᵀ Hᵀ: (batch, m) to (batch, coordinates)."""
        return weights @ self.rows

    def reading_variances(self, variances: torch.Tensor) -> torch.Tensor:
        """Prior variances of the readings (m,), for S of these variances."""
        return self.rows.square() @ variances

    def inverse(
        self, variances: torch.Tensor, nugget: float = _NUGGET
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """(H S Hᵀ + R)⁻¹ of residuals (batch, m), for S of these variances."""
        o, gram = self.observation, (self.rows * variances) @ self.rows.T
        lower = cholesky_with_nugget(
            gram + torch.diag(o.noise_std**2), nugget_variance(gram.diagonal(), o, nugget)
        )
        return lambda residual: torch.cholesky_solve(residual.T, lower).T


class MatrixFree:
    """The same by conjugate gradients, without a matrix; for many readings of a linear F.

    Arguments:
        spread: T.
        observation: R.
        predict: F, states (batch, channel, n, n) to readings (batch, m).
        pull_back: its adjoint.
    """

    def __init__(
        self,
        spread: CovarianceRoot,
        observation: Observation,
        predict: Callable,
        pull_back: Callable,
    ):
        self.spread, self.observation, self.predict, self.pull_back = (
            spread,
            observation,
            predict,
            pull_back,
        )
        generator = torch.Generator().manual_seed(0)
        self.probes = torch.randn(_PROBES, len(spread), dtype=torch.float64, generator=generator)

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """H T: (batch, coordinates) to (batch, m)."""
        return self.predict(self.spread.apply(coordinates))

    def adjoint(self, weights: torch.Tensor) -> torch.Tensor:
        """Tᵀ Hᵀ: (batch, m) to (batch, coordinates)."""
        return self.spread.adjoint(self.pull_back(weights))

    def reading_variances(self, variances: torch.Tensor) -> torch.Tensor:
        """Prior variances of the readings (m,), for S of these variances; from some draws."""
        return self.forward(self.probes * variances.sqrt()).square().mean(dim=0)

    def inverse(
        self, variances: torch.Tensor, nugget: float = _NUGGET
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """(H S Hᵀ + R)⁻¹ of residuals (batch, m), for S of these variances."""
        o, own = self.observation, self.reading_variances(variances)
        diagonal = o.noise_std**2 + nugget_variance(own, o, nugget)
        # Makes readings of both fields alike
        size = (diagonal + nugget_variance(own, o, 1.0)).rsqrt()

        def product(w):
            w = w * size
            return size * (self.forward(self.adjoint(w) * variances) + diagonal * w)

        return lambda residual: size * _conjugate_gradients(product, size * residual)


def _conjugate_gradients(product: Callable, target: torch.Tensor) -> torch.Tensor:
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


class Linearised:
    """Posterior draws of x ~ N(mean, S(σ)) where y = F(x) + noise and F is linear, or nearly so
    where x is likely.

    For draws z of the prior and ε of the noise, x = z + K (y - ε - F(x) + H (x - z)) with K = S Hᵀ
    (H S Hᵀ + R)⁻¹ and H the derivative of F. Where F is linear this is Matheron's rule, and exact;
    else it is iterated.

    Reference:
        Wilson et al., *Efficiently sampling functions from Gaussian process posteriors*, ICML 2020,
        eq. 8 (arXiv 2002.09309); Oliver, Reynolds & Liu, *Inverse Theory for Petroleum Reservoir
        Characterization and History Matching*, 2008, section 10.8 (randomised maximum likelihood).

    Arguments:
        spread: S.
        observation: its noise and readings.
        derivative: H.
    """

    def __init__(
        self, spread: CovarianceRoot, observation: Observation, derivative: Dense | MatrixFree
    ):
        self.spread, self.observation, self.derivative = spread, observation, derivative

    def __call__(
        self,
        mean: torch.Tensor,
        sigma: float,
        draws: torch.Tensor,
        noise: torch.Tensor,
        predict: Callable[[torch.Tensor], torch.Tensor],
        iterations: int = 1,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States (batch, channel, n, n), for `mean` of that shape; and how far the readings moved
        each.

        Arguments:
            draws, noise: standard normal, (batch, coordinates) and (batch, m).
            predict: F, states to readings (batch, m).
        """
        variances = self.spread.variances(sigma)
        z = mean + self.spread.apply(draws * variances.sqrt())
        data = self.observation.values - self.observation.noise_std * noise
        _, weights = self._settled(z, data, variances, predict, iterations)
        moved = self._step(weights, variances)
        return z + moved, moved

    def mode(
        self, mean: torch.Tensor, sigma: float, predict: Callable, iterations: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The most probable state x, for a mean of one; and y - F(x) + H (x - mean), (1, m)."""
        variances = self.spread.variances(sigma)
        residual, weights = self._settled(
            mean, self.observation.values, variances, predict, iterations
        )
        return mean + self._step(weights, variances), residual

    def reduced_chi_squared(self, residual: torch.Tensor, sigma: float) -> float:
        """rᵀ (H S Hᵀ + R)⁻¹ r / m of that residual, of m readings that can vary: near 1 where
        prior, PDE and noise agree.

        Twice the objective that the most probable state minimises, for each reading; as
        `GaussNewton` tells.
        """
        variances = self.spread.variances(sigma)
        chi2 = (residual * self.derivative.inverse(variances, _JUDGED)(residual)).sum()
        return float(chi2) / count_informative(
            self.derivative.reading_variances(variances), self.observation
        )

    def _settled(self, z, data, variances, predict, iterations):
        """Residuals against the linearised F at the state that they lead to, and (H S Hᵀ + R)⁻¹ of
        them: both (batch, m)."""
        inverse = self.derivative.inverse(variances)
        residual = data - predict(z)
        for _ in range(iterations - 1):
            coordinates = self.derivative.adjoint(inverse(residual)) * variances
            residual = (
                data
                - predict(z + self.spread.apply(coordinates))
                + self.derivative.forward(coordinates)
            )
        return residual, inverse(residual)

    def _step(self, weights, variances):
        return self.spread.apply(self.derivative.adjoint(weights) * variances)

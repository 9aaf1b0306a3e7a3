"""A field, known up to a Gaussian deviation, given what the sensors read: what the moment solver does at each noise level."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pdeinv.datasets.base import PDE
from pdeinv.observation import Observation
from pdeinv.priors.spread import Spread
from pdeinv.solvers.base import factor, nugget_variance

__all__ = ["Dense", "Linearised", "MatrixFree", "sensitivity"]

_NUGGET = 1e-10  # variance added to exact readings, relative to the mean variance of those of their field
_CHUNK = 32  # rows at a time; larger chunks fall out of the cache
_PROBES = 16  # draws that tell the readings' variance
_TOLERANCE, _LONGEST = 1e-3, 300  # of the conjugate gradients: residual relative to the target's, iterations
_TINY = 1e-300


def sensitivity(pde: PDE, observation: Observation, a: torch.Tensor) -> torch.Tensor:
    """Derivative of the readings with respect to the coefficient, at a (1, 1, n, n): rows (m, 1, n, n)."""
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
    """H T as a matrix, and the gain S Hᵀ (H S Hᵀ + R)⁻¹ by Cholesky factors; for up to some thousand readings.

    Arguments:
        spread: T.
        observation: R.
        rows: (m, channel, n, n), H as a matrix.
    """

    def __init__(self, spread: Spread, observation: Observation, rows: torch.Tensor):
        self.observation = observation
        self.rows = torch.cat([spread.adjoint(part) for part in rows.split(_CHUNK)])

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """H T: (batch, coordinates) to (batch, m)."""
        return coordinates @ self.rows.T

    def gain(self, variances: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        """Residuals (batch, m) to coordinates, for S of these variances."""
        o, gram = self.observation, (self.rows * variances) @ self.rows.T
        lower = factor(gram + torch.diag(o.noise_std**2), nugget_variance(gram.diagonal(), o, _NUGGET))
        return lambda residual: torch.cholesky_solve(residual.T, lower).T @ self.rows * variances


class MatrixFree:
    """The same by conjugate gradients, without a matrix; for many readings of a linear F.

    Arguments:
        spread: T.
        observation: R.
        predict: F, states (batch, channel, n, n) to readings (batch, m).
        pull_back: its adjoint.
    """

    def __init__(self, spread: Spread, observation: Observation, predict: Callable, pull_back: Callable):
        self.spread, self.observation, self.predict, self.pull_back = spread, observation, predict, pull_back
        generator = torch.Generator().manual_seed(0)
        self.probes = torch.randn(_PROBES, len(spread), dtype=torch.float64, generator=generator)

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """H T: (batch, coordinates) to (batch, m)."""
        return self.predict(self.spread.apply(coordinates))

    def adjoint(self, weights: torch.Tensor) -> torch.Tensor:
        """Tᵀ Hᵀ: (batch, m) to (batch, coordinates)."""
        return self.spread.adjoint(self.pull_back(weights))

    def gain(self, variances: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        """Residuals (batch, m) to coordinates, for S of these variances."""
        o = self.observation
        own = self.forward(self.probes * variances.sqrt()).square().mean(dim=0)
        diagonal = o.noise_std**2 + nugget_variance(own, o, _NUGGET)
        size = (diagonal + nugget_variance(own, o, 1.0)).rsqrt()  # makes readings of both fields alike

        def product(w):
            w = w * size
            return size * (self.forward(self.adjoint(w) * variances) + diagonal * w)

        return lambda residual: self.adjoint(size * _conjugate_gradients(product, size * residual)) * variances


def _conjugate_gradients(product: Callable, target: torch.Tensor) -> torch.Tensor:
    """A⁻¹ of each row of the target, up to a residual that no reading would notice; stopped early, it is smoother."""
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
    """Posterior draws of x ~ N(mean, S(σ)) where y = F(x) + noise and F is linear, or nearly so where x is likely.

    For draws z of the prior and ε of the noise, x = z + K (y - ε - F(x) + H (x - z)) with K = S Hᵀ (H S Hᵀ + R)⁻¹ and H the
    derivative of F. Where F is linear this is Matheron's rule, and exact; else it is iterated.

    Reference:
        Wilson et al., *Efficiently sampling functions from Gaussian process posteriors*, ICML 2020, eq. 8 (arXiv 2002.09309);
        Oliver, Reynolds & Liu, *Inverse Theory for Petroleum Reservoir Characterization and History Matching*, 2008, section
        10.8 (randomised maximum likelihood).

    Arguments:
        spread: S.
        observation: its noise and readings.
        derivative: H.
    """

    def __init__(self, spread: Spread, observation: Observation, derivative: Dense | MatrixFree):
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
        """States (batch, channel, n, n), for `mean` of that shape; and how far the readings moved each.

        Arguments:
            draws, noise: standard normal, (batch, coordinates) and (batch, m).
            predict: F, states to readings (batch, m).
        """
        variances = self.spread.variances(sigma)
        gain = self.derivative.gain(variances)
        z = mean + self.spread.apply(draws * variances.sqrt())
        data = self.observation.values - self.observation.noise_std * noise
        coordinates = gain(data - predict(z))
        for _ in range(iterations - 1):
            x = z + self.spread.apply(coordinates)
            coordinates = gain(data - predict(x) + self.derivative.forward(coordinates))
        moved = self.spread.apply(coordinates)
        return z + moved, moved

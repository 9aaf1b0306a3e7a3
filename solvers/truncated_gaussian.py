"""Exact Hamiltonian Monte Carlo for a Gaussian vector, each number above or below a threshold."""

from __future__ import annotations

import math
from functools import partial

import torch

from pdeinv.solvers.base import ProgressBar, progress_bar
from pdeinv.solvers.linear_algebra import cholesky_with_nugget

__all__ = ["sample_given_signs"]

_BURN_IN = 30  # trajectories before the first draw
_NUGGET = 1e-10  # variance added, relative to the mean variance
_EDGE = 1e-12  # distance from its wall of a coordinate that has just met it, relative to its std

_silent = partial(progress_bar, show=False)


def sample_given_signs(
    covariance: torch.Tensor,
    log_ratio: torch.Tensor,
    chains: int,
    draws: int,
    generator: torch.Generator | None = None,
    bar: ProgressBar = _silent,
    *,
    threshold: float = 0.0,
) -> torch.Tensor:
    """Draw g ~ N(0, K) weighted by exp(log_ratio_j) wherever g_j >= threshold.

    Between the walls g_j = threshold the Hamiltonian flow of the Gaussian is exact, g cos t + v sin
    t. At wall j the potential jumps by |log_ratio_j|: the component of v normal to the wall (in the
    metric of K, along column j) is slowed, sped up or reflected so that the energy is kept, whence
    every trajectory is accepted. A trajectory lasts a quarter of the period, which would carry an
    unconstrained Gaussian to an independent draw. Chains start on the likely sides, at random
    distances from the walls, of the norm that a draw has.

    Arguments:
        covariance: K, (m, m), positive semi-definite.
        log_ratio: log p(reading | above) - log p(reading | below the threshold), (m,).
        chains: independent Markov chains.
        draws: of each chain, after 30 trajectories that are dropped.
        generator: source of all randomness.
        bar: shows progress.
        threshold: of every number.

    Returns:
        The draws, (chains, draws, m).

    Reference:
        Pakman & Paninski, *Exact Hamiltonian Monte Carlo for truncated multivariate Gaussians*,
        JCGS 23(2), 2014 (arXiv 1208.4118), section 2; finite walls as in their *Auxiliary-variable
        exact HMC samplers for binary distributions*, NeurIPS 2013, section 3.
    """
    flow = _Flow(covariance, log_ratio, chains, generator, threshold)
    g = flow.start()
    for _ in bar(range(_BURN_IN), description="burn-in", unit="trajectory"):
        g = flow.trajectory(g)
    out = []
    for _ in bar(range(draws), description="latent field at the sensors", unit="draw"):
        g = flow.trajectory(g)
        out.append(g)
    return torch.stack(out, dim=1)


class _Flow:
    """The Hamiltonian flow of all chains; arguments as in `sample_given_signs`."""

    def __init__(
        self,
        covariance: torch.Tensor,
        log_ratio: torch.Tensor,
        chains: int,
        generator: torch.Generator | None,
        threshold: float,
    ):
        self.generator, self.chains, m = generator, chains, len(covariance)
        self.threshold = threshold
        nugget = _NUGGET * covariance.diagonal().mean()
        self.lower = cholesky_with_nugget(covariance, nugget.expand(m))
        covariance = self.lower @ self.lower.T
        self.variance = covariance.diagonal()
        self.normal = covariance / self.variance[:, None]  # row j: what a change of v_j does to v
        self.likely = torch.where(log_ratio >= 0, 1.0, -1.0).to(covariance)
        self.height = log_ratio.abs()
        self.edge = _EDGE * self.variance.sqrt()

    def start(self) -> torch.Tensor:
        """Return the first positions, (chains, m)."""
        shape = (self.chains, len(self.lower))
        uniform = torch.rand(shape, dtype=self.lower.dtype, generator=self.generator)
        g = self.likely * uniform.clamp(min=1e-3)
        norm = torch.linalg.solve_triangular(self.lower, g.T, upper=False).norm(dim=0)
        return self.threshold + g * (len(self.lower) ** 0.5 / norm)[:, None]

    def trajectory(self, g: torch.Tensor) -> torch.Tensor:
        """Return where a trajectory with random velocities ends, (chains, m)."""
        row = torch.arange(self.chains)
        v = torch.randn(g.shape, dtype=g.dtype, generator=self.generator) @ self.lower.T
        left = torch.full((self.chains,), math.pi / 2, dtype=g.dtype)
        while True:
            time, j = self._first_wall(g, v)
            met = time < left
            time = torch.minimum(time, left)
            c, s = torch.cos(time)[:, None], torch.sin(time)[:, None]
            g, v = g * c + v * s, v * c - g * s
            left = left - time
            if not bool(met.any()):
                return g
            speed = v[row, j]
            turned, side = self._at_wall(j, speed)
            v = torch.where(met[:, None], v + (turned - speed)[:, None] * self.normal[j], v)
            g[row[met], j[met]] = (self.threshold + side * self.edge[j])[met]

    def _first_wall(self, g: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The time at which each chain meets its first wall, infinite for none, and that wall;
        (chains,) each."""
        if not self.threshold:
            # g_j cos t + v_j sin t = 0 first at the t in (0, π) with cot t = -v_j / g_j: the
            # largest ratio is met first.
            ratio, j = (-v / g).max(dim=1)
            return torch.atan2(torch.ones_like(ratio), ratio), j
        # g_j cos t + v_j sin t = R cos(t - φ) falls through the wall at t = φ + α and rises through
        # it at φ - α, of which the side that g_j is on takes one.
        radius, phase = torch.hypot(g, v), torch.atan2(v, g)
        angle = torch.acos((self.threshold / radius).clamp(-1, 1))
        rising = torch.where(phase > 0, phase, phase + 2 * math.pi) - angle
        times = torch.where(g >= self.threshold, phase + angle, rising).clamp(min=0)
        times[radius < abs(self.threshold)] = math.inf
        time, j = times.min(dim=1)
        return time, j

    def _at_wall(self, j: torch.Tensor, speed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The speed behind wall j, or after reflection, and the side of the wall; (chains,)
        each."""
        heading = torch.sign(speed)
        energy = speed.square() / self.variance[j]
        gain = torch.where(heading == self.likely[j], 2.0, -2.0) * self.height[j]
        passes = energy + gain > 0
        turned = torch.where(
            passes, heading * ((energy + gain).clamp(min=0) * self.variance[j]).sqrt(), -speed
        )
        return turned, torch.where(passes, heading, -heading)

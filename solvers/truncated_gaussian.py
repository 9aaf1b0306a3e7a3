"""Exact Hamiltonian Monte Carlo for a Gaussian vector, each number above or below a threshold, or
more probably on one side of it."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import scipy
import torch

from pdeinv.errors import NumericalError
from pdeinv.solvers.base import ProgressBar, progress_bar
from pdeinv.solvers.linear_algebra import cholesky_with_nugget

__all__ = ["chain_diagnostics", "nearest_above", "sample_above", "sample_given_signs"]

_BURN_IN = 30  # trajectories before the first draw
_NUGGET = 1e-10  # variance added, relative to the mean variance
_MOST = 50_000  # walls that a trajectory meets
_VARIED = 0.5, 1.5  # lengths of trajectories, in quarters of the period
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
    thresholds = torch.full_like(log_ratio, threshold)
    flow = _Flow(covariance, log_ratio, chains, generator, thresholds)
    return flow.draw(flow.start(), draws, bar)


def sample_above(
    correlation: torch.Tensor,
    threshold: torch.Tensor,
    chains: int,
    draws: int,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draw g ~ N(0, K), given that every g_j >= threshold_j: `sample_given_signs` with hard walls.

    Chains start at random distances from the point of the region with the largest density. The
    lengths of trajectories are random: between its bounces off a single wall in the tail, one of a
    constant length would hardly change its distance from it.

    Arguments:
        correlation: K, (m, m), positive semi-definite, of numbers of variance one.
        threshold: (m,), of each number.
        chains, draws, generator: as of `sample_given_signs`.

    Returns:
        The draws, (chains, draws, m).

    Raises:
        NumericalError: the region has almost no extent in some direction.
    """
    hard = torch.full_like(threshold, math.inf)
    flow = _Flow(correlation, hard, chains, generator, threshold, varied=True)
    return flow.draw(flow.start(nearest_above(flow.lower, threshold)[0]), draws, _silent)


def nearest_above(
    lower: torch.Tensor, threshold: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the point g >= threshold, number by number, where gᵀ K⁻¹ g is least, and what each
    threshold contributes to this least value, both (m,).

    Arguments:
        lower: Cholesky factor of K, (m, m).
        threshold: (m,).

    Reference:
        Lawson & Hanson, *Solving Least Squares Problems*, 1974, chapter 23: g = K λ with the
        multipliers λ >= 0 of non-negative least squares.
    """
    right = torch.linalg.solve_triangular(lower, threshold[:, None], upper=False)[:, 0]
    try:
        found, _ = scipy.optimize.nnls(
            lower.T.numpy(force=True), right.numpy(force=True), maxiter=30 * len(right)
        )
    except RuntimeError as error:
        raise NumericalError(
            f"the most probable values of {len(right)} censored readings were not found ({error}); "
            f"drop limits that others imply"
        ) from error
    multiplier = torch.from_numpy(np.asarray(found)).to(lower)
    return lower @ (lower.T @ multiplier), multiplier * threshold


def chain_diagnostics(chains: torch.Tensor) -> dict[str, float]:
    """Return split R-hat (the largest) and the effective sample size (the smallest) over numbers
    (chains, draws, m)."""
    from arviz_stats.base import array_stats  # slow to import

    values = chains.numpy(force=True)
    r_hat = float(array_stats.rhat(values, chain_axis=0, draw_axis=1).max())
    size = float(array_stats.ess(values, chain_axis=0, draw_axis=1).min())
    return {"r_hat": round(r_hat, 4), "effective_sample_size": round(size, 1)}


class _Flow:
    """The Hamiltonian flow of all chains; arguments as in `sample_given_signs`. An infinite log
    ratio is a hard wall. Trajectories are of random lengths if `varied`."""

    def __init__(
        self,
        covariance: torch.Tensor,
        log_ratio: torch.Tensor,
        chains: int,
        generator: torch.Generator | None,
        threshold: torch.Tensor,
        *,
        varied: bool = False,
    ):
        self.generator, self.chains, m = generator, chains, len(covariance)
        self.varied = varied
        self.threshold, self.at_zero = threshold, not bool(threshold.any())
        self.floor = torch.where(log_ratio == math.inf, threshold, -math.inf)
        nugget = _NUGGET * covariance.diagonal().mean()
        self.lower = cholesky_with_nugget(covariance, nugget.expand(m))
        covariance = self.lower @ self.lower.T
        self.variance = covariance.diagonal()
        self.normal = covariance / self.variance[:, None]  # row j: what a change of v_j does to v
        self.likely = torch.where(log_ratio >= 0, 1.0, -1.0).to(covariance)
        self.height = log_ratio.abs()
        self.edge = _EDGE * self.variance.sqrt()

    def draw(self, g: torch.Tensor, draws: int, bar: ProgressBar) -> torch.Tensor:
        """Return draws (chains, draws, m) of chains that start at g (chains, m)."""
        for _ in bar(range(_BURN_IN), description="burn-in", unit="trajectory"):
            g = self.trajectory(g)
        out = []
        for _ in bar(range(draws), description="latent field at the sensors", unit="draw"):
            g = self.trajectory(g)
            out.append(g)
        return torch.stack(out, dim=1)

    def start(self, about: torch.Tensor | None = None) -> torch.Tensor:
        """Return the first positions, (chains, m), on the likely sides of a point (m,); of the
        thresholds if None."""
        shape = (self.chains, len(self.lower))
        uniform = torch.rand(shape, dtype=self.lower.dtype, generator=self.generator)
        uniform = uniform.to(self.lower)
        g = self.likely * uniform.clamp(min=1e-3)
        norm = torch.linalg.solve_triangular(self.lower, g.T, upper=False).norm(dim=0)
        about = self.threshold if about is None else torch.maximum(about, self.floor)
        return about + g * (len(self.lower) ** 0.5 / norm)[:, None]

    def trajectory(self, g: torch.Tensor) -> torch.Tensor:
        """Return where a trajectory with random velocities ends, (chains, m)."""
        row = torch.arange(self.chains, device=g.device)
        v = torch.randn(g.shape, dtype=g.dtype, generator=self.generator).to(g) @ self.lower.T
        left = torch.full((self.chains,), math.pi / 2, dtype=g.dtype, device=g.device)
        if self.varied:
            low, high = _VARIED
            share = torch.rand(left.shape, dtype=g.dtype, generator=self.generator).to(g)
            left *= low + (high - low) * share
        for _ in range(_MOST):
            time, j = self._first_wall(g, v)
            met = time < left
            time = torch.minimum(time, left)
            c, s = torch.cos(time)[:, None], torch.sin(time)[:, None]
            g, v = torch.maximum(g * c + v * s, self.floor), v * c - g * s
            left = left - time
            if not bool(met.any()):
                return g
            speed = v[row, j]
            turned, side = self._at_wall(j, speed)
            v = torch.where(met[:, None], v + (turned - speed)[:, None] * self.normal[j], v)
            g[row[met], j[met]] = (self.threshold[j] + side * self.edge[j])[met]
        raise NumericalError(
            f"the range that limits leave to a censored reading must not vanish, and a sampler met "
            f"limits {_MOST} times; give a plain reading with a noise_std in its place"
        )

    def _first_wall(self, g: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The time at which each chain meets its first wall, infinite for none, and that wall;
        (chains,) each."""
        if self.at_zero:
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
        times[radius < self.threshold.abs()] = math.inf
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

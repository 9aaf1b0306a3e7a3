"""Exact Hamiltonian Monte Carlo for a Gaussian vector of which noisy readings tell the signs."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch

from pdeinv.solvers.base import cholesky_with_nugget, progress_bar

__all__ = ["sample_given_signs"]

_BURN_IN = 30  # trajectories before the first draw

_silent = partial(progress_bar, show=False)


def sample_given_signs(
    covariance: torch.Tensor,
    log_ratio: torch.Tensor,
    chains: int,
    draws: int,
    generator: torch.Generator | None = None,
    bar: Callable = _silent,
) -> torch.Tensor:
    """Draws of g ~ N(0, K) weighted by exp(log_ratio_j) wherever g_j >= 0, shape (chains, draws,
    m).

    Between the walls g_j = 0 the Hamiltonian flow of the Gaussian is exact, g cos t + v sin t. At
    wall j the potential jumps by |log_ratio_j|: the component of v normal to the wall (in the
    metric of K, along column j) is slowed, sped up or reflected so that the energy is kept, whence
    every trajectory is accepted. A trajectory lasts a quarter of the period, which would carry an
    unconstrained Gaussian to an independent draw. Chains start with the likely signs, at random
    magnitudes of the norm that a draw has.

    Arguments:
        covariance: K, (m, m), positive semi-definite.
        log_ratio: log p(reading | positive) - log p(reading | negative), (m,).

    Reference:
        Pakman & Paninski, *Exact Hamiltonian Monte Carlo for truncated multivariate Gaussians*,
        JCGS 23(2), 2014 (arXiv 1208.4118), section 2; finite walls as in their *Auxiliary-variable
        exact HMC samplers for binary distributions*, NeurIPS 2013, section 3.
    """
    lower = cholesky_with_nugget(
        covariance, 1e-10 * covariance.diagonal().mean().expand(len(covariance))
    )
    covariance = lower @ lower.T
    variance = covariance.diagonal()
    normal = covariance / variance[:, None]  # row j: what a change of v_j does to v
    likely, height = torch.where(log_ratio >= 0, 1.0, -1.0).to(covariance), log_ratio.abs()
    edge = 1e-12 * variance.sqrt()  # where a coordinate stands that has just met its wall
    row = torch.arange(chains)

    def normal_draws():
        return torch.randn(chains, len(lower), dtype=lower.dtype, generator=generator) @ lower.T

    def trajectory(g):
        v, left = normal_draws(), torch.full((chains,), math.pi / 2, dtype=lower.dtype)
        while True:
            # g_j cos t + v_j sin t = 0 first at the t in (0, π) with cot t = -v_j / g_j: the
            # largest ratio is met first.
            ratio, j = (-v / g).max(dim=1)
            time = torch.atan2(torch.ones_like(ratio), ratio)
            met = time < left
            time = torch.minimum(time, left)
            c, s = torch.cos(time)[:, None], torch.sin(time)[:, None]
            g, v = g * c + v * s, v * c - g * s
            left = left - time
            if not bool(met.any()):
                return g
            speed = v[row, j]
            heading = torch.sign(speed)
            energy = speed.square() / variance[j]
            gain = torch.where(heading == likely[j], 2.0, -2.0) * height[j]
            passes = energy + gain > 0
            turned = torch.where(
                passes, heading * ((energy + gain).clamp(min=0) * variance[j]).sqrt(), -speed
            )
            side = torch.where(passes, heading, -heading)
            v = torch.where(met[:, None], v + (turned - speed)[:, None] * normal[j], v)
            g[row[met], j[met]] = (side * edge[j])[met]

    g = likely * torch.rand(chains, len(lower), dtype=lower.dtype, generator=generator).clamp(
        min=1e-3
    )
    norm = torch.linalg.solve_triangular(lower, g.T, upper=False).norm(dim=0)
    g = g * (len(lower) ** 0.5 / norm)[:, None]
    for _ in bar(range(_BURN_IN), description="burn-in", unit="trajectory"):
        g = trajectory(g)
    out = []
    for _ in bar(range(draws), description="latent field at the sensors", unit="draw"):
        g = trajectory(g)
        out.append(g)
    return torch.stack(out, dim=1)

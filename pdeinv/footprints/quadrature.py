"""Quadrature of waves over discs and segments, with as many points as their error requires."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.special import j0, j1, jv

__all__ = ["QUADRATURE_ERROR", "disc_rule", "line_rule"]

QUADRATURE_ERROR = 1e-6
"""Largest error of the mean of a wave by `disc_rule` and `line_rule`, relative to its amplitude."""

_ENOUGH = 10_000  # points in one direction
_PHASES = np.linspace(0.02, 1, 50)  # shares of the largest phase at which a rule is tested


@lru_cache(maxsize=256)
def line_rule(phase: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (w,) from 0 to 1 and weights (w,) of the mean along a segment: Gauss–Legendre.

    Of a wave exp(i k s) along a segment of length L the mean about its middle is sin(q)/q with
    q = k L/2. The error is at most `QUADRATURE_ERROR` for each q up to `phase`.
    """
    q = phase * _PHASES
    exact = np.sinc(q / np.pi)
    for n in range(max(4, int(phase / 2)), _ENOUGH):
        s, share = np.polynomial.legendre.leggauss(n)
        if np.abs(np.cos(np.outer(q, s)) @ share / 2 - exact).max() <= QUADRATURE_ERROR / 2:
            break
    return torch.as_tensor((s + 1) / 2), torch.as_tensor(share / 2)


@lru_cache(maxsize=256)
def disc_rule(phase: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (w, 2) in the unit disc and weights (w,) of the mean over it: equal angles on
    rings, whose squared radii are Gauss–Legendre points.

    Of a wave exp(i k.x) over a disc of radius r the mean about its centre is 2 J1(q)/q with
    q = |k| r. The error is at most `QUADRATURE_ERROR` for each q up to `phase`.

    Reference:
        Abramowitz & Stegun, *Handbook of Mathematical Functions*, 25.4.61 (products on circles).
    """
    q = phase * _PHASES
    exact = 2 * j1(q) / q
    for rings in range(max(2, int(phase / 4)), _ENOUGH):
        s, share = np.polynomial.legendre.leggauss(rings)
        radius = np.sqrt((s + 1) / 2)
        if np.abs(j0(np.outer(q, radius)) @ share / 2 - exact).max() <= QUADRATURE_ERROR / 4:
            break
    # Angles alias the waves J_n, J_2n, ..., each far smaller than the one before
    angles = max(8, 2 * math.ceil(phase / 2))
    while 4 * abs(jv(angles, phase)) > QUADRATURE_ERROR / 4:
        angles += 2
    theta = 2 * np.pi * (np.arange(angles) + 0.5 * (np.arange(rings) % 2)[:, None]) / angles
    unit = radius[:, None, None] * np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    weight = np.repeat(share / (2 * angles), angles)
    return torch.as_tensor(unit.reshape(-1, 2)), torch.as_tensor(weight)

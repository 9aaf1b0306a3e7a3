"""The change of a decaying mode over any time, as a polynomial of one implicit step.

A mode with the rate λ and the inflow r changes in the time t by t φ(λt) r, φ(z) = (1 - e⁻ᶻ) / z. An
implicit Euler step of the length γt multiplies it by w = 1 / (1 + γz). As a function of w in [0, 1]
φ / (γw) is smooth, between 1 for λ = ∞ and 1/γ for λ = 0. It is interpolated at both ends and in
between, so that a steady state and the growth of a mode without decay are exact. Such rational
functions with one real pole converge geometrically: see Saff, Schönhage and Varga, *Geometric
convergence to e⁻ᶻ by rational functions with real poles*, Numer. Math. 25 (1975).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

__all__ = ["LEAST_ERROR", "StepRule", "step_rule"]

LEAST_ERROR = 1e-10
"""The least error for which there is a rule; below it rounding counts."""

_POLES = np.linspace(0.6, 2.0, 36)  # γ times the number of steps, as tried
_CHECKED = (1 - np.cos(np.linspace(1e-4, np.pi, 2000))) / 2  # w at which the error is found


@dataclass(frozen=True)
class StepRule:
    """A polynomial of implicit Euler steps.

    Arguments:
        pole: γ, length of the implicit steps over the time that they cover.
        weights: c_0, ..., c_(s-1), of s implicit steps: φ ≈ γw Σ c_j T_j(2w - 1), with Chebyshev's
            polynomials T_j.
        error: the largest relative error of φ for any z >= 0.
    """

    pole: float
    weights: tuple[float, ...]
    error: float


@lru_cache(maxsize=16)
def step_rule(accuracy: float) -> StepRule:
    """Return the rule with the fewest steps whose relative error is at most `accuracy`."""
    steps = 1
    while True:
        steps += 1
        best = min((_rule(steps, share / steps) for share in _POLES), key=lambda rule: rule.error)
        if best.error <= max(accuracy, LEAST_ERROR):
            return best


def _rule(steps: int, pole: float) -> StepRule:
    """Return the rule of a number of steps and a pole."""
    nodes = -np.cos(np.pi * np.arange(steps) / (steps - 1))
    vandermonde = chebyshev.chebvander(nodes, steps - 1)
    weights = np.linalg.solve(vandermonde, _relative_change((1 + nodes) / 2, pole))
    found = chebyshev.chebval(2 * _CHECKED - 1, weights)
    error = np.abs(found / _relative_change(_CHECKED, pole) - 1).max()
    return StepRule(pole, tuple(weights.tolist()), float(error))


def _relative_change(w: np.ndarray, pole: float) -> np.ndarray:
    """Return φ / (γw) = (1 - e⁻ᶻ) / (1 - w) for w = 1 / (1 + γz)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (1 - w) / (pole * w)
        return np.where(w < 1, -np.expm1(-z) / (1 - w), 1 / pole)

"""Tests of uniform ranks, and what they say in one sentence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
import xarray as xr
from scipy.special import chdtr, chdtrc, ndtr, ndtri

__all__ = ["SIGNIFICANT", "Verdict", "judged", "p_values"]

SIGNIFICANT = 0.01
"""The p-value below which a calibration fails."""
_TESTS = ("shift", "scale", "shape")
_LEVEL = 0.9
_CLEAR = 2.0  # standard errors of a coverage from its probability


class Verdict(NamedTuple):
    """What a calibration says.

    Arguments:
        p_value: of all functionals together.
        sentence: in words.
    """

    p_value: float
    sentence: str


def p_values(uniform: np.ndarray) -> dict[str, np.ndarray]:
    """Return the p-values (k,) of three tests of each functional.

    Draws are independent, and so are the ranks of one functional: "shift" tests the mean of the
    normal scores of its randomised ranks, "scale" the mean of their squares, "shape" is that of
    Kolmogorov and Smirnov. All are exact for a truth that is one more posterior sample.

    Arguments:
        uniform: randomised ranks, (n, k), within (0, 1).

    References:
        Talts et al., *Validating Bayesian inference algorithms with simulation-based calibration*,
        arXiv 1804.06788, 2018. Berkowitz, *Testing density forecasts, with applications to risk
        management*, JBES 19(4), 2001 (normal scores).
    """
    scores, n = ndtri(uniform), len(uniform)
    squares = (scores**2).sum(axis=0)
    return {
        "shift": 2 * ndtr(-np.abs(scores.mean(axis=0)) * np.sqrt(n)),
        "scale": np.minimum(1.0, 2 * np.minimum(chdtr(n, squares), chdtrc(n, squares))),
        "shape": np.array([scipy.stats.kstest(column, "uniform").pvalue for column in uniform.T]),
    }


def judged(draws: xr.Dataset) -> tuple[np.ndarray, Verdict]:
    """Return the p-value of each functional, and the verdict.

    Each p-value is that of three tests, that of the verdict of all functionals, both by
    Bonferroni's inequality, which holds whatever the functionals share.

    Arguments:
        draws: as of `calibrate`.
    """
    uniform = draws["uniform"].values
    found = p_values(uniform)
    each = np.minimum(1.0, len(_TESTS) * np.minimum.reduce(list(found.values())))
    worst = int(each.argmin())
    p = float(min(1.0, len(each) * each[worst]))
    details = f"({len(uniform)} draws, p = {p:.2g})"
    if p >= SIGNIFICANT:
        held, _ = _held(draws, [str(name) for name in draws["quantity"].values])
        return each, Verdict(p, f"nothing speaks against the intervals: {held} {details}")
    owner, name = str(draws["of"].values[worst]), str(draws["functional"].values[worst])
    held, off = _held(draws, [owner])
    test = min(_TESTS, key=lambda one: found[one][worst])
    if abs(off) > _CLEAR or test == "scale":
        what = f"the intervals are too {'narrow' if off < 0 else 'wide'}"
    elif test == "shift":
        low = ndtri(uniform[:, worst]).mean() > 0
        what = f"the samples are too {'low' if low else 'high'}"
    else:
        what = "the samples have another distribution than the truths"
    sign = "" if name == owner else f"; the clearest sign is the {name}"
    return each, Verdict(p, f"{what}: {held}{sign} {details}")


def _held(draws: xr.Dataset, quantities: list[str]) -> tuple[str, float]:
    """Return in words how often the intervals of quantities hold the truth, and how many standard
    errors that is above its probability."""
    each = draws["coverage"].sel(quantity=quantities, level=_LEVEL).mean("quantity").values
    share, error = float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))
    of = f" of {quantities[0]}" if len(quantities) == 1 else ""
    words = f"{100 * _LEVEL:.0f} % intervals{of} hold the truth in {100 * share:.1f} ± "
    return f"{words}{100 * error:.1f} %", (share - _LEVEL) / max(error, 1e-9)

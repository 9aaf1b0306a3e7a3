"""What the reduced chi-squared of a result is evidence of."""

from __future__ import annotations

from scipy.special import gammaincinv

from pdeinv.solvers.base import MisfitTest

__all__ = ["MISFIT_TESTS", "MisfitWarning", "misfit_limits"]

MISFIT_TESTS: dict[MisfitTest, str] = {
    "two-sided": "two-sided chi-squared",
    "one-sided": "one-sided: this solver cannot tell overstated noise",
    "none": "none: the sampler's own mean is judged, which cannot tell overstated noise",
}
"""The kinds of `Solver.misfit`, in words."""
_FALSE_ALARM = 1e-4  # probability of each side under the model
_LARGE, _SMALL = 2.0, 0.7  # a reduced chi-squared between these is never worth a warning


class MisfitWarning(UserWarning):
    """The result does not fit the sensors within their noise, or fits them too closely.

    The message names the likely cause: the sensors, the PDE, the prior or the noise for most
    solvers, too few steps for a guided sampler.
    """


def misfit_limits(degrees_of_freedom: float) -> tuple[float, float]:
    """Return the reduced chi-squared below which, and above which, it is far from 1.

    Arguments:
        degrees_of_freedom: of the chi-squared; below a half, none is too small.
    """
    k = max(degrees_of_freedom, 1.0)
    low, high = 2 * gammaincinv(k / 2, [_FALSE_ALARM, 1 - _FALSE_ALARM]) / k
    return min(_SMALL, float(low)) if degrees_of_freedom >= 0.5 else 0.0, max(_LARGE, float(high))

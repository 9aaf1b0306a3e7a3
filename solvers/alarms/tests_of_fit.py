"""The tests of one result: readings that do not fit the others, and all readings together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.special import chdtr, chdtrc

from pdeinv.leave_one_out import LeaveOneOut
from pdeinv.posterior import Posterior
from pdeinv.solvers.base import MisfitTest, Solver
from pdeinv.solvers.misfit import misfit_limits

__all__ = ["LEVEL", "Alarm", "alarm_of", "find_alarm"]

LEVEL = 0.05
"""Probability of an alarm under the model, by any of the tests of one result."""
_WIDE = 1e-4  # the same where a statistic is not distributed as stated


@dataclass(frozen=True)
class Alarm:
    """What the tests of one result found.

    Arguments:
        outliers: positions of the readings that do not fit the others, the worst first.
        misfit: "large" or "small" where all readings fit too badly or too closely; "" else.
        outlier_p_value: of the reading that fits the others worst, times the number of readings.
        misfit_p_value: two-sided, of the reduced chi-squared; nan where it is no chi-squared.
    """

    outliers: tuple[int, ...]
    misfit: str
    outlier_p_value: float
    misfit_p_value: float

    def __bool__(self) -> bool:
        return bool(self.outliers) or bool(self.misfit)


def find_alarm(solver: Solver, posterior: Posterior, m: int, level: float = LEVEL) -> Alarm:
    """Return what the tests of a result found.

    Half of the level is for the readings one by one, with Bonferroni's correction, and half for
    the chi-squared, half of that on each side. Where a solver's chi-squared is not distributed as
    stated (`Solver.misfit`), its limits are those of `misfit_limits`. Readings raise an alarm at a
    level of 1e-4 then, and where their predictions are from samples.

    Arguments:
        solver: the solver.
        posterior: its result.
        m: number of readings, the degrees of freedom where the record has none.
        level: probability of an alarm under the model, where the statistics are as stated.
    """
    chi2 = float(posterior.record["reduced_chi_squared"])
    freedom = float(posterior.record.get("degrees_of_freedom", m))
    return alarm_of(solver.misfit, posterior.leave_one_out, chi2, freedom, level)


def alarm_of(
    test: MisfitTest,
    found: LeaveOneOut | None,
    chi2: float,
    freedom: float,
    level: float = LEVEL,
) -> Alarm:
    """Return what the tests of statistics found, as `find_alarm`.

    Arguments:
        test: what the chi-squared is evidence of, see `Solver.misfit`.
        found: predictions of the readings; None without any.
        chi2, freedom: the reduced chi-squared and its degrees of freedom.
        level: as of `find_alarm`.
    """
    stated = test == "two-sided"
    exact = stated and found is not None and found.exact
    outliers, outlier_p = _outliers(found, level / 2 if exact else _WIDE)
    if not stated:
        large = chi2 > misfit_limits(freedom)[1]
        return Alarm(outliers, "large" if large else "", outlier_p, float("nan"))
    k = max(freedom, 1.0)
    above = float(chdtrc(k, chi2 * k))
    below = float(chdtr(k, chi2 * k)) if freedom >= 0.5 else 1.0
    misfit = "large" if above < level / 4 else "small" if below < level / 4 else ""
    return Alarm(outliers, misfit, outlier_p, min(1.0, 2 * min(above, below)))


def _outliers(found: LeaveOneOut | None, level: float) -> tuple[tuple[int, ...], float]:
    """Readings that do not fit the others, and the least p-value with Bonferroni's correction."""
    if found is None or not bool(found.p_value.isfinite().any()):
        return (), 1.0
    count = int(found.p_value.isfinite().sum())
    corrected = (count * torch.nan_to_num(found.p_value, nan=1.0)).clamp(max=1)
    order = torch.nan_to_num(found.residual.abs(), nan=0.0).argsort(descending=True)
    return tuple(order[corrected[order] < level].tolist()), float(corrected.min())

"""What the reduced chi-squared of a result is evidence of, and the warning far from 1."""

from __future__ import annotations

from scipy.stats import chi2 as chi_squared

from pdeinv.datasets.base import PDE
from pdeinv.errors import warn_caller
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.assumptions import prior_in_words
from pdeinv.solvers.base import MisfitTest, Solver

__all__ = ["MISFIT_TESTS", "MisfitWarning", "judge_misfit", "misfit_limits"]

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
    low, high = chi_squared.ppf([_FALSE_ALARM, 1 - _FALSE_ALARM], k) / k
    return min(_SMALL, float(low)) if degrees_of_freedom >= 0.5 else 0.0, max(_LARGE, float(high))


def judge_misfit(solver: Solver, posterior: Posterior, m: int, pde: PDE, prior: Prior) -> None:
    """Record as `misfit_test` what the reduced chi-squared is evidence of, and warn far from 1; and
    where a search has not `converged`.

    Arguments:
        solver: the solver.
        posterior: its result.
        m: number of readings, the degrees of freedom where the record has none.
        pde: the physics.
        prior: of the coefficient or of the state.
    """
    posterior.record["misfit_test"] = MISFIT_TESTS[solver.misfit]
    if posterior.record.get("converged") == 0:
        warn_caller(_stopped(solver, posterior, pde), UserWarning)
    chi2 = float(posterior.record["reduced_chi_squared"])
    low, high = misfit_limits(float(posterior.record.get("degrees_of_freedom", m)))
    if chi2 > high:
        message = _large(solver, pde, chi2)
    elif chi2 < low and solver.misfit == "two-sided":
        message = (
            f"the sensors fit {pde.name} too closely: reduced chi-squared is {chi2:.3g}, where "
            f"about 1 is expected; noise_std is overstated, or the prior is too rough or too "
            f"variable ({prior_in_words(pde, prior)}), so that the reported spread likely "
            f"overstates the error; reduce noise_std or change the prior"
        )
    else:
        return
    warn_caller(message, MisfitWarning)


def _stopped(solver: Solver, posterior: Posterior, pde: PDE) -> str:
    record, name = posterior.record, pde.fields[0].name
    return (
        f"the search of the {solver.name} solver for the most probable {name} must converge, and "
        f"ended after {record['iterations']} iterations at a final_gradient of "
        f"{float(record['final_gradient']):.2g}; in Python raise iterations of the solver, or add "
        f"readings of the {name}"
    )


def _large(solver: Solver, pde: PDE, chi2: float) -> str:
    if solver.misfit == "none":
        return (
            f"the {solver.name} solver has not met the readings: the reduced chi-squared of its "
            f"mean is {chi2:.3g}, where about 1 is expected; use more steps, or the solver 'auto' "
            f"to judge the sensors themselves"
        )
    own = f", or the {solver.name} solver has not met them" if solver.misfit_remedy else ""
    message = (
        f"the sensors do not fit {pde.name}{own}: reduced chi-squared is {chi2:.3g}, where "
        f"about 1 is expected; check units, the PDE's parameters and noise_std (readings "
        f"rounded to a few digits are not exact)"
    )
    return f"{message}; if these are right, {solver.misfit_remedy}" if own else message

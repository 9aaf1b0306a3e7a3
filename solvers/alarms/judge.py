"""The warning that a result gives where the readings do not fit, and what would mend them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdeinv.datasets.base import PDE
from pdeinv.errors import warn_caller
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.sensors import Sensors
from pdeinv.solvers.alarms.cause import Cause
from pdeinv.solvers.alarms.causes import find_causes, with_found_numbers
from pdeinv.solvers.alarms.of_numbers import outside_their_ranges
from pdeinv.solvers.alarms.tests_of_fit import Alarm, find_alarm
from pdeinv.solvers.assumptions import prior_in_words
from pdeinv.solvers.base import Solver
from pdeinv.solvers.misfit import MISFIT_TESTS, MisfitWarning

__all__ = ["judge_misfit"]

_CLOSE = 3.0  # in logarithms: how much less a second cause gains that is named too
_SHOWN = 5  # readings in a message


def judge_misfit(
    solver: Solver,
    posterior: Posterior,
    pde: PDE,
    prior: Prior,
    sensors: Sensors,
    observation: Observation,
    progress: bool = False,
) -> None:
    """Record as `misfit_test` what the reduced chi-squared is evidence of, as `alarm` whether the
    readings fit, and as `cause_settled` whether the search for the cause has come to its end. Warn
    where the readings do not fit, with the cause, where an inferred number is far outside its
    range, and where a search has not `converged`.

    Arguments:
        solver: the solver.
        posterior: its result.
        pde: the physics.
        prior: of the coefficient or of the state.
        sensors: the table, whose rows the message names.
        observation: its readings.
        progress: show that of the search for the cause.
    """
    posterior.record["misfit_test"] = MISFIT_TESTS[solver.misfit]
    posterior.record |= {"alarm": "none", "cause_settled": 1}
    if posterior.record.get("converged") == 0:
        warn_caller(_stopped(solver, posterior, pde), UserWarning)
    given = pde, prior, sensors, observation
    found = (
        _misfit(solver, posterior, *given, progress),
        outside_their_ranges(posterior, pde, prior, observation),
    )
    if message := "; ".join(filter(None, found)):
        posterior.record["alarm"] = message
        warn_caller(message, MisfitWarning)


def _misfit(
    solver: Solver,
    posterior: Posterior,
    pde: PDE,
    prior: Prior,
    sensors: Sensors,
    observation: Observation,
    progress: bool,
) -> str:
    """What the readings do not fit, and the cause; "" where they fit."""
    alarm = find_alarm(solver, posterior, len(observation))
    if not alarm:
        return ""
    causes: tuple[Cause, ...] = ()
    if solver.misfit != "none":
        given = with_found_numbers(pde, prior, observation, posterior)
        causes = find_causes(solver, *given, suspects=alarm.outliers, progress=progress)
    if causes:
        posterior.record["cause_settled"] = int(causes[0].settled)
    return _message(alarm, causes, solver, posterior, pde, prior, sensors)


def _message(
    alarm: Alarm,
    causes: Sequence[Cause],
    solver: Solver,
    posterior: Posterior,
    pde: PDE,
    prior: Prior,
    sensors: Sensors,
) -> str:
    chi2 = float(posterior.record["reduced_chi_squared"])
    if solver.misfit == "none":
        return (
            f"the {solver.name} solver has not met the readings: the reduced chi-squared of its "
            f"mean is {chi2:.3g}, where about 1 is expected; use more steps, or the solver 'auto' "
            f"to judge the sensors themselves"
        )
    named = [cause for cause in causes[:2] if cause.gain > causes[0].gain - _CLOSE]
    words = [_cause_in_words(cause, sensors) for cause in named]
    if alarm.outliers and not named:
        words.append(_outliers(alarm, posterior, sensors))
    if alarm.misfit == "small":
        return (
            f"the sensors fit {pde.name} too closely: reduced chi-squared is {chi2:.3g}, where "
            f"about 1 is expected; the reported spread likely overstates the error, since "
            f"{', or '.join(words) or _too_closely(pde, prior)}"
        )
    own = f", or the {solver.name} solver has not met them" if solver.misfit_remedy else ""
    remedy = f"; if these are right, {solver.misfit_remedy}" if own else ""
    if alarm.misfit:
        head = f"the sensors do not fit {pde.name}{own}: reduced chi-squared is {chi2:.3g}"
        head += ", where about 1 is expected"
    else:
        head, remedy = f"some sensors do not fit {pde.name}", ""
    return f"{head}; {', or '.join(words or [_GENERAL])}{remedy}"


def _too_closely(pde: PDE, prior: Prior) -> str:
    return (
        f"noise_std is overstated, or the prior is too rough or too variable "
        f"({prior_in_words(pde, prior)})"
    )


_FEW = 0.2  # share of the readings up to which these may be wrong alone
_GENERAL = (
    "check units, the PDE's parameters and noise_std (readings rounded to a few digits are not "
    "exact)"
)


def _cause_in_words(cause: Cause, sensors: Sensors) -> str:
    words = _rows(cause.predictions, sensors) if cause.kind == "readings" else cause.text
    return words if cause.settled else f"{words} (by a search that has not settled)"


def _outliers(alarm: Alarm, posterior: Posterior, sensors: Sensors) -> str:
    found = posterior.leave_one_out
    assert found is not None
    predictions = {i: (float(found.mean[i]), float(found.std[i])) for i in alarm.outliers}
    return _rows(predictions, sensors)


def _rows(predictions: Mapping[int, tuple[float, float]], sensors: Sensors) -> str:
    """Readings that do not fit the others, which predict other values."""
    count = len(predictions)
    rows = [_row(i, sensors, *prediction) for i, prediction in predictions.items()]
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    verb = "reading of {} does" if count == 1 else "readings of {} do"
    whole = f"{count} {verb.format(len(sensors))} not fit the others"
    alone = count <= _FEW * len(sensors)
    remedy = "check them, or leave them out" if alone else "check units and the PDE's parameters"
    return f"{whole}: {', '.join(rows[:_SHOWN])}{more}; {remedy}"


def _row(i: int, sensors: Sensors, predicted: float, std: float) -> str:
    row, table = int(sensors.rows[i]) + sensors.first_row, sensors.table
    return (
        f"row {row} ({table.field.iloc[i]} {table.value.iloc[i]:.4g}, the others predict "
        f"{predicted:.4g} ± {std:.2g})"
    )


def _stopped(solver: Solver, posterior: Posterior, pde: PDE) -> str:
    record, name = posterior.record, pde.fields[0].name
    return (
        f"the search of the {solver.name} solver for the most probable {name} must converge, and "
        f"ended after {record['iterations']} iterations at a final_gradient of "
        f"{float(record['final_gradient']):.2g}; in Python raise iterations of the solver, or add "
        f"readings of the {name}"
    )

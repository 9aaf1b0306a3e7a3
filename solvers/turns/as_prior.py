"""The posterior of a result as the prior of further readings."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Literal

import torch
import xarray as xr

import pdeinv.solvers as solvers
from pdeinv.checks import choice, described
from pdeinv.coefficients import CoefficientPrior, Conditioned
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, warn_caller
from pdeinv.priors.ensemble import Ensemble
from pdeinv.result import open_result
from pdeinv.solvers.assumptions import prior_in_words
from pdeinv.solvers.base import Solver
from pdeinv.solvers.turns.recorded import Turn
from pdeinv.solvers.turns.whitened import after_readings

__all__ = ["Kind", "as_prior", "problem_after"]

Kind = Literal["auto", "gaussian", "ensemble"]
_KINDS = ("auto", "gaussian", "ensemble")
_FEW = 100  # samples of which an ensemble holds few directions


def as_prior(
    result: xr.Dataset | str | os.PathLike,
    problem: Problem | None = None,
    kind: Kind = "auto",
) -> CoefficientPrior | Ensemble:
    """Return the posterior of a result as the prior of the coefficient for further readings.

    "gaussian" is exact for the `gaussian` solver: readings in turns give what all give at once. For
    `gauss-newton` it is the Gaussian law of the latent field with the readings linearised at the
    mode. "ensemble" is the result's samples, for any solver. "auto" is "gaussian" where the solver
    and the prior allow it, else "ensemble".

    Readings have their noise of the result, with the weights of `robust`. Readings that were held
    out have no part. Biases of instruments are integrated over: their instruments must not read
    again in a later turn, since each turn has biases of its own.

    Arguments:
        result: of `reconstruct`, or its file.
        problem: of the result, with its prior; None where the result states it.
        kind: "auto", "gaussian" or "ensemble".

    Returns:
        A prior for `reconstruct`, or for a `Problem`, of the domain of the result.

    Raises:
        InputError: the result has replicates, or does not state its problem; or kind is "gaussian"
            where it is not Gaussian. The message has the remedy.

    Example:
        >>> import pdeinv
        >>> first = {"field": "potential", "x": [0.3], "y": [0.4], "value": [0.002]}
        >>> more = {"field": "potential", "x": [0.7], "y": [0.6], "value": [0.001]}
        >>> earlier = pdeinv.reconstruct(first, "poisson", noise=1e-4, grid=16)
        >>> prior = pdeinv.as_prior(earlier)
        >>> later = pdeinv.reconstruct(more, "poisson", prior=prior, noise=1e-4, grid=16)
        >>> bool((later.potential_std <= earlier.potential_std + 1e-9).all())
        True
    """
    choice("kind", kind, _KINDS)
    result = _checked(result)
    turn = Turn.of(result)
    solver = _solver(turn)
    if kind == "ensemble" or (kind == "auto" and solver is None):
        return _ensemble(result)
    posed = _posed(result, turn, problem)
    _check_certain(posed)
    reason = _not_gaussian(result, solver, posed)
    if reason and kind == "auto":
        return _ensemble(result)
    if reason:
        raise InputError(f"kind must be 'ensemble' for {reason}, got 'gaussian'; change it")
    assert solver is not None
    return _gaussian(result, turn, solver, posed)


def problem_after(result: xr.Dataset | str | os.PathLike, kind: Kind = "auto") -> Problem:
    """Return the problem of a result with its posterior as the prior, for further readings.

    Arguments:
        result, kind: as of `as_prior`.

    Raises:
        InputError: as of `as_prior`, or the result does not state its problem.
    """
    result = _checked(result)
    stated = _stated(Turn.of(result))
    _check_certain(stated)
    return replace(stated, prior=as_prior(result, kind=kind))


def _checked(result: xr.Dataset | str | os.PathLike) -> xr.Dataset:
    """Return an opened result of one set of readings."""
    if isinstance(result, str | os.PathLike):
        result = open_result(result)
    made = isinstance(result, xr.Dataset) and {"solver", "solver_settings"} <= {*result.attrs}
    if not made or "sensor_value" not in result:
        raise InputError(
            f"a result must be one of pdeinv.reconstruct or its file, got {described(result)}; "
            f"give another"
        )
    if "replicate" in result.dims:
        raise InputError(
            f"a result that becomes a prior must be of one set of readings, got "
            f"{result.sizes['replicate']} replicates; reconstruct the readings of one of them"
        )
    return result


def _check_certain(problem: Problem) -> None:
    """Refuse uncertain sides and sources, whose posterior no prior of the coefficient holds."""
    if names := [one.field.name for one in problem.physics.uncertain]:
        raise InputError(
            f"the sides and the sources of a result that becomes a prior must be known, got an "
            f"uncertain {' and '.join(names)}; reconstruct all readings at once"
        )


def _solver(turn: Turn) -> Solver | None:
    """The solver of a turn, if it has the readings linearised."""
    known = solvers.SOLVERS.get(turn.solver)
    if known is None or known.linearised is Solver.linearised:
        return None
    return known(**turn.settings)


def _stated(turn: Turn) -> Problem:
    if not turn.problem:
        raise InputError(
            "the result must state its problem to become a Gaussian prior, got one that states "
            "none, since no file can hold it; give as_prior the problem=, or use kind='ensemble'"
        )
    return turn.stated_problem()


def _posed(result: xr.Dataset, turn: Turn, given: Problem | None) -> Problem:
    """The problem of a result, with its prior: that after earlier readings where there were
    some."""
    if given is None:
        problem = _stated(turn)
        for earlier in Turn.earlier(result):
            problem = replace(problem, prior=_replayed(earlier, problem))
        return problem
    if not isinstance(given, Problem):
        raise InputError(f"problem must be a Problem, got {described(given)}; give the result's")
    prior = prior_in_words(given.physics, given.prior)
    for name, mine in (("pde", given.physics.name), ("prior", prior)):
        if mine != result.attrs[name]:
            raise InputError(
                f"problem must be that of the result, got the {name} {mine!r} in place of "
                f"{result.attrs[name]!r}; give the problem with which it was reconstructed"
            )
    ny, nx = result.sizes["y"], result.sizes["x"]
    return replace(given, grid=given.physics.grid(ny, nx))


def _replayed(turn: Turn, so_far: Problem) -> Conditioned:
    """The prior after a turn, of which the prior so far is that of a problem."""
    prior = so_far.coefficient_prior
    turns = prior.turns if isinstance(prior, Conditioned) else ()
    posed = turn.stated_problem()
    if turns:
        posed = replace(posed, prior=prior)
    solver = _solver(turn)
    assert solver is not None
    return after_readings(solver, *turn.observed(posed), (*turns, turn.to_text()))


def _gaussian(result: xr.Dataset, turn: Turn, solver: Solver, posed: Problem) -> Conditioned:
    """The prior of a problem after the readings of a turn."""
    if "sensor_censored" in result and (result["sensor_censored"] != "").any():
        raise InputError(
            f"readings of a prior by linearised readings must not be censored, got "
            f"{int((result['sensor_censored'] != '').sum())} limits of detection; reconstruct "
            f"without them, or use kind='ensemble'"
        )
    earlier = posed.prior.turns if isinstance(posed.prior, Conditioned) else ()
    unstated = isinstance(posed.prior, Conditioned) and not earlier
    turns = (*earlier, turn.to_text()) if turn.problem and not unstated else ()
    return after_readings(solver, *turn.observed(posed), turns)


def _not_gaussian(result: xr.Dataset, solver: Solver | None, problem: Problem) -> str:
    """What keeps a result from being Gaussian, in words; empty where nothing does."""
    prior = problem.prior
    if solver is None:
        return f"the {result.attrs['solver']} solver, which does not linearise the readings"
    if not isinstance(prior, CoefficientPrior) or not prior.has_latent:
        return "a prior without a latent Gaussian field"
    if prior.phases is not None:
        return f"the {prior.name} prior, whose coefficients jump"
    names = result["parameter"].values.tolist() if "parameter" in result else []
    inferred = [name for name in names if not str(name).startswith("bias of ")]
    if inferred or problem.unknowns:
        return f"a result with inferred {', '.join(map(str, inferred))}"
    return ""


def _ensemble(result: xr.Dataset) -> Ensemble:
    """The samples of the coefficient, which is the first field."""
    samples = next(name for name in result.data_vars if str(name).endswith("_samples"))
    values = torch.from_numpy(result[samples].values.copy())
    if len(values) < _FEW:
        warn_caller(
            f"samples of a prior by an ensemble should be {_FEW} or more, got {len(values)}: "
            f"further readings change the field in {len(values) - 1} directions alone; "
            f"reconstruct with n_samples={_FEW}",
            UserWarning,
        )
    return Ensemble(values.nan_to_num()[:, None])

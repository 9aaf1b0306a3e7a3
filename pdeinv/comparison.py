"""Which of several models the same readings speak for: evidence, and predictive scores."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from pdeinv.checks import described
from pdeinv.errors import InputError, warn_input
from pdeinv.result import open_result

__all__ = ["compare", "in_words", "of_bounds"]

_OF_THE_MODEL = (
    *("noise_std", "bias_std", "weight"),
    *("predicted", "predicted_std", "p_value", "log_density"),
)
"""Columns of the sensors that a model states or infers; the others are the readings."""
_GRADES = ((3.0, "hardly worth a mention"), (20.0, "positive"), (150.0, "strong"))
"""Bayes factors below which the evidence against a model has a grade."""
_STRONGEST = "very strong"
_CLEAR, _ERRORS = 20.0, 2.0  # Bayes factor and standard errors of a score that prefer one clearly


def compare(*results: xr.Dataset | str | os.PathLike) -> pd.DataFrame:
    """Compare results of the same readings by what the readings say about their models.

    Two independent measures are given, where the solvers have them. The *evidence* is the
    density of all readings under the model, over its unknown numbers. The *score* is the sum of
    the logarithms of the densities of the readings, each predicted from the others. It depends
    less on the ranges of unknown numbers. A warning names two results of which the evidence prefers
    one by a factor of 20, and the score the other by two standard errors.

    Arguments:
        results: two or more of `pdeinv.reconstruct`, or their files.

    Returns:
        A table with a row for each result, of its file or its number, the most probable first. Its
        columns are
            - `solver`;
            - `log_evidence`, and `bayes_factor`, by which the readings are more probable under the
              first model;
            - `against`: what that is evidence of, in words, by the scale of Kass & Raftery;
            - `bound`: whether the evidence is a bound from below, as with `robust`;
            - `score`, the leave-one-out log predictive density of the readings that all results
              predict, with `score_difference`, that less the score of the first model, and
              `score_error`, its standard error.

    Raises:
        InputError: there are fewer than two, one cannot be read, or they are of different readings.

    Reference:
        Kass & Raftery, *Bayes factors*, Journal of the American Statistical Association 90, 1995,
        section 3.2; Vehtari, Gelman & Gabry, *Practical Bayesian model evaluation using
        leave-one-out cross-validation*, Statistics and Computing 27, 2017, equation 24.

    Example:
        >>> import pdeinv
        >>> table = {"field": "potential", "x": [0.3, 0.6], "y": 0.4, "value": [0.002, 0.001]}
        >>> priors = [pdeinv.SpectralField(tau=tau) for tau in (3.0, 8.0)]
        >>> both = [
        ...     pdeinv.reconstruct(table, "poisson", prior=prior, noise=1e-4, grid=16)
        ...     for prior in priors
        ... ]
        >>> pdeinv.compare(*both).index.name
        'result'
    """
    if len(results) < 2:
        raise InputError(
            f"results to compare must be two or more, got {len(results)}; give more of them"
        )
    _check_readings(opened := _named(results))
    densities = _densities(opened)
    rows = {name: _row(opened[name], each) for name, each in densities.items()}
    _warn_missing(rows, opened)
    table = pd.DataFrame(rows).T.rename_axis("result")
    measure = "log_evidence" if table["log_evidence"].notna().any() else "score"
    table = table.astype({"log_evidence": float, "score": float})
    table = table.sort_values(measure, ascending=False, kind="stable")
    factors = np.exp(np.minimum(table["log_evidence"].max() - table["log_evidence"], 700.0))
    table.insert(2, "bayes_factor", factors)
    table.insert(3, "against", [in_words(factor) for factor in factors])
    table.insert(4, "bound", [_is_bound(opened[name]) for name in table.index])
    return _checked(table.join(_differences(densities, table.index)))


def of_bounds(table: pd.DataFrame) -> str:
    """Return what the bounds from below among the evidences of a table of `compare` mean for it, in
    sentences; "" without any."""
    given = table["log_evidence"].notna()
    bounds = table.index[table["bound"] & given]
    if not len(bounds):
        return ""
    first, several = bounds[0] == table.index[0], len(bounds) > 1
    if len(bounds) == given.sum():
        meaning = "the Bayes factor of two of them may be too large or too small"
    elif first and not several:
        meaning = "the evidence against the others is at least as strong as stated"
    else:
        against = f" against {', '.join(bounds[int(first) :])}"
        meaning = f"the evidence{against} may be weaker than stated, or be evidence for it"
    return (
        f"The log evidence of {', '.join(bounds)} bounds that with Student-t noise from below, by "
        f"a variational method. The evidence itself may exceed it: {meaning}."
    )


def in_words(factor: float) -> str:
    """Return the grade of evidence against a model by a Bayes factor, "" without one.

    Arguments:
        factor: by which the readings are more probable under another model, 1 or more.
    """
    if math.isnan(factor) or factor == 1:
        return ""
    return next((grade for most, grade in _GRADES if factor < most), _STRONGEST)


def _named(results: tuple[xr.Dataset | str | os.PathLike, ...]) -> dict[str, xr.Dataset]:
    """Return the results by their names: of their files, or their numbers from 1."""
    found: dict[str, xr.Dataset] = {}
    for i, given in enumerate(results, 1):
        if isinstance(given, xr.Dataset):
            name, result = str(i), given
        elif isinstance(given, str | os.PathLike):
            name, result = str(given), open_result(given)
        else:
            raise InputError(
                f"a result must be a Dataset or its file, got {described(given)}; give what "
                f"pdeinv.reconstruct returned"
            )
        if "sensor" not in result.dims or "sensor_value" not in result:
            raise InputError(
                f"result {name} must be one of pdeinv.reconstruct, got one without sensors; give "
                f"another"
            )
        found[name if name not in found else f"{name} ({i})"] = result
    return found


def _check_readings(results: Mapping[str, xr.Dataset]) -> None:
    """Refuse results of different readings."""
    first, *others = results
    for name in others:
        ours, theirs = (results[one] for one in (first, name))
        counts = (ours.sizes["sensor"], theirs.sizes["sensor"])
        remedy = "reconstruct both from one table"
        if counts[0] != counts[1]:
            raise InputError(
                f"results must be of the same readings to be compared, got {counts[0]} of them in "
                f"{first} and {counts[1]} in {name}; {remedy}"
            )
        for column in _readings_of(ours) & _readings_of(theirs):
            a, b = (one[column].values for one in (ours, theirs))
            numbers = a.dtype.kind == b.dtype.kind == "f"
            differ = ~np.isclose(a, b, 1e-9, 0, equal_nan=True) if numbers else a != b
            if np.any(differ):
                i = int(np.flatnonzero(differ)[0])
                raise InputError(
                    f"results must be of the same readings to be compared, got the "
                    f"{column.removeprefix('sensor_')} {a[i]} in {first} and {b[i]} in {name} for "
                    f"sensor={i}; {remedy}"
                )


def _readings_of(result: xr.Dataset) -> set[str]:
    found = {str(name) for name in result.data_vars if str(name).startswith("sensor_")}
    return found - {f"sensor_{name}" for name in _OF_THE_MODEL}


def _is_bound(result: xr.Dataset) -> bool:
    """Whether the evidence of a result is a variational bound: that of weighted readings."""
    return "sensor_weight" in result


def _row(result: xr.Dataset, densities: np.ndarray) -> dict[str, object]:
    # Of a result with replicates the evidence is a variable
    given = result.attrs.get("log_evidence", result.get("log_evidence"))
    return {
        "solver": str(result.attrs.get("solver", "")),
        "log_evidence": np.nan if given is None else float(np.sum(given)),
        "score": float(densities.sum()) if densities.size else np.nan,
    }


def _densities(results: Mapping[str, xr.Dataset]) -> dict[str, np.ndarray]:
    """Return the logarithms of the leave-one-out densities of each result, of the readings that
    have one in all results that have any, such as all but censored ones; nan without any."""
    found = {}
    for name, result in results.items():
        nothing = np.full(result.sizes["sensor"], np.nan)
        given = result["sensor_log_density"].values if "sensor_log_density" in result else nothing
        found[name] = np.asarray(given, dtype=float)
    able = [each for each in found.values() if np.isfinite(each).any()]
    shared = np.all([np.isfinite(each) for each in able], axis=0)
    if 0 < np.sum(shared) < np.size(shared):
        warn_input(
            f"the scores are of {np.sum(shared)} of {np.size(shared)} readings: the others, such "
            f"as censored ones, are not predicted in all results"
        )
    return {name: each[..., shared] for name, each in found.items()} if np.any(shared) else found


def _warn_missing(
    rows: Mapping[str, Mapping[str, object]], results: Mapping[str, xr.Dataset]
) -> None:
    for measure, what in (("log_evidence", "log evidence"), ("score", "leave-one-out score")):
        lacking = [name for name, row in rows.items() if np.isnan(row[measure])]  # type: ignore
        if lacking:
            named = ", ".join(f"{name} ({rows[name]['solver']})" for name in lacking)
            warn_input(
                f"{named} has no {what}, so the table lacks it; reconstruct with a solver that has "
                f"one, such as gaussian or gauss-newton"
            )
    if all(np.isnan([row["log_evidence"], row["score"]]).all() for row in rows.values()):  # type: ignore
        raise InputError(
            f"results must have an evidence or leave-one-out predictions to be compared, got none "
            f"in {', '.join(results)}; reconstruct with gaussian or gauss-newton"
        )


def _differences(densities: Mapping[str, np.ndarray], order: pd.Index) -> pd.DataFrame:
    """Return the scores less that of the first row, and their standard errors."""
    best = densities[order[0]]
    rows = []
    for name in order:
        each = densities[name] - best
        error = math.sqrt(len(each)) * each.std(ddof=1) if len(each) > 1 else np.nan
        rows.append((each.sum(), error))
    return pd.DataFrame(rows, order, ["score_difference", "score_error"])


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table, and warn where evidence and score clearly prefer different results."""
    clear = (table["bayes_factor"] >= _CLEAR) & (
        table["score_difference"] > _ERRORS * table["score_error"]
    )
    if clear.any():
        name = table["score"][clear].idxmax()
        other = table.loc[name]
        warn_input(
            f"the evidence and the score must prefer the same result, got {table.index[0]} by a "
            f"Bayes factor of {other.bayes_factor:.3g} and {name} by a score that is "
            f"{other.score_difference:.3g} ± {other.score_error:.2g} above; check the ranges of "
            f"unknown numbers, on which the evidence depends, and the sensors that fit badly"
        )
    return table

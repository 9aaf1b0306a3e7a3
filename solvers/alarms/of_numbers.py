"""Inferred numbers that contradict the ranges that were stated of them."""

from __future__ import annotations

from statistics import NormalDist

from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.parameter_columns import ranges_of

__all__ = ["outside_their_ranges"]

_TAILS = 0.0027
"""Probability, by the laws of the numbers, that any of them is as far out as one that is named: for
a single number beyond three standard deviations."""


def outside_their_ranges(
    posterior: Posterior, pde: PDE, prior: Prior, observation: Observation
) -> str:
    """Return a sentence about the inferred numbers that are far in the tails of their laws; ""
    without any.

    Numbers that are free absorb a wrong unit of the readings, so that all of these fit. A number is
    judged by the middle of its posterior, as a standard normal one a priori. Where the truths have
    the stated laws, this middle varies less than the truth does.

    Arguments:
        posterior: with the numbers that were inferred.
        pde, prior, observation: with the unknown ones.
    """
    found = posterior.parameters
    if found is None:
        return ""
    scale = posterior.record.get("readings_scale")
    ranges = ranges_of(Problem.of(pde, prior), observation, None if scale is None else float(scale))
    judged = [
        one
        for one in zip(found.names, found.mean.tolist(), *found.interval, strict=True)
        if one[0] in ranges and not ranges[one[0]].of
    ]
    limit = NormalDist().inv_cdf(1 - _TAILS / 2 / max(1, len(judged)))
    words = []
    for name, mean, low, high in judged:
        stated = ranges[name]
        # The low end of a positive number may be that of a normal one
        ends = (mean, mean) if stated.law.startswith("log") and low <= 0 else (low, high)
        middle = sum(stated.white(float(end)) for end in ends) / 2
        if abs(middle) > limit:
            side = "above" if middle > 0 else "below"
            words.append(
                f"the inferred {name} of {mean:.3g} is far {side} its usual range of "
                f"{stated.low:.3g} to {stated.high:.3g}"
            )
    return f"{' and '.join(words)}; check units, or widen the range" if words else ""

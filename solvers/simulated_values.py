"""The values of the phases of a medium, from simulated readings of media whose values are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import NumericalError, warn_caller
from pdeinv.observation import Observation
from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.phase_readings import Peak, linearise_phases
from pdeinv.solvers.phase_values import PhaseValues, as_arguments
from pdeinv.solvers.signs import Signs
from pdeinv.solvers.unstable import check_range, solved_or_infinite

__all__ = ["FITTED", "SIMULATIONS", "Fit", "World", "infer_values", "normal_given"]

SIMULATIONS = 40
"""Media of known values, solved together."""
_FITS, _FITS_OF_READINGS = 2, 8  # of each simulation, and of the readings
FITTED = _FITS * SIMULATIONS + _FITS_OF_READINGS
"""Fields that are fitted together, at most."""
_WIDENED = 2.0  # deviation of the simulated values, in those of the stand-in's evidence
_FAR = 2.0  # of these deviations, from the middle of the simulations to the values found
_ROUNDS = 2
_TRIES = 20  # draws of values, of which some have low above high
_LEVERAGES = 4  # of the mean, each found with the one before
_TOGETHER = 16  # media that are solved at a time
_NUGGET = 1e-9  # of a covariance, relative to its largest variance
_LEAST = 1e-6  # such a variance: estimates by readings without information are all the same


class World(NamedTuple):
    """A problem of which only values of phases are unknown, with its share of the probability of
    all.

    Arguments:
        problem: the problem.
        observation: the readings with its noise.
        weight: the share.
    """

    problem: Problem
    observation: Observation
    weight: float = 1.0


Fit = Callable[[PhaseValues, torch.Tensor], torch.Tensor]
"""Returns the numbers (k, size) of values of fields that are fitted to readings, of which (k, m)
are added to those of the solution."""


def infer_values(
    forward: LatentMap,
    values: PhaseValues,
    worlds: Sequence[World],
    fit: Fit,
    generator: torch.Generator | None,
    bar: ProgressBar,
) -> PhaseValues:
    """Return the values given the readings of the solution.

    Two estimates are made of the readings: the most probable values of the stand-in
    (`PhaseReadings`), and those of fields that are fitted with their values. Both err: the stand-in
    is Gaussian, and fitted values have too much contrast, since that lets a field meet the readings
    with a smaller change. So the same estimates are made of simulated readings, of media of known
    values. They are taken as normal about a linear function of the numbers of the values. Its
    coefficients and the covariance are those of the simulations, with an allowance for their
    number. Where a solve of the simulations fails, a warning is given, and the law is the one from
    which the media were drawn: that of the stand-in in the first round.

    Arguments:
        forward: the map to the readings, with the prior of the fits.
        values: with the law that the readings of the coefficient leave.
        worlds: of which each simulation is one: they state what the other unknown numbers may be.
        fit: makes the second estimate.
        generator: of random numbers.
        bar: shows progress.

    Raises:
        NumericalError: the stand-in cannot be solved.

    Reference:
        Wood, *Statistical inference for noisy nonlinear ecological dynamic systems*, Nature 466,
        2010 (synthetic likelihood); Price, Drovandi, Lee & Nott, *Bayesian synthetic likelihood*,
        J. Comput. Graph. Stat. 27, 2018.
    """
    observation = forward.observation
    seen = forward.observing(observation.subset(observation.channel >= 1))
    most_probable = partial(_most_probable, seen, values)
    law = stand_in = most_probable(torch.zeros_like(seen.observation.values))
    for _ in range(_ROUNDS):
        centre, root = law.z, _WIDENED * law.root
        tried = values.narrowed(centre, root)
        try:
            z, added = _simulated(tried, worlds, generator)
            nothing = added.new_zeros(_FITS_OF_READINGS, added.shape[1])
            fits = fit(tried, torch.cat([nothing, added.repeat_interleave(_FITS, dim=0)]))
            shown = bar(added, description="values of the phases", unit="simulation")
            stand_ins = torch.stack([most_probable(one).z for one in shown])
        except NumericalError as error:
            _warn_failed(error)
            break
        fitted = centre + fits @ root.T
        own = torch.cat([stand_in.z, fitted[:_FITS_OF_READINGS].mean(dim=0)])
        means = fitted[_FITS_OF_READINGS:].unflatten(0, (-1, _FITS)).mean(dim=1)
        law = normal_given(centre + z @ root.T, torch.cat([stand_ins, means], dim=1), own)
        if float(torch.linalg.solve(root, law.z - centre).norm()) <= _FAR:
            break
    return values.narrowed(law.z, law.root)


def _warn_failed(error: NumericalError) -> None:
    warn_caller(
        f"the law of the values of the phases must be found by simulations, and is a rougher one "
        f"without them, since {error}",
        UserWarning,
    )


def normal_given(z: torch.Tensor, estimates: torch.Tensor, own: torch.Tensor) -> Peak:
    """Return the posterior of standard normal numbers given estimates of them, that are normal
    about a linear function of the numbers, as in simulations.

    Arguments:
        z: the numbers of the simulations, (k, size).
        estimates: those of the simulations, (k, q).
        own: those of the readings, (q,).
    """
    k, q = estimates.shape
    terms = torch.cat([torch.ones(k, 1, dtype=torch.float64, device=z.device), z], dim=1)
    coefficients = torch.linalg.lstsq(terms, estimates).solution
    residual = estimates - terms @ coefficients
    freedom = k - terms.shape[1]
    covariance = residual.T @ residual / freedom
    # The inverse of a covariance of few draws is too large, and the coefficients are uncertain
    covariance = covariance * freedom / (freedom - q - 1)
    nugget = _NUGGET * covariance.diagonal().max().clamp(min=_LEAST).expand(q)
    slope = torch.cholesky_solve(coefficients[1:].T, cholesky_with_nugget(covariance, nugget))
    eye = torch.eye(z.shape[1], dtype=torch.float64, device=z.device)
    leverage = terms.shape[1] / k  # on average
    for _ in range(_LEVERAGES):
        precision = coefficients[1:] @ slope / (1 + leverage) + eye
        mean = torch.linalg.solve(precision, slope.T @ (own - coefficients[0]) / (1 + leverage))
        at = torch.cat([torch.ones(1, dtype=torch.float64, device=z.device), mean])
        leverage = float(at @ torch.linalg.pinv(terms.T @ terms) @ at)
    variances, axes = torch.linalg.eigh(precision)
    return Peak(mean, axes * variances.rsqrt())


def _most_probable(seen: LatentMap, values: PhaseValues, added: torch.Tensor) -> Peak:
    """The most probable values of the stand-in for readings to which something is added, (m,)."""
    o = seen.observation
    changed = seen.observing(replace(o, values=o.values + added))
    return linearise_phases(changed, values).most_likely(seen.problem)


def _simulated(
    values: PhaseValues, worlds: Sequence[World], generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the numbers of values of simulated media, (k, size), and what their readings add to
    those of the solution, (k, m)."""
    z, rising = _rising(values, generator)
    ends = torch.tensor([world.weight for world in worlds], dtype=torch.float64).cumsum(0)
    parts = z.tensor_split((SIMULATIONS * ends / ends[-1]).round().long()[:-1])
    together = torch.cat(
        [
            _added(values, part, world, generator)
            for part, world in zip(parts, worlds, strict=True)
            if len(part)
        ]
    )
    solved = together.isfinite().all(dim=1) & rising
    if int(solved.sum()) < SIMULATIONS / 2:
        raise NumericalError(
            f"simulated media must have solutions and a low below their high, and "
            f"{int((~solved).sum())} of {SIMULATIONS} have not; give narrower ranges for low and "
            f"high"
        )
    return z[solved], together[solved]


def _rising(
    values: PhaseValues, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the numbers of values of media, (k, size), and whether low is below high in each;
    values that are not are drawn again, a few times."""
    z = torch.randn(SIMULATIONS, values.size, dtype=torch.float64, generator=generator)
    for tries in range(_TRIES + 1):
        low, high = values.at(z).unbind(dim=1)
        rising = low < high
        if bool(rising.all()) or tries == _TRIES:
            break
        again = int((~rising).sum()), values.size
        z[~rising] = torch.randn(*again, dtype=torch.float64, generator=generator)
    return z, rising


def _added(
    values: PhaseValues,
    z: torch.Tensor,
    world: World,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """Return what media of one world add to the readings of the solution, (k, m); infinite where
    they have no solution. The media agree with the readings of the coefficient."""
    problem, observation, _ = world
    known = problem.at(values.middle)
    xi, _ = Signs(known, observation).sample(len(z) + len(z) % 2, generator, _unseen)
    latent, seen = known.latent, observation.subset(observation.channel >= 1)
    g = latent.square_root(xi[: len(z)].unflatten(1, latent.shape), observation.grid)
    a = problem.coefficient(g, **as_arguments(values.at(z)))
    forward = LatentMap(known, seen)

    def solved(part: torch.Tensor) -> torch.Tensor:
        return forward(check_range(known.physics, part))

    readings = torch.cat(
        [solved_or_infinite(solved, part, seen.values.shape)[0] for part in a.split(_TOGETHER)]
    )
    own, biases = (
        torch.randn(len(z), size, dtype=torch.float64, generator=generator)
        for size in seen.shared.shape
    )
    return readings + seen.noise_std * own + biases @ seen.shared.T - seen.values


def _unseen(items: Iterable[Any], **_: Any) -> Iterable[Any]:
    """A bar of work that shows none."""
    return items

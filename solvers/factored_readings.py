"""The readings of a linear problem with the factor of their covariance, in the smaller space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.linear_algebra import (
    cholesky_with_nugget,
    gram_matrix,
    levels_of,
    nugget_variance,
    unit_vectors,
)
from pdeinv.solvers.prior_moments import Moments, prior_moments

__all__ = ["CHUNK", "FactoredReadings", "factored_readings", "in_draws"]

CHUNK = 64  # fields transformed at a time


class FactoredReadings(NamedTuple):
    """The readings of a linear problem, and the Cholesky factor of their covariance G.

    Arguments:
        forward: the map to them.
        moments: of the states a priori.
        rows: A = H T in the space of draws, else their images C Hᵀ, (m, numbers).
        of_draws: whether rows are in the space of draws.
        variances: the diagonal of H C Hᵀ, (m,).
        factor: the factor, (m, m).
    """

    forward: LatentMap
    moments: Moments
    rows: torch.Tensor
    of_draws: bool
    variances: torch.Tensor
    factor: torch.Tensor

    def states(self, rows: torch.Tensor, progress: bool = False) -> Iterator[torch.Tensor]:
        """Yield combinations (k, numbers) of rows as states (batch, channels, ny, nx)."""
        if not len(rows):  # transforms of nothing fail
            yield rows.new_empty(0, *self.moments.mean.shape)
        for part in _parts(rows, "sensors' covariances", progress and self.of_draws):
            if self.of_draws:
                yield _images(self.forward, part, self.moments.mean)
            else:
                yield part.reshape(-1, *self.moments.mean.shape)


def in_draws(problem: Problem, observation: Observation) -> bool:
    """Return whether a draw has so few numbers that products and triangular systems of draws cost
    less than triangular systems of states."""
    return 2 * problem.latent.size <= len(problem.physics.fields) * observation.grid.nodes


def factored_readings(
    pde: PDE, prior: Prior, observation: Observation, relative: float, progress: bool
) -> FactoredReadings:
    """Return the readings with their factor, in the space of draws or of states.

    Arguments:
        pde, prior: of a linear problem.
        observation: the readings.
        relative: the nugget, as of `nugget_variance`.
        progress: show a bar.
    """
    assert isinstance(prior, CoefficientPrior)
    problem = Problem(pde, prior.centred(levels_of(observation, channel=0)))
    forward = LatentMap(problem, observation)
    moments = prior_moments(problem, observation.grid, progress, observation.values.device)
    of_draws, parts = in_draws(problem, observation), _rows(forward, progress)
    if of_draws:
        rows = _stacked(parts, observation, problem.latent.size)
        gram = gram_matrix(rows)
    else:
        images = (_images(forward, part, moments.mean).flatten(1) for part in parts)
        rows = _stacked(images, observation, moments.mean.numel())
        gram = observation(rows.reshape(-1, *moments.mean.shape))
        gram = (gram + gram.T).div_(2)
    variances = gram.diagonal().clone()
    gram += observation.noise_covariance()
    lower = cholesky_with_nugget(gram, nugget_variance(variances, observation, relative))
    return FactoredReadings(forward, moments, rows, of_draws, variances, lower)


def _rows(forward: LatentMap, progress: bool) -> Iterator[torch.Tensor]:
    """Yield A = H T, row by row in batches (k, size of a draw)."""
    m, adjoint = len(forward.observation), forward.whitened_adjoint_at(forward.origin())
    indices = torch.arange(m, device=forward.observation.values.device)
    for part in _parts(indices, "sensors' covariances", progress):
        yield adjoint(unit_vectors(part, m)).flatten(1)


def _stacked(parts: Iterable[torch.Tensor], observation: Observation, numbers: int) -> torch.Tensor:
    """The parts (k, numbers) as one table, without a second copy of all."""
    rows, first = observation.values.new_empty(len(observation), numbers), 0
    for part in parts:
        rows[first : first + len(part)] = part
        first += len(part)
    return rows


def _images(forward: LatentMap, draws: torch.Tensor, prior_mean: torch.Tensor) -> torch.Tensor:
    """T of draws (k, size), as states."""
    shape = forward.problem.latent.shape
    return forward.linear_part(draws.reshape(-1, *shape), prior_mean[None])


def _parts(rows: torch.Tensor, what: str, progress: bool) -> Iterable[torch.Tensor]:
    parts = rows.split(CHUNK) if len(rows) else ()  # of no rows, torch makes one empty part
    return progress_bar(parts, what, progress, "batch")

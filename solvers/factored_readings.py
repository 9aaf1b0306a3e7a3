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

__all__ = ["CHUNK", "FactoredReadings", "factored_readings", "row_size"]

CHUNK = 64  # fields transformed at a time
_UNTOLD = 1e-4  # information of all readings on numbers of a draw that are left out


class FactoredReadings(NamedTuple):
    """The readings of a linear problem, and the Cholesky factor of their covariance G.

    Arguments:
        forward: the map to them.
        moments: of the states a priori.
        rows: A = H T in the space of draws, else their images C Hᵀ, (m, numbers).
        drawn: the numbers of a draw that rows have, (numbers,); None where rows are images.
        variances: the diagonal of H C Hᵀ, (m,).
        factor: the factor, (m, m).
    """

    forward: LatentMap
    moments: Moments
    rows: torch.Tensor
    drawn: torch.Tensor | None
    variances: torch.Tensor
    factor: torch.Tensor

    def states(self, rows: torch.Tensor, progress: bool = False) -> Iterator[torch.Tensor]:
        """Yield combinations (k, numbers) of rows as states (batch, channels, ny, nx)."""
        for part in _parts(rows, "sensors' covariances", progress and self.drawn is not None):
            if self.drawn is None:
                yield part.reshape(-1, *self.moments.mean.shape)
            else:
                draws = part.new_zeros(len(part), self.forward.problem.latent.size)
                draws[:, self.drawn] = part
                yield _images(self.forward, draws, self.moments.mean)


def row_size(problem: Problem, observation: Observation) -> int:
    """Return the most numbers of a row of `FactoredReadings`."""
    size, state = problem.latent.size, len(problem.physics.fields) * observation.grid.nodes
    return size if 2 * size <= state else state


def factored_readings(
    pde: PDE, prior: Prior, observation: Observation, relative: float, progress: bool
) -> FactoredReadings:
    """Return the readings with their factor.

    Products and triangular systems of draws cost less than triangular systems of states where a
    draw has few numbers. Those that all readings together tell nothing of are left out.

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
    state, size = moments.mean.numel(), problem.latent.size
    parts = _rows(forward, progress)
    drawn: torch.Tensor | None = None
    if size <= state and len(observation):
        kept = list(parts)
        told = _told(kept, observation, relative)
        drawn = told.nonzero()[:, 0] if 2 * int(told.sum()) <= state else None
        parts = (kept.pop(0) for _ in range(len(kept)))  # each is free once it is used
    if drawn is not None:
        rows = _stacked((part[:, drawn] for part in parts), observation, len(drawn))
        gram = gram_matrix(rows)
    else:
        images = (_images(forward, part, moments.mean).flatten(1) for part in parts)
        rows = _stacked(images, observation, state)
        gram = observation(rows.reshape(-1, *moments.mean.shape))
        gram = (gram + gram.T).div_(2)
    variances = gram.diagonal().clone()
    gram += observation.noise_covariance()
    lower = cholesky_with_nugget(gram, nugget_variance(variances, observation, relative))
    return FactoredReadings(forward, moments, rows, drawn, variances, lower)


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


def _told(parts: Iterable[torch.Tensor], observation: Observation, relative: float) -> torch.Tensor:
    """Which numbers of a draw the readings tell of, (size,).

    d_k = Σ A_ik² / R_ii is the information on a number, next to 1 of the prior. The covariance
    that the others add to the readings is less than their sum times R, for any vector.
    """
    variances = torch.cat([part.square().sum(dim=1) for part in parts])
    noise = observation.noise_std**2 + nugget_variance(variances, observation, relative)
    told = sum(
        (part.square() / some[:, None]).sum(dim=0)
        for part, some in zip(parts, noise.split(CHUNK), strict=True)
    )
    assert isinstance(told, torch.Tensor)
    least, order = told.sort()
    needed = torch.ones_like(told, dtype=torch.bool)
    needed[order[least.cumsum(dim=0) <= _UNTOLD]] = False
    return needed


def _images(forward: LatentMap, draws: torch.Tensor, prior_mean: torch.Tensor) -> torch.Tensor:
    """T of draws (k, size), as states."""
    shape = forward.problem.latent.shape
    return forward.linear_part(draws.reshape(-1, *shape), prior_mean[None])


def _parts(rows: torch.Tensor, what: str, progress: bool) -> Iterable[torch.Tensor]:
    parts = rows.split(CHUNK) if len(rows) else ()  # of no rows, torch makes one empty part
    return progress_bar(parts, what, progress, "batch")

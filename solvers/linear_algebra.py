"""Factorisations of the readings' covariance, and the nuggets that keep them well conditioned."""

from __future__ import annotations

import torch

from pdeinv.errors import NumericalError
from pdeinv.observation import Observation

__all__ = [
    "cholesky_with_nugget",
    "count_informative",
    "explained_variance",
    "nugget_variance",
    "unit_vectors",
]

_ATTEMPTS = 12
_COLUMNS = 512  # of a triangular system that are solved at a time
_CONSTANT = 1e-20  # variance of a reading relative to the largest, below which it cannot vary


def cholesky_with_nugget(gram: torch.Tensor, nugget: torch.Tensor) -> torch.Tensor:
    """Return the lower Cholesky factor (m, m) of gram + diag(nugget).

    The nugget grows tenfold until the matrix is positive definite.

    Arguments:
        gram: (m, m), positive semi-definite up to rounding.
        nugget: (m,), positive.

    Raises:
        NumericalError: the factorisation still fails with a nugget 10¹¹ times as large.
    """
    work = gram.clone()
    for _ in range(_ATTEMPTS):
        work.diagonal().copy_(gram.diagonal() + nugget)
        lower, info = torch.linalg.cholesky_ex(work)
        if int(info) == 0:
            return lower
        nugget = 10 * nugget
    raise NumericalError(
        "the sensors' covariance must be positive semi-definite, and its Cholesky factorisation "
        "failed; check the covariance of the prior"
    )


def explained_variance(factor: torch.Tensor, cross: torch.Tensor) -> torch.Tensor:
    """Return the variance that readings explain, |L⁻¹ c|² of each column c, (nodes,).

    Arguments:
        factor: L, the triangular Cholesky factor of the readings' covariance, (m, m).
        cross: covariance of the readings with the values at the nodes, (m, nodes).
    """
    return torch.cat(
        [
            torch.linalg.solve_triangular(factor, part, upper=False).square_().sum(dim=0)
            for part in cross.split(_COLUMNS, dim=1)
        ]
    )


def unit_vectors(chosen: torch.Tensor, size: int) -> torch.Tensor:
    """Return some rows of the identity matrix, (k, size), float64.

    Arguments:
        chosen: their indices, (k,).
        size: of the matrix.
    """
    unit = torch.zeros(len(chosen), size, dtype=torch.float64)
    unit[torch.arange(len(chosen)), chosen] = 1.0
    return unit


def nugget_variance(
    reading_variances: torch.Tensor, observation: Observation, relative: float
) -> torch.Tensor:
    """Return the variance to add to each reading, (m,).

    It is a share of the mean prior variance of the readings of the same field.

    Arguments:
        reading_variances: prior variances of the readings, (m,).
        observation: the sensors.
        relative: the share.
    """
    # For a field that is only seen where it cannot vary, any positive number does
    nugget = torch.ones_like(reading_variances)
    for channel in (0, 1):
        mine = observation.channel == channel
        if float(reading_variances[mine].sum()) > 0:
            nugget[mine] = relative * reading_variances[mine].mean()
    return nugget


def count_informative(reading_variances: torch.Tensor, observation: Observation) -> int:
    """Return the number of readings that can vary, at least 1.

    An exact sensor on a boundary with a fixed value cannot.

    Arguments:
        reading_variances: prior variances of the readings, (m,).
        observation: the sensors.
    """
    total = reading_variances + observation.noise_std**2
    return max(1, int((total > _CONSTANT * reading_variances.max()).sum()))

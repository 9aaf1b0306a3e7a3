"""Factorisations of the readings' covariance, and the nuggets that keep them well conditioned."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from pdeinv.errors import NumericalError
from pdeinv.observation import Observation

__all__ = [
    "carries_weight",
    "cholesky_with_nugget",
    "count_informative",
    "degrees_of_freedom",
    "explained_variance",
    "gram_matrix",
    "levels_of",
    "nugget_variance",
    "of_one_size",
    "reduced",
    "unit_vectors",
    "whiten_in_place",
]

_ATTEMPTS = 12
_ROWS = 128  # of a symmetric product that are computed at a time
_COLUMNS = 512  # of a triangular system that are solved at a time
_DROWNED = 1e3  # noise of a reading that carries no weight, in standard deviations of its field
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


def gram_matrix(rows: torch.Tensor) -> torch.Tensor:
    """Return rows rowsᵀ, (m, m), of rows (m, k); about half of the products are computed."""
    gram = rows.new_empty(len(rows), len(rows))
    for first in range(0, len(rows), _ROWS):
        some = slice(first, first + _ROWS)
        products = rows[some] @ rows[: first + _ROWS].T
        gram[some, : first + _ROWS] = products
        gram[:first, some] = products[:, :first].T
    return gram


def whiten_in_place(factor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Replace rows B (m, k) by L⁻¹ B, with the triangular factor L (m, m), and return them."""
    for part in rows.split(_COLUMNS, dim=1):
        part.copy_(torch.linalg.solve_triangular(factor, part, upper=False))
    return rows


def unit_vectors(chosen: torch.Tensor, size: int) -> torch.Tensor:
    """Return some rows of the identity matrix, (k, size), float64.

    Arguments:
        chosen: their indices, (k,).
        size: of the matrix.
    """
    unit = torch.zeros(len(chosen), size, dtype=torch.float64, device=chosen.device)
    unit[torch.arange(len(chosen), device=chosen.device), chosen] = 1.0
    return unit


def nugget_variance(
    reading_variances: torch.Tensor, observation: Observation, relative: float
) -> torch.Tensor:
    """Return the variance to add to each reading, (m,).

    It is a share of the mean prior variance of the readings of the same field, or of the noise
    where that is 0.

    Arguments:
        reading_variances: prior variances of the readings, (m,).
        observation: the sensors.
        relative: the share.
    """
    typical = _field_means(reading_variances, observation)
    # A field that is only seen where it cannot vary has no scale but its noise; without noise, any
    # positive number does
    noise = observation.noise_std**2
    given = torch.where(noise > 0, relative * noise, 1.0)
    return torch.where(typical > 0, relative * typical, given)


def of_one_size(observation: Observation) -> Iterator[torch.Tensor]:
    """Yield masks (m,) of readings of one field: its values and means, and apart from them its
    differences, which may be of another size."""
    for channel in observation.channel.unique():
        for size in (observation.of_field, ~observation.of_field):
            mine = size & (observation.channel == channel)
            if bool(mine.any()):
                yield mine


def levels_of(observation: Observation, channel: int) -> torch.Tensor:
    """Return the plain readings of values and means of a field, not those of its differences."""
    plain = observation.of_field & ~observation.below_or_above
    return observation.values[(observation.channel == channel) & plain]


def carries_weight(reading_variances: torch.Tensor, observation: Observation) -> torch.Tensor:
    """Return whether each reading carries weight, (m,).

    The noise of one that does not hides a thousandfold variation of its field: it is kept in the
    table, and states nothing. It has no part in a reduced chi-squared.

    Arguments:
        reading_variances: prior variances of the readings, (m,).
        observation: the sensors.
    """
    typical = _field_means(reading_variances, observation)
    return (typical == 0) | (observation.noise_std <= _DROWNED * typical.sqrt())


def reduced(terms: torch.Tensor, weighty: torch.Tensor) -> float:
    """Return the mean of the terms (m,) of a chi-squared over the readings that carry weight; 0
    where there are none."""
    return float(terms[weighty].mean()) if bool(weighty.any()) else 0.0


def degrees_of_freedom(
    lower: torch.Tensor, reading_variances: torch.Tensor, observation: Observation
) -> float:
    """Return the mean of rᵀ K⁻¹ r over residuals of the model, of readings that carry weight.

    K = G + R + N with N the nugget, which is no part of the model: the mean is m - tr(N K⁻¹). Exact
    readings at one place count once; one on a boundary with a fixed value does not count.

    Arguments:
        lower: Cholesky factor of K, (m, m).
        reading_variances: the diagonal of G, (m,).
        observation: the sensors, with R.
    """
    noise = observation.noise_variances()
    nugget = lower.square().sum(dim=1) - reading_variances - noise
    inverse = []  # the diagonal of K⁻¹; columns of L⁻¹ are zero above the diagonal
    for first in range(0, len(lower), _COLUMNS):
        left = len(lower) - first
        unit = torch.eye(left, min(left, _COLUMNS), dtype=lower.dtype, device=lower.device)
        columns = torch.linalg.solve_triangular(lower[first:, first:], unit, upper=False)
        inverse.append(columns.square_().sum(dim=0))
    counted = 1 - (nugget * torch.cat(inverse)).clamp(0, 1)
    return float(counted[carries_weight(reading_variances, observation)].sum())


def count_informative(reading_variances: torch.Tensor, observation: Observation) -> int:
    """Return the number of readings that can vary and carry weight, at least 1.

    An exact sensor on a boundary with a fixed value cannot vary.

    Arguments:
        reading_variances: prior variances of the readings, (m,).
        observation: the sensors.
    """
    total = reading_variances + observation.noise_std**2
    varying = total > _CONSTANT * reading_variances.max()
    return max(1, int((varying & carries_weight(reading_variances, observation)).sum()))


def _field_means(reading_variances: torch.Tensor, observation: Observation) -> torch.Tensor:
    """Return for each reading the mean variance of those of its field and size, (m,)."""
    means = torch.zeros_like(reading_variances)
    for mine in of_one_size(observation):
        means[mine] = reading_variances[mine].mean()
    return means

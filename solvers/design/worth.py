"""How much each present reading is worth: the rise of a variance without it."""

from __future__ import annotations

import torch

from pdeinv.observation import Observation
from pdeinv.solvers.design.laws import Law
from pdeinv.solvers.design.targets import Target

__all__ = ["importance_worth", "removal_worth"]

_CHUNK = 32
_RARE = 1e-300


def removal_worth(
    law: Law, known: torch.Tensor, lower: torch.Tensor, rows: torch.Tensor, target: Target
) -> torch.Tensor:
    """Return the relative rise of tr(W C) without each reading, (m,).

    With K the inverse of the readings' covariance, C without reading i has c cᵀ / K_ii more, c =
    T Aᵀ K e_i.

    Arguments:
        law, known: T and V.
        lower: Cholesky factor of K⁻¹, (m, m).
        rows: A, of the readings, (m, size).
        target: W.
    """
    inverse = torch.cholesky_inverse(lower)
    tables = inverse @ rows
    rises = torch.cat(
        [target.of(law.states(part, target.channel)) for part in tables.split(_CHUNK)]
    )
    return rises / inverse.diagonal() / max(target.total(law, known), _RARE)


def importance_worth(
    samples: torch.Tensor, observation: Observation, target: Target
) -> torch.Tensor:
    """Return the relative rise of tr(W C) without each reading, (m,), by weights of posterior
    draws: each is worth the inverse of the reading's likelihood more. It is nan for exact readings.

    Arguments:
        samples: (draws, channel, ny, nx).
        observation: the readings.
        target: W.
    """
    off = (observation(samples) - observation.values) / observation.noise_std.clamp(min=_RARE)
    logs = off.square() / 2
    weights = (logs - logs.amax(dim=0)).softmax(dim=0)  # (draws, m)
    now = target.of(samples - samples.mean(dim=0)).mean()
    found = []
    for weight in weights.T:
        mean = torch.tensordot(weight, samples, dims=1)
        found.append((weight * target.of(samples - mean)).sum() / now - 1)
    return torch.where(observation.noise_std > 0, torch.stack(found), torch.nan)

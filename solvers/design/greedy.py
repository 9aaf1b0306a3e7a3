"""The readings that reduce a variance most: one after the other, and then by exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pdeinv.observation import Observation
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.design.laws import Law
from pdeinv.solvers.design.targets import Target

__all__ = ["Beliefs", "Candidates", "choose"]

_CHUNK = 32  # candidates whose states are held at a time
_SWEEPS = 5  # of exchanges, at most
_BETTER = 1e-9  # relative gain of an exchange that counts


@dataclass(frozen=True)
class Candidates:
    """Readings that could be taken.

    Arguments:
        observation: of all of them; values do not count.
    """

    observation: Observation

    def __len__(self) -> int:
        return len(self.observation)

    def rows(self, law: Law, chosen: torch.Tensor) -> torch.Tensor:
        """Return H T of some of them, (k, size)."""
        return law.rows(self.observation.subset(chosen))

    @property
    def noise(self) -> torch.Tensor:
        """Variances of their noise, (n,)."""
        return self.observation.noise_std**2


@dataclass(frozen=True)
class Beliefs:
    """The covariance of states given readings, C = T (1 - Vᵀ V) Tᵀ, as far as a design needs it.

    Nothing of the grid's size squared is held. A reading h with noise σ² takes away C h hᵀ C / s,
    with s = hᵀ C h + σ².

    Arguments:
        law: T.
        known: V, (r, size).
        candidates: the readings that could be taken, h_j.
        target: W, whose tr(W C) is to become small.
        variance: hᵀ C h of each candidate, (n,).
        effect: hᵀ C W C h of each, (n,): what an exact reading takes from tr(W C), times
            `variance`.
        total: tr(W C).
    """

    law: Law
    known: torch.Tensor
    candidates: Candidates
    target: Target
    variance: torch.Tensor
    effect: torch.Tensor
    total: float

    @classmethod
    def of(
        cls,
        law: Law,
        known: torch.Tensor,
        candidates: Candidates,
        target: Target,
        progress: bool = False,
    ) -> Beliefs:
        """Return the beliefs with all sums computed; arguments as of the class."""
        variance, effect = torch.zeros(2, len(candidates), dtype=torch.float64, device=known.device)
        parts = torch.arange(len(candidates), device=known.device).split(_CHUNK)
        for chosen in progress_bar(parts, "candidates", progress, "batch"):
            rows = candidates.rows(law, chosen)
            left = rows - rows @ known.T @ known
            variance[chosen] = (rows * left).sum(dim=1)
            effect[chosen] = target.of(law.states(left, target.channel))
        empty = cls(law, known, candidates, target, variance, effect, 0.0)
        return replace(empty, total=target.total(law, known, progress))

    @property
    def gains(self) -> torch.Tensor:
        """What each candidate would take from tr(W C), (n,)."""
        return self.effect / (self.variance + self.candidates.noise).clamp(min=1e-300)

    def after(self, index: int) -> Beliefs:
        """Return the beliefs once a candidate has been read."""
        chosen = torch.tensor([index])
        row = self.candidates.rows(self.law, chosen)
        left = row - row @ self.known.T @ self.known
        size = float((row * left).sum() + self.candidates.noise[index])
        if not size > 0:
            return self
        state = self.law.states(left)  # C h
        covariance = self.candidates.observation(state)[0]
        weighed = self.target.rows(self.law, state)  # Tᵀ W C h
        ahead = self.law.states(weighed - weighed @ self.known.T @ self.known)
        mixed = self.candidates.observation(ahead)[0]  # h_jᵀ C W C h
        own = float(self.target.of(state))
        share = covariance / size
        return replace(
            self,
            known=torch.cat([self.known, left / size**0.5]),
            variance=(self.variance - share * covariance).clamp(min=0),
            effect=(self.effect - 2 * share * mixed + share.square() * own).clamp(min=0),
            total=self.total - own / size,
        )


def choose(beliefs: Beliefs, count: int, progress: bool = False) -> tuple[list[int], list[float]]:
    """Return the indices of the candidates to read, and tr(W C) after each.

    They are chosen one after the other. Then each is exchanged for the best other one, as long as
    that reduces tr(W C).

    Arguments:
        beliefs: before them.
        count: how many.
        progress: show a bar.
    """
    chosen: list[int] = []
    now = beliefs
    for _ in progress_bar(range(count), "readings", progress, "reading"):
        chosen.append(_best(now, chosen))
        now = now.after(chosen[-1])
    for _ in range(_SWEEPS if count > 1 else 0):
        changed = False
        for place in range(count):
            others = chosen[:place] + chosen[place + 1 :]
            without = _after(beliefs, others)
            best = _best(without, others)
            if without.after(best).total < now.total * (1 - _BETTER):
                chosen, now, changed = [*others, best], without.after(best), True
        if not changed:
            break
    return _in_order(beliefs, chosen)


def _best(beliefs: Beliefs, taken: Sequence[int]) -> int:
    gains = beliefs.gains.clone()
    gains[list(taken)] = -1.0
    return int(gains.argmax())


def _after(beliefs: Beliefs, chosen: Sequence[int]) -> Beliefs:
    for index in chosen:
        beliefs = beliefs.after(index)
    return beliefs


def _in_order(beliefs: Beliefs, chosen: Sequence[int]) -> tuple[list[int], list[float]]:
    """Return the chosen ones, the most useful first, and tr(W C) after each."""
    left, order, totals = list(chosen), [], []
    while left:
        best = max(left, key=lambda index: float(beliefs.gains[index]))
        beliefs = beliefs.after(best)
        left.remove(best)
        order.append(best)
        totals.append(beliefs.total)
    return order, totals

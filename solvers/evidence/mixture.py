"""The mixture of the posteriors at points of unknown numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from pdeinv.inferred_field import InferredField
from pdeinv.leave_one_out import LeaveOneOut
from pdeinv.parameters import Parameters
from pdeinv.posterior import Posterior
from pdeinv.solvers.evidence.estimates import mixed_parameters

__all__ = ["Shares", "mixed", "mixed_record"]

_SUMS = (
    *("iterations", "searches", "number_points", "solver_calls"),
    *("members_kept", "members_left_out"),
)  # counts of all parts
_LEAST = ("converged", "effective_sample_size")  # the worst of all parts
_MOST = ("final_gradient", "network_evaluations", "nugget", "r_hat")  # the worst, or of each sample
_OF_PARTS = ("log_evidence",)  # which the mixture has of its own


class Shares:
    """How many of n samples come from each of k posteriors.

    Samples are dealt in pairs, in proportion to the weights, and then put in a random order.

    Arguments:
        weights: (k,), with the sum 1.
        n: number of samples.
        generator: of random numbers.
    """

    def __init__(self, weights: torch.Tensor, n: int, generator: torch.Generator | None):
        self.weights, pairs = weights, (n + 1) // 2
        first = torch.rand(1, dtype=torch.float64, generator=generator)
        levels = (first + torch.arange(pairs, dtype=torch.float64, device=weights.device)) / pairs
        of = torch.bucketize(levels, weights.cumsum(0)[:-1].contiguous())
        self.of_pair = of[torch.randperm(pairs, generator=generator)]
        self.of_sample = self.of_pair.repeat_interleave(2)[:n]
        self.drawn = [max(1, 2 * int((self.of_pair == j).sum())) for j in range(len(weights))]
        """Samples to draw from each; one from a posterior of which none is needed."""

    def gathered(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Return the samples of the mixture, of those of each posterior (drawn, ...)."""
        rows = [0] * len(parts)
        chosen = []
        for j in self.of_sample.tolist():
            chosen.append(parts[j][rows[j]])
            rows[j] += 1
        return torch.stack(chosen)


def mixed(posteriors: list[Posterior], weights: torch.Tensor, shares: Shares) -> Posterior:
    """Return the mixture of posteriors: its mean, standard deviation and samples.

    Arguments:
        posteriors: with as many samples as the shares have `drawn`.
        weights: of each, (k,), with the sum 1.
        shares: of the samples.
    """
    first, table = posteriors[0], weights.tolist()
    mean, std = _moments(posteriors, table)
    probability, latent = None, None
    if first.probability is not None:
        parts = [p.probability for p in posteriors]
        probability = torch.stack([part for part in parts if part is not None])
        probability = torch.tensordot(weights.to(probability), probability, dims=1)
    tables = [p.latent for p in posteriors]
    if all(t is not None and t.shape[1:] == tables[0].shape[1:] for t in tables):  # type: ignore
        latent = shares.gathered(tables)  # type: ignore[arg-type]
    return Posterior(
        first.fields,
        first.grid,
        mean=mean,
        std=std,
        samples=shares.gathered([p.samples for p in posteriors]),
        record=mixed_record([p.record for p in posteriors], table),
        probability=probability,
        latent=latent,
        pairs=all(p.pairs for p in posteriors),
        parameters=_parameters(posteriors, weights, shares),
        inferred=tuple(
            _mixed_field(parts, table, shares)
            for parts in zip(*(p.inferred for p in posteriors), strict=True)
        ),
        leave_one_out=_leave_one_out(posteriors, weights),
        mode=posteriors[int(weights.argmax())].mode,
    )


def _leave_one_out(posteriors: list[Posterior], weights: torch.Tensor) -> LeaveOneOut | None:
    """The predictions of the mixture; None where one of its parts has none."""
    parts = [p.leave_one_out for p in posteriors if p.leave_one_out is not None]
    if len(parts) < len(posteriors):
        return None
    return LeaveOneOut.mixture(parts, weights.to(parts[0].mean.device))


def _moments(parts: Sequence[Any], weights: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and the standard deviation of a mixture of parts that have such."""
    pairs = list(zip(weights, parts, strict=True))
    mean = sum(w * p.mean for w, p in pairs)
    variance = sum(w * (p.std.square() + (p.mean - mean).square()) for w, p in pairs)
    assert isinstance(mean, torch.Tensor) and isinstance(variance, torch.Tensor)
    return mean, variance.sqrt()


def _mixed_field(
    parts: Sequence[InferredField], weights: list[float], shares: Shares
) -> InferredField:
    mean, std = _moments(parts, weights)
    samples = shares.gathered([part.samples for part in parts])
    return replace(parts[0], mean=mean, std=std, samples=samples)


def _parameters(
    posteriors: list[Posterior], weights: torch.Tensor, shares: Shares
) -> Parameters | None:
    parts = [p.parameters for p in posteriors]
    samples = [part.samples for part in parts if part is not None]
    return mixed_parameters(parts, weights, shares.gathered(samples) if samples else None)


def mixed_record(
    records: list[dict[str, str | float | int]], weights: list[float]
) -> dict[str, str | float | int]:
    """Return the record of a mixture, of those parts that have a key.

    Counts of work and of members are sums. Texts are all that differ. Other numbers are means, or
    those of the worst part.

    Arguments:
        records: of the parts.
        weights: of each, with the sum 1.
    """
    mixed: dict[str, str | float | int] = {}
    for key in dict.fromkeys(key for record in records for key in record):
        if key in _OF_PARTS:
            continue
        pairs = [(w, r[key]) for w, r in zip(weights, records, strict=True) if key in r]
        numbers = [(w, value) for w, value in pairs if not isinstance(value, str)]
        values = [value for _, value in numbers]
        if len(numbers) < len(pairs):
            mixed[key] = "; ".join(dict.fromkeys(str(value) for _, value in pairs))
        elif key in _LEAST or key in _MOST:
            mixed[key] = min(values) if key in _LEAST else max(values)
        elif key in _SUMS:
            mixed[key] = sum(values)
        else:
            total = sum(w for w, _ in numbers)
            mixed[key] = sum(w * value for w, value in numbers) / total
    return mixed

"""The posteriors at the points of unknown numbers, without those at which a solver fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pdeinv.errors import NumericalError, warn_caller
from pdeinv.posterior import Posterior
from pdeinv.progress import progress_bar
from pdeinv.solvers.evidence.mixture import Shares

__all__ = ["at_points"]


def at_points(
    condition: Callable[[int, int], Posterior],
    points: Sequence[int],
    weights: torch.Tensor,
    n_samples: int,
    generator: torch.Generator | None,
    progress: bool,
) -> tuple[list[int], list[Posterior], Shares]:
    """Return which of the points are kept, the posteriors there, and their shares of the samples.

    A point at which the solver fails is left out. The others then have its weight, and are solved
    again where they lack samples.

    Arguments:
        condition: returns the posterior at a point with so many samples.
        points: the points, as `condition` takes them.
        weights: of the points, with the sum 1.
        n_samples: of all points together.
        generator: of random numbers.
        progress: show a bar.

    Raises:
        NumericalError: the solver fails at all points.
    """
    kept, found = list(range(len(points))), dict[int, Posterior]()
    while True:
        left = weights[kept] / weights[kept].sum() if len(kept) < len(points) else weights
        shares, failed = Shares(left, n_samples, generator), dict[int, NumericalError]()
        drawn = dict(zip(kept, shares.drawn, strict=True))
        missing = [j for j in kept if j not in found or len(found[j].samples) < drawn[j]]
        for j in progress_bar(missing, "unknown numbers", progress, "point"):
            try:
                found[j] = condition(points[j], drawn[j])
            except NumericalError as error:
                failed[j] = error
        kept = [j for j in kept if j not in failed]
        if not kept:
            raise next(iter(failed.values()))
        if not failed:
            break
        warn_caller(
            f"{len(failed)} of {len(points)} points of the unknown numbers were left out, with "
            f"{float(weights[list(failed)].sum()):.2g} of the weight, since a solve failed: "
            f"{next(iter(failed.values()))}",
            UserWarning,
        )
    return kept, [found[j] for j in kept], shares

"""Limited-memory BFGS for a batch of problems, each with its own preconditioner."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch

__all__ = ["Objective", "Preconditioner", "minimise"]

_SUFFICIENT = 1e-4  # share of the predicted decrease that a step must reach (Armijo)
_BACKTRACKS = 8
_CURVED = 1e-10  # product of a step and its change of gradient, relative to the latter's square

Objective: TypeAlias = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""(points (k, d), indices of their members (k,)) -> values (k,) and gradients (k, d)."""

Preconditioner: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Approximate inverse Hessian of each member, (batch, d) -> (batch, d), positive definite."""


def minimise(
    objective: Objective,
    x: torch.Tensor,
    precondition: Preconditioner,
    iterations: int,
    *,
    memory: int = 20,
    tolerance: float = 1e-3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise one function for each member of a batch.

    A member stops where its expected decrease falls below `tolerance` times its value (at least 1).
    Where no step along its direction lowers the value it drops its memory and starts again, and
    stops when that fails too. The others go on.

    Arguments:
        objective: values and gradients.
        x: starting points (batch, d).
        precondition: approximate inverse Hessians.
        iterations: gradient steps at most.
        memory: pairs of steps and changes of the gradient that shape the Hessian.
        tolerance: relative decrease below which a member stops.

    Returns:
        Points (batch, d) and their values (batch,).

    Reference:
        Nocedal & Wright, *Numerical Optimization*, 2006, algorithms 7.4 and 3.1.
    """
    x, members = x.clone(), torch.arange(len(x))
    value, gradient = objective(x, members)
    active = torch.isfinite(value)
    fresh = torch.ones_like(active)  # without memory
    steps: list[torch.Tensor] = []
    changes: list[torch.Tensor] = []
    for _ in range(iterations):
        direction = -_two_loop(gradient, steps, changes, precondition)
        slope = (direction * gradient).sum(dim=1)
        active = active & (-slope > tolerance * value.clamp(min=1))
        found = _line_search(objective, x, value, gradient, direction, slope, members[active])
        step, change, failed = found
        active[failed] = ~fresh[failed]
        if not bool(active.any()):
            break
        for pair in steps + changes:
            pair[failed] = 0.0
        x, gradient = x + step, gradient + change
        fresh = torch.zeros_like(fresh).index_fill(0, failed, True)
        curved = (step * change).sum(dim=1) > _CURVED * change.square().sum(dim=1)
        steps.append(torch.where(curved[:, None], step, 0.0))
        changes.append(torch.where(curved[:, None], change, 0.0))
        del steps[:-memory], changes[:-memory]
    return x, value


class _Search(NamedTuple):
    """Steps and changes of the gradient (batch, d), zero where none was found, and the members
    whose search failed (k,)."""

    step: torch.Tensor
    change: torch.Tensor
    failed: torch.Tensor


def _line_search(
    objective: Objective,
    x: torch.Tensor,
    value: torch.Tensor,
    gradient: torch.Tensor,
    direction: torch.Tensor,
    slope: torch.Tensor,
    searching: torch.Tensor,
) -> _Search:
    """Backtrack along the directions of the members `searching` until each value has fallen
    enough, and update these values in place."""
    step, change = torch.zeros_like(x), torch.zeros_like(x)
    length = torch.ones_like(value)
    for _ in range(_BACKTRACKS):
        if len(searching) == 0:
            break
        trial = x[searching] + length[searching, None] * direction[searching]
        reached, slopes = objective(trial, searching)
        good = reached <= value[searching] + _SUFFICIENT * length[searching] * slope[searching]
        done = searching[good]
        step[done], change[done] = trial[good] - x[done], slopes[good] - gradient[done]
        value[done] = reached[good]
        searching, reached = searching[~good], reached[~good]
        # The parabola through the value, the slope and the failed value has its minimum here.
        tried = length[searching]
        excess = reached - value[searching] - slope[searching] * tried
        length[searching] = (
            (-slope[searching] * tried**2 / (2 * excess))
            .nan_to_num(0)
            .clamp(0.1 * tried, 0.5 * tried)
        )
    return _Search(step, change, searching)


def _two_loop(
    gradient: torch.Tensor,
    steps: list[torch.Tensor],
    changes: list[torch.Tensor],
    precondition: Preconditioner,
) -> torch.Tensor:
    """The quasi-Newton inverse Hessian times the gradient; a pair of zeros leaves its member
    alone."""
    curvatures = [(s * y).sum(dim=1) for s, y in zip(steps, changes, strict=True)]
    weights = [torch.where(c > 0, 1 / torch.where(c > 0, c, 1.0), 0.0) for c in curvatures]
    q = gradient
    coefficients: list[torch.Tensor] = []
    for s, y, w in reversed(list(zip(steps, changes, weights, strict=True))):
        coefficients.append(w * (s * q).sum(dim=1))
        q = q - coefficients[-1][:, None] * y
    q = precondition(q)
    for s, y, w, c in zip(steps, changes, weights, reversed(coefficients), strict=True):
        q = q + (c - w * (y * q).sum(dim=1))[:, None] * s
    return q

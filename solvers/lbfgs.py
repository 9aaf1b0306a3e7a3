"""Limited-memory BFGS for a batch of problems with one preconditioner."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["minimise"]

_SUFFICIENT = 1e-4  # share of the predicted decrease that a step must reach (Armijo)
_BACKTRACKS = 8


def minimise(
    objective: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    x: torch.Tensor,
    precondition: Callable[[torch.Tensor], torch.Tensor],
    iterations: int,
    *,
    memory: int = 20,
    tolerance: float = 1e-3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise one function for each member of a batch, side by side.

    A member stops where its expected decrease falls below `tolerance` times its value (at least 1).
    Where no step along its direction lowers the value it forgets its Hessian and starts afresh, and
    stops when that fails too. The others go on.

    Arguments:
        objective: (points (k, d), indices of their members (k,)) -> values (k,) and gradients (k,
            d).
        x: starting points (batch, d).
        precondition: approximate inverse Hessian of each member, (batch, d) -> (batch, d),
            symmetric positive definite.
        iterations: gradient steps at most.
        memory: pairs of steps and changes of the gradient that shape the Hessian.

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
        searching = members[active]
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
        active[searching] = ~fresh[searching]
        if not bool(active.any()):
            break
        for pair in steps + changes:
            pair[searching] = 0.0
        x, gradient = x + step, gradient + change
        fresh = torch.zeros_like(fresh).index_fill(0, searching, True)
        curved = (step * change).sum(dim=1) > 1e-10 * change.square().sum(dim=1)
        steps.append(torch.where(curved[:, None], step, 0.0))
        changes.append(torch.where(curved[:, None], change, 0.0))
        del steps[:-memory], changes[:-memory]
    return x, value


def _two_loop(gradient, steps, changes, precondition):
    """The quasi-Newton inverse Hessian times the gradient; a pair of zeros leaves its member
    alone."""
    curvatures = [(s * y).sum(dim=1) for s, y in zip(steps, changes, strict=True)]
    weights = [torch.where(c > 0, 1 / torch.where(c > 0, c, 1.0), 0.0) for c in curvatures]
    q, coefficients = gradient, []
    for s, y, w in reversed(list(zip(steps, changes, weights, strict=True))):
        coefficients.append(w * (s * q).sum(dim=1))
        q = q - coefficients[-1][:, None] * y
    q = precondition(q)
    for s, y, w, c in zip(steps, changes, weights, reversed(coefficients), strict=True):
        q = q + (c - w * (y * q).sum(dim=1))[:, None] * s
    return q

"""The stages of the level set's annealing."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SCHEDULES", "Stage"]


class Stage(NamedTuple):
    """One stage of the annealing.

    Arguments:
        width: of the jump, relative to the latent field's standard deviation.
        error: allowed in the solution's readings, relative to their prior standard deviation.
        refinement: of the grid, relative to that of the derivatives; None is the grid of the
            result.
        iterations: of Gauss–Newton, with new derivatives.
        chords: steps with each of these.
    """

    width: float
    error: float
    refinement: float | None
    iterations: int
    chords: int


SCHEDULES: dict[str, tuple[Stage, ...]] = {
    "thorough": (
        Stage(1.0, 1e-1, 0.5, 2, 1),
        Stage(0.6, 4e-2, 0.5, 2, 1),
        Stage(0.4, 2e-2, 1, 2, 1),
        Stage(0.25, 1e-2, 1, 2, 1),
        Stage(0.15, 5e-3, 1, 2, 1),
        Stage(0.1, 3e-3, 1, 2, 1),
        Stage(0.07, 1e-3, 1, 2, 1),
        Stage(0.05, 7e-4, None, 3, 2),
        Stage(0.03, 1e-3, None, 3, 2),
    ),
    "brief": (
        Stage(1.0, 1e-1, 0.5, 2, 1),
        Stage(0.4, 2e-2, 1, 2, 1),
        Stage(0.25, 1e-2, 1, 2, 1),
        Stage(0.15, 5e-3, 1, 2, 1),
        Stage(0.1, 3e-3, 1, 2, 1),
        Stage(0.07, 1e-3, None, 2, 2),
        Stage(0.05, 7e-4, None, 2, 2),
    ),
}
"""Stages by name. The thorough ones take longer and have a lower error (docs/moment.md)."""

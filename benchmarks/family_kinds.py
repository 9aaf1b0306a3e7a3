"""The kinds of records that studies of the families write."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pdeinv.benchmarks.kinds import Kind, Provenance, TaskLine
from pdeinv.schema import Amount, Count, Name, Number, Positive

__all__ = ["FAMILY_KINDS", "SCENE_LIMITS"]


class SceneLimit(TaskLine, Provenance):
    """Runs of Markov chains over the objects of a scene, which all start alike.

    `draw_errors` has the mean error of the draws of each run.
    """

    family: Name
    noise: Amount
    instance: Count
    start: Literal["prior", "truth"]
    steps: Annotated[int, Field(ge=2, le=10**9)]
    levels: Count
    measure: Literal["relative_l2", "error_rate"]
    draw_errors: Annotated[list[Amount], Field(min_length=1, max_length=1000)]
    error: Amount
    expected_error: Amount
    log_evidence: Number
    reduced_chi_squared: Amount
    r_hat: Amount
    effective_sample_size: Amount
    solver_calls: Count
    seconds: Positive


SCENE_LIMITS = Kind(
    "runs of chains over scenes",
    SceneLimit,
    ("draw_errors",),
    ("family", "pde", "grid", "sensors", "noise", "seed", "instance", "start", "steps", "levels"),
)
FAMILY_KINDS = (SCENE_LIMITS,)
"""All kinds of this module."""

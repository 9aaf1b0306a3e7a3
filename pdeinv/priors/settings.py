"""The settings of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pdeinv.errors import InputError

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The settings of a training run, which determine it together with the data.

    Arguments:
        model: a description of the model; a run of another model is not resumed.
        minutes, steps: the budget; exactly one of them. The learning rate falls to zero along it,
            as a half cosine.
        batch: samples in a step.
        rate: largest learning rate of Adam.
        symmetry: augment by the symmetries of the PDE.
        average: half-life of the weights' moving average, as a share of the steps so far.
        seed: of batches, symmetries and noise.

    Raises:
        InputError: the budget is missing or given twice, or a number is not positive.
    """

    model: str = ""
    minutes: float | None = None
    steps: int | None = None
    batch: int = 32
    rate: float = 1e-3
    symmetry: bool = True
    average: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise InputError("the budget of a training run must be either minutes or steps")
        for name in ("minutes", "steps", "batch", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} must be positive and finite, got {value}; raise it")

"""Where a sampler failed: the step, the noise level and the term, in the sentence of its error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pdeinv.errors import InputError, NumericalError

__all__ = ["at_level"]


@contextmanager
def at_level(step: int, steps: int, sigma: float, x: torch.Tensor | None = None) -> Iterator[None]:
    """Name the step and the noise level in the sentence of an error within the block.

    Arguments:
        step: counted from 0.
        steps: their number.
        sigma: the noise level.
        x: (batch, channel, ny, nx), the finite states at the start of the step, which a
            NumericalError then holds as `last_state`.

    Raises:
        InputError, NumericalError: those of the block.
    """
    try:
        yield
    except (InputError, NumericalError) as error:
        place = f"at step {step + 1} of {steps}, noise level {sigma:.3g}, "
        placed = type(error)(f"{place}{error}")
        if isinstance(placed, NumericalError) and x is not None:
            placed.last_state = x.detach().cpu().numpy()
        raise placed from error

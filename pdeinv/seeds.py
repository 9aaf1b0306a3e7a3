"""Reserved ranges of seeds: nothing but a test draws the instances that test a method.

A generator of torch uses 32 bits of its seed on the CPU. Each range below is a part of these 2³²
seeds, and no two overlap. What draws random numbers takes them from the range of its purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pdeinv.locks import SharedLock

__all__ = ["SOLVER", "STATISTICS", "TEST", "TRAINING", "TUNING", "generator", "global_state"]

TEST = range(0, 2**31)
"""Instances on which methods are compared."""
TRAINING = range(2**31, 2**31 + 2**29)
"""Samples of dataset files, to which models are fitted, and the randomness of the fit."""
TUNING = range(2_700_000_000, 3_000_000_000)
"""Instances on which settings are chosen, held-out states of studies, and the unit tests."""
SOLVER = range(3_000_000_000, 3_500_000_000)
"""The randomness of a solver's run."""
STATISTICS = range(3_500_000_000, 2**32)
"""Draws from a known distribution that stand for it, such as an ensemble or a spread."""


def generator(purpose: range, number: int = 0) -> torch.Generator:
    """Return the generator of a number within a range.

    Arguments:
        purpose: one of the ranges of this module.
        number: non-negative; it wraps around at the end of the range.

    Example:
        >>> torch.rand(1, generator=generator(TUNING, 3)).shape
        torch.Size([1])
    """
    return torch.Generator().manual_seed(purpose[number % len(purpose)])


_lock = SharedLock()


@contextmanager
def global_state(purpose: range, number: int = 0) -> Iterator[None]:
    """Seed torch's global random state within a block, and restore it afterwards.

    For code that accepts no generator, such as the initial weights of a network. Arguments as in
    `generator`. The state is that of the whole process, so that one thread at a time is in such a
    block.
    """
    with _lock, torch.random.fork_rng():
        torch.manual_seed(purpose[number % len(purpose)])
        yield

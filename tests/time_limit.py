"""A limit on the time of a block, for tests of what may hang."""

import signal
from contextlib import contextmanager

import pytest


@contextmanager
def time_limit(seconds):
    """Fail the test once the block has run this long.

    The failure is no `Exception`: a program that answers any OSError with one sentence would answer
    a TimeoutError so too.
    """

    def stop(number, frame):
        pytest.fail(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

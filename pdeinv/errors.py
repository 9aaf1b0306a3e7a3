"""Exceptions that mean "your input, not our bug", and how a program ends with one."""

import sys
from collections.abc import Callable

__all__ = ["DivergedError", "InputError", "ended_in_words"]


class InputError(ValueError):
    """Bad input, told in one sentence that names the value, the place and the remedy.

    The command line prints it and exits with code 2; nothing has been written when it is raised.
    """


class DivergedError(InputError):
    """A sampler left all bounds with these settings."""


def ended_in_words(program: Callable[[], object]) -> None:
    """Run a program: bad input ends it in one sentence and exit code 2, an interruption in exit code 130."""
    try:
        program()
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)

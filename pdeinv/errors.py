"""The package's exceptions, and how a program ends with one."""

import sys
from collections.abc import Callable

__all__ = ["DivergedError", "InputError", "NumericalError", "run_cli"]


class InputError(ValueError):
    """Bad input: one sentence that names the value, the place and the remedy.

    The command line prints it and exits with code 2; nothing has been written when it is raised.
    """


class NumericalError(RuntimeError):
    """A computation failed on valid input: an instability, a stalled iteration, a non-finite loss.

    One sentence that names what failed and what to change. The command line prints it and exits
    with code 3.
    """


class DivergedError(NumericalError):
    """A sampler left all bounds with these settings."""


def run_cli(program: Callable[[], object]) -> None:
    """Run a program and turn its errors into one sentence and an exit code.

    The code is 2 for bad input, 3 for a numerical failure and 130 for an interruption.
    """
    try:
        program()
    except (InputError, NumericalError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 3)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)

"""The package's exceptions, and the exit codes of its programs."""

import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from typing_extensions import Self

__all__ = [
    "DivergedError",
    "InputError",
    "InputWarning",
    "NumericalError",
    "run_cli",
    "warn_caller",
    "warn_input",
]

_SHOWN = 60  # characters of a path in a message


class InputError(ValueError):
    """The user's input is at fault.

    One sentence names the value, the place and the fix. The command line prints it and exits with
    code 2. No output has been written when it is raised.
    """


class InputWarning(UserWarning):
    """The user's input can be used, but is likely not what was meant.

    One sentence names the value, the place, what is made of it and what to change.
    """


def warn_input(message: str) -> None:
    """Give an InputWarning, attributed to the first caller outside the package.

    Arguments:
        message: one sentence.
    """
    warn_caller(message, InputWarning)


def warn_caller(message: str, category: type[Warning]) -> None:
    """Give a warning, attributed to the first caller outside the package.

    Arguments:
        message: one sentence.
        category: of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "pdeinv":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


class NumericalError(RuntimeError):
    """A computation failed on valid input: an instability, a stalled iteration, a non-finite loss.

    One sentence names what failed and what to change. The command line prints it and exits with
    code 3.

    Attributes:
        last_state: the last finite states of a sampler by diffusion, an array of shape (batch,
            channel, ny, nx) in physical units; None of all else.
    """

    last_state: Any = None

    def within(self, place: str) -> Self:
        """Return the same error with a phrase before its sentence."""
        found = type(self)(f"{place}{self}")
        found.last_state = self.last_state
        return found


class DivergedError(NumericalError):
    """The state of a sampler diverged with these settings."""


def run_cli(program: Callable[[], object]) -> None:
    """Run a program; print each of the package's errors as one sentence and exit with its code.

    The code is 2 for `InputError` and for a file that the system refuses, 3 for `NumericalError`
    and for a failure of linear algebra, and 130 for an interruption.

    Arguments:
        program: called without arguments.
    """
    try:
        program()
    except InputError as error:
        _end(str(error), 2)
    except NumericalError as error:
        _end(str(error), 3)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        what = str(error.filename or "a file")
        reason = error.strerror or error
        _end(f"{what[:_SHOWN]} cannot be used ({reason}); check its path and the free space", 2)
    except Exception as error:
        # torch, numpy and scipy have a class each; to import them here would delay every command
        if type(error).__name__.lstrip("_") != "LinAlgError":
            raise
        _end(f"linear algebra failed ({error}); state more noise or use a coarser grid", 3)


def _end(message: str, code: int) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)

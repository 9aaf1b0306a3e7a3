"""The one exception that means "your input, not our bug"."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input, told in one sentence that names the value, the place and the remedy.

    The command line prints it and exits with code 2; nothing has been written when it is raised.
    """

"""Progress on standard error: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, TypeAlias, TypeVar

from tqdm import tqdm

__all__ = ["Progress", "ProgressBar", "print_above", "progress_bar"]

_DELAY = 2.0  # seconds of work before anything is shown
_EVERY = 10.0  # seconds from one line to the next, of all work together

Item = TypeVar("Item")

ProgressBar: TypeAlias = Callable[..., Iterable]
"""`progress_bar` with its `show` bound: (iterable, description=..., unit=...) -> iterable."""

_clock = time.monotonic


class Progress:
    """Progress of work that is counted by `update`; a context.

    A terminal shows a bar. A file or a pipe gets lines, such as "training: 40 of 600 s, 9 min
    left": at most one in ten seconds, and none in the first two.

    Arguments:
        total: amount of work; None where it is unknown.
        description: of the work.
        show: whether to show anything.
        unit: of the amount, in the singular.
        initial: amount that was done before.
        keep: show a bar at once, and leave it on the terminal.
    """

    _last = -float("inf")  # when any instance wrote a line

    def __init__(
        self,
        total: int | None,
        description: str = "",
        show: bool = True,
        *,
        unit: str = "it",
        initial: int = 0,
        keep: bool = True,
    ):
        self.total, self.description, self.unit = total, description, unit
        self.done = self.initial = initial
        self.extra = ""
        self.start = _clock()
        self.lines = show and not _on_terminal()
        self.bar: Any = None  # tqdm has no types
        if show and not self.lines:
            self.bar = tqdm(
                total=total, desc=description, unit=unit, initial=initial, **_on_screen(keep)
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def update(self, amount: int = 1) -> None:
        """Count more work as done."""
        self.done += amount
        if self.bar is not None:
            self.bar.update(amount)
        elif self.lines:
            now = _clock()
            if now - self.start >= _DELAY and now - Progress._last >= _EVERY:
                Progress._last = now
                print(self._line(now), file=sys.stderr, flush=True)

    def describe(self, description: str) -> None:
        """Change the description."""
        self.description = description
        if self.bar is not None:
            self.bar.set_description(description)

    def note(self, extra: str) -> None:
        """Show a text behind the next update."""
        self.extra = extra
        if self.bar is not None:
            self.bar.set_postfix_str(extra, refresh=False)

    def _line(self, now: float) -> str:
        unit = " s" if self.unit == "s" else ""
        if self.total is None:
            parts = [f"{self.done}{unit}"]
        else:
            parts = [f"{self.done} of {self.total}{unit}"]
            if (made := self.done - self.initial) > 0:
                left = (self.total - self.done) * (now - self.start) / made
                parts.append(f"{_in_words(max(0.0, left))} left")
        if self.extra:
            parts.append(self.extra)
        return f"{self.description or 'done'}: {', '.join(parts)}"


def progress_bar(
    iterable: Iterable[Item],
    description: str,
    show: bool = True,
    unit: str = "it",
    *,
    keep: bool = False,
) -> Iterable[Item]:
    """Return the iterable; its progress appears once the work has taken two seconds.

    Arguments:
        iterable: whose items are the work.
        description, show, unit, keep: as of `Progress`.
    """
    if not show:
        return iterable
    if _on_terminal():
        return tqdm(iterable, desc=description, unit=unit, **_on_screen(keep))
    return _counted(iterable, description, unit)


def print_above(line: str) -> None:
    """Print a line on standard output, above a bar if there is one."""
    if _on_terminal():
        tqdm.write(line)
    else:
        print(line, flush=True)


def _counted(iterable: Iterable[Item], description: str, unit: str) -> Iterator[Item]:
    total = len(iterable) if isinstance(iterable, Sized) else None
    with Progress(total, description, unit=unit) as progress:
        for item in iterable:
            yield item
            progress.update()


def _on_screen(keep: bool) -> dict[str, Any]:
    return {"leave": keep, "delay": 0 if keep else _DELAY, "file": sys.stderr}


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _in_words(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

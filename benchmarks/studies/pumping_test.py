"""The pumping test of `pdeinv problem pumping-test`, reconstructed from heads in time and a few
conductivities: `pdeinv study pumping-test`.

Truths are drawn and solved on a grid twice as fine, and the solvers are given the prior's numbers.
The error and the coverage of the head are those of all output times together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pdeinv.benchmarks.problem_kinds import PUMPING_TESTS
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.studies.example_scores import measure_methods, methods_table
from pdeinv.problems.examples import example_by_name

__all__ = ["METHODS", "pumping_table", "run"]

METHODS = ("gauss-newton", "kriging")
"""Our solver, and each field at each time by itself."""


def run(
    out: Path,
    *,
    instances: int = 16,
    methods: Sequence[str] = METHODS,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure the methods on truths; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of truths.
        methods: names of solvers.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """
    example = example_by_name("pumping-test")
    further = {"times": len({time for read in example.readings for time in read.times})}
    return measure_methods(out, PUMPING_TESTS, example, methods, further, instances, command, echo)


def pumping_table(records: list[Record]) -> str:
    """Return errors, coverage and seconds of each method, with standard errors over the truths.

    Arguments:
        records: as `pdeinv study pumping-test` writes them.
    """
    return methods_table(records, METHODS)

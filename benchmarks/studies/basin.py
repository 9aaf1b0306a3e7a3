"""The basin of `pdeinv problem basin`, reconstructed from heads: `pdeinv study basin`.

Truths are drawn and solved on a grid twice as fine, whose cells follow the outline more closely,
and the solvers are given the prior's numbers. Scores count the nodes that are active on both grids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pdeinv.benchmarks.problem_kinds import BASINS
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.studies.example_scores import measure_methods, methods_table
from pdeinv.grid import Grid
from pdeinv.problems.examples import example_by_name

__all__ = ["METHODS", "basin_table", "run"]

METHODS = ("gauss-newton", "optimal-interpolation", "kriging")
"""Our solver; the best linear estimate, of a sample covariance; and each field by itself."""
FIELDS = ("head", "log_hydraulic_conductivity")


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
    example = example_by_name("basin")
    grid = example.problem.grid
    assert isinstance(grid, Grid) and grid.active_nodes is not None
    further = {"active": int(grid.active_nodes.sum())}
    return measure_methods(out, BASINS, example, methods, further, instances, command, echo, FIELDS)


def basin_table(records: list[Record]) -> str:
    """Return errors, coverage and seconds of each method, with standard errors over the truths.

    Arguments:
        records: as `pdeinv study basin` writes them.
    """
    return methods_table(records, METHODS)

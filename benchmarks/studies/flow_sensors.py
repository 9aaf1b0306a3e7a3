"""The benchmark's flow from velocities and from as many vorticities: `pdeinv study flow-sensors`.

Both are read at four times, and the vorticity at the start and at the end is scored. Truths are
drawn and solved on a grid twice as fine. Sensors stay at their points; a sensor of the velocity
reads one component. The noise is a share of the deviation of the field that is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pdeinv import seeds
from pdeinv.benchmarks.problem_kinds import FLOW_SENSORS
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import coverage_head, render_table
from pdeinv.benchmarks.reports.queries import Values, difference
from pdeinv.benchmarks.studies.example_scores import (
    SCORES,
    measure_missing,
    score_cells,
    scores_file,
)
from pdeinv.datasets import Problem
from pdeinv.problems.examples import Example, Readings

__all__ = ["COUNTS", "READS", "flow_sensors_table", "run"]

READS = {"velocity": ("velocity_x", "velocity_y"), "vorticity": ("vorticity",)}
"""The fields that are read, by what is read."""
COUNTS = (60, 240)
"""Readings in all, an equal number at each time."""
TIMES = (0.25, 0.5, 0.75, 1.0)
FIELDS = ("initial_vorticity", "final_vorticity")
"""The fields that are scored."""
_METHOD = "gauss-newton"
_GRID = 64
_NOISE = 0.02  # of the deviation of the field that is read
_DRAWS, _DRAW_NODES = 32, 64  # of the prior, for that deviation
_SHOWN = (*FLOW_SENSORS.identity, "error", "spread", "coverage90", "converged", "seconds")


@dataclass(frozen=True)
class _Flow(Example):
    """Truths of the benchmark's problem."""

    grid: int = _GRID

    @cached_property
    def problem(self) -> Problem:
        given = Problem.named("navier-stokes")
        return Problem(given.physics, given.prior, self.grid)


def _noise_std(what: str) -> float:
    """Return the standard deviation of the noise of each reading."""
    given = Problem.named("navier-stokes")
    physics = given.physics.reading(READS[what], TIMES)
    generator = seeds.generator(seeds.STATISTICS)
    states = Problem(physics, given.prior).sample(_DRAWS, physics.grid(_DRAW_NODES), generator)
    channels = [c for name in READS[what] for c in physics.find_channels(name)]
    return float(f"{_NOISE * float(states[:, channels].std()):.2g}")


def _example(what: str, count: int, grid: int) -> _Flow:
    std, fields = _noise_std(what), READS[what]
    shares = [len(range(i, count // len(TIMES), len(fields))) for i in range(len(fields))]
    readings = (Readings(f, n, std, TIMES) for f, n in zip(fields, shares, strict=True))
    return _Flow("flow-sensors", f"a flow from readings of its {what}", tuple(readings), grid)


def run(
    out: Path,
    *,
    instances: int = 16,
    counts: tuple[int, ...] = COUNTS,
    grid: int = _GRID,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Reconstruct truths; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of truths.
        counts: numbers of readings in all, multiples of the number of times.
        grid: nodes of the result along each side.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """
    log = scores_file(out, FLOW_SENSORS)
    for count in counts:
        for what in READS:
            further = {"reads": what, "readings": count, "grid": grid}
            cells = [(_METHOD, _METHOD, further)]
            example = _example(what, count, grid)
            measure_missing(log, example, instances, cells, _SHOWN, command, echo, FIELDS)
    return log.read()


def flow_sensors_table(records: list[Record]) -> str:
    """Return two tables: the scores of what is read, for each number of readings and field, and
    the paired differences, velocity minus vorticity. Standard errors are those over the truths.

    Arguments:
        records: as `pdeinv study flow-sensors` writes them.
    """
    cells = sorted(
        {(r["grid"], r["readings"], r["field"], r["reads"]) for r in records},
        key=lambda cell: (*cell[:2], FIELDS.index(cell[2]) if cell[2] in FIELDS else 9, *cell[2:]),
    )
    scores, differences = [], []
    for *place, what in cells:
        mine = _of(records, place, what)
        scores.append([str(place[1]), place[2], what, *score_cells(mine)])
        if what == "velocity":
            others = _of(records, place, "vorticity")
            both = {r["instance"] for r in mine} & {r["instance"] for r in others}
            if len(both) > 1:
                found = [
                    f"{difference(*(_values(of, *score) for of in (mine, others))):+.1f}"
                    for score in (("relative_error", 100), ("coverage90", 100))
                ]
                differences.append([str(place[1]), place[2], *found])
    tables = [render_table(["readings", "field", "what is read"], list(SCORES), scores)]
    if differences:
        heads = [f"velocity minus vorticity: {of}" for of in (SCORES[1], coverage_head(90))]
        tables.append(render_table(["readings", "field"], heads, differences))
    return "\n\n".join(tables)


def _of(records: list[Record], place: list[object], what: str) -> list[Record]:
    names = ("grid", "readings", "field")
    return [r for r in records if [r[n] for n in names] == place and r["reads"] == what]


def _values(records: list[Record], score: str, factor: float) -> Values:
    return {r["instance"]: factor * r[score] for r in records}

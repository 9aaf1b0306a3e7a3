"""The example of `pdeinv problem two-pumping-tests`, from both tests and from each alone:
`pdeinv study two-pumping-tests`.

Truths are drawn and solved on a grid twice as fine, and the solver is given the prior's numbers.
All arms have the same readings of the conductivity, and those of the head in their tests. One arm
reads the first test in twice as many boreholes: as many heads as both tests have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from pdeinv.benchmarks.problem_kinds import TWO_PUMPING_TESTS
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import coverage_head, render_table
from pdeinv.benchmarks.reports.queries import Values, difference
from pdeinv.benchmarks.studies.example_scores import (
    SCORES,
    measure_missing,
    score_cells,
    scores_file,
)
from pdeinv.datasets import Experiments, Problem
from pdeinv.problems.examples import Example, Truth, example_by_name
from pdeinv.sensors import Sensors

__all__ = ["ARMS", "METHOD", "run", "two_tests_table"]

METHOD = "gauss-newton"
BOTH = "both tests"
ARMS = {
    BOTH: (("west", "east"), False),
    "west alone": (("west",), False),
    "east alone": (("east",), False),
    "west alone, twice the boreholes": (("west",), True),
}
"""By the name of the arm, its tests, and whether it has the further boreholes."""
_FIELD = "log_hydraulic_conductivity"
_SHOWN = (*TWO_PUMPING_TESTS.identity, "error", "spread", "coverage90", "converged", "seconds")


@dataclass(frozen=True)
class _Arm(Example):
    """Some tests of an example, whose last readings are those of the further boreholes."""

    tests: tuple[str, ...] = ()
    further: bool = False

    @classmethod
    def of(cls, example: Example, tests: tuple[str, ...], further: bool) -> _Arm:
        """Return an arm of an example, which has the further boreholes or not."""
        heads = example.readings[0]
        more = replace(heads, experiments=heads.experiments[:1])
        readings = (*example.readings, more)
        return cls(example.name, example.summary, readings, tests, further)

    def truth(self, number: int = 0) -> Truth:
        """Return the part of a truth that belongs to the tests."""
        whole = super().truth(number)
        all_tests, table = whole.problem.physics, whole.sensors.table
        used = Experiments(tuple(all_tests.experiments[t] for t in self.tests), self.tests)
        physics = used.reading(read.field for read in self.readings)
        channels = [all_tests.channel(*f.place) for f in physics.fields]
        rows = table if self.further else table.iloc[: -self.readings[-1].count]
        rows = rows[rows.experiment.isin(["", *self.tests])]
        return whole._replace(
            problem=Problem(physics, whole.problem.prior, whole.problem.grid),
            state=whole.state[:, channels],
            sensors=Sensors(rows.reset_index(drop=True)),
        )

    @property
    def heads(self) -> int:
        """Number of readings of the head."""
        first, *_, more = self.readings
        return first.count * len(self.tests) + more.count * self.further


def run(
    out: Path,
    *,
    instances: int = 16,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure the arms on truths; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of truths.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """
    log, example = scores_file(out, TWO_PUMPING_TESTS), example_by_name("two-pumping-tests")
    for name, (tests, further) in ARMS.items():
        arm = _Arm.of(example, tests, further)
        cells = [(METHOD, METHOD, {"arm": name, "heads": arm.heads})]
        measure_missing(log, arm, instances, cells, _SHOWN, command, echo)
    return log.read()


def two_tests_table(records: list[Record]) -> str:
    """Return two tables: the scores of each arm and field, and how well each arm fits. The second
    has the paired differences in ln K of both tests to it. Standard errors are over the truths.

    Arguments:
        records: as `pdeinv study two-pumping-tests` writes them.
    """
    order = {arm: place for place, arm in enumerate(ARMS)}
    arms = sorted({r["arm"] for r in records}, key=lambda arm: (order.get(arm, len(order)), arm))
    scores, fits = [], []
    for arm in arms:
        mine = [r for r in records if r["arm"] == arm]
        for field in dict.fromkeys(r["field"] for r in mine):
            scores.append([arm, field, *score_cells(r for r in mine if r["field"] == field)])
        solved = {r["instance"]: r for r in mine}
        fits.append(
            [
                arm,
                str(mine[0]["heads"]),
                f"{fmean(r['reduced_chi_squared'] for r in solved.values()):.2f}",
                f"{sum(r['converged'] for r in solved.values())} of {len(solved)}",
                f"{fmean(r['solver_calls'] for r in solved.values()):.0f}",
                _both_minus(records, arm, "error", 1, "+.3f"),
                _both_minus(records, arm, "coverage90", 100, "+.1f"),
            ]
        )
    numbers = [
        *("readings of the head", "reduced chi-squared", "converged", "solves"),
        *(f"both tests minus this: {of}" for of in ("RMS error of ln K", coverage_head(90))),
    ]
    return "\n\n".join(
        [
            render_table(["readings", "field"], list(SCORES), scores),
            render_table(["readings"], numbers, fits),
        ]
    )


def _both_minus(records: list[Record], arm: str, score: str, factor: float, form: str) -> str:
    """Return the paired difference of a score of ln K; empty for fewer than two truths."""

    def values(name: str) -> Values:
        mine = (r for r in records if (r["arm"], r["field"]) == (name, _FIELD))
        return {r["instance"]: factor * r[score] for r in mine}

    ours, theirs = values(BOTH), values(arm)
    if arm == BOTH or len(ours.keys() & theirs.keys()) < 2:
        return ""
    return f"{difference(ours, theirs):{form}}"

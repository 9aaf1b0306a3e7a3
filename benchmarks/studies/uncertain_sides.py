"""The aquifer of `pdeinv problem uncertain-aquifer`, whose recharge and whose head along a side are
uncertain: `pdeinv study uncertain-sides`.

Truths draw the recharge, the side and the conductivity, and are solved on a grid twice as fine. The
first arm infers all three; the second one takes the means of recharge and side as known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from pdeinv.benchmarks.problem_kinds import UNCERTAIN_SIDES
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import coverage_head, render_table
from pdeinv.benchmarks.reports.queries import mean
from pdeinv.benchmarks.studies.example_scores import measure_missing, scores_file
from pdeinv.datasets.uncertain_fields import at_means
from pdeinv.problems.examples import Example, Truth, example_by_name

__all__ = ["ARMS", "FIELDS", "METHOD", "run", "uncertain_table"]

METHOD = "gauss-newton"
ARMS = ("inferred", "taken as known")
FIELDS = ("head", "log_hydraulic_conductivity", "left_head", "source")
"""Fields that are scored; the last two are the uncertain quantities, of the first arm alone."""
_SHOWN = (*UNCERTAIN_SIDES.identity, "error", "spread", "coverage90", "converged", "seconds")


@dataclass(frozen=True)
class _Arm(Example):
    """The example, whose uncertain quantities may be taken as known."""

    known: bool = False

    def truth(self, number: int = 0) -> Truth:
        """Return the truth of a number, with the problem of the arm."""
        whole = super().truth(number)
        if not self.known:
            return whole
        problem = replace(whole.problem, physics=at_means(whole.problem.physics))
        return whole._replace(problem=problem)


def run(
    out: Path,
    *,
    instances: int = 32,
    arms: Sequence[str] = ARMS[:1],
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure arms on truths; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of truths.
        arms: of `ARMS`.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """
    log, usual = scores_file(out, UNCERTAIN_SIDES), example_by_name("uncertain-aquifer")
    for arm in arms:
        known = arm != ARMS[0]
        fields = FIELDS[:2] if known else FIELDS
        example = _Arm(usual.name, usual.summary, usual.readings, known)
        cells = [(METHOD, METHOD, {"arm": arm})]
        measure_missing(log, example, instances, cells, _SHOWN, command, echo, fields)
    return log.read()


def uncertain_table(records: list[Record]) -> str:
    """Return errors and coverage of each arm and field, with standard errors over the truths.

    Arguments:
        records: as `pdeinv study uncertain-sides` writes them.
    """
    rows = []
    for arm in ARMS:
        for field in FIELDS:
            mine = [r for r in records if (r["arm"], r["field"]) == (arm, field)]
            if not mine:
                continue
            coverage = {r["instance"]: 100 * r["coverage90"] for r in mine}
            shown = mean(coverage) if len(coverage) > 1 else next(iter(coverage.values()))
            ratio = fmean(r["error"] ** 2 for r in mine) / fmean(r["spread"] ** 2 for r in mine)
            cells = [f"{ratio**0.5:.2f}", f"{shown:.1f}", str(len(coverage))]
            rows.append([arm, field, *cells])
    heads = ["RMS error over predicted RMS error", coverage_head(90), "truths"]
    return render_table(["recharge and side", "field"], heads, rows)

"""Which of two priors the evidence is for: `pdeinv study model-choice`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pdeinv.benchmarks.assumption_kinds import MODEL_CHOICES
from pdeinv.benchmarks.records import JsonLines, Record
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.studies.assumed_cases import Case, Reads, Setting, Size, draw_case, solve
from pdeinv.coefficients import CoefficientPrior, GaussianField, LogNormal
from pdeinv.datasets import Problem, pde_by_name

__all__ = ["CASES", "LENGTHS", "run"]

LENGTHS = (0.1, 0.3)
"""Of the two priors, in sides of the domain; truths are of one and the other in turn."""


def _case(pde: str, prior: Callable[[float], CoefficientPrior], size: Size, instance: int) -> Case:
    problems = {f"length {one:g}": Problem(pde_by_name(pde), prior(one)) for one in LENGTHS}
    world = list(problems.values())[instance % len(LENGTHS)]
    settings = {name: Setting(problem) for name, problem in problems.items()}
    reads = [Reads(world.physics.solution_field.name, size.sensors)]
    length = {"length": LENGTHS[instance % len(LENGTHS)]}
    return draw_case(world, reads, size, instance, settings, length)


CASES: Mapping[str, Callable[[Size, int], Case]] = {
    "poisson": partial(_case, "poisson", partial(GaussianField, 0.0, 1.0)),
    "darcy, log-normal": partial(_case, "darcy", partial(LogNormal, 1.0, 1.0)),
}
"""A truth of each physics: a function of the size and of the number of the truth."""


def run(
    out: Path,
    *,
    instances: Iterable[int],
    cases: Sequence[str] = (),
    size: Size = Size(),  # noqa: B008  # a tuple
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Compare the evidence of two priors; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: numbers of the truths.
        cases: names of `CASES`; all if there is none.
        size: of the problems.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.
    """
    units = (
        unit for i in instances for name in cases or CASES for unit in _units(name, i, size, echo)
    )
    return append_missing(JsonLines(out, MODEL_CHOICES), units, _line, command=command, echo=echo)


def _units(name: str, i: int, size: Size, echo: Callable[[str], object]) -> Iterator[Unit]:
    """Yield the evidence of a truth under each prior, as units of work."""
    case = CASES[name](size, i)
    for setting, told in case.settings.items():
        shared = {"case": name, "setting": setting, "instance": i, **size._asdict()}
        yield Unit(shared, partial(_records, shared, case, told, echo))


def _records(
    shared: Record, case: Case, told: Setting, echo: Callable[[str], object]
) -> list[Record]:
    solved = solve(case, told, shared["instance"])
    if solved.result is None or "log_evidence" not in solved.result.attrs:
        echo(f"{', '.join(map(str, shared.values()))}: no evidence {solved.alarm}")
        return []
    record = shared | {
        "pde": case.world.physics.name,
        "seed": shared["instance"],
        "method": solved.result.attrs["solver"],
        "log_evidence": round(float(solved.result.attrs["log_evidence"]), 4),
        "right": int(told.problem.prior == case.world.prior),
        "seconds": solved.seconds,
    }
    return [record]


def _line(record: Record) -> str:
    return ", ".join(f"{n} {record[n]}" for n in (*MODEL_CHOICES.identity, "log_evidence", "right"))

"""`pdeinv study unknown-numbers`, `unknown-viscosity`, `wrong-assumptions`, `robust-readings`,
`alarm-rates`, `model-choice`, `calibrated`: what is not known beforehand, and what is wrong.

Parts of a study may run at the same time: each with its own --only or --first, and its own --out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from pdeinv.cli.study import ResumingOut, checked_instances
from pdeinv.errors import InputError

if TYPE_CHECKING:
    from pdeinv.benchmarks.studies.assumed_cases import Case, Size

__all__ = [
    "alarm_rates",
    "calibrated",
    "model_choice",
    "robust_readings",
    "unknown_numbers",
    "unknown_viscosity",
    "wrong_assumptions",
]

Command: TypeAlias = Callable[..., None]
Truths = Annotated[
    int, typer.Option(callback=checked_instances, help="Number of truths of each case.")
]
First = Annotated[int, typer.Option(min=0, max=10**6, help="Number of the first truth.")]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="CASE", help="Only this; may be repeated.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--setting", help="Only what takes this as known; may be repeated."),
]
Nodes = Annotated[int | None, typer.Option(help="Nodes per side; those of the study if not given.")]
Sensors = Annotated[
    int | None, typer.Option(help="Readings of each truth; those of the study if not given.")
]


def _reconstructing(name: str, instances: int, sensors: int | None, summary: str) -> Command:
    """Return the command of a study that reconstructs the truths of its cases.

    Arguments:
        name: of its module.
        instances: number of truths, by default.
        sensors: readings of each truth by default, None for those of all studies.
        summary: of the command's help.
    """

    def command(
        out: ResumingOut,
        instances: Truths = instances,
        first: First = 0,
        only: Only = None,
        setting: Settings = None,
        grid: Nodes = None,
        sensors: Sensors = sensors,
    ) -> None:
        cases = import_module(f"pdeinv.benchmarks.studies.{name}").CASES
        _measure(out, cases, _range(instances, first), only, setting, _size(grid, sensors))

    command.__name__, command.__doc__ = name, summary
    return command


unknown_numbers = _reconstructing(
    "unknown_numbers",
    32,
    None,
    "Reconstruct truths of any length and amplitude, with their numbers known and left out.",
)
unknown_viscosity = _reconstructing(
    "unknown_viscosity",
    32,
    60,
    "Reconstruct flows of known and of unknown viscosity, from velocities in time.",
)
wrong_assumptions = _reconstructing(
    "wrong_assumptions",
    8,
    None,
    "Reconstruct truths of other numbers than the built-in ones: with those, the right ones, and "
    "with the numbers left out.",
)
robust_readings = _reconstructing(
    "robust_readings",
    16,
    None,
    "Reconstruct truths from readings with gross errors, with a robust noise and without.",
)


def alarm_rates(
    out: ResumingOut,
    instances: Truths = 400,
    power: Annotated[
        int, typer.Option(min=0, help="Tables that are judged with a wrong reading too.")
    ] = 100,
    first: First = 0,
    only: Only = None,
    grid: Nodes = None,
    sensors: Sensors = None,
) -> None:
    """Count the alarms of tables with one wrong reading, and without."""
    from pdeinv.benchmarks.reports.assumed_tables import alarm_rates_table
    from pdeinv.benchmarks.studies import alarm_rates as module

    size = _size(grid, sensors, module.SIZE)
    further = {"power": power}
    _run(module, alarm_rates_table, out, _range(instances, first), only, size, **further)


def model_choice(
    out: ResumingOut,
    instances: Truths = 32,
    first: First = 0,
    only: Only = None,
    grid: Nodes = None,
    sensors: Sensors = None,
) -> None:
    """Compare the evidence of two correlation lengths, of which one is right."""
    from pdeinv.benchmarks.reports.assumed_tables import model_choice_table
    from pdeinv.benchmarks.studies import model_choice as module

    size = _size(grid, sensors)
    _run(module, model_choice_table, out, _range(instances, first), only, size)


def calibrated(
    out: ResumingOut,
    instances: Truths = 8,
    draws: Annotated[int, typer.Option(min=20, help="Draws of each calibration.")] = 100,
    first: First = 0,
    only: Only = None,
    grid: Nodes = None,
    sensors: Sensors = None,
) -> None:
    """Calibrate a right prior, and one whose deviation is stated half as large."""
    from pdeinv.benchmarks.reports.assumed_tables import calibrations_table
    from pdeinv.benchmarks.studies import calibrated as module

    size = _size(grid, sensors, module.SIZE)
    further = {"draws": draws}
    _run(module, calibrations_table, out, _range(instances, first), only, size, **further)


def _range(instances: int, first: int) -> range:
    return range(first, first + instances)


def _size(grid: int | None, sensors: int | None, usual: Size | None = None) -> Size:
    from pdeinv.benchmarks.studies.assumed_cases import Size
    from pdeinv.checks import Bounds, integer

    given = usual or Size()
    return Size(
        integer("--grid", given.grid if grid is None else grid, Bounds(16, 4096)),
        integer("--sensors", given.sensors if sensors is None else sensors, Bounds(4, 10**5)),
    )


def _measure(
    out: Path,
    cases: Mapping[str, Callable[[Size, int], Case]],
    instances: range,
    only: Iterable[str] | None,
    settings: list[str] | None,
    size: Size,
) -> None:
    """Run a study of what is assumed, and print each record and then the tables."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.reports.assumed_tables import alarms_table, assumed_table, number_table
    from pdeinv.benchmarks.studies.assumed import measure_cases

    chosen = {name: cases[name] for name in _checked(only, cases)}
    records = measure_cases(
        out,
        chosen,
        instances,
        size,
        command=typed_command(),
        echo=typer.echo,
        settings=settings or (),
    )
    for table in (assumed_table, number_table, alarms_table):
        typer.echo(f"{table(records)}\n")


def _run(
    module: Any,
    table: Callable[[Any], str],
    out: Path,
    instances: range,
    only: Iterable[str] | None,
    size: Size,
    **further: int,
) -> None:
    """Run a study, and print each record and then the table."""
    from pdeinv.benchmarks.provenance import typed_command

    records = module.run(
        out,
        instances=instances,
        cases=_checked(only, module.CASES),
        size=size,
        command=typed_command(),
        echo=typer.echo,
        **further,
    )
    typer.echo(table(records))


def _checked(only: Iterable[str] | None, cases: Iterable[str]) -> list[str]:
    """Return the chosen cases, all if none is; refuse one that the study does not have."""
    known = list(cases)
    for name in only or ():
        if name not in known:
            raise InputError(
                f"--only must be one of {'; '.join(known)}, got {name!r}; choose one of them"
            )
    return list(only or known)

"""The command line: `pdeinv --help`.

There is one file for each command. A command imports torch and the rest when it runs, so that
--help does not wait for them.
"""

from __future__ import annotations

import io
import itertools
import sys
import warnings
from typing import Annotated

import typer

from pdeinv.cli.benchmark import benchmark
from pdeinv.cli.calibrate import calibrate
from pdeinv.cli.check import check
from pdeinv.cli.compare import compare
from pdeinv.cli.demo import demo
from pdeinv.cli.design import design
from pdeinv.cli.equivariance import equivariance
from pdeinv.cli.generate import generate
from pdeinv.cli.info import info
from pdeinv.cli.observe import observe
from pdeinv.cli.plan import plan
from pdeinv.cli.problem import problem
from pdeinv.cli.reconstruct import reconstruct
from pdeinv.cli.report import report
from pdeinv.cli.study import study
from pdeinv.cli.study_assumptions import (
    alarm_rates,
    calibrated,
    model_choice,
    robust_readings,
    unknown_numbers,
    unknown_viscosity,
    wrong_assumptions,
)
from pdeinv.cli.study_families import scene_limits
from pdeinv.cli.study_problems import (
    any_experiment,
    aquifer,
    basin,
    black_box,
    flow_sensors,
    further_readings,
    plans,
    pumping_test,
    quantities,
    two_inclusions,
    two_pumping_tests,
    uncertain_sides,
)
from pdeinv.cli.study_reliability import crashes, memory, roofline, soak, workers
from pdeinv.cli.train import train
from pdeinv.cli.view import view
from pdeinv.errors import InputError, run_cli

__all__ = ["app", "main"]

app = typer.Typer(
    help="Recover the coefficient and the solution of a two-dimensional PDE from sparse, noisy "
    "sensors, with uncertainty.",
    epilog="Start with `pdeinv problem`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    *(reconstruct, problem, observe, generate, train, demo, benchmark, report, equivariance),
    *(calibrate, check, compare, design, info, plan, view),
):
    app.command()(command)
for measured in (
    *(aquifer, basin, black_box, pumping_test, two_pumping_tests, uncertain_sides, flow_sensors),
    *(further_readings, quantities, any_experiment, two_inclusions, unknown_numbers, plans),
    workers,
    *(unknown_viscosity, wrong_assumptions, robust_readings, alarm_rates, model_choice),
    *(calibrated, scene_limits, crashes, soak, memory, roofline),
):
    study.command()(measured)
app.add_typer(study, name="study")


def main() -> None:
    """Run the command line; an error ends it with one sentence and the exit codes of `run_cli`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the encoding may lack σ
    warnings.showwarning = _show_warning
    run_cli(_run)


def _run() -> None:
    _check_arguments(sys.argv[1:])
    app()


def _check_arguments(arguments: list[str]) -> None:
    """Refuse an empty value, such as that of a shell's variable that is not set.

    It would mean the working directory, or the default.
    """
    for before, argument in itertools.pairwise(["pdeinv", *arguments]):
        option, equals, value = argument.partition("=")
        named = option.startswith("--") and equals
        if not argument or (named and not value):
            what = option if named else f"the argument after {before!r}"
            raise InputError(f"{what} must not be empty; leave it out or give a value")
        if "\0" in argument:
            raise InputError(f"an argument must not hold a null byte, got {argument!r}; remove it")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        import pdeinv

        typer.echo(pdeinv.__version__)
        raise typer.Exit()

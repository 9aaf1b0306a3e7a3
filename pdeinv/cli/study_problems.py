"""`pdeinv study aquifer`, `basin`, `black-box`, `pumping-test`, `two-pumping-tests`,
`uncertain-sides`, `further-readings`, `quantities`, `flow-sensors`, `any-experiment`,
`two-inclusions`, `plans`: problems of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from pdeinv.cli.study import (
    Cases,
    FigureFile,
    Methods,
    Nodes,
    ResumingOut,
    checked_instances,
    checked_names,
    measure,
)

__all__ = [
    "any_experiment",
    "aquifer",
    "basin",
    "black_box",
    "flow_sensors",
    "further_readings",
    "plans",
    "pumping_test",
    "quantities",
    "two_inclusions",
    "two_pumping_tests",
    "uncertain_sides",
]

Truths = Annotated[int, typer.Option(callback=checked_instances, help="Number of truths.")]


def aquifer(
    out: ResumingOut,
    instances: Truths = 16,
    log_std: Annotated[
        list[float] | None,
        typer.Option(
            help="Standard deviation of the logarithm of the conductivity; may be repeated. That "
            "of the example if not given."
        ),
    ] = None,
    method: Methods = None,
) -> None:
    """Reconstruct truths of the example aquifer, and compare with kriging."""
    from pdeinv.benchmarks.studies.aquifer import LOG_STD, METHODS, aquifer_table, run

    methods, log_stds = method or METHODS, log_std or (LOG_STD,)
    measure(run, aquifer_table, out, instances=instances, log_stds=log_stds, methods=methods)


def basin(out: ResumingOut, instances: Truths = 16, method: Methods = None) -> None:
    """Reconstruct truths of the example basin, of any shape, and compare with kriging."""
    from pdeinv.benchmarks.studies.basin import METHODS, basin_table, run

    measure(run, basin_table, out, instances=instances, methods=method or METHODS)


def black_box(out: ResumingOut, instances: Truths = 16, method: Methods = None) -> None:
    """Reconstruct truths of the example aquifer by solves alone, next to Gauss–Newton."""
    from pdeinv.benchmarks.studies.black_box import METHODS, black_box_table, run

    methods = checked_names(method or (), [name for name, _ in METHODS])
    measure(run, black_box_table, out, instances=instances, methods=methods)


def pumping_test(out: ResumingOut, instances: Truths = 16, method: Methods = None) -> None:
    """Reconstruct truths of the example pumping test, and compare with kriging."""
    from pdeinv.benchmarks.studies.pumping_test import METHODS, pumping_table, run

    methods = checked_names(method or METHODS, METHODS)
    measure(run, pumping_table, out, instances=instances, methods=methods)


def two_pumping_tests(out: ResumingOut, instances: Truths = 16) -> None:
    """Reconstruct truths of the example with two pumping tests, from both and from each alone."""
    from pdeinv.benchmarks.studies.two_pumping_tests import run, two_tests_table

    measure(run, two_tests_table, out, instances=instances)


def uncertain_sides(
    out: ResumingOut,
    instances: Truths = 32,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help="Whether recharge and side are 'inferred' or 'taken as known'; may be repeated. "
            "The first if not given."
        ),
    ] = None,
) -> None:
    """Reconstruct truths of the aquifer whose recharge and left side are uncertain."""
    from pdeinv.benchmarks.studies.uncertain_sides import ARMS, run, uncertain_table

    arms = checked_names(arm or ARMS[:1], ARMS, "arm")
    measure(run, uncertain_table, out, instances=instances, arms=arms)


def further_readings(
    out: ResumingOut,
    instances: Truths = 32,
    case: Cases = None,
) -> None:
    """Add five readings by design, at random and far from all others, and compare the errors."""
    from pdeinv.benchmarks.studies.further_readings import CASES, further_readings_table, run

    cases = checked_names(case or (), CASES, "case")
    measure(run, further_readings_table, out, instances=instances, cases=cases)


def quantities(
    out: ResumingOut,
    instances: Truths = 64,
    case: Cases = None,
) -> None:
    """Count the truths whose fluxes, means and travel times are within their intervals."""
    from pdeinv.benchmarks.studies.quantities import CASES, quantities_table, run

    cases = checked_names(case or (), CASES, "case")
    measure(run, quantities_table, out, instances=instances, cases=cases)


def flow_sensors(out: ResumingOut, instances: Truths = 16, grid: Nodes = 64) -> None:
    """Reconstruct flows from velocities in time, and from as many vorticities."""
    from pdeinv.benchmarks.studies.flow_sensors import flow_sensors_table, run

    measure(run, flow_sensors_table, out, instances=instances, grid=grid)


def two_inclusions(out: ResumingOut, instances: Truths = 8, plot: FigureFile = None) -> None:
    """Reconstruct two inclusions from scattered waves, next to the Born approximation.

    The figure is of the first medium.
    """
    from pdeinv.benchmarks.studies.two_inclusions import run, two_inclusions_table
    from pdeinv.files import check_figure, save_figure

    if plot:
        check_figure(plot)
    measure(run, two_inclusions_table, out, instances=instances)
    if plot:
        from pdeinv.benchmarks.studies.two_inclusions_figure import plot_inclusions

        save_figure(plot_inclusions(), plot)


def any_experiment(
    out: ResumingOut,
    instances: Truths = 3,
    grid: Nodes = 64,
    sensors: Annotated[int, typer.Option(help="Readings of the solution.")] = 60,
    method: Methods = None,
) -> None:
    """Use one prior of the coefficient under other sides, wells and physics, next to the limit."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies import any_experiment as module

    records = module.run(
        out,
        instances=instances,
        grid=grid,
        sensors=sensors,
        methods=checked_names(method or (), module.METHODS),
        command=typed_command(),
    )
    typer.echo(module.experiment_table(records))


def plans(
    out: ResumingOut,
    instances: Annotated[
        int, typer.Option(callback=checked_instances, help="Number of tables of readings.")
    ] = 4,
    case: Cases = None,
    grid: Annotated[
        int | None, typer.Option(help="Nodes per side. Those of each case if not given.")
    ] = None,
) -> None:
    """Measure calls of plans against a product and against reconstructions, in turn."""
    from pdeinv.benchmarks.studies.plan_speed import CASES, plans_table, run

    cases = checked_names(case or (), CASES, "case")
    measure(run, plans_table, out, instances=instances, cases=cases, grid=grid)

"""`pdeinv study aquifer`, `black-box`, `pumping-test`, `any-experiment`: problems of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from pdeinv.cli.study import Methods, Nodes, ResumingOut
from pdeinv.errors import InputError

__all__ = ["any_experiment", "aquifer", "black_box", "pumping_test"]


def aquifer(
    out: ResumingOut,
    instances: Annotated[int, typer.Option(help="Number of truths.")] = 16,
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
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies import aquifer as module

    records = module.run(
        out,
        instances=instances,
        log_stds=log_std or (module.LOG_STD,),
        methods=method or module.METHODS,
        command=typed_command(),
        echo=typer.echo,
    )
    typer.echo(module.aquifer_table(records))


def black_box(
    out: ResumingOut,
    instances: Annotated[int, typer.Option(help="Number of truths.")] = 16,
    method: Methods = None,
) -> None:
    """Reconstruct truths of the example aquifer by solves alone, next to Gauss–Newton."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies import black_box as module

    _check_methods(method or (), [name for name, _ in module.METHODS])
    records = module.run(
        out,
        instances=instances,
        methods=method or (),
        command=typed_command(),
        echo=typer.echo,
    )
    typer.echo(module.black_box_table(records))


def pumping_test(
    out: ResumingOut,
    instances: Annotated[int, typer.Option(help="Number of truths.")] = 16,
    method: Methods = None,
) -> None:
    """Reconstruct truths of the example pumping test, and compare with kriging."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies import pumping_test as module

    _check_methods(method or (), module.METHODS)
    records = module.run(
        out,
        instances=instances,
        methods=method or module.METHODS,
        command=typed_command(),
        echo=typer.echo,
    )
    typer.echo(module.pumping_table(records))


def any_experiment(
    out: ResumingOut,
    instances: Annotated[int, typer.Option(help="Truths of each experiment.")] = 3,
    grid: Nodes = 64,
    sensors: Annotated[int, typer.Option(help="Readings of the solution.")] = 60,
    method: Methods = None,
) -> None:
    """Use one prior of the coefficient under other sides, wells and physics, next to the limit."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies import any_experiment as module

    _check_methods(method or (), module.METHODS)
    records = module.run(
        out,
        instances=instances,
        grid=grid,
        sensors=sensors,
        methods=method or (),
        command=typed_command(),
    )
    typer.echo(module.experiment_table(records))


def _check_methods(given: Iterable[str], known: Iterable[str]) -> None:
    known = list(dict.fromkeys(known))
    for name in given:
        if name not in known:
            raise InputError(f"method must be one of {', '.join(known)}, got {name!r}; choose one")

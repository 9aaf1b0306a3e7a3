"""`pdeinv study scene-limits`: the limits of tasks whose coefficients are not Gaussian."""

from __future__ import annotations

from typing import Annotated

import typer

from pdeinv.cli.study import Instances, Nodes, ResumingOut

__all__ = ["scene_limits"]


def scene_limits(
    out: ResumingOut,
    family: Annotated[str, typer.Option(help="A family of objects.")] = "channels",
    pde: Annotated[
        list[str] | None,
        typer.Option(help="Name of a PDE of the family; may be repeated. All if not given."),
    ] = None,
    grid: Nodes = 64,
    sensors: Annotated[
        list[int] | None,
        typer.Option(help="Random nodes with a sensor; may be repeated. 125, 40 and 20 if none."),
    ] = None,
    noise: Annotated[
        float, typer.Option(help="Above 0, relative to the field's standard deviation.")
    ] = 0.05,
    instances: Instances = 16,
    first: Annotated[int, typer.Option(min=0, max=10**6, help="Number of the first one.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of each chain.")] = 3000,
) -> None:
    """Compare chains over objects that start at draws of the prior and at the truth."""
    from pdeinv.benchmarks.families import FAMILIES
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies.scene_limits import SENSORS, run, scene_limits_table
    from pdeinv.benchmarks.tasks import Task

    names = pde or [*FAMILIES.get(family, ())] or [""]  # `Task` refuses an unknown family
    tasks = [
        Task(name, "inverse", grid, m, noise, family=family)
        for name in names
        for m in sensors or SENSORS
    ]
    records = run(
        out,
        tasks,
        range(first, first + instances),
        steps=steps,
        command=typed_command(),
        echo=typer.echo,
    )
    typer.echo(scene_limits_table(records))

"""`pdeinv problem`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["problem"]


def problem(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of an example, a problem file, whose content is shown, or the folder of a "
            "MODFLOW model, of which a problem file is made; without one, the examples are listed."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.")] = Path("."),
) -> None:
    """List example problems, write one (a commented file and a table of sensors), show a file, or
    make one of a MODFLOW model."""
    from pdeinv.errors import InputError
    from pdeinv.files import atomic_write, check_writable, ensure_folder
    from pdeinv.problems import EXAMPLES, example_by_name

    if name is None:
        width = max(map(len, EXAMPLES))
        for one in EXAMPLES.values():
            typer.echo(f"{one.name:<{width}}  {one.summary}")
        typer.echo("\nwrite one with: pdeinv problem NAME")
        return
    if name.endswith(".toml"):
        typer.echo(_shown(name))
        return
    if Path(name).is_dir():
        typer.echo(_of_model(Path(name), out))
        return
    example = example_by_name(name)
    sensors = example.truth().sensors
    table = sensors.table.to_csv(index=False, float_format="%.12g", lineterminator="\n")
    contents = {
        out / f"{name}.toml": example.text.encode(),
        out / f"{name}.csv": table.encode(),
    }
    ensure_folder(out)
    for path, content in contents.items():
        if check_writable(path).exists() and path.read_bytes() != content:
            raise InputError(
                f"{path} exists already, with other content; move it away, or choose another "
                f"folder with --out"
            )
    for path, content in contents.items():
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    file, csv = (shlex.quote(str(path)) for path in contents)
    result, figure = (shlex.quote(str(out / f"{name}.{kind}")) for kind in ("nc", "png"))
    typer.echo(
        f"{file}: {example.summary}\n"
        f"{csv}: {len(sensors)} readings of a truth drawn from the problem's prior\n"
        f"reconstruct it with:\n"
        f"pdeinv reconstruct {csv} --problem {file} --out {result} --plot {figure}"
    )


def _of_model(folder: Path, out: Path) -> str:
    """Write the problem of a MODFLOW model, and return what was written."""
    from pdeinv.errors import InputError
    from pdeinv.files import ensure_folder
    from pdeinv.problems import read_modflow, save_problem

    path = out / f"{folder.resolve().name}.toml"
    if path.exists():
        raise InputError(
            f"{path} exists already; move it away, or choose another folder with --out"
        )
    made = read_modflow(folder)
    ensure_folder(out)
    save_problem(made, path)
    return f"{path}: {made.physics.equation}, on {made.grid} cells"


def _shown(path: str) -> str:
    """Return what a problem file states, and its unknown numbers."""
    from pdeinv.datasets import Problem
    from pdeinv.solvers.assumptions import physics_in_words, prior_in_words

    problem = Problem.load(path)
    lines = [physics_in_words(problem.physics), prior_in_words(problem.physics, problem.prior)]
    if unknowns := problem.unknowns:
        lines.append("unknown numbers, inferred with the fields:")
        width = max(len(one.name) for one in unknowns)
        lines += [f"  {one.name:<{width}}  {one.in_words}" for one in unknowns]
    return "\n".join(lines)

"""The command line: `pdeinv --help`.

A file for each command or a few; they import what they need themselves, so that --help does not
wait seconds for torch.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from pdeinv.cli.benchmark import benchmark
from pdeinv.cli.datasets import demo, generate, info
from pdeinv.cli.equivariance import equivariance
from pdeinv.cli.reconstruct import reconstruct
from pdeinv.cli.report import report
from pdeinv.cli.study import study
from pdeinv.cli.train import train
from pdeinv.errors import run_cli

__all__ = ["app", "main"]

app = typer.Typer(
    help="Recover the coefficient and the solution of a two-dimensional PDE from sparse, noisy "
    "sensors, with uncertainty.",
    epilog="Start with `pdeinv demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (reconstruct, generate, train, demo, benchmark, report, equivariance, info):
    app.command()(command)
app.add_typer(study, name="study")


def main() -> None:
    """Entry point: bad input ends in one sentence and exit code 2, an interruption in exit code
    130."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a file on Windows has no letter for σ
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    run_cli(app)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        import pdeinv

        typer.echo(pdeinv.__version__)
        raise typer.Exit()

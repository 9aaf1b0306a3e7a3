"""`pdeinv train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import Seed
from pdeinv.errors import InputError

__all__ = ["train"]


def train(
    data: Annotated[
        Path,
        typer.Argument(help="HDF5 dataset of one field or two, such as `pdeinv generate` writes."),
    ],
    out: Annotated[Path, typer.Option(help="Safetensors file to write.")],
    minutes: Annotated[
        float | None, typer.Option(help="Time to train; or give --steps. 90 if neither is given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps to train.")] = None,
    model: Annotated[
        str,
        typer.Option(
            help="diffusion, gaussian (needs seconds and no budget), operator (coefficient to "
            "solution), inverse-operator "
            "(solution to coefficient) or regressor (sensors to both fields)."
        ),
    ] = "diffusion",
    channels: Annotated[
        str, typer.Option(help="Fields of the prior: both, coefficient or solution.")
    ] = "both",
    widths: Annotated[
        str,
        typer.Option(
            help="Channels of the diffusion network's levels; fewer are faster, as nearly "
            "Gaussian fields need."
        ),
    ] = "64,96,128",
    batch: Annotated[int, typer.Option(help="Fields a step.")] = 32,
    rate: Annotated[float, typer.Option(help="Largest learning rate.")] = 1e-3,
    noise: Annotated[
        str, typer.Option(help="Noise of the diffusion: exponential or white.")
    ] = "exponential",
    precondition: Annotated[
        str,
        typer.Option(
            help="What the network corrects: gaussian (the linear denoiser) or edm (a multiple of "
            "its input)."
        ),
    ] = "gaussian",
    symmetry: Annotated[
        bool,
        typer.Option(help="Augment by the symmetries of the dataset's PDE, and average over them."),
    ] = True,
    seed: Seed = 0,
) -> None:
    """Train a prior, or a neural operator, on a dataset; an interrupted run resumes when
    repeated."""
    from functools import partial

    from pdeinv import priors
    from pdeinv.files import check_new

    makers = {
        "diffusion": lambda data: priors.DiffusionPrior.untrained(
            fit(data), widths=_numbers(widths), preconditioning=precondition
        ),
        "operator": priors.NeuralOperator.untrained,
        "inverse-operator": priors.NeuralOperator.untrained,
        "regressor": priors.SensorRegressor.untrained,
    }
    if model not in (*makers, "gaussian"):
        raise InputError(f"--model {model!r} is unknown; use gaussian, {', '.join(makers)}")
    _numbers(widths)  # now, not after a minute of fitting
    if precondition not in ("gaussian", "edm"):
        raise InputError(f"--precondition {precondition!r} is unknown; use gaussian or edm")
    check_new(out)
    if minutes is None and steps is None:
        minutes = 90.0
    what = f"diffusion, {widths}, {precondition}, {noise}" if model == "diffusion" else model
    settings = priors.Settings(
        what, minutes, steps, batch=batch, rate=rate, symmetry=symmetry, seed=seed
    )
    fit = partial(
        priors.GaussianPrior.fit, noise=priors.Noise(noise), symmetry=symmetry, progress=True
    )
    fields = priors.TrainingData.read(data, channels)
    if model == "inverse-operator":
        fields = fields.swapped()
    if model == "gaussian":
        priors.save(fit(fields), out)
    else:
        priors.train(makers[model], fields, out, settings, progress=True, echo=_beside_the_bar)
    typer.echo(
        f"{out}: {model} of {', '.join(f.name for f in fields.fields)} from {len(fields)} samples "
        f"of {data}"
    )


def _numbers(text: str) -> tuple[int, ...]:
    """Widths of a network, multiples of 16, from a comma-separated option."""
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = ()
    if not widths or any(w < 16 or w % 16 for w in widths):
        raise InputError(
            f"--widths {text!r} must be multiples of 16 with commas between, such as 32,48,64"
        )
    return widths


def _beside_the_bar(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(line)

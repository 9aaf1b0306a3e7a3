"""`pdeinv train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from pdeinv.checks import Bounds, integer
from pdeinv.cli.options import PDE_HELP, Device, Dims, Names, ProblemFile, Seed
from pdeinv.errors import InputError
from pdeinv.locking import sole_writer

if TYPE_CHECKING:
    from pdeinv.priors import GaussianPrior, Noise, Trainable, TrainingData
    from pdeinv.priors.diffusion import Preconditioning

__all__ = ["train"]

T = TypeVar("T", bound=str)

_MINUTES = 90.0  # of training, if neither minutes nor steps are given
_NOISE_LENGTH = 0.02

Data = Annotated[
    Path,
    typer.Argument(help="Dataset of one or two fields, such as `pdeinv generate` writes."),
]
Out = Annotated[Path, typer.Option(help="Safetensors file to write.")]
Minutes = Annotated[
    float | None,
    typer.Option(help=f"Training time; or set --steps. The default is {_MINUTES:g}."),
]
Steps = Annotated[int | None, typer.Option(help="Training steps.")]
ModelName = Annotated[
    str,
    typer.Option(
        help="diffusion, gaussian (needs seconds, and neither --minutes nor --steps), operator "
        "(coefficient to solution), inverse-operator (solution to coefficient) or regressor "
        "(sensors to both fields)."
    ),
]
Channels = Annotated[str, typer.Option(help="Fields of the prior: both, coefficient or solution.")]
Widths = Annotated[
    str,
    typer.Option(
        help="Channels of the diffusion network's levels, multiples of 16. Nearly Gaussian "
        "fields need fewer."
    ),
]
Batch = Annotated[int, typer.Option(help="Samples in a training step.")]
Rate = Annotated[float, typer.Option(help="Largest learning rate.")]
NoiseName = Annotated[str, typer.Option(help="Noise of the diffusion: exponential or white.")]
NoiseLength = Annotated[
    float,
    typer.Option(
        help="Correlation length of exponential noise, as a share of the domain's shorter side. "
        "White noise has none."
    ),
]
DataPde = Annotated[
    str | None, typer.Option("--pde", help=f"{PDE_HELP} For a dataset that does not state its PDE.")
]
Precondition = Annotated[
    str,
    typer.Option(
        help="What the network corrects: gaussian (the linear denoiser) or edm (a multiple of its "
        "input)."
    ),
]
Rank = Annotated[
    int | None,
    typer.Option(
        help="Most eigenvectors of the Gaussian part that the file keeps. The default is all of "
        "them where these are not too many."
    ),
]
Processes = Annotated[
    int, typer.Option(help="Number of processes, each of which takes a share of every batch.")
]
Symmetry = Annotated[
    bool,
    typer.Option(
        help="Augment by the symmetries of the dataset's PDE, and average the Gaussian part over "
        "them."
    ),
]


def train(
    data: Data,
    out: Out,
    minutes: Minutes = None,
    steps: Steps = None,
    model: ModelName = "diffusion",
    channels: Channels = "both",
    widths: Widths = "64,96,128",
    batch: Batch = 32,
    rate: Rate = 1e-3,
    noise: NoiseName = "exponential",
    noise_length: NoiseLength = _NOISE_LENGTH,
    precondition: Precondition = "gaussian",
    symmetry: Symmetry = True,
    rank: Rank = None,
    pde: DataPde = None,
    problem: ProblemFile = None,
    names: Names = None,
    dims: Dims = None,
    device: Device = "cpu",
    processes: Processes = 1,
    seed: Seed = 0,
) -> None:
    """Train a prior or a neural operator on a dataset; repeat an interrupted command to resume."""
    from pdeinv import priors
    from pdeinv.priors.team import check_processes
    from pdeinv.progress import print_above
    from pdeinv.torch_state import checked_device

    models = ("gaussian", *_TRAINED)
    if model not in models:
        raise InputError(
            f"--model must be one of {', '.join(models)}, got {model!r}; choose one of them"
        )
    check_processes(processes, batch, checked_device(device))
    options = _Options.parse(widths, noise, noise_length, precondition, symmetry, rank, seed)
    _check_new(out, model)
    minutes = _MINUTES if minutes is None and steps is None else minutes
    name = f"diffusion, {widths}, {options.stated()}" if model == "diffusion" else model
    settings = priors.Settings(name, minutes, steps, batch, rate, symmetry, seed=seed)
    fields = _read(data, channels, pde, problem, names=names, dims=dims)
    if model == "gaussian":
        with sole_writer(out):
            priors.save(_gaussian(fields, options), out)
    else:
        recipe = _TRAINED[model]
        fields = fields.swapped() if recipe.swapped else fields
        how: dict[str, Any] = {"device": device, "processes": processes, "progress": True}
        priors.train(
            lambda samples: recipe.make(samples, options),
            fields,
            out,
            settings,
            **how,
            echo=print_above,
        )
    typer.echo(
        f"{out}: {model} of {', '.join(f.name for f in fields.fields)} from {len(fields)} samples "
        f"of {data}"
    )


def _check_new(out: Path, model: str) -> None:
    """Refuse a file that exists; `train` refuses it, too, and removes a checkpoint of its run."""
    from pdeinv.files import check_new, check_writable

    with sole_writer(out):
        resumes = model in _TRAINED and out.with_name(f"{out.name}.checkpoint").exists()
        (check_writable if resumes else check_new)(out)


def _read(
    data: Path, channels: str, pde: str | None, problem: Path | None, **contents: str | None
) -> TrainingData:
    """Return the data, which must be those of the problem where one is given."""
    from pdeinv.priors import TrainingData

    if problem is None:
        return TrainingData.read(data, channels, pde=pde, **contents)
    if pde is not None:
        raise InputError("--pde and --problem exclude each other; leave out --pde")
    from pdeinv.datasets import Problem
    from pdeinv.problems import check_dataset

    given = Problem.load(problem)
    check_dataset(data, given, coefficient=channels == "coefficient", **contents)
    return TrainingData.read(data, channels, pde=given.physics, **contents)


@dataclass(frozen=True)
class _Options:
    """The options of the models, checked."""

    widths: tuple[int, ...]
    noise: Noise
    preconditioning: Preconditioning
    symmetry: bool
    rank: int | None
    seed: int

    @classmethod
    def parse(
        cls,
        widths: str,
        noise: str,
        length: float,
        precondition: str,
        symmetry: bool,
        rank: int | None,
        seed: int,
    ) -> _Options:
        from pdeinv.priors import Noise

        return cls(
            _numbers(widths),
            Noise(_choice("--noise", noise, ("exponential", "white")), length),
            _choice("--precondition", precondition, ("gaussian", "edm")),
            symmetry,
            None if rank is None else integer("--rank", rank, Bounds(1, 10**6)),
            seed,
        )

    def stated(self) -> str:
        """Return the options of a diffusion model but its widths, as its file states them."""
        kind, length = self.noise.kind, self.noise.length
        own_length = kind != "white" and length != _NOISE_LENGTH
        noise = f"{kind} {length:g}" if own_length else kind
        few = [] if self.rank is None else [f"rank {self.rank}"]
        return ", ".join([self.preconditioning, noise, *few])


def _gaussian(data: TrainingData, options: _Options) -> GaussianPrior:
    from pdeinv.priors import GaussianPrior

    return GaussianPrior.fit(
        data,
        noise=options.noise,
        symmetry=options.symmetry,
        rank=options.rank,
        progress=True,
    )


def _diffusion(data: TrainingData, options: _Options) -> Trainable:
    from pdeinv.priors import DiffusionPrior

    return DiffusionPrior.untrained(
        _gaussian(data, options),
        widths=options.widths,
        preconditioning=options.preconditioning,
        seed=options.seed,
    )


def _operator(data: TrainingData, options: _Options) -> Trainable:
    from pdeinv.priors import NeuralOperator

    return NeuralOperator.untrained(data, seed=options.seed)


def _regressor(data: TrainingData, options: _Options) -> Trainable:
    from pdeinv.priors import SensorRegressor

    return SensorRegressor.untrained(data, seed=options.seed)


class _Recipe(NamedTuple):
    """How a model is trained.

    Arguments:
        make: returns the untrained model.
        swapped: train from the solution to the coefficient.
    """

    make: Callable[[TrainingData, _Options], Trainable]
    swapped: bool = False


_TRAINED = {
    "diffusion": _Recipe(_diffusion),
    "operator": _Recipe(_operator),
    "inverse-operator": _Recipe(_operator, swapped=True),
    "regressor": _Recipe(_regressor),
}


def _numbers(text: str) -> tuple[int, ...]:
    """Return the widths of a network from a comma-separated option."""
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = ()
    if not widths or any(w < 16 or w % 16 for w in widths):
        raise InputError(
            f"--widths must be multiples of 16 with commas between, got {text!r}; use for example "
            f"32,48,64"
        )
    return widths


def _choice(option: str, value: str, choices: tuple[T, ...]) -> T:
    """Return the choice that an option names."""
    for choice in choices:
        if choice == value:
            return choice
    raise InputError(f"{option} must be {' or '.join(choices)}, got {value!r}; choose one of them")

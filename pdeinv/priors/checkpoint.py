"""Checkpoints of training: a model's tensors, those of the run, and the run's state as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, JsonValue, ValidationError

from pdeinv.errors import InputError
from pdeinv.priors.base import Trainable
from pdeinv.priors.description import Described
from pdeinv.priors.storage import restored
from pdeinv.priors.stored import FLOAT, Tensors, Unfit, open_tensors, write_tensors
from pdeinv.schema import Amount, Count, problem_of

__all__ = [
    "MOMENTS",
    "CheckpointState",
    "check_plan",
    "drop_finished",
    "open_checkpoint",
    "restored_model",
    "save_checkpoint",
    "taken_like",
    "taken_state",
]

FORMAT = "pdeinv-checkpoint"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Names of Adam's moving averages for each parameter."""
_RUN = ("average", "generator", *MOMENTS)
_REMEDY = "move it away to start again, or give another --out"


class CheckpointState(Described):
    """The state of a run, but for its tensors.

    Arguments:
        plan: settings and data, which determine the run.
        model: the header of the model's file.
        step, seconds, loss, history: how far the run is.
    """

    plan: dict[str, JsonValue]
    model: str
    step: Count
    seconds: Amount
    loss: float
    history: Annotated[list[dict[str, JsonValue]], Field(max_length=1000)]


def save_checkpoint(
    path: Path,
    state: CheckpointState,
    model: Mapping[str, torch.Tensor],
    run: Mapping[str, torch.Tensor],
    generator: torch.Generator,
) -> None:
    """Write a checkpoint.

    Arguments:
        path: the file to write.
        state: of the run.
        model: the tensors of the model's file.
        run: those of the run, complex ones too.
        generator: of the run.
    """
    real = {k: torch.view_as_real(t) if t.is_complex() else t for k, t in run.items()}
    tensors = {**model, **real, "generator": generator.get_state()}
    write_tensors(path, tensors, FORMAT, json.dumps(state.model_dump()))


@contextmanager
def open_checkpoint(path: Path) -> Iterator[tuple[CheckpointState, Tensors]]:
    """Yield the state and the tensors of a checkpoint.

    Raises:
        InputError: the file is not a checkpoint, or the block ends in a ValueError.
    """
    with open_tensors(path, FORMAT, "a checkpoint of `pdeinv train`", _REMEDY) as (text, tensors):
        try:
            state = CheckpointState.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(problem_of(error, "the header")) from None
        yield state, tensors


def check_plan(state: CheckpointState, plan: Mapping[str, Any], path: Path) -> None:
    """Refuse the checkpoint of another run.

    Raises:
        ValueError: settings or data differ.
    """
    now = json.loads(json.dumps(plan))  # tuples become lists in a file
    different = [
        f"{k} = {state.plan.get(k)!r}, not {v!r}" for k, v in now.items() if state.plan.get(k) != v
    ]
    if different:
        raise Unfit(
            f"there is an unfinished run with {'; '.join(different)}",
            f"finish that run, or {_REMEDY}",
        )


def drop_finished(path: Path, plan: Mapping[str, Any]) -> None:
    """Remove the checkpoint of a run that was killed when its model was in its place.

    Arguments:
        path: the checkpoint; it stays if it is of another run, or of an unfinished one.
        plan: of the run, as of `check_plan`.
    """
    with suppress(InputError), open_checkpoint(path) as (state, _):
        check_plan(state, plan, path)
        steps, minutes = plan["steps"], plan["minutes"]
        if state.step >= steps if steps else state.seconds >= 60 * minutes:
            path.unlink()


def restored_model(state: CheckpointState, tensors: Tensors) -> Trainable:
    """Return the model of a checkpoint.

    Raises:
        ValueError: it is not one that can be trained, or its tensors do not fit.
    """
    model = restored(tensors, state.model, besides=_RUN)
    if not isinstance(model, Trainable):
        raise ValueError(f"the model must be one that can be trained, got {model!r}")
    return model


def taken_like(tensors: Tensors, name: str, like: torch.Tensor) -> torch.Tensor:
    """Return a tensor of the shape, type and strides of another."""
    shape = (*like.shape, 2) if like.is_complex() else tuple(like.shape)
    stored = tensors.take(name, shape, FLOAT)
    stored = torch.view_as_complex(stored) if like.is_complex() else stored
    return torch.empty_like(like, requires_grad=False).copy_(stored)


def taken_state(tensors: Tensors, generator: torch.Generator) -> torch.Tensor:
    """Return the state of a generator."""
    shape = tuple(generator.get_state().shape)
    return tensors.take("generator", shape, (torch.uint8,), least=0, most=255)

"""Models in files: tensors in the safetensors format, all else as JSON in its header.

A header is checked against the schema of its class, and every tensor against what the header says.
"""

from __future__ import annotations

import json
import os
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, overload

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pdeinv.errors import InputError
from pdeinv.files import check_path
from pdeinv.priors.base import Model
from pdeinv.priors.description import Description
from pdeinv.priors.stored import Tensors, Unfit, open_tensors, write_tensors
from pdeinv.priors.versions import FORMAT_VERSION
from pdeinv.schema import parse_json, problem_of

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["Role", "described", "load", "restored", "save", "shipped", "shipped_name"]

M = TypeVar("M", bound=Model)

FORMAT = "pdeinv-prior"

Role = Literal["joint", "white", "coefficient", "regressor", "operator"]
"""What a shipped model is: a prior of both fields, the same as DiffusionPDE's paper has it (white
noise, and a network in EDM's preconditioning), a prior of the coefficient alone, a regressor from
sensors, or an operator from the coefficient to the solution."""


def save(model: Model, path: str | os.PathLike, *, half: bool = True) -> Path:
    """Write a model to a file.

    Arguments:
        model: a prior or a neural operator.
        path: the file to write.
        half: write the weights of networks in half precision.

    Raises:
        InputError: the file cannot be written, or could not be read.
    """
    tensors, text = described(model, half)
    try:
        restored(Tensors.of(tensors), text)
    except ValueError as error:  # such as weights beyond half precision
        raise InputError(f"{error}, in {model!r}; make the model otherwise") from None
    write_tensors(path, tensors, FORMAT, text)
    return Path(path)


def described(model: Model, half: bool) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors of a model and its header as JSON.

    Raises:
        InputError: the header does not fit the schema of the model's class.
    """
    tensors, header = model.describe(half)
    versions = {"format_version": FORMAT_VERSION, "pdeinv_version": metadata.version("pdeinv")}
    text = json.dumps({**versions, **header})
    try:
        _description(text)
    except ValueError as error:
        raise InputError(
            f"{error}, in the description of {model!r}; make the model otherwise"
        ) from None
    return tensors, text


def restored(tensors: Tensors, text: str, besides: tuple[str, ...] = ()) -> Model:
    """Return the model that `described` has described.

    Arguments:
        tensors: of the file.
        text: the header as JSON.
        besides: names before the first dot of tensors that do not belong to the model.

    Raises:
        ValueError: the tensors do not fit the header, or the header its schema; the message is
            without a remedy.
    """
    made, description = _description(text)
    model = made.restore(tensors, description)
    tensors.check_all_taken(besides)
    return model


@overload
def load(path: str | os.PathLike) -> Model: ...
@overload
def load(path: str | os.PathLike, expected: type[M]) -> M: ...
def load(path: str | os.PathLike, expected: type[Model] | None = None) -> Model:
    """Read a model.

    Arguments:
        path: a file, or the name of a shipped model (see `shipped`).
        expected: the class that the model must have, such as `NeuralOperator`; any if None.

    Raises:
        InputError: the file is missing, of another format or of a later version, holds a model of
            another class, or does not fit the schema of its class.
    """
    if isinstance(path, str) and path in shipped():
        with resources.as_file(_folder() / f"{path}.safetensors") as real:
            model = _read(real)
    else:
        model = _read(Path(path))
    if expected is not None and not isinstance(model, expected):
        raise InputError(
            f"{path} must hold a {expected.__name__}, got {model!r}; give another file, or train "
            f"one with `pdeinv train --model`"
        )
    return model


def _read(path: Path) -> Model:
    if not check_path(path).is_file():
        raise InputError(
            f"there is no prior file {path}; train one with `pdeinv train`, or use a shipped one: "
            f"{', '.join(shipped()) or 'none'}"
        )
    remedy = "train or copy it again"
    with open_tensors(path, FORMAT, "a prior file of this package", remedy) as (text, tensors):
        return restored(tensors, text)


class _Header(BaseModel):
    """What tells how to read the rest of a header."""

    model_config = ConfigDict(strict=True, defer_build=True)

    format_version: Annotated[int, Field(ge=1)]
    pdeinv_version: str = ""
    kind: str = ""


def _description(text: str) -> tuple[type[Model], Description]:
    """Return the class of a model and its description.

    Raises:
        ValueError: the text does not fit the schema.
    """
    try:
        header = parse_json(text)
    except ValueError as error:
        raise ValueError(f"the header must be JSON, and is not ({error})") from None
    try:
        head = _Header.model_validate(header)
        if head.format_version > FORMAT_VERSION:
            raise Unfit(
                f"format_version must be at most {FORMAT_VERSION}, got {head.format_version}",
                "upgrade pdeinv",
            )
        if head.kind not in Model.kinds:
            raise Unfit(
                f"kind must be one of {', '.join(Model.kinds)}, got {head.kind!r}",
                "import the module that defines it, or upgrade pdeinv",
            )
        own = {k: v for k, v in header.items() if k == "kind" or k not in _Header.model_fields}
        made = Model.kinds[head.kind]
        if head.format_version < FORMAT_VERSION:
            own = made.description.upgraded(own, head.format_version)
        return made, made.description.model_validate_json(json.dumps(own))
    except ValidationError as error:
        raise ValueError(problem_of(error, "the header")) from None


def shipped() -> list[str]:
    """Return the names of the models that come with the package."""
    folder = _folder()
    return (
        sorted(f.name.removesuffix(".safetensors") for f in folder.iterdir())
        if folder.is_dir()
        else []
    )


def shipped_name(pde_name: str, role: Role, kind: str = "") -> str:
    """Return the name that a shipped model has.

    Arguments:
        pde_name: of the PDE; ignored for a coefficient of a kind, which any PDE may have.
        role: what the model is.
        kind: name of the coefficient's distribution, such as `channels`; that of the published
            problem if empty.
    """
    pde_name = "" if kind and role == "coefficient" else pde_name
    return "-".join(filter(None, (kind, pde_name, "" if role == "joint" else role)))


def _folder() -> Traversable:
    return resources.files("pdeinv") / "data" / "priors"

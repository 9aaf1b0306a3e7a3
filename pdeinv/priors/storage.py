"""Models in files: tensors in the safetensors format, all else as JSON in its header.

Nothing is unpickled.
"""

from __future__ import annotations

import json
import os
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, overload

import torch

from pdeinv.errors import InputError
from pdeinv.files import atomic_write, check_path
from pdeinv.priors.base import Model

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["Role", "load", "restore", "save", "shipped", "shipped_name"]

M = TypeVar("M", bound=Model)

FORMAT = "pdeinv-prior"
FORMAT_VERSION = 1

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
        InputError: the file cannot be written.
    """
    from safetensors.torch import save_file

    tensors, described = model.describe(half)
    header = {
        "format_version": FORMAT_VERSION,
        "pdeinv_version": metadata.version("pdeinv"),
        **described,
    }
    # The format allows neither strides nor shared memory
    tensors = {
        key: value.detach().clone(memory_format=torch.contiguous_format)
        for key, value in tensors.items()
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"format": FORMAT, "prior": json.dumps(header)})
    return Path(path)


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
        InputError: the file is missing, damaged, of another format or of a later version, or holds
            a model of another class.
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
    from safetensors import SafetensorError, safe_open

    if not check_path(path).is_file():
        raise InputError(
            f"there is no prior file {path}; train one with `pdeinv train`, or use a shipped one: "
            f"{', '.join(shipped()) or 'none'}"
        )
    try:
        with safe_open(path, "pt") as file:
            head = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged or not a safetensors file ({error}); train or copy it again"
        ) from None
    if head.get("format") != FORMAT:
        raise InputError(
            f"{path} is not a prior file of this package; train one with `pdeinv train`"
        )
    try:
        header = json.loads(head["prior"])
        version = header["format_version"]
        if version > FORMAT_VERSION:
            raise InputError(
                f"the format version of {path} must be at most {FORMAT_VERSION}, got {version}; "
                f"upgrade pdeinv"
            )
        return restore(tensors, header)
    except InputError:
        raise
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError) as error:
        raise InputError(
            f"{path} is incomplete or damaged ({error}); train or copy it again"
        ) from None


def restore(tensors: dict[str, torch.Tensor], header: dict) -> Model:
    """Return the model that its `describe` has described.

    Raises:
        InputError: the kind of the model is unknown.
    """
    kind = header["kind"]
    if kind not in Model.kinds:
        raise InputError(
            f"the kind of a model must be one of {', '.join(Model.kinds)}, got {kind!r}; import "
            f"the module that defines it, or upgrade pdeinv"
        )
    return Model.kinds[kind].restore(tensors, header)


def shipped() -> list[str]:
    """Return the names of the models that come with the package."""
    folder = _folder()
    return (
        sorted(f.name.removesuffix(".safetensors") for f in folder.iterdir())
        if folder.is_dir()
        else []
    )


def shipped_name(pde_name: str, role: Role) -> str:
    """Return the name that a shipped model for a PDE has."""
    return pde_name if role == "joint" else f"{pde_name}-{role}"


def _folder() -> Traversable:
    return resources.files("pdeinv") / "data" / "priors"

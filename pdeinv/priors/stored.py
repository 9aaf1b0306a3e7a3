"""Files of tensors: the safetensors format, with a JSON text in its header. Nothing is unpickled.

Sizes and types of tensors are compared with what they must be before memory is taken for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.files import atomic_write

__all__ = ["FLOAT", "HALF_OR_FLOAT", "Tensors", "Unfit", "open_tensors", "write_tensors"]

HALF_OR_FLOAT = (torch.float16, torch.float32)
FLOAT = (torch.float32,)
_TYPES = {
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "U8": torch.uint8,
}
_LARGEST = 1e30  # so that products of a few numbers stay finite


class Unfit(ValueError):
    """A file that cannot be used, with what to do about it.

    Arguments:
        problem: what is wrong, in words.
        remedy: what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


class Tensors:
    """The tensors of a file, each of which is checked as it is taken.

    Arguments:
        shapes: shape and type of each tensor by name; a type that no file of the package has is
            given by its name.
        get: returns a tensor by its name.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[tuple[int, ...], torch.dtype | str]],
        get: Callable[[str], torch.Tensor],
    ) -> None:
        self._shapes, self._get = dict(shapes), get
        self._left = set(shapes)

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor]) -> Tensors:
        """Return those of a dictionary."""
        shapes = {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()}
        return cls(shapes, tensors.__getitem__)

    def __contains__(self, name: str) -> bool:
        """Return whether there is a tensor of this name."""
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            ValueError: it is missing.
        """
        if name not in self._shapes:
            raise ValueError(f"the tensor {name} is missing")
        return self._shapes[name][0]

    def take(
        self,
        name: str,
        shape: tuple[int, ...],
        types: tuple[torch.dtype, ...] = FLOAT,
        *,
        least: float = -_LARGEST,
        most: float = _LARGEST,
    ) -> torch.Tensor:
        """Return a tensor.

        Arguments:
            name: of the tensor.
            shape: that it must have.
            types: one of which it must have.
            least, most: bounds of its values, which must be finite.

        Raises:
            ValueError: it is missing, or differs from this; the message is without a remedy.
        """
        found, kind = self.shape(name), self._shapes[name][1]
        if found != tuple(shape):
            raise ValueError(f"the tensor {name} must have the shape {tuple(shape)}, got {found}")
        if kind not in types:
            known = " or ".join(str(t).removeprefix("torch.") for t in types)
            raise ValueError(
                f"the tensor {name} must be of the type {known}, got "
                f"{str(kind).removeprefix('torch.')}"
            )
        value = self._get(name)
        self._left.discard(name)
        if value.numel():
            low, high = (float(v) for v in value.aminmax())
            if not (least <= low and high <= most):  # nan, too
                got = low if not least <= low else high
                raise ValueError(
                    f"the values of the tensor {name} must be finite and from {least:g} to "
                    f"{most:g}, got {got:g}"
                )
        return value

    def check_all_taken(self, besides: tuple[str, ...] = ()) -> None:
        """Refuse tensors that nothing has taken.

        Arguments:
            besides: names before the first dot of tensors that may be left.

        Raises:
            ValueError: there are some.
        """
        left = {name for name in self._left if name.partition(".")[0] not in besides}
        if left:
            raise ValueError(f"the tensor {min(left)} belongs to nothing that is described")


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], what: str, text: str
) -> None:
    """Write a file of tensors.

    Arguments:
        path: the file to write.
        tensors: by name.
        what: name of the format.
        text: the JSON text of the header.

    Raises:
        InputError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # The format allows neither strides nor shared memory
    plain = {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    with atomic_write(path) as temporary:
        try:
            save_file(plain, temporary, metadata={"format": what, "prior": text})
        except SafetensorError as error:  # an error of the system has this class, too
            raise OSError(str(error)) from None


@contextmanager
def open_tensors(path: Path, what: str, name: str, remedy: str) -> Iterator[tuple[str, Tensors]]:
    """Yield the JSON text and the tensors of a file; a ValueError of the block names the file.

    Arguments:
        path: the file, which exists.
        what: name of the format.
        name: of such a file, in words.
        remedy: what to do where it cannot be used.

    Raises:
        InputError: the file is not of this format, or the block ends in a ValueError.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            head = file.metadata() or {}
            if head.get("format") != what or "prior" not in head:
                raise InputError(f"{path} must be {name}, and its header is not of one; {remedy}")
            parts = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            shapes = {
                key: (tuple(part.get_shape()), _TYPES.get(part.get_dtype(), part.get_dtype()))
                for key, part in parts.items()
            }
            yield head["prior"], Tensors(shapes, file.get_tensor)
    except InputError:
        raise
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} must be {name}, and is not a whole safetensors file "
            f"({described(str(error))}); {remedy}"
        ) from None
    except ValueError as error:
        todo = error.remedy if isinstance(error, Unfit) else remedy
        raise InputError(f"{error}, in {path}; {todo}") from None

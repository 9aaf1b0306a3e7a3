"""The parameters of a PDE, and how files state them."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pdeinv.annotations import Convertible
from pdeinv.checks import described
from pdeinv.datasets.parameters import to_json
from pdeinv.errors import InputError
from pdeinv.external import source_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from pdeinv.datasets.base import PDE

__all__ = ["Stated"]


@dataclasses.dataclass(frozen=True, eq=False)
class Stated(Convertible):
    """Base of a PDE: its parameters by name, and as JSON.

    Attributes:
        name: of the PDE.
        benchmark_parameters: as of `PDE`.
        path_parameters: the parameters that are paths, which a problem file states relative to its
            folder.
    """

    name: ClassVar[str]
    benchmark_parameters: ClassVar[dict[str, Any]] = {}
    path_parameters: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The PDE's parameters by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    @classmethod
    def parameter_names(cls) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return tuple(f.name for f in dataclasses.fields(cls) if f.init)

    def json_parameters(self, *, describe: bool = False) -> dict[str, Any]:
        """Return the parameters as values that JSON can hold; `pde_by_name` takes them back.

        Those that are stated by no number or text, such as the domain, are left out where
        `pde_by_name` supplies them.

        Arguments:
            describe: as of `to_json`; `pde_by_name` does not take back what is in words.

        Raises:
            InputError: a parameter cannot be stored, such as a function.
        """
        usual = {f.name: f.default for f in dataclasses.fields(self)} | self.benchmark_parameters
        plain = (bool, int, float, str)
        stated = to_json(self, describe=describe)
        return {
            k: stated[k]
            for k, v in self.parameters.items()
            if isinstance(stated[k], plain) or v != usual[k]
        }

    @property
    def origin(self) -> str:
        """The `file.py:name` from which the PDE is; empty for one of the package, or of a program's
        own."""
        return source_of(type(self))

    def found_at(self, reference: str) -> Self:
        """Return the PDE that was found as an instance in a file.

        Arguments:
            reference: its `file.py:name`.
        """
        return self

    @classmethod
    def of(cls, value: Any, what: str) -> PDE:
        """Return the PDE of a name, or of what `to_json` returned; a PDE stays as it is.

        Raises:
            InputError: it is none of these.
        """
        # The PDEs and their registry import this module
        from pdeinv.datasets.base import PDE
        from pdeinv.datasets.registry import pde_by_name

        if isinstance(value, PDE):
            return value
        if isinstance(value, str):
            return pde_by_name(value)
        if not isinstance(value, dict) or not isinstance(value.get("pde"), str):
            raise InputError(
                f"{what} must be a PDE, its name, or an object with the name as 'pde', got "
                f"{described(value)}; give an instance of a class of pdeinv.datasets"
            )
        return pde_by_name(value["pde"], **{k: v for k, v in value.items() if k != "pde"})

    def to_json(self, what: str) -> dict[str, Any]:
        """Return the name and the `json_parameters` as one object."""
        return {"pde": self.origin or self.name, **self.json_parameters()}

"""The uncertain quantities of physics: where they stand, their names, and draws in their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pdeinv.datasets.sides import SIDES, axis_of
from pdeinv.datasets.uncertain import Drawn, Uncertain
from pdeinv.datasets.unknowns import Path, replaced
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Domain, Grid

if TYPE_CHECKING:
    from pdeinv.datasets.base import PDE

__all__ = [
    "UncertainField",
    "at_means",
    "check_uncertain",
    "draw_uncertain",
    "find_uncertain",
    "with_draws",
]


@dataclass(frozen=True)
class UncertainField:
    """An uncertain quantity of a physics, along a side or over the domain.

    Arguments:
        field: its name, such as "left_head", "right_flux" or "source", with its words and its
            units. A quantity of one experiment of several ends in the experiment's name.
            Experiments in which the same one stands at the same place share it.
        prior: the quantity.
        domain: of the physics.
        side: on which it is; "" for one over the domain.
        paths: where it stands in the physics.
    """

    field: Field
    prior: Uncertain
    domain: Domain
    side: str
    paths: tuple[Path, ...]

    @cached_property
    def size(self) -> int:
        """Number of its standard normal numbers."""
        return self.prior.size(self.domain, *self._axis)

    def deviations(self, white: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the deviations from the mean of draws of its numbers, as `values`."""
        points, shape = self._nodes(grid)
        functions = torch.from_numpy(self.prior.functions(points, self.domain, *self._axis))
        return (white @ functions.T).reshape(-1, *shape)

    def values(self, white: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the values of draws of its numbers (n, size) at the nodes of a grid: (n, nodes) of
        the side, or (n, ny, nx)."""
        points, shape = self._nodes(grid)
        mean = torch.from_numpy(self.prior.at(points, self.domain, *self._axis))
        return mean.reshape(shape) + self.deviations(white, grid)

    def truth(self, drawn: PDE, grid: Grid) -> torch.Tensor:
        """Return its values in a physics `with_draws` at the nodes of a grid, as `values`."""
        found: Any = _at(drawn, self.paths[0])
        return self.values(found.white.detach()[None], grid)[0]

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions of its values."""
        return ("xy"[self._axis[0]],) if self.side else ("y", "x")

    @property
    def _axis(self) -> tuple[int, ...]:
        return (axis_of(self.side),) if self.side else ()

    def _nodes(self, grid: Grid) -> tuple[np.ndarray, tuple[int, ...]]:
        """Return the positions of its nodes, (m, 2), and the shape of values there."""
        points = grid.points().double().numpy().reshape(*grid.shape, 2)
        places = {"": points, "left": points[:, 0], "right": points[:, -1]}
        nodes = (places | {"bottom": points[0], "top": points[-1]})[self.side]
        return nodes.reshape(-1, 2), nodes.shape[:-1]


def find_uncertain(physics: PDE) -> tuple[UncertainField, ...]:
    """Return the uncertain quantities of a physics, in the order in which they are stated."""
    parts: Mapping[str, PDE] = physics.experiments or {"": physics}
    places: dict[tuple[Path, Uncertain], list[str]] = {}
    for name, part in parts.items():
        for path, prior in _quantities(part.parameters, ()):
            places.setdefault((path, prior), []).append(name)
    order = list(parts)
    found = []
    for (path, prior), names in places.items():
        part = parts[names[0]]
        field, side = _field(part, path), _side(path)
        if len(names) < len(parts):
            field = dataclasses.replace(
                field,
                name="_".join([field.name, *names]),
                long_name=f"{field.long_name} of experiment {' and '.join(names)}",
            )
        inner = [("physics", order.index(name)) for name in names] if physics.experiments else [()]
        paths = tuple((*first, *path) for first in inner)
        found.append(UncertainField(field, prior, physics.domain, side, paths))
    return tuple(found)


def with_draws(
    physics: PDE, uncertain: Sequence[UncertainField], white: Sequence[torch.Tensor]
) -> PDE:
    """Return a physics with draws in the place of uncertain quantities.

    Arguments:
        physics: the physics.
        uncertain: its quantities.
        white: the standard normal numbers of each, (size,).
    """
    for one, numbers in zip(uncertain, white, strict=True):
        drawn = Drawn(one.prior, numbers)
        for path in one.paths:
            physics = replaced(physics, path, drawn)
    return physics


def draw_uncertain(physics: PDE, generator: torch.Generator | None = None) -> PDE:
    """Return a physics with random draws in the place of its uncertain quantities."""
    sizes = [one.size for one in physics.uncertain]
    white = torch.randn(sum(sizes), dtype=torch.float64, generator=generator)
    return with_draws(physics, physics.uncertain, white.split(sizes))


def at_means(physics: PDE) -> PDE:
    """Return a physics with the means in the place of its uncertain quantities."""
    for one in physics.uncertain:
        for path in one.paths:
            physics = replaced(physics, path, one.prior.mean.value)
    return physics


def check_uncertain(physics: PDE) -> None:
    """Refuse an uncertain quantity in the place of a parameter that must be known.

    Raises:
        InputError: there is one.
    """
    for name, value in physics.parameters.items():
        for _, prior in _quantities({name: value}, ()):
            if name not in physics.uncertain_parameters or physics.grid_kind == "periodic":
                what = f"parameter {name} of {physics.name}"
                raise InputError(f"{what} must be known, got {prior.phrase}; state its mean alone")


def _quantities(value: Any, path: Path) -> Iterator[tuple[Path, Uncertain]]:
    """Yield the uncertain quantities in parameters, and where they are."""
    if isinstance(value, Uncertain):
        yield path, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _quantities(one, (name,))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type) and path:
        for f in dataclasses.fields(value):
            if path[0] != "domain" and not f.name.startswith("_"):
                yield from _quantities(getattr(value, f.name), (*path, f.name))


def _side(path: Path) -> str:
    return next((str(key) for key in path if key in SIDES), "")


def _field(physics: PDE, path: Path) -> Field:
    """Return the name, the words and the units of the quantity at a place of one physics."""
    u, side = physics.solution_field, _side(path)
    if side and path[-1] == "value" and "flux" not in path:
        return Field(f"{side}_{u.name}", f"{u.long_name} on the {side} side", u.units)
    if side:
        return Field(f"{side}_flux", f"flux into the domain on the {side} side", physics.flux_units)
    name = str(path[0])
    if name in {f.name for f in (*physics.fields, *physics.derived)}:
        name = f"further_{name}"
    return Field(name, name.replace("_", " "), physics.source_units)


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key] if isinstance(key, int) else getattr(value, key)
    return value

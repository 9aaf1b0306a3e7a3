"""What several experiments on one coefficient have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.fields import Field

__all__ = ["check_shared", "with_shared_outputs_once"]


def check_shared(experiments: Mapping[str, PDE]) -> None:
    """Refuse physics that differ in what all experiments have in common.

    Arguments:
        experiments: the physics by the names of the experiments.

    Raises:
        InputError: so they do.
    """
    first_name, first = next(iter(experiments.items()))
    kept: dict[str, tuple[str, Field]] = {}
    clock: tuple[str, str] | None = None
    for name, pde in experiments.items():
        for what, value in _SHARED.items():
            one, other = value(first), value(pde)
            same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
            if not same:
                detail = "" if isinstance(one, torch.Tensor) else f", {one} and {other}"
                raise InputError(
                    f"the {what} must be the same in all experiments, got another one in "
                    f"{name!r} than in {first_name!r}{detail}; change one of them"
                )
        if pde.end_time is not None:
            owner, unit = clock = clock or (name, pde.time_units)
            if unit != pde.time_units:
                raise InputError(
                    f"the unit of times must be the same in all experiments, got "
                    f"{pde.time_units!r} in {name!r} and {unit!r} in {owner!r}; convert one of them"
                )
        for f in (pde.solution_field, *pde.derived):
            owner, known = kept.setdefault(f.name, (name, f))
            if known.attributes != f.attributes:
                raise InputError(
                    f"fields named {f.name} must be the same in all experiments, got {f} in "
                    f"{name!r} and {known} in {owner!r}; rename one of them"
                )


def with_shared_outputs_once(physics: tuple[PDE, ...]) -> tuple[PDE, ...]:
    """Return the physics, with functions of the coefficient at no time derived by the first."""
    first, *others = physics
    shared = [f.name for f in first.derived if first.constant(f)]
    wanted = [name for pde in physics for name in pde.outputs if name in shared]
    apart = (
        replace(pde, outputs=tuple(name for name in pde.outputs if name not in shared))
        for pde in others
    )
    return (first.reading(wanted), *apart)


def _restricted(pde: PDE) -> torch.Tensor:
    """Return where the PDE leaves a coefficient as it is."""
    return pde.restrict(torch.ones(1, 1, *pde.grid(8).shape, dtype=torch.float64))


_SHARED: dict[str, Callable[[PDE], Any]] = {
    "domain": lambda pde: pde.domain,
    "kind of the grid": lambda pde: pde.grid_kind,
    "coefficient's field": lambda pde: pde.coefficient_field,
    "nodes at which the coefficient is 0": _restricted,
}
"""What all experiments have in common, and how it is found."""

"""Readings that not every solver supports: censored ones, those that share a bias, and those of
something else than points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import pdeinv.solvers as solvers
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.observation import Observation

if TYPE_CHECKING:
    from pdeinv.datasets.base import PDE
    from pdeinv.priors.base import Prior
    from pdeinv.solvers.base import Solver

__all__ = ["BIASES", "CENSORED", "FOOTPRINTS", "Special", "check_supported"]

Special: TypeAlias = Literal["footprints", "biases", "censored", "unknowns"]
"""What a solver may support beyond readings of points with independent noise."""
FOOTPRINTS: Special = "footprints"
BIASES: Special = "biases"
CENSORED: Special = "censored"
UNKNOWNS: Special = "unknowns"
"""Unknown numbers of the prior, the physics and the noise."""
_WORDS: dict[Special, tuple[str, str]] = {
    FOOTPRINTS: ("readings of something else than points", "leave them out"),
    BIASES: ("readings that share a bias", "leave out the bias of their instrument"),
    CENSORED: ("censored readings", "choose a prior that gauss-newton supports"),
}


def check_supported(solver: Solver, pde: PDE, prior: Prior, observation: Observation) -> None:
    """Refuse readings and unknown numbers that a solver does not support.

    Raises:
        InputError: there are some.
    """
    _check_known(solver, pde, prior, observation)
    counts: dict[Special, int] = {
        FOOTPRINTS: int((~observation.at_points).sum()),
        BIASES: int(observation.common.any(dim=1).sum()) if observation.common is not None else 0,
        CENSORED: int(observation.below_or_above.sum()),
    }
    present = {special for special, count in counts.items() if count}
    for special, count in counts.items():
        if special not in present - solver.takes:
            continue
        what, otherwise = _WORDS[special]
        able = [
            name
            for name, kind in solvers.SOLVERS.items()
            if present <= kind.takes and _suits(kind(), pde, prior)
        ]
        remedy = f"choose one of {', '.join(sorted(able))}, or {otherwise}" if able else otherwise
        raise InputError(
            f"sensors of the {solver.name} solver must not be {what}, got {count} of "
            f"{len(observation)}; {remedy}"
        )


def _check_known(solver: Solver, pde: PDE, prior: Prior, observation: Observation) -> None:
    """Refuse unknown numbers of a solver that does not infer any."""
    unknown = [number.name for number in Problem(pde, prior).unknowns]
    unknown += [name for name, _ in observation.unknown_noise]
    if unknown and UNKNOWNS not in solver.takes:
        raise InputError(
            f"numbers of the {solver.name} solver must be known, got unknown "
            f"{', '.join(unknown)}; state them, or choose the solver 'auto'"
        )


def _suits(solver: Solver, pde: PDE, prior: Prior) -> bool:
    """Whether a solver is made for the PDE and the prior."""
    try:
        solver.check(pde, prior)
    except InputError:
        return False
    return True

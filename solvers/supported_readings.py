"""Readings that not every solver supports: censored ones, those that share a bias, and those of
something else than points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import pdeinv.solvers as solvers
from pdeinv.coefficients import Conditioned
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.observation import Observation

if TYPE_CHECKING:
    from pdeinv.datasets.base import PDE
    from pdeinv.priors.base import Prior
    from pdeinv.solvers.base import Solver

__all__ = ["BIASES", "CENSORED", "FOOTPRINTS", "Special", "check_physics", "check_supported"]

Special: TypeAlias = Literal["footprints", "biases", "censored", "unknowns", "uncertain"]
"""What a solver may support beyond readings of points with independent noise."""
FOOTPRINTS: Special = "footprints"
BIASES: Special = "biases"
CENSORED: Special = "censored"
UNKNOWNS: Special = "unknowns"
"""Unknown numbers of the prior, the physics and the noise."""
UNCERTAIN: Special = "uncertain"
"""Uncertain sides and sources of the physics."""
_WORDS: dict[Special, tuple[str, str]] = {
    FOOTPRINTS: ("readings of something else than points", "leave them out"),
    BIASES: ("readings that share a bias", "leave out the bias of their instrument"),
    CENSORED: ("censored readings", "choose a prior that gauss-newton supports"),
}


def check_supported(solver: Solver, pde: PDE, prior: Prior, observation: Observation) -> None:
    """Refuse readings and unknown numbers that a solver does not support, and biases that earlier
    readings share.

    Raises:
        InputError: there are some.
    """
    _check_known(solver, pde, prior, observation)
    _check_earlier(solver, prior, observation)
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


def _check_earlier(solver: Solver, prior: Prior, observation: Observation) -> None:
    """Refuse a method that leaves earlier readings out, and biases that these share with further
    ones, which would count as independent."""
    if not isinstance(prior, Conditioned):
        return
    if solver.prior_used:
        raise InputError(
            f"the solver after earlier readings must use their posterior as the prior, got the "
            f"{solver.name} solver, whose prior is {solver.prior_used}; choose the solver 'auto'"
        )
    if again := [name for name in observation.common_names if name in prior.biases]:
        raise InputError(
            f"a bias of earlier readings must not be one of further readings, got the "
            f"{again[0]} in both; reconstruct the readings of its instrument at once"
        )


def check_physics(solver: Solver, pde: PDE) -> None:
    """Refuse uncertain sides and sources that a solver does not infer.

    Raises:
        InputError: there are some.
    """
    if pde.uncertain and UNCERTAIN not in solver.takes:
        names = " and ".join(one.field.name for one in pde.uncertain)
        able = sorted(name for name, kind in solvers.SOLVERS.items() if UNCERTAIN in kind.takes)
        raise InputError(
            f"the sides and the sources of {pde.name} must be known for the {solver.name} solver, "
            f"got an uncertain {names}; choose one of {', '.join(able)}, or state the mean alone"
        )


def _suits(solver: Solver, pde: PDE, prior: Prior) -> bool:
    """Whether a solver is made for the PDE and the prior."""
    try:
        solver.check(pde, prior)
    except InputError:
        return False
    return True

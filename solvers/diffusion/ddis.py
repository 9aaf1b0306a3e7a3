"""The decoupled diffusion inverse solver (DDIS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import DivergedError, InputError, NumericalError
from pdeinv.priors import load, shipped
from pdeinv.solvers.diffusion.base import Problem
from pdeinv.solvers.diffusion.daps import DAPS
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.learned import other_physics

__all__ = ["DDIS"]


@dataclass(frozen=True, kw_only=True)
class DDIS(DAPS):
    """DDIS: the annealing of DAPS for the coefficient alone; the sensors of the solution reach it
    through the physics.

    The prior is of the coefficient. The physics is the PDE's own solver, or a neural operator as in
    the paper; the samples' solutions are solved for in either case.

    Arguments:
        physics: `"solver"`, `"operator"` (the shipped one of the PDE) or a differentiable callable
            a -> u of your own, both (batch, 1, n, n) in physical units.
        weights: as in `DAPS`; ours, chosen on a few instances of Helmholtz.

    Reference:
        Lin et al., *Decoupled diffusion sampling for inverse problems on function spaces*, 2026
        (arXiv 2601.23280).
    """

    physics: Literal["solver", "operator"] | Callable[[torch.Tensor], torch.Tensor] = "solver"
    weights: tuple[float, float] = (100.0, 100.0)

    name: ClassVar[str] = "ddis"
    suffix: ClassVar[str] = "-coefficient"

    def check(self, pde, prior):
        super().check(pde, prior)
        if self.physics == "operator" and f"{pde.name}-operator" not in shipped():
            raise InputError(
                f"no operator {pde.name + '-operator'!r} comes with the package; train one with "
                "`pdeinv train --model operator` and give it as physics"
            )
        if self.physics not in ("solver", "operator") and not callable(self.physics):
            raise InputError(
                f"physics {self.physics!r} is unknown; use 'solver', 'operator' or a callable"
            )

        ways = [
            " to ".join(f.name for f in fields)
            for fields in (getattr(self.physics, "fields", pde.fields), pde.fields)
        ]
        if ways[0] != ways[1]:
            raise InputError(
                f"the physics is an operator from {ways[0]}; it must lead from {ways[1]}"
            )
        operator = _shipped_operator(pde.name) if self.physics == "operator" else self.physics
        if other := other_physics(pde, operator):
            raise InputError(
                f"the operator knows {pde.name} with {other}; train one for that, or use physics "
                f"'solver'"
            )

    def full(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        forward = ForwardMap(problem.pde, problem.observation, problem.counts)
        bounds = problem.pde.coefficient_range

        def solve(a: torch.Tensor) -> torch.Tensor:
            if bounds is not None:  # where the solver is defined
                a = a.clamp(bounds[0] / 2, 2 * bounds[1])
            if self.physics == "solver":
                return _stable_solve(forward, a)
            problem.counts["network_evaluations"] += 1
            return self._operator(problem.pde)(a)

        return forward.states(x, solve)

    def _operator(self, pde: PDE) -> Callable[[torch.Tensor], torch.Tensor]:
        return self.physics if callable(self.physics) else _shipped_operator(pde.name)


def _stable_solve(forward: ForwardMap, a: torch.Tensor) -> torch.Tensor:
    try:
        return forward.solve(a)
    except NumericalError as error:
        raise DivergedError(
            f"the samples of {forward.pde.name} left the range where its solver is stable "
            f"({error}); use more steps or smaller weights"
        ) from error


@lru_cache(maxsize=4)
def _shipped_operator(name: str):
    return load(f"{name}-operator")

"""The decoupled diffusion inverse solver (DDIS)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import torch

from pdeinv.errors import InputError
from pdeinv.priors import load, shipped
from pdeinv.solvers.diffusion.daps import DAPS
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

    physics: Literal["solver", "operator"] | object = "solver"
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
        operator = _operator(pde.name) if self.physics == "operator" else self.physics
        if other := other_physics(pde, operator):
            raise InputError(
                f"the operator knows {pde.name} with {other}; train one for that, or use physics "
                f"'solver'"
            )

    def full(self, problem, x):
        if not bool((problem.observation.channel == 1).any()):
            return torch.cat([x, torch.zeros_like(x)], dim=1)  # nobody looks at the solution
        bounds = problem.pde.coefficient_range
        # Where the solver is defined
        a = x if bounds is None else x.clamp(bounds[0] / 2, 2 * bounds[1])
        if self.physics == "solver":
            problem.counts["solver_calls"] += 2 * len(x)  # with the adjoint's
            return torch.cat([x, problem.pde.solve(a)], dim=1)
        problem.counts["network_evaluations"] += 1
        operator = _operator(problem.pde.name) if self.physics == "operator" else self.physics
        return torch.cat([x, operator(a)], dim=1)


@lru_cache(maxsize=4)
def _operator(name: str):
    return load(f"{name}-operator")

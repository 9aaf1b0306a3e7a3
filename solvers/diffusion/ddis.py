"""The decoupled diffusion inverse solver (DDIS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.priors import NeuralOperator, Prior, load, shipped
from pdeinv.priors.storage import Role, shipped_name
from pdeinv.solvers.diffusion.daps import DAPS
from pdeinv.solvers.learned import fields_of, other_physics

__all__ = ["DDIS"]


@dataclass(frozen=True, kw_only=True)
class DDIS(DAPS):
    """DDIS: the annealing of DAPS for the coefficient alone.

    Sensors on the solution act on the coefficient through the physics: the PDE's own solver, or a
    neural operator as in the paper. The prior is of the coefficient. The samples' solutions are
    solved for in either case.

    Arguments:
        physics: "solver", "operator" (the shipped one of the PDE) or a differentiable callable from
            coefficients to solutions, both (batch, 1, n, n) in physical units.
        weights: as of `DAPS`; ours, chosen on a few instances of one PDE.

    Reference:
        Lin et al., *Decoupled diffusion sampling for inverse problems on function spaces*, 2026
        (arXiv 2601.23280).
    """

    physics: str | Callable[[torch.Tensor], torch.Tensor] = "solver"
    weights: tuple[float, float] = (100.0, 100.0)

    name: ClassVar[str] = "ddis"
    role: ClassVar[Role] = "coefficient"

    def check(self, pde: PDE, prior: Prior | None) -> None:
        """Refuse a PDE, a prior or physics for which the method is not made.

        Raises:
            InputError: there is no such physics, or it is of other fields or parameters.
        """
        super().check(pde, prior)
        if self.physics == "solver":
            return
        name = shipped_name(pde.name, "operator")
        if self.physics == "operator" and name not in shipped():
            raise InputError(
                f"physics of {self.name} must be 'solver' or a callable for {pde.name}, got "
                f"'operator'; no {name!r} is shipped, train one with `pdeinv train --model "
                f"operator`"
            )
        operator = _operator(pde.name) if self.physics == "operator" else self.physics
        if not callable(operator):
            raise InputError(
                f"physics of {self.name} must be 'solver', 'operator' or a callable, got "
                f"{self.physics!r}"
            )
        leads, wanted = (
            " to ".join(f.name for f in fields)
            for fields in (fields_of(operator) or pde.fields, pde.fields)
        )
        if leads != wanted:
            raise InputError(
                f"physics of {self.name} must be an operator from {wanted}, got one from {leads}; "
                f"train one with `pdeinv train --model operator`"
            )
        if other := other_physics(pde, operator):
            raise InputError(
                f"the operator was trained on {pde.name} with {other}; train one for these "
                f"parameters, or use physics='solver'"
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
        operator = self.physics if callable(self.physics) else _operator(problem.pde.name)
        return torch.cat([x, operator(a)], dim=1)


@lru_cache(maxsize=4)
def _operator(name: str) -> NeuralOperator:
    """Return the shipped neural operator of the PDE of that name."""
    operator = load(shipped_name(name, "operator"))
    assert isinstance(operator, NeuralOperator)
    return operator

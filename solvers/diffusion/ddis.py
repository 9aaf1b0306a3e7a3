"""The decoupled diffusion inverse solver (DDIS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.errors import DivergedError, InputError, NumericalError
from pdeinv.priors import NeuralOperator, Prior, load, shipped
from pdeinv.priors.storage import Role, shipped_name
from pdeinv.solvers.diffusion.daps import DAPS
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.published import DDIS_CONSTANTS, DAPSConstants, Preset
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.learned import shipped_model
from pdeinv.solvers.trained_checks import other_physics
from pdeinv.solvers.trained_problem import (
    fields_of,
    joint_fields,
    trained_coefficients,
    with_derived,
)

__all__ = ["DDIS"]


@dataclass(frozen=True, kw_only=True)
class DDIS(DAPS):
    """DDIS: the annealing of DAPS for the coefficient alone.

    Sensors on the solution act on the coefficient through the physics: the PDE's own solver, or a
    neural operator as in the paper. The prior is of the coefficient, whatever the sides, sources,
    wells and experiments. The samples' solutions are solved for in either case.

    With `preset="published"` the misfit is the mean absolute value of y - H x0, and half of the
    levels are on half as many nodes per side. The coefficient's prior is the same in both presets.

    Arguments:
        physics: "solver", "operator" (the shipped one of the PDE) or a differentiable callable from
            coefficients to solutions, both (batch, 1, ny, nx) in physical units, from which the
            further fields are derived; if None, "solver", or "operator" with the preset
            "published".
        steps, ode_steps, langevin, rate, last_rate, tau, weights: as of `DAPS`; those of
            `published.DDIS_CONSTANTS` if None, with `published.ddis_weights` for the preset
            "published".

    Reference:
        Lin et al., *Decoupled diffusion sampling for inverse problems on function spaces*, 2026
        (arXiv 2601.23280).
    """

    physics: str | Callable[[torch.Tensor], torch.Tensor] | None = None

    name: ClassVar[str] = "ddis"
    held: ClassVar[tuple[int, float]] = (8, 0.0)
    role: ClassVar[Role] = "coefficient"
    published_role: ClassVar[Role | None] = "coefficient"
    constants: ClassVar[dict[Preset, DAPSConstants]] = DDIS_CONSTANTS

    def preset_values(self) -> dict[str, Any]:
        """Return the preset's values of settings that are None unless given."""
        physics = "operator" if self.preset == "published" else "solver"
        return super().preset_values() | {"physics": physics}

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return self.settings()["physics"] == "solver"

    def check(self, pde: PDE, prior: Prior) -> None:
        """Refuse a PDE, a prior or physics for which the method is not made.

        Raises:
            InputError: there is no such physics, or it is of other fields or parameters.
        """
        super().check(pde, prior)
        physics = self.settings()["physics"]
        if physics == "solver":
            return
        name = shipped_name(pde.name, "operator")
        if physics == "operator" and name not in shipped():
            raise InputError(
                f"physics of {self.name} must be 'solver' or a callable for {pde.name}, got "
                f"'operator'; no {name!r} is shipped, train one with `pdeinv train --model "
                f"operator`"
            )
        operator = _shipped_operator(pde.name) if physics == "operator" else physics
        if not callable(operator):
            raise InputError(
                f"physics of {self.name} must be 'solver', 'operator' or a callable, got "
                f"{physics!r}; use 'solver'"
            )
        leads, wanted = (
            " to ".join(f.name for f in fields)
            for fields in (fields_of(operator) or joint_fields(pde), joint_fields(pde))
        )
        if leads != wanted:
            raise InputError(
                f"physics of {self.name} must be an operator from {wanted}, got one from {leads}; "
                f"train one with `pdeinv train --model operator`"
            )
        if other := other_physics(pde, operator):
            raise InputError(
                f"the operator must be trained for these parameters of {pde.name}, got {other}; "
                f"train one for them, or use physics='solver'"
            )
        known = trained_coefficients(operator)
        model: object = prior
        if isinstance(prior, CoefficientPrior):
            model = shipped_model(pde, prior, self.role)
        other_prior = trained_coefficients(model)
        if known is not None and other_prior is not None and known != other_prior:
            raise InputError(
                f"the operator must be trained on the {pde.fields[0].name} of the prior, got one "
                f"of a {pde.fields[0].name} that is {known.phrase(pde.domain)}; train one for the "
                f"prior, or use physics='solver'"
            )

    def full(self, problem: SamplingProblem, x: torch.Tensor) -> torch.Tensor:
        forward = ForwardMap(problem.pde, problem.observation, problem.counts)
        bounds, physics = problem.bounds, self.settings()["physics"]
        operator = _shipped_operator(problem.pde.name) if physics == "operator" else physics

        def solve(a: torch.Tensor) -> torch.Tensor:
            if bounds is not None and (physics == "solver" or not problem.published):
                a = a.clamp(*_widened(bounds))  # where the solver is defined
            if physics == "solver":
                return _stable_solve(forward, a)
            problem.counts["network_evaluations"] += 1
            states = torch.cat([a, operator(a)], dim=1)
            return with_derived(problem.pde, states)[:, 1:]

        return forward.states(x, solve)


def _widened(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return bounds that leave the sampler room; positive ones stay positive."""
    low, high = bounds
    if low > 0:
        return low / 2, 2 * high
    return 2 * low - high, 2 * high - low


def _stable_solve(forward: ForwardMap, a: torch.Tensor) -> torch.Tensor:
    try:
        return forward.solve(a)
    except NumericalError as error:
        raise DivergedError(
            f"the samples of {forward.pde.name} left the range where its solver is stable "
            f"({error}); use more steps or smaller weights"
        ) from error


@lru_cache(maxsize=4)
def _shipped_operator(name: str) -> NeuralOperator:
    return load(shipped_name(name, "operator"), NeuralOperator)

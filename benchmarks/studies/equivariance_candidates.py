"""What EquiReg's function is chosen from, and the fields that it should separate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch

from pdeinv import seeds
from pdeinv.benchmarks.tasks import TUNING_SEEDS, Task
from pdeinv.datasets.base import PDE
from pdeinv.grid import Grid
from pdeinv.priors import DiffusionPrior, GaussianPrior, NeuralOperator, load, shipped, shipped_name
from pdeinv.solvers.diffusion.equireg import DenoisingMap, StateMap
from pdeinv.solvers.diffusion.fundps import FunDPS

__all__ = [
    "SEED",
    "CoefficientToSolution",
    "Encoder",
    "FieldPrior",
    "Function",
    "SolutionToCoefficient",
    "candidates",
    "gaussian_part",
    "off_manifold",
]

FieldPrior: TypeAlias = DiffusionPrior | GaussianPrior
Function: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

SEED = 78_000
_LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class CoefficientToSolution:
    """A neural operator as a function of states: the solution of their coefficient."""

    operator: NeuralOperator

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.operator(x[:, :1])


@dataclass(frozen=True)
class SolutionToCoefficient:
    """A neural operator that inverts the PDE as a function of states: of their solution alone."""

    operator: NeuralOperator

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.operator(x[:, 1:])


@dataclass(frozen=True)
class Encoder:
    """The hidden fields from which a neural operator's last layer makes the solution."""

    operator: NeuralOperator

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.operator.encode(x[:, :1])


class _Identity(StateMap):
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x


def candidates(
    pde: PDE,
    prior: FieldPrior,
    levels: Iterable[float] = _LEVELS,
    inverse: NeuralOperator | None = None,
) -> dict[str, Function]:
    """Return functions of states by name.

    They are the prior's denoiser at small noise levels, the shipped neural operator, and the
    identity as control.

    Arguments:
        pde: whose operator is taken, if one is shipped.
        prior: whose denoiser is taken.
        levels: noise levels of the denoiser.
        inverse: an operator from the solution to the coefficient, one more candidate.
    """
    found: dict[str, Function] = {f"denoiser at σ = {s:g}": DenoisingMap(prior, s) for s in levels}
    name = shipped_name(pde.name, "operator")
    if name in shipped() and isinstance(operator := load(name), NeuralOperator):
        found["operator"] = CoefficientToSolution(operator)
        found["operator's encoder"] = Encoder(operator)
    if inverse:
        found["inverse operator"] = SolutionToCoefficient(inverse)
    return found | {"identity": _Identity()}


def off_manifold(
    pde: PDE, prior: FieldPrior, states: torch.Tensor, others: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return fields that are not the PDE's, (batch, channel, ny, nx) by the name of their defect.

    Arguments:
        pde: the PDE.
        prior: of its fields.
        states, others: (batch, channel, ny, nx), fields of the PDE from which they are made.
    """
    g = gaussian_part(prior)
    grid = g.grid_of(states)
    tables = g.coefficients(g.normalise(states), grid)
    blur = [
        t * torch.exp(-0.5 * (0.03 * b.frequencies(b.capacity(grid), grid.domain)) ** 2).to(t)
        for b, t in zip(g.bases, tables, strict=True)
    ]
    rest = g.remainder(g.normalise(states), tables, grid)
    noise = prior.sample_noise(len(states), grid, seeds.generator(seeds.TUNING, SEED))
    kinds = {
        "blurred": g.physical(g.synthesis(blur, grid) + rest),
        "noised": states + 0.1 * noise,
        "guided estimates": _estimates(pde, prior, len(states), grid),
    }
    if not pde.linear:  # a mixture of a linear PDE's fields, so scaled, is one of them
        mean = states.mean(dim=0)
        kinds["mixed"] = mean + (states + others - 2 * mean) / 2**0.5
    return kinds


def _estimates(
    pde: PDE, prior: FieldPrior, n: int, grid: Grid, steps: int = 20, sigma: float = 0.5
) -> torch.Tensor:
    """Return FunDPS's estimates of the state when the noise first falls below a level.

    They are of inverse problems with few sensors.
    """
    kept: list[torch.Tensor] = []
    sensors = max(4, grid.nodes * 125 // 4096)
    task = Task(pde.name, "inverse", grid=min(grid.shape), sensors=sensors, seed=TUNING_SEEDS[0])
    for i in range(0, n, 8):
        seen: list[torch.Tensor] = []

        def listen(
            x_t: torch.Tensor,
            level: float,
            x0_hat: torch.Tensor,
            seen: list[torch.Tensor] = seen,
        ) -> None:
            if level <= sigma and not seen:
                seen.append(x0_hat.detach())

        _, observation = task.instance(SEED + i)
        FunDPS(steps=steps, guidance=(listen,))(
            pde,
            prior,
            observation,
            n_samples=min(8, n - i),
            generator=seeds.generator(seeds.SOLVER, i),
        )
        kept += seen
    return torch.cat(kept)[:n]


def gaussian_part(prior: FieldPrior) -> GaussianPrior:
    """Return the Gaussian part of a diffusion prior, and a Gaussian prior itself."""
    return prior.gaussian if isinstance(prior, DiffusionPrior) else prior

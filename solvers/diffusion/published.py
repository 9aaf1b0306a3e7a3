"""The constants of the published runs: the one place that names the benchmark's PDEs.

The papers tuned their constants on four PDEs. For any other PDE each look-up returns a neutral
fallback: weights for normalised fields, so that the units of the fields do not matter, the same for
both fields, and no residual of the PDE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from pdeinv.datasets.base import PDE

__all__ = [
    "DAPS_CONSTANTS",
    "NODES",
    "STEPS",
    "DAPSConstants",
    "DiffusionPDEConstants",
    "FunDPSConstants",
    "Measure",
    "SensorLoss",
    "diffusionpde_constants",
    "fundps_constants",
    "published_residual",
]

Measure = Literal["norm", "mean-square", "root-mean-square"]

NODES = 128
"""Nodes per side of all published runs."""

STEPS = {"dps": 1000, "diffusionpde": 2000, "fundps": 500, "daps": 200}
"""Noise levels of the published runs, by solver."""


@dataclass(frozen=True)
class DiffusionPDEConstants:
    """The constants of DiffusionPDE for one PDE.

    Arguments:
        units: (2,), factors from the fields' physical units to those of the published network.
        weights: (2,), ζ of the sensors on the coefficient and on the solution.
        residual_weight: ζ of the PDE's residual.
        residual_cells: divide the norm of the residual by the number of cells, (n - 1)², instead of
            the number of nodes, n².

    Reference:
        Huang et al., *DiffusionPDE*, NeurIPS 2024, appendix (arXiv 2406.17763).
    """

    units: tuple[float, float]
    weights: tuple[float, float]
    residual_weight: float
    residual_cells: bool = False

    def residual_count(self, n: int) -> int:
        """Return what the norm of the residual is divided by on n x n nodes."""
        return (n - 1) ** 2 if self.residual_cells else n**2


_DIFFUSIONPDE = {
    "darcy": DiffusionPDEConstants((0.2, 115.0), (5.0, 5000.0), 100.0),
    "poisson": DiffusionPDEConstants((1 / 2.15, 36.5), (0.8, 40.0), 1.0, residual_cells=True),
    "helmholtz": DiffusionPDEConstants(
        (1 / 2.15, 1 / 0.028), (0.8, 60.0), 1.0, residual_cells=True
    ),
    "navier-stokes": DiffusionPDEConstants((1 / 1.6, 1 / 1.6), (1.0, 1.0), 1.0),
}
# What the published weights come to in normalised units for both fields of Navier–Stokes; for
# Poisson and Helmholtz it is 3.8 to 7
_NEUTRAL_WEIGHT = 5.0


def diffusionpde_constants(pde: PDE, field_std: torch.Tensor) -> DiffusionPDEConstants:
    """Return DiffusionPDE's constants for a PDE.

    For a PDE that the paper does not have, the units normalise both fields to the standard
    deviation 0.5, both weights are 5 in these units, and there is no residual.

    Arguments:
        pde: identified by its name.
        field_std: (2,), standard deviations of the fields in physical units.
    """
    if pde.name in _DIFFUSIONPDE:
        return _DIFFUSIONPDE[pde.name]
    first, second = (0.5 / field_std).tolist()
    return DiffusionPDEConstants(
        (first, second), (_NEUTRAL_WEIGHT * first, _NEUTRAL_WEIGHT * second), 0.0
    )


@dataclass(frozen=True)
class SensorLoss:
    """What FunDPS minimises where one field has sensors.

    Arguments:
        weight: of the sensors' misfit, for fields of standard deviation 0.5.
        measure: how the misfit is measured.
        residual_weight: of the mean square of the PDE's residual.
    """

    weight: float
    measure: Measure = "mean-square"
    residual_weight: float = 0.0


@dataclass(frozen=True)
class FunDPSConstants:
    """The constants of FunDPS for one PDE.

    Arguments:
        sigma_max: the first noise level.
        coefficient, solution: losses of the sensors on each field.

    Reference:
        Yao et al., *Guided diffusion sampling on function spaces* (FunDPS), NeurIPS 2025, appendix
        (arXiv 2505.17004).
    """

    sigma_max: float
    coefficient: SensorLoss
    solution: SensorLoss

    @property
    def sensors(self) -> tuple[SensorLoss, SensorLoss]:
        """The losses by channel."""
        return self.coefficient, self.solution


_FUNDPS = {
    "darcy": FunDPSConstants(80.0, SensorLoss(1e4), SensorLoss(5e4)),
    "poisson": FunDPSConstants(10.0, SensorLoss(1e4), SensorLoss(2e4)),
    "helmholtz": FunDPSConstants(
        80.0,
        SensorLoss(1e4, residual_weight=1.0),
        SensorLoss(5e3, "root-mean-square", residual_weight=1.0),
    ),
    "navier-stokes": FunDPSConstants(
        80.0,
        SensorLoss(5e3, residual_weight=1.0),
        SensorLoss(7.5e3, "root-mean-square", residual_weight=10.0),
    ),
}
# The weight that three of the four PDEs have for their coefficient.
_NEUTRAL_FUNDPS = FunDPSConstants(80.0, SensorLoss(1e4), SensorLoss(1e4))


def fundps_constants(pde: PDE) -> FunDPSConstants:
    """Return FunDPS's constants for a PDE, identified by its name.

    For a PDE that the paper does not have, the first level is 80, both fields have the weight 1e4
    of a mean square, and there is no residual.
    """
    return _FUNDPS.get(pde.name, _NEUTRAL_FUNDPS)


def published_residual(pde: PDE, state: torch.Tensor) -> torch.Tensor:
    """Return what DiffusionPDE and FunDPS call the residual of a state, (batch, 1, n, n).

    It is the residual of the PDE, except for Navier–Stokes: there it is ∂w/∂x + ∂w/∂y of the final
    vorticity w, which no flow makes zero. The solvers keep it to be comparable with the papers.

    Arguments:
        pde: identified by its name.
        state: (batch, 2, n, n), in physical units.
    """
    a, u = state[:, :1], state[:, 1:]
    if pde.name != "navier-stokes":
        return pde.residual(a, u)
    n = u.shape[-1]
    along_x, along_y = ((u.roll(-1, dim) - u.roll(1, dim)) * n / 2 for dim in (-1, -2))
    return along_x + along_y


@dataclass(frozen=True)
class DAPSConstants:
    """The constants of DAPS.

    Arguments:
        steps: noise levels, from `sigma_max` to `sigma_min`.
        ode_steps: steps of the ODE at each level, down to `ode_sigma_min`.
        langevin: Langevin steps at each level.
        rate, last_rate: sizes of a Langevin step at the first level and at the last.
        tau: standard deviation of the sensors' noise that the method assumes.
        weights: (2,), of the sensors on the coefficient and on the solution.

    Reference:
        Yao et al. (FunDPS), NeurIPS 2025, appendix (arXiv 2505.17004): the runs of DAPS.
    """

    steps: int = STEPS["daps"]
    sigma_max: float = 10.0
    sigma_min: float = 0.01
    ode_steps: int = 10
    ode_sigma_min: float = 0.001
    langevin: int = 100
    rate: float = 1e-4
    last_rate: float = 1e-6
    tau: float = 1e-3
    weights: tuple[float, float] = (10.0, 1.0)


DAPS_CONSTANTS = DAPSConstants()
"""Published for Poisson; our default for every PDE."""

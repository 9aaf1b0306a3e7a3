"""The constants of the published runs: the one place that names the benchmark's PDEs.

The papers tuned their constants on four PDEs on the unit square. For any other problem each look-up
returns a neutral fallback: the same weights for both normalised fields, and no residual of the PDE;
the preset "published" is the paper's algorithm with these. Sources: docs/published.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from pdeinv.datasets import PDE, PDES
from pdeinv.datasets.channels import CHOICES
from pdeinv.fields import Field
from pdeinv.grid import Grid

__all__ = [
    "DAPS_CONSTANTS",
    "DDIS_CONSTANTS",
    "DPS_WEIGHT",
    "NODES",
    "STEPS",
    "DAPSConstants",
    "DiffusionPDEConstants",
    "Measure",
    "Preset",
    "SensorLoss",
    "ddis_weights",
    "ddpm_levels",
    "diffusionpde_constants",
    "fundps_constants",
    "guidance_residual",
]

Preset = Literal["default", "published"]
"""Our version of a method, or the one of its paper's code."""

Measure = Literal["norm", "mean-square", "root-mean-square", "mean-absolute"]

NODES = 128
"""Nodes per side of all published runs."""

STEPS = {"dps": 1000, "diffusionpde": 2000, "fundps": 500, "daps": 200}
"""Noise levels of the published runs, by solver."""

DPS_WEIGHT: dict[Preset, float] = {"default": 40.0, "published": 2.0}
"""ζ of DPS. The paper has no PDE: its ζ' is 1 for inpainting images, and ζ = 2 ζ'."""


def _published_name(pde: PDE) -> str:
    """Return the name of a PDE that is posed as in the papers, "" for any other problem.

    Its numbers, such as a wave number, may differ. Its domain, sides and sources may not.
    """
    kind = PDES.get(pde.name)
    usual = kind(**pde.benchmark_parameters).parameters if kind is type(pde) else {}
    posed = usual and all(
        isinstance(value, (bool, int, float, str, Field)) or value == usual[name]
        for name, value in pde.parameters.items()
        if name not in CHOICES
    )
    return pde.name if posed else ""


_DDPM_STEPS, _DDPM_FIRST, _DDPM_LAST = 1000, 1e-4, 0.02


def ddpm_levels(steps: int) -> torch.Tensor:
    """Return the noise levels of DDPM's linear schedule, falling, and 0, (steps + 1,), float64.

    They are those of x0 + σ noise. Of the 1,000 levels, evenly spaced ones are kept.

    Reference:
        Ho, Jain & Abbeel, *Denoising diffusion probabilistic models*, NeurIPS 2020, section 4.
    """
    kept = torch.linspace(_DDPM_FIRST, _DDPM_LAST, _DDPM_STEPS, dtype=torch.float64)
    signal = (1 - kept).cumprod(dim=0)
    places = torch.linspace(_DDPM_STEPS - 1, 0, steps, dtype=torch.float32).round().long()
    signal = signal[places]
    return torch.cat([((1 - signal) / signal).sqrt(), torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class DiffusionPDEConstants:
    """The constants of DiffusionPDE for one PDE.

    Arguments:
        units: for each field, the factor from its physical units to those of the published network.
        weights: for each field, ζ of its sensors.
        residual_weight: ζ of the PDE's residual.
        residual_cells: divide the residual's norm by the number of cells, not of nodes.

    Reference:
        Huang et al., *DiffusionPDE*, NeurIPS 2024, appendix (arXiv 2406.17763).
    """

    units: tuple[float, ...]
    weights: tuple[float, ...]
    residual_weight: float
    residual_cells: bool = False

    def residual_count(self, grid: Grid) -> int:
        """Return what the norm of the residual is divided by on a grid."""
        return grid.cells[0] * grid.cells[1] if self.residual_cells else grid.nodes


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

    For a problem that the paper does not have, the units normalise all fields to the standard
    deviation 0.5, all weights are 5 in these units, and there is no residual.

    Arguments:
        pde: identified by its name, and by how it is posed.
        field_std: (channel,), standard deviations of the fields in physical units.
    """
    if constants := _DIFFUSIONPDE.get(_published_name(pde)):
        return constants
    units = tuple((0.5 / field_std).tolist())
    return DiffusionPDEConstants(units, tuple(_NEUTRAL_WEIGHT * unit for unit in units), 0.0)


@dataclass(frozen=True)
class SensorLoss:
    """What FunDPS minimises where one field has sensors.

    Arguments:
        weight: of the sensors' misfit, for fields of standard deviation 0.5.
        measure: how the misfit is measured.
        residual_weight: of the PDE's residual: its mean square, or its mean Huber loss in the
            preset "published".
        sigma_max, sigma_min: the first noise level and the last.

    Reference:
        Yao et al., *Guided diffusion sampling on function spaces* (FunDPS), NeurIPS 2025, appendix
        (arXiv 2505.17004).
    """

    weight: float
    measure: Measure = "mean-square"
    residual_weight: float = 0.0
    sigma_max: float = 80.0
    sigma_min: float = 0.002


_FUNDPS = {
    "darcy": (SensorLoss(1e4), SensorLoss(5e4)),
    "helmholtz": (
        SensorLoss(1e4, residual_weight=1.0),
        SensorLoss(5e3, "root-mean-square", residual_weight=1.0),
    ),
    "navier-stokes": (
        SensorLoss(5e3, residual_weight=1.0),
        SensorLoss(7.5e3, "root-mean-square", residual_weight=10.0),
    ),
}
_FUNDPS_POISSON: dict[Preset, tuple[SensorLoss, SensorLoss]] = {
    "default": (SensorLoss(1e4, sigma_max=10.0), SensorLoss(2e4, sigma_max=10.0)),
    "published": (SensorLoss(1e4), SensorLoss(2e4, sigma_max=10.0, sigma_min=0.01)),
}
# The weight that three of the four PDEs have for their coefficient.
_NEUTRAL_FUNDPS = SensorLoss(1e4), SensorLoss(1e4)


def fundps_constants(pde: PDE, preset: Preset = "default") -> tuple[SensorLoss, SensorLoss]:
    """Return FunDPS's losses of the sensors on the coefficient and on the solution.

    For a problem that the paper does not have, the first level is 80, both fields have the weight
    1e4 of a mean square, and there is no residual.

    Arguments:
        pde: identified by its name, and by how it is posed.
        preset: the presets differ in the noise levels of one PDE.
    """
    name = _published_name(pde)
    return _FUNDPS_POISSON[preset] if name == "poisson" else _FUNDPS.get(name, _NEUTRAL_FUNDPS)


def guidance_residual(pde: PDE, state: torch.Tensor, preset: Preset) -> torch.Tensor:
    """Return what DiffusionPDE and FunDPS call the residual of a state, (batch, 1, my, mx).

    It is evaluated only where `diffusionpde_constants` and `fundps_constants` weigh it, on the unit
    square. By default it is the residual of the PDE, at all nodes, except for Navier–Stokes: there
    it is ∂w/∂x + ∂w/∂y of the final vorticity w, which no flow makes zero. The solvers keep it to
    be comparable with the papers.

    With the preset "published" it is that of the papers' code. For Poisson and Helmholtz this is
    the PDE's, for Navier–Stokes the sum above with the distance of two nodes as the unit of length;
    all at the interior nodes. For Darcy it is ∇·(a ∇u) + 1 in this unit too, by central differences
    at all nodes, with zeros outside.

    Arguments:
        pde: identified by its name.
        state: (batch, 2, ny, nx), in physical units.
        preset: ours or that of the papers.
    """
    a, u = state[:, :1], state[:, 1:]
    if preset == "default":
        if pde.name != "navier-stokes":
            return pde.residual(a, u)
        along_x, along_y = (
            (u.roll(-1, dim) - u.roll(1, dim)) * u.shape[dim] / 2 for dim in (-1, -2)
        )
        return along_x + along_y
    if pde.name == "darcy":
        return _central(a * _central(u, -1), -1) + _central(a * _central(u, -2), -2) + 1
    if pde.name == "navier-stokes":
        return (_central(u, -1) + _central(u, -2))[..., 1:-1, 1:-1]
    return pde.residual(a, u)[..., 1:-1, 1:-1]


def _central(u: torch.Tensor, dim: int) -> torch.Tensor:
    """Return half of the next value minus the previous one along a dimension, zero outside."""
    padded = torch.nn.functional.pad(u, (1, 1) if dim == -1 else (0, 0, 1, 1))
    n = u.shape[dim]
    return (padded.narrow(dim, 2, n) - padded.narrow(dim, 0, n)) / 2


@dataclass(frozen=True)
class DAPSConstants:
    """The constants of DAPS and DDIS.

    Arguments:
        steps: noise levels, from `sigma_max` to `sigma_min`.
        ode_steps: steps of the ODE at each level, down to `ode_sigma_min`.
        langevin: Langevin steps at each level.
        rate, last_rate: sizes of a Langevin step at the first level and at the last.
        tau: standard deviation of the sensors' noise that the method assumes.
        weights: (2,), of the sensors on the coefficient and on the other fields; None for
            `ddis_weights`.
        measure: how the sensors' misfit is measured.
        two_grids: half of the levels on half as many nodes per side.

    Reference:
        Yao et al. (FunDPS), NeurIPS 2025, appendix (arXiv 2505.17004), for DAPS; Lin et al., 2026
        (arXiv 2601.23280), for DDIS.
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
    weights: tuple[float, float] | None = (10.0, 1.0)
    measure: Measure = "mean-square"
    two_grids: bool = False


DAPS_CONSTANTS: dict[Preset, DAPSConstants] = {
    "default": DAPSConstants(),
    "published": DAPSConstants(),
}
"""Published for Poisson; in both presets for every PDE."""

DDIS_CONSTANTS: dict[Preset, DAPSConstants] = {
    "default": DAPSConstants(weights=(100.0, 100.0)),
    "published": DAPSConstants(
        steps=100,
        ode_steps=5,
        langevin=20,
        weights=None,
        measure="mean-absolute",
        two_grids=True,
    ),
}
"""By default those of DAPS, with weights that we chose on a few instances of one PDE."""

_DDIS_WEIGHTS = {"helmholtz": (5.0, 10.0), "navier-stokes": (20.0, 10.0)}


def ddis_weights(pde: PDE) -> tuple[float, float]:
    """Return the published weights of DDIS on the coarse grid and on the fine one.

    They are of the mean absolute misfit of the solution. For a problem that the paper does not
    have, Darcy among them, they are those of Poisson.
    """
    return _DDIS_WEIGHTS.get(_published_name(pde), (10.0, 15.0))

"""What a wrong assumption costs, and whether it is named: `pdeinv study wrong-assumptions`.

Each row has a truth, and reconstructions with the built-in numbers, with the right ones, and with
those in question left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from pdeinv.benchmarks.studies.assumed_cases import Case, Reads, Setting, Size, draw_case
from pdeinv.coefficients import CoefficientPrior, GaussianField, SpectralField, TwoPhase
from pdeinv.datasets import Problem
from pdeinv.grid import Domain, GridKind
from pdeinv.latent_field import LatentField
from pdeinv.symmetry import Symmetry
from pdeinv.unknown import Unknown

__all__ = ["CASES"]

_FEWER = 0.48  # of the readings, for the row of a large contrast: 60 of 125
_VISCOSITIES = (1e-4, 1e-1)
_FORCINGS = (-0.5, 0.5)


@dataclass(frozen=True)
class _Scaled(CoefficientPrior):
    """A Gaussian field times a factor, which the published fields have no number for."""

    field: SpectralField
    factor: float

    def latent(self, domain: Domain, kind: GridKind) -> LatentField:
        return self.field.latent(domain, kind)

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return self.factor * latent

    @property
    def symmetric(self) -> bool:
        return True

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return self.field.keeps(element, domain)


def _prior(
    right: CoefficientPrior, left_out: CoefficientPrior, pde: str, size: Size, instance: int
) -> Case:
    """Return a row whose prior is another than the built-in one."""
    usual = Problem.named(pde)
    world = replace(usual, prior=right)
    settings = {
        "defaults": Setting(usual),
        "right": Setting(world),
        "left out": Setting(replace(usual, prior=left_out)),
    }
    return _case(world, settings, size, instance)


def _case(world: Problem, settings: dict[str, Setting], size: Size, instance: int) -> Case:
    reads = [Reads(world.physics.solution_field.name, size.sensors)]
    numbers: dict[str, Any] = {**world.coefficient_prior.numbers, **world.physics.parameters}
    numbers = {k: 0.0 if v is None else v for k, v in numbers.items()}  # such as no forcing
    known = {k: v for k, v in numbers.items() if isinstance(v, float)}
    return draw_case(world, reads, size, instance, settings, known)


def _contrast(size: Size, instance: int) -> Case:
    fewer = size._replace(sensors=max(4, round(_FEWER * size.sensors)))
    return _prior(_phases(2.0, 40.0), TwoPhase(GaussianField()), "darcy", fewer, instance)


def _physics(right: dict[str, float | None], unknown: str, size: Size, instance: int) -> Case:
    """Return a row whose physics is another than the built-in one."""
    usual = Problem.named("navier-stokes")
    physics: Any = usual.physics
    ranges = {"viscosity": Unknown(*_VISCOSITIES), "forcing": Unknown(*_FORCINGS)}
    world = replace(usual, physics=replace(physics, **right))
    left_out = replace(physics, **{unknown: ranges[unknown]})
    settings = {
        "defaults": Setting(usual),
        "right": Setting(world),
        "left out": Setting(replace(usual, physics=left_out)),
    }
    return _case(world, settings, size, instance)


def _phases(low: float, high: float) -> CoefficientPrior:
    usual = Problem.named("darcy").coefficient_prior
    return usual.with_numbers(low=low, high=high)


CASES: Mapping[str, Callable[[Size, int], Case]] = {
    "poisson, amplitude 5 times": partial(
        _prior, _Scaled(SpectralField(), 5.0), GaussianField(), "poisson"
    ),
    "poisson, tau 8 for 3": partial(_prior, SpectralField(tau=8.0), GaussianField(), "poisson"),
    "poisson, alpha 3 for 2": partial(_prior, SpectralField(alpha=3.0), GaussianField(), "poisson"),
    "darcy, 4 and 20 for 3 and 12": partial(
        _prior, _phases(4.0, 20.0), TwoPhase(GaussianField()), "darcy"
    ),
    "darcy, contrast 20": _contrast,
    "navier-stokes, viscosity 1e-2 for 1e-3": partial(_physics, {"viscosity": 1e-2}, "viscosity"),
    "navier-stokes, without its forcing": partial(_physics, {"forcing": None}, "forcing"),
}
"""The rows: a function of the size and of the number of the truth for each."""

"""What is measured: instances of a PDE, each seen by sensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch

from pdeinv import layouts
from pdeinv.datasets import PDE, pde_by_name
from pdeinv.errors import InputError
from pdeinv.observation import Observation

__all__ = ["KINDS", "VARIANTS", "Task", "fingerprint"]

KINDS = {"forward": (0,), "inverse": (1,), "both": (0, 1)}
"""The channels (0 the coefficient, 1 the solution) that carry sensors in each kind of task."""

VARIANTS = ("standard", "smoother", "rougher", "contrast", "viscosity")
"""Where instances come from: the benchmark's own PDE, or one that the solvers are not told of."""
_SMOOTHER = 0.5  # change of the exponent alpha of the random coefficient
_CONTRAST = {"low": 4.0, "high": 12.0}
_VISCOSITY = {"viscosity": 2e-3}
_LOOKED_AT = 8  # nodes per side, whose coefficient tells an instance from others


@dataclass(frozen=True)
class Task:
    """Random states of a PDE, seen at random nodes.

    *forward* has sensors on the coefficient and scores the solution, *inverse* the other way round,
    *both* has sensors on both fields and scores both.

    Arguments:
        pde: the PDE's name; its parameters are the benchmark's.
        kind: `"forward"`, `"inverse"` or `"both"`.
        grid: nodes per side.
        sensors: number of different nodes observed on each observed field.
        noise: standard deviation of the readings' noise, relative to the observed field's over the
            instance.
        seed: instance i depends on (seed, i) alone.
        variant: `"standard"`, or out of distribution: a `"smoother"` or `"rougher"` coefficient
            (alpha up or down by 0.5), for Darcy another `"contrast"` (4 and 12 instead of 3 and
            12), for Navier–Stokes another `"viscosity"` (2e-3).
    """

    pde: str
    kind: str
    grid: int = 64
    sensors: int = 125
    noise: float = 0.0
    seed: int = 0
    variant: str = "standard"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"task {self.kind!r} is unknown; use forward, inverse or both")
        if not 0 <= self.noise < float("inf"):
            raise InputError(f"noise = {self.noise} must not be negative or infinite")
        if self.variant not in VARIANTS:
            raise InputError(f"variant {self.variant!r} is unknown; use {', '.join(VARIANTS)}")

    @property
    def physics(self) -> PDE:
        """What the solvers are told."""
        return pde_by_name(self.pde)

    @property
    def world(self) -> PDE:
        """Where the instances come from."""
        pde = self.physics
        if self.variant in ("smoother", "rougher"):
            return replace(
                pde, alpha=pde.alpha + (_SMOOTHER if self.variant == "smoother" else -_SMOOTHER)
            )
        change = {"contrast": _CONTRAST, "viscosity": _VISCOSITY}.get(self.variant, {})
        if change.keys() - pde.parameters.keys():
            raise InputError(
                f"variant {self.variant!r} means nothing to {self.pde}; it has no "
                f"{next(iter(change))}"
            )
        return replace(pde, **change)

    @property
    def scored(self) -> tuple[int, ...]:
        return {"forward": (1,), "inverse": (0,), "both": (0, 1)}[self.kind]

    def instance(self, i: int) -> tuple[torch.Tensor, Observation]:
        """The true state (2, n, n) and its observation."""
        pde, number = self.world, 1_000_003 * self.seed + i
        grid = pde.grid(self.grid)
        generator = torch.Generator().manual_seed(number)
        truth = pde.sample(1, grid, generator)
        observed = KINDS[self.kind]
        points = [
            torch.as_tensor(layouts.random_nodes(self.sensors, grid, seed=2 * number + c))
            for c in observed
        ]
        channel = torch.tensor(observed).repeat_interleave(self.sensors)
        noise_std = self.noise * truth[0].flatten(1).std(dim=1)[channel]
        order = tuple(f.interpolation_order for f in pde.fields)
        blank = Observation(
            grid, torch.cat(points), channel, torch.zeros_like(noise_std), noise_std, order
        )
        values = blank(truth)[0] + noise_std * torch.randn(
            len(blank), dtype=torch.float64, generator=generator
        )
        return truth[0], Observation(grid, blank.points, channel, values, noise_std, order)


def fingerprint(truth: torch.Tensor, observation: Observation) -> str:
    """Twelve hexadecimal digits that tell an instance, the same on every machine.

    They come from the sensors' places and from the coefficient at a few nodes to four digits: what
    no solver has touched.
    """
    step = -(-truth.shape[-1] // _LOOKED_AT)
    numbers = torch.cat([observation.points.flatten(), truth[0, ::step, ::step].flatten()])
    return hashlib.sha256(" ".join(f"{v:.3e}" for v in numbers.tolist()).encode()).hexdigest()[:12]

"""What is measured: instances of a PDE, each seen by sensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container
from dataclasses import dataclass

import torch

from pdeinv import layouts, seeds
from pdeinv.benchmarks.families import FAMILIES
from pdeinv.datasets import PDE, Problem
from pdeinv.errors import InputError
from pdeinv.observation import Observation

__all__ = [
    "KINDS",
    "MOST_INSTANCES",
    "TEST_SEEDS",
    "TUNING_SEEDS",
    "VARIANTS",
    "Task",
    "fingerprint",
]

KINDS = {"forward": (0,), "inverse": (1,), "both": (0, 1)}
"""The channels (0 the coefficient, 1 the solution) that carry sensors in each kind of task."""

VARIANTS: dict[str, dict[str, Callable[[float], float]]] = {
    "standard": {},
    "smoother": {"alpha": lambda alpha: alpha + 0.5},
    "rougher": {"alpha": lambda alpha: alpha - 0.5},
    "contrast": {"low": lambda low: low * 4 / 3},
    "viscosity": {"viscosity": lambda viscosity: 2 * viscosity},
}
"""How each variant changes the numbers of the problem that draws the instances."""
MOST_INSTANCES = 1_000_003
"""Instances of one seed."""
TEST_SEEDS = range(seeds.TEST.stop // MOST_INSTANCES)
"""Seeds of tasks on which methods are compared: their instances are in `pdeinv.seeds.TEST`."""
TUNING_SEEDS = range(-(-seeds.TUNING.start // MOST_INSTANCES), seeds.TUNING.stop // MOST_INSTANCES)
"""Seeds of tasks on which settings are chosen: their instances are in `pdeinv.seeds.TUNING`."""
_FINGERPRINT_NODES = 8  # per side, of the coefficient


@dataclass(frozen=True)
class Task:
    """Random states of a PDE, seen at random nodes.

    *forward* has sensors on the coefficient and scores the solution, *inverse* the other way round,
    *both* has sensors on both fields and scores both.

    Arguments:
        pde: name of the PDE; its parameters are the defaults.
        kind: `"forward"`, `"inverse"` or `"both"`.
        grid: nodes per side.
        sensors: number of different nodes observed on each observed field.
        noise: standard deviation of the readings' noise, relative to the observed field's standard
            deviation over the instance.
        seed: instance i depends on (seed, i) alone. One of `TEST_SEEDS`, or of `TUNING_SEEDS` to
            choose settings by.
        variant: `"standard"`, or out of distribution, for every PDE with the parameter: a
            `"smoother"` or `"rougher"` coefficient (alpha up or down by 0.5), a lower `"contrast"`
            (low raised by a third), a `"viscosity"` of twice the default. The solvers keep the
            standard PDE.
        family: name in `FAMILIES` of a distribution of the coefficient, which the solvers are given
            too; "" for the published one.

    Raises:
        InputError: the kind, the noise, the seed, the variant or the family cannot be used.
    """

    pde: str
    kind: str
    grid: int = 64
    sensors: int = 125
    noise: float = 0.0
    seed: int = 0
    variant: str = "standard"
    family: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"task must be one of {', '.join(KINDS)}, got {self.kind!r}; choose one of them"
            )
        if not 0 <= self.noise < float("inf"):
            raise InputError(
                f"noise must be a finite number of at least 0, got {self.noise}; give 0 for exact "
                f"readings, or such as 0.01"
            )
        if self.seed not in TEST_SEEDS and self.seed not in TUNING_SEEDS:
            raise InputError(
                f"the seed of a task must be from 0 to {TEST_SEEDS[-1]} to compare methods, "
                f"or from {TUNING_SEEDS[0]} to {TUNING_SEEDS[-1]} to choose settings, "
                f"got {self.seed}; use one of them"
            )
        if self.variant not in VARIANTS:
            raise InputError(
                f"variant must be one of {', '.join(VARIANTS)}, got {self.variant!r}; choose one "
                f"of them"
            )
        if self.family:
            self._check_family()

    def _check_family(self) -> None:
        """Refuse a family that is unknown, or not of this PDE or this variant."""
        if self.family not in FAMILIES:
            raise InputError(
                f"family must be one of {', '.join(FAMILIES)}, got {self.family!r}; choose one of "
                f"them, or leave it out"
            )
        if self.pde not in FAMILIES[self.family]:
            raise InputError(
                f"pde must be one of {', '.join(FAMILIES[self.family])} for the family "
                f"{self.family!r}, got {self.pde!r}; choose one of them"
            )
        if self.variant != "standard":
            raise InputError(
                f"variant must be 'standard' for a family, got {self.variant!r} for "
                f"{self.family!r}; leave one of them out"
            )

    @property
    def problem(self) -> Problem:
        """The problem that the solvers are given."""
        return FAMILIES[self.family][self.pde] if self.family else Problem.named(self.pde)

    @property
    def physics(self) -> PDE:
        """The PDE that the solvers use."""
        return self.problem.physics

    @property
    def world(self) -> Problem:
        """The problem that draws the instances: that of the solvers, or a variant of it.

        Raises:
            InputError: the problem lacks a number that the variant changes.
        """
        if self.family:
            return self.problem
        usual, changed = self.problem.coefficient_prior.numbers | self.physics.parameters, {}
        for name, change in VARIANTS[self.variant].items():
            if name not in usual:
                raise InputError(
                    f"variant must change numbers that {self.pde} has, got {self.variant!r}, "
                    f"which changes {name}; use {' or '.join(_variants_of(usual))}"
                )
            changed[name] = change(float(usual[name]))
        return Problem.named(self.pde, **changed)

    @property
    def scored(self) -> tuple[int, ...]:
        """The channels whose reconstruction is scored."""
        return {"forward": (1,), "inverse": (0,), "both": (0, 1)}[self.kind]

    def _number(self, i: int) -> int:
        return MOST_INSTANCES * self.seed + i

    def generator(self, i: int) -> torch.Generator:
        """Return the generator of instance i, which draws the true coefficient first."""
        number = self._number(i)
        purpose = seeds.TEST if number in seeds.TEST else seeds.TUNING
        return seeds.generator(purpose, number - purpose.start)

    def instance(self, i: int) -> tuple[torch.Tensor, Observation]:
        """Return the true state (2, n, n) of instance i and its observation.

        Raises:
            InputError: a seed has fewer instances, or the grid has fewer nodes than sensors.
        """
        if not 0 <= i < MOST_INSTANCES:
            raise InputError(
                f"an instance must be from 0 to {MOST_INSTANCES - 1}, got {i}; use another seed "
                f"for more"
            )
        world, number = self.world, self._number(i)
        pde = world.physics
        grid = pde.grid(self.grid)
        generator = self.generator(i)
        truth = world.sample(1, grid, generator)
        observed = KINDS[self.kind]
        points = [
            torch.as_tensor(layouts.random_nodes(self.sensors, grid, seed=2 * number + c))
            for c in observed
        ]
        channel = torch.tensor(observed, dtype=torch.long).repeat_interleave(self.sensors)
        noise_std = self.noise * truth[0].flatten(1).std(dim=1)[channel]
        order = tuple(f.interpolation_order for f in pde.fields)
        blank = Observation(
            grid, torch.cat(points), channel, torch.zeros_like(noise_std), noise_std, order
        )
        values = blank(truth)[0] + noise_std * torch.randn(
            len(blank), dtype=torch.float64, generator=generator
        )
        return truth[0], Observation(grid, blank.points, channel, values, noise_std, order)


def _variants_of(parameters: Container[str]) -> list[str]:
    return [n for n, changes in VARIANTS.items() if all(key in parameters for key in changes)]


def fingerprint(truth: torch.Tensor, observation: Observation) -> str:
    """Return twelve hexadecimal digits that identify an instance, the same on every machine.

    They are computed from what no solver changes: the sensors' positions and the coefficient at a
    few nodes, to four digits.

    Arguments:
        truth: (2, n, n), the true state.
        observation: its observation.
    """
    step = -(-truth.shape[-1] // _FINGERPRINT_NODES)
    numbers = torch.cat([observation.points.flatten(), truth[0, ::step, ::step].flatten()])
    return hashlib.sha256(" ".join(f"{v:.3e}" for v in numbers.tolist()).encode()).hexdigest()[:12]

"""What a design is about: present readings, a field to be read, and one to be made certain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from pdeinv.checks import Bounds, described, integer, number
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.priors.base import Prior
from pdeinv.quantities import Mean
from pdeinv.region import Region
from pdeinv.sensors import NoiseLevels, Sensors
from pdeinv.sensors.sources import SensorTable

__all__ = ["PosedDesign", "field_made_certain", "target_weights"]

_ANYWHERE = 1500  # candidates of a lattice of nodes, at most
_NODES = Bounds(least=4)  # of the shorter side


@dataclass(frozen=True)
class PosedDesign:
    """The present readings of a problem, a field to be read and one to be made certain.

    Arguments:
        physics, prior: of the problem; the state has channels for both fields.
        table, present: the readings.
        channel, target: of both fields.
    """

    physics: PDE
    prior: Prior
    table: Sensors
    present: Observation
    channel: int
    target: int

    @classmethod
    def of(
        cls,
        table: Sensors,
        problem: Problem,
        field: str | None,
        of: str | None,
        grid: int | Grid | None,
        noise: NoiseLevels | None,
    ) -> PosedDesign:
        read = field or problem.physics.solution_field.name
        wanted = of or problem.physics.coefficient_field.name
        physics = problem.physics.reading([*table.table.field.unique(), read, wanted])
        nodes = grid if grid is not None else problem.grid
        nodes = nodes if isinstance(nodes, Grid) else physics.grid(integer("grid", nodes, _NODES))
        bounds = problem.prior.bounds if isinstance(problem.prior, CoefficientPrior) else None
        present = table.observation(
            physics,
            physics.check_grid(nodes),
            noise=noise,
            bounds=bounds,
            instruments=problem.instruments,
        )
        channels = physics.channel(read), physics.channel(wanted)
        return cls(physics, problem.prior, table, present, *channels)

    def candidates(self, given: SensorTable | None, noise_std: float | None) -> Observation:
        """Return the readings that could be taken, with the noise of each."""
        if given is None:
            points = _lattice(self.present.grid)
            table = pd.DataFrame({"x": points[:, 0], "y": points[:, 1]})
        else:
            table = pd.DataFrame(given)
        if not {"x", "y"} <= {*table.columns} or not len(table):
            raise InputError(
                f"candidates must be a table with x and y, got {described(list(table.columns))} "
                f"with {len(table)} rows; give one row for each place"
            )
        kept = [c for c in ("x", "y", "kind", "radius", "x2", "y2") if c in table]
        table = table[kept].assign(
            field=self.physics.fields[self.channel].name,
            value=0.0,
            noise_std=self._noise(noise_std),
        )
        made = Sensors(table, origin="the candidates")
        return made.observation(self.physics, self.present.grid)

    def _noise(self, given: float | None) -> float:
        if given is not None:
            return number("noise_std of new readings", given, Bounds(least=0))
        mine = self.present.noise_std[self.present.channel == self.channel]
        if not len(mine):
            raise InputError(
                f"noise_std must be given where no present sensor reads "
                f"{self.physics.fields[self.channel].name!r}, got none; state that of the new "
                f"readings"
            )
        return float(mine.median())


def _lattice(grid: Grid) -> np.ndarray:
    """Return nodes in equal steps, (n, 2), the active ones among them."""
    step = 1
    while (grid.ny // step) * (grid.nx // step) > _ANYWHERE:
        step += 1
    chosen = torch.zeros(grid.shape, dtype=torch.bool)
    chosen[step // 2 :: step, step // 2 :: step] = True
    if grid.active_nodes is not None:
        chosen &= grid.active_nodes
    return grid.points()[chosen.flatten()].numpy()


def field_made_certain(of: object, where: object | None) -> str | None:
    """Return the name of the field that is made certain, or whose mean is; None for the
    coefficient.

    Raises:
        InputError: it is neither the name of a field nor a mean, or a mean is restricted further.
    """
    if of is None or isinstance(of, str):
        return of
    if not isinstance(of, Mean):
        raise InputError(
            f"of must be the name of a field or a pdeinv.quantities.Mean, got {described(of)}; "
            f"give one of them"
        )
    if where is not None:
        raise InputError(
            f"where must be left out for a mean, which has its own polygon, got "
            f"{described(where)}; leave it out"
        )
    return of.field


def target_weights(grid: Grid, of: object, where: object | None) -> torch.Tensor:
    """Return what a `Target` weighs: the nodes' variances, (ny, nx), or a mean, (1, ny, nx)."""
    if isinstance(of, Mean):
        return torch.from_numpy(of.weights(grid))[None]
    return _node_weights(grid, where)


def _node_weights(grid: Grid, where: object | None) -> torch.Tensor:
    """Return the weight of each node's variance, (ny, nx), which add up to 1."""
    weights = torch.ones(grid.shape, dtype=torch.float64)
    if grid.active_nodes is not None:
        weights *= grid.active_nodes
    if where is not None:
        region = Region.of(where, "where").within(grid.extent)
        inside = torch.from_numpy(region.contains(grid.points().numpy())).reshape(grid.shape)
        weights *= inside
    if not weights.any():
        raise InputError(f"where must hold a node of the grid of {grid}, got none; widen it")
    return weights / weights.sum()

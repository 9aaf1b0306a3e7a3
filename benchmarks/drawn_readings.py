"""Noisy readings of a draw of the prior, for studies of what a run takes and survives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from pdeinv import layouts, seeds
from pdeinv.datasets import PDE, Problem
from pdeinv.grid import Grid
from pdeinv.sensors import Sensors

__all__ = ["drawn_readings", "drawn_state", "readings_of"]

_NOISE = 0.05  # relative to the spread of the readings


def drawn_readings(pde: PDE, grid: Grid, sensors: int, seed: int) -> pd.DataFrame:
    """Return a table of readings of the solution at random places, with their noise.

    Arguments:
        pde: whose default prior is drawn from.
        grid: of the draw.
        sensors: number of readings.
        seed: of the draw, the places and the noise.
    """
    return readings_of(drawn_state(pde, grid, seed), pde, grid, sensors, seed)


def drawn_state(pde: PDE, grid: Grid, seed: int) -> torch.Tensor:
    """Return a state (1, channels, ny, nx) of the default prior."""
    return Problem(pde).sample(1, grid, seeds.generator(seeds.TUNING, seed)).double()


def readings_of(state: torch.Tensor, pde: PDE, grid: Grid, sensors: int, seed: int) -> pd.DataFrame:
    """Return a table of readings of the solution of a state; arguments as of `drawn_readings`."""
    points = layouts.random(sensors, seed, pde.domain)
    table = pd.DataFrame(np.asarray(points), columns=["x", "y"])
    table = table.assign(field=pde.solution_field.name, value=0.0)
    clean = Sensors(table).observation(pde, grid, noise=1.0)(state)[0].numpy()
    std = _NOISE * float(clean.std() or 1.0)  # that of a single reading is 0
    noise = std * np.random.default_rng(seed).standard_normal(sensors)
    return table.assign(value=clean + noise, noise_std=std)

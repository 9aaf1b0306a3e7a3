"""The physics of a layer of a MODFLOW model."""

from __future__ import annotations

import numpy as np
import torch

from pdeinv.datasets.darcy import Darcy
from pdeinv.datasets.features import Feature, FixedValue, Leakage
from pdeinv.datasets.modflow.layer import Layer
from pdeinv.datasets.sides import NoFlux, Sides
from pdeinv.datasets.wells import Well
from pdeinv.errors import warn_input
from pdeinv.fields import Field
from pdeinv.grid import Domain, Grid
from pdeinv.region import Region
from pdeinv.units import product

__all__ = [
    "CONDUCTIVITY",
    "TRANSMISSIVITY",
    "check_rivers",
    "coefficients_of",
    "conductivity_units",
    "fields_of",
    "physics_of",
]

CONDUCTIVITY, TRANSMISSIVITY = "hydraulic_conductivity", "transmissivity"


def physics_of(layer: Layer) -> Darcy:
    """Return the flow through a layer.

    Raises:
        InputError: nothing fixes the level of its heads.
    """
    thickness = float(layer.thickness[layer.active][0]) if _uniform(layer) else 1.0
    grid = layer.grid
    coefficient, head = fields_of(layer)
    return Darcy(
        _distributed(layer.recharge / thickness, layer.free),  # type: ignore[arg-type]
        domain=Domain(grid.extent, grid.unit, _region(layer.active, grid)),
        boundary=Sides(NoFlux(), NoFlux(), NoFlux(), NoFlux()),
        features=(*_held(layer), *_leaking(layer)),
        wells=_wells(layer),
        thickness=thickness,
        face_mean="harmonic",
        grid_kind="cell",
        coefficient_field=coefficient,
        solution_field=head,
    )


def coefficients_of(layer: Layer) -> np.ndarray:
    """Return the coefficient of the model's own conductivity, [row, column]."""
    return layer.conductivity * (1.0 if _uniform(layer) else layer.thickness)


def conductivity_units(layer: Layer) -> str:
    """Return the units of a conductivity, "1" where the model states none."""
    known = "1" not in (layer.grid.unit, layer.time_unit)
    return f"{layer.grid.unit} {layer.time_unit}-1" if known else "1"


def _uniform(layer: Layer) -> bool:
    thickness = layer.thickness[layer.active]
    return bool(np.ptp(thickness) <= 1e-9 * thickness.max())


def fields_of(layer: Layer) -> tuple[Field, Field]:
    """Return the fields of the coefficient and of the head."""
    units = conductivity_units(layer)
    coefficient = Field(CONDUCTIVITY, "hydraulic conductivity", units)
    if not _uniform(layer):
        of_layer = "1" if units == "1" else product(units, layer.grid.unit)
        coefficient = Field(TRANSMISSIVITY, "transmissivity", of_layer)
    return coefficient, Field("head", "hydraulic head", layer.grid.unit)


def _region(cells: np.ndarray, grid: Grid) -> Region | None:
    """Return the region of some cells [row, column]; None if these are all."""
    if cells.all():
        return None
    (x0, x1, y0, y1), (hy, hx) = grid.extent, grid.spacing
    centres = (x0 + hx / 2, x1 - hx / 2, y0 + hy / 2, y1 - hy / 2)
    return Region(np.ascontiguousarray(cells[::-1]), centres)


def _distributed(values: np.ndarray, where: np.ndarray) -> float | np.ndarray:
    """Return a quantity with given values in some cells [row, column]: a number, or an array of
    twice as many positions, of which every other one is the centre of a cell."""
    known = values[where]
    if not len(known) or np.ptp(known) == 0:
        return float(known[0]) if len(known) else 0.0
    fine = np.where(where, values, known.mean())[::-1]
    for axis in (0, 1):
        near = np.moveaxis(fine, axis, 0)
        ends = np.concatenate([near[:1], (near[1:] + near[:-1]) / 2, near[-1:]])
        both = np.insert(near, range(len(near) + 1), 0.0, axis=0)
        both[::2] = ends
        fine = np.moveaxis(both, 0, axis)
    return fine


def _held(layer: Layer) -> list[Feature]:
    held = layer.active & ~np.isnan(layer.constant)
    if not held.any():
        return []
    place = _place(held, layer.grid)
    return [FixedValue(place, _distributed(layer.constant, held))]  # type: ignore[arg-type]


def _leaking(layer: Layer) -> list[Feature]:
    """Return the leaks: one for all cells with one conductance, or with many levels for each."""
    cell = layer.grid.hx * layer.grid.hy
    features: list[Feature] = []
    remaining = [leak for leak in layer.leaks if layer.free[leak.cell] and leak.conductance > 0]
    while remaining:
        conductance = remaining[0].conductance
        levels, rest = np.full(layer.grid.shape, np.nan), []
        for leak in remaining:
            if leak.conductance == conductance and np.isnan(levels[leak.cell]):
                levels[leak.cell] = leak.level
            else:
                rest.append(leak)
        where = ~np.isnan(levels)
        level = _distributed(levels, where)
        place = _place(where, layer.grid)
        features.append(Leakage(place, level, conductance / cell))  # type: ignore[arg-type]
        remaining = rest
    return features


def _place(cells: np.ndarray, grid: Grid) -> Region:
    return _region(cells, grid) or Region(np.ones(grid.shape, dtype=bool), grid.extent)


def _wells(layer: Layer) -> tuple[Well, ...]:
    y, x = (part.numpy() for part in layer.grid.coordinates())
    at = np.argwhere(layer.free & (layer.rates != 0))
    return tuple(
        Well(float(x[j]), float(y[::-1][i]), float(layer.rates[i, j])) for i, j in at.tolist()
    )


def check_rivers(layer: Layer, physics: Darcy) -> None:
    """Warn of rivers whose heads, of the model's own conductivity, are below their bottoms."""
    rivers = [leak for leak in layer.leaks if layer.free[leak.cell] and np.isfinite(leak.bottom)]
    if not rivers:
        return
    coefficients = coefficients_of(layer)
    a = np.where(layer.active, coefficients, coefficients[layer.active].mean())[::-1].copy()
    heads = physics.solve(torch.from_numpy(a)[None, None])[0, 0].numpy()[::-1]
    below = [leak for leak in rivers if heads[leak.cell] < leak.bottom]
    if below:
        i, j = below[0].cell
        warn_input(
            f"heads below rivers must be above the bottoms of their beds, got {heads[i, j]:g} "
            f"below {below[0].bottom:g} in row {i + 1}, column {j + 1} for the model's own "
            f"conductivity; MODFLOW bounds the leak there, the problem does not"
        )

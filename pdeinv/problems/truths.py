"""Truths to be observed: draws of a problem's prior, or fields in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from pdeinv import seeds
from pdeinv.checks import Bounds, described, integer
from pdeinv.coefficients import CoefficientPrior
from pdeinv.coordinates import coordinates_of, grid_from
from pdeinv.datasets import PDE, PDES, Problem, open_dataset
from pdeinv.datasets.unknowns import draw_numbers
from pdeinv.errors import InputError, warn_input
from pdeinv.external import is_reference
from pdeinv.figures.times import place_of
from pdeinv.grid import Grid
from pdeinv.netcdf_input import check_netcdf
from pdeinv.sensors.column_names import nearest

__all__ = ["Choice", "Drawn", "Observed", "draw_truth", "observed_fields"]

_FIRST = 2**30  # number of the first truth among the test instances
_MOST = 2**30 - 1
_FILES = (".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".mat")


class Drawn(NamedTuple):
    """A draw of a problem's prior.

    Arguments:
        problem: the problem, whose state has a channel for each field that is read.
        coarse: the grid of the problem's results.
        grid: a grid twice as fine.
        state: (1, channel, ny, nx) on that grid.
        physics: that of the problem, with the draws of its uncertain quantities and of its unknown
            numbers.
        generator: for more random numbers of the same draw.
        known: the problem with these draws, of the prior too.
        numbers: the draws of the unknown numbers, by their names.
    """

    problem: Problem
    coarse: Grid
    grid: Grid
    state: torch.Tensor
    physics: PDE
    generator: torch.Generator
    known: Problem
    numbers: dict[str, float]


def draw_truth(
    given: Problem, fields: Sequence[str], times: Sequence[float] = (), number: int = 0
) -> Drawn:
    """Return a draw of a problem's prior and its solution; the same for the same number.

    Arguments:
        given: the problem.
        fields: names of the fields that are read.
        times: at which they are.
        number: counts the draws from 0.

    Raises:
        InputError: the prior cannot be drawn from.
    """
    generator = seeds.generator(seeds.TEST, _FIRST + number)
    physics = given.physics.reading(fields, times)
    problem = replace(given, physics=physics)
    coarse = given.grid if isinstance(given.grid, Grid) else physics.grid(given.grid)
    # Every node of the problem's grid is one of the finer grid
    ends = 1 if coarse.kind == "vertex" else 0
    finer = 3 if coarse.kind == "cell" else 2
    fine = coarse.resized(*(finer * cells + ends for cells in coarse.cells))
    known, numbers = draw_numbers(problem.drawn(generator), generator)
    state = known.sample(1, fine, generator)
    return Drawn(problem, coarse, fine, state, known.physics, generator, known, numbers)


@dataclass(frozen=True)
class Choice:
    """What is read of a truth.

    Arguments:
        fields: names of fields.
        times: at which they are read; none is the end, or the last one in a file.
        experiment: the name of one, where the truth has several.
        sample: number of the sample in a file, or of the draw; None is the mean of a result, and
            else 0.
    """

    fields: tuple[str, ...]
    times: tuple[float, ...] = ()
    experiment: str = ""
    sample: int | None = None


class Observed(NamedTuple):
    """The fields of a truth, each (y, x), and the grid on whose nodes sensors may stand; the
    values of unknown numbers that were drawn with the fields, in words."""

    fields: list[xr.DataArray]
    nodes: Grid
    drawn: str


def observed_fields(source: str, choice: Choice) -> Observed:
    """Return the fields of a truth that are read, at each time.

    Arguments:
        source: a file of fields or of a problem; or the name of an example or of a PDE, or
            "file.py:Class", of whose prior a draw is read.
        choice: what is read.

    Raises:
        InputError: there is no such truth, or it lacks what is read.
    """
    if choice.sample is not None:
        integer("the sample", choice.sample, Bounds(0, _MOST))
    path = Path(source)
    if source.endswith(".toml"):
        return _drawn(Problem.load(path), choice)
    if path.is_file() or source.lower().endswith(_FILES):
        return _read(path, choice)
    from pdeinv.problems.examples import EXAMPLES  # which draws its truths here

    if source in EXAMPLES:
        return _drawn(EXAMPLES[source].problem, choice)
    if source in PDES or is_reference(source):
        return _drawn(Problem.named(source), choice)
    names = [*EXAMPLES, *PDES]
    raise InputError(
        f"the truth must be a file, or the name of an example or a PDE, one of "
        f"{', '.join(names)}, got {described(source)}; {nearest(source, names)}"
    )


def _drawn(problem: Problem, choice: Choice) -> Observed:
    physics = problem.physics
    _check_choice(choice, physics.end_time is not None, bool(physics.experiments), physics.name)
    drawn = draw_truth(problem, choice.fields, choice.times, choice.sample or 0)
    pde = drawn.problem.physics
    channels = dict.fromkeys(
        pde.channel(name, choice.experiment, time)
        for name in choice.fields
        for time in choice.times or (None,)
    )
    found = []
    for channel in channels:
        field = pde.fields[channel]
        array = xr.DataArray(
            drawn.state[0, channel].numpy(),
            coordinates_of(drawn.grid),
            ("y", "x"),
            field.name,
            field.attributes,
        )
        place = {"time": field.time, "experiment": field.experiment or None}
        found.append(array.assign_coords({k: v for k, v in place.items() if v is not None}))
    _check_length(drawn)
    units = {one.name: "" if one.units == "1" else f" {one.units}" for one in problem.unknowns}
    numbers = [f"{name} {value:.3g}{units[name]}" for name, value in drawn.numbers.items()]
    return Observed(found, drawn.coarse, ", ".join(numbers))


def _check_length(drawn: Drawn) -> None:
    """Warn of a correlation length that the grid of the problem's results does not resolve."""
    prior = drawn.known.prior
    length = prior.numbers.get("length") if isinstance(prior, CoefficientPrior) else None
    cell = max(drawn.coarse.hx, drawn.coarse.hy)
    if isinstance(length, float) and length < cell:
        warn_input(
            f"the {'drawn ' if 'length' in drawn.numbers else ''}correlation length of the truth "
            f"must be at least a cell of the problem's grid, {cell:.3g}, got {length:.3g}; state "
            f"a longer one or a finer grid, or draw another by --sample"
        )


def _check_choice(choice: Choice, evolves: bool, several: bool, what: str) -> None:
    """Refuse times or an experiment of a truth that has none."""
    if choice.times and not evolves:
        raise InputError(
            f"time must be left out for {what}, which does not evolve, got {choice.times[0]:g}; "
            f"drop it"
        )
    if choice.experiment and not several:
        raise InputError(
            f"the experiment must be left out for {what}, which has one alone, got "
            f"{described(choice.experiment)}; drop it"
        )


def _read(path: Path, choice: Choice) -> Observed:
    with _opened(path, choice) as dataset:
        fields = list(dict.fromkeys(_named(dataset, name, path) for name in choice.fields))
        arrays = [_selected(dataset, field, choice, path) for field in fields]
        evolves = any("time" in (*array.dims, *array.coords) for array in arrays)
        several = "experiment" in (*dataset.dims, *dataset.coords)
        _check_choice(choice, evolves, several, f"{arrays[0].name} in {path}")
        found = [part for array in arrays for part in _at_times(array, choice, path)]
    return Observed(found, grid_from(found[0], f"{found[0].name} in {path}"), "")


def _opened(path: Path, choice: Choice) -> xr.Dataset:
    """Return the dataset of a file: a result or fields on coordinates x and y, or else one of
    those of `open_dataset`."""
    try:
        check_netcdf(path)
        dataset = xr.open_dataset(path, engine="h5netcdf", decode_times=False)
    except Exception:  # whatever the engine raises; the reader of datasets names the cause
        return open_dataset(path)
    on_axes = {"x", "y"} <= {*dataset.coords}
    if on_axes and any({"y", "x"} <= {*v.dims} for v in dataset.data_vars.values()):
        return dataset
    dataset.close()
    return open_dataset(path)


def _fields_of(dataset: xr.Dataset) -> list[str]:
    """Return the names of the fields of a dataset; those of a result are its means."""
    found = [str(name) for name, v in dataset.data_vars.items() if {"y", "x"} <= {*v.dims}]
    means = [name.removesuffix("_mean") for name in found if name.endswith("_mean")]
    return means or found


def _named(dataset: xr.Dataset, name: str, path: Path) -> str:
    """Return the name of a field, for which `coefficient` and `solution` may stand."""
    known = _fields_of(dataset)
    found = str(dataset.attrs.get(name, name)) if name in ("coefficient", "solution") else name
    if found not in known:
        raise InputError(
            f"the field must be one of {', '.join(known)} in {path}, got {described(name)}; "
            f"{nearest(name, known)}"
        )
    return found


def _selected(dataset: xr.Dataset, field: str, choice: Choice, path: Path) -> xr.DataArray:
    """Return a field of one sample and one experiment."""
    result = f"{field}_mean" in dataset
    mean = result and choice.sample is None
    array = dataset[f"{field}_{'mean' if mean else 'samples'}" if result else field]
    if "sample" in array.dims:
        number, most = choice.sample or 0, array.sizes["sample"] - 1
        integer(f"the sample of {path}", number, Bounds(0, most))
        array = array.isel(sample=number)
    elif choice.sample:
        raise InputError(
            f"the sample of {path} must be left out, since it has one alone, got {choice.sample}; "
            f"drop it"
        )
    if "experiment" in array.dims:
        names = [str(name) for name in array["experiment"].values]
        if choice.experiment not in names:
            raise InputError(
                f"the experiment must be one of {', '.join(names)} in {path}, got "
                f"{described(choice.experiment)}; choose one"
            )
        array = array.isel(experiment=names.index(choice.experiment))
    orders = json.loads(dataset.attrs.get("interpolation_order", "{}"))
    order = {"interpolation_order": orders[field]} if field in orders else {}
    array = array.rename(field).assign_attrs(order)
    return array.drop_vars({*array.coords} - {"x", "y", "time", "experiment"})


def _at_times(array: xr.DataArray, choice: Choice, path: Path) -> list[xr.DataArray]:
    """Return a field at each time, (y, x)."""
    parts = [array]
    if "time" in array.dims:
        times = np.asarray(array["time"].values, dtype=float)
        wanted = choice.times or (times[-1],)
        places = [place_of(times, time) for time in wanted]
        if None in places:
            raise InputError(
                f"time must be one of {', '.join(f'{t:g}' for t in times[:12])} in {path}, got "
                f"{wanted[places.index(None)]:g}; choose one of them"
            )
        parts = [array.isel(time=place) for place in places]
    left = [str(dim) for dim in parts[0].dims if dim not in ("y", "x")]
    if left:
        raise InputError(
            f"{array.name} in {path} must have the dimensions y and x, got {', '.join(left)} too; "
            f"write a file with one entry of each"
        )
    return [part.transpose("y", "x").load() for part in parts]

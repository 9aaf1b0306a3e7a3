"""Replicates: measurements of one kind, reconstructed one by one into one result."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import NamedTuple, TypeAlias

import cloudpickle
import numpy as np
import xarray as xr

from pdeinv.caught import recorded_warnings
from pdeinv.checks import Bounds, integer
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.parallel import for_each
from pdeinv.progress import Progress
from pdeinv.schedulers import check_scheduler
from pdeinv.sensors import Sensors

__all__ = ["ALONE", "Helpers", "checked_helpers", "reconstruct_each", "seed_of"]

_SHARED = "well"
"""Dimension of the variables that state the physics, which all replicates share."""

_Solve: TypeAlias = Callable[[Sensors, Observation, int], xr.Dataset]


class Helpers(NamedTuple):
    """Who reconstructs replicates.

    Arguments:
        workers: number of worker processes, one thread each; 1 for this process.
        scheduler: of dask, see `pdeinv.schedulers.check_scheduler`; None for none.
    """

    workers: int = 1
    scheduler: str | None = None

    @property
    def any(self) -> bool:
        """Whether there are other processes than this one."""
        return self.workers > 1 or self.scheduler is not None


ALONE = Helpers()
"""This process alone."""


def checked_helpers(workers: int | None, scheduler: str | None) -> Helpers:
    """Return who reconstructs replicates; readings without replicates have no use for others.

    Arguments:
        workers: number of worker processes, one thread each; None for this process, or for those of
            the scheduler. A scheduler `"local"` starts so many.
        scheduler: see `pdeinv.schedulers.check_scheduler`.

    Raises:
        InputError: one of them cannot be used.
    """
    if workers is not None:
        workers = integer("workers", workers, Bounds(1, 1024))
    return Helpers(workers or 1, check_scheduler(scheduler, workers))


def reconstruct_each(
    parts: Mapping[str, Sensors],
    observe: Callable[[Sensors], Observation],
    solve: _Solve,
    seed: int,
    progress: bool,
    helpers: Helpers = ALONE,
) -> xr.Dataset:
    """Return the results of all replicates along the dimension `replicate`.

    The readings of all of them are checked before the first is solved. A warning or an error names
    its replicate; a warning that the readings of all give is shown once.

    Fields are `{field}_mean` (replicate, ..., y, x) and `{field}_samples` (sample, replicate, ...,
    y, x). Parameters are those of all replicates, nan in one that lacks some. The numbers among the
    attributes become variables (replicate), and so do texts that differ. `sensor_*` (sensor) have
    the order of the rows of the table. The variable `replicate_seed` has the seed of each: a
    reconstruction of its readings alone with this seed gives the same.

    Arguments:
        parts: the sensors of each replicate by its name, see `Sensors.by_replicate`.
        observe: returns the readings of a replicate.
        solve: returns its result, with a seed.
        seed: of all replicates, see `seed_of`.
        progress: show which replicate is being solved.
        helpers: other processes, to which `solve` is sent.

    Raises:
        InputError: the readings of a replicate cannot be used.
        NumericalError: the computation of a replicate failed, or a worker died.
    """
    jobs = [
        _Replicate(name, parts[name], observation, seed_of(seed, name))
        for name, observation in _each_observed(parts, observe).items()
    ]
    results = dict.fromkeys(parts, xr.Dataset())
    with Progress(len(parts), "replicates", progress, unit="replicate", keep=False) as shown:
        if helpers.any:

            def keep(_: bytes, solved: _Solved) -> None:
                results[solved.name] = solved.result
                for one in solved.warnings:
                    warnings.warn_explicit(*one)
                shown.update()

            function = partial(_solved, _pickled(solve))
            pickled = [*map(_pickled, jobs)]
            for_each(function, pickled, helpers.workers, keep, scheduler=helpers.scheduler)
        else:
            for job in jobs:
                shown.describe(f"replicate {job.name!r}")
                results[job.name] = job.solved(solve)
                shown.update()
    rows = np.concatenate([one.rows for one in parts.values()])
    return _along_replicates(results, np.argsort(rows)).assign_attrs(seed=seed)


class _Replicate(NamedTuple):
    """The readings of a replicate and its seed."""

    name: str
    sensors: Sensors
    observation: Observation
    seed: int

    def solved(self, solve: _Solve) -> xr.Dataset:
        with _named(self.name):
            return solve(self.sensors, self.observation, self.seed)


class _Solved(NamedTuple):
    """The result of a replicate from another process, and the warnings given there."""

    name: str
    result: xr.Dataset
    warnings: list[tuple[str, type[Warning], str, int]]


def _solved(solve: bytes, replicate: bytes) -> _Solved:
    """Solve a replicate in a worker."""
    job: _Replicate = cloudpickle.loads(replicate)
    with recorded_warnings(always=True) as caught:
        result = job.solved(_loaded(solve))
    given = [(str(one.message), one.category, one.filename, one.lineno) for one in caught]
    return _Solved(job.name, result, given)


@lru_cache(maxsize=1)
def _loaded(pickled: bytes) -> _Solve:
    """Return what solves, with what it keeps from one replicate to the next."""
    return cloudpickle.loads(pickled)


def _pickled(what: object) -> bytes:
    try:
        return cloudpickle.dumps(what)
    except Exception as error:  # whatever an object of a user raises
        raise InputError(
            f"a problem and its solver must be picklable to be sent to other processes, got what "
            f"is not ({error}); leave out workers and scheduler"
        ) from None


def seed_of(seed: int, name: str) -> int:
    """Return the seed of a replicate: it depends on nothing but these, so that a further replicate
    leaves the others as they are.

    Arguments:
        seed: of the whole reconstruction.
        name: of the replicate.
    """
    return int(np.random.SeedSequence([seed, *name.encode()]).generate_state(1)[0])


def _each_observed(
    parts: Mapping[str, Sensors], observe: Callable[[Sensors], Observation]
) -> dict[str, Observation]:
    observations = {}
    given: dict[tuple[str, type[Warning]], dict[str, warnings.WarningMessage]] = {}
    for name, sensors in parts.items():
        with _named(name), recorded_warnings() as caught:
            observations[name] = observe(sensors)
        for one in caught:
            given.setdefault((str(one.message), one.category), {})[name] = one
    for found in given.values():
        if len(found) == len(parts):
            _give_again([next(iter(found.values()))])
        else:
            for name, one in found.items():
                _give_again([one], name)
    return observations


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of a replicate before the sentence of an error or of a warning."""
    caught: list[warnings.WarningMessage] = []
    try:
        with recorded_warnings() as caught:
            yield
    except (InputError, NumericalError) as error:
        raise type(error)(f"replicate {name!r}: {error}") from error
    finally:
        _give_again(caught, name)


def _give_again(caught: Iterable[warnings.WarningMessage], name: str = "") -> None:
    """Give warnings where they were given, those of the package with the name of a replicate."""
    for one in caught:
        message: Warning | str = one.message
        if name and issubclass(one.category, UserWarning):
            message = f"replicate {name!r}: {one.message}"
        warnings.warn_explicit(message, one.category, one.filename, one.lineno)


def _along_replicates(results: Mapping[str, xr.Dataset], order: np.ndarray) -> xr.Dataset:
    """Return results by replicate as one.

    Arguments:
        results: of equal variables, but for parameters.
        order: (m,), of all sensors, those of one replicate after those of another.
    """
    results = _with_all_parameters(results)
    first, *_ = results.values()
    data = {}
    for name, variable in first.data_vars.items():
        parts = [one[name].values for one in results.values()]
        dims = list(variable.dims)
        if dims == ["sensor"]:
            values = np.concatenate(parts)[order]
        elif dims == [_SHARED]:
            values = parts[0]
        else:
            axis = int("sample" in dims)
            dims.insert(axis, "replicate")
            values = np.stack(parts, axis=axis)
        data[name] = (dims, values, variable.attrs)
    names = np.array([*results], dtype=object)
    of_replicate = {"replicate": ("replicate", names, {"long_name": "replicate of the readings"})}
    whole = xr.Dataset(data, {**first.coords, **of_replicate})
    return _with_attributes(whole, [one.attrs for one in results.values()])


def _with_all_parameters(results: Mapping[str, xr.Dataset]) -> Mapping[str, xr.Dataset]:
    """Return results with the parameters of all of them, such as biases of instruments that only
    some replicates have; nan in a result that lacks them."""
    having = [one for one in results.values() if "parameter" in one.dims]
    if not having:
        return results
    of_one = having[0]["parameter_units"].attrs
    units: dict[str, str] = {}
    for one in having:
        units |= zip(one["parameter"].values, one["parameter_units"].values, strict=True)
    names = np.array([*units], dtype=object)
    labels = ("parameter", np.array([*units.values()], dtype=object), of_one)
    ours = [name for name, v in having[0].data_vars.items() if "parameter" in v.dims]
    nothing = having[0][ours].map(lambda variable: variable.where(False), keep_attrs=True)
    whole = {}
    for name, one in results.items():
        given = one if "parameter" in one.dims else one.assign(nothing)
        whole[name] = given.reindex(parameter=names).assign_coords(parameter_units=labels)
    return whole


def _with_attributes(whole: xr.Dataset, attributes: list[dict[str, object]]) -> xr.Dataset:
    """Return a result with the attributes of its replicates: texts that are the same as attributes,
    numbers and other texts as variables."""
    for name in dict.fromkeys(name for given in attributes for name in given):
        values = [given.get(name) for given in attributes]
        if any(isinstance(value, int | float) for value in values):
            column = np.array([np.nan if value is None else value for value in values])
        elif len(set(values)) == 1:
            whole.attrs[name] = values[0]
            continue
        else:
            column = np.array([value or "" for value in values], dtype=object)
        variable, label = f"replicate_{name}" if name == "seed" else name, name.replace("_", " ")
        whole[variable] = ("replicate", column, {"long_name": f"{label} of the replicate"})
    return whole

"""Reconstructions with numbers that are right, wrong or left out, and their scores.

What several studies share: the loop that goes on with a file, and its records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from pdeinv import seeds
from pdeinv.benchmarks.assumption_kinds import ASSUMED
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.studies.assumed_cases import SAMPLES, Case, Setting, Size, solve
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.metrics import rank_coverage, ranks
from pdeinv.posterior import Posterior

__all__ = ["measure_cases"]

_INTERVAL = 1.6449  # standard deviations on each side of 90 per cent of a normal distribution
_KNOWN = 1e-9  # standard deviation, relative to the largest, of a node whose value is known


def measure_cases(
    out: Path,
    cases: Mapping[str, Callable[[Size, int], Case]],
    instances: Iterable[int],
    size: Size,
    *,
    command: str = "",
    echo: Callable[[str], object] = print,
    settings: Sequence[str] = (),
) -> list[Record]:
    """Reconstruct the truths of cases with each of their settings; a repeated run keeps what the
    file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        cases: by their names, each a function of the size and of the number of the truth.
        instances: numbers of the truths.
        size: of the problems.
        command: command to type for the same records.
        echo: prints one line for each record.
        settings: names of the settings; all if there is none.

    Returns:
        All records of the file.
    """
    unit = [name for name in ASSUMED.identity if name != "field"]
    log = JsonLines(out, ASSUMED, lambda record: values_of(record, unit))
    units = (
        unit
        for i in instances
        for name, make in cases.items()
        for unit in _units(name, make(size, i), size, i, settings)
    )
    return append_missing(log, units, _line, command=command, echo=echo)


def _units(
    name: str, case: Case, size: Size, instance: int, settings: Sequence[str]
) -> Iterator[Unit]:
    """Yield the reconstructions of a case as units of work."""
    _check_settings(settings, case.settings)
    for setting in settings or case.settings:
        shared = {"case": name, "setting": setting, "instance": instance, **size._asdict()}
        yield Unit(shared, partial(_records, shared, case, case.settings[setting]))


def _check_settings(given: Sequence[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in (names := list(known)):
            raise InputError(
                f"the setting must be one of {'; '.join(names)}, got {name!r}; choose one of them"
            )


def _line(record: Record) -> str:
    shown = ("case", "setting", "instance", "field", "error", "coverage90", "seconds")
    alarm = f", alarm: {record['alarm'][:90]}" if record["alarm"] else ""
    return ", ".join(f"{name} {record[name]}" for name in shown) + alarm


def _records(unit: Record, case: Case, setting: Setting) -> list[Record]:
    solved = solve(case, setting, unit["instance"])
    found = solved.result
    shared = unit | {
        "pde": case.world.physics.name,
        "seed": unit["instance"],
        "method": found.attrs["solver"] if found is not None else str(setting.solver),
        "alarm": solved.alarm,
        "numbers": {} if found is None else _numbers(case, found),
        "true_numbers": {name: float(value) for name, value in case.numbers.items()},
        "converged": 0 if found is None else int(found.attrs.get("converged", 1)),
        "seconds": solved.seconds,
        "rows": len(case.scored),
    }
    state = case.state[0]
    exact = Posterior(case.world.physics.fields, case.grid, state, state, state[None]).to_xarray()
    return [shared | {"field": name, **_scores(case, found, exact, name)} for name in case.scored]


def _numbers(case: Case, found: xr.Dataset) -> dict[str, list[float | None]]:
    """Return the truth, the mean and the ends of the interval of each inferred number."""
    if "parameter" not in found:
        return {}
    columns = (found[f"parameter_{what}"].values for what in ("mean", "low", "high"))
    names = [str(name) for name in found["parameter"].values]
    return {
        name: [case.numbers.get(name), *(float(f"{v:.6g}") for v in values)]
        for name, *values in zip(names, *columns, strict=True)
    }


def _scores(case: Case, found: xr.Dataset | None, exact: xr.Dataset, name: str) -> Record:
    """Return the scores of one field; nodes whose value is known have no part in the coverage."""
    phases = case.world.coefficient_prior.phases
    two_valued = phases is not None and name == case.world.physics.coefficient_field.name
    measure = "error_rate" if two_valued else "relative_l2"
    if found is None:
        return {"measure": measure, **dict.fromkeys(_SCORED)}
    true = exact[f"{name}_mean"].values
    mean, std, samples = _of_result(found, name)
    if two_valued:
        assert phases is not None
        error = _wrong_nodes(found, name, mean, true, phases)
    else:
        error = float(np.linalg.norm(mean - true) / np.linalg.norm(true))
    free = std > _KNOWN * std.max()
    inside = np.abs(mean - true)[free] <= _INTERVAL * std[free]
    return {
        "measure": measure,
        "error": round(error, 5),
        "coverage90": round(float(inside.mean()), 4) if free.any() else None,
        "rank_coverage90": _rank_coverage(samples, true, case.grid),
    }


_SCORED = ("error", "coverage90", "rank_coverage90")


def _of_result(found: xr.Dataset, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the deviation (ny, nx) and the samples of a field, at its last time.

    A result of another prior may lack the logarithm of a coefficient: it is that of the samples.
    """
    if f"{name}_mean" in found:
        parts = [found[f"{name}_{what}"] for what in ("mean", "std", "samples")]
        parts = [one.isel(time=-1) if "time" in one.dims else one for one in parts]
        mean, std, samples = (one.values for one in parts)
        return mean, std, samples
    values = np.log(found[f"{name.removeprefix('log_')}_samples"].values)
    return values.mean(axis=0), values.std(axis=0, ddof=1), values


def _wrong_nodes(
    found: xr.Dataset,
    name: str,
    mean: np.ndarray,
    true: np.ndarray,
    phases: tuple[float, float],
) -> float:
    """Return the share of nodes that are taken for the other phase."""
    probability = found.get(f"{name}_probability")
    high = mean > np.sqrt(np.prod(phases)) if probability is None else probability.values > 0.5
    return float((high != (true >= phases[1])).mean())


def _rank_coverage(samples: np.ndarray, true: np.ndarray, grid: Grid) -> float:
    """Return how often the interval between samples holds the truth; values on the sides, which
    the physics may state, have no part."""
    inner = (..., slice(None), slice(None)) if grid.periodic else (..., slice(1, -1), slice(1, -1))
    generator = seeds.generator(seeds.STATISTICS)
    found = ranks(torch.as_tensor(samples)[inner], torch.as_tensor(true)[inner], generator)
    counts = torch.bincount(found.flatten(), minlength=SAMPLES + 1).double()
    return round(float(rank_coverage((counts / counts.sum()).tolist(), 0.9) or 0.0), 4)

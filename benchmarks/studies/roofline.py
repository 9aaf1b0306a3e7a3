"""The time of each default solver over the least that it must compute: `pdeinv study roofline`.

Every measurement has a process of its own, with one thread. It measures the machine's rates before
and after its work and takes the better ones, so that ratios are fair on a busy machine.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from pdeinv.benchmarks.operations import Rates, least_operations, measured_rates
from pdeinv.benchmarks.provenance import peak_megabytes
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.speed_kinds import SPEEDS
from pdeinv.benchmarks.studies.timing import growth
from pdeinv.caught import ignored_warnings
from pdeinv.datasets import Problem, pde_by_name
from pdeinv.torch_state import one_thread

__all__ = ["GRIDS", "SENSORS", "run", "speed_growth_table", "speed_table"]

GRIDS, SENSORS = (64, 128), (50, 500)
_SEED = 0
_SAMPLES = 16
_FEW = 16  # nodes and readings of a reconstruction whose time is not measured
_UNITS = {"grid": "nodes per side", "sensors": "sensors"}
_LONG = 60.0  # seconds of a first call after which there is no second one


def run(
    out: Path,
    *,
    pdes: Sequence[str],
    grids: Sequence[int] = GRIDS,
    sensors: Sequence[int] = SENSORS,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure reconstructions; a repeated run keeps the records that the file has.

    Arguments:
        out: JSON-lines file of the records.
        pdes: names of published PDEs.
        grids: nodes per side.
        sensors: numbers of readings of the solution.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.
    """
    units = []
    for pde in pdes:
        for grid in grids:
            for m in sensors:
                cell = {"pde": pde, "grid": grid, "sensors": m}
                units.append(Unit(cell, partial(_apart, cell)))
    log = JsonLines(out, SPEEDS, key=lambda record: values_of(record, SPEEDS.identity))
    return append_missing(log, units, _line, command=command, echo=echo)


def _apart(cell: Record) -> list[Record]:
    """Return the record of a cell, which a new process measures."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return [process.submit(_measured, cell).result()]


def _measured(cell: Record) -> Record:
    from pdeinv.benchmarks.drawn_readings import drawn_readings, drawn_state, readings_of
    from pdeinv.metrics import relative_l2
    from pdeinv.solvers import reconstruct

    physics = pde_by_name(cell["pde"])
    grid, m = physics.grid(cell["grid"]), cell["sensors"]
    state = drawn_state(physics, grid, _SEED)
    table = readings_of(state, physics, grid, m, _SEED)
    name = physics.coefficient_field.name
    seconds = list[float]()
    with one_thread(), ignored_warnings():
        few = drawn_readings(physics, physics.grid(_FEW), _FEW, _SEED)
        reconstruct(few, cell["pde"], grid=_FEW, n_samples=2)  # so that all is imported
        before = measured_rates(grid.ny)
        for seed in (_SEED, _SEED + 1):
            start = time.process_time()
            found = reconstruct(table, cell["pde"], grid=grid, n_samples=_SAMPLES, seed=seed)
            seconds.append(time.process_time() - start)
            if seconds[0] > _LONG:
                break
        after = measured_rates(grid.ny)
    rates = Rates(*map(max, before, after))
    least = least_operations(Problem(physics), grid, m, _SAMPLES)
    mean = state.new_tensor(found[f"{name}_mean"].values)
    return cell | {
        "samples": _SAMPLES,
        "seed": _SEED,
        "method": found.attrs["solver"],
        "first": seconds[0],
        **({"seconds": seconds[1]} if seconds[1:] else {}),
        "bound": least.seconds(rates),
        **rates._asdict(),
        "error": float(relative_l2(mean, state[0, 0])),
        "megabytes": peak_megabytes(),
    }


def _line(record: Record) -> str:
    again = f", again {record['seconds']:.3g} s" if "seconds" in record else ""
    return (
        f"{record['pde']} {record['grid']} x {record['grid']}, {record['sensors']} sensors: "
        f"{record['method']}, first {record['first']:.3g} s{again}, bound {record['bound']:.3g} s"
    )


def speed_table(records: list[Record]) -> str:
    """Return the times over the bound as a Markdown table."""
    heads = ["grid", "sensors", "solver", "bound, s", "first call / bound", "later calls / bound"]
    heads += ["peak memory, MB"]
    rows = []
    for r in sorted(records, key=lambda r: (r["pde"], r["grid"], r["sensors"])):
        later = _ratio(r["seconds"], r["bound"]) if "seconds" in r else ""
        size = f"{r['grid']} x {r['grid']}"
        ratios = [f"{r['bound']:.2g}", _ratio(r["first"], r["bound"]), later]
        rows.append(
            [r["pde"], size, f"{r['sensors']}", r["method"], *ratios, f"{r['megabytes']:.0f}"]
        )
    return render_table(["PDE"], heads, rows)


def _ratio(seconds: float, bound: float) -> str:
    """Two digits, as a decimal number of any size."""
    return f"{float(f'{seconds / bound:.2g}'):g}"


def speed_growth_table(records: list[Record]) -> str:
    """Return the exponents of time over nodes per side, and over sensors, as a Markdown table.

    Each is of the records of one number of sensors, or of one grid, that has most sizes.
    """
    rows = []
    for pde in sorted({r["pde"] for r in records}):
        mine = [r for r in records if r["pde"] == pde]
        row = [pde]
        for over, fixed in (("grid", "sensors"), ("sensors", "grid")):
            groups = [[r for r in mine if r[fixed] == v] for v in sorted({r[fixed] for r in mine})]
            most = max(groups, key=len)
            row.append(_exponent(most, over, fixed))
        rows.append(row)
    return render_table(["PDE"], ["over nodes per side", "over sensors"], rows)


def _exponent(records: list[Record], over: str, fixed: str) -> str:
    if len({r[over] for r in records}) < 2:
        return ""
    times = [float(r["seconds"] if "seconds" in r else r["first"]) for r in records]
    exponent = growth([r[over] for r in records], times)
    sizes = ", ".join(f"{size}" for size in sorted({r[over] for r in records}))
    return f"{exponent:.1f} ({sizes}; {records[0][fixed]} {_UNITS[fixed]})"

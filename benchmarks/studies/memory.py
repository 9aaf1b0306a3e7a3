"""The memory that commands take, by grid and sensors: `pdeinv study memory`.

Each command runs in a process of its own, which states its peak of resident memory at its end.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pdeinv.benchmarks.drawn_readings import drawn_readings
from pdeinv.benchmarks.memory_kinds import PEAKS
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.datasets import Problem, pde_by_name
from pdeinv.errors import NumericalError
from pdeinv.sensors import Sensors
from pdeinv.solvers.selection import solver_for

__all__ = ["CASES", "Case", "memory_table", "run"]

_SEED = 0
_SAMPLES = 16
_SMALL = 16, 10  # nodes per side and sensors of the run that loads the libraries
_FIELDS = 64  # of a dataset
_MEGABYTE = 1e6
_PROGRAM = """
from pathlib import Path
from pdeinv.benchmarks.provenance import peak_megabytes
from pdeinv.cli import main
try:
    main()
finally:
    Path("peak").write_text(str(peak_megabytes() * 2**20))
"""


class Case(NamedTuple):
    """A command.

    Arguments:
        arguments: those behind `pdeinv`, with {pde}, {grid} and {sensors}, in a folder with a table
            of readings `s.csv` and, if `data` is true, a dataset `data.h5` on the grid.
        pdes: names of the PDEs.
        data: whether it reads a dataset.
        estimate: the bytes that the default solver states, for a PDE, a grid and sensors; None
            where the command states none.
    """

    arguments: str
    pdes: Sequence[str]
    data: bool = False
    estimate: Callable[[str, int, int], float] | None = None


def _stated(pde: str, grid: int, sensors: int) -> float:
    """Return the bytes that the default solver states before it reconstructs."""
    physics = pde_by_name(pde)
    prior = Problem(physics).prior
    observation = Sensors(_table(pde, sensors)).observation(physics, physics.grid(grid))
    return solver_for("auto", physics, prior).memory(physics, prior, observation, _SAMPLES)


CASES: dict[str, Case] = {
    "reconstruct": Case(
        "reconstruct s.csv --pde {pde} --grid {grid} --out r.nc",
        ("poisson", "helmholtz", "darcy", "navier-stokes"),
        estimate=_stated,
    ),
    "design": Case("design s.csv --pde {pde} --grid {grid} --add 2 --out d.csv", ("poisson",)),
    "plan": Case("plan s.csv --pde {pde} --grid {grid} --out p.nc", ("poisson",)),
    "calibrate": Case(
        "calibrate --pde {pde} --grid {grid} --n {sensors} --draws 20 --out c.nc", ("poisson",)
    ),
    "benchmark": Case(
        "benchmark --pde {pde} --grid {grid} --sensors {sensors} --method gaussian --instances 1 "
        "--task inverse --out b.jsonl",
        ("poisson",),
    ),
    "observe": Case(
        "observe data.h5 --n {sensors} --field potential --out o.csv", ("poisson",), data=True
    ),
    "generate": Case(
        f"generate {{pde}} --n {_FIELDS} --grid {{grid}} --workers 1 --out g.h5",
        ("poisson", "darcy", "navier-stokes"),
    ),
    "train": Case("train data.h5 --steps 2 --out t.safetensors", ("poisson",), data=True),
    "equivariance": Case("equivariance --pde {pde} --grid {grid} --fields 4", ("poisson",)),
}
"""Commands by name."""

_WITHOUT_SENSORS = ("generate", "train", "equivariance")


def run(
    out: Path,
    *,
    cases: Sequence[str] = (),
    grids: Sequence[int] = (64, 128),
    sensors: Sequence[int] = (100, 1000),
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure commands; a repeated run keeps the records that the file has.

    Arguments:
        out: JSON-lines file of the records.
        cases: keys of `CASES`; all if there is none.
        grids: nodes per side.
        sensors: numbers of sensors.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.
    """
    units = []
    for name in cases or CASES:
        for pde in CASES[name].pdes:
            for grid in grids:
                for m in (0,) if name in _WITHOUT_SENSORS else sensors:
                    known = {"work": name, "pde": pde, "grid": grid, "sensors": m}
                    units.append(Unit(known, partial(_measured, known)))
    log = JsonLines(out, PEAKS, key=lambda record: values_of(record, PEAKS.identity))
    return append_missing(log, units, _line, command=command, echo=echo)


def _measured(known: Record) -> list[Record]:
    case, pde, size = CASES[known["work"]], known["pde"], (known["grid"], known["sensors"])
    start = time.perf_counter()
    peak = _peak(known["work"], pde, *size)
    seconds = time.perf_counter() - start
    found = known | {"seed": _SEED, "megabytes": peak, "seconds": round(seconds, 2)}
    found["small"] = _small(known["work"], pde)
    if case.estimate is not None:
        found["estimate"] = case.estimate(pde, *size) / _MEGABYTE
    return [found]


@cache
def _small(name: str, pde: str) -> float:
    return _peak(name, pde, *_SMALL)


def _peak(name: str, pde: str, grid: int, sensors: int) -> float:
    """Return the peak of a command's resident memory, in megabytes."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as place:
        temporary = Path(place)
        _table(pde, sensors or 1).to_csv(temporary / "s.csv", index=False)
        if case.data:
            data = f"generate {pde} --n {_FIELDS} --grid {grid} --workers 1 --out data.h5"
            _run(data, temporary)
        return _run(case.arguments.format(pde=pde, grid=grid, sensors=sensors), temporary)


def _run(arguments: str, folder: Path) -> float:
    """Run a command; return its peak of resident memory, in megabytes."""
    program = [sys.executable, "-W", "ignore", "-c", _PROGRAM, *arguments.split()]
    with (folder / "messages").open("w+") as messages:
        if subprocess.run(program, cwd=folder, stdout=messages, stderr=messages).returncode:
            messages.seek(0)
            said = " ".join(word for word in messages.read().split() if word.isprintable())
            raise NumericalError(
                f"pdeinv {arguments} must end well, got {said[-300:]}; run it alone"
            )
    return int((folder / "peak").read_text()) / _MEGABYTE


def _table(pde: str, sensors: int) -> pd.DataFrame:
    """Return the readings that all grids share."""
    physics = pde_by_name(pde)
    return drawn_readings(physics, physics.grid(32), sensors, _SEED)


def _line(record: Record) -> str:
    where = f"{record['work']}, {record['pde']}, {record['grid']} x {record['grid']}"
    sensors = f", {record['sensors']} sensors" if record["sensors"] else ""
    return f"{where}{sensors}: {record['megabytes']:.0f} MB in {record['seconds']:.3g} s"


def memory_table(records: list[Record]) -> str:
    """Return the peaks as a Markdown table, with those of a small run and what is estimated beyond
    them."""
    heads = ["grid", "sensors", "peak, MB", "of a small run", "beyond it", "estimated"]
    rows = [
        [
            f"`pdeinv {r['work']}`",
            r["pde"],
            f"{r['grid']} x {r['grid']}",
            f"{r['sensors']}" if r["sensors"] else "",
            f"{r['megabytes']:.0f}",
            f"{r['small']:.0f}",
            f"{max(0.0, r['megabytes'] - r['small']):.0f}",
            f"{r['estimate']:.0f}" if "estimate" in r else "",
        ]
        for r in records
    ]
    return render_table(["command", "physics"], heads, rows)

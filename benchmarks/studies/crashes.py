"""Commands that are killed at any moment and repeated: `pdeinv study crashes`.

Each kill is SIGKILL, at a uniformly random moment of the time that the command takes undisturbed.
The same command then runs to its end. Its result is compared with that of an undisturbed run: all
arrays bit for bit, and all else but seconds and memory.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from pdeinv.benchmarks.crash_kinds import CRASHES
from pdeinv.benchmarks.records import JsonLines, Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.studies.crash_server import CrashServer
from pdeinv.errors import NumericalError

__all__ = ["CASES", "Case", "crashes_table", "run", "same"]

_PDE = "poisson"
_UNDISTURBED = 2  # runs, of whose seconds the median counts
_VARYING = ("seconds", "megabytes", "commit")  # in the names of what may differ
_ENDED = "exists already"  # what a repeated command states of a result that is in its place


class Case(NamedTuple):
    """A command on a small problem.

    Arguments:
        command: arguments of `pdeinv`.
        results: files that it leaves, each written under another name first.
        appended: files that it leaves, to which it appends.
    """

    command: str
    results: tuple[str, ...]
    appended: tuple[str, ...] = ()


CASES: dict[str, Case] = {
    "generate": Case("generate poisson --n 64 --grid 32 --workers 1 --out out.h5", ("out.h5",)),
    "train": Case(
        "train data.h5 --model diffusion --widths 16 --batch 4 --steps 4 --out out.safetensors",
        ("out.safetensors",),
    ),
    "benchmark": Case(
        "benchmark --pde poisson --method gaussian --task inverse --grid 16 --samples 2 "
        "--sensors 9 --instances 4 --out out.jsonl",
        ("out.jsonl",),
        ("out.instances.jsonl",),
    ),
    "reconstruct": Case(
        "reconstruct sensors.csv --pde poisson --grid 32 --samples 4 --out out.nc",
        ("out.nc",),
    ),
}


def run(
    out: Path,
    *,
    kills: int = 100,
    cases: Sequence[str] = (),
    seed: int = 0,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Kill commands and repeat them; a repeated run makes the kills that the file lacks.

    Arguments:
        out: JSON-lines file of the records.
        kills: number for each command.
        cases: names of `CASES`; all if there is none.
        seed: of the moments.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.

    Raises:
        NumericalError: an undisturbed command failed.
    """
    log = JsonLines(out, CRASHES)
    chosen = list(cases) or list(CASES)
    wanted = [{"case": name, "kill": k, "seed": seed} for k in range(kills) for name in chosen]
    if all(log.key(one) in log for one in wanted):
        return log.read()
    with tempfile.TemporaryDirectory() as folder, CrashServer() as server:
        tests = {name: _Test(name, Path(folder), server) for name in chosen}
        units = [Unit(one, partial(tests[str(one["case"])].kill, one)) for one in wanted]
        return append_missing(log, units, _line, command=command, echo=echo)


class _Test:
    """A case, its undisturbed result, and how long that takes."""

    def __init__(self, name: str, folder: Path, server: CrashServer) -> None:
        self.case, self.server, self.folder = CASES[name], server, folder / name
        self.folder.mkdir()
        inputs = self.folder / "inputs"
        inputs.mkdir()
        data = resources.files("pdeinv") / "data"
        shutil.copy(str(data / "poisson-sensors.csv"), inputs / "sensors.csv")
        self._complete(inputs, "generate poisson --n 16 --grid 16 --workers 1 --out data.h5")
        seconds = []
        for i in range(_UNDISTURBED):
            self.whole = shutil.copytree(inputs, self.folder / f"whole-{i}")
            seconds.append(self._complete(self.whole, self.case.command))
        self.inputs, self.seconds = inputs, median(seconds)

    def _complete(self, folder: Path, command: str) -> float:
        found = self.server.run(folder, command)
        if found["code"]:
            raise NumericalError(
                f"pdeinv {command} must end well where nothing disturbs it, and did not "
                f"({found['output'].strip()[-200:]}); correct that first"
            )
        return float(found["seconds"])

    def kill(self, identity: Record) -> list[Record]:
        """Return the record of a kill."""
        numbers = [identity["seed"], identity["kill"], list(CASES).index(identity["case"])]
        share = float(np.random.default_rng(numbers).uniform())
        folder = shutil.copytree(self.inputs, self.folder / "killed")
        killed = self.server.run(folder, self.case.command, share * self.seconds)
        names, given = _names(folder), _names(self.inputs)
        whole = all(self._same(folder, name) for name in self.case.results if name in names)
        kept = any(not name.startswith(".") for name in names - given)
        again = self.server.run(folder, self.case.command)
        outputs = {*self.case.results, *self.case.appended}
        ended = again["code"] == 0 or (again["code"] == 2 and _ENDED in again["output"])
        record = {
            "pde": _PDE,
            "share": share,
            "seconds": self.seconds,
            "hit": int(killed["code"] < 0),
            "kept": int(kept),
            "whole": int(whole),
            "identical": int(ended and all(self._same(folder, name) for name in outputs)),
            "left": len(_names(folder) - outputs - given),
        }
        shutil.rmtree(folder)
        return [identity | record]

    def _same(self, folder: Path, name: str) -> bool:
        return same(folder / name, self.whole / name)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def same(first: Path, second: Path) -> bool:
    """Return whether two results are the same but for seconds and memory.

    Arguments:
        first, second: a file that commands write, such as NetCDF; it may be missing.
    """
    if not (first.exists() and second.exists()):
        return False
    return bool(np.array_equal(_content(first), _content(second)))


def _content(path: Path) -> Any:
    """Return what two equal results share, as something that compares."""
    if path.suffix == ".nc":
        found = xr.load_dataset(path, engine="h5netcdf").drop_vars("seconds", errors="ignore")
        parts = [(k, v.dims, str(v.dtype), v.values.tobytes()) for k, v in found.variables.items()]
        texts = {k: str(v) for k, v in found.attrs.items() if _is_steady(str(k))}
        return repr((sorted(map(repr, parts)), sorted(texts.items())))
    if path.suffix == ".jsonl":
        return repr([_steady(json.loads(line)) for line in path.read_text().splitlines()])
    if path.suffix == ".safetensors":
        size = int.from_bytes((content := path.read_bytes())[:8], "little")
        head = json.loads(content[8 : 8 + size])
        header = _steady(json.loads(head["__metadata__"].pop("prior")))
        return repr((header, head, content[8 + size :]))
    return path.read_bytes()


def _steady(value: Any) -> Any:
    """Return a record without what differs from run to run."""
    if isinstance(value, dict):
        return {k: _steady(v) for k, v in sorted(value.items()) if _is_steady(k)}
    return [_steady(one) for one in value] if isinstance(value, list) else value


def _is_steady(name: str) -> bool:
    return not any(part in name for part in _VARYING)


def _line(record: Record) -> str:
    result = "identical" if record["identical"] else "DIFFERENT"
    when = f"at {100 * record['share']:.0f} % of {record['seconds']:.2g} s"
    hit = when if record["hit"] else f"{when}, when it had ended"
    return f"{record['case']}, kill {record['kill']} {hit}: {result}, {record['left']} files left"


def crashes_table(records: list[Record]) -> str:
    """Return the counts of each command as a Markdown table."""
    heads = ["seconds", "kills", "of these before its end", "with something to resume from"]
    heads += ["results in part", "identical results", "files left"]
    rows = []
    for case in dict.fromkeys(r["case"] for r in records):
        mine = [r for r in records if r["case"] == case]
        seconds = median(r["seconds"] for r in mine)
        counts = [len(mine), *(sum(r[name] for r in mine) for name in ("hit", "kept"))]
        counts += [sum(1 - r["whole"] for r in mine)]
        counts += [sum(r[name] for r in mine) for name in ("identical", "left")]
        rows.append([f"`pdeinv {case}`", f"{seconds:.2g}", *map(str, counts)])
    return render_table(["command"], heads, rows)

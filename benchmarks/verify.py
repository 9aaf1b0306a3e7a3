"""Check that a change of the code leaves the reconstructions of the standard suite as they were.

The baseline holds the first two instances of every cell of the suite, in full precision and with
one thread: `pdeinv benchmark --record-baseline` writes it, `pdeinv benchmark --verify` compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from pdeinv.benchmarks.cells import Cell, solve
from pdeinv.benchmarks.kinds import BASELINES
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record, cell_key, read_records
from pdeinv.benchmarks.scoring import mean_errors
from pdeinv.benchmarks.suites import suite_cells
from pdeinv.errors import DivergedError, InputError
from pdeinv.files import ensure_folder
from pdeinv.parallel import for_each
from pdeinv.progress import Progress

__all__ = ["BASELINE", "BASELINE_INSTANCES", "differences", "record_baseline", "verify"]

BASELINE = Path(__file__).parent / "baseline" / "standard-64.jsonl"
BASELINE_INSTANCES = 2
"""Of each cell."""
CLOSED_FORMS = ("gaussian", "optimal-interpolation")
"""Methods without an iteration, whose fields must agree to `CLOSED_FORM_TOLERANCE`."""
CLOSED_FORM_TOLERANCE = 1e-6
FIELD_TOLERANCE = 1e-3
"""Of the fields of all other methods, relative to their norm; beyond it their errors count."""
ERROR_TOLERANCE = 0.01
"""Of the ratio of an error to that of the baseline."""
_FIRST, _STRIDE = 4, 8  # the nodes whose values are kept, in both directions
_KEPT = ("commit", "machine", "versions")


def record_baseline(path: Path = BASELINE, *, processes: int = 1, progress: bool = False) -> None:
    """Write the baseline; a repeated run keeps the instances that the file has and goes on.

    Arguments:
        path: of the baseline.
        processes: number of worker processes, one thread each.
        progress: show a bar.
    """
    ensure_folder(path.parent)
    log = JsonLines(path, BASELINES)
    jobs = _jobs(suite_cells("standard"), BASELINE_INSTANCES)
    missing = [job for job in jobs if _job_key(job) not in log]
    _reconstruct(missing, log.append, processes, progress)


def verify(
    *,
    pdes: Iterable[str] = (),
    methods: Iterable[str] = (),
    instances: int | None = None,
    path: Path = BASELINE,
    processes: int = 1,
    progress: bool = False,
    echo: Callable[[str], object] = print,
) -> int:
    """Compute the baseline's instances again and report every reconstruction that differs from it.

    Arguments:
        pdes: names of the PDEs to check; all if none are given.
        methods: names of the suite's methods to check; all of them if none are given.
        instances: number of instances of each cell, all of the baseline's if None.
        path: of the baseline.
        processes: number of worker processes, one thread each.
        progress: show a bar.
        echo: prints one line.

    Returns:
        The number of reconstructions that differ.

    Raises:
        InputError: there is no baseline, it was made on another machine or with other versions, or
            the suite lacks a method.
    """
    if not path.is_file():
        raise InputError(
            f"the baseline {path} must exist; write it with `pdeinv benchmark --record-baseline`"
        )
    baseline = {_key(row): row for row in read_records(path, kinds=(BASELINES,))}
    commit = _check_origin(next(iter(baseline.values())))
    instances = BASELINE_INSTANCES if instances is None else min(instances, BASELINE_INSTANCES)
    compared, wrong = 0, 0

    def compare(row: Record) -> None:
        nonlocal compared, wrong
        if _key(row) not in baseline:
            raise InputError(
                f"the baseline {path} must have {_label(row)}, and lacks it; record it again at "
                f"its own commit {commit}"
            )
        found = differences(row, baseline[_key(row)])
        compared, wrong = compared + 1, wrong + bool(found)
        if found:
            echo(f"{_label(row)}: {'; '.join(found)}")

    _reconstruct(_jobs(_cells(pdes, methods), instances), compare, processes, progress)
    echo(
        f"{compared} reconstructions compared with the baseline of commit {commit}: {wrong} differ"
    )
    return wrong


def differences(row: Record, baseline: Record) -> list[str]:
    """Return in words where a reconstruction is beyond the tolerances; solver calls do not count.

    Arguments:
        row: record of the reconstruction.
        baseline: record of the same instance in the baseline.
    """
    found = []
    if row["network_evaluations"] != baseline["network_evaluations"]:
        found.append(
            f"{row['network_evaluations']} network evaluations instead of "
            f"{baseline['network_evaluations']}"
        )
    for what in ("fields", "errors"):
        if row[what].keys() != baseline[what].keys():
            then, now = (", ".join(r[what]) or "none" for r in (baseline, row))
            return [*found, f"{what} are of {now} instead of {then}"]
    distances = {
        name: _distance(values, baseline["fields"][name]) for name, values in row["fields"].items()
    }
    name, largest = max(distances.items(), key=lambda item: item[1])
    if row["method"] in CLOSED_FORMS:
        if largest > CLOSED_FORM_TOLERANCE:
            found.append(
                f"{name} differs by {largest:.1e} of its norm (a closed form: "
                f"{CLOSED_FORM_TOLERANCE:g})"
            )
        return found
    if largest <= FIELD_TOLERANCE:
        return found
    if math.isinf(largest):  # the errors below say nothing about the standard deviations
        found.append(f"{name} is not finite exactly where the baseline is, or no longer 0")
    for name, error in row["errors"].items():
        before = baseline["errors"][name]
        ratio = error / before if before else math.inf if error else 1.0
        if not abs(ratio - 1) <= ERROR_TOLERANCE and not (math.isnan(error) and math.isnan(before)):
            found.append(f"the error of {name} is {ratio:.4f} times the baseline's {before:.4g}")
    return found


def _distance(values: list[float], before: list[float]) -> float:
    one, other = (torch.tensor(v, dtype=torch.float64) for v in (values, before))
    if not torch.equal(one.isfinite(), other.isfinite()):
        return math.inf
    if not bool(other.isfinite().all()):  # the method diverged then, and does now
        return 0.0
    norm = float(other.norm())
    distance = float((one - other).norm())
    return distance / norm if norm else math.inf if distance else 0.0


def _check_origin(row: Record) -> str:
    """Return the baseline's commit, unless machine or versions are other than here."""
    here = provenance("")
    for what in ("machine", "versions"):
        # The number of threads of this process does not matter: each worker has one
        then, now = (
            record[what].rsplit(", ", 1)[0] if what == "machine" else record[what]
            for record in (row, here)
        )
        if then != now:
            raise InputError(
                f"the {what} must be those of the baseline, {then!r}, got {now!r}; check out "
                f"commit {row['commit']}, record a baseline there with `pdeinv benchmark "
                f"--record-baseline`, and compare with that file"
            )
    return row["commit"]


def _cells(pdes: Iterable[str], methods: Iterable[str]) -> list[Cell]:
    """Return the cells of the standard suite, or those of some PDEs and methods."""
    cells, methods = suite_cells("standard", pdes=pdes), tuple(methods)
    known = dict.fromkeys(cell.method for cell in cells)
    for method in methods:
        if method not in known:
            raise InputError(
                f"method must be one that the standard suite has for these PDEs "
                f"({', '.join(known)}), got {method!r}; choose one of them"
            )
    return [cell for cell in cells if not methods or cell.method in methods]


def _jobs(cells: Iterable[Cell], instances: int) -> list[tuple[Cell, int]]:
    return [(cell, i) for cell in cells for i in range(instances)]


def _reconstruct(
    jobs: list[tuple[Cell, int]],
    keep: Callable[[Record], object],
    processes: int,
    progress: bool,
) -> None:
    with Progress(len(jobs), show=progress and bool(jobs), unit="instance") as bar:

        def report(job: tuple[Cell, int], row: Record) -> None:
            bar.describe(_label(row))
            keep(row)
            bar.update()

        for_each(_reconstruction, jobs, processes, report)


def _reconstruction(job: tuple[Cell, int]) -> Record:
    cell, i = job
    pde, scored = cell.task.physics, cell.task.scored
    truth, observation = cell.task.instance(i)
    row = {**cell.key(), "instance": i}
    made = {name: value for name, value in provenance("").items() if name in _KEPT}
    errors: dict[str, float] = {}
    fields: dict[str, list[float]] = {}
    try:
        posterior = solve(cell.task, *cell.prepare(), observation, i, cell.samples)
    except DivergedError:
        names = [f.name for f in pde.fields]
        fields = {f"{name}_{what}": [math.nan] for name in names for what in ("mean", "std")}
        errors = {f"{names[c]}, relative_l2": math.nan for c in scored}
        return {**row, "network_evaluations": None, "errors": errors, "fields": fields, **made}
    for c, field in enumerate(posterior.fields):
        for what, both in (("mean", posterior.mean), ("std", posterior.std)):
            values = both[c, _FIRST::_STRIDE, _FIRST::_STRIDE]
            fields[f"{field.name}_{what}"] = values.double().flatten().tolist()
        if c in scored:
            mean, true = posterior.mean[None, c : c + 1], truth[None, c : c + 1]
            for metric, error in mean_errors(cell.task.problem, mean, true, c).items():
                errors[f"{field.name}, {metric}"] = float(error)
    evaluations = posterior.record["network_evaluations"]
    return {**row, "network_evaluations": evaluations, "errors": errors, "fields": fields, **made}


def _key(row: Record) -> tuple[object, ...]:
    return (*cell_key(row), row["instance"])


def _job_key(job: tuple[Cell, int]) -> tuple[object, ...]:
    cell, i = job
    return _key({**cell.key(), "instance": i})


def _label(row: Record) -> str:
    equireg = ", EquiReg" if row["equireg"] else ""
    return f"{row['pde']} {row['task']}, {row['method']}{equireg}, instance {row['instance']}"

"""Check that a change of the code leaves the reconstructions of the standard suite as they were.

The baseline holds the first two instances of every cell of the suite, in full precision and with
one thread: `pdeinv benchmark --record-baseline` writes it, `pdeinv benchmark --verify` compares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from tqdm import tqdm

from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.runner import Cell, drop_cut_line, solve
from pdeinv.benchmarks.suites import suite_cells
from pdeinv.benchmarks.summary import cell_key
from pdeinv.errors import DivergedError, InputError
from pdeinv.metrics import error_rate, relative_l2
from pdeinv.parallel import for_each

__all__ = ["BASELINE", "INSTANCES", "differences", "record_baseline", "verify"]

BASELINE = Path(__file__).parent / "baseline" / "standard-64.jsonl"
INSTANCES = 2
CLOSED_FORMS = ("gaussian", "optimal-interpolation")
"""Methods without an iteration, whose fields must agree to `CLOSED_FORM_TOLERANCE`."""
CLOSED_FORM_TOLERANCE = 1e-6
ERROR_TOLERANCE = 0.01
"""Of the paired ratio of errors, for all other methods; or else"""
FIELD_TOLERANCE = 1e-3
"""of the fields themselves, relative to their norm."""
_FIRST, _STRIDE = 4, 8  # the nodes whose values are kept, in both directions
_MADE = ("commit", "machine", "versions")


def record_baseline(path: Path = BASELINE, *, processes: int = 1, progress: bool = False) -> None:
    """Write the baseline; instances that are already in the file are kept, so that a rerun
    resumes."""
    path.parent.mkdir(exist_ok=True)
    path.touch()
    drop_cut_line(path)
    done = {_name(row) for row in _read(path)}

    def keep(row):
        with path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")

    _for_each(
        suite_cells("standard", instances=INSTANCES), INSTANCES, keep, processes, progress, done
    )


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
        pdes, methods: those to check; all if none are given.
        instances: the first of each cell, all of the baseline's if None.
        path: of the baseline.
        processes: number of worker processes, one thread each.
        echo: prints one line.

    Returns:
        The number of reconstructions that differ.

    Raises:
        InputError: there is no baseline, or it was made on another machine or with other versions.
    """
    if not path.is_file():
        raise InputError(
            f"{path} does not exist; write it with `pdeinv benchmark --record-baseline`"
        )
    baseline = {_name(row): row for row in _read(path)}
    made, here = next(iter(baseline.values())), provenance("")
    for what in ("machine", "versions"):
        # The number of threads of this process does not matter: each worker has one.
        then, now = (
            row[what].rsplit(", ", 1)[0] if what == "machine" else row[what] for row in (made, here)
        )
        if then != now:
            raise InputError(
                f"the baseline was made with {what} {then!r}, and this is {now!r}; check out "
                f"commit {made['commit']}, "
                "record it there with `pdeinv benchmark --record-baseline`, and compare with that "
                "file"
            )
    cells = suite_cells("standard", pdes=pdes, methods=methods, instances=INSTANCES)
    instances = INSTANCES if instances is None else min(instances, INSTANCES)
    compared, wrong = 0, 0

    def compare(row):
        nonlocal compared, wrong
        if _name(row) not in baseline:
            raise InputError(
                f"the baseline {path} lacks {_label(row)}; record it again from its own commit"
            )
        found = differences(row, baseline[_name(row)])
        compared, wrong = compared + 1, wrong + bool(found)
        if found:
            echo(f"{_label(row)}: {'; '.join(found)}")

    _for_each(cells, instances, compare, processes, progress)
    echo(
        f"{compared} reconstructions compared with the baseline of commit {made['commit']}: "
        f"{wrong} differ"
    )
    return wrong


def differences(row: dict, baseline: dict) -> list[str]:
    """What tells a reconstruction from the baseline's beyond the tolerances, in words; counts of
    solves are left out."""
    found = []
    if row["network_evaluations"] != baseline["network_evaluations"]:
        found.append(
            f"{row['network_evaluations']} network evaluations instead of "
            f"{baseline['network_evaluations']}"
        )
    apart = {
        name: _apart(values, baseline["fields"][name]) for name, values in row["fields"].items()
    }
    name, largest = max(apart.items(), key=lambda item: item[1])
    if row["method"] in CLOSED_FORMS:
        if largest > CLOSED_FORM_TOLERANCE:
            found.append(
                f"{name} differs by {largest:.1e} of its norm (a closed form: "
                f"{CLOSED_FORM_TOLERANCE:g})"
            )
        return found
    if largest <= FIELD_TOLERANCE:
        return found
    for name, error in row["errors"].items():
        before = baseline["errors"][name]
        ratio = error / before if before else math.inf if error else 1.0
        if not abs(ratio - 1) <= ERROR_TOLERANCE and not (math.isnan(error) and math.isnan(before)):
            found.append(f"the error of {name} is {ratio:.4f} times the baseline's {before:.4g}")
    return found


def _apart(values: list[float], before: list[float]) -> float:
    one, other = (torch.tensor(v, dtype=torch.float64) for v in (values, before))
    if not bool(other.isfinite().all()):  # a method that diverged then
        return 0.0 if torch.equal(one.isfinite(), other.isfinite()) else math.inf
    norm = float(other.norm())
    distance = float((one - other).norm())
    return distance / norm if norm else math.inf if distance else 0.0


def _for_each(
    cells: list[Cell], instances: int, keep, processes, progress, done=frozenset()
) -> None:
    jobs = [
        (c, i)
        for c in cells
        for i in range(instances)
        if _name({**c.key(), "instance": i}) not in done
    ]
    with tqdm(total=len(jobs), disable=not (progress and jobs), unit="instance") as bar:

        def report(job, row):
            bar.set_description(_label(row))
            keep(row)
            bar.update()

        for_each(_reconstruction, jobs, processes, report)


def _reconstruction(job: tuple[Cell, int]) -> dict:
    cell, i = job
    task = cell.task
    truth, observation = task.instance(i)
    row = {**cell.key(), "instance": i}
    made = {k: v for k, v in provenance("").items() if k in _MADE}
    try:
        posterior = solve(task, *cell.prepare(), observation, i, cell.samples)
    except DivergedError:
        names = [f.name for f in task.physics.fields]
        fields = {f"{name}_{what}": [math.nan] for name in names for what in ("mean", "std")}
        errors = {f"{names[c]}, relative_l2": math.nan for c in task.scored}
        return {**row, "network_evaluations": None, "errors": errors, "fields": fields, **made}
    errors, fields = {}, {}
    for c, field in enumerate(posterior.fields):
        for what in ("mean", "std"):
            values = getattr(posterior, what)[c, _FIRST::_STRIDE, _FIRST::_STRIDE]
            fields[f"{field.name}_{what}"] = values.double().flatten().tolist()
        if c in task.scored:
            mean, true = posterior.mean[None, c : c + 1], truth[None, c : c + 1]
            errors[f"{field.name}, relative_l2"] = float(relative_l2(mean, true))
            if c == 0 and (bounds := task.physics.coefficient_range):
                errors[f"{field.name}, error_rate"] = float(error_rate(mean, true, sum(bounds) / 2))
    evaluations = posterior.record["network_evaluations"]
    return {**row, "network_evaluations": evaluations, "errors": errors, "fields": fields, **made}


def _read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _name(row: dict) -> tuple:
    return (*cell_key(row), row["instance"])


def _label(row: dict) -> str:
    equireg = ", EquiReg" if row["equireg"] else ""
    return f"{row['pde']} {row['task']}, {row['method']}{equireg}, instance {row['instance']}"

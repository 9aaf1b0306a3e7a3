"""What pytest-benchmark stores and says: little of the machine, nothing of single rounds, and
ratios freed of drift."""

from statistics import median

import pytest
import torch
from threadpoolctl import threadpool_limits

from pdeinv.benchmarks.provenance import provenance

_COLUMNS = (
    "min",
    "max",
    "mean",
    "stddev",
    "median",
    "iqr",
    "outliers",
    "ops",
    "rounds",
    "iterations",
)
_OUTSIDE = 2.0  # times the median ratio, or its inverse, beyond which a timing is named


def pytest_configure():
    torch.set_num_threads(1)  # the processor's time, which is measured, is that of all threads
    threadpool_limits(1)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info):
    machine_info.clear()
    machine_info.update({k: v for k, v in provenance("").items() if k in ("machine", "versions")})


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_commit_info(commit_info):
    commit_info.clear()
    commit_info["id"] = provenance("")["commit"]


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json):
    output_json.pop("datetime")
    for bench in output_json["benchmarks"]:
        for key in ("extra_info", "options", "params", "param"):
            bench.pop(key)
        stats = bench["stats"]
        bench["stats"] = {
            k: float(f"{v:.4g}") if isinstance(v := stats[k], float) else v for k in _COLUMNS
        }


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    for path, stored in (getattr(session, "compared_mapping", None) or {}).items():
        now = {
            b.fullname: b.stats.min
            for b in session.benchmarks
            if b.fullname in stored and not b.has_error
        }
        if now:
            terminalreporter.write_line("\n".join(compared(now, stored, path)))


def compared(now: dict[str, float], stored: dict[str, dict], path) -> list[str]:
    """Lines that say how the least times of this run stand to the stored ones, and which stand
    out."""
    ratios = {name: seconds / stored[name]["stats"]["min"] for name, seconds in now.items()}
    usual = median(ratios.values())
    lines = [
        f"{len(ratios)} timings against {path}: the median ratio is {usual:.2f}, which is that of "
        f"the machine"
    ]
    for name, ratio in sorted(ratios.items(), key=lambda item: -item[1]):
        if not 1 / _OUTSIDE < ratio / usual < _OUTSIDE:
            lines.append(f"  {ratio / usual:.2f} times that: {name}")
    return (
        lines
        if len(lines) > 1
        else [*lines, f"  no ratio is {_OUTSIDE} times that, or its inverse"]
    )

"""Tables out of recorded results: `python -m pdeinv.benchmarks.report benchmarks/results/FILE.jsonl ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

__all__ = ["markdown_table", "read_records"]


def read_records(*paths: str | Path) -> list[dict]:
    """The summaries of one or more JSON-lines files."""
    return [json.loads(line) for path in paths for line in Path(path).read_text().splitlines()]


def markdown_table(records: list[dict]) -> str:
    """Records as a Markdown table; errors and coverage in per cent, the error with its standard error over instances."""
    lines = [
        "| PDE | task | field | metric | method | error, % | coverage of 90 %, % | seconds | instances |",
        "|---|---|---|---|---|---:|---:|---:|---:|",
    ]
    for r in records:
        spread = "" if r["error_se"] is None else f" ± {100 * r['error_se']:.2f}"
        metric = {"relative_l2": "relative L2", "error_rate": "error rate"}[r["metric"]]
        lines.append(
            f"| {r['pde']} | {r['task']} | {r['field']} | {metric} | {r['method']} | {100 * r['error']:.2f}{spread} "
            f"| {100 * r['coverage90']:.1f} | {r['seconds_per_instance']:.2f} | {r['instances']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown_table(read_records(*sys.argv[1:])))

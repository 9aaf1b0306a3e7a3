"""Tables out of recorded results: `python -m pdeinv.benchmarks.report FILE.jsonl ...`, or `--readme README.md`."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from pdeinv.errors import InputError
from pdeinv.output import written_whole

__all__ = ["markdown_table", "numerics_table", "read_records", "sensors_table", "table", "with_tables"]

_BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def read_records(*paths: str | Path) -> list[dict]:
    """The records of one or more JSON-lines files."""
    records = []
    for path in paths:
        for number, line in enumerate(Path(path).read_text().splitlines(), 1):
            try:
                records.append(json.loads(line))
            except ValueError:
                raise InputError(f"{path}, line {number} is not JSON; delete that line and run again") from None
    return records


_METRICS = {"relative_l2": "relative L2", "error_rate": "error rate"}


def table(records: list[dict]) -> str:
    """The table that suits the records, as Markdown."""
    if "measure" in records[0]:
        return numerics_table(records)
    several = len({(r["sensors"], r["noise"]) for r in records}) > 1
    return sensors_table(records) if several else markdown_table(records)


def markdown_table(records: list[dict]) -> str:
    """Benchmark records; errors and coverage in per cent, the error with its standard error over instances."""
    rows = []
    for r in records:
        rows.append(
            [r["pde"], r["task"], r["field"], _METRICS[r["metric"]], r["method"], _error(r)]
            + [f"{100 * r['predicted_error']:.2f}", f"{100 * r['coverage90']:.1f}"]
            + [f"{r['seconds_per_instance']:.2f}", str(r["instances"])]
        )
    numbers = ["error, %", "predicted, %", "coverage of 90 %, %", "seconds", "instances"]
    return _table(["PDE", "task", "field", "metric", "method"], numbers, rows)


def sensors_table(records: list[dict]) -> str:
    """Errors in per cent with their standard errors, by task, method and noise; one column for each number of sensors."""
    counts = sorted({r["sensors"] for r in records})
    lines: dict[tuple, dict[int, dict]] = {}
    for r in records:
        key = (r["pde"], r["task"], r["field"], _METRICS[r["metric"]], r["method"], f"{100 * r['noise']:g} %")
        lines.setdefault(key, {})[r["sensors"]] = r
    rows = [[*key, *(_error(line[m]) if m in line else "" for m in counts)] for key, line in lines.items()]
    return _table(["PDE", "task", "field", "metric", "method", "noise"], [f"{m} sensors" for m in counts], rows)


def _error(record: dict) -> str:
    spread = "" if record["error_se"] is None else f" ± {100 * record['error_se']:.2f}"
    return f"{100 * record['error']:.2f}{spread}"


def numerics_table(records: list[dict]) -> str:
    """Solver errors, generation times and statistics, as `pdeinv.benchmarks.numerics` records them."""
    rows = []
    for r in records:
        what = r["measure"] + (f" against {r['reference']}" if "reference" in r else "")
        published = f"{r['published']:.3g} ({100 * r['relative_difference']:+.1f} %)" if "published" in r else ""
        rows.append([r["pde"], what, f"{r['value']:.3g}", published, str(r["instances"])])
    return _table(["PDE", "measure"], ["value", "published (difference)", "instances"], rows)


def with_tables(text: str, results: Path) -> str:
    """The text with every block `<!-- table: NAME -->` ... `<!-- end -->` made anew from results/NAME.jsonl."""

    def render(match):
        records = read_records(results / f"{match[2]}.jsonl")
        return f"{match[1]}\n{table(records)}\n\n{match[3]}"

    return _BLOCK.sub(render, text)


def _table(words: list[str], numbers: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] * len(words) + ["---:"] * len(numbers)
    return "\n".join("| " + " | ".join(row) + " |" for row in [words + numbers, rule, *rows])


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("files", nargs="*", type=Path, help="JSON-lines files to print as one table")
    parser.add_argument(
        "--readme", type=Path, help="text whose tables to write anew, from benchmarks/results beside it"
    )
    options = parser.parse_args()
    if options.files:
        print(table(read_records(*options.files)))
    if options.readme:
        text = with_tables(options.readme.read_text(), options.readme.parent / "benchmarks" / "results")
        with written_whole(options.readme) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    _main()

"""Tables of pages out of recorded results: `python -m pdeinv.benchmarks.reports.docs_tables
README.md docs/equireg.md`, in the repository.

Every block `<!-- KIND: NAME ... -->` ... `<!-- end -->` is made anew from
benchmarks/results/NAME.jsonl, of one or more names. KIND is `table` (methods on tasks), `tasks`
(methods ranked on each task), `overall` (on all of them), `ablation` (EquiReg on and off, from the
records of instances), `alternatives` (to EquiReg, from the same), `equivariance`, `limit` (of a
Gaussian prior), `beside` (our solver and the limit, from the records of instances), `cost` or
`scaling` (of our solver).
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pdeinv.benchmarks.reports.tables import (
    beside_limit,
    overall_table,
    read_records,
    table,
    tasks_table,
)
from pdeinv.benchmarks.studies.ablation import ablation_page, alternatives_table
from pdeinv.benchmarks.studies.equivariance import equivariance_page
from pdeinv.benchmarks.studies.gaussian_limit import limit_table
from pdeinv.benchmarks.studies.timing import cost_table, scaling_table
from pdeinv.errors import InputError, run_cli
from pdeinv.files import atomic_write

__all__ = ["with_tables"]

RESULTS = Path("benchmarks/results")
_KINDS = {
    "table": table,
    "overall": overall_table,
    "tasks": tasks_table,
    "ablation": ablation_page,
    "alternatives": alternatives_table,
    "equivariance": equivariance_page,
    "limit": limit_table,
    "beside": beside_limit,
    "cost": cost_table,
    "scaling": scaling_table,
}
_BLOCK = re.compile(rf"(<!-- ({'|'.join(_KINDS)}): ([\w. -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(text: str, results: Path) -> str:
    """The text with its blocks made anew."""

    def render(match):
        records = read_records(*(results / f"{name}.jsonl" for name in match[3].split()))
        return f"{match[1]}\n{_KINDS[match[2]](records)}\n\n{match[4]}"

    known, begun = (
        len(_BLOCK.findall(text)),
        re.findall(r"^<!-- (?!end ).*-->$", text, re.MULTILINE),
    )
    if known != len(begun):
        raise InputError(
            f"{len(begun) - known} of the blocks {'; '.join(begun)} is of no known kind, or has "
            f"no end"
        )
    return _BLOCK.sub(render, text)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("pages", nargs="+", type=Path, help="Markdown files to write anew")
    for page in parser.parse_args().pages:
        text = with_tables(page.read_text(), RESULTS)
        with atomic_write(page) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    run_cli(_main)

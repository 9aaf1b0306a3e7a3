"""README says what is true: its tables come out of the recorded results and its examples run."""

import re
from pathlib import Path

import pandas as pd
import pytest

from pdeinv import InputError
from pdeinv.benchmarks.reports.docs_tables import with_tables
from pdeinv.benchmarks.reports.tables import read_records
from pdeinv.datasets import PDES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
RESULTS = ROOT / "benchmarks" / "results"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_tables_are_those_of_the_records():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text()
        assert with_tables(text, RESULTS) == text, (
            f"run `python -m pdeinv.benchmarks.reports.docs_tables {page.relative_to(ROOT)}`"
        )
    # The comparison above is not one of two empty texts.
    assert (ROOT / "docs" / "limits.md").read_text().count("| gaussian |") == 4 + 12
    assert all(f"| {pde} {task} |" in README for pde in PDES for task in ("forward", "inverse"))


def test_a_block_of_no_known_kind_is_told():
    with pytest.raises(
        InputError, match="1 of the blocks <!-- tabel: standard-128 --> is of no known kind"
    ):
        with_tables("<!-- tabel: standard-128 -->\n<!-- end -->\n", RESULTS)


def test_records_say_how_they_were_made():
    records = read_records(*RESULTS.glob("*.jsonl"))
    assert records
    for record in records:
        assert all(record[key] for key in ("commit", "machine", "command", "pde")), record
        assert "seed" in record


def test_the_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (table,) = blocks("csv")
    Path("sensors.csv").write_text(table)
    example = next(b for b in blocks("python") if "reconstruct" in b)
    scope = {}
    exec(example, scope)
    assert Path("r.png").stat().st_size > 10_000
    assert len(scope["result"].sensor) == len(pd.read_csv("sensors.csv"))


def test_the_example_of_a_shipped_prior_runs():
    scope = {}
    exec(next(b for b in blocks("python") if "priors.load" in b), scope)
    fields, clean = scope["fields"], scope["clean"]
    assert clean.shape == fields.shape == (2, 2, 100, 100)
    assert float((clean - fields)[:, 1].norm() / fields[:, 1].norm()) < 0.2


def test_ci_runs_the_commands_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    install, test = next(b for b in blocks("sh") if "pytest" in b).strip().split(" && ")
    assert install in script and test in script

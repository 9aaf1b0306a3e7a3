"""README and the overview: their tables come out of the recorded results, their examples run."""

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest
from readme_blocks import OVERVIEW, ROOT, blocks, python_blocks, write_files

from pdeinv import InputError, Problem
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.reports.docs_tables import with_tables
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import examples

README, PAGE = (ROOT / "README.md").read_text(), (ROOT / OVERVIEW).read_text()
RESULTS = ROOT / "benchmarks" / "results"


def test_tables_are_those_of_the_records():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text()
        assert with_tables(text, RESULTS) == text, (
            f"run `pdeinv study docs-tables {page.relative_to(ROOT)}`"
        )
    # The comparison above is not one of two empty texts.
    assert (ROOT / "docs" / "limits.md").read_text().count("| gaussian |") == 4 + 12
    assert all(f"| {pde} {task} |" in PAGE for pde in examples() for task in ("forward", "inverse"))


def test_a_block_of_no_known_kind_is_told():
    with pytest.raises(
        InputError,
        match=r"block must be of a known kind .* got 1 others among <!-- tabel: standard-128 -->",
    ):
        with_tables("<!-- tabel: standard-128 -->\n<!-- end -->\n", RESULTS)


def test_records_say_how_they_were_made():
    records = read_records(*RESULTS.glob("*.jsonl"))
    assert records
    for record in records:
        assert all(record[key] for key in ("commit", "machine", "command", "pde")), record
        assert "seed" in record


def test_each_extension_point_has_a_short_page():
    pages = sorted((ROOT / "docs").glob("add-your-*.md"))
    table = PAGE.split("## Extend it")[1].split("\n## ")[0]
    assert len(pages) >= 3
    for page in pages:
        assert f"]({page.name})" in table, page.name
        assert len(page.read_text().splitlines()) < 100, page.name


@pytest.mark.parametrize("block", python_blocks(), ids=lambda block: block.splitlines()[0])
def test_a_python_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    scope = {}
    exec(block, scope)
    for figure in re.findall(r'savefig\("(.*)"\)', block):
        (table,) = re.findall(r'reconstruct\("(.*?)"', block)
        assert Path(figure).stat().st_size > 10_000
        assert len(scope["result"].sensor) == len(pd.read_csv(table))
    if "problem" in scope:
        assert scope["problem"] == Problem.load("aquifer.toml")
    if "priors.load" in block:
        fields, clean = scope["fields"], scope["clean"]
        assert clean.shape == fields.shape == (2, 2, 100, 100)
        assert float((clean - fields)[:, 1].norm() / fields[:, 1].norm()) < 0.2


def test_the_readme_is_short():
    assert len(README.splitlines()) < 100 and README.count("![") == 1


def test_the_first_example_is_as_the_command_prints_it(pdeinv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = next(b for b in blocks("sh") if "aquifer" in b).splitlines()
    code, out, _ = pdeinv(*first.partition("#")[0].split()[1:])
    assert code == 0 and out.splitlines()[-1] == second
    write_files(written := tmp_path / "blocks")
    for name in ("aquifer.csv", "aquifer.toml"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_the_table_of_priors_has_every_kind():
    rows = re.findall(r"^\| `([\w-]+)` \| `(\w+)\(([\w, ]+)\)` \|", PAGE, re.MULTILINE)
    kinds = {kind: (name, numbers.split(", ")) for kind, name, numbers in rows}
    assert kinds.keys() == CoefficientPrior.kinds.keys()
    for kind, (name, numbers) in kinds.items():
        found = CoefficientPrior.kinds[kind]
        fields = [f.name for f in dataclasses.fields(found)]
        assert found.__name__ == name and numbers == fields[: len(numbers)]


def test_ci_runs_the_commands_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    install, test = next(b for b in blocks("sh") if "pytest" in b).strip().split(" && ")
    assert install in script and test in script
    door = (ROOT / ".ci" / "front_door").read_text()
    first = blocks("sh")[0].strip()
    assert first.removeprefix("pip install ") in door and ".ci/front_door" in script

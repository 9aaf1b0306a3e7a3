"""docs/robustness.md: every row names tests that exist."""

import re

import pytest
from readme_blocks import ROOT

PAGE = (ROOT / "docs" / "robustness.md").read_text()
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| Input |", "|---"))
]


def named_tests(row):
    """The files and the functions in the last column; a bare `::name` is of the file before."""
    file = None
    for code in re.findall(r"`([^`]+)`", row.split(" | ")[-1]):
        before, _, name = code.partition("::")
        file = before or file
        yield file, name


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_a_row_names_tests_that_exist(row):
    assert len(row.split(" | ")) == 4
    tests = list(named_tests(row))
    assert tests
    for file, name in tests:
        source = (ROOT / "tests" / file).read_text()
        assert re.search(rf"^def {name}\(" if name else "^def test_", source, re.MULTILINE), name


def test_the_page_names_every_fuzz_test():
    found = {file.name for file in (ROOT / "tests").glob("test_fuzz_*.py")}
    assert {name for name in found if name not in PAGE} == set()

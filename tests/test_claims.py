"""Every measured number in the project's texts follows from the recorded results."""

import json

import pytest
from readme_blocks import ROOT

from pdeinv.benchmarks.claims import SOURCES
from pdeinv.benchmarks.claims.claim import Claim, Constant, below, prose, uncompared, uncovered
from pdeinv.benchmarks.claims.texts import texts
from pdeinv.benchmarks.claims.update import with_numbers
from pdeinv.benchmarks.reports.queries import Measured, Results

RESULTS = Results(ROOT / "benchmarks" / "results")
GENERATED = ROOT / "docs" / "priors.md"  # test_prior_report compares the whole page
PACKAGES = ("pdeinv", "solvers", "datasets", "benchmarks")


@pytest.fixture(scope="module", params=SOURCES)
def source(request):
    """The texts of a source, its constants and its claims."""
    found = texts(ROOT, request.param)
    assert found
    constants, claims = SOURCES[request.param]
    return found, constants, list(claims(RESULTS))


def found_by(search, source):
    found, constants, claims = source
    return {
        text.place: wrong for text in found if (wrong := search(text.prose, [*claims, *constants]))
    }


def test_every_file_belongs_to_one_source():
    files = [path for pattern in SOURCES for path in ROOT.glob(pattern)]
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb")]
    modules = [path for package in PACKAGES for path in ROOT.glob(f"{package}/**/*.py")]
    assert sorted(files) == sorted({*pages, *modules} - {GENERATED})


def test_claims_stand_in_a_text_with_the_numbers_of_the_records(source):
    found, constants, claims = source
    stated = [*(claim.rendered for claim in claims), *(constant.text for constant in constants)]
    assert not [text for text in stated if not any(text in one.prose for one in found)]


def test_claims_compare_what_differs_beyond_its_uncertainty(source):
    _, _, claims = source
    assert not [
        (claim.rendered, wrong)
        for claim in claims
        if (wrong := [relation for relation in claim.holds if not relation])
    ]


def test_every_measured_number_belongs_to_a_claim(source):
    assert not found_by(uncovered, source)


def test_every_comparison_belongs_to_a_claim_with_its_relation(source):
    assert not found_by(uncompared, source)


def test_a_wrong_number_and_one_without_a_claim_are_found():
    page = prose("Ours errs\n1.25 %, theirs 2.5 ± 0.1 %.\n```\n7.5 %\n```\nIt takes 3 or 4 % more.")
    right, wrong = (Claim("Ours errs {:.2f} %", value) for value in (1.2534, 1.26))
    assert right.rendered in page and wrong.rendered not in page
    rest = Claim("theirs {:.1f} %", Measured(2.5, 0.1, 9)), Constant("or 4 %", "a setting")
    (found,) = uncovered(page, [right, *rest])
    assert found.endswith("It takes 3 or 4 % more.")
    assert len(uncovered(page, [wrong, *rest])) == 2
    assert len(uncovered(page, [Claim("Ours errs 1.25 %"), *rest])) == 2  # no query, no claim
    assert not uncovered("see arXiv 2406.17763", []) and uncovered("see 2406.17763", [])


def test_a_comparison_without_a_relation_is_found():
    page = prose("Ours is\nlower. Theirs is higher.")
    related = Claim("Ours is lower.", holds=[below(Measured(-3, 1, 9))])
    assert len(uncompared(page, [related])) == 1
    assert len(uncompared(page, [related, Claim("Theirs is higher.")])) == 1
    assert not uncompared(page, [related, Constant("Theirs is higher", "an example")])
    assert not below(Measured(-1, 1, 9)) and not below(Measured(3, 1, 9))


MODULE = '''"""A solver, ten times faster."""
WEIGHT = 0.25  # a comment
def solve(x):
    """Solve with an error of 2.5 %.

    Arguments:
        x: at most twice the time for it.

    Reference:
        Someone, eq. 7.5.

    Example:
        >>> solve("in 1.5 s")
        '0.5 s'
    """
    raise ValueError(f"x must be below {x:.1f}, got 3 %; an error of "
                     "1e-6 is usual")
'''


def test_measurements_in_docstrings_and_messages_are_found(tmp_path):
    (tmp_path / "solver.py").write_text(MODULE)
    found = texts(tmp_path, "*.py")
    numbers, words = (
        {one.place: wrong for one in found if (wrong := search(one.prose, []))}
        for search in (uncovered, uncompared)
    )
    assert {place: len(wrong) for place, wrong in numbers.items()} == {
        "solver.py:4": 1,
        "solver.py:16": 2,
    }
    assert list(words) == ["solver.py:1", "solver.py:4"]


def test_measurements_in_markdown_cells_are_found(tmp_path):
    cells = [("markdown", ["It errs\n", "2.5 %."]), ("code", ["print('7.5 %')"])]
    content = {"cells": [{"cell_type": kind, "source": source} for kind, source in cells]}
    (tmp_path / "notebook.ipynb").write_text(json.dumps(content))
    (found,) = texts(tmp_path, "*.ipynb")
    assert found.place == "notebook.ipynb:0" and len(uncovered(found.prose, [])) == 1


def test_a_difference_counts_beyond_two_standard_errors():
    assert [Measured(v, 1, 32).sign() for v in (-2.1, -1.9, 1.9, 2.1)] == [-1, 0, 0, 1]
    assert Measured(3.1, 1, 4).sign() == 0 and Measured(3.2, 1, 4).sign() == 1


def test_numbers_are_written_again_where_the_records_have_changed():
    page = "Ours errs\n1.25 % and wins\non two tasks, by 3 ± 1 %."
    claim = Claim("errs {:.2f} % and wins on {} tasks, by {:.0f} %", 1.3, "five", Measured(4, 2, 9))
    assert with_numbers(page, [claim]) == "Ours errs\n1.30 % and wins\non five tasks, by 4 ± 2 %."
    assert with_numbers(page, [Claim("errs {:.0f} times", 2)]) == page

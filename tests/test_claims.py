"""Every measured number in the prose of README and docs follows from the recorded results."""

import pytest
from readme_blocks import ROOT

from pdeinv.benchmarks.claims import PAGES
from pdeinv.benchmarks.claims.claim import Claim, Constant, below, prose, uncompared, uncovered
from pdeinv.benchmarks.reports.queries import Measured, Results

RESULTS = Results(ROOT / "benchmarks" / "results")
GENERATED = "docs/priors.md"
COVERED = tuple(PAGES)


def parts_of(page):
    """The prose of a page, its claims and its constants."""
    claims, constants = PAGES[page]
    return prose((ROOT / page).read_text()), list(claims(RESULTS)), constants


def test_every_page_is_covered():
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")}
    assert set(COVERED) == {"README.md", *pages} - {GENERATED}


@pytest.mark.parametrize("page", COVERED)
def test_claims_stand_in_their_page_with_the_numbers_of_the_records(page):
    text, claims, constants = parts_of(page)
    assert not [claim.rendered for claim in claims if claim.rendered not in text]
    assert not [constant.text for constant in constants if constant.text not in text]


@pytest.mark.parametrize("page", COVERED)
def test_claims_compare_what_differs_beyond_its_uncertainty(page):
    _, claims, _ = parts_of(page)
    assert not [
        (claim.rendered, wrong)
        for claim in claims
        if (wrong := [relation for relation in claim.holds if not relation])
    ]


@pytest.mark.parametrize("page", COVERED)
def test_every_measured_number_belongs_to_a_claim(page):
    text, claims, constants = parts_of(page)
    assert not uncovered(text, [*claims, *constants])


@pytest.mark.parametrize("page", COVERED)
def test_every_comparison_belongs_to_a_claim_with_its_relation(page):
    text, claims, constants = parts_of(page)
    assert not uncompared(text, [*claims, *constants])


def test_a_wrong_number_and_one_without_a_claim_are_found():
    page = prose("Ours errs\n1.25 %, theirs 2.5 ± 0.1 %.\n```\n7.5 %\n```\nIt takes 3 or 4 % more.")
    right, wrong = (Claim("Ours errs {:.2f} %", value) for value in (1.2534, 1.26))
    assert right.rendered in page and wrong.rendered not in page
    rest = Claim("theirs {:.1f} %", Measured(2.5, 0.1, 9)), Constant("or 4 %", "a setting")
    (found,) = uncovered(page, [right, *rest])
    assert found.endswith("It takes 3 or 4 % more.")
    assert len(uncovered(page, [wrong, *rest])) == 2
    assert len(uncovered(page, [Claim("Ours errs 1.25 %"), *rest])) == 2  # no query, no claim


def test_a_comparison_without_a_relation_is_found():
    page = prose("Ours is\nlower. Theirs is higher.")
    related = Claim("Ours is lower.", holds=[below(Measured(-3, 1, 9))])
    assert len(uncompared(page, [related])) == 1
    assert len(uncompared(page, [related, Claim("Theirs is higher.")])) == 1
    assert not uncompared(page, [related, Constant("Theirs is higher", "an example")])
    assert not below(Measured(-1, 1, 9)) and not below(Measured(3, 1, 9))


def test_a_difference_counts_beyond_two_standard_errors():
    assert [Measured(v, 1, 32).sign() for v in (-2.1, -1.9, 1.9, 2.1)] == [-1, 0, 0, 1]
    assert Measured(3.1, 1, 4).sign() == 0 and Measured(3.2, 1, 4).sign() == 1

"""What became of generated inputs, counted over all tests: `pytest --tally FILE`."""

from collections import Counter

from hypothesis import currently_in_test_context, event

from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import read_records, write_records
from pdeinv.benchmarks.testing_kinds import GENERATED

COUNTS = Counter()
"""Numbers of inputs by (their kind, "used" or "refused")."""


def tally(inputs, refused):
    """Count an input that was refused in one sentence, or used."""
    outcome = "refused" if refused else "used"
    if currently_in_test_context():
        event(outcome)
    COUNTS[inputs, outcome] += 1


def write_tally(path, seconds, profile):
    """Write a record for each kind of input; the file keeps those of other kinds."""
    command = f"pytest -n 0 --hypothesis-profile={profile} --tally {path.name} tests/test_fuzz_*.py"
    shared = {"seed": 0, "pde": "all", "seconds": seconds, **provenance(command)}
    found = [
        {"inputs": inputs, **{o: COUNTS[inputs, o] for o in ("used", "refused")}, **shared}
        for inputs in dict.fromkeys(inputs for inputs, _ in COUNTS)
    ]
    kinds = {record["inputs"] for record in found}
    kept = read_records(path, kinds=(GENERATED,)) if path.exists() else []
    write_records(path, [*(r for r in kept if r["inputs"] not in kinds), *found])

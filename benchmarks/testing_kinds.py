"""The kinds of records of the tests themselves: generated inputs, covered lines, mutants."""

from __future__ import annotations

from pdeinv.benchmarks.kinds import Kind, Line, Provenance
from pdeinv.schema import Count, Name, Positive

__all__ = ["COVERED", "GENERATED", "MUTATIONS"]


class _Generated(Line, Provenance):
    """Generated inputs of a kind, most with faults: how many were `used`, and how many `refused` in
    one sentence. Any other end fails the test that makes them. `seconds` are those of the tests
    that were run with it.
    """

    inputs: Name
    used: Count
    refused: Count
    seed: Count
    seconds: Positive


class _Covered(Line, Provenance):
    """The lines of a folder with statements, and how many of these ran in so many tests."""

    folder: Name
    tests: Count
    lines: Count
    covered: Count
    seed: Count


class _Mutated(Line, Provenance):
    """Changes of a part of the source, one at a time: `mutants` were tried of those that there are.
    Some were `killed` by a failing test, some `survived`, and some lie where no test of the group
    goes.
    """

    group: Name
    mutants: Count
    killed: Count
    survived: Count
    untested: Count
    of: Count
    seed: Count
    seconds: Positive


GENERATED = Kind("generated inputs", _Generated, ("inputs", "used", "refused"), ("inputs", "seed"))
COVERED = Kind("covered lines", _Covered, ("folder", "lines", "covered"), ("folder", "seed"))
MUTATIONS = Kind("mutants", _Mutated, ("group", "killed", "survived"), ("group", "seed"))

"""The comparison with the recorded baseline: what passes, and what is reported."""

import copy
import math

import pytest

from pdeinv.benchmarks.verify import differences

FIELDS = {"source_mean": [1.0, 2.0], "source_std": [0.1, 0.2]}


def record(method, evaluations=3):
    return {
        "method": method,
        "network_evaluations": evaluations,
        "fields": copy.deepcopy(FIELDS),
        "errors": {"source": 0.1},
    }


@pytest.mark.parametrize("method", ["gaussian", "moment"])
def test_the_same_reconstruction_passes(method):
    assert differences(record(method), record(method)) == []
    assert differences(record(method, 4), record(method)) == ["4 network evaluations instead of 3"]


def test_a_reconstruction_of_other_fields_is_reported():
    row = record("gaussian")
    row["fields"]["potential_mean"] = row["fields"].pop("source_mean")
    (found,) = differences(row, record("gaussian"))
    assert found == ("fields are of source_std, potential_mean instead of source_mean, source_std")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("method", ["gaussian", "moment"])
def test_a_field_that_is_no_longer_finite_is_reported(method, name, value):
    row = record(method)
    row["fields"][name][1] = value
    (found,) = differences(row, record(method))
    assert found.startswith(name)
    # The same points that diverged in the baseline are no difference
    assert differences(row, copy.deepcopy(row)) == []
    (found,) = differences(record(method), row)
    assert found.startswith(name)

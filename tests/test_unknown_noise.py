"""Noise that is not stated: empty cells, `noise="unknown"` and ranges."""

import numpy as np
import pandas as pd
import pytest

from pdeinv import Grid, InputError, Sensors
from pdeinv.datasets import Experiments, Poisson
from pdeinv.unknown import Unknown

TABLE = pd.DataFrame(
    {
        "field": ["potential", "potential", "source", "solution", "source"],
        "x": [0.2, 0.4, 0.6, 0.8, 0.3],
        "y": [0.3, 0.5, 0.5, 0.3, 0.7],
        "value": [1e-3, 3e-3, 0.5, 5e-3, 0.9],
    }
)
OF_POTENTIAL = float(np.std([1e-3, 3e-3, 5e-3]))
OF_SOURCE = float(np.std([0.5, 0.9]))
EMPTY = TABLE.assign(noise_std=np.nan)


def observed(table=TABLE, noise=None, physics=None):
    return Sensors(table).observation(physics or Poisson(), Grid(16), noise=noise)


def ranges(observation):
    return {name: (one.low, one.high) for name, one in observation.unknown_noise}


BOTH = {
    "noise of source": (0.001 * OF_SOURCE, OF_SOURCE),
    "noise of potential": (0.001 * OF_POTENTIAL, OF_POTENTIAL),
}


@pytest.mark.parametrize(
    ("table", "noise", "expected"),
    [
        (TABLE, "unknown", BOTH),
        (EMPTY, None, BOTH),
        (TABLE, {"potential": "unknown", "source": "Unknown "}, BOTH),
        (
            TABLE,
            ["potential=unknown", "source=0.1"],
            {"noise of potential": BOTH["noise of potential"]},
        ),
        (TABLE, ["solution=1e-5..1e-3", 0.1], {"noise of potential": (1e-5, 1e-3)}),
        (TABLE, {"potential": (1e-5, 1e-3), "source": 0}, {"noise of potential": (1e-5, 1e-3)}),
        (EMPTY, {"potential": 0.1}, {"noise of source": BOTH["noise of source"]}),
        (TABLE, (0.1, 0.2), dict.fromkeys(BOTH, (0.1, 0.2))),
        (TABLE, Unknown(0.1, 0.2, "uniform"), dict.fromkeys(BOTH, (0.1, 0.2))),
        (TABLE, {"unknown": [0.1, 0.2]}, dict.fromkeys(BOTH, (0.1, 0.2))),
        (
            TABLE,
            "1%..20%",
            {
                "noise of source": (0.01 * OF_SOURCE, 0.2 * OF_SOURCE),
                "noise of potential": (0.01 * OF_POTENTIAL, 0.2 * OF_POTENTIAL),
            },
        ),
    ],
)
def test_unknown_noise_is_one_number_for_each_field_within_a_range(table, noise, expected):
    observation = observed(table, noise)
    found = ranges(observation)
    assert found.keys() == expected.keys()
    for name, ends in expected.items():
        assert found[name] == pytest.approx(ends, rel=1e-12)
    for j, (name, unknown) in enumerate(observation.unknown_noise):
        mine = observation.noise_group == j
        read = [TABLE.field[i].replace("solution", "potential") for i in np.flatnonzero(mine)]
        assert {f"noise of {field}" for field in read} == {name}
        assert (observation.noise_std[mine] == float(unknown)).all()


def test_stated_cells_stay_and_the_empty_ones_of_a_field_share_one_number():
    table = TABLE.assign(noise_std=[0.2, np.nan, 0.1, np.nan, 0.1])
    observation = observed(table)
    assert ranges(observation) == {
        "noise of potential": pytest.approx((0.001 * OF_POTENTIAL, OF_POTENTIAL))
    }
    assert observation.noise_group.tolist() == [-1, 0, -1, 0, -1]
    assert observation.noise_std[[0, 2, 4]].tolist() == [0.2, 0.1, 0.1]


def test_each_experiment_and_differences_have_numbers_of_their_own():
    table = pd.DataFrame(
        {
            "field": "potential",
            "x": [0.2, 0.4, 0.6, 0.8] * 2,
            "y": 0.5,
            "value": np.arange(8.0) ** 2,
            "experiment": ["a"] * 4 + ["b"] * 4,
            "x2": [np.nan] * 6 + [0.3, 0.4],
            "y2": [np.nan] * 6 + [0.3, 0.4],
            "kind": [""] * 6 + ["difference"] * 2,
        }
    )
    both = Experiments((Poisson(), Poisson(source=1.0)), ("a", "b"))
    assert ranges(observed(table, "unknown", both)) == {
        "noise of potential, a": pytest.approx(
            (0.001 * np.std([0, 1, 4, 9]), np.std([0, 1, 4, 9]))
        ),
        "noise of potential, b": pytest.approx((0.0045, 4.5)),
        "noise of differences of potential, b": pytest.approx((0.0065, 6.5)),
    }


def test_a_column_that_is_absent_stays_absent_in_files_and_sums(tmp_path):
    given = Sensors(TABLE)
    given.to_csv(tmp_path / "s.csv")
    for table in (Sensors.read(tmp_path / "s.csv"), given + given, given):
        assert "noise_std" not in table.table
    assert Sensors(EMPTY).table.noise_std.isna().all()


@pytest.mark.parametrize(
    ("table", "noise", "message"),
    [
        (TABLE[:3], "unknown", "noise of source must be stated where there is a single reading"),
        (EMPTY[:3], None, "row 2: noise_std is empty; give 0 for an exact reading"),
        (TABLE.assign(value=1.0), "unknown", "got unknown of the spread of equal readings; give"),
        (TABLE, "0.1..0.01", "noise of source: the range .* must rise, got 0.1 to 0.01; swap"),
        (TABLE, "0..0.1", "noise of source: the range of noise must be .* above 0, got 0"),
        (TABLE, "0.1..", "an end of the range of noise must be a number .*, got ''; give 0.02"),
        (TABLE, "..", "an end of the range of noise must be a number .*, got ''; give 0.02"),
        (TABLE, "a..b", "an end of the range of noise must be a number .*, got 'a'"),
        (TABLE, (0.1, np.inf), "an end of the range of noise must be a number .*, got inf"),
        (TABLE, {"potential": (1, 2, 3)}, r"noise must be a number .*, got \(1, 2, 3\)"),
        (TABLE, {"unknown": [1]}, "noise must be a number or a range .*, got .1.; give two ends"),
        (TABLE, Unknown(1, 2, "normal"), "law of noise must be that of a positive number"),
        (TABLE, "unknowm", "noise must be a number .* or 'unknown'"),
        (TABLE.assign(noise_std=0.1), "unknown", "left out where every reading has .* got unknown"),
        (TABLE.assign(noise_std=0.1), "1%..2%", "left out where every reading .* got 1%..2%; drop"),
    ],
)
def test_noise_that_cannot_be_inferred_is_refused(table, noise, message):
    with pytest.raises(InputError, match=message):
        observed(table, noise)

"""The columns of a table that say what an instrument reads: their cells, and what they imply."""

import numpy as np
import pandas as pd
import pytest

from pdeinv import InputError, Sensors
from pdeinv.errors import InputWarning

ROWS = {"field": "pressure", "x": [0.2, 0.5], "y": [0.5, 0.5], "value": [1.0, 2.0]}


def sensors(**columns):
    return Sensors(pd.DataFrame({**ROWS, **columns}))


def test_kinds_follow_from_the_other_columns():
    assert "kind" not in sensors(noise_std=0.1).table
    found = sensors(radius=["", 0.1]).table
    assert found.kind.tolist() == ["point", "disc"]
    np.testing.assert_array_equal(found.radius, [np.nan, 0.1])
    assert sensors(x2=[0.3, ""], y2=["0.4", None]).table.kind.tolist() == ["line", "point"]
    stated = sensors(x2=0.3, y2=0.4, kind=["Difference", ""]).table
    assert stated.kind.tolist() == ["difference", "line"]


def test_limits_and_names_are_text_without_blanks():
    found = sensors(censored=[" Left", np.nan], instrument=["probe A ", 2], replicate=[2024, ""])
    assert found.table.censored.tolist() == ["left", ""]
    assert found.table.instrument.tolist() == ["probe A", "2"]
    assert found.table.replicate.tolist() == ["2024", ""]


def test_tables_with_and_without_a_column_are_joined():
    both = sensors(radius=0.1) + sensors(censored="right")
    assert both.table.kind.tolist() == ["disc", "disc", "point", "point"]
    assert both.table.censored.tolist() == ["", "", "right", "right"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"radius": [0.1, 0]}, "row 1: radius must be positive, got 0"),
        ({"radius": [-1, 0.1]}, "row 0: radius must be positive, got -1"),
        ({"radius": ["wide", 0.1]}, "row 0: radius must be a finite number, got wide"),
        ({"radius": [np.inf, 0.1]}, "row 0: radius must be a finite number, got inf"),
        ({"x2": 0.3}, "row 0: x2 and y2 must be given together, got x2 alone"),
        ({"x2": 0.3, "y2": [0.4, ""]}, "row 1: x2 and y2 must be given together, got x2 alone"),
        ({"x2": 0.2, "y2": 0.5}, "row 0: x2, y2 must differ from x, y for a line"),
        ({"kind": ["disc", ""]}, "row 0: a reading of the kind disc must have radius alone"),
        ({"kind": "line", "radius": 0.1}, "row 0: .* line must have x2 and y2 alone, got radius"),
        ({"kind": "point", "radius": 0.1}, "row 0: .* point must have neither radius nor x2, y2"),
        ({"radius": 0.1, "x2": 0.3, "y2": 0.1}, "row 0: .* disc .* got radius, x2, y2"),
        ({"kind": ["", "dics"]}, "row 1: kind must be .* got 'dics'"),
        ({"kind": ["", "diff"]}, "row 1: kind must be .* got 'diff'; did you mean 'difference'"),
        ({"kind": ["disc", ""]}, "row 0: .* got none; give radius, or correct the kind"),
        (
            {"kind": "line", "radius": 0.1},
            "row 0: .* got radius; empty radius, or corr",
        ),
        ({"censored": ["", "below"]}, "row 1: censored must be left or right, or empty"),
        (
            {"censored": ["", "<"]},
            "row 1: censored .* got '<'; write left where .* below",
        ),
        (
            {"value": [1.0, "< 0.5"]},
            "row 1: value .* give the limit 0.5 alone, and 'left' in",
        ),
        (
            {"value": [1.0, ">7"]},
            "row 1: value .* give the limit 7 alone, and 'right' in",
        ),
    ],
)
def test_a_wrong_cell_is_refused_with_its_row_and_a_remedy(columns, words):
    with pytest.raises(InputError, match=words) as refusal:
        sensors(**columns)
    assert "; " in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "column"),
    [("Radius [m]", "radius"), ("X2", "x2"), ("x_2 (m)", "x2"), ("CENSORED", "censored")]
    + [("Kind", "kind"), (" Replicate ", "replicate")],
)
def test_a_name_in_another_case_or_with_a_unit_does_not_make_another_reading(name, column):
    with pytest.raises(InputError, match=f"no '{column}'; rename it to '{column}', or drop it"):
        sensors(**{name: 0.1})
    given = {"x2": 0.3, "y2": 0.4, "kind": "", "radius": "", "censored": "", "replicate": ""}
    with pytest.warns(InputWarning, match="is not used"):
        sensors(**given, **{name: 0.1})


@pytest.mark.parametrize(
    ("name", "column"),
    [("radiuss", "radius"), ("detection_limit", "censored"), ("device", "instrument")]
    + [("Date", "replicate"), ("run no.", "replicate"), ("instrument_id", "instrument")],
)
def test_a_misspelt_name_or_another_word_is_named_with_the_column_that_it_may_stand_for(
    name, column
):
    with pytest.warns(InputWarning, match=f"did you mean '{column}' by '{name}'"):
        sensors(**{name: "a"})

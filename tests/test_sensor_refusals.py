"""Sensor tables that are refused, with the row and the remedy; and readings that contradict."""

import contextlib
import io
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr
from test_sensors import HEADER, TABLE, rows

from pdeinv import (
    GaussianField,
    Grid,
    InputError,
    InputWarning,
    NumericalError,
    Sensors,
    TwoPhase,
    reconstruct,
)
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, Poisson

BAD = {
    "no column": ("field,x,y\nsource,0.1,0.2\n", "bad.csv has no column 'value'"),
    "unknown separators": (
        "field:x:y:value\nsource:0.1:0.2:3\n",
        "no column 'field'; its columns must be .* noise_std .found: 'field:x:y:value'",
    ),
    "upper case": ("field,X,y,value\nsource,.1,.2,3\n", "no column 'x' but 'X'; rename it to 'x'"),
    "a unit": (
        "field,x,y [m],value\nsource,.1,.2,3\n",
        r"no column 'y' but 'y \[m\]'; rename it to 'y'",
    ),
    "nan": (
        rows("source,0.1,0.2,1", "source,0.1,0.2,nan"),
        "bad.csv, row 2: value must be a finite number, got nothing or nan",
    ),
    "empty cell": (rows("source,0.1,,1"), "bad.csv, row 1: y must be a finite number"),
    "infinite": (rows("source,0.1,0.2,-inf"), "row 1: value must be a finite number, got -inf"),
    "text": (
        rows("source,0.1,0.2,1", "source,0.1,0.2,high"),
        "row 2: value must be a finite number, got high",
    ),
    "text for x": (rows("source,left,0.2,1"), "row 1: x must be a finite number, got left"),
    "no noise": (
        rows("source,0.1,0.2,1,inf", header=HEADER + ",noise_std"),
        "row 1: noise_std must be a finite number, got inf",
    ),
    "negative noise": (
        rows("source,.1,.2,1,0", "source,.3,.2,1,-0.5", header=HEADER + ",noise_std"),
        "row 2: noise_std must not be negative, got -0.5; use 0",
    ),
    "misspelt noise": (
        rows("source,.1,.2,1,.5", header=HEADER + ",Noise_std"),
        "a column 'Noise_std' but no 'noise_std'",
    ),
    "a column twice": (
        rows("source,.1,.2,1,2", header=HEADER + ",value"),
        "the column 'value' more than once",
    ),
    "too far right": (
        rows("source,1.01,0.2,1"),
        r"row 1: x and y must be in the domain \[0, 1\] x \[0, 1\], got \(1.01, 0.2\); use",
    ),
    "too low": (
        rows("source,0.1,0.2,1", "source,0.1,-2,1"),
        "row 2: x and y must be in the domain .*got \\(0.1, -2\\)",
    ),
    "unknown field": (
        rows("source,0.1,0.2,1", "presure,0.1,0.2,1"),
        "row 2: field must be 'source' .* or 'potential' .* for poisson, got 'presure'",
    ),
    "no field": (rows("source,0.1,0.2,1", ",0.1,0.2,1"), "row 2: field is empty"),
    "contradiction": (
        rows(
            *("source,0.1,0.2,1,0", "potential,.1,.2,5,0", "source,.3,.2,1,0"),
            "coefficient,0.1,0.2,1.5,0",
            header=HEADER + ",noise_std",
        ),
        r"row 4: the exact reading 1.5 contradicts 1 at the same point \(bad.csv, row 1\); drop "
        r"one or give both",
    ),
    "boundary": (
        rows("potential,.1,.2,1,0", "potential,0.5,1,0.25,0", header=HEADER + ",noise_std"),
        "row 2: the exact reading 0.25 contradicts the boundary condition potential = 0",
    ),
    "header only": (HEADER + "\n", "bad.csv has no readings; give it at least one row"),
    "empty": ("", "bad.csv is empty; give it the columns field, x, y, value"),
    "blank": (" \n\n", "bad.csv"),
    "long row": (
        rows("source,0.1,0.2,1", "source,0.1,0.2,1,7,8"),
        "bad.csv, line 3 has 6 values for 4 columns; mend it",
    ),
    "short row": (
        rows("source,0.1,0.2,1,0", "source,0.1,1,0", header=HEADER + ",noise_std"),
        "bad.csv, line 3 has 4 values for 5 columns; mend it",
    ),
    "a quote over two lines": (
        rows('source,0.1,0.2,1,"', 'source,0.1,0.2,1,"', header=HEADER + ",note"),
        "cannot be read as CSV .line 2: unexpected end of data",
    ),
    "open quote": (rows('"source,0.1,0.2,1'), "cannot be read as CSV"),
    "PNG": (b"\x89PNG\r\n\x1a\n\x00\x00", "bad.csv is not a text file in UTF-8; save the table as"),
    "zeros": (bytes(64), "bad.csv is not a text file"),
    "UTF-16 without a mark": (
        rows("source,0.1,0.2,1").encode("utf-16-le"),
        "bad.csv is not a text file",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_one_sentence_that_names_the_place(case, tmp_path):
    content, message = BAD[case]
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as refusal:
        Sensors.read(path).observation(Poisson(), Grid(16))
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("name", "message"), [("none.csv", "does not exist; check the path"), (".", "is a folder")]
)
def test_what_is_no_file_is_refused(name, message, tmp_path):
    with pytest.raises(InputError, match=message):
        Sensors.read(tmp_path / name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (TABLE.assign(value=[1, np.nan, 2]), "the sensor table, row 1: value must be a finite"),
        (TABLE.assign(field=["source", "potential", None]), "row 2: field is empty"),
        (TABLE.drop(columns="x"), "no column 'x'"),
        (TABLE[:0], "no readings"),
        (pd.concat([TABLE, TABLE.x], axis=1), "the column 'x' more than once"),
        ({"field": "source", "x": [1], "y": [1], "value": [1, 2]}, "cannot be read from a dict"),
        ({"field": "source", "x": 1, "y": 1, "value": 1}, "cannot be read from a dict"),
        ([["source", 0.1, 0.2, 3.0]], "a table with named columns, got a list; give one with"),
        ([], "a table with named columns, got a list"),
        (TABLE.to_numpy(), "a table with named columns, got a ndarray"),
        (TABLE.value, "a table with named columns, got a Series"),
        (None, "a table with named columns, got a NoneType"),
        (7, "a table with named columns, got a int"),
        ({"source"}, "a table with named columns, got a set"),
        ((row for row in TABLE.to_dict("records")), "with named columns, got a generator"),
        (TABLE.to_csv().encode(), "a table with named columns, got a bytes"),
        (pl.LazyFrame({"x": [1]}).select("nothing"), "cannot be read from a LazyFrame"),
        (io.TextIOWrapper(io.BytesIO(b"\xff")), "cannot be read"),
        (xr.DataArray(np.zeros((2, 2)), name="source"), "have one dimension, got 'source' with"),
        (xr.DataArray(np.zeros(2)), "must be named after its field .* got None"),
        (xr.Dataset(), "along one dimension"),
        (TABLE.to_xarray().expand_dims(time=2), "along one dimension"),
    ],
)
def test_a_bad_table_is_refused(source, message):
    with pytest.raises(InputError, match=message):
        Sensors.read(source)


def readings(field, *rows):
    return Sensors(pd.DataFrame(rows, columns=["x", "y", "value", "noise_std"]).assign(field=field))


CONTRADICTIONS = [
    (
        Poisson(),
        readings("source", (0.3, 0.5, 1, 0), (0.1 + 0.2, 0.5, 1.1, 0)),
        "contradicts 1 at the same",
    ),
    (
        NavierStokes(),
        readings("final_vorticity", (0, 0.5, 1, 0), (1, 0.5, 2, 0)),
        "contradicts 1 at the same",
    ),
    (
        NavierStokes(),
        readings("final_vorticity", (0.5, 1 - 1e-12, 1, 0), (0.5, 0, 2, 0)),
        "contradicts 1 at the same",
    ),
    (
        Helmholtz(),
        readings("source", (0.5, 0.5, 1, 0), (0, 0.5, 1, 0)),
        "boundary condition source = 0",
    ),
    (
        Darcy(),
        readings("solution", (0.5, 0.5, 1, 0), (0.2, 1, 0.1, 0)),
        "boundary condition pressure = 0",
    ),
]
FINE = {
    "equal": (Poisson(), readings("source", (0.3, 0.5, 1, 0), (0.1 + 0.2, 0.5, 1 + 1e-9, 0))),
    "one noisy": (Poisson(), readings("source", (0.3, 0.5, 1, 0), (0.3, 0.5, 9, 0.1))),
    "neighbours": (Poisson(), readings("source", (0.3, 0.5, 1, 0), (0.3 + 1e-6, 0.5, 9, 0))),
    "opposite edges of a square": (Poisson(), readings("source", (0, 0.5, 1, 0), (1, 0.5, 2, 0))),
    "equal on the torus": (NavierStokes(), readings("solution", (0, 1, 3, 0), (1, 0, 3, 0))),
    "zero on the boundary": (
        Darcy(),
        readings("pressure", (0.5, 0.5, 1, 0), (0.2, 1, 1e-8, 0), (0, 0, 0, 0)),
    ),
    "nothing but the boundary": (Darcy(), readings("pressure", (0.2, 1, 0, 0), (0, 0, 0, 0))),
    "noisy on the boundary": (Darcy(), readings("pressure", (0.5, 0.5, 1, 0), (0.2, 1, 0.1, 0.1))),
    "free on the boundary": (Darcy(), readings("permeability", (0, 0, 12, 0), (1, 0.5, 3, 0))),
    "torus": (NavierStokes(), readings("solution", (0, 0, 1, 0), (0.5, 0, 2, 0))),
}


@pytest.mark.parametrize(("pde", "sensors", "message"), CONTRADICTIONS)
def test_contradicting_exact_readings_are_refused(pde, sensors, message):
    with pytest.raises(InputError, match=f"row 1: the exact reading .* {message}"):
        sensors.observation(pde, pde.grid(16))


@pytest.mark.parametrize("case", FINE)
def test_agreeing_and_noisy_readings_are_welcome(case):
    pde, sensors = FINE[case]
    assert len(sensors.observation(pde, pde.grid(16))) == len(sensors)


def test_permeabilities_that_the_medium_does_not_have_are_refused():
    def observe(*rows):
        table = pd.DataFrame(rows, columns=["x", "y", "value", "noise_std"]).assign(
            field="permeability"
        )
        pde = Darcy()
        return Sensors(table).observation(pde, Grid(17), bounds=pde.default_prior.bounds)

    assert (
        len(observe((0.1, 0.1, 12.0, 0.0), (0.1, 0.1, 12.00000001, 0.0), (0.5, 0.5, 20.0, 9.0)))
        == 3
    )
    with pytest.raises(
        InputError, match="row 0: the exact reading must be within the prior's 3 to 12, got 20"
    ):
        observe((0.1, 0.1, 20.0, 0.0))
    with pytest.raises(
        InputError,
        match=r"row 1: the exact reading 3 and 12 .* node of a grid of 17 x 17; use a finer",
    ):
        observe((0.5, 0.5, 12.0, 0.0), (0.51, 0.5, 3.0, 0.0))


def test_the_lower_of_two_values_may_be_negative():
    pde, bounds = Poisson(), TwoPhase(GaussianField(0.0, 1.0, 0.3), -4.0, 1.0).bounds
    sensors = readings("source", (0.1, 0.1, -4.0, 0.0), (0.9, 0.5, 1.0, 0.0))
    assert len(sensors.observation(pde, Grid(17), bounds=bounds)) == 2
    with pytest.raises(InputError, match=r"row 0: the exact reading must .* -4 to 1, got"):
        readings("source", (0.1, 0.1, -4.1, 0.0)).observation(pde, Grid(17), bounds=bounds)


NO_NUMBERS = {
    "complex": [1 + 2j, 1 + 0j],
    "complex array": np.array([1, 2j]),
    "bool": [True, False],
    "bool among numbers": [2.0, True],
    "numpy's bool": np.array([False, True]),
    "nullable bool": pd.array([True, None], dtype="boolean"),
    "time": pd.to_datetime(["2026-01-01", "2026-01-02"]),
    "time with a zone": pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True),
    "duration": pd.to_timedelta([1, 2], unit="s"),
    "numpy's duration": [np.timedelta64(1, "s"), 2.0],
    "period": pd.period_range("2026-01", periods=2),
    "list": [[1.0], [2.0]],
    "huge integer": [10**400, 1],
    "signalling nan": [Decimal("sNaN"), Decimal(1)],
    "categories": pd.Categorical(["low", "high"]),
}
COMPLEX = ("complex", "complex array", "1+2j")
"""Those that a reading's value may be."""
WORDS = ["TRUE", "False", "yes", "1+2j", "2026-01-01", "00:00:01", "1 days", "1_000", "0x10", "5%"]


@pytest.mark.parametrize("column", ["x", "y", "value", "noise_std"])
@pytest.mark.parametrize("kind", [*NO_NUMBERS, *WORDS])
def test_complex_numbers_truth_values_and_times_are_no_numbers(kind, column):
    if column == "value" and kind in COMPLEX:
        return  # two readings, see tests/test_acoustics.py
    table = TABLE[:2].assign(**{column: NO_NUMBERS.get(kind, [1.0, kind])})
    with pytest.raises(InputError, match=rf"row [01]: {column} must be a finite number, got [^n]"):
        Sensors(table)


@pytest.mark.parametrize("column", ["x", "y", "value", "noise_std"])
@pytest.mark.parametrize("word", WORDS)
def test_the_same_words_in_a_file_are_refused(word, column, tmp_path):
    if column == "value" and word in COMPLEX:
        return
    good = {"field": "source", "x": "0.5", "y": "0.5", "value": "1", "noise_std": "0"}
    lines = (",".join(good), ",".join(good.values()), ",".join((good | {column: word}).values()))
    (tmp_path / "s.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match="row 2: ") as refusal:
        Sensors.read(tmp_path / "s.csv")
    assert f"{column} must be a finite number, got {word}; mend" in str(refusal.value)


# Fill values

NETCDF = [9.969209968386869e36, -32767, -2147483647, -9223372036854775806]
FILLS = [*NETCDF, 1e20, -1e20, 1e37, -3.4e38, -999, -9999, 9999, -999.25, -99.99, -99999, 99999.9]


GOOD = [(0.1 * i, 0.5, 5.0 - i, 0.1) for i in range(1, 9)]


@pytest.mark.parametrize("single", [False, True], ids=["double", "single precision"])
@pytest.mark.parametrize("fill", FILLS)
def test_a_likely_fill_value_is_refused_with_its_row(fill, single):
    bad = (0.5, 0.1, float(np.float32(fill)) if single else float(fill), 0.1)
    for bad_ones in ([bad], [bad, bad]):
        with pytest.raises(InputError, match=r"row 8: value must be .* fill value"):
            readings("potential", *GOOD, *bad_ones).observation(Poisson(), Grid(16))


@pytest.mark.parametrize("fill", [9.969209968386869e36, 1e20, 1e35])
def test_a_single_reading_may_be_a_fill_value_too(fill):
    with pytest.raises(InputError, match=r"row 0: value must be .* fill value"):
        readings("potential", (0.5, 0.5, fill, 0.1)).observation(Poisson(), Grid(16))


@pytest.mark.parametrize(
    "values", [[-999.0], [-999.0, -998.0, -1003.0], [-2000.0, 1500.0, -999.0], [99999.0, 90000.0]]
)
def test_a_reading_like_the_others_is_no_fill_value(values):
    table = {"field": "potential", "x": np.arange(len(values)) / 9 + 0.1, "y": 0.5, "value": values}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Sensors({**table, "noise_std": 1e4}).observation(Poisson(), Grid(16)))


@pytest.mark.parametrize(("count", "named"), [(1, "7000 is"), (3, r"7000 \(and 2 more\) is")])
def test_a_reading_of_another_size_is_named_in_a_warning(count, named):
    large = [(0.5, 0.1 * i, 6e3 + 1e3 * i, 0.1) for i in range(1, 1 + count)]
    sensors = readings("potential", *GOOD, *large)
    with pytest.warns(
        InputWarning, match=f"row 8: the reading {named} over 1000 times .* units"
    ) as w:
        sensors.observation(Poisson(), Grid(16))
    assert len(w) == 1 and w[0].filename == __file__


def test_readings_on_a_boundary_of_zeros_make_no_other_too_large():
    ring = [(0.1 * i, 0.0, 1e-19, 0.0) for i in range(1, 9)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        readings("potential", *ring, (0.5, 0.5, 1e-3, 0)).observation(Poisson(), Grid(16))


@pytest.mark.parametrize("solver", ["gaussian", "kriging", "optimal-interpolation", "moment"])
@pytest.mark.parametrize(
    ("value", "noise_std"), [(9e29, 1.0), (-9e29, 0.0), (1.0, 9e29), (1, 2e-30)]
)
def test_the_largest_numbers_give_finite_fields_or_a_refusal(solver, value, noise_std):
    table = {"field": "potential", "x": [0.5], "y": [0.5], "value": value, "noise_std": noise_std}
    with warnings.catch_warnings(), contextlib.suppress(InputError, NumericalError):
        warnings.simplefilter("ignore")
        result = reconstruct(table, "poisson", grid=16, n_samples=2, solver=solver)
        assert all(np.isfinite(result[f"potential_{w}"]).all() for w in ("mean", "std", "samples"))

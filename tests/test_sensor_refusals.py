"""Sensor tables that are refused, with the row and the remedy; and readings that contradict."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_sensors import HEADER, TABLE, rows

from pdeinv import Grid, InputError, Sensors
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, Poisson

BAD = {
    "no column": ("field,x,y\nsource,0.1,0.2\n", "bad.csv has no column 'value'"),
    "not commas": (
        "field;x;y;value\nsource;0.1;0.2;3\n",
        r"no column 'field'.*commas.*found: 'field;x;y;value'",
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
        "row 1: x must be in the unit square, got 1.01; rescale",
    ),
    "too low": (
        rows("source,0.1,0.2,1", "source,0.1,-2,1"),
        "row 2: y must be in the unit square, got -2",
    ),
    "unknown field": (
        rows("source,0.1,0.2,1", "presure,0.1,0.2,1"),
        "row 2: field must be 'source' .* or 'potential' .* for poisson, got 'presure'",
    ),
    "no field": (rows("source,0.1,0.2,1", ",0.1,0.2,1"), "row 2: field is empty"),
    "contradiction": (
        rows("source,0.1,0.2,1", "potential,.1,.2,5", "source,.3,.2,1", "coefficient,0.1,0.2,1.5"),
        r"row 4: the exact reading 1.5 contradicts 1 at the same point \(bad.csv, row 1\); drop "
        r"one or give both",
    ),
    "boundary": (
        rows("potential,0.1,0.2,1", "potential,0.5,1,0.25"),
        "row 2: the exact reading 0.25 contradicts the boundary condition potential = 0",
    ),
    "header only": (HEADER + "\n", "bad.csv has no readings; give it at least one row"),
    "empty": ("", "bad.csv is empty; give it the columns field, x, y, value"),
    "blank": (" \n\n", "bad.csv"),
    "long row": (
        rows("source,0.1,0.2,1", "source,0.1,0.2,1,7,8"),
        "Expected 4 fields in line 3, saw 6",
    ),
    "long rows": (
        rows("source,0.1,0.2,1,0.3", "source,0.1,0.2,1,0.3"),
        "bad.csv, line 2 has more values than columns",
    ),
    "semicolons": (
        "field;x;y;value\nsource;0,1;0,2;1,5\n",
        "bad.csv has semicolons between its values; save it with",
    ),
    "open quote": (rows('"source,0.1,0.2,1'), "cannot be read as CSV"),
    "PNG": (b"\x89PNG\r\n\x1a\n\x00\x00", "bad.csv is not a text file in UTF-8; save the table as"),
    "zeros": (bytes(64), "bad.csv is not a text file"),
    "UTF-16": (rows("source,0.1,0.2,1").encode("utf-16"), "bad.csv is not a text file"),
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
        return Sensors(table).observation(Darcy(), Grid(17))

    assert (
        len(observe((0.1, 0.1, 12.0, 0.0), (0.1, 0.1, 12.00000001, 0.0), (0.5, 0.5, 20.0, 9.0)))
        == 3
    )
    with pytest.raises(
        InputError, match="row 0: the exact reading must be within the medium's 3 to 12, got 20"
    ):
        observe((0.1, 0.1, 20.0, 0.0))
    with pytest.raises(
        InputError,
        match=r"row 1: the exact reading 3 and 12 .* nearest node of a grid of 17; use a finer",
    ):
        observe((0.5, 0.5, 12.0, 0.0), (0.51, 0.5, 3.0, 0.0))

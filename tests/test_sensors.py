"""Sensor tables: one table from every source, sensible layouts, simulated readings, and refusals
that name the row."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from pdeinv import Grid, InputError, Sensors, layouts
from pdeinv.datasets import PDES, Darcy, Helmholtz, NavierStokes, Poisson, example, examples

TABLE = pd.DataFrame(
    {
        "field": ["source", "potential", "potential"],
        "x": [0.1, 0.25, 1.0],
        "y": [0.2, 0.75, 0.5],
        "value": [-1.5, 2e-3, 0.0],
        "noise_std": [0.1, 0.0, 0.0],
    }
)
HEADER = "field,x,y,value"


def rows(*lines, header=HEADER):
    return "\n".join((header, *lines)) + "\n"


# Reading


def as_csv(table, folder):
    table.to_csv(folder / "s.csv", index=False)
    return folder / "s.csv"


def by_hand(table, folder):
    """As people write it: another order, spaces, a comment, an empty line, a byte-order mark and
    Windows line ends."""
    columns = [
        c for c in ("value", "noise_std", "field", "y", "x", "depth") if c in (*table, "depth")
    ]
    lines = [" , ".join(columns), "# the west side", ""]
    lines += [" , ".join(map(str, row)) for row in table.assign(depth=7)[columns].to_numpy()]
    (folder / "hand.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    return str(folder / "hand.csv")


SOURCES = {
    "csv": as_csv,
    "csv by hand": by_hand,
    "pandas": lambda table, _: table.assign(note="").set_index(pd.Index([7, 7, 3])),
    "xarray": lambda table, _: table.reset_index(drop=True).rename_axis("sensor").to_xarray(),
    "sensors": lambda table, _: Sensors(table),
}


@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_table(source, noisy, tmp_path):
    given = TABLE if noisy else TABLE.drop(columns="noise_std")
    before = given.copy()
    read = Sensors.read(SOURCES[source](given, tmp_path))
    pd.testing.assert_frame_equal(
        read.table, TABLE if noisy else TABLE.assign(noise_std=0.0), check_dtype=False
    )
    pd.testing.assert_frame_equal(given, before)
    assert len(read) == 3


@pytest.mark.parametrize("name", PDES)
def test_physical_names_and_aliases_mean_the_same_channel(name):
    pde = PDES[name]()
    names = [f.name for f in pde.fields]
    for fields in (names, ["coefficient", "solution"], [names[0], "solution"]):
        table = pd.DataFrame(
            {"field": fields, "x": [0.3, 0.6], "y": [0.4, 0.1], "value": [3.0, 2.0]}
        )
        H = Sensors(table).observation(pde, pde.grid(16))
        assert H.channel.tolist() == [0, 1] and H.values.tolist() == [3.0, 2.0]
        assert H.points.tolist() == [[0.3, 0.4], [0.6, 0.1]]
        assert H.order == tuple(f.interpolation_order for f in pde.fields)


def test_tables_add_up_and_survive_a_file(tmp_path):
    both = Sensors(TABLE) + Sensors(TABLE.assign(value=[np.pi, 1 / 3, 1e-9]))
    assert both.table.value.tolist() == [-1.5, 2e-3, 0.0, np.pi, 1 / 3, 1e-9]
    both.to_csv(tmp_path / "both.csv")
    pd.testing.assert_frame_equal(Sensors.read(tmp_path / "both.csv").table, both.table, rtol=1e-11)


def test_a_column_is_taken_for_noise_by_its_words(tmp_path):
    (tmp_path / "s.csv").write_text(rows("source,0.1,0.2,1,5", header=HEADER + ",terrain"))
    assert Sensors.read(tmp_path / "s.csv").table.noise_std.tolist() == [0.0]
    (tmp_path / "s.csv").write_text(rows("source,0.1,0.2,1,5", header=HEADER + ",reading_err"))
    with pytest.raises(InputError, match="a column 'reading_err' but no 'noise_std'"):
        Sensors.read(tmp_path / "s.csv")


# Refusals


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


# Simulated readings


@pytest.mark.parametrize("name", examples())
def test_readings_of_a_known_field(name):
    pde = PDES[name]()
    for f in pde.fields:
        truth, order = example(name)[f.name].isel(sample=1), f.interpolation_order
        points = np.concatenate([layouts.random_nodes(30, pde.grid(64), 1), layouts.random(30, 2)])
        exact = Sensors.observe(truth, points, order=order)
        iy, ix = (np.rint(points[:30, d] * pde.grid(64).cells).astype(int) for d in (1, 0))
        assert np.array_equal(exact.table.value[:30], truth.values[iy, ix].astype(float))
        # Off the grid it is what the operator reads, so that a solver that knew the truth would fit
        # to the last digit.
        H = exact.observation(pde, pde.grid(64))
        state = torch.as_tensor(truth.values.astype(float)).expand(1, 2, 64, 64)
        assert torch.allclose(H(state)[0], H.values, rtol=1e-12)
        assert set(exact.table.field) == {f.name} and (exact.table.noise_std == 0).all()


def test_the_noise_of_simulated_readings():
    truth = example("poisson")["source"].isel(sample=0)
    points = layouts.random(4000)
    exact = Sensors.observe(truth, points.tolist()).table.value
    level = np.where(points[:, 0] < 0.5, 0.1, 2.0)
    noisy = Sensors.observe(truth, points, noise_std=level, seed=3).table
    assert np.array_equal(noisy.noise_std, level)
    assert np.std((noisy.value - exact) / level) == pytest.approx(1, abs=0.05)
    assert noisy.equals(Sensors.observe(truth, points, noise_std=level, seed=3).table)
    assert not np.isclose(
        noisy.value, Sensors.observe(truth, points, noise_std=level, seed=4).table.value
    ).any()
    other = Sensors.observe(truth.rename("potential"), points, noise_std=level, seed=3).table
    assert (
        abs(np.corrcoef((noisy.value - exact) / level, (other.value - exact) / level)[0, 1]) < 0.1
    )


@pytest.mark.parametrize(
    ("change", "points", "message"),
    [
        (lambda t: t.transpose("x", "y"), [[0.1, 0.2]], "dimensions"),
        (lambda t: t.rename(None), [[0.1, 0.2]], "has no name"),
        (lambda t: t.isel(x=slice(20)), [[0.1, 0.2]], "64 x 20 nodes"),
        (lambda t: t.isel(x=slice(20), y=slice(20)), [[0.1, 0.2]], "whole grid"),
        (lambda t: t.isel(y=slice(None, None, -1)), [[0.1, 0.2]], "whole grid"),
        (lambda t: t.drop_vars(["x", "y"]), [[0.1, 0.2]], "whole grid"),
        (lambda t: t, [0.1, 0.2], r"got \(2,\)"),
        (lambda t: t, [[0.1, 0.2, 0.3]], r"got \(1, 3\)"),
        (lambda t: t, [[0.1, 0.2], [0.1, 1.2]], "row 1: y must be in the unit square, got 1.2"),
        (
            lambda t: t,
            np.ones((3, 2)),
            r"noise_std must be one number or have the shape \(3,\), got \(2,\)",
        ),
        (
            lambda t: t.where(t.x < 0.5),
            [[0.1, 0.1], [0.9, 0.1]],
            "row 1: value must be a finite number",
        ),
    ],
)
def test_what_cannot_be_observed_is_refused(change, points, message):
    truth = change(example("poisson")["source"].isel(sample=0))
    noise_std = [0.1, 0.1] if "noise_std" in message else 0.0
    with pytest.raises(InputError, match=message):
        Sensors.observe(truth, points, noise_std=noise_std)


# Layouts


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda n: layouts.random(n, 5), 37),
        (lambda n: layouts.random_nodes(n, Grid(16), 5), 37),
        (lambda n: layouts.random_nodes(n, Grid(16, "periodic"), 5), 256),
        (lambda n: layouts.track([(0.1, 0.1), (0.9, 0.1), (0.9, 0.3)], n), 11),
        (lambda n: layouts.boundary(n), 21),
        (lambda n: layouts.regular(round(n**0.5)), 49),
    ],
)
def test_a_layout_has_as_many_points_as_asked_all_in_the_square(make, count):
    points = make(count)
    assert points.shape == (count, 2) and points.min() >= 0 and points.max() <= 1
    assert len(np.unique(points.round(9), axis=0)) == count
    assert np.array_equal(points, make(count))
    with pytest.raises(InputError, match="at least 1 sensor, got 0"):
        make(0)


def test_where_the_layouts_put_their_points():
    for grid in (Grid(16), Grid(16, "periodic")):
        nodes = set(map(tuple, grid.points().tolist()))
        assert set(map(tuple, layouts.random_nodes(60, grid, 1).tolist())) <= nodes
    assert not np.array_equal(layouts.random(9, 0), layouts.random(9, 1))
    assert layouts.regular(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    around = layouts.boundary(12)
    assert np.isin(around, (0, 1)).any(axis=1).all()
    assert {(0, 0), (1, 0), (1, 1), (0, 1)} <= set(map(tuple, around.round(12)))
    # 1.2 long, so one point every 0.1
    along = layouts.track([(0.1, 0.1), (0.9, 0.1), (0.9, 0.5)], 13)
    assert np.allclose(np.linalg.norm(np.diff(along, axis=0), axis=1), 0.1)
    assert np.allclose(along[[0, 8, -1]], [(0.1, 0.1), (0.9, 0.1), (0.9, 0.5)])


def test_impossible_layouts_are_refused():
    with pytest.raises(InputError, match="at most 256"):
        layouts.random_nodes(257, Grid(16))
    for waypoints in ([(0.1, 0.2)], [0.1, 0.2], [(0.1, 0.2, 0.3), (0.1, 0.2, 0.4)]):
        with pytest.raises(InputError, match="at least two"):
            layouts.track(waypoints, 5)


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

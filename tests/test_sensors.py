"""Sensor tables: the same table from every source."""

import io
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import dask.dataframe
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

from pdeinv import Sensors
from pdeinv.datasets import PDES, pde_by_name

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
    columns = [c for c in ("value", "noise_std", "field", "y", "x") if c in table]
    lines = [" , ".join(columns), "# the west side", ""]
    lines += [" , ".join(map(str, row)) for row in table[columns].to_numpy()]
    (folder / "hand.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    return str(folder / "hand.csv")


SOURCES = {
    "csv": as_csv,
    "csv by hand": by_hand,
    "open text file": lambda table, folder: as_csv(table, folder).open(newline=""),
    "open binary file": lambda table, folder: as_csv(table, folder).open("rb"),
    "StringIO": lambda table, _: io.StringIO(table.to_csv(index=False)),
    "BytesIO": lambda table, _: io.BytesIO(table.to_csv(index=False).encode()),
    "pandas": lambda table, _: table.set_index(pd.Index([7, 7, 3])),
    "pandas with places as index": lambda table, _: table.set_index(["x", "y"]),
    "pandas of nullable types": lambda table, _: table.convert_dtypes(),
    "pandas of categories": lambda table, _: table.astype("category"),
    "pandas of objects": lambda table, _: table.astype(object),
    "pandas of texts": lambda table, _: table.astype(str),
    "dict of columns": lambda table, _: table.to_dict("list"),
    "dict of arrays": lambda table, _: {c: table[c].to_numpy() for c in table},
    "list of records": lambda table, _: table.to_dict("records"),
    "named tuples": lambda table, _: list(table.itertuples(index=False, name="Reading")),
    "structured array": lambda table, _: table.to_records(index=False),
    "structured array of bytes": lambda table, _: np.array(
        [tuple(row) for row in table.to_numpy()],
        dtype=[(c, "S9" if c == "field" else "f8") for c in table],
    ),
    "polars": lambda table, _: pl.from_dict(table.to_dict("list")),
    "polars, lazy": lambda table, _: pl.from_dict(table.to_dict("list")).lazy(),
    "pyarrow": lambda table, _: pa.table(table.to_dict("list")),
    "dask": lambda table, _: dask.dataframe.from_pandas(table, npartitions=2),
    "xarray": lambda table, _: table.reset_index(drop=True).rename_axis("sensor").to_xarray(),
    "xarray with places as coordinates": lambda table, _: (
        table.rename_axis("sensor").to_xarray().set_coords(["x", "y"])
    ),
    "xarray with named columns": lambda table, _: xr.DataArray(
        table.to_numpy(dtype=object), dims=("sensor", "column"), coords={"column": list(table)}
    ),
    "sensors": lambda table, _: Sensors(table),
}


@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_table(source, noisy, tmp_path):
    given = TABLE if noisy else TABLE.drop(columns="noise_std")
    before = given.copy()
    read = Sensors.read(SOURCES[source](given, tmp_path))
    pd.testing.assert_frame_equal(read.table, given, check_dtype=False)
    pd.testing.assert_frame_equal(given, before)
    assert len(read) == 3


@pytest.mark.parametrize("name", PDES)
def test_physical_names_and_aliases_mean_the_same_channel(name):
    pde = pde_by_name(name)
    names = [f.name for f in pde.fields]
    for fields in (names, ["coefficient", "solution"], [names[0], "solution"]):
        table = pd.DataFrame(
            {"field": fields, "x": [0.3, 0.6], "y": [0.4, 0.1], "value": [3.0, 2.0], "noise_std": 0}
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


@pytest.mark.parametrize("number", [Decimal("0.25"), Fraction(1, 4), np.float16(0.25), "2.5e-1"])
def test_every_kind_of_real_number_is_a_reading(number):
    table = {"field": ["source", "source"], "x": [0.5, number], "y": 0.5, "value": [1, number]}
    assert Sensors(table).table[["x", "value"]].to_numpy()[1].tolist() == [0.25, 0.25]


def test_an_array_of_readings_at_points_is_named_after_its_field():
    s = np.linspace(0, 1, 5)
    field = xr.DataArray(
        np.add.outer(s, 10 * s), {"y": s, "x": s}, ("y", "x"), "potential"
    ).assign_coords(sample=3)
    at = {c: xr.DataArray(values, dims="sensor") for c, values in {"x": s[:2], "y": s[2:4]}.items()}
    table = Sensors.read(field.sel(at)).table
    assert table.to_numpy()[:, :4].tolist() == [
        ["potential", 0.0, 0.5, 0.5],
        ["potential", 0.25, 0.75, 3.25],
    ]


def test_the_package_imports_no_library_of_tables_but_pandas():
    code = (
        "import sys, pdeinv; pdeinv.Sensors; pdeinv.reconstruct\n"
        "assert not {'polars', 'dask'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

"""Sensor tables: the same table from every source."""

import numpy as np
import pandas as pd
import pytest

from pdeinv import InputError, Sensors
from pdeinv.datasets import PDES

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

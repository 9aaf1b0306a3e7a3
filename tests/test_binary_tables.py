"""Sensor tables in Excel, Parquet and NetCDF files."""

import sys

import numpy as np
import pandas as pd
import pytest

from pdeinv import InputError, Sensors
from pdeinv.sensors import binary_files

TABLE = pd.DataFrame(
    {
        "field": ["potential", "source", "potential"],
        "x": [0.25, 0.5, 1.0],
        "y": [0.5, 0.75, 0.0],
        "value": [1.5e-3, -2.0, 0.0],
        "noise_std": [1e-4, 0.1, np.nan],
    }
)
WRITERS = {
    "s.xlsx": lambda path: TABLE.to_excel(path, index=False),
    "s.parquet": lambda path: TABLE.to_parquet(path),
    "s.nc": lambda path: TABLE.to_xarray().to_netcdf(path, engine="h5netcdf"),
}


@pytest.fixture(params=WRITERS)
def path(request, tmp_path):
    WRITERS[request.param](tmp_path / request.param)
    return tmp_path / request.param


def test_a_table_is_that_of_the_text_file(path, tmp_path):
    TABLE.to_csv(tmp_path / "s.csv", index=False)
    text, found = Sensors.read(tmp_path / "s.csv"), Sensors.read(path)
    pd.testing.assert_frame_equal(found.table[text.table.columns], text.table, check_dtype=False)
    assert found.origin == path.name and found.first_row == 1


def test_the_kind_follows_from_the_content(path, tmp_path):
    renamed = path.rename(tmp_path / "table.csv")
    assert len(Sensors.read(renamed)) == 3


def test_a_wrong_cell_is_named_by_its_row(tmp_path):
    TABLE.assign(x=[0.25, np.nan, 1.0]).to_excel(tmp_path / "s.xlsx", index=False)
    with pytest.raises(InputError, match=r"s\.xlsx.*row 2"):
        Sensors.read(tmp_path / "s.xlsx")


def test_the_command_line_reads_it(path, pdeinv, tmp_path):
    code, out, err = pdeinv(
        *("reconstruct", path, "--pde", "poisson", "--grid", "16", "--samples", "2"),
        *("--noise", "1e-4", "--out", tmp_path / "r.nc"),
    )
    assert code == 0 and "from 3 sensors" in out, err


def test_a_damaged_file_is_one_sentence(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=path.name.replace(".", r"\.")) as error:
        Sensors.read(path)
    assert "\n" not in str(error.value)
    rng = np.random.default_rng(0)
    for _ in range(40):
        at = rng.integers(8, len(content) - 20)
        path.write_bytes(content[:at] + rng.bytes(12) + content[at + 12 :])
        try:
            found = Sensors.read(path).table
        except InputError as error:
            assert "\n" not in str(error) and "; " in str(error)
        else:  # in a part that holds no cell, or another cell of the right kind
            assert list(found.columns[:4]) == ["field", "x", "y", "value"]


def test_a_file_that_does_not_fit_is_refused(path, monkeypatch):
    import pdeinv.memory as memory

    monkeypatch.setattr(memory, "available_memory", lambda: 100.0)
    with pytest.raises(InputError, match="memory"):
        Sensors.read(path)


@pytest.mark.parametrize(("name", "library"), [("s.xlsx", "openpyxl"), ("s.parquet", "pyarrow")])
def test_a_missing_library_is_named(name, library, tmp_path, monkeypatch):
    WRITERS[name](tmp_path / name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=f"{library} must be installed .* pip install {library}"):
        Sensors.read(tmp_path / name)


def test_an_old_excel_file_is_refused(tmp_path):
    (tmp_path / "s.xls").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    with pytest.raises(InputError, match=r"of 2007 or later, got an older one; save it as \.xlsx"):
        Sensors.read(tmp_path / "s.xls")
    assert binary_files.read_binary(tmp_path / "none.csv") is None

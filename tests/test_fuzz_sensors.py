"""Generated tables of sensors, mostly valid: a result that is finite and holds what was written, or
a refusal."""

import datetime
import io
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st
from time_limit import time_limit

from pdeinv import InputError, InputWarning, MisfitWarning, NumericalError, Sensors, reconstruct
from pdeinv.datasets import PDES

COLUMNS = ("field", "x", "y", "value", "noise_std")
SECONDS = 20


def outcome(source, pde, noise, through_the_door):
    """The checked table, after all that it goes through; None where it is refused."""
    with time_limit(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", InputWarning)
        warnings.simplefilter("ignore", MisfitWarning)
        try:
            sensors = Sensors.read(source)
            observation = sensors.observation(pde, pde.grid(16), noise=noise)
            if through_the_door and pde.linear:
                result = reconstruct(sensors, pde, noise=noise, grid=16, n_samples=2)
                assert all(np.isfinite(v).all() for n, v in result.items() if n != "sensor_field")
        except (InputError, NumericalError) as refusal:
            assert len(str(refusal)) < 400 and str(refusal).isprintable()
            return None
    assert observation.values.isfinite().all() and observation.points.isfinite().all()
    assert observation.noise_std.isfinite().all() and (observation.noise_std >= 0).all()
    return sensors.table


def assert_holds(table, rows):
    """The table holds the rows, but for the cells that are not known (...)."""
    assert len(table) == len(rows)
    for read, row in zip(table[[*COLUMNS]].itertuples(index=False), rows, strict=True):
        for found, right in zip(read, row, strict=True):
            assert right is ... or found == right or (right is None and np.isnan(found))


# Valid tables

rarely = st.sampled_from([False] * 9 + [True])
places = st.integers(1, 63).map(lambda i: i / 64)
values = st.integers(-300, 300).map(lambda i: i / 100)
positive = st.integers(1, 99).map(lambda i: i / 64)
levels = st.sampled_from(
    [0, 0.1, "5%", "coefficient=0.1", {"solution": "5%"}, ["1%", "solution=0.2"]]
    + [-1, np.nan, True, "", "x=1", "1e400", [], {}, [None], object(), {1: 2}, 1j, "5%5%"]
)  # fmt: skip
noises = st.one_of(st.none(), st.none(), st.none(), levels)


@st.composite
def tables(draw):
    """A PDE and readings of it: all of them with noise, some, or none."""
    pde = PDES[draw(st.sampled_from(sorted(PDES)))]()
    fields = st.sampled_from([*(f.name for f in pde.fields), "coefficient", "solution"])
    stated = draw(st.sampled_from([positive, positive, st.none() | positive, st.none()]))
    row = st.tuples(fields, places, places, values, stated)
    return pde, [list(r) for r in draw(st.lists(row, min_size=1, max_size=9))]


def is_stated(rows):
    return all(row[-1] is not None for row in rows)


# Text

CELLS = [
    *("", " ", "nan", "NA", "inf", "-inf", "1e400", "1e-400", "TRUE", "yes", "1+2j", "2026-01-01"),
    *("12:00", "#", "#1", '"', '""', "'", ",", ";", "1,5", "1.234,5", "1,234", "\N{MINUS SIGN}1"),
    *("0x1", "1_0", "9.96920996838687e36", "-9999", "1e20", "1e300", "5%", "∞", "\t", "½", "1e"),
    *("-0", "+.5", "5.", "1d3", "\N{NO-BREAK SPACE}", "é", "a,b", 'a"b', "sep=;", "0.5 0.5", "-"),
]
NAMES = [
    *("X", "Value", "noise", "noise std", "sd", "t", "", "x", "field", "value [m]", "±", "weight"),
    *("#", "#field", "Unnamed: 0", "a" * 300, "é", '"x', "NaN", "std" * 99),
]
LINES = [
    *("", "# note", "#", "#potential,.1,.2,3,4", "sep=;", "a", ",,,,", ";;;;", '"', "\ufeff"),
    *("field,x,y,value,noise_std", "# field;x;y;value", "solution,.5,.5,1,1", "\f", "#1,2"),
]


@st.composite
def texts(draw):
    """A PDE, the bytes of a table, and its rows where these are known."""
    pde, rows = draw(tables())
    # An empty cell between blanks cannot be seen
    forms = [",.", ";,", ";.", "\t,", "\t.", "|.", *([" ."] if is_stated(rows) else [])]
    separator, decimal = draw(st.sampled_from(forms))
    order = draw(st.permutations(COLUMNS))
    written = [list(order)]
    for row in rows:
        cells = ["" if cell is None else str(cell).replace(".", decimal) for cell in row]
        written.append([cells[COLUMNS.index(column)] for column in order])
    known = True
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):  # mutations of cells
        line = draw(st.sampled_from([*range(1, len(rows) + 1)] * 3 + [0]))
        i = draw(st.integers(0, 4))
        written[line][i] = draw(st.sampled_from(CELLS if line else NAMES))
        known &= line > 0 and not set(written[line][i]) & set(',;|"#\t ') and written[line][i] != ""
        if line:
            rows[line - 1][COLUMNS.index(order[i])] = ...
    lines = [separator.join(cells) for cells in written]
    first = draw(st.sampled_from(["", "", "", "#", "sep=" + separator + "\n"]))
    lines[0] = first + lines[0]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):  # mutations of lines
        at = draw(st.integers(0, len(lines)))
        change = draw(st.sampled_from(["empty", "insert", "cut", "repeat", "hide"]))
        if change == "empty":
            lines.insert(at, draw(st.sampled_from(["", "  ", "# note", " # 1,2", "#"])))
            continue
        if change == "insert":
            lines.insert(at, draw(st.sampled_from(LINES)))
        elif at < len(lines):
            cut = lines[at][: draw(st.integers(0, 30))]
            new = {"cut": [cut], "repeat": [lines[at]] * 2, "hide": ["#" + lines[at]]}[change]
            lines[at : at + 1] = new
        known = False
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    content = (end.join(lines) + draw(st.sampled_from(["", end]))).encode(
        draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16"])), errors="replace"
    )
    if draw(rarely):  # a damaged byte
        at = draw(st.integers(0, len(content) - 1))
        content = content[:at] + draw(st.binary(max_size=2)) + content[at + 1 :]
        known = False
    return pde, content, rows if known else None


@given(texts(), noises, rarely)
def test_any_text_gives_what_it_holds_or_a_refusal(text, noise, at_the_door):
    pde, content, rows = text
    table = outcome(io.BytesIO(content), pde, noise, at_the_door)
    compare(lambda: Sensors.read(io.BytesIO(content)), table, rows, noise)


def compare(read, table, rows, noise):
    """Compare a table, None where it was refused, with the rows that it was made of."""
    if rows is None:
        return
    valid = not any(... in row for row in rows)
    if valid or table is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            assert_holds(read().table, rows)
    if valid and noise is None and all(row[-1] for row in rows):
        assert table is not None


# Tables in Python

OBJECTS = [
    *(None, np.nan, np.inf, -np.inf, True, False, np.True_, 1j, 1 + 0j, np.complex64(1), "", "nan"),
    *("x", "TRUE", "0.5", b"0.5", b"solution", [], [0.5], {}, {"a": 1}, (1, 2), object(), int),
    *(pd.NA, pd.NaT, pd.Timestamp("2026-01-01"), pd.Timedelta(1, "s"), np.datetime64("2026-01-01")),
    *(np.timedelta64(1, "s"), np.timedelta64("NaT"), datetime.date(2026, 1, 1), datetime.time(1)),
    *(Decimal("0.5"), Decimal("NaN"), Decimal("sNaN"), Decimal("1e999"), Fraction(1, 2), 10**400),
    *(0, 1, -1, 2, 1e300, -1e300, 1e-300, 1e20, -9999, 9.969209968386869e36, 0.5, np.float16(0.5)),
    *(np.float32(0.25), np.int8(1), np.uint64(1), np.longdouble("1e4000"), np.array(0.5)),
    *(np.array([0.5]), np.ma.masked, range(2), "coefficient", "é", "\0", float("nan"), 1e-320),
]
FORMS = {
    "dict": dict,
    "dict of arrays": lambda c: {name: np.array(cells) for name, cells in c.items()},
    "records": lambda c: [dict(zip(c, row, strict=True)) for row in zip(*c.values(), strict=True)],
    "pandas": pd.DataFrame,
    "pandas of objects": lambda c: pd.DataFrame(c, dtype=object),
    "pandas of nullable types": lambda c: pd.DataFrame(c).convert_dtypes(),
    "pandas of categories": lambda c: pd.DataFrame(c).astype("category"),
    "pandas with an index": lambda c: pd.DataFrame(c).set_index(next(iter(c))),
    "structured array": lambda c: pd.DataFrame(c).to_records(index=False),
    "polars": lambda c: pl.DataFrame(c, strict=False),
    "polars, lazy": lambda c: pl.DataFrame(c, strict=False).lazy(),
    "pyarrow": pa.table,
    "xarray": lambda c: xr.Dataset({name: ("sensor", cells) for name, cells in c.items()}),
    "matrix of xarray": lambda c: xr.DataArray(
        pd.DataFrame(c).to_numpy(dtype=object), dims=("i", "c"), coords={"c": list(c)}
    ),
}


@st.composite
def columns(draw):
    """A PDE, the columns of a table, and its rows where these are known."""
    pde, rows = draw(tables())
    found = {c: [row[i] for row in rows] for i, c in enumerate(COLUMNS)}
    known = True
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        column = draw(st.sampled_from(COLUMNS))
        change = draw(st.sampled_from(["cell"] * 5 + ["column", "name", "drop", "further", "cut"]))
        known &= change in ("cell", "column", "further")
        if not found.get(column):
            continue
        i = COLUMNS.index(column)
        if change == "cell":
            j = draw(st.integers(0, len(found[column]) - 1))
            found[column][j], rows[j][i] = draw(st.sampled_from(OBJECTS)), ...
        elif change == "column":
            found[column] = [draw(st.sampled_from(OBJECTS))] * len(rows)
            rows = [[*row[:i], ..., *row[i + 1 :]] for row in rows]
        elif change == "name":
            found[draw(st.sampled_from([*NAMES, None, 1, ("x", 1)]))] = found.pop(column)
        elif change == "drop":
            del found[column]
        elif change == "further":
            name = draw(st.sampled_from(NAMES))
            known &= name not in COLUMNS
            found[name] = [draw(st.sampled_from([0.5, 7, None, "a", True]))] * len(rows)
        else:
            found[column] = found[column][:-1]
    return pde, found, rows if known else None


@given(columns(), st.sampled_from(sorted(FORMS)), noises, rarely)
def test_any_table_in_python_gives_what_it_holds_or_a_refusal(made, form, noise, at_the_door):
    pde, found, rows = made
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = FORMS[form](found)
    except (Exception, pl.exceptions.PanicException):  # the other library refuses these columns
        assume(False)
    table = outcome(source, pde, noise, at_the_door)
    compare(lambda: Sensors.read(source), table, rows, noise)


@given(
    st.one_of(
        st.sampled_from(OBJECTS), st.lists(st.sampled_from(OBJECTS), max_size=3),
        st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from(OBJECTS)),
        st.binary(max_size=9).map(io.BytesIO), st.text(max_size=9).map(io.StringIO),
        st.text(max_size=30),
    )
)  # fmt: skip
def test_what_is_no_table_is_refused(source):
    assume(not isinstance(source, str) or "/" not in source)
    assert outcome(source, PDES["poisson"](), None, False) is None

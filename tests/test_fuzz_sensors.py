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
import torch
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st
from tally import tally
from time_limit import time_limit

from pdeinv import InputError, InputWarning, MisfitWarning, NumericalError, Sensors, reconstruct
from pdeinv.datasets import PDES, Experiments, Helmholtz, Problem
from pdeinv.sensors.columns import COLUMNS as EVERY_COLUMN
from pdeinv.sensors.columns import NUMERIC, OPTIONAL, numbers
from pdeinv.sensors.instruments import instruments_of
from pdeinv.sensors.kinds import KINDS

COLUMNS = ("field", "x", "y", "value", "noise_std")
NOISE = COLUMNS.index("noise_std")
SECONDS = 20
SOME_LACK = ("log_evidence", "r_hat", "effective_sample_size")
"""Numbers that a replicate may lack, which are nan there, as those of censored readings."""


def outcome(source, pde, noise, instruments, through_the_door):
    """The checked table, after all that it goes through; None where it is refused."""
    with time_limit(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", InputWarning)
        warnings.simplefilter("ignore", MisfitWarning)
        try:
            sensors = Sensors.read(source)
            stated = instruments_of(instruments)
            read = pde.reading(sensors.table.field, [t for t in sensors.times(pde) if t == t])
            observations = [
                one.observation(read, read.grid(16), noise=noise, instruments=stated)
                for one in sensors.by_replicate().values() or [sensors]
            ]
            if through_the_door and pde.linear:
                problem = Problem(pde, instruments=stated)
                result = reconstruct(sensors, problem=problem, noise=noise, grid=16, n_samples=2)
                lacking = SOME_LACK if "replicate" in result.dims else ()
                names = [n for n in result if not n.startswith("sensor_") and n not in lacking]
                fields = [result[n] for n in names]
                assert all(np.isfinite(v).all() for v in fields if v.dtype.kind == "f")
        except (InputError, NumericalError) as refusal:
            assert len(str(refusal)) < 400 and str(refusal).isprintable()
            tally("tables of sensors", refused=True)
            return None
    for observation in observations:
        state = torch.ones(1, len(read.fields), *observation.grid.shape, dtype=torch.float64)
        assert observation(state).isfinite().all()
        assert observation.values.isfinite().all() and observation.points.isfinite().all()
        assert observation.noise_std.isfinite().all() and (observation.noise_std >= 0).all()
        assert observation.noise_covariance().isfinite().all()
    tally("tables of sensors", refused=False)
    return sensors.table


def assert_holds(table, names, rows):
    """The table holds the rows, but for the cells that are not known (...)."""
    assert len(table) == len(rows)
    for i, name in enumerate(names):
        read = numbers(table[name]) if name in NUMERIC else table[name]
        for found, right in zip(read, (row[i] for row in rows), strict=True):
            if right is None:  # a kind follows from the other columns
                assert found in KINDS if name == "kind" else found == "" or np.isnan(found)
            else:
                assert right is ... or found == right


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
probes = st.sampled_from([{}, {}, {"probe-A": 0.1, "7": 0.0}, {"probe-A": 0.1}, {"other": 1e-3}])
physics = st.sampled_from(
    [*(PDES[name]() for name in sorted(PDES)), Experiments((Helmholtz(k=1.0), Helmholtz(k=3.0)))]
)
GEOMETRY = ("radius", "x2", "y2", "kind")
GROUPS = [GEOMETRY, *((name,) for name in OPTIONAL if name not in GEOMETRY)]
"""Optional columns that go together."""


@st.composite
def footprints(draw, x, y):
    """A radius, an end and a kind that (x, y) can have; the kind may follow from the others."""
    kind = draw(st.sampled_from(KINDS))
    stated = draw(st.sampled_from([kind, None])) if kind != "difference" else kind
    if kind == "disc":
        return min(x, 1 - x, y, 1 - y) * draw(st.sampled_from([1, 0.5, 1 / 64])), None, None, stated
    if kind == "point":
        return None, None, None, stated
    end = draw(st.tuples(places, places).filter(lambda end: end != (x, y)))
    return None, *end, stated


@st.composite
def further(draw, pde, row, every_row):
    """The optional cells of a row by their columns."""
    field, x, y = row[:3]
    constant = field in ("coefficient", pde.coefficient_field.name)
    at_end = constant or field in ("solution", pde.solution_field.name)
    found = dict(zip(GEOMETRY, draw(footprints(x, y)), strict=True))
    times = [None, 0.0, 0.25, 0.5, 1.0]
    found["time"] = None if at_end and pde.end_time else draw(st.sampled_from(times))
    numbered = "" if constant or not pde.experiments else draw(st.sampled_from(["1", "2"]))
    found["experiment"] = numbered or None
    found["censored"] = draw(st.sampled_from([None, None, "left", "right"]))
    found["instrument"] = draw(st.sampled_from([None, "probe-A", "7"]))
    found["replicate"] = draw(every_row)
    return found


@st.composite
def tables(draw):
    """A PDE, names of columns and readings: all of them with noise, some, or none."""
    pde = draw(physics)
    known = [f.name for f in (*pde.fields, *pde.derived)]
    fields = st.sampled_from([*known, "coefficient", "solution"])
    stated = draw(st.sampled_from([positive, positive, st.none() | positive, st.none()]))
    row = st.tuples(fields, places, places, values, stated)
    rows = [list(r) for r in draw(st.lists(row, min_size=1, max_size=9))]
    groups = draw(st.lists(st.sampled_from(GROUPS), max_size=3, unique=True))
    if pde.experiments and ("experiment",) not in groups:
        groups.append(("experiment",))
    names = [name for group in groups for name in group]
    days = st.sampled_from(["2026-01-01", "run-2"])
    every_row = draw(st.sampled_from([days, days, days, st.none(), st.none() | days]))
    for one in rows:
        cells = draw(further(pde, one, every_row))
        one += [cells[name] for name in names]
    return pde, (*COLUMNS, *names), rows


def is_full(rows):
    return all(cell is not None for row in rows for cell in row)


def is_allowed(names, rows):
    """Whether no reading is exact, and each names its replicate, or none does."""
    i = names.index("replicate") if "replicate" in names else 0
    return all(row[NOISE] for row in rows) and len({row[i] is None for row in rows}) == 1


# Text

CELLS = [
    *("", " ", "nan", "NA", "inf", "-inf", "1e400", "1e-400", "TRUE", "yes", "1+2j", "2026-01-01"),
    *("12:00", "#", "#1", '"', '""', "'", ",", ";", "1,5", "1.234,5", "1,234", "\N{MINUS SIGN}1"),
    *("0x1", "1_0", "9.96920996838687e36", "-9999", "1e20", "1e300", "5%", "∞", "\t", "½", "1e"),
    *("-0", "+.5", "5.", "1d3", "\N{NO-BREAK SPACE}", "é", "a,b", 'a"b', "sep=;", "0.5 0.5", "-"),
]
NAMES = [
    *("x2", "Y2", "radius", "kind", "type", "time", "censored", "run", "instrument", "experiment"),
    *("X", "Value", "noise", "noise std", "sd", "t", "", "x", "field", "value [m]", "±", "weight"),
    *("#", "#field", "Unnamed: 0", "a" * 300, "é", '"x', "NaN", "std" * 99),
]
LINES = [
    *("", "# note", "#", "#potential,.1,.2,3,4", "sep=;", "a", ",,,,", ";;;;", '"', "\ufeff"),
    *("field,x,y,value,noise_std", "# field;x;y;value", "solution,.5,.5,1,1", "\f", "#1,2"),
]


@st.composite
def texts(draw):
    """A PDE, its columns, the bytes of a table, and its rows where these are known."""
    pde, names, rows = draw(tables())
    # An empty cell between blanks cannot be seen
    forms = [",.", ";,", ";.", "\t,", "\t.", "|.", *([" ."] if is_full(rows) else [])]
    separator, decimal = draw(st.sampled_from(forms))
    order = draw(st.permutations(names))
    written = [list(order)]
    for row in rows:
        cells = ["" if cell is None else str(cell).replace(".", decimal) for cell in row]
        written.append([cells[names.index(column)] for column in order])
    known = True
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):  # mutations of cells
        line = draw(st.sampled_from([*range(1, len(rows) + 1)] * 3 + [0]))
        i = draw(st.integers(0, len(names) - 1))
        written[line][i] = draw(st.sampled_from(CELLS if line else NAMES))
        known &= line > 0 and not set(written[line][i]) & set(',;|"#\t ') and written[line][i] != ""
        if line:
            rows[line - 1][names.index(order[i])] = ...
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
    return pde, names, content, rows if known else None


@given(texts(), noises, probes, rarely)
def test_any_text_gives_what_it_holds_or_a_refusal(text, noise, instruments, at_the_door):
    pde, names, content, rows = text
    table = outcome(io.BytesIO(content), pde, noise, instruments, at_the_door)
    compare(lambda: Sensors.read(io.BytesIO(content)), table, names, rows, noise, instruments)


def compare(read, table, names, rows, noise, instruments):
    """Compare a table, None where it was refused, with the rows that it was made of."""
    if rows is None:
        return
    valid = not any(... in row for row in rows)
    if valid or table is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            assert_holds(read().table, names, rows)
    if valid and noise is None and not instruments and is_allowed(names, rows):
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
    *(np.array([0.5]), np.ma.masked, range(2), "coefficient", "é", "\0", "\udcff"),
    *(float("nan"), 1e-320),
]


def _plain(columns):
    """Columns without numpy's numbers: polars takes the type of a whole column from its first."""
    return {
        name: [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]
        for name, cells in columns.items()
    }


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
    "polars": lambda c: pl.DataFrame(_plain(c), strict=False),
    "polars, lazy": lambda c: pl.DataFrame(_plain(c), strict=False).lazy(),
    "pyarrow": pa.table,
    "xarray": lambda c: xr.Dataset({name: ("sensor", cells) for name, cells in c.items()}),
    "matrix of xarray": lambda c: xr.DataArray(
        pd.DataFrame(c).to_numpy(dtype=object), dims=("i", "c"), coords={"c": list(c)}
    ),
}


@st.composite
def columns(draw):
    """A PDE, the columns of a table, and its rows where these are known."""
    pde, names, rows = draw(tables())
    found = {c: [row[i] for row in rows] for i, c in enumerate(names)}
    known = True
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        column = draw(st.sampled_from(names))
        change = draw(st.sampled_from(["cell"] * 5 + ["column", "name", "drop", "further", "cut"]))
        known &= change in ("cell", "column", "further")
        if not found.get(column):
            continue
        i = names.index(column)
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
            known &= name not in (*EVERY_COLUMN, "t", "type")  # and what may stand for them
            found[name] = [draw(st.sampled_from([0.5, 7, None, "a", True]))] * len(rows)
        else:
            found[column] = found[column][:-1]
    return pde, names, found, rows if known else None


@given(columns(), st.sampled_from(sorted(FORMS)), noises, probes, rarely)
def test_any_table_in_python_gives_what_it_holds_or_a_refusal(
    made, form, noise, instruments, at_the_door
):
    pde, names, found, rows = made
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = FORMS[form](found)
    except (Exception, pl.exceptions.PanicException):  # the other library refuses these columns
        assume(False)
    table = outcome(source, pde, noise, instruments, at_the_door)
    compare(lambda: Sensors.read(source), table, names, rows, noise, instruments)


@given(
    st.one_of(
        st.sampled_from(OBJECTS), st.lists(st.sampled_from(OBJECTS), max_size=3),
        st.dictionaries(st.sampled_from(EVERY_COLUMN), st.sampled_from(OBJECTS)),
        st.binary(max_size=9).map(io.BytesIO), st.text(max_size=9).map(io.StringIO),
        st.text(max_size=30),
    )
)  # fmt: skip
def test_what_is_no_table_is_refused(source):
    assume(not isinstance(source, str) or "/" not in source)
    assert outcome(source, PDES["poisson"](), None, {}, False) is None

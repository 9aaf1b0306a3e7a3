"""The page on problem files has every table and key that there is, and no other; its blocks run."""

import dataclasses
import re

import pytest
from helpers import ROOT
from readme_blocks import blocks

from pdeinv import Field, Problem
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDES
from pdeinv.problems import tables
from pdeinv.problems.tables import OWN_TABLES
from pdeinv.solvers import SOLVERS
from pdeinv.solvers.supported_readings import BIASES

PAGE = "docs/problem-files.md"
TEXT = (ROOT / PAGE).read_text()
SECTIONS = dict(re.findall(r"^### `\[+(\w+)\]+`\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE))


def rows(text, heading):
    """Return the cells of the rows of a table, by the names in the first cell."""
    body = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)*)", text, re.MULTILINE)[1]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in body.splitlines()]
    return {name: cells[1:] for cells in cells for name in names(cells[0])}


def names(text):
    return re.findall(r"`([\w-]+)`", text)


def test_every_table_has_a_section():
    assert set(SECTIONS) == set(tables.ProblemTables.model_fields) - {"format"}


@pytest.mark.parametrize("table", SECTIONS)
def test_a_section_has_the_keys_of_its_table(table):
    model = {
        "domain": tables.DomainTable,
        "physics": tables.PhysicsTable,
        "boundary": tables.BoundaryTable,
        "well": tables.WellTable,
        "fixed": tables.FixedTable,
        "leakage": tables.LeakageTable,
        "barrier": tables.BarrierTable,
        "prior": tables.PriorTable,
        "grid": tables.GridTable,
        "experiment": tables.ExperimentTable,
        "instrument": tables.InstrumentTable,
    }[table]
    assert set(rows(SECTIONS[table], "key")) == set(model.model_fields)


def test_the_parameters_of_all_physics_are_listed():
    listed = {name: set(names(cells[0])) for name, cells in rows(TEXT, "physics").items()}
    assert listed == {
        name: set(kind.parameter_names()) - OWN_TABLES.keys() for name, kind in PDES.items()
    }


def test_the_keys_and_defaults_of_a_field_are_listed():
    listed = rows(TEXT, "key of a field")
    fields = {f.name: f.default for f in dataclasses.fields(Field)}
    assert set(listed) == set(fields)
    for name in ("units", "interpolation_order", "kind"):
        assert listed[name][-1].strip("`").strip('"') == str(fields[name])


def test_the_numbers_of_all_priors_are_listed():
    listed = {
        name: tuple(set(names(cell)) for cell in cells)
        for name, cells in rows(TEXT, "kind").items()
    }
    known = {name: kind for name, kind in CoefficientPrior.kinds.items() if kind.storable}
    assert listed == {
        name: tuple(
            {f.name for f in dataclasses.fields(kind) if (f.default is None) == inferred}
            for inferred in (True, False)
        )
        for name, kind in known.items()
    }


def test_the_page_runs(tmp_path, monkeypatch, pdeinv):
    monkeypatch.chdir(tmp_path)
    first = blocks("sh", PAGE)[0].splitlines()
    for line in first[:2]:
        code, out, _ = pdeinv(*line.split()[1:])
        assert code == 0
    assert out.splitlines()[-1] == first[2]
    (block,) = blocks("python", PAGE)
    scope = {}
    exec(block.replace("problem=problem)", "problem=problem, grid=16, n_samples=2)"), scope)
    assert {"head_mean", "hydraulic_conductivity_std"} <= {*scope["result"]}
    whole = next(text for text in blocks("toml", PAGE) if text.startswith("format"))
    (tmp_path / "tests.toml").write_text(whole)
    rest, pumping = Problem.load("tests.toml").physics.physics
    assert not rest.wells and len(pumping.wells) == 1
    assert rest.boundary.right != pumping.boundary.right
    assert rest.boundary.left == pumping.boundary.left


def test_the_solvers_that_refuse_biases_are_stated():
    names = sorted(n for n, kind in SOLVERS.items() if BIASES not in kind.takes)
    refusing = " and ".join(f"`{name}`" for name in names)
    assert f"{refusing} refuse readings with a bias" in " ".join(TEXT.split())


def test_the_default_grid_is_stated():
    assert f"there are {Problem.grid} nodes on the shorter side" in TEXT

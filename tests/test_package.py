"""The package from outside: what `import pdeinv` gives, in a process that has imported nothing
else."""

import subprocess
import sys

import pytest
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

EXPRESSIONS = [
    "pdeinv.datasets.Helmholtz(k=2.0).k == 2.0",
    "pdeinv.layouts.regular(3).shape == (9, 2) and pdeinv.__version__.count('.') == 2",
    "callable(pdeinv.reconstruct) and pdeinv.datasets.open is pdeinv.datasets.open_dataset",
    "all(hasattr(pdeinv, name) for name in dir(pdeinv))",
]
# A fresh import for each; what they depend on is imported once
CODE = """
import sys
for expression in sys.argv[1:]:
    for name in [name for name in sys.modules if name.split(".")[0] == "pdeinv"]:
        del sys.modules[name]
    import pdeinv
    assert eval(expression), expression
"""


def test_a_fresh_import_reaches_everything():
    subprocess.run([sys.executable, "-c", CODE, *EXPRESSIONS], check=True)


def test_what_takes_long_to_import_waits_until_it_is_used():
    late = "matplotlib scipy.stats scipy.spatial scipy.sparse scipy.fft scipy.interpolate sklearn"
    code = (
        "import sys, pdeinv; pdeinv.reconstruct, pdeinv.design, pdeinv.calibrate; "
        f"assert {set(late.split())} & set(sys.modules) == set()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_checkout_has_three_more_subpackages_and_nothing_else():
    # Python starts in the checkout and finds the package there first
    code = """
import importlib.util, pathlib, pdeinv
for name in ("benchmarks", "datasets", "solvers"):
    found = pathlib.Path(importlib.util.find_spec(f"pdeinv.{name}").origin)
    assert found.parent == pathlib.Path(name).resolve(), found
for name in ("tests", "docs", "pdeinv", "datasets.nothing"):
    assert importlib.util.find_spec(f"pdeinv.{name}") is None, name
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_an_unknown_name_is_an_attribute_error():
    import pdeinv

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pdeinv.nothing  # noqa: B018


def test_the_oldest_versions_are_those_that_the_package_allows():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    oldest = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    for requirement in map(Requirement, stated):
        if requirement.marker is None:
            version = oldest.pop(requirement.name.lower())
            assert requirement.specifier.contains(version), (requirement.name, version)
            # What the resolver cannot put together is newer than the bound; the others are at it
            (bound,) = requirement.specifier
            exact = SpecifierSet(f"=={bound.version}").contains(version)
            assert exact or requirement.name in {"torch", "pyarrow", "flopy"}, requirement
    assert not oldest


@pytest.fixture(scope="module")
def setup():
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_data_are_no_larger_than_an_index_takes():
    """`test_problem_examples.py` has the test that all of them are in the wheel."""
    held = [file for file in (ROOT / "pdeinv" / "data").rglob("*") if file.is_file()]
    assert sum(file.suffix == ".safetensors" for file in held) >= 20
    assert sum(file.stat().st_size for file in held) < 90e6  # of 100 MB


def test_what_an_index_shows_is_stated(setup):
    project = setup["project"]
    assert project["license"] == "MIT" and (ROOT / project["readme"]).is_file()
    assert all((ROOT / file).is_file() for file in project["license-files"])
    assert "Typing :: Typed" in project["classifiers"] and (ROOT / "pdeinv/py.typed").is_file()
    for file in ("CITATION.cff", "CHANGELOG.md"):
        assert project["version"] in (ROOT / file).read_text()
    light = set(project["optional-dependencies"]) - {"test", "docs", "distributed", "export"}
    tested = project["optional-dependencies"]["test"]
    for extra in light:
        assert set(project["optional-dependencies"][extra]) <= set(tested), extra

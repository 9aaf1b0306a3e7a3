"""The examples in the package's docstrings run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest
from helpers import ROOT

FOLDERS = {"pdeinv": "", "datasets": "pdeinv.", "solvers": "pdeinv.", "benchmarks": "pdeinv."}


def modules():
    """Names of the modules with an example, as they are imported."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if ">>>" in path.read_text():
                name = package + ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield name.removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules()))
def test_the_examples_of_a_module_run(name):
    module = import_module(name)
    assert Path(module.__file__).is_relative_to(ROOT)
    found = doctest.DocTestFinder().find(module)
    assert sum(len(item.examples) for item in found), "no example was found"
    assert doctest.testmod(module).failed == 0

"""Every public name has a docstring: a summary, and each argument of a function or a class."""

import dataclasses
import inspect
import re
from importlib import import_module

import pytest
from helpers import ROOT

MODULES = [
    re.search(r"public-names:: ([\w.]+)", page.read_text())[1]
    for page in sorted((ROOT / "docs" / "reference").glob("*.rst"))
]


def public_names(module):
    """The names that a module exports, without modules."""
    found = import_module(module)
    names = getattr(found, "__all__", None) or [n for n in vars(found) if not n.startswith("_")]
    return {n: v for n in sorted(names) if not inspect.ismodule(v := getattr(found, n))}


NAMES = {f"{module}.{name}": v for module in MODULES for name, v in public_names(module).items()}
DOCUMENTED = {name: v for name, v in NAMES.items() if inspect.isroutine(v) or inspect.isclass(v)}


def arguments_of(value):
    """The names of the arguments of a function, or of what makes an object of a class."""
    if inspect.isclass(value) and dataclasses.is_dataclass(value):
        return [f.name for f in dataclasses.fields(value) if f.init]
    if inspect.isclass(value) and value.__init__ is object.__init__:
        return []
    if inspect.isclass(value) and (issubclass(value, Exception) or is_protocol(value)):
        return []
    names = list(inspect.signature(value).parameters)
    return [name for name in names if name not in ("self", "cls")]


def is_protocol(value):
    return getattr(value, "_is_protocol", False)


def documented(value):
    """The names in the section on arguments of a docstring, of those of its bases too."""
    owners = value.__mro__ if inspect.isclass(value) else (value,)
    text = "\n".join(inspect.getdoc(one) or "" for one in owners)
    sections = re.findall(r"^(?:Arguments|Attributes):\n((?:(?: .*)?\n?)*)", text, re.MULTILINE)
    entries = re.findall(r"^ {4}([\w*][\w*, ]*?)(?: and (\w+))?:(?: |$)", "\n".join(sections), re.M)
    return {name.strip("* ") for entry in entries for part in entry for name in part.split(",")}


def test_the_reference_has_the_modules():
    assert len(MODULES) >= 9 and len(DOCUMENTED) > 100


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_name_has_a_summary(name):
    first = (inspect.getdoc(DOCUMENTED[name]) or "").strip().split("\n\n")[0]
    assert re.fullmatch(r"\S+ \S.*[.:]", " ".join(first.split())), first


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_argument_is_documented(name):
    value = DOCUMENTED[name]
    assert not [a for a in arguments_of(value) if a not in documented(value)]

"""The package's source keeps the house's rules: types in signatures, short modules and functions,
and no PDE's name outside the files that declare it."""

import ast
import re
from functools import cache

import pytest
from helpers import ROOT

from pdeinv.datasets import PDES

FILES = [
    str(path.relative_to(ROOT))
    for folder in ("pdeinv", "datasets", "solvers", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
LONGEST_MODULE, LONGEST_FUNCTION = 300, 60
PUBLISHED = "solvers/diffusion/published.py"
"""The published constants of each benchmark PDE."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
each_file = pytest.mark.parametrize("file", FILES)


@cache
def tree_of(file):
    return ast.parse((ROOT / file).read_text(), file)


def public_functions(node):
    """Yield the functions and methods whose names, and those of their classes, are public."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            if not child.name.startswith("_") or child.name.endswith("__"):
                yield child
        elif isinstance(child, ast.ClassDef):
            if not child.name.startswith("_"):
                yield from public_functions(child)
        elif isinstance(child, ast.stmt):  # under an if or a try
            yield from public_functions(child)


def missing_types(function):
    """Names of the arguments, and `return`, that have no annotation."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [a for a in (arguments.vararg, arguments.kwarg) if a]
    missing = [a.arg for a in named if a.annotation is None and a.arg not in ("self", "cls")]
    if function.returns is None and function.name != "__init__":
        missing.append("return")
    return missing


@each_file
def test_public_signatures_are_annotated(file):
    assert not [
        f"{file}:{f.lineno} {f.name}: {', '.join(missing)}"
        for f in public_functions(tree_of(file))
        if (missing := missing_types(f))
    ]


@each_file
def test_modules_and_functions_are_short(file):
    lines = len((ROOT / file).read_text().splitlines())
    assert lines <= LONGEST_MODULE
    assert not [
        f"{file}:{f.lineno} {f.name}: {length} lines"
        for f in ast.walk(tree_of(file))
        if isinstance(f, FUNCTIONS) and (length := f.end_lineno - f.lineno + 1) > LONGEST_FUNCTION
    ]


@pytest.mark.parametrize("file", [f for f in FILES if f != "pdeinv/seeds.py"])
def test_random_numbers_come_from_a_reserved_range(file):
    given = {"seed", "manual_seed", "set_state", "Generator"}
    assert not [
        f"{file}:{call.lineno} {call.func.attr}"
        for call in ast.walk(tree_of(file))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in given
        and ast.unparse(call.func.value) in {"torch", "torch.random", "torch.Generator()"}
    ]


# Names of PDEs


def words(text):
    """The words of an identifier or a string, in lower case, with spaces between."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)  # camel case
    return " ".join(re.findall(r"[a-z]+", parts.lower()))


NAMES = {words(name) for kind in PDES.values() for name in (kind.name, kind.__name__)}


def named_pde(text):
    """The PDE that a text names, as a whole word; None where there is no such word."""
    padded = f" {words(text)} "
    return next((name for name in NAMES if f" {name} " in padded), None)


def docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
            # An attribute's docstring is a bare string too
            yield from (
                id(s.value)
                for s in node.body
                if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)
            )


def texts(tree):
    """Yield (line, text) of every identifier and every string but the docstrings."""
    skipped = set(docstrings(tree))
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in skipped:
                yield line, node.value
            continue
        for _, value in ast.iter_fields(node):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, str):
                    yield line, item


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.startswith(("pdeinv/", "solvers/")) and f != PUBLISHED]
)
def test_no_pde_is_named(file):
    assert not [
        f"{file}:{line} {text!r} names {name}"
        for line, text in texts(tree_of(file))
        if (name := named_pde(text))
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("darcy", "darcy"),
        ("_DarcySolve", "darcy"),
        ("a_poisson_weight", "poisson"),
        ("Navier–Stokes in two dimensions", "navier stokes"),
        ("navier_stokes", "navier stokes"),
        ("NavierStokes", "navier stokes"),
        ("poissonian noise", None),
        ("stokes", None),
        ("dArcydata", None),
    ],
)
def test_a_name_is_a_whole_word(text, name):
    assert named_pde(text) == name


def test_docstrings_and_only_they_may_name_a_pde():
    tree = ast.parse('"""darcy"""\nx = 1\n"""darcy"""\ndef f(poisson):\n    """d"""\n    "g"\n')
    assert [text for _, text in texts(tree) if named_pde(text)] == ["poisson"]

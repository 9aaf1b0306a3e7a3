"""Directives of the reference: the public names of a module, and the commands."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

_CODE = re.compile(r"(``.*?``|`[^`]*`)", re.DOTALL)
# Bars, ends of names, and stars before names
_MARKS = re.compile(r"\||(?<=\w)_(?=\W)|(?<=[(, ])\*{1,2}(?=\w+[,)])")
_BOUNDED = re.compile(r"[~\w.]*Annotated\[([^,\[\]]+(?:\[[^\]]*\])?), [~\w.]+\([^()]*\)\]")
# The first item of a list, after a line that is none
_LIST = re.compile(r"^((?! *- ) *\S.*)\n( +- )", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("public-names", PublicNames)
    app.add_directive("commands", Commands)
    app.connect("autodoc-process-docstring", _escape, priority=100)
    app.connect("autodoc-process-signature", _plain_types)
    return {"parallel_read_safe": True}


def public_names(module: ModuleType) -> list[str]:
    """Return the names that a module exports, without modules."""
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    return sorted(n for n in names if not inspect.ismodule(getattr(module, n)))


class PublicNames(Directive):
    """The public names of a module, each with its docstring; those that another page documents
    are links."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        module = self.arguments[0]
        own = import_module(module)
        above = import_module("pdeinv")
        lines, elsewhere = [f".. py:currentmodule:: {module}", ""], []
        for name in public_names(own):
            value = getattr(own, name)
            if module != "pdeinv" and getattr(above, "__all__", []).count(name):
                elsewhere.append(f":py:obj:`~pdeinv.{name}`")
            elif inspect.isclass(value):
                lines += [f".. autoclass:: {module}.{name}", "   :members:", ""]
            elif inspect.isroutine(value):
                lines += [f".. autofunction:: {module}.{name}", ""]
            else:
                lines += [f".. py:data:: {name}", "", *_described(name, value), ""]
        if elsewhere:
            lines += ["On the page of :doc:`pdeinv`: " + ", ".join(elsewhere) + "."]
        return _parsed(self, lines)


def _described(name: str, value: object) -> list[str]:
    """The docstring of a name that is neither a class nor a function, where it is assigned."""
    for module, found in sorted(sys.modules.items()):
        if module.startswith("pdeinv.") and vars(found).get(name) is value:
            docs = ModuleAnalyzer.for_module(module).find_attr_docs()
            if text := docs.get(("", name)):
                return [f"   {line}" for line in text]
    raise LookupError(f"{name} must have a docstring where it is assigned")


class Commands(Directive):
    """The commands of the command line with their options, out of `typer`."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        command = [sys.executable, "-m", "typer", "pdeinv.cli", "utils", "docs", "--name", "pdeinv"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        text = re.sub(r"^# .*\n", "", found)
        return _parsed(self, text.splitlines())


def _parsed(directive: Directive, lines: list[str]) -> list[nodes.Node]:
    section = nodes.section()
    section.document = directive.state.document
    directive.state.nested_parse(
        StringList(lines, source=directive.arguments[0] if directive.arguments else "commands"),
        directive.content_offset,
        section,
        match_titles=True,
    )
    return section.children


def _plain_types(
    app: Sphinx, kind: str, name: str, value: Any, options: Any, given: str | None, back: str | None
) -> tuple[str | None, str | None]:
    """Leave the bounds of a number out of its type, which its description states."""
    return (given and _BOUNDED.sub(r"\1", given), back)


def _escape(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Make a docstring's plain text one of reStructuredText, whose marks it does not use."""
    parts = _CODE.split("\n".join(lines))
    for i in range(0, len(parts), 2):
        parts[i] = _MARKS.sub(r"\\\g<0>", parts[i])
        if i and re.match(r"\w", parts[i]):
            parts[i] = "\\ " + parts[i]  # `name`s
    parts[1::2] = [f"``{code.strip('`')}``" for code in parts[1::2]]
    lines[:] = _LIST.sub(r"\1\n\n\2", "".join(parts)).split("\n")

"""The repository's pages as pages of the site.

The lists of links in `index.md` are the navigation: one part for each of its sections. The texts of
the root folder are pages too, and links between texts lead to pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
ROOT_PAGES = {"CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changes"}
"""Texts of the root folder, and the pages that show them."""
GALLERY = {"docs/gallery/README.rst": "docs/figures_in_a_few_lines/index.rst"}
"""The head of the gallery, and the page that is made of it and of the scripts."""

_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\((?!https?:)([^)#\s]+)(#[^)]*)?\)")
_FENCES = re.compile(r"(```.*?```)", re.DOTALL)


def setup(app: Sphinx) -> dict[str, Any]:
    """Rewrite each page as it is read."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    folder = posixpath.join("docs", posixpath.dirname(name))
    for file, page in ROOT_PAGES.items():
        if name == page:
            app.env.note_dependency(str(ROOT / file))
            source[0] = (ROOT / file).read_text(encoding="utf-8").replace("](docs/", "](./docs/")
            source[0] = re.sub(r"!\[(.*?)\]\(\./docs/", r"![\1](", source[0])
            folder = ""
    if name.startswith("reference/") or "figures_in" in name:
        return
    parts = _FENCES.split(source[0])
    parts[::2] = [_LINK.sub(lambda link: _linked(link, folder, name), one) for one in parts[::2]]
    source[0] = "".join(parts)
    if name == "index":
        source[0] += _navigation(source[0])


def _linked(link: re.Match[str], folder: str, name: str) -> str:
    """Return a link of a text in a folder of the repository as one of a page of the site."""
    text, target, anchor = link[1], posixpath.normpath(posixpath.join(folder, link[2])), link[3]
    target = GALLERY.get(target, target)
    if target in ROOT_PAGES:
        target = f"docs/{ROOT_PAGES[target]}.md"
    elif not target.startswith("docs/"):
        if not (ROOT / target).exists():
            raise FileNotFoundError(f"{name}: {link[0]} must lead to a file")
        return text  # a file of the repository that is no page
    page = posixpath.relpath(target, posixpath.join("docs", posixpath.dirname(name)))
    return f"[{text}]({page}{anchor or ''})"


def _navigation(text: str) -> str:
    """Return a hidden table of contents for each section, of the pages that it links."""
    trees = []
    for section in text.split("\n## ")[1:]:
        caption, _, rest = section.partition("\n")
        entries = dict[str, None]()
        for link in _LINK.finditer(rest):
            entries[link[2].rpartition(".")[0]] = None
        names = "\n".join(entries)
        trees.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{names}\n```\n")
    return "".join(trees)

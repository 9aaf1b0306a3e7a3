"""The site's navigation has every page, and its gallery short programs; `.ci/run` builds it."""

import ast
import re

import pytest
from helpers import ROOT
from readme_blocks import blocks

DOCS = ROOT / "docs"
INDEX = (DOCS / "index.md").read_text()
SCRIPTS = sorted((DOCS / "gallery").glob("*/*.py"))
BUILD = "sphinx-build -W --keep-going docs build/site"


def links(text):
    return {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)}


def test_the_index_has_every_page():
    pages = [path for ending in ("md", "rst", "ipynb") for path in DOCS.rglob(f"*.{ending}")]
    names = {path.relative_to(DOCS).as_posix() for path in pages}
    shown = {name for name in names if not name.startswith(("gallery/", "figures_in"))}
    linked = {link for link in links(INDEX) if not link.startswith("figures/")}
    assert linked == shown - {"index.md"} | {"gallery/README.rst"}


@pytest.mark.parametrize("page", sorted([*DOCS.glob("**/*.md"), ROOT / "README.md"]), ids=str)
def test_links_lead_to_files(page):
    found = links(page.read_text()) - {""}
    assert not [link for link in found if not (page.parent / link).exists()]


def test_the_gallery_is_large():
    assert len(SCRIPTS) >= 12
    assert all((path.parent / "README.rst").is_file() for path in SCRIPTS)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_program_of_the_gallery_is_short_and_makes_one_figure(path):
    text = path.read_text()
    title, rule, *_ = ast.get_docstring(ast.parse(text)).splitlines()
    assert rule == "=" * len(title) and len(text.splitlines()) <= 25
    assert len(re.findall(r"^figure = ", text, re.MULTILINE)) == 1


def test_ci_builds_the_site_as_the_readme_says():
    script = (ROOT / ".ci" / "run").read_text()
    (stated,) = (block for block in blocks("sh") if "sphinx-build" in block)
    install, build = stated.strip().split(" && ")
    assert build == BUILD and build in script and install in script

"""The documentation site: `sphinx-build -W --keep-going docs build/site`."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

import matplotlib
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]
os.environ.setdefault("OMP_NUM_THREADS", "1")
matplotlib.use("agg")

project = "pdeinv"
author = copyright = "The pdeinv developers"
release = version_of("pdeinv")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
    "pages",
    "reference_pages",
]
exclude_patterns = ["extensions", "gallery"]
html_theme = "furo"
html_title = "pdeinv"
html_static_path = ["extensions/static"]
html_css_files = ["site.css"]
html_show_sourcelink = False

# Pages are those of the repository: their anchors are the forge's
myst_heading_anchors = 4
# The notebooks carry their outputs, which the tests compare with those of a run
nb_execution_mode = "off"

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
# Attributes of the same name on several classes
suppress_warnings = ["ref.python"]
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Reference", "References")]

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "figures_in_a_few_lines",
    "filename_pattern": r"\.py",
    "within_subsection_order": "FileNameSortKey",
    "notebook_extensions": set(),
    "image_scrapers": ("gallery_figures.save_figure",),
    "capture_repr": (),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "remove_config_comments": True,
    "write_computation_times": False,
}


def setup(app: Sphinx) -> None:
    """Show tables of sensors as plain text."""
    app.add_lexer("csv", TextLexer)

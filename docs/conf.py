"""Configuration of Sphinx: ``sphinx-build -W -b html docs docs/_build/html``."""

import logging
from typing import Any

from sphinx.application import Sphinx

import dicomslide

project = "dicomslide"
author = "The dicomslide developers"
copyright = author
release = dicomslide.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "_drawings",
    "gallery",
    "built_gallery/**/*.ipynb",
    "built_gallery/*.py",
]
# Sphinx shows messages of level INFO of all packages
logging.getLogger("highdicom").setLevel(logging.WARNING)
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "built_gallery",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "within_subsection_order": "FileNameSortKey",
}

myst_heading_anchors = 3
# Names in single backticks of docstrings are links where they name something documented
default_role = "py:obj"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "dicomslide"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#a3306f", "color-brand-content": "#a3306f"},
    "dark_css_variables": {"color-brand-primary": "#f08cc0", "color-brand-content": "#f08cc0"},
}


def setup(app: Sphinx) -> None:
    """Process docstrings before napoleon does."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)


def _keep_colons(
    app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Keep napoleon from reading what is before a colon as the type of a property."""
    if what == "property" and lines:
        lines[0] = lines[0].replace(": ", " \N{EN DASH} ")

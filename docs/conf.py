"""Configuration of the documentation."""

import pathlib

project = "keras_attnviz"
author = "The keras_attnviz developers"
copyright = f"2026, {author}"

_namespace = {}
exec((pathlib.Path(__file__).parents[1] / "keras_attnviz" / "_version.py").read_text(), _namespace)
release = version = _namespace["__version__"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "images"]
html_theme = "furo"
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Call arguments", "params_style")]
# A code span in single backquotes, as in the docstrings, is code.
default_role = "code"
myst_heading_anchors = 3

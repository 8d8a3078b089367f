"""The documentation site: `tox run -e docs` builds it, and any warning or dead link fails."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Any

HOME = "https://github.com/pytest-kycquant/pytest-kycquant"

project = "pytest-kycquant"
author = "pytest-kycquant contributors"
copyright = "2026, the pytest-kycquant developers"  # noqa: A001, the name that Sphinx reads
release = version_of("pytest-kycquant")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # docstrings name things in single backticks

myst_heading_anchors = 4  # as on GitHub, so that links to headings work in both places
myst_url_schemes = ("https", "http", "mailto")

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False  # the text after "Returns:" stays in one piece
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"pytest-kycquant {release}"
html_theme_options = {
    "source_repository": HOME,
    "source_branch": "main",
    "source_directory": "docs/",
}
html_copy_source = False


def _outside(app: Any, name: str, source: list[str]) -> None:
    """Let links to the README, which is no page here, lead to the repository."""
    source[0] = source[0].replace("](../README.md)", f"]({HOME}/blob/main/README.md)")


def setup(app: Any) -> None:
    """Register what this file adds to Sphinx."""
    app.connect("source-read", _outside)

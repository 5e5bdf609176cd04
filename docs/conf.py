"""Make a site of these pages with Sphinx: `python -m sphinx -W docs FOLDER`."""

from __future__ import annotations

import epm_task

project = "epm_task"
version = release = epm_task.__version__
copyright = "2026 the epm_task developers"  # noqa: A001  # Sphinx prescribes the name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
default_role = "code"  # as Markdown has it, and our docstrings
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"

html_theme = "furo"
html_title = f"epm_task {version}"
html_copy_source = html_show_sourcelink = False
html_show_search_summary = False  # it would be fetched, which no page from a disk may do

"""The documentation site: Sphinx over the Markdown of this folder and the docstrings of vt_seg."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import vt_seg

project = "vt_seg"
author = "The vt_seg authors"
release = vt_seg.__version__

extensions = [
    "command_help",
    "config_keys",
    "repository_pages",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_extensions"]
html_theme = "furo"
html_title = f"vt_seg {release}"

# Headings of three levels can be linked to, with the names that GitHub gives them.
myst_heading_anchors = 3

napoleon_use_ivar = True
autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
# Names in single backquotes are code, as in the Markdown pages.
default_role = "code"
# The comment of `__init__` belongs to its class.
autoclass_content = "both"

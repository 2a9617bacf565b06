"""Sphinx configuration; `scripts/check` builds with warnings as errors."""

from importlib.metadata import version as version_of

project = "vidrobust"
author = "vidrobust contributors"
copyright = "2026, vidrobust contributors"
version = release = version_of("vidrobust")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"vidrobust {version}"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_use_rtype = False

"""Sphinx's settings for the site; `python -m lecturekit site` gathers the sources and calls it."""

import re

from lecturekit import __version__

project = "From Class to Pixels"
author = "the course's authors"
release = __version__
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["docs/results/**"]
default_role = "code"
suppress_warnings = ["ref.python"]  # two classes may have a field of one name

# Notebooks and Markdown: the committed outputs, nothing is run.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "text/html", 0)]
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

# Docstrings.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "NDArray": "NDArray"}  # as written, not as their unions
napoleon_use_rtype = False
napoleon_use_ivar = True

# Formulas by the site's own MathJax; nothing is asked of another host.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {
    "options": {"enableMenu": False},
    "chtml": {"displayAlign": "left"},
}

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("live.js", {"type": "module"})]
html_copy_source = False
html_use_index = False
html_domain_indices = False
html_show_sourcelink = False
html_permalinks_icon = "#"
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}
html_theme_options = {
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "collapse_navbar": True,
    "max_navbar_depth": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
    "search_bar_text": "Search the course",
}


def _search_words(app, pagename, templatename, context, doctree):
    """A description of each page for search engines and previews: its first sentence."""
    if doctree is None:
        return
    first = next((p.astext() for p in doctree.findall() if p.tagname == "paragraph"), "")
    words = re.sub(r"\s+", " ", first)[:200].replace('"', "'")
    context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{words}">\n'


def setup(app):
    """Called by Sphinx."""
    app.connect("html-page-context", _search_words)

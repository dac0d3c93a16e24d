"""Sphinx's settings; `make docs` builds. Theme, fonts, scripts and search index are files of the site itself."""

project = "RobCo Forge"
author = "RobCo"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["openapi.yaml"]

myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4
myst_url_schemes = ["http", "https", "mailto"]

html_theme = "furo"
html_title = "RobCo Forge"
html_static_path = ["_static"]
html_css_files = ["forge.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # a page that is opened as a file may not fetch its neighbours
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#4338ca", "color-brand-content": "#4338ca"},
    "dark_css_variables": {"color-brand-primary": "#a5b4fc", "color-brand-content": "#a5b4fc"},
}
pygments_style = "tango"
pygments_dark_style = "github-dark"

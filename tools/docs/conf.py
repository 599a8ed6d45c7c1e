"""The settings of Sphinx for the documentation site, see tools/docs/build.py."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from docutils import nodes
from sphinx.domains.python import PythonDomain

import landseg
from tools.docs.option_tables import annotations_of

project = "landseg"
release = version = landseg.__version__
html_title = "landseg"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 4  # as on a page of a code host: links to headings are written by hand

add_module_names = False
python_use_unqualified_type_names = True
default_role = "code"  # a single backtick in a docstring is code, as in Markdown
smartquotes = False  # -- begins an option
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_use_ivar = True
napoleon_numpy_docstring = False


def _without_fields(_app: Any, _kind: str, _name: str, documented: Any, *_: Any) -> tuple[str, None] | None:
    """Return an empty signature for a dataclass: its fields are listed below it."""
    return ("", None) if dataclasses.is_dataclass(documented) else None


def _with_types(_app: Any, documented: Any, _bound: bool) -> None:
    """Put types in place of annotations that are texts, also where a module imports them for type checkers alone."""
    if inspect.isfunction(documented):
        documented.__annotations__ = annotations_of(documented)


def _with_dashes(_app: Any, document: Any) -> None:
    """Put a dash before the text of each parameter, in place of the two hyphens that Sphinx writes there."""
    for text in list(document.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def _without_repeats(_app: Any, _domain: str, kind: str, content: Any) -> None:
    """Leave out the parameters of a class whose attributes are listed: they are the same names again."""
    fields = list(content.findall(nodes.field)) if kind == "class" else []
    if any(field[0].astext().startswith("ivar ") for field in fields):
        for field in fields:
            if field[0].astext().startswith(("param ", "type ")):
                field.parent.remove(field)


def _with_whole_sentences(_app: Any, kind: str, _name: str, documented: Any, _options: Any, lines: list[str]) -> None:
    """Put a property's text back, of which napoleon takes the words before a colon for its type."""
    if kind == "property":
        lines[:] = [*inspect.cleandoc(documented.__doc__ or "").splitlines(), ""]


def setup(app: Any) -> None:
    """Connect the hooks of this file, and call attributes of classes so in titles; Sphinx calls this."""
    for field in PythonDomain.directives["class"].doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-process-signature", _without_fields)
    app.connect("autodoc-before-process-signature", _with_types)
    app.connect("autodoc-process-docstring", _with_whole_sentences, priority=600)  # after napoleon
    app.connect("object-description-transform", _without_repeats, priority=600)  # after types were added
    app.connect("doctree-read", _with_dashes)

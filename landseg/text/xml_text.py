"""XML as text: what GDAL and QGIS read beside a raster."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

_NOT_XML = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")


def xml_text(root: Xml.Element, *, doctype: str = "") -> str:
    """Return an element as an indented document that ends in a line end."""
    Xml.indent(root)
    return doctype + Xml.tostring(root, encoding="unicode") + "\n"


def xml_safe(text: str) -> str:
    """Return a text with a question mark for each control character and lone surrogate, which XML cannot hold.

    >>> xml_safe("red\\x1b[31m")
    'red?[31m'
    """
    return _NOT_XML.sub("?", text)

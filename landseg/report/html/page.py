"""A page of HTML with all scripts and styles in it, and no way to a network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from landseg import __version__

LEAFLET = "vendor/leaflet/leaflet"
NO_NETWORK = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def page(title: str, body: str, *, scripts: tuple[str, ...], policy: str = NO_NETWORK, kind: str = "report") -> str:
    """Return a whole HTML document.

    Args:
        title: plain text.
        body: HTML.
        scripts: files of the folder ``web``, run in this order; before ``map.js`` comes Leaflet.
        policy: what the browser may load (Content-Security-Policy).
        kind: class of the root element.
    """
    library = (f"{LEAFLET}.js",) if "map.js" in scripts else ()
    names = (*library, *(f"web/{name}" for name in scripts))
    styles = (*(f"{LEAFLET}.css" for _ in library), "web/report.css")
    code = "\n".join(f"<script>{script(name)}</script>" for name in names)
    return f"""<!DOCTYPE html>
<html lang="en" class="{kind}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="landseg {__version__}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
{"".join(f"<style>{style(name)}</style>" for name in styles)}
</head>
<body>
{body}
{code}
</body>
</html>
"""


def sectioned(heading: str, lead: str, sections: Sequence[tuple[str, str, str]], *, foot: str, needs: str) -> str:
    """Return the body of a report: a heading, links to its sections, these, and a foot.

    Args:
        heading: HTML.
        lead: HTML under it.
        sections: for each its mark, its title and its HTML.
        foot: HTML of the last line, after the version.
        needs: what of the page needs JavaScript.
    """
    links = "".join(f'<li><a href="#{mark}">{title}</a></li>' for mark, title, _ in sections)
    parts = "".join(
        f'<section id="{mark}" aria-labelledby="{mark}-head"><h2 id="{mark}-head">{title}</h2>{content}</section>'
        for mark, title, content in sections
    )
    return f"""<a class="skip" href="#{sections[0][0]}">To the figures</a>
<header><h1>{heading}</h1>{lead}<nav aria-label="Sections"><ul>{links}</ul></nav></header>
<main>{parts}</main>
<footer class="quiet"><p>Made by landseg {__version__}. {foot}</p>
<noscript><p>{needs} need JavaScript.</p></noscript></footer>"""


@cache
def script(name: str) -> str:
    """Return a script of this package, for inside <script>: without the address of its source map."""
    text = re.sub(r"\n//# sourceMappingURL=\S+\s*$", "\n", _read(name))
    assert "</script" not in text.lower() and "<!--" not in text
    return text


@cache
def style(name: str) -> str:
    """Return a style sheet of this package, for inside <style>: without the pictures that lie beside it."""
    text = re.sub(r"url\((?!#|['\"]?data:)[^)]*\)", "none", _read(name))
    assert "</style" not in text.lower()
    return text


def json_script(identity: str, value: Any) -> str:
    """Return data for scripts as HTML, whatever characters its strings hold."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{identity}">{text}</script>'


def swatch(color: tuple[int, int, int]) -> str:
    """Return a small square of a colour as HTML."""
    return f'<span class="swatch" style="background:#{bytes(color).hex()}"></span>'


def _read(name: str) -> str:
    return (files("landseg.report") / name).read_text(encoding="utf-8")

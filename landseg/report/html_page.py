"""A page that needs nothing but itself: scripts and styles from this package, inlined, and no way to a network."""

from __future__ import annotations

import json
import re
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
    """A whole HTML document.

    Args:
        title: plain text.
        body: HTML.
        scripts: files of the folder ``web``, run in this order after Leaflet.
        policy: what the browser may load (Content-Security-Policy).
        kind: class of the root element.
    """
    code = "\n".join(f"<script>{script(name)}</script>" for name in (f"{LEAFLET}.js", *(f"web/{s}" for s in scripts)))
    return f"""<!DOCTYPE html>
<html lang="en" class="{kind}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="landseg {__version__}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{style(f"{LEAFLET}.css")}</style>
<style>{style("web/report.css")}</style>
</head>
<body>
{body}
{code}
</body>
</html>
"""


@cache
def script(name: str) -> str:
    """A script of this package, for inside <script>: without the address of its source map."""
    text = re.sub(r"\n//# sourceMappingURL=\S+\s*$", "\n", _read(name))
    assert "</script" not in text.lower() and "<!--" not in text
    return text


@cache
def style(name: str) -> str:
    """A style sheet of this package, for inside <style>: without the pictures that lie beside it."""
    text = re.sub(r"url\((?!#|['\"]?data:)[^)]*\)", "none", _read(name))
    assert "</style" not in text.lower()
    return text


def json_script(identity: str, value: Any) -> str:
    """Data for scripts, whatever characters its strings hold."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{identity}">{text}</script>'


def swatch(color: tuple[int, int, int]) -> str:
    """A small square of a colour."""
    return f'<span class="swatch" style="background:#{bytes(color).hex()}"></span>'


def _read(name: str) -> str:
    return (files("landseg.report") / name).read_text(encoding="utf-8")

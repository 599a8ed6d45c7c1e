"""Markdown that programs write: plain text that means itself, code, and tables of both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def plain(text: str) -> str:
    """Return text in one line whose characters mean themselves in Markdown."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def docstring_line(text: str) -> str:
    """Return text of a docstring in one line, in which `code` stays code and all else means itself."""
    parts = re.split(r"`+([^`]*)`+", text.strip())  # every second part was between backticks
    return "".join(code(" ".join(part.split())) if at % 2 else _between(part) for at, part in enumerate(parts))


def _between(text: str) -> str:
    """Return plain text that keeps one blank where it begins or ends with several."""
    return " " * text[:1].isspace() + plain(text) + " " * text[-1:].isspace() if text.strip() else text[:1]


def code(text: str) -> str:
    """Return text as code in one line; its bars do not end the cell of a table."""
    return "`" + text.replace("|", r"\|") + "`"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a row of titles; cells are Markdown in one line each."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

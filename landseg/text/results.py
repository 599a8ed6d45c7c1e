"""Results in an interactive session: one line of text, and a table where a notebook draws one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from html import escape
from os import PathLike, fspath
from typing import Any

_MOST = 280  # characters of a line


def one_line(noun: str, *facts: str | None) -> str:
    """Return the repr of a result: its noun and facts in one line of less than 300 characters; None is left out.

    >>> one_line("Prediction", "landcover.tif", None, "0.25 Mpx in 3 s")
    '<Prediction landcover.tif, 0.25 Mpx in 3 s>'
    """
    text = " ".join(f"{noun} {', '.join(fact for fact in facts if fact)}".split())
    return f"<{text if len(text) <= _MOST else text[: _MOST - 4] + ' ...'}>"


def three(value: float) -> str:
    """Return a figure to three digits, a dash for nan.

    >>> three(0.5967), three(float("nan"))
    ('0.597', '-')
    """
    return "-" if math.isnan(value) else f"{value:.3f}"


def html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an HTML table of texts: the first column, names, is aligned to the left, all others to the right.

    None is an empty cell.

    >>> html_table("a.tif", ["class", "pixels"], [["<water>", "25"]]).splitlines()[-2]
    '<tr><th style="text-align:left">&lt;water&gt;</th><td style="text-align:right">25</td></tr>'
    """

    def row(cell: str, first: Any, others: Iterable[Any]) -> str:
        parts = [f'<th style="text-align:left">{escape(str(first))}</th>']
        parts += [f'<{cell} style="text-align:right">{_cell(other)}</{cell}>' for other in others]
        return f"<tr>{''.join(parts)}</tr>"

    title = f'<caption style="text-align:left">{escape(caption)}</caption>'
    body = [row("td", first, others) for first, *others in rows]
    return "\n".join(["<table>", title, row("th", head[0], head[1:]), *body, "</table>"])


def json_values(value: Any) -> Any:
    """Return a value in the types of JSON: paths as texts, scalars and arrays of NumPy as numbers and lists.

    nan and infinities become None, since JSON has no word for them; dataclasses and named tuples become objects.

    >>> json_values({"iou": float("nan"), "shape": (2, 3)})
    {'iou': None, 'shape': [2, 3]}
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):  # NumPy's float64 too, which is a float
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, PathLike):
        return fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return json_values(asdict(value))
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy or torch, without importing either
        return json_values(value.tolist())
    if isinstance(value, Iterable):
        return [json_values(item) for item in value]
    raise TypeError(f"no JSON for a {type(value).__name__}")


def _cell(value: Any) -> str:
    return "" if value is None else escape(str(value))

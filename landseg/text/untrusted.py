"""JSON and TOML of unknown origin, read within bounds, and text that is safe to print."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from landseg.text.amounts import shorten_text

DEEPEST = 32
"""Levels of lists and tables in one another: landseg writes up to seven."""

_WHOLE = 1 << 63  # TOML's own limit, and what other readers of JSON hold
_DIGITS = 20  # of a whole number within it, with its sign
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def read_json(text: str | bytes, *, finite: bool = True) -> Any:
    """Return the values of a JSON document, every key of which is there once.

    With ``finite`` every number is; without, NaN and the infinities pass as Python writes them.

    >>> read_json('{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> read_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' occurs twice

    Raises:
        ValueError: it is no JSON, or beyond the bounds; the message says how.
    """
    decoded = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        value = json.loads(
            decoded,
            object_pairs_hook=_table,
            parse_int=_whole,
            parse_float=_number if finite else float,
            parse_constant=_refused if finite else float,
        )
    except RecursionError:
        raise _too_deep() from None
    _check(value)
    return value


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML document.

    Raises:
        ValueError: it is no TOML, or beyond the bounds; the message says how.
    """
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check(value)
    return value


def unsafe_text(value: Any) -> str | None:
    """Return the first text among JSON values, keys included, that must not reach a terminal; None without one.

    That is text with control characters other than tab and line ends, with halves of surrogate pairs, which no
    stream can encode, or with marks that turn the direction of writing.

    >>> unsafe_text({"name": ["fine", "red \\x1b[31m"]})
    'red \\x1b[31m'
    """
    return next((text for text in _texts(value) if _UNSAFE.search(text)), None)


def brief(value: Any) -> str:
    """Return a value for a sentence, shortened, with escapes in place of what must not reach a terminal.

    >>> brief("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
    """
    return shorten_text(repr(value), 60)


def escaped(text: str) -> str:
    """Return JSON whose texts mean the same, with escapes in place of what must not reach a terminal.

    >>> print(escaped('{"name": "red \x9b31m"}'))
    {"name": "red \\u009b31m"}
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def printable(text: str) -> str:
    """Return a text with a question mark in place of what must not reach a terminal, see `unsafe_text`.

    >>> printable("red \\x1b[31m")
    'red ?[31m'
    """
    return _UNSAFE.sub("?", text)


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            yield from (key for key in one if isinstance(key, str))
            waiting += one.values()
        elif isinstance(one, (list, tuple)):
            waiting += one


def _check(value: Any) -> None:
    """Raise ValueError if values are nested too deep, or hold whole numbers beyond 64 bits. Without recursion."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise _too_deep()
        following: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                following += one.values()
            elif isinstance(one, list):
                following += one
            elif isinstance(one, int) and not -_WHOLE <= one < _WHOLE:
                raise ValueError(f"the whole number {shorten_text(str(one), 40)} is beyond 64 bits")
        level = following


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {shorten_text(repr(key), 40)} occurs twice")
        table[key] = value
    return table


def _whole(text: str) -> int:
    if len(text) > _DIGITS or not -_WHOLE <= int(text) < _WHOLE:
        raise ValueError(f"the whole number {shorten_text(text, 40)} is beyond 64 bits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shorten_text(text, 40)} is beyond what 64 bits hold")
    return value


def _refused(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {DEEPEST} levels deep")

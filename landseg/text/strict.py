"""Entries of a recipe against the types of the fields that they fill: a mistyped one gets a sentence."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from landseg.errors import TrainingError

_PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: ("a number", lambda v: isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)),
    str: ("a text", lambda value: isinstance(value, str)),
}


def read_dataclass(kind: type[Any], entries: Any, place: str) -> Any:
    """Return a dataclass made of the entries of a table, every one checked; lists become tuples.

    Args:
        kind: the dataclass.
        entries: by field.
        place: what the table is called, for sentences.

    Raises:
        TrainingError: entries that are no table, unknown, missing or mistyped, or what the dataclass refuses.
    """
    if not isinstance(entries, Mapping):
        raise TrainingError(f"{place} is a table of entries, got {shown(entries)}")
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(entries) - known):
        raise TrainingError(f"{place} has no {', '.join(unknown)}; it knows {', '.join(sorted(known))}")
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in needed if name not in entries]:
        raise TrainingError(f"{place} is incomplete: it needs {', '.join(missing)}")
    values = {key: _tuples(value) for key, value in entries.items()}
    hints = _hints(kind)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise TrainingError(f"{place}: {name} is {words(hints[name])}, got {shown(value)}")
        inner = next((one for one in _members(hints[name]) if is_dataclass(one)), None)
        if isinstance(inner, type) and isinstance(value, Mapping):
            values[name] = read_dataclass(inner, value, f"{place}: {name}")
    return kind(**values)


def _tuples(value: Any) -> Any:
    """Lists, and lists in them, as tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def shown(value: Any) -> str:
    """A value as it is written in a recipe, shortened.

    >>> shown((True, 6, "batch")), shown({"a": 1})
    ('[true, 6, "batch"]', '{a = 1}')
    """
    if isinstance(value, list | tuple):
        text = f"[{', '.join(shown(item) for item in value)}]"
    elif isinstance(value, Mapping):
        text = f"{{{', '.join(f'{key} = {shown(item)}' for key, item in value.items())}}}"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) < 80 else f"{text[:80]} ..."


def words(hint: Any) -> str:
    """A type for people.

    >>> words(int | None), words(tuple[float, float]), words(Literal["poly", "cosine"])
    ('a whole number', 'a list of 2, each a number', 'one of "poly", "cosine"')
    """
    members = [one for one in _members(hint) if one is not types.NoneType]
    if len(members) > 1:
        return " or ".join(words(one) for one in members)
    (one,) = members
    origin, inside = get_origin(one), get_args(one)
    if origin is Literal:
        return f"one of {', '.join(shown(choice) for choice in inside)}"
    if origin is tuple:
        count = "" if inside[-1] is Ellipsis else f" of {len(inside)}"
        return f"a list{count}, each {words(inside[0])}"
    if one in _PLAIN:
        return _PLAIN[one][0]
    return f"a table of values, each {words(inside[1])}" if inside and inside[1] is not Any else "a table of entries"


def _fits(value: Any, hint: Any) -> bool:
    return any(_fits_one(value, one) for one in _members(hint))


def _fits_one(value: Any, kind: Any) -> bool:
    origin, inside = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return value in inside
    if origin is tuple and isinstance(value, tuple):
        each = inside[:1] * len(value) if inside[-1] is Ellipsis else inside
        return len(each) == len(value) and all(_fits(item, one) for item, one in zip(value, each, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(_fits(item, inside[1]) for item in value.values())
    if kind in _PLAIN:
        return _PLAIN[kind][1](value)
    if is_dataclass(kind) and isinstance(value, Mapping):
        return True  # is looked into by itself
    return isinstance(kind, type) and isinstance(value, kind)


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)

"""Strict reading of tables into dataclasses: every entry known, present and of its type, or a sentence names it."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from landseg.errors import LandsegError, TrainingError

LARGEST = 1 << 53
"""The largest whole number that every reader of JSON holds."""
_PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: ("a number", lambda v: isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)),
    str: ("a text", lambda value: isinstance(value, str)),
}


def read_dataclass(
    kind: type[Any],
    entries: Any,
    place: str,
    *,
    error: type[LandsegError] = TrainingError,
    optional: Collection[str] | None = None,
    floats: bool = False,
) -> Any:
    """Return a dataclass made of the entries of a table, every entry checked; lists become tuples.

    A table in the place of another dataclass is read by that class's `from_json(value, place)`, else in this way.

    Args:
        kind: the dataclass.
        entries: by field.
        place: the name of the table, for sentences.
        error: the exception to raise.
        optional: the fields that may be missing; None: those with a default.
        floats: whether a whole number in a field of type float becomes a float, or stays as it is written.

    Raises:
        LandsegError: of the type ``error``, if entries are no table, unknown, missing or mistyped; and whatever the
            dataclass refuses.
    """
    table, known = check_table(entries, place, error), fields(kind)
    names = {field.name for field in known}
    if unknown := sorted(map(str, set(table) - names)):
        raise error(f"{place} has no {', '.join(map(_cut, unknown[:8]))}; it knows {', '.join(sorted(names))}")
    if optional is None:
        optional = [f.name for f in known if not (f.default is MISSING and f.default_factory is MISSING)]
    if missing := [field.name for field in known if field.name not in (*table, *optional)]:
        raise error(f"{place} is incomplete: it needs {', '.join(missing)}")
    hints = get_type_hints(kind)
    for name, value in table.items():
        table[name] = value = _tuples(value)
        if not _fits(value, hints[name]):
            raise error(f"{place}: {name} is {words(hints[name])}, got {shown(value)}")
        table[name] = _nested(value, hints[name], f"{place}: {name}", error, floats)
    return kind(**table)


def check_table(entries: Any, place: str, error: type[LandsegError] = TrainingError) -> dict[str, Any]:
    """Return a copy of a table's entries; raise an error of the given type if they are no table."""
    if not isinstance(entries, Mapping):
        raise error(f"{place} is a table of entries, got {shown(entries)}")
    return dict(entries)


def is_number(value: object) -> bool:
    """Return whether a value is a finite number that every reader of JSON holds; true and false are not numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return -LARGEST <= value <= LARGEST
    return isinstance(value, float) and math.isfinite(value)


def _nested(value: Any, hint: Any, place: str, error: type[LandsegError], floats: bool) -> Any:
    """Return a value that fits a type, with tables read where the type has dataclasses."""
    if floats and isinstance(value, int) and float in _members(hint):
        return float(value)
    for one in _members(hint):
        inside = get_args(one)
        if isinstance(one, type) and is_dataclass(one) and isinstance(value, Mapping) and not isinstance(value, one):
            read = getattr(one, "from_json", None)
            return read(value, place) if read else read_dataclass(one, value, place, error=error, floats=floats)
        if get_origin(one) is tuple and isinstance(value, tuple):
            return tuple(_nested(item, inside[0], f"{place}[{i}]", error, floats) for i, item in enumerate(value))
    return value


def _cut(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}..."


def _tuples(value: Any) -> Any:
    """Return a value with lists, and lists in them, as tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def shown(value: Any) -> str:
    """Return a value as TOML writes it, shortened.

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
    """Return the words for a type.

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

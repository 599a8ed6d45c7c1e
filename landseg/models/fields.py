"""Strict reading of JSON objects: every field known, present and of its type, or a sentence that names it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from landseg.errors import ModelError
from landseg.text.untrusted import brief

T = TypeVar("T")
_LARGEST = 1 << 53  # that every reader of JSON holds
_NAME = 1000  # characters


class Fields:
    """One JSON object being read field by field; `close` refuses whatever nobody asked for.

    >>> fields = Fields({"name": "roads"}, "card")
    >>> fields.text("name"), fields.close()
    ('roads', None)
    >>> Fields({"name": 3}, "card").text("name")
    Traceback (most recent call last):
    landseg.errors.ModelError: card field 'name' should be text, got 3
    """

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise ModelError(f"{where} should be a JSON object, got {brief(data)}")
        self._data: dict[str, Any] = dict(data)
        self._where = where

    def text(self, name: str) -> str:
        return self._take(name, "text", lambda value: isinstance(value, str))  # type: ignore[no-any-return]

    def name(self, name: str) -> str:
        """Returns a text of one line, not too long to be read as one."""
        wanted = f"one line of text of up to {_NAME} characters"
        return self._take(name, wanted, _is_name)  # type: ignore[no-any-return]

    def text_or_none(self, name: str) -> str | None:
        value = self._take(name, "text or null", lambda value: value is None or isinstance(value, str))
        return value  # type: ignore[no-any-return]

    def number(self, name: str) -> float:
        return float(self._take(name, "a finite number", is_number))

    def number_or(self, name: str, default: float) -> float:
        """Returns a number that may be missing."""
        return self.number(name) if self.has(name) else default

    def text_or(self, name: str, default: str) -> str:
        """Returns a text that may be missing."""
        return self.text(name) if self.has(name) else default

    def number_or_none(self, name: str) -> float | None:
        value = self._take(name, "a finite number or null", lambda value: value is None or is_number(value))
        return None if value is None else float(value)

    def range_or_none(self, name: str) -> tuple[float, float] | None:
        """Returns a list of two numbers that may be missing."""
        if self._data.get(name) is None:
            self._data.pop(name, None)
            return None
        numbers = self.items(name, number_item)
        if len(numbers) != 2:
            raise ModelError(f"{self._at(name)} should be a list of two numbers, got {brief(list(numbers))}")
        return numbers[0], numbers[1]

    def has(self, name: str) -> bool:
        """Return whether a field is there and not read yet."""
        return name in self._data

    def whole(self, name: str, *, least: int = 0) -> int:
        wanted = f"a whole number of at least {least}"
        fits = lambda value: _is_whole(value) and least <= value <= _LARGEST  # noqa: E731
        return self._take(name, wanted, fits)  # type: ignore[no-any-return]

    def whole_or_none(self, name: str, *, least: int = 0) -> int | None:
        if self._data.get(name, 0) is None:
            return self._data.pop(name)  # type: ignore[no-any-return]
        return self.whole(name, least=least)

    def items(self, name: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
        """Returns every item of a list, read by `read(item, where)`."""
        values = self._take(name, "a list", lambda value: isinstance(value, (list, tuple)))
        return tuple(read(value, f"{self._at(name)}[{i}]") for i, value in enumerate(values))

    def mapping(self, name: str) -> dict[str, Any]:
        return dict(self._take(name, "a JSON object", lambda value: isinstance(value, Mapping)))

    def inner(self, name: str, read: Callable[[object, str], T]) -> T:
        """Returns a nested object, read by `read(value, where)`."""
        return read(self._take(name, "a JSON object", lambda _: True), self._at(name))

    def inner_or_none(self, name: str, read: Callable[[object, str], T]) -> T | None:
        if self._data.get(name, 0) is None:
            return self._data.pop(name)  # type: ignore[no-any-return]
        return self.inner(name, read)

    def close(self) -> None:
        """Raises ModelError when a field is left that nobody read."""
        if self._data:
            names = ", ".join(brief(name) for name in sorted(map(str, self._data))[:8])
            raise ModelError(f"{self._where} has unknown fields: {names}; this landseg knows no such thing")

    def _at(self, name: str) -> str:
        return f"{self._where} field {brief(name)}"

    def _take(self, name: str, wanted: str, fits: Callable[[Any], bool]) -> Any:
        if name not in self._data:
            raise ModelError(f"{self._where} lacks the field {name!r} ({wanted})")
        value = self._data.pop(name)
        if not fits(value):
            raise ModelError(f"{self._at(name)} should be {wanted}, got {brief(value)}")
        return value


def text_item(value: object, where: str) -> str:
    """Returns an item that must be text."""
    if not isinstance(value, str):
        raise ModelError(f"{where} should be text, got {brief(value)}")
    return value


def number_item(value: object, where: str) -> float:
    """Returns an item that must be a finite number."""
    if not is_number(value):
        raise ModelError(f"{where} should be a finite number, got {brief(value)}")
    return float(value)  # type: ignore[arg-type]


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number; true and false are not numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return -_LARGEST <= value <= _LARGEST  # beyond, no float holds it
    return isinstance(value, float) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _NAME and not set(value) & set("\n\r\t")

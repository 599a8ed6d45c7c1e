"""Numbers as reports write them."""

from __future__ import annotations

import math

NONE = "–"  # a number that means nothing


def share(value: float | None) -> str:
    """Return a ratio to three digits.

    >>> share(0.12345), share(float("nan"))
    ('0.123', '–')
    """
    return NONE if value is None or not math.isfinite(value) else f"{value:.3f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a ratio in percent.

    >>> percent(0.12345), percent(None)
    ('12.3 %', '–')
    """
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def count(value: float) -> str:
    """Return a whole number in groups of three digits, with thin spaces between them that do not break."""
    return f"{value:,.0f}".replace(",", "\u202f")


def hectares(value: float | None) -> str:
    """Return an area to three digits or whole hectares, without a unit.

    >>> hectares(0.01234), hectares(4321.6), hectares(None)
    ('0.0123', '4\\u202f322', '–')
    """
    if value is None or not math.isfinite(value):
        return NONE
    return count(value) if abs(value) >= 100 else f"{value:.3g}"


def length_text(pixels: float | None, metres: float | None) -> str:
    """Return a length in pixels, with the length on the ground where that is given.

    >>> length_text(3, None), length_text(3.0, 0.4479), length_text(None, None)
    ('3 px', '3 px (0.448 m)', '–')
    """
    ground = "" if metres is None else f" ({metres:.3g} m)"
    return NONE if pixels is None else f"{pixels:.3g} px{ground}"


def interval(ends: tuple[float, float] | None) -> str:
    """Return an interval of ratios; "" for None and nan.

    >>> interval((0.1, 0.25)), interval(None)
    ('0.100–0.250', '')
    """
    if ends is None or not all(map(math.isfinite, ends)):
        return ""
    return f"{ends[0]:.3f}–{ends[1]:.3f}"


def key(value: float | None) -> str:
    """Return the text that a table sorts a number by; "" for None and nan."""
    return "" if value is None or not math.isfinite(value) else repr(float(value))

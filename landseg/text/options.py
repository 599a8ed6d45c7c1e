"""Options by name: unknown ones refused, windows and halos as users write them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, TypeVar

from landseg.errors import BandError, LandsegError, OutputError, PlanError

Options = TypeVar("Options")
_KINDS: dict[str, tuple[str, type]] = {
    "bool": ("True or False", Integral),
    "int": ("a whole number", Integral),
    "float": ("a number", Real),
}
"""What the fields of each type hold, in words and as a type; 0 and 1 are bools too."""


def refuse_unknown(names: Iterable[str], known: Sequence[str], *, of: str) -> None:
    """Raise LandsegError, with the option nearest in spelling, if a name is no known option of a command."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise LandsegError(f"{of} has no option {name!r}: {hint}")


def window_option(value: Any) -> int | tuple[int, int] | str:
    """Return a window option, in pixels: "auto", a side, or height and width.

    >>> window_option("512x1024"), window_option("512"), window_option("auto")
    ((512, 1024), 512, 'auto')

    Raises:
        PlanError: another text or value.
    """
    if value == "auto":
        return "auto"
    parts = value.lower().split("x") if isinstance(value, str) else [value] if isinstance(value, int) else value
    try:
        numbers = [_whole(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if any(number < 0 for number in numbers):
        raise PlanError(f"window {value!r}: expected sides above 0")
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise PlanError(f"window {value!r}: expected auto, a number, or HEIGHTxWIDTH")


def halo_option(value: Any) -> int | str:
    """Return a halo option: "auto", "exact", or a whole number of pixels.

    Raises:
        PlanError: another text or value.
    """
    if value in ("auto", "exact"):
        return str(value)
    try:
        return _whole(value)
    except (TypeError, ValueError):
        raise PlanError(f"halo {value!r}: expected auto, exact, or a whole number of pixels") from None


def _whole(value: Any) -> int:
    """Return a whole number from a number or a text; int() would cut off the rest of a fraction."""
    if not isinstance(value, (str, Integral)):
        raise TypeError(f"{value!r} is no whole number")
    return int(value)


def check_whole_bands(bands: Any) -> None:
    """Raise BandError if chosen bands are not a sequence of whole numbers; None chooses none."""
    if bands is None:
        return
    if not isinstance(bands, Iterable) or not all(isinstance(band, Integral) for band in bands):
        raise BandError(f"bands {bands!r}: expected whole numbers, such as [3, 2, 1]")


def check_probs_dtype(dtype: str) -> None:
    """Raise OutputError if probabilities cannot be written in a dtype."""
    if dtype not in ("uint8", "float32"):
        raise OutputError(f"probabilities in {dtype!r}: expected uint8 or float32")


def options_by_name(kind: type[Options], given: Mapping[str, Any], *, of: str) -> Options:
    """Return the options dataclass of a command, made of the options that a user gave by name.

    Raises:
        LandsegError: an option has an unknown name, or a value of another type.
    """
    refuse_unknown(given, [field.name for field in fields(kind)], of=of)  # type: ignore[arg-type]
    made = kind(**given)
    check_kinds(made)
    return made


def check_kinds(options: Any) -> None:
    """Raise LandsegError if a field of an options dataclass is declared a number, or a bool, and holds no such value.

    A text for a bool would count as true, overwrite="no" as well.
    """
    for field in fields(options):
        value, (kind, *others) = getattr(options, field.name), str(field.type).split(" | ")
        if kind not in _KINDS or others not in ([], ["None"]) or (others and value is None):
            continue
        expected, types = _KINDS[kind]
        if not (isinstance(value, types) or type(value).__name__ in ("bool", "bool_")):  # those of NumPy
            raise LandsegError(f"{field.name} {value!r}: expected {expected}")


def is_size(value: Any) -> bool:
    """Return whether a value is a finite number, 0 or more; true and false are not numbers."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and float(value) >= 0


def check_positive(name: str, value: Any) -> None:
    """Raise PlanError if the value of an option is no whole number from 1 on."""
    if not (isinstance(value, int) and value >= 1):
        raise PlanError(f"{name} {value!r}: expected a whole number, 1 or more")

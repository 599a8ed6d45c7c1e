"""Options by name: unknown names are refused, and windows and halos are read as users write them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from landseg.errors import BandError, LandsegError, OutputError, PlanError


def refuse_unknown(names: Iterable[str], known: Sequence[str], *, of: str) -> None:
    """Raise LandsegError if a name is none of the known names; the sentence holds the nearest of them."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise LandsegError(f"{of} has no option {name!r}: {hint}")


def window_option(value: Any) -> int | tuple[int, int] | str:
    """Return the window of an option: "auto", 512, "512", "512x1024" or (512, 1024).

    Raises:
        PlanError: the value is something else.
    """
    if value == "auto" or isinstance(value, int):
        return value  # type: ignore[no-any-return]
    parts = str(value).lower().split("x") if isinstance(value, str) else value
    try:
        numbers = [_whole(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise PlanError(f"window {value!r}: expected auto, a number, or HEIGHTxWIDTH")


def halo_option(value: Any) -> int | str:
    """Return the halo of an option: "auto", "exact", 24 or "24".

    Raises:
        PlanError: the value is something else.
    """
    if value in ("auto", "exact"):
        return str(value)
    try:
        return _whole(value)
    except (TypeError, ValueError):
        raise PlanError(f"halo {value!r}: expected auto, exact, or a whole number of pixels") from None


def _whole(value: Any) -> int:
    """Return a whole number, also from a text; int() would cut the fraction off another number."""
    if not isinstance(value, (str, Integral)):
        raise TypeError(f"{value!r} is no whole number")
    return int(value)


def check_whole_bands(bands: Any) -> None:
    """Raise BandError if bands, where some are chosen, are not whole numbers."""
    if bands is not None and not all(isinstance(band, Integral) for band in bands):
        raise BandError(f"bands {bands!r}: expected whole numbers, such as [3, 2, 1]")


def check_probs_dtype(dtype: str) -> None:
    """Raise OutputError if `dtype` is none that probabilities are written in."""
    if dtype not in ("uint8", "float32"):
        raise OutputError(f"probabilities in {dtype!r}: expected uint8 or float32")


def check_positive(name: str, value: Any) -> None:
    """Raise PlanError if the option `name` is no whole number from 1 on."""
    if not (isinstance(value, int) and value >= 1):
        raise PlanError(f"{name} {value!r}: expected a whole number, 1 or more")

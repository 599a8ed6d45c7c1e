"""Options by name: unknown ones refused, windows and halos as users write them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from landseg.errors import LandsegError, PlanError


def refuse_unknown(names: Iterable[str], known: Sequence[str], *, of: str) -> None:
    """Nothing, if every name is known.

    Raises:
        LandsegError: one is not; the sentence names the nearest.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise LandsegError(f"{of} has no option {name!r}: {hint}")


def window_option(value: Any) -> int | tuple[int, int] | str:
    """A window as asked for: "auto", 512, "512", "512x1024" or (512, 1024)."""
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
    if value in ("auto", "exact"):
        return str(value)
    try:
        return _whole(value)
    except (TypeError, ValueError):
        raise PlanError(f"halo {value!r}: expected auto, exact, or a whole number of pixels") from None


def _whole(value: Any) -> int:
    """A whole number as such or in a text; int() would cut the rest of another off."""
    if not isinstance(value, (str, Integral)):
        raise TypeError(f"{value!r} is no whole number")
    return int(value)

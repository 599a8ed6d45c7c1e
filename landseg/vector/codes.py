"""The numbers of a raster's file as class values, and the value that stands for no class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE, ClassMap
from landseg.errors import ClassError


class Codes:
    """A table of 65,536 class values: selected values stay, all others become one value that stands for no class.

    Args:
        nodata: the nodata value of the raster; None, or a number that is no class value, has no effect.
        table: the class table; values that it ignores become `nodata`.
        selection: the selected values; None selects all.

    Attributes:
        empty, ignored: (65536,) True for values that are nodata, and for ignored values.
        nodata: the value that stands for no class.
    """

    def __init__(self, nodata: float | None, table: ClassMap | None, selection: frozenset[int] | None) -> None:
        self.empty = _among([] if nodata is None else [nodata])
        self.ignored = _among([] if table is None else table.ignore) & ~self.empty
        keep = ~(self.empty | self.ignored)
        if selection is not None:
            keep &= np.isin(np.arange(MAX_VALUE + 1), list(selection))
        dropped = np.flatnonzero(~keep[:256])
        dropped = dropped if dropped.size else np.flatnonzero(~keep)
        self.nodata = int(dropped[0]) if dropped.size else -1
        self._table = np.where(keep, np.arange(MAX_VALUE + 1), self.nodata)

    def select(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Return class values (h, w) with all but the selected ones set to `nodata`, in a dtype that holds both."""
        narrow = codes.dtype == np.uint8 and 0 <= self.nodata <= 255
        dtype = np.uint8 if narrow else np.int32 if self.nodata < 0 else np.uint16
        part = self._table[: 256 if codes.dtype == np.uint8 else None].astype(dtype)
        return np.asarray(part[codes])


def _among(values: Sequence[float]) -> NDArray[np.bool_]:
    """Return (65536,) True for the class values that are among the numbers."""
    found = np.zeros(MAX_VALUE + 1, bool)
    for value in values:
        if 0 <= value <= MAX_VALUE and value == int(value):
            found[int(value)] = True
    return found


def to_class_values(raw: NDArray[Any], valid: NDArray[np.bool_] | None, name: str) -> NDArray[np.uint16]:
    """Return numbers (h, w) of any dtype as class values; 0 where they are not ``valid``.

    Raises:
        ClassError: a valid number is a fraction, negative or too large; the message calls the raster ``name``.
    """
    fits = (raw >= 0) & (raw <= MAX_VALUE)
    if raw.dtype.kind == "f":
        fits &= raw == np.rint(raw)
    wrong = ~fits if valid is None else valid & ~fits
    if wrong.any():
        unmapped = raw[wrong]
        found = unmapped[0].item()
        alone = float(found).is_integer() and bool((unmapped == unmapped[0]).all())
        exact = f"{found:.17g}"
        hint = f"; or, if {exact} is no data, declare it (gdal_edit.py -a_nodata {exact} {name})" if alone else ""
        raise ClassError(
            f"{name} holds {found:g}: expected a class raster of whole numbers 0..{MAX_VALUE}; classify it first "
            f"(landseg predict), or convert it{hint}"
        )
    return np.where(fits, raw, 0).astype(np.uint16)

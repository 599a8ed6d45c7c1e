"""The numbers in a class raster's file as class values: which are classes, and what stands for none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE, ClassMap
from landseg.errors import ClassError


class Codes:
    """Which raster values stay: a table of 65,536, and the value that stands for none.

    Args:
        nodata: that the raster declares; numbers that are no class value, and None, mean nothing.
        table: its ignored values stand for none.
        wanted: None: every value that is left.

    Attributes:
        empty, ignored: which values (65536,) are no data and which are ignored.
        nodata: the value that stands for none.
    """

    def __init__(self, nodata: float | None, table: ClassMap | None, wanted: frozenset[int] | None) -> None:
        self.empty = _among([] if nodata is None else [nodata])
        self.ignored = _among([] if table is None else table.ignore) & ~self.empty
        keep = ~(self.empty | self.ignored)
        if wanted is not None:
            keep &= np.isin(np.arange(MAX_VALUE + 1), list(wanted))
        dropped = np.flatnonzero(~keep[:256])
        dropped = dropped if dropped.size else np.flatnonzero(~keep)
        self.nodata = int(dropped[0]) if dropped.size else -1
        self._table = np.where(keep, np.arange(MAX_VALUE + 1), self.nodata)

    def wanted(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Values (h, w) with the unwanted ones set to nodata, in a dtype that holds both."""
        narrow = codes.dtype == np.uint8 and 0 <= self.nodata <= 255
        dtype = np.uint8 if narrow else np.int32 if self.nodata < 0 else np.uint16
        part = self._table[: 256 if codes.dtype == np.uint8 else None].astype(dtype)
        return np.asarray(part[codes])


def _among(values: Sequence[float]) -> NDArray[np.bool_]:
    """Which class values (65536,) are among some numbers."""
    found = np.zeros(MAX_VALUE + 1, bool)
    for value in values:
        if 0 <= value <= MAX_VALUE and value == int(value):
            found[int(value)] = True
    return found


def whole_numbers(raw: NDArray[Any], valid: NDArray[np.bool_] | None, name: str) -> NDArray[np.uint16]:
    """Other dtypes as class values.

    Raises:
        ClassError: fractions, negative or larger numbers.
    """
    fits = (raw >= 0) & (raw <= MAX_VALUE)
    if raw.dtype.kind == "f":
        fits &= raw == np.rint(raw)
    wrong = ~fits if valid is None else valid & ~fits
    if wrong.any():
        strange = raw[wrong]
        found = strange[0].item()
        alone = float(found).is_integer() and bool((strange == strange[0]).all())
        exact = f"{found:.17g}"
        hint = f"; or, if {exact} is no data, declare it (gdal_edit.py -a_nodata {exact} {name})" if alone else ""
        raise ClassError(
            f"{name} holds {found:g}: expected a class raster of whole numbers 0..{MAX_VALUE}; classify it first "
            f"(landseg predict), or convert it{hint}"
        )
    return np.where(fits, raw, 0).astype(np.uint16)

"""Peaks of maps: the units that come first in their window, the same however the rows are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def find_peaks(levels: NDArray[Any], radius: int = 1) -> tuple[Ints, Ints]:
    """Return the rows and columns (n,) of the peaks of a map in memory, in reading order.

    A unit is a peak if it comes first in the square window of 2 * radius + 1 units around it, in the order of falling
    level and, among equals, of reading. So a plateau no wider than the window has one peak. A level of 0 is none.

    Args:
        levels: whole numbers ``(h, w)``, of any unsigned dtype.
        radius: of the window, 1 or more.

    Raises:
        ValueError: the levels are not such a map, or the radius is less than 1.

    >>> rows, columns = find_peaks(np.array([[0, 5, 5, 0, 9]], np.uint16))
    >>> rows.tolist(), columns.tolist()
    ([0, 0], [1, 4])
    """
    rows = PeakRows(levels.shape[1] if levels.ndim == 2 else 0, radius=radius)
    found = [rows.add(levels), rows.end()]
    return np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])


class PeakRows:
    """Find the peaks of a map whose rows come in strips.

    `add` takes rows and returns the peaks of the rows that are finished, ``radius`` fewer than came in so far; `end`
    returns those of the last ones. Kept are ``2 * radius`` rows.

    Args:
        width: columns of the map.
        radius: of the window, see `find_peaks`.

    Raises:
        ValueError: the width or the radius is less than 1.
    """

    def __init__(self, width: int, *, radius: int = 1) -> None:
        if width < 1 or radius < 1:
            raise ValueError(f"expected a width and a radius of 1 or more, not {width} and {radius}")
        self._width, self._radius = width, radius
        self._rows = np.zeros((radius, width), np.uint16)  # rows of nothing above the map
        self._top, self._ended = -radius, False  # number of the first kept row

    @property
    def waiting(self) -> int:
        """The number of rows that have come and are not finished."""
        return 0 if self._ended else min(self._radius, self._top + len(self._rows))

    def add(self, levels: NDArray[Any]) -> tuple[Ints, Ints]:
        """Return the rows and columns (n,) of the peaks of rows that are finished, in reading order.

        Args:
            levels: the next rows ``(h, w)``.

        Raises:
            ValueError: the rows are of another width or no whole numbers, or the last row was said to have come.
        """
        if self._ended:
            raise ValueError("the map has ended: rows come before end()")
        if levels.ndim != 2 or levels.shape[1] != self._width or levels.dtype.kind != "u":
            raise ValueError(f"expected rows of {self._width} unsigned numbers, not {levels.shape} of {levels.dtype}")
        return self._advance(levels)

    def end(self) -> tuple[Ints, Ints]:
        """Return the rows and columns (n,) of the peaks of the last rows; no row comes any more."""
        self._ended = True
        return self._advance(np.zeros((self._radius, self._width), np.uint16))

    def _advance(self, levels: NDArray[Any]) -> tuple[Ints, Ints]:
        radius, width = self._radius, self._width
        rows = np.concatenate([self._rows, levels])
        count = len(rows) - 2 * radius
        if count <= 0:
            self._rows = rows
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        framed = np.pad(rows, ((0, 0), (radius, radius)))
        own = rows[radius : radius + count]
        peak = own > 0
        for down in range(-radius, radius + 1):
            for right in range(-radius, radius + 1):
                if (down, right) == (0, 0):
                    continue
                other = framed[radius + down : radius + down + count, radius + right : radius + right + width]
                before = (down, right) < (0, 0)  # it comes first among equals
                peak &= own > other if before else own >= other
        found, columns = np.nonzero(peak)
        found = found + self._top + radius
        self._rows, self._top = rows[count:].copy(), self._top + count
        return found.astype(np.int64), columns.astype(np.int64)

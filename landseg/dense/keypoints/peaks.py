"""Peaks of maps. It stands in for `landseg.dense.peaks`, with the same signature, until that is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 65535
"""The highest level of a map that is rounded to 16 bits, a part of every definition here."""


def to_levels(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return values from 0 to 1 as levels from 0 to 65535, of the same shape; no number counts as 0."""
    made: NDArray[np.uint16] = np.rint(np.clip(np.nan_to_num(values), 0, 1) * LEVELS).astype(np.uint16)
    return made


def find_peaks(values: NDArray[np.uint16], radius: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows (n,) and columns (n,) of the peaks of a map of levels (h, w), in reading order.

    A peak is above 0 and the first of its window of 2 * radius + 1 units a side: no level there is higher, and none
    that is equal comes before it in reading order. A plateau no larger than the window has one peak.

    >>> rows, columns = find_peaks(np.array([[1, 3, 3, 0, 2]], np.uint16), 1)
    >>> columns.tolist()
    [1, 4]
    """
    height, width = values.shape
    padded = np.zeros((height + 2 * radius, width + 2 * radius), np.uint16)
    padded[radius : radius + height, radius : radius + width] = values
    first = values > 0
    for down in range(2 * radius + 1):
        for right in range(2 * radius + 1):
            other = padded[down : down + height, right : right + width]
            before = (down, right) < (radius, radius)
            if (down, right) != (radius, radius):
                first &= other < values if before else other <= values
    rows, columns = np.nonzero(first)
    return rows.astype(np.int64), columns.astype(np.int64)

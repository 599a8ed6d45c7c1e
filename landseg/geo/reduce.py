"""Shapes and positions of pictures that are smaller than what they show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest(size: int, shown: int) -> NDArray[np.int64]:
    """Of ``size`` pixels, the ones nearest to the centres of ``shown``.

    >>> nearest(10, 5).tolist(), nearest(2, 4).tolist()
    ([1, 3, 5, 7, 9], [0, 0, 1, 1])
    """
    return ((2 * np.arange(shown, dtype=np.int64) + 1) * size) // (2 * shown)


CELL, LARGEST = 280, 1200  # edge of a scene's picture: of many scenes, and of a single one


def fitted(shape: tuple[int, int], edge: int = CELL) -> tuple[int, int]:
    """Return (height, width) within a square of ``edge`` pixels; smaller rasters stay as they are.

    >>> fitted((1000, 500)), fitted((20, 30))
    ((280, 140), (20, 30))
    """
    factor = min(1.0, edge / max(shape))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))

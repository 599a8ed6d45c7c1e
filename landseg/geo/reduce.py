"""Shapes and pixel positions of small pictures of large rasters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest(size: int, shown: int) -> NDArray[np.int64]:
    """Return the pixels, of ``size``, that are nearest to the centres of the ``shown`` pixels of a picture.

    >>> nearest(10, 5).tolist(), nearest(2, 4).tolist()
    ([1, 3, 5, 7, 9], [0, 0, 1, 1])
    """
    return ((2 * np.arange(shown, dtype=np.int64) + 1) * size) // (2 * shown)


SMALL_EDGE, LARGE_EDGE = 280, 1200
"""The edge in pixels of a scene's picture: one of many scenes, and a single one."""


def fitted(shape: tuple[int, int], edge: int = SMALL_EDGE) -> tuple[int, int]:
    """Return the (height, width) of a picture within a square of ``edge`` pixels; smaller rasters keep their shape.

    >>> fitted((1000, 500)), fitted((20, 30))
    ((280, 140), (20, 30))
    """
    factor = min(1.0, edge / max(shape))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))

"""Segment ids in the colours of COCO's panoptic pictures: red + 256 green + 65,536 blue."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

VOID = 0
"""The id of pixels that belong to no segment."""
LARGEST = (1 << 24) - 1
"""The largest id that a colour can say."""


def to_colors(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colours (h, w, 3) of segment ids (h, w), from 0 to `LARGEST`.

    >>> to_colors(np.array([[0, 258, 65536]])).tolist()
    [[[0, 0, 0], [2, 1, 0], [0, 0, 1]]]
    """
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)


def from_colors(colors: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the segment ids (h, w) of colours (h, w, 3)."""
    red, green, blue = (colors[..., band].astype(np.uint32) for band in range(3))
    ids: NDArray[np.uint32] = (red | green << 8 | blue << 16).astype(np.uint32)
    return ids

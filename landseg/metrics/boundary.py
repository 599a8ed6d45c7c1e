"""Boundary IoU (Cheng et al. 2021): how well outlines agree, whatever fills them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX


class BoundaryIoU:
    """Sums over rasters of the intersection and the union of the bands along each class's outline.

    The band of a class is its pixels within ``distance`` pixels (chessboard distance) of a pixel of another class.
    Unlike in the paper's code the raster's edge and pixels without a label are no other class: there an outline would
    be of the survey's making. Pixels that the truth ignores are not counted.

    Args:
        classes: K.
        distance: Width of the bands in pixels, at least 1.
    """

    def __init__(self, classes: int, distance: int) -> None:
        if distance < 1:
            raise ValueError(f"distance must be at least 1 pixel, got {distance}")
        self.distance = distance
        self.intersection = np.zeros(classes, dtype=np.int64)
        self.union = np.zeros(classes, dtype=np.int64)

    def update(self, target: NDArray[np.integer], predicted: NDArray[np.integer]) -> None:
        """Count two rasters (H, W) of class indices; IGNORE_INDEX is no class."""
        counted = target != IGNORE_INDEX
        for index in range(len(self.union)):
            true = band(target, index, self.distance) & counted
            ours = band(predicted, index, self.distance) & counted
            self.intersection[index] += np.count_nonzero(true & ours)
            self.union[index] += np.count_nonzero(true | ours)

    def merge(self, other: BoundaryIoU) -> None:
        """Take over what another has counted."""
        self.intersection += other.intersection
        self.union += other.union

    def compute(self) -> NDArray[np.float64]:
        """Return the boundary IoU of each class, (K,); nan for a class without an outline on either side."""
        with np.errstate(invalid="ignore"):
            ratio: NDArray[np.float64] = self.intersection / self.union
        return ratio


def band(labels: NDArray[np.integer], index: int, distance: int) -> NDArray[np.bool_]:
    """Return where ``labels`` (H, W) are ``index`` and a pixel of another class is at most ``distance`` away.

    >>> band(np.array([[0, 0, 0, 1, 1]]), 0, 1).tolist()
    [[False, False, True, False, False]]
    """
    mask = labels == index
    near = ~mask & (labels != IGNORE_INDEX)
    for axis in (0, 1):
        near = _spread(near, distance, axis)
    found: NDArray[np.bool_] = mask & near
    return found


def _spread(flags: NDArray[np.bool_], distance: int, axis: int) -> NDArray[np.bool_]:
    """True wherever a True is at most ``distance`` away along an axis; by running sums, whatever the distance."""
    length = flags.shape[axis]
    sums = np.concatenate([np.zeros_like(flags.take([0], axis), np.int32), flags.cumsum(axis, np.int32)], axis)
    at = np.arange(length)
    first, last = np.maximum(at - distance, 0), np.minimum(at + distance + 1, length)
    spread: NDArray[np.bool_] = sums.take(last, axis) > sums.take(first, axis)
    return spread

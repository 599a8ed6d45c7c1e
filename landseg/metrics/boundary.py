"""Boundary IoU (Cheng et al. 2021): the agreement of outlines."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, MAX_CLASSES

Reach = int | tuple[int, int]
"""Pixels in every direction, or (down the rows, along the columns)."""
Number = TypeVar("Number", bound=np.integer[Any])
WHOLE = (slice(None), slice(None))


class BoundaryIoU:
    """Sums over rasters of the intersection and the union of the bands along each class's outline.

    The band of a class is its pixels within ``distance`` pixels (chessboard distance) of a pixel of another class.
    Unlike in the paper's code, the raster's edge and pixels without a label are no other class: an outline there
    would be that of the survey, not of the land. ``border=True`` counts them as the paper's code does. Pixels that
    the truth ignores are never counted; without a border the prediction is ignored there too, so that no band begins
    there on either side. The distance is fixed; the paper takes 2 % of an image's diagonal.

    Args:
        classes: K.
        distance: width of the bands in pixels, at least 1; the halo that a window needs on each side. A pair is down
            the rows and along the columns, for pixels that are not square.
        border: True if the raster's edge and pixels without a label are another class.
    """

    def __init__(self, classes: int, distance: Reach, *, border: bool = False) -> None:
        if min(_both(distance)) < 1:
            raise ValueError(f"distance must be at least 1 pixel, got {distance}")
        self.distance = distance
        self.border = border
        self.intersection = np.zeros(classes, dtype=np.int64)
        self.union = np.zeros(classes, dtype=np.int64)
        self.true = np.zeros(classes, dtype=np.int64)

    @property
    def has_outline(self) -> bool:
        """True if the truth has an outline; without an outline there is nothing to compare with."""
        return bool(self.true.any())

    def update(
        self,
        target: NDArray[np.integer[Any]],
        predicted: NDArray[np.integer[Any]],
        *,
        core: tuple[slice, slice] = WHOLE,
    ) -> None:
        """Count two rasters (H, W) of class indices, or the core of a window; IGNORE_INDEX is no class.

        The arrays of a window reach at least ``distance`` pixels beyond its core, but not beyond the raster. Then
        cores that partition a raster give the counts of the whole raster.
        """
        known = target != IGNORE_INDEX
        counted = known[core]
        if not self.border:
            predicted = np.where(known, predicted, IGNORE_INDEX)
        sides = []
        for labels in (target, predicted):
            band = outline(labels, self.distance, border=self.border)[core] & counted
            sides.append((labels[core], band))
        (true_labels, true_band), (labels, band) = sides
        both = self._by_class(true_labels[true_band & band & (true_labels == labels)])
        self.intersection += both
        true = self._by_class(true_labels[true_band])
        self.true += true
        self.union += true + self._by_class(labels[band]) - both

    def merge(self, other: BoundaryIoU) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has another distance or rule for the border.
        """
        if (self.distance, self.border) != (other.distance, other.border):
            raise ValueError("merged boundary IoUs need one distance and one rule for the border")
        self.intersection += other.intersection
        self.union += other.union
        self.true += other.true

    def compute(self) -> NDArray[np.float64]:
        """Return the boundary IoU of each class, (K,); nan for a class without an outline in the truth.

        With a ``border`` the paper's rule holds: 0 if only one side has an outline, nan if neither has.
        """
        with np.errstate(invalid="ignore"):
            ratio: NDArray[np.float64] = self.intersection / self.union
        return ratio if self.border else np.where(self.true > 0, ratio, np.nan)

    def mean(self) -> float:
        """Return the mean over the classes with a figure; nan without such classes."""
        values = self.compute()
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def _by_class(self, labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        classes = len(self.union)
        return np.bincount(labels, minlength=classes)[:classes]


def _both(distance: Reach) -> tuple[int, int]:
    return (distance, distance) if isinstance(distance, int) else distance


def outline(labels: NDArray[np.integer[Any]], distance: Reach, *, border: bool = False) -> NDArray[np.bool_]:
    """Return True for each pixel of ``labels`` (H, W) with a pixel of another class at most ``distance`` away.

    With ``border``, pixels outside the raster and pixels of IGNORE_INDEX are of another class.

    >>> outline(np.array([[0, 0, 0, 1, 1]]), 1).tolist()
    [[False, False, True, True, False]]
    """
    own = np.asarray(labels).astype(np.uint8)
    if border:
        own = np.where(own == IGNORE_INDEX, MAX_CLASSES, own).astype(np.uint8)
    # The largest label is taken of labels + 1, in which IGNORE_INDEX is 0 and so never the largest; in the labels
    # themselves IGNORE_INDEX is never the smallest.
    beyond = MAX_CLASSES if border else IGNORE_INDEX
    smallest, largest = own, own + np.uint8(1)
    for axis, reach in enumerate(_both(distance)):
        smallest = extreme(np.minimum, smallest, distance=reach, axis=axis, outside=beyond)
        largest = extreme(np.maximum, largest, distance=reach, axis=axis, outside=(beyond + 1) % 256)
    near: NDArray[np.bool_] = (smallest != own) | (largest != own + np.uint8(1))
    near &= np.asarray(labels) != IGNORE_INDEX
    return near


def extreme(choose: np.ufunc, values: NDArray[Number], *, distance: int, axis: int, outside: int) -> NDArray[Number]:
    """Return the smallest or largest value at most ``distance`` away along an axis, in log2(distance) passes.

    ``choose`` is `numpy.minimum` or `numpy.maximum`; ``outside`` is the value beyond the ends of the axis.
    """
    pad = [(0, 0), (0, 0)]
    pad[axis] = (distance, distance)
    found = np.moveaxis(np.pad(values, pad, constant_values=outside), axis, 0)
    covered, full = 1, 2 * distance + 1
    while covered < full:
        step = min(covered, full - covered)
        found = choose(found[:-step], found[step:])
        covered += step
    return np.moveaxis(found, 0, axis)

"""The confusion matrix and what is read off it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Confusion:
    """Pixel counts by truth (rows) and prediction (columns), shape (K, K), accumulated over a whole data set.

    Pixels whose truth is outside 0..K-1 (ignore, nodata) are not counted. Predictions have to be class
    indices wherever the truth is one.

    >>> c = Confusion(2)
    >>> c.update(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]))
    >>> c.counts.tolist(), c.iou().tolist()
    ([[1, 1], [0, 1]], [0.5, 0.5])
    """

    def __init__(self, classes: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((classes, classes), dtype=np.int64)

    def update(self, truth: NDArray[Any], prediction: NDArray[Any]) -> None:
        """Add arrays of class indices of one shape.

        Raises:
            ValueError: when a counted pixel's prediction is no class index.
        """
        k = len(self.counts)
        counted = (truth >= 0) & (truth < k)
        rows, columns = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
        if columns.size and (columns.min() < 0 or columns.max() >= k):
            raise ValueError(f"predictions must be class indices 0..{k - 1} wherever the truth is one")
        self.counts += np.bincount(rows * k + columns, minlength=k * k).reshape(k, k)

    def merge(self, other: Confusion) -> None:
        """Add another matrix's counts."""
        self.counts += other.counts

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union by class, (K,); nan for a class in neither truth nor prediction."""
        hit = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - hit
        iou: NDArray[np.float64] = np.divide(hit, union, out=np.full_like(hit, np.nan), where=union > 0)
        return iou

    def mean_iou(self) -> float:
        """The mean of the classes' IoU over those that occur; nan when none does."""
        values = self.iou()
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def pixel_accuracy(self) -> float:
        """The share of counted pixels that are right; nan without any."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else float("nan")

    def commonest_class_accuracy(self) -> float:
        """The pixel accuracy of a map that calls everything by its commonest class."""
        total = self.counts.sum()
        return float(self.counts.sum(1).max() / total) if total else float("nan")

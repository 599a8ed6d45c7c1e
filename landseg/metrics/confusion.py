"""The confusion matrix of class indices, and the figures of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, MAX_CLASSES
from landseg.metrics import figures

CHUNK = 1 << 19
"""Pixels counted at a time: their codes (at most 1 MiB) stay in a processor's cache."""
FEWER, FEW = 7, 15
"""Largest numbers of classes whose indices, and one more value for no data, fit 3 bits and 4 bits."""


class Confusion:
    """Pixel counts by truth (rows) and prediction (columns), shape (K, K), accumulated over a whole data set.

    Void and nodata follow the truth only: pixels whose truth is outside 0..K-1 (ignore, nodata) are not counted.
    A pixel whose truth is a class and whose prediction is IGNORE_INDEX (no data) is an error: it is in no column
    of ``counts``, but in ``missed`` of its class and in every denominator of the truth. Any other prediction must
    be a class index wherever the truth is a class index.

    >>> c = Confusion(2)
    >>> c.update(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]))
    >>> c.counts.tolist(), c.iou().tolist()
    ([[1, 1], [0, 1]], [0.5, 0.5])
    >>> c.update(np.array([1]), np.array([255]))
    >>> c.counts.tolist(), c.missed.tolist(), c.iou().round(2).tolist()
    ([[1, 1], [0, 1]], [0, 1], [0.5, 0.33])

    Attributes:
        table: (K, K + 1): the columns of ``counts``, then ``missed``.
    """

    def __init__(self, classes: int) -> None:
        self.table: NDArray[np.int64] = np.zeros((classes, classes + 1), dtype=np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of pixels with a class in truth and prediction, (K, K)."""
        return self.table[:, :-1]

    @property
    def missed(self) -> NDArray[np.int64]:
        """The number of pixels of each class without data in the prediction, (K,)."""
        return self.table[:, -1]

    def update(self, truth: NDArray[Any], prediction: NDArray[Any]) -> None:
        """Count two arrays of class indices of the same shape.

        Raises:
            ValueError: the prediction of a counted pixel is neither a class index nor IGNORE_INDEX.
        """
        self.table += pairs(truth, prediction, len(self.table))

    def merge(self, other: Confusion) -> None:
        """Add the counts of another matrix."""
        self.table += other.table

    def iou(self) -> NDArray[np.float64]:
        """Return intersection over union by class, (K,); nan for a class in neither truth nor prediction."""
        return figures.iou(self.table)

    def precision(self) -> NDArray[np.float64]:
        """Return the share of the pixels predicted as each class that is right, (K,); nan without such pixels."""
        return figures.precision(self.table)

    def recall(self) -> NDArray[np.float64]:
        """Return the share of the pixels of each class that is found, (K,); nan without pixels in the truth."""
        return figures.recall(self.table)

    def f1(self) -> NDArray[np.float64]:
        """Return the harmonic mean of precision and recall, (K,); nan for a class in neither truth nor prediction."""
        return figures.f1(self.table)

    def mean_iou(self) -> float:
        """Return the mean IoU over the classes in truth or prediction; nan without such classes."""
        return float(figures.mean_iou(self.table))

    def averaged_over(self) -> int:
        """Return the number of classes in truth or prediction, over which `mean_iou` is the mean."""
        return int(figures.averaged_over(self.table))

    def frequency_weighted_iou(self) -> float:
        """Return the mean IoU of the classes, weighted by their pixels in the truth; nan without pixels."""
        return float(figures.frequency_weighted_iou(self.table))

    def kappa(self) -> float:
        """Return Cohen's kappa: agreement above chance, as a share of the possible; nan if chance agrees on all."""
        return float(figures.kappa(self.table))

    def pixel_accuracy(self) -> float:
        """Return the share of counted pixels that is right; nan without pixels."""
        return float(figures.pixel_accuracy(self.table))

    def commonest_class(self) -> int | None:
        """Return the index of the most frequent class of the truth, the first if equal; None without pixels."""
        return int(figures.commonest_class(self.table)) if self.table.any() else None

    def commonest_class_accuracy(self) -> float:
        """Return the pixel accuracy of a map that holds only the most frequent class; nan without pixels."""
        return float(figures.commonest_class_accuracy(self.table))


def pairs(truth: NDArray[Any], prediction: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Count pixels by truth and prediction, (K, K + 1); the last column is for predictions of IGNORE_INDEX.

    Any dtype is possible; uint8 is fastest, above all with up to 15 classes.

    Raises:
        ValueError: as `Confusion.update`, or the arrays have different shapes.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth of shape {truth.shape} and prediction of shape {prediction.shape} do not match")
    if not 1 <= classes <= MAX_CLASSES:
        raise ValueError(f"expected 1 to {MAX_CLASSES} classes, got {classes}")
    truth, prediction = np.atleast_1d(truth), np.atleast_1d(prediction)
    table = np.zeros((classes, classes + 1), np.int64)
    rows = max(1, CHUNK // max(1, truth[:1].size))
    for start in range(0, len(truth), rows):
        chunk = slice(start, start + rows)
        true, found = _bytes(truth[chunk], IGNORE_INDEX), _bytes(prediction[chunk], MAX_CLASSES)
        true, found = true.ravel(), found.ravel()  # parts of wider rows are copied once: counting is faster then
        if classes <= FEW and _all_known(true, classes) and _all_known(found, classes):
            joint = _joint_of_few(true, found, 3 if classes <= FEWER else 4)[:classes]
        else:
            joint = _joint(true, found)[:classes]
            if joint[:, classes:IGNORE_INDEX].any():
                raise ValueError(f"predictions must be class indices 0..{classes - 1} wherever the truth is one")
        table[:, :classes] += joint[:, :classes]
        table[:, classes] += joint[:, -1]
    return table


def weighted_pairs(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum weights of pixels by truth and prediction, (K, K + 1), as `pairs` counts them.

    Args:
        truth: class indices (H, W); IGNORE_INDEX is not counted.
        prediction: class indices (H, W); IGNORE_INDEX is the last column.
        classes: K.
        weights: (H, W) or (H, 1); sums of whole numbers are exact up to 2 ** 53.

    >>> weighted_pairs(np.array([[0], [0]], np.uint8), np.array([[0], [255]], np.uint8), 1, np.array([[2.0], [3.0]]))
    array([[2., 3.]])
    """
    known = truth < classes
    codes = truth[known].astype(np.int64) * (classes + 1) + np.minimum(prediction[known], classes)
    sums = np.bincount(codes, np.broadcast_to(weights, truth.shape)[known], minlength=classes * (classes + 1))
    return np.asarray(sums, np.float64).reshape(classes, classes + 1)


def _joint(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the number of pixels of every pair of bytes, (256, 256); a pair is counted as a number of 16 bits."""
    codes = truth.astype(np.uint16)
    codes <<= 8
    codes |= prediction
    return np.bincount(codes, minlength=1 << 16).reshape(256, 256)


def _joint_of_few(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], bits: int) -> NDArray[np.int64]:
    """Return the counts of pixels (N,) by class index, (2 ** bits, 2 ** bits); the last index is IGNORE_INDEX.

    A pixel's two indices make one byte, and a number of 16 bits holds two pixels: half as much to count.
    """
    last = np.uint8((1 << bits) - 1)
    codes = (truth & last) << np.uint8(bits)
    codes |= prediction & last
    size, span = 1 << 2 * bits, 256 << 2 * bits
    even = codes.size // 2 * 2 if codes.size >= span else 0  # fewer pixels than numbers are counted one by one
    joint = np.bincount(codes[even:], minlength=size)
    if even:
        both = np.bincount(codes[:even].view(np.uint16), minlength=span).reshape(-1, 256)[:size, :size]
        joint = joint + both.sum(0) + both.sum(1)
    return joint.reshape(last + 1, last + 1)


def _all_known(values: NDArray[np.uint8], classes: int) -> bool:
    """Return True if every value is a class index or IGNORE_INDEX, which becomes 0 when 1 is added."""
    return bool((values + np.uint8(1)).max(initial=0) <= classes)


def _bytes(values: NDArray[Any], other: int) -> NDArray[np.uint8]:
    """Return values as uint8, with ``other`` where they do not fit; an array of uint8 is not copied."""
    if values.dtype == np.uint8:
        return values
    return np.where((values >= 0) & (values <= 255), values, other).astype(np.uint8)

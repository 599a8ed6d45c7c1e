"""The confusion matrix and what is read off it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, MAX_CLASSES
from landseg.metrics import figures

CHUNK = 1 << 19
"""Pixels that are counted at a time: their codes (at most 1 MiB) stay in a processor's cache."""
FEWER, FEW = 7, 15
"""Up to so many classes, and no data as one more, an index fits 3 bits, or 4."""


class Confusion:
    """Pixel counts by truth (rows) and prediction (columns), shape (K, K), accumulated over a whole data set.

    Void and nodata follow the truth only: pixels whose truth is outside 0..K-1 (ignore, nodata) are not counted.
    A pixel whose truth is a class and whose prediction is IGNORE_INDEX, so without data, is an error: it counts
    as missed by its class, in no column of ``counts`` but in ``missed`` and in every denominator of the truth. Any
    other prediction has to be a class index wherever the truth is one.

    >>> c = Confusion(2)
    >>> c.update(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]))
    >>> c.counts.tolist(), c.iou().tolist()
    ([[1, 1], [0, 1]], [0.5, 0.5])
    >>> c.update(np.array([1]), np.array([255]))
    >>> c.counts.tolist(), c.missed.tolist(), c.iou().round(2).tolist()
    ([[1, 1], [0, 1]], [0, 1], [0.5, 0.33])

    Attributes:
        table: (K, K + 1): the counts, then the missed.
    """

    def __init__(self, classes: int) -> None:
        self.table: NDArray[np.int64] = np.zeros((classes, classes + 1), dtype=np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels with a class on either side, (K, K)."""
        return self.table[:, :-1]

    @property
    def missed(self) -> NDArray[np.int64]:
        """Pixels of each class that the prediction leaves without data, (K,)."""
        return self.table[:, -1]

    def update(self, truth: NDArray[Any], prediction: NDArray[Any]) -> None:
        """Add arrays of class indices of one shape.

        Raises:
            ValueError: when a counted pixel's prediction is neither a class index nor IGNORE_INDEX.
        """
        self.table += pairs(truth, prediction, len(self.table))

    def merge(self, other: Confusion) -> None:
        """Add another matrix's counts."""
        self.table += other.table

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union by class, (K,); nan for a class in neither truth nor prediction."""
        return figures.iou(self.table)

    def precision(self) -> NDArray[np.float64]:
        """Share of the pixels called each class that are, (K,); nan if none is called so."""
        return figures.precision(self.table)

    def recall(self) -> NDArray[np.float64]:
        """Share of each class's pixels that are found, (K,); nan if the truth has none."""
        return figures.recall(self.table)

    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall, (K,); nan for a class in neither truth nor prediction."""
        return figures.f1(self.table)

    def mean_iou(self) -> float:
        """The mean of the classes' IoU over those in truth or prediction; nan when none is."""
        return float(figures.mean_iou(self.table))

    def averaged_over(self) -> int:
        """The number of classes in truth or prediction: those that `mean_iou` is the mean of."""
        return int(figures.averaged_over(self.table))

    def frequency_weighted_iou(self) -> float:
        """The mean of the classes' IoU weighted by their pixels in the truth; nan without any."""
        return float(figures.frequency_weighted_iou(self.table))

    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond that of chance, by the best that could be; nan where chance is certain."""
        return float(figures.kappa(self.table))

    def pixel_accuracy(self) -> float:
        """The share of counted pixels that are right; nan without any."""
        return float(figures.pixel_accuracy(self.table))

    def commonest_class(self) -> int | None:
        """The index of the truth's commonest class, the first of several; None without any pixel."""
        return int(figures.commonest_class(self.table)) if self.table.any() else None

    def commonest_class_accuracy(self) -> float:
        """The pixel accuracy of a map that calls everything by its commonest class; nan without any pixel."""
        return float(figures.commonest_class_accuracy(self.table))


def pairs(truth: NDArray[Any], prediction: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Count pixels by truth and prediction, (K, K + 1); the last column is for predictions of IGNORE_INDEX.

    Any dtype that holds class indices will do; uint8 is fastest, above all with up to 15 classes.

    Raises:
        ValueError: as `Confusion.update`, or arrays of different shapes.
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
        true, said = _bytes(truth[chunk], IGNORE_INDEX), _bytes(prediction[chunk], MAX_CLASSES)
        true, said = true.ravel(), said.ravel()  # parts of wider rows: copied once, then worked on at full speed
        if classes <= FEW and _all_known(true, classes) and _all_known(said, classes):
            joint = _joint_of_few(true, said, 3 if classes <= FEWER else 4)[:classes]
        else:
            joint = _joint(true, said)[:classes]
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
        truth: (H, W) of class indices; IGNORE_INDEX is not counted.
        prediction: the same; IGNORE_INDEX is the last column.
        classes: K.
        weights: (H, W) or (H, 1). Sums of whole numbers are exact up to 2 ** 53.

    >>> weighted_pairs(np.array([[0], [0]], np.uint8), np.array([[0], [255]], np.uint8), 1, np.array([[2.0], [3.0]]))
    array([[2., 3.]])
    """
    known = truth < classes
    codes = truth[known].astype(np.int64) * (classes + 1) + np.minimum(prediction[known], classes)
    sums = np.bincount(codes, np.broadcast_to(weights, truth.shape)[known], minlength=classes * (classes + 1))
    return np.asarray(sums, np.float64).reshape(classes, classes + 1)


def _joint(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels by every pair of bytes, (256, 256): the two of a pixel make a number of 16 bits to count."""
    codes = truth.astype(np.uint16)
    codes <<= 8
    codes |= prediction
    return np.bincount(codes, minlength=1 << 16).reshape(256, 256)


def _joint_of_few(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], bits: int) -> NDArray[np.int64]:
    """Pixels (N,) by class index, (2 ** bits, 2 ** bits); IGNORE_INDEX is the last, every other byte below it.

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
    """Whether every value is a class index or IGNORE_INDEX, which one more makes 0."""
    return bool((values + np.uint8(1)).max(initial=0) <= classes)


def _bytes(values: NDArray[Any], other: int) -> NDArray[np.uint8]:
    """Values as uint8, ``other`` for those that do not fit; no copy of what is uint8."""
    if values.dtype == np.uint8:
        return values
    return np.where((values >= 0) & (values <= 255), values, other).astype(np.uint8)

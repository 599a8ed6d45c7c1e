"""Figures of confusion matrices, for a single matrix or many at once.

A matrix (..., K, K) or (..., K, K + 1) has a row for each class of the truth and a column for each class of the
prediction; the last column of K + 1 holds labelled pixels without data in the prediction. These are errors: they
count in the sums of the truth and are never hits. A figure that means nothing is nan.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.integer[Any]] | NDArray[np.floating[Any]]
Figure = NDArray[np.float64]


def iou(matrix: Matrix) -> Figure:
    """Return intersection over union by class, (..., K): 0 if only predicted, nan if in neither truth nor prediction.

    >>> iou(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])).tolist()
    [0.75, 0.0, nan]
    """
    hit, true, found = _margins(matrix)
    return _ratio(hit, true + found - hit)


def precision(matrix: Matrix) -> Figure:
    """Return the share of the pixels predicted as each class that is right, (..., K); nan without such pixels."""
    hit, _, found = _margins(matrix)
    return _ratio(hit, found)


def recall(matrix: Matrix) -> Figure:
    """Return the share of the pixels of each class that is found, (..., K); nan without pixels in the truth."""
    hit, true, _ = _margins(matrix)
    return _ratio(hit, true)


def f1(matrix: Matrix) -> Figure:
    """Return 2 * hits / (pixels of truth + of prediction), (..., K): 0 if only predicted, nan if in neither."""
    hit, true, found = _margins(matrix)
    return _ratio(2 * hit, true + found)


def mean_iou(matrix: Matrix) -> Figure:
    """Return the mean IoU over the classes in truth or prediction, (...); `averaged_over` is their number."""
    values = iou(matrix)
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


def averaged_over(matrix: Matrix) -> NDArray[np.int64]:
    """Return the number of classes in truth or prediction, (...)."""
    count: NDArray[np.int64] = np.isfinite(iou(matrix)).sum(-1)
    return count


def frequency_weighted_iou(matrix: Matrix) -> Figure:
    """Return the mean IoU of the classes, weighted by their pixels in the truth, (...)."""
    _, true, _ = _margins(matrix)
    values = iou(matrix)
    return _ratio((np.where(true > 0, values, 0) * true).sum(-1), true.sum(-1))


def pixel_accuracy(matrix: Matrix) -> Figure:
    """Return the share of the labelled pixels that is right, (...)."""
    hit, true, _ = _margins(matrix)
    return _ratio(hit.sum(-1), true.sum(-1))


def kappa(matrix: Matrix) -> Figure:
    """Return Cohen's kappa, (...): 1 if all pixels agree, 0 as by chance; nan where chance agrees on all."""
    hit, true, found = _margins(matrix)
    total = true.sum(-1)
    chance = _ratio((true * found).sum(-1), total**2)
    return _ratio(_ratio(hit.sum(-1), total) - chance, 1 - chance)


def commonest_class(matrix: Matrix) -> NDArray[np.int64]:
    """Return the index of the most frequent class of the truth, (...): the first if equal, and 0 without pixels."""
    index: NDArray[np.int64] = _margins(matrix)[1].argmax(-1)
    return index


def commonest_class_accuracy(matrix: Matrix) -> Figure:
    """Return the pixel accuracy of a map that holds only the most frequent class of the truth, (...)."""
    _, true, _ = _margins(matrix)
    return _ratio(true.max(-1), true.sum(-1))


def _margins(matrix: Matrix) -> tuple[Figure, Figure, Figure]:
    """Return hits, pixels of the truth and pixels of the prediction by class, each (..., K)."""
    counts = np.asarray(matrix, np.float64)
    classes = counts.shape[-2]
    if counts.shape[-1] not in (classes, classes + 1):
        raise ValueError(f"expected matrices of K x K or K x (K + 1), got {counts.shape[-2]} x {counts.shape[-1]}")
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    return hit, counts.sum(-1), counts[..., :classes].sum(-2)


def _ratio(part: Any, whole: Any) -> Figure:
    """Return part / whole; nan where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    ratio = np.full(np.broadcast(part, whole).shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole != 0)
    return ratio

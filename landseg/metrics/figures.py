"""What is read off a confusion matrix, for one matrix or many at once.

A matrix (..., K, K) or (..., K, K + 1) has a row for each class of the truth and a column for each class of the
prediction; the further column holds labelled pixels that the prediction leaves without data. Those are errors: they
stand in the truth's sums and in nobody's hits. A figure that means nothing is nan.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.integer[Any]] | NDArray[np.floating[Any]]
Figure = NDArray[np.float64]


def iou(matrix: Matrix) -> Figure:
    """Intersection over union by class, (..., K): 0 if only predicted, nan if in neither.

    >>> iou(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])).tolist()
    [0.75, 0.0, nan]
    """
    hit, true, said = _margins(matrix)
    return _ratio(hit, true + said - hit)


def precision(matrix: Matrix) -> Figure:
    """Share of the pixels called each class that are, (..., K); nan if none is called so."""
    hit, _, said = _margins(matrix)
    return _ratio(hit, said)


def recall(matrix: Matrix) -> Figure:
    """Share of each class's pixels that are found, (..., K); nan if the truth has none."""
    hit, true, _ = _margins(matrix)
    return _ratio(hit, true)


def f1(matrix: Matrix) -> Figure:
    """Twice the hits by the pixels of either side, (..., K): 0 if only predicted, nan if in neither."""
    hit, true, said = _margins(matrix)
    return _ratio(2 * hit, true + said)


def mean_iou(matrix: Matrix) -> Figure:
    """The mean of IoU over the classes in truth or prediction, (...); `averaged_over` says how many those are."""
    values = iou(matrix)
    found = np.isfinite(values)
    return _ratio(np.where(found, values, 0).sum(-1), found.sum(-1))


def averaged_over(matrix: Matrix) -> NDArray[np.int64]:
    """The number of classes in truth or prediction, (...)."""
    count: NDArray[np.int64] = np.isfinite(iou(matrix)).sum(-1)
    return count


def frequency_weighted_iou(matrix: Matrix) -> Figure:
    """The mean of IoU weighted by each class's pixels in the truth, (...)."""
    _, true, _ = _margins(matrix)
    values = iou(matrix)
    return _ratio((np.where(true > 0, values, 0) * true).sum(-1), true.sum(-1))


def pixel_accuracy(matrix: Matrix) -> Figure:
    """The share of the labelled pixels that are right, (...)."""
    hit, true, _ = _margins(matrix)
    return _ratio(hit.sum(-1), true.sum(-1))


def kappa(matrix: Matrix) -> Figure:
    """Cohen's kappa, (...): 1 if all agree, 0 as by chance; nan where chance alone agrees on everything."""
    hit, true, said = _margins(matrix)
    total = true.sum(-1)
    chance = _ratio((true * said).sum(-1), total**2)
    return _ratio(_ratio(hit.sum(-1), total) - chance, 1 - chance)


def commonest_class(matrix: Matrix) -> NDArray[np.int64]:
    """The index of the truth's commonest class, (...): the first of several, and 0 without any pixel."""
    index: NDArray[np.int64] = _margins(matrix)[1].argmax(-1)
    return index


def commonest_class_accuracy(matrix: Matrix) -> Figure:
    """The pixel accuracy of the map that calls everything by the truth's commonest class, (...)."""
    _, true, _ = _margins(matrix)
    return _ratio(true.max(-1), true.sum(-1))


def _margins(matrix: Matrix) -> tuple[Figure, Figure, Figure]:
    """Hits, pixels of the truth and pixels of the prediction by class, each (..., K)."""
    counts = np.asarray(matrix, np.float64)
    classes = counts.shape[-2]
    if counts.shape[-1] not in (classes, classes + 1):
        raise ValueError(f"expected matrices of K x K or K x (K + 1), got {counts.shape[-2]} x {counts.shape[-1]}")
    hit = np.diagonal(counts, axis1=-2, axis2=-1)
    return hit, counts.sum(-1), counts[..., :classes].sum(-2)


def _ratio(part: Any, whole: Any) -> Figure:
    """part / whole, nan where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    ratio = np.full(np.broadcast(part, whole).shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole != 0)
    return ratio

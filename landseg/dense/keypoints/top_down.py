"""Mask R-CNN's keypoints: 56 x 56 cells for each keypoint in the box of an object, softmax over the cells."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CELLS = 56
"""The cells of a side of a heat map."""
_CUBIC = -0.75  # the parameter of bicubic interpolation, as in PyTorch and OpenCV

Floats = NDArray[np.float64]


def encode(points: Floats, boxes: Floats, cells: int = CELLS) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the cell of each keypoint in its box, row * cells + column, (n, J), and which count, (n, J).

    The column is floor((x - left) * cells / width); a keypoint on the right side is in the last one. Keypoints that
    are not there, or lie outside of the box, do not count; their cell is 0. So do detectron2 and torchvision.

    Args:
        points: x and y (n, J, 2) in pixels, NaN where a keypoint is not there.
        boxes: left, top, right, bottom (n, 4) in pixels.
        cells: of a side.
    """
    corner, size = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        cell = np.floor((points - corner) * (cells / size))
    cell = np.where(points == boxes[:, None, 2:], cells - 1, cell)
    counts = np.asarray(((cell >= 0) & (cell < cells)).all(axis=2))
    whole = np.where(counts[..., None], cell, 0).astype(np.int64)
    return whole[..., 1] * cells + whole[..., 0], counts


def decode(logits: Floats, boxes: Floats, *, resize: bool = True) -> tuple[Floats, Floats]:
    """Return the places (n, J, 2) of keypoints in pixels, and their probabilities (n, J).

    With ``resize`` a map is resized bicubically to the box in whole pixels, rounded up, and the place is the middle
    of the pixel with the largest logit, (i + 0.5) * width / ceil(width) + left, as in detectron2. It lies within half
    a cell and half a pixel of a keypoint whose cell is right, or one cell and half a pixel if that is an outermost
    one. But a single high cell can be lost in boxes under half as many pixels as cells. Without, the place is the
    middle of the cell: within half a cell, which is half a pixel or less for boxes of up to 56 pixels. Of equal
    logits the first counts. The probability is the softmax over cells, at the largest.

    What is decoded depends on the box alone, not on the cut of a raster.

    Args:
        logits: (n, J, cells, cells).
        boxes: left, top, right, bottom (n, 4) in pixels.
        resize: see above.
    """
    count, keypoints, cells, _ = logits.shape
    flat = logits.reshape(count, keypoints, cells * cells)
    shifted = np.exp(flat - flat.max(axis=2, keepdims=True, initial=-np.inf))
    scores = shifted.max(axis=2, initial=0) / shifted.sum(axis=2)
    places = np.zeros((count, keypoints, 2))
    for number, (left, top, right, bottom) in enumerate(boxes.tolist()):
        width, height = max(right - left, 1.0), max(bottom - top, 1.0)
        columns, rows = (math.ceil(width), math.ceil(height)) if resize else (cells, cells)
        maps = logits[number]
        if resize:
            maps = cubic_weights(cells, rows) @ maps @ cubic_weights(cells, columns).T
        row, column = np.divmod(maps.reshape(keypoints, -1).argmax(axis=1), columns)
        places[number, :, 0] = (column + 0.5) * width / columns + left
        places[number, :, 1] = (row + 0.5) * height / rows + top
    return places, scores


def cubic_weights(size: int, wanted: int) -> Floats:
    """Return the matrix (wanted, size) of bicubic interpolation along an axis, its edges repeated."""
    at = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    low = np.floor(at).astype(np.int64)
    made = np.zeros((wanted, size))
    for step in (-1, 0, 1, 2):
        np.add.at(made, (np.arange(wanted), np.clip(low + step, 0, size - 1)), _cubic(np.abs(at - low - step)))
    return made


def _cubic(apart: Floats) -> Floats:
    a = _CUBIC
    near = ((a + 2) * apart - (a + 3)) * apart * apart + 1
    far = ((apart - 5) * apart + 8) * apart * a - 4 * a
    return np.where(apart <= 1, near, np.where(apart < 2, far, 0.0))


def position_loss(logits: Floats, cell: NDArray[np.int64], counts: NDArray[np.bool_]) -> float:
    """Return the mean cross-entropy over the cells of the keypoints that count; 0 where none does.

    Args:
        logits: (n, J, cells, cells).
        cell: (n, J), as of `encode`.
        counts: (n, J), likewise.
    """
    if not counts.any():
        return 0.0
    chosen = logits.reshape(*cell.shape, -1)[counts]
    top = chosen.max(axis=1)
    total = top + np.log(np.exp(chosen - top[:, None]).sum(axis=1))
    return float((total - chosen[np.arange(len(chosen)), cell[counts]]).mean())

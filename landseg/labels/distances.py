"""Exact Euclidean distances in masks of objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS = 150  # pixels: for larger distances the envelope of parabolas takes less time than steps do


def squared_distances(mask: NDArray[np.bool_], *, steps: int = _STEPS) -> NDArray[Any]:
    """Return the squared distance (h, w) of each pixel of a mask to the nearest that is not in it, or beyond it.

    Exact, between centres: first along columns, then the least of all sums along rows.

    Args:
        mask: (h, w).
        steps: where no distance can be larger, that is found pixel by pixel to both sides.
    """
    height, width = mask.shape
    dtype = np.int32 if max(mask.shape) < 1 << 15 else np.int64  # half the memory, where squares fit into it
    rows = np.arange(1, height + 1, dtype=dtype)[:, None]
    above = rows - np.maximum.accumulate(np.where(mask, dtype(0), rows), axis=0)
    below = np.minimum.accumulate(np.where(mask, dtype(height + 1), rows)[::-1], axis=0)[::-1] - rows
    along = np.minimum(above, below)
    along *= along
    del above, below
    columns = np.arange(width, dtype=dtype)
    sides = (np.minimum(columns, width - 1 - columns) + 1) ** 2
    if np.minimum(along, sides).max(initial=0) > steps * steps:
        return _least_by_envelope(along)
    return _least_by_steps(along, sides)


def _least_by_steps(along: NDArray[Any], sides: NDArray[Any]) -> NDArray[Any]:
    """Return the least sums (h, w): as many steps as the largest distance has pixels."""
    found: NDArray[Any] = np.minimum(along, sides)
    step = 1
    while step < along.shape[1] and step * step < found.max(initial=0):
        found[:, step:] = np.minimum(found[:, step:], along[:, :-step] + step * step)
        found[:, :-step] = np.minimum(found[:, :-step], along[:, step:] + step * step)
        step += 1
    return found


def _least_by_envelope(along: NDArray[Any]) -> NDArray[Any]:
    """Return the least sums (h, w) by the lower envelope of a parabola over each pixel of a row, all rows at once."""
    height, width = along.shape
    heights = np.pad(along, ((0, 0), (1, 1)))  # beyond the mask is nothing of it
    every = np.arange(height)
    place = np.zeros((height, width + 2), np.int32)  # of the parabolas of the envelope
    start = np.full((height, width + 3), np.inf)  # from which each is the lowest
    start[:, 0] = -np.inf
    last = np.zeros(height, np.int64)
    for new in range(1, width + 2):
        crossing = np.empty(height)
        rows = every
        while len(rows):
            at = place[rows, last[rows]].astype(np.int64)
            rise = heights[rows, new].astype(np.int64) + new * new - heights[rows, at] - at * at
            crossing[rows] = rise / (2 * (new - at))
            rows = rows[crossing[rows] <= start[rows, last[rows]]]
            last[rows] -= 1
        last += 1
        place[every, last], start[every, last] = new, crossing
    found = np.empty_like(along)
    past = last + 1
    start[every, past] = np.inf
    lowest = np.zeros(height, np.int64)
    for column in range(1, width + 1):
        while (behind := start[every, lowest + 1] < column).any():
            lowest += behind
        at = place[every, lowest].astype(np.int64)
        found[:, column - 1] = heights[every, at] + (column - at) ** 2
    return found

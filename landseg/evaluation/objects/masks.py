"""Masks of COCO's files: runs of pixels by columns, read from run lengths, their compressed text, or polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import ClassError
from landseg.metrics.overlaps import Ints
from landseg.text.amounts import counted

_FINER = 5  # parts of a pixel in which COCO's tools draw polygons


def read_mask(segmentation: Any, height: int, width: int) -> Ints:
    """Return a mask as positions at which it begins and ends by turns, (2 n,), counting pixels down the columns.

    Args:
        segmentation: run lengths with ``counts``, a list or compressed text, and ``size``; or polygons, each a list
            of x and y by turns, of which the mask is the union.
        height: of the image.
        width: of the image.

    Raises:
        ClassError: it is none of these, or does not fit the image.
    """
    if isinstance(segmentation, dict):
        if [int(side) for side in segmentation.get("size", ())] != [height, width]:
            raise ClassError(
                f"a mask of {segmentation.get('size')} in an image of {[height, width]}: expected [height, width]"
            )
        counts = segmentation.get("counts")
        lengths = _lengths(counts) if isinstance(counts, (str, bytes)) else counts
        return _turns(lengths, height * width)
    if isinstance(segmentation, list) and segmentation and isinstance(segmentation[0], list):
        masks = [_drawn(np.array(ring, np.float64).reshape(-1, 2), height, width) for ring in segmentation]
        return masks[0] if len(masks) == 1 else _union(masks)
    raise ClassError("a segmentation is run lengths {counts, size} or a list of polygons; boxes alone are no masks")


def area_of(mask: Ints) -> int:
    """Return the number of pixels of a mask."""
    return int((mask[1::2] - mask[::2]).sum())


def shared_by(one: Ints, other: Ints) -> int:
    """Return the number of pixels that two masks share.

    >>> shared_by(np.array([0, 4, 8, 10]), np.array([2, 9]))
    3
    """
    if not len(one) or not len(other) or one[-1] <= other[0] or other[-1] <= one[0]:
        return 0
    return int((_inside(other, one[1::2]) - _inside(other, one[::2])).sum())


def _inside(mask: Ints, positions: Ints) -> Ints:
    """Return the number of pixels of a mask before each position (N,)."""
    starts, ends = mask[::2], mask[1::2]
    total = np.concatenate([[0], np.cumsum(ends - starts)])
    at = np.searchsorted(starts, positions, side="right")
    last = np.maximum(at - 1, 0)
    beyond = np.where(at > 0, np.maximum(ends[last] - positions, 0), 0)
    found: Ints = total[at] - beyond
    return found


def _turns(lengths: Any, pixels: int) -> Ints:
    """Return begins and ends of run lengths, which are those of nothing and of the mask by turns."""
    runs = np.asarray(lengths, np.int64).reshape(-1)
    if (runs < 0).any() or runs.sum() != pixels:
        raise ClassError(
            f"run lengths of {counted(int(runs.sum()), 'pixel')} in an image of {pixels:,}: expected all of it"
        )
    ends = np.cumsum(runs)
    starts = ends - runs
    own = np.stack([starts[1::2], ends[1::2]], axis=1)
    return _joined(own[own[:, 1] > own[:, 0]])


def _joined(runs: Ints) -> Ints:
    """Return runs (n, 2) in order, those that meet as one, as begins and ends by turns."""
    if not len(runs):
        return np.zeros(0, np.int64)
    new = np.concatenate([[True], runs[1:, 0] > runs[:-1, 1]])
    last = np.concatenate([new[1:], [True]])
    return np.stack([runs[new, 0], runs[last, 1]], axis=1).reshape(-1)


def _union(masks: Sequence[Ints]) -> Ints:
    """Return the union of masks."""
    steps = np.concatenate(masks)
    signs = np.concatenate([np.tile([1, -1], len(mask) // 2) for mask in masks])
    order = np.lexsort((-signs, steps))
    depth = np.cumsum(signs[order])
    edges = (depth == 0) | ((depth == 1) & (signs[order] == 1))
    return _joined(steps[order][edges].reshape(-1, 2))


def _lengths(text: str | bytes) -> list[int]:
    """Return the run lengths of COCO's compressed text.

    Each number is written in digits of 5 bits, the lowest first, each plus 48 and with a sixth bit if another
    follows; from the fourth number on it is the difference to the last but one.
    """
    codes = text.encode() if isinstance(text, str) else text
    numbers: list[int] = []
    value = shift = 0
    for code in codes:
        digit = code - 48
        if not 0 <= digit < 64:
            raise ClassError("compressed run lengths hold a character that has no meaning there")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    return numbers


def _drawn(points: NDArray[np.float64], height: int, width: int) -> Ints:
    """Return the mask of a polygon by the rule of COCO's tools.

    The outline is drawn in fifths of a pixel; where it steps into the middle column of a pixel, the mask turns from
    outside to inside, or back, at the first pixel of that column that begins at or after the point.
    """
    if len(points) < 3:
        raise ClassError(f"a polygon of {counted(len(points), 'point')} encloses nothing: expected three or more")
    corners = (_FINER * points + 0.5).astype(np.int64)
    u, v = _outline(corners)
    moved = np.flatnonzero(np.diff(u))
    x = (np.where(u[moved + 1] < u[moved], u[moved + 1], u[moved + 1] - 1) + 0.5) / _FINER - 0.5
    y = (np.minimum(v[moved + 1], v[moved]) + 0.5) / _FINER - 0.5
    there = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    rows = np.ceil(np.clip(y[there], 0, height)).astype(np.int64)
    places, times = np.unique(x[there].astype(np.int64) * height + rows, return_counts=True)
    turns = places[times % 2 == 1]
    if len(turns) % 2:
        turns = np.append(turns, height * width)
    return _joined(turns.reshape(-1, 2))


def _outline(corners: Ints) -> tuple[Ints, Ints]:
    """Return the points of a closed outline, one at each step along the longer axis of an edge, in order."""
    parts = []
    for (xs, ys), (xe, ye) in zip(corners.tolist(), np.roll(corners, -1, axis=0).tolist(), strict=True):
        dx, dy = abs(xe - xs), abs(ye - ys)
        flip = (dx >= dy and xs > xe) or (dx < dy and ys > ye)
        if flip:
            xs, xe, ys, ye = xe, xs, ye, ys
        steps = np.arange(max(dx, dy) + 1)
        steps = steps[::-1] if flip else steps
        if dx >= dy:
            slope = (ye - ys) / dx if dx else 0.0
            parts.append((steps + xs, np.trunc(ys + slope * steps + 0.5).astype(np.int64)))
        else:
            parts.append((np.trunc(xs + (xe - xs) / dy * steps + 0.5).astype(np.int64), steps + ys))
    return np.concatenate([u for u, _ in parts]), np.concatenate([v for _, v in parts])

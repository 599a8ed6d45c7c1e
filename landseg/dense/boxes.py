"""Boxes in whole sixteenths of a pixel: their order, and the comparison of their overlap without a division."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUB = 16
"""The parts of a pixel in which boxes are measured."""
FARTHEST = 1 << 15  # pixels of the longest side of a box, so that areas times a denominator stay in 64 bits
_FINEST = 1000  # denominator of a share of overlap
_AT_ONCE = 1 << 20  # pairs compared at a time
_CELL = 8 * SUB  # lowest rows of cells in which centres are sorted


@dataclass(frozen=True)
class Boxes:
    """Boxes with scores, each from an anchor of its own.

    Their order is total: the higher score comes first, and among equal scores the lower place.

    Attributes:
        box: left, top, right, bottom ``(n, 4)`` int64, in sixteenths of a pixel from the raster's corner.
        score: ``(n,)`` float32.
        place: the number of the anchor ``(n,)`` int64, no two alike.
        anchor: the row of the anchor's centre ``(n,)`` int64, in sixteenths of a pixel.
        kind: ``(n,)`` int64; boxes of different kinds never suppress each other.
    """

    box: NDArray[np.int64]
    score: NDArray[np.float32]
    place: NDArray[np.int64]
    anchor: NDArray[np.int64]
    kind: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.box)

    def chosen(self, index: NDArray[Any]) -> Boxes:
        """Return the boxes at indices, or where a mask is true."""
        return Boxes(*(getattr(self, field.name)[index] for field in fields(self)))

    def order(self) -> NDArray[np.int64]:
        """Return the indices (n,) of the boxes, best first."""
        found: NDArray[np.int64] = np.lexsort((self.place, -self.score))
        return found

    def reach(self) -> NDArray[np.int64]:
        """Return the rows by which each box reaches above or below its anchor (n,), in sixteenths of a pixel."""
        found: NDArray[np.int64] = np.maximum(self.anchor - self.box[:, 1], self.box[:, 3] - self.anchor)
        return found


def no_boxes() -> Boxes:
    """Return no boxes."""
    none = np.zeros(0, np.int64)
    return Boxes(np.zeros((0, 4), np.int64), np.zeros(0, np.float32), none, none, none)


def join_boxes(parts: Sequence[Boxes]) -> Boxes:
    """Return the boxes of all parts, in their order."""
    if not parts:
        return no_boxes()
    return Boxes(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Boxes)))


def share_of(value: float) -> Fraction:
    """Return a share of overlap as a fraction of whole numbers, to a thousandth.

    Raises:
        ValueError: the share is not from 0 to below 1.
    """
    if not 0 <= value < 1:
        raise ValueError(f"expected a share of overlap from 0 to below 1, not {value}")
    return Fraction(value).limit_denominator(_FINEST)


def move_boxes(centre: NDArray[Any], size: NDArray[Any], deltas: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return boxes (n, 4) in whole sixteenths of a pixel that lie by differences from others.

    The centre moves by a share of the size, and the size is multiplied by the exponential of its difference, as in
    R-CNN (Girshick et al. 2014). Each side is rounded as its distance from the given centre, a whole number: the
    fraction is the same wherever the box lies.

    Args:
        centre: x and y ``(n, 2)``, in sixteenths of a pixel.
        size: width and height ``(n, 2)``, likewise.
        deltas: of x, y, width and height ``(n, 4)``.
    """
    size = size.astype(np.float32)
    moved = deltas[:, :2] * size
    half = np.exp(np.minimum(deltas[:, 2:], np.float32(4))) * size / 2  # exp(4): 55 times the size
    apart = np.concatenate([moved - half, moved + half], axis=1)
    most = FARTHEST * SUB
    whole = np.rint(np.clip(np.nan_to_num(apart, nan=0.0), -most, most)).astype(np.int64)
    found: NDArray[np.int64] = np.tile(centre.astype(np.int64), 2) + whole
    return found


def overlap_more(one: NDArray[np.int64], other: NDArray[np.int64], share: Fraction) -> NDArray[np.bool_]:
    """Return where the intersection of two boxes (n, 4) each is more than a share of their union, ``(n,)``.

    >>> one, other = np.array([[0, 0, 4, 4]]), np.array([[0, 0, 4, 2]])
    >>> bool(overlap_more(one, other, Fraction(1, 2))[0]), bool(overlap_more(one, other, Fraction(49, 100))[0])
    (False, True)
    """
    width = np.minimum(one[:, 2], other[:, 2]) - np.maximum(one[:, 0], other[:, 0])
    height = np.minimum(one[:, 3], other[:, 3]) - np.maximum(one[:, 1], other[:, 1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = _areas(one) + _areas(other) - common
    found: NDArray[np.bool_] = common * share.denominator > union * share.numerator
    return found


def _areas(box: NDArray[np.int64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    return found


def find_overlaps(boxes: Boxes, share: Fraction, fresh: int = 0) -> NDArray[np.int64]:
    """Return all pairs of boxes of one kind that overlap more than a share: indices (n, 2), the better one first.

    Args:
        boxes: the boxes.
        share: of the union.
        fresh: only pairs with a box from this index on.
    """
    new, old = np.arange(fresh, len(boxes)), np.arange(fresh)
    searches = (np.arange(len(boxes)), new), (new, old)
    pairs = [found for wide, among in searches for found in _search(boxes, wide, among, share)]
    found = np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)
    one, other = found.T
    first = boxes.score[one] > boxes.score[other]
    first |= (boxes.score[one] == boxes.score[other]) & (boxes.place[one] < boxes.place[other])
    return np.where(first[:, None], found, found[:, ::-1])


def _search(
    boxes: Boxes, wide: NDArray[np.int64], among: NDArray[np.int64], share: Fraction
) -> Iterator[NDArray[np.int64]]:
    """Yield the pairs of a box of ``wide`` and a box of ``among`` that is not wider.

    Of boxes that overlap more than a share t, the centres lie less than (1 - t) of the larger width apart, and
    likewise for heights, none of which is more than 1 / t of the other. So the centres are sorted by rows of cells
    and, in a row, from left to right.
    """
    if not len(wide) or not len(among):
        return
    box = boxes.box
    width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    x, y = box[:, 0] + box[:, 2], box[:, 1] + box[:, 3]  # twice the centre
    above, below = share.numerator, share.denominator
    far_x = 2 * width[wide] * (below - above) // below + 1
    far_y = height[wide] + height[among].max()
    if above:
        far_y = np.minimum(far_y, 2 * height[wide] * (below - above) // above + 1)
    cell = max(2 * _CELL, int(np.median(height[among])))
    left, top = x.min() - far_x.max(), y[among].min() // cell
    span = x.max() + far_x.max() - left + 1
    key = (y[among] // cell - top) * span + x[among] - left
    order = np.argsort(key)
    key, among = key[order], among[order]
    last = y[among].max() // cell - top
    begin = np.clip((y[wide] - far_y) // cell - top, 0, last + 1)
    end = np.clip((y[wide] + far_y) // cell - top, -1, last)
    rows = np.maximum(end - begin + 1, 0)
    of = np.repeat(np.arange(len(wide)), rows)
    row = np.arange(len(of)) - np.repeat(np.cumsum(rows) - rows, rows) + begin[of]
    start = np.searchsorted(key, row * span + (x[wide] - far_x - left)[of])
    count = np.searchsorted(key, row * span + (x[wide] + far_x - left)[of], side="right") - start
    total = np.cumsum(count)
    cuts = np.searchsorted(total, np.arange(_AT_ONCE, int(total[-1]) if len(total) else 0, _AT_ONCE))
    for part in np.split(np.arange(len(of)), np.unique(cuts)):
        many = count[part]
        first = np.repeat(start[part] - np.cumsum(many) + many, many)
        other, one = among[first + np.arange(len(first))], wide[np.repeat(of[part], many)]
        narrower = (width[other] < width[one]) | ((width[other] == width[one]) & (other < one))
        narrower &= boxes.kind[one] == boxes.kind[other]
        one, other = one[narrower], other[narrower]
        pair = overlap_more(box[one], box[other], share)
        yield np.stack([one[pair], other[pair]], axis=1)

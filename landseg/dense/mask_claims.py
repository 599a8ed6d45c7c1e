"""The pixels that masks claim: each pixel belongs to the best object that claims it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from landseg.dense.boxes import SUB, Boxes


class Claims:
    """The rows of a raster on which objects still claim pixels.

    A mask claims a pixel where its probability at the pixel's centre, bilinear between the centres of its cells, is
    at least one half.

    Args:
        shape: height and width of the raster, in pixels.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape, self._top = shape, 0
        self._label: NDArray[np.uint32] = np.zeros((0, shape[1]), np.uint32)
        self._score: NDArray[np.float32] = np.zeros((0, shape[1]), np.float32)
        self._place: NDArray[np.int64] = np.zeros((0, shape[1]), np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows kept."""
        return self._label.nbytes + self._score.nbytes + self._place.nbytes

    def add(self, boxes: Boxes, masks: NDArray[np.float32], first: int) -> None:
        """Claim pixels for boxes with masks (n, m, m), probabilities from 0 to 1; labels count from ``first``."""
        for i, (box, mask) in enumerate(zip(boxes.box, masks, strict=True)):
            there, claimed = self._pixels(box, mask)
            score, place = self._score[there], self._place[there]
            claimed &= (
                (self._label[there] == 0)
                | (boxes.score[i] > score)
                | ((boxes.score[i] == score) & (boxes.place[i] < place))
            )
            self._label[there][claimed] = first + i
            score[claimed], place[claimed] = boxes.score[i], boxes.place[i]

    def add_rest(self, box: NDArray[np.int64], mask: NDArray[np.float32], label: int, *, share: Fraction) -> bool:
        """Claim the free pixels of one mask and return True; or False, if others have too many of its pixels.

        Args:
            box: in sixteenths of a pixel ``(4,)``.
            mask: probabilities ``(m, m)``.
            label: the object's.
            share: of the mask's pixels; where others have more, or it has no pixels, it gets none.
        """
        there, claimed = self._pixels(box, mask)
        free = self._label[there] == 0
        pixels, taken = int(claimed.sum()), int((claimed & ~free).sum())
        if not pixels or taken * share.denominator > pixels * share.numerator:
            return False
        self._label[there][claimed & free] = label
        return True

    def finish(self, above: int) -> NDArray[np.uint32]:
        """Return the labels (n, width) of all rows above a row of pixels that were not returned before."""
        self._grow(above)
        count = max(0, above - self._top)
        found = self._label[:count].copy()
        self._label, self._score = self._label[count:].copy(), self._score[count:].copy()
        self._place = self._place[count:].copy()
        self._top += count
        return found

    def _pixels(
        self, box: NDArray[np.int64], mask: NDArray[np.float32]
    ) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
        """Return the rows and columns of a box among those kept, and the pixels there that its mask claims."""
        self._grow(-(-int(box[3]) // SUB))
        down, rows = _shares(int(box[1]), int(box[3]), len(mask))
        across, columns = _shares(int(box[0]), int(box[2]), len(mask))
        there = slice(rows.start - self._top, rows.stop - self._top), columns
        assert there[0].start >= 0, "a mask reaches rows that are finished"
        claimed: NDArray[np.bool_] = down @ mask.astype(np.float64) @ across.T >= 0.5
        return there, claimed

    def _grow(self, bottom: int) -> None:
        """Have room for the rows above ``bottom``."""
        more = min(bottom, self._shape[0]) - self._top - len(self._label)
        if more > 0:
            below = ((0, more), (0, 0))
            self._label, self._score = np.pad(self._label, below), np.pad(self._score, below)
            self._place = np.pad(self._place, below)


def _shares(start: int, stop: int, cells: int) -> tuple[NDArray[np.float64], slice]:
    """Return the share of each cell in each pixel (pixels, cells) along an axis, and the pixels of the axis."""
    half = SUB // 2
    pixels = slice(-(-(start - half) // SUB), -(-(stop - half) // SUB))
    at = 2 * cells * (np.arange(pixels.start, pixels.stop) * SUB + half - start) - (stop - start)
    at = np.clip(at, 0, 2 * (cells - 1) * (stop - start))
    cell, rest = at // (2 * (stop - start)), at % (2 * (stop - start)) / (2 * (stop - start))
    shares = np.zeros((len(at), cells))
    shares[np.arange(len(at)), cell] = 1 - rest
    shares[np.arange(len(at)), np.minimum(cell + 1, cells - 1)] += rest
    return shares, pixels

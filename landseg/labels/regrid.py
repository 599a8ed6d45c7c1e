"""The rule for class rasters on other pixels: each pixel takes the label that covers the largest part of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.resample import Taps

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

BALLOTS = 1 << 20
"""Shares of labels that are held in memory at a time."""

_FAR = 1 << 40  # pixels: what lies farther has no place
SLIVER = 1e-6  # pixels: rounding of coordinates must not add a row or a column
_STEPS = 1 << 20  # parts of a pixel in which shares are compared: rounding must not decide a tie
_NOTHING = 1e-200  # share of the unknown: a pixel under which nothing has a share is unknown


def largest_share(codes: NDArray[Any], shares: NDArray[Any], kinds: int) -> Places:
    """Return the code (k,) of the label with the largest share of each of k pixels.

    Of labels with equal shares a known label goes before unknown, and the smaller code before the larger: the result
    never depends on where a label lies in its pixel, so that nothing moves.

    Args:
        codes: (k, n) labels under each pixel: 0 to ``kinds`` - 1, and ``kinds`` where the label is unknown.
        shares: (k, n) parts of the pixel that they cover, in any unit.
        kinds: number of known labels.

    >>> largest_share(np.array([[0, 1, 2, 2], [0, 1, 1, 2]]), np.ones((2, 4)), 2).tolist()
    [2, 1]
    """
    slots = np.arange(len(codes))[:, None] * (kinds + 1) + codes
    votes: Floats = np.zeros(len(codes) * (kinds + 1))
    votes += np.bincount(slots.ravel(), weights=shares.ravel(), minlength=votes.size)
    votes = votes.reshape(len(codes), -1)
    votes[:, -1] += _NOTHING
    winners: Places = np.rint(votes * (_STEPS / votes.sum(1, keepdims=True))).argmax(1)
    return winners


def resample_codes(codes: NDArray[Any], rows: Taps, columns: Taps, kinds: int) -> NDArray[Any]:
    """Return codes (n, m) on other pixels whose sides are parallel: of each, the one that `largest_share` elects.

    Args:
        codes: (h, w) as for `largest_share`, the pixels that ``rows`` and ``columns`` point into.
        rows, columns: of `box_taps` or `taps_of_spans`.
        kinds: number of known labels.
    """
    low, high = (_along(_along(codes, rows, 0, least), columns, 1, least) for least in (np.minimum, np.maximum))
    mixed = np.argwhere(low != high)  # borders: most pixels lie within one label
    many = max(1, BALLOTS // max(rows.index.shape[1] * columns.index.shape[1], kinds + 1))
    for first in range(0, len(mixed), many):
        y, x = mixed[first : first + many].T
        own = codes[rows.index[y][:, :, None], columns.index[x][:, None, :]]
        shares = rows.weight[y][:, :, None] * columns.weight[x][:, None, :]
        low[y, x] = largest_share(own.reshape(len(y), -1), shares.reshape(len(y), -1), kinds)
    return low


def resample_labels(labels: NDArray[Any], *, rows: Taps, columns: Taps, void: int) -> NDArray[Any]:
    """Return labels (n, m) as `resample_codes` does, given the label that means unknown."""
    kinds, codes = numbered(labels, labels != void)
    chosen: NDArray[Any] = np.append(kinds, kinds.dtype.type(void))[resample_codes(codes, rows, columns, len(kinds))]
    return chosen


def numbered(labels: NDArray[Any], known: Mask) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the values that occur in known pixels, in order, and the place of each pixel's (h, w) among them.

    The places are codes as `largest_share` takes them: those of unknown pixels are the number of values.
    """
    if labels.dtype == np.uint8:
        kinds = np.flatnonzero(np.bincount(labels[known], minlength=256)).astype(np.uint8)
        table = np.zeros(256, np.uint8 if len(kinds) < 256 else np.int64)
        table[kinds] = np.arange(len(kinds))
        return kinds, np.where(known, table[labels], table.dtype.type(len(kinds)))
    kinds = np.unique(labels[known])
    return kinds, np.where(known, np.searchsorted(kinds, labels), len(kinds))


def taps_of_spans(low: Floats, high: Floats) -> Taps:
    """Return the taps of n spans of one axis, weighted by the part of each that a pixel covers.

    >>> taps_of_spans(np.array([0.5]), np.array([2.0])).weight.round(2).tolist()
    [[0.33, 0.67, 0.0]]
    """
    first = np.floor(low + SLIVER).astype(np.int64)
    index = first[:, None] + np.arange(math.ceil((high - low).max() - SLIVER) + 1)
    weight = np.minimum(index + 1, high[:, None]) - np.maximum(index, low[:, None])
    weight = np.where(weight > SLIVER, weight, 0)
    start = int(index.min())
    return Taps(start, int(index.max()) + 1, index - start, weight / weight.sum(1, keepdims=True))


def _along(codes: NDArray[Any], taps: Taps, axis: int, least: np.ufunc) -> NDArray[Any]:
    """Return the least (or greatest) of the codes that have weight."""
    index = np.where(taps.weight > 0, taps.index, taps.index[np.arange(taps.size), taps.weight.argmax(1)][:, None])
    found: NDArray[Any] = np.take(codes, index[:, 0], axis=axis)
    for tap in range(1, index.shape[1]):
        least(found, np.take(codes, index[:, tap], axis=axis), out=found)
    return found


def shares_of_cells(x: Floats, y: Floats, size: tuple[int, int]) -> Floats:
    """Return the areas (k, rows, columns) that k convex quadrilaterals share with the unit cells of a lattice.

    Args:
        x, y: (4, k) corners, in order around each quadrilateral, from its own cell (0, 0) on.
        size: rows and columns of the cells; what lies beyond them is left out.

    >>> shares_of_cells(np.array([[0.5], [1.5], [1.5], [0.5]]), np.array([[0], [0], [1], [1.0]]), (1, 2)).tolist()
    [[[0.5, 0.5]]]
    """
    rows, columns = (np.arange(count + 1.0) for count in size)
    corner = np.zeros((x.shape[1], len(rows), len(columns)))  # areas above and to the left of each lattice point
    for here, there in ((0, 1), (1, 2), (2, 3), (3, 0)):
        # Green's theorem: the area left of x = c and above y = r is the sum over edges of min(x, c) dy below r.
        down = np.sign(y[there] - y[here])
        first, last = np.where(down < 0, there, here), np.where(down < 0, here, there)
        each = np.arange(x.shape[1])
        top, bottom, start, end = y[first, each], y[last, each], x[first, each], x[last, each]
        length = np.clip(rows, top[:, None], bottom[:, None]) - top[:, None]
        slope = (end - start) / np.maximum(bottom - top, 1e-200)
        before = columns - start[:, None, None]
        after = before - (slope[:, None] * length)[:, :, None]
        corner -= (down[:, None] * length)[:, :, None] * _mean_positive(before, after)
    shares: Floats = np.abs(np.diff(np.diff(corner, axis=1), axis=2))
    return shares


def _mean_positive(first: Floats, last: Floats) -> Floats:
    """Return the mean of the positive part of numbers that run straight from ``first`` to ``last``."""
    low, high = np.minimum(first, last), np.maximum(first, last)
    part = np.maximum(high, 0) ** 2 / (2 * np.maximum(high - low, 1e-300))
    mean: Floats = np.where(low >= 0, (low + high) / 2, part)
    return mean


class PixelOutlines:
    """The outlines of k pixels on a raster, and the box of its pixels around each.

    Attributes:
        x, y: (4, k) corners on the raster, in order around each; 0 of pixels that have no place there.
        top, left: (k,) first row and column of each box.
        bottom, right: (k,) the row and the column after its last; ``top`` and ``left`` of pixels without a place.
    """

    def __init__(self, x: Floats, y: Floats, box: tuple[Places, Places, Places, Places]) -> None:
        self.x, self.y = x, y
        self.top, self.left, self.bottom, self.right = box

    @classmethod
    def of(cls, x: Floats, y: Floats) -> PixelOutlines:
        """Return the outlines with these corners (4, k); corners that are no numbers mean that there is no place."""
        placed = (np.abs(x) < _FAR).all(0) & (np.abs(y) < _FAR).all(0)
        x, y = np.where(placed, x, 0), np.where(placed, y, 0)
        top, left = (np.floor(at.min(0) + SLIVER).astype(np.int64) for at in (y, x))
        bottom, right = (np.ceil(at.max(0) - SLIVER).astype(np.int64) for at in (y, x))
        return cls(x, y, (top, left, np.maximum(bottom, top), np.maximum(right, left)))

    def __len__(self) -> int:
        return len(self.top)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the largest boxes."""
        return int((self.bottom - self.top).max()), int((self.right - self.left).max())

    def of_these(self, index: Any) -> PixelOutlines:
        """Return the outlines of some of the pixels, by an index of k."""
        return PixelOutlines(
            self.x[:, index],
            self.y[:, index],
            (self.top[index], self.left[index], self.bottom[index], self.right[index]),
        )

    def meets(self, rect: Rect) -> Mask:
        """Return whether each box (k,) shares a pixel with a rectangle."""
        rows = (self.bottom > rect.top) & (self.top < rect.bottom) & (self.bottom > self.top)
        return rows & (self.right > rect.left) & (self.left < rect.right) & (self.right > self.left)

    def inside(self, rect: Rect) -> Mask:
        """Return whether each box (k,) lies inside a rectangle."""
        rows = (self.top >= rect.top) & (self.bottom <= rect.bottom) & (self.bottom > self.top)
        return rows & (self.left >= rect.left) & (self.right <= rect.right) & (self.right > self.left)

    def needed(self, rect: Rect) -> Rect | None:
        """Return the part of a rectangle that all boxes together need; None where none of them meets it."""
        there = self.meets(rect)
        if not there.any():
            return None
        top, left = int(self.top[there].min()), int(self.left[there].min())
        around = Rect(top, left, int(self.bottom[there].max()) - top, int(self.right[there].max()) - left)
        return around.intersection(rect)

    def elected(self, codes: NDArray[Any], needed: Rect, kinds: int, endless: bool) -> tuple[Places, Floats]:
        """Return the code (k,) that `largest_share` elects of each pixel, and the part (k,) that the raster covers.

        Args:
            codes: (h, w) of ``needed``.
            needed: the part of the raster that these boxes need.
            kinds: number of known labels.
            endless: whether the raster goes all around the globe: then what lies beyond it lies inside as well.
        """
        rows, columns = self.size
        shares = shares_of_cells(self.x - self.left, self.y - self.top, (rows, columns))
        row = (self.top - needed.top)[:, None] + np.arange(rows)
        column = (self.left - needed.left)[:, None] + np.arange(columns)
        in_rows, in_columns = (row >= 0) & (row < needed.height), (column >= 0) & (column < needed.width)
        there = in_rows[:, :, None] & in_columns[:, None]
        if endless:
            shares = np.where(there, shares, 0)
        own = codes[row.clip(0, needed.height - 1)[:, :, None], column.clip(0, needed.width - 1)[:, None]]
        own = np.where(there, own, kinds).reshape(len(self), -1)
        covered: Floats = np.where(there, shares, 0).sum((1, 2)) / np.maximum(shares.sum((1, 2)), SLIVER)
        return largest_share(own, shares.reshape(len(self), -1), kinds), covered


def is_pure(codes: NDArray[Any], pixels: PixelOutlines, needed: Rect) -> Mask:
    """Return whether pixels of one code alone lie under each box (k,), given the codes of ``needed``."""
    top, left = pixels.top - needed.top, pixels.left - needed.left
    bottom, right = pixels.bottom - needed.top, pixels.right - needed.left
    pure = np.ones(len(pixels), np.bool_)
    for axis, box in ((0, (top, left, bottom - 1, right)), (1, (top, left, bottom, right - 1))):
        upper, lower = (slice(None, -1), slice(1, None)) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        changes = codes[upper] != codes[lower]
        total = np.zeros((changes.shape[0] + 1, changes.shape[1] + 1), np.int32)
        np.cumsum(changes, axis=0, out=total[1:, 1:])
        np.cumsum(total[1:, 1:], axis=1, out=total[1:, 1:])
        first_row, first_column, last_row, last_column = box
        count = total[last_row, last_column] - total[first_row, last_column]
        pure &= count == total[last_row, first_column] - total[first_row, first_column]
    return pure

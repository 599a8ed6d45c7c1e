"""Resampling in pixel space, each result pixel on its own: a raster read in pieces equals one read whole."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF = 0.5
"""A resampled pixel is valid when at least this share of the weight it was made from lies on valid pixels."""


@dataclass(frozen=True)
class Taps:
    """Input pixels and their weights for every output pixel along one axis.

    Attributes:
        start: first input pixel needed.
        stop: the one after the last.
        index: (n, T) positions of the input pixels, counted from `start`.
        weight: (n, T), float64, each row sums to 1.
    """

    start: int
    stop: int
    index: NDArray[np.int64]
    weight: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of output pixels."""
        return len(self.index)

    def part(self, first: int, last: int) -> "Taps":
        """Return the taps of output pixels first..last-1 of these."""
        index = self.index[first:last] + self.start
        start, stop = int(index.min()), int(index.max()) + 1
        return Taps(start, stop, index - start, self.weight[first:last])


def axis_taps(first: int, last: int, *, factor: float, size: int) -> Taps:
    """Return the taps of output pixels first..last-1, each `factor` input pixels wide, over `size` input pixels.

    Output pixel j covers the input from j * factor to (j + 1) * factor. Wider pixels take the mean of
    the input that they cover, weighted by the part covered; narrower ones are interpolated linearly between input
    pixel centres. Positions beyond the raster have no weight; the outermost value is held.

    >>> axis_taps(0, 2, factor=1.5, size=3).weight.round(2).tolist()
    [[0.67, 0.33, 0.0], [0.33, 0.67, 0.0]]
    """
    out = np.arange(first, last)[:, None]
    if factor >= 1:
        return box_taps(first, last, factor=factor, size=size)
    centre = (out + 0.5) * factor - 0.5
    index = np.floor(centre).astype(np.int64) + np.arange(2)
    return _taps(index, 1 - np.abs(centre - index), size)


def box_taps(first: int, last: int, *, factor: float, size: int) -> Taps:
    """Return the taps of the same output pixels, weighted by the part that each covers, however narrow they are.

    >>> box_taps(0, 3, factor=2 / 3, size=2).weight.round(2).tolist()
    [[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]]
    """
    out = np.arange(first, last)[:, None]
    low, high = out * factor, np.minimum((out + 1) * factor, size)
    # The extra tap is for boxes that straddle one more pixel than they are wide.
    index = np.floor(low).astype(np.int64) + np.arange(math.ceil(factor) + 1)
    return _taps(index, np.clip(np.minimum(index + 1, high) - np.maximum(index, low), 0, None), size)


def _taps(index: NDArray[np.int64], weight: NDArray[np.float64], size: int) -> Taps:
    index = np.clip(index, 0, size - 1)
    weight = weight / weight.sum(axis=1, keepdims=True)
    start, stop = int(index.min()), int(index.max()) + 1
    return Taps(start, stop, index - start, weight)


def work_dtype(dtype: str) -> type[np.float32] | type[np.float64]:
    """Return the float dtype for resampling of `dtype`: float32 where it holds every value, else float64."""
    return np.float32 if np.can_cast(np.dtype(dtype), np.float32, "safe") else np.float64


def resample(
    pixels: NDArray[Any], valid: NDArray[np.bool_], *, rows: Taps, columns: Taps
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return pixels (C, n, m) and validity (n, m) from pixels (C, h, w) and validity (h, w) by taps of both axes.

    Invalid pixels have no weight; the rest of the weight is scaled up to 1. Whole-number dtypes are rounded
    to the nearest. Pixels that come out invalid hold 0.
    """
    work = work_dtype(pixels.dtype.name)
    values = np.where(valid, pixels, 0).astype(work)
    stack = np.concatenate([values, valid[None].astype(work)])
    for axis, taps in ((1, rows), (2, columns)):  # rows first: they are contiguous
        stack = _along(stack, taps, axis)
    return finish(stack[:-1], stack[-1], pixels.dtype)


def finish(total: NDArray[Any], weight: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return pixels (C, h, w) of a dtype and validity (h, w) from weighted sums and the weight on valid pixels."""
    valid: NDArray[np.bool_] = weight >= HALF - 1e-5  # rounding must not decide a pixel that is half covered
    result = np.divide(total, weight, out=np.zeros_like(total), where=valid)
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        result = np.clip(np.rint(result), info.min, info.max)
    return result.astype(dtype), valid


def _along(stack: NDArray[Any], taps: Taps, axis: int) -> NDArray[Any]:
    """Return a stack summed tap by tap in a fixed order: a pixel's value does not depend on the others of a call."""
    shape = (-1, 1) if axis == 1 else (1, -1)
    result: NDArray[Any] | None = None
    for number in range(taps.index.shape[1]):
        weight = taps.weight[:, number].astype(stack.dtype).reshape(shape)
        part = np.take(stack, taps.index[:, number], axis=axis)
        part *= weight
        result = part if result is None else np.add(result, part, out=result)
    assert result is not None, "taps hold at least two columns"
    return result

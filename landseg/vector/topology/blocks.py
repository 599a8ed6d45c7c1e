"""Strips of a class raster recut into blocks, and the regions of a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.linked_lists import find_components

BLOCK = 1 << 21  # pixels processed at a time
FINE = 1 << 24  # fractions are summed as multiples of 1 / FINE, so that the order of summing does not matter


@dataclass(frozen=True)
class Block:
    """Rows of a class raster, framed with nodata on the left and right, below the row before them.

    Attributes:
        values: class values ``(h + 1, w + 2)``; row 0 is the row before, or nodata.
        top: the number in the raster of row 1.
        nodata: the nodata value, in the dtype of `values`.
        measured: the same rows of the second raster ``(h, w)``, if there is one.
    """

    values: NDArray[Any]
    top: int
    nodata: Any
    measured: NDArray[Any] | None


def cut_blocks(
    strips: Iterable[NDArray[Any]], nodata: float | None, measured: Iterable[NDArray[Any]] | None
) -> Iterator[Block]:
    """Yield the raster in blocks, and a last block of one row of nodata that closes it below."""
    top, above, empty = 0, None, None
    seconds = None if measured is None else iter(measured)
    for strip in strips:
        second = None if seconds is None else next(seconds)
        if second is not None and second.shape != strip.shape:
            raise ValueError(f"strips of both rasters agree in shape, not {strip.shape} and {second.shape}")
        rows = max(1, BLOCK // max(1, strip.shape[1]))
        for row in range(0, len(strip), rows):
            values, empty = _framed(strip[row : row + rows], nodata)
            values[0] = empty if above is None else above
            yield Block(values, top, empty, None if second is None else second[row : row + rows])
            above, top = values[-1].copy(), top + len(values) - 1
    if above is not None:
        yield Block(np.stack([above, np.full_like(above, empty)]), top, empty, None)


def _framed(rows: NDArray[Any], nodata: float | None) -> tuple[NDArray[Any], Any]:
    """Return the rows with a free row above and nodata on either side, and nodata, in a dtype that holds it."""
    empty: float = (-np.inf if rows.dtype.kind == "f" else np.iinfo(np.int64).min) if nodata is None else nodata
    dtype = rows.dtype
    if dtype.kind != "f" and not (empty == int(empty) and np.iinfo(dtype).min <= empty <= np.iinfo(dtype).max):
        dtype = np.dtype(np.int64 if empty == int(empty) else np.float64)
    values = np.empty((len(rows) + 1, rows.shape[1] + 2), dtype)
    values[:, 0] = values[:, -1] = empty
    values[1:, 1:-1] = rows
    if dtype.kind == "f":
        values[np.isnan(values)] = empty
    return values, dtype.type(empty)


@dataclass(frozen=True)
class Pieces:
    """The parts of regions that lie in one block, in reading order of their first pixels.

    Attributes:
        starts: True where a run of equal pixels starts, flat; only runs in the frame continue from row to row.
        run: the run of each pixel, flat.
        part: the part that each run belongs to; -1 for nodata.
        first: flat index of the first pixel of each part.
        runs: flat index of the first pixel of each run.
    """

    starts: NDArray[np.bool_]
    run: NDArray[np.int32]
    part: NDArray[np.int64]
    first: NDArray[np.int64]
    runs: NDArray[np.int64]


def find_pieces(block: Block, same: NDArray[np.bool_], *, diagonal: bool) -> Pieces:
    """Return the connected parts of a block; ``same`` is True for pixels below row 0 that equal the one above."""
    flat, width = block.values.ravel(), block.values.shape[1]
    starts = np.ones(len(flat), bool)
    np.not_equal(flat[1:], flat[:-1], out=starts[1:])
    run = np.cumsum(starts, dtype=np.int32)
    run -= 1
    runs = np.flatnonzero(starts)
    meet = np.flatnonzero(same & (starts[width:] | starts[:-width]))
    one, other = run[meet], run[meet + width]
    if diagonal:
        north_west, north_east = (_diagonals(flat, starts, same, width, side) for side in (-1, 1))
        one = np.concatenate([one, run[north_west - width - 1], run[north_east - width + 1]])
        other = np.concatenate([other, run[north_west], run[north_east]])
    empty = flat[runs] == block.nodata
    full = ~empty[one]
    root = find_components(len(runs), one[full], other[full])
    leads = (root == np.arange(len(runs))) & ~empty
    number = np.cumsum(leads) - 1
    part = np.where(empty, -1, number[root])
    return Pieces(starts, run, part, runs[leads], runs)


def _diagonals(
    flat: NDArray[Any], starts: NDArray[np.bool_], same: NDArray[np.bool_], width: int, side: int
) -> NDArray[np.int64]:
    """Return pixels that equal the one above and to the `side`, but neither of the two between them."""
    apart = ~same
    beside = starts[width:] if side < 0 else np.append(starts[width + 1 :], True)
    pixel = np.flatnonzero(apart & beside) + width
    equal: NDArray[np.int64] = pixel[flat[pixel] == flat[pixel - width + side]]
    return equal


def measure(block: Block, found: Pieces) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return for each part of a block: pixels with a number, the sum of the numbers times FINE, the least number."""
    assert block.measured is not None
    height, width = block.measured.shape
    place = (np.arange(1, height + 1)[:, None] * (width + 2) + np.arange(1, width + 1)).ravel()
    part = found.part[found.run[place]]
    numbers = np.asarray(np.ma.filled(np.ma.asarray(block.measured, np.float64), np.nan)).ravel()
    there = (part >= 0) & np.isfinite(numbers)
    part, numbers = part[there], numbers[there]
    count = len(found.first)
    total, least = np.zeros(count, np.int64), np.full(count, np.inf)
    np.add.at(total, part, np.rint(numbers * FINE).astype(np.int64))
    np.minimum.at(least, part, numbers)
    return np.bincount(part, minlength=count), total, least

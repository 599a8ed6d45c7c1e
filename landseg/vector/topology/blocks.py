"""Strips of a class raster recut into blocks, and the regions of a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.linked_lists import components

BLOCK = 1 << 21  # pixels that are worked on at a time
FINE = 1 << 24  # a number that is not whole is summed as a multiple of 1 / FINE, so that order does not matter


@dataclass(frozen=True)
class Block:
    """Rows of a class raster, framed with no data on the left and right, under the row that came before them.

    Attributes:
        values: ``(h + 1, w + 2)``; row 0 is the row before, or no data.
        top: the row of the raster that row 1 is.
        nodata: the value without data, in the dtype of `values`.
        measured: of the second raster ``(h, w)``, if there is one.
    """

    values: NDArray[Any]
    top: int
    nodata: Any
    measured: NDArray[Any] | None


def blocks(
    strips: Iterable[NDArray[Any]], nodata: float | None, measured: Iterable[NDArray[Any]] | None
) -> Iterator[Block]:
    """The raster in blocks, and one more of a row without data that closes it below."""
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
    """The rows with room above and no data on either side, in a dtype that has a number to spare for it."""
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
    """The parts of regions that lie in one block; part 0 is the first in reading order.

    Attributes:
        starts: whether a run of equal pixels starts at each pixel of the block, flat; runs go on from row to row
            through the frame only.
        run: the run of each pixel, flat.
        part: the part that each run belongs to; -1 without data.
        first: flat index of the first pixel of each part.
        runs: flat index of the first pixel of each run.
    """

    starts: NDArray[np.bool_]
    run: NDArray[np.int32]
    part: NDArray[np.int64]
    first: NDArray[np.int64]
    runs: NDArray[np.int64]


def pieces(block: Block, same: NDArray[np.bool_], *, diagonal: bool) -> Pieces:
    """The connected parts of a block; ``same`` says for each pixel but those of row 0 if the one above is equal."""
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
    root = components(len(runs), one[full], other[full])
    leads = (root == np.arange(len(runs))) & ~empty
    number = np.cumsum(leads) - 1
    part = np.where(empty, -1, number[root])
    return Pieces(starts, run, part, runs[leads], runs)


def _diagonals(
    flat: NDArray[Any], starts: NDArray[np.bool_], same: NDArray[np.bool_], width: int, side: int
) -> NDArray[np.int64]:
    """Pixels that equal the one above and to the `side`, but neither of the two between them."""
    apart = ~same
    beside = starts[width:] if side < 0 else np.append(starts[width + 1 :], True)
    pixel = np.flatnonzero(apart & beside) + width
    equal: NDArray[np.int64] = pixel[flat[pixel] == flat[pixel - width + side]]
    return equal


def measure(block: Block, found: Pieces) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pixels with a number, the sum of the numbers in units of 1 / FINE, and the least, of each part of a block."""
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

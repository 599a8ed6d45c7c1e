"""Overviews of a class raster, by majority, made from its raw pixels a few rows at a time.

GDAL makes the same ones from a VRT at several times the cost, except that in a raster of odd height it leaves out the
last row under a pixel where two of the pieces meet that it works in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Grid
from landseg.output.layer import Layer
from landseg.runtime.disk import disk_errors

_BAND = 1 << 18  # source pixels at a time: what is counted of them stays in the cache

Shape = tuple[int, int]


def overview_shapes(shape: Shape, block: int) -> list[Shape]:
    """Return the (height, width) of each overview of a raster, halved until it fits a block, as GDAL halves it.

    >>> overview_shapes((1025, 700), 512)
    [(512, 350)]
    """
    made = []
    while max(shape) > block:
        shape = (max(1, shape[0] // 2), max(1, shape[1] // 2))
        made.append(shape)
    return made


def write_overviews(layer: Layer, grid: Grid, raw: Path, *, block: int) -> list[tuple[Path, Shape]]:
    """Write the raw pixels of each overview of a raw file beside it; return their paths and (height, width).

    None are written of layers that are not averaged by majority, and of rasters so thin that a side shrinks to one
    pixel: GDAL makes those.

    Raises:
        OutputError: the disk is full.
    """
    shapes = overview_shapes(grid.shape, block)
    if layer.resampling != "mode" or layer.raw_bands != 1 or min((grid.shape, *shapes)[-1]) < 2:
        return []
    made: list[tuple[Path, Shape]] = []
    source, size = raw, grid.shape
    for number, shape in enumerate(shapes, start=1):
        path = raw.with_name(f"{raw.stem}-overview-{number}.raw")
        with disk_errors(path), path.open("wb") as file:
            for rows in _strips(source, size, np.dtype(layer.dtype).newbyteorder("<")):
                file.write(memoryview(halved_by_majority(rows, int(layer.empty))).cast("B"))  # type: ignore[arg-type]
        made.append((path, shape))
        source, size = path, shape
    return made


def _strips(raw: Path, shape: Shape, dtype: Any) -> Iterator[NDArray[Any]]:
    """Yield the rows of a raw file that make a few rows of its overview; in one of odd height they overlap by one."""
    height, width = shape
    few = max(1, _BAND // width // 2)
    for top in range(0, height // 2, few):
        bottom = min(top + few, height // 2)
        count = (2 * (bottom - top) + height % 2) * width
        yield np.fromfile(raw, dtype, count, offset=2 * top * width * np.dtype(dtype).itemsize).reshape(-1, width)


def halved_by_majority(values: NDArray[Any], nodata: int) -> NDArray[Any]:
    """Return the commonest value, leaving out ``nodata``, of the 2 x 2 pixels (h, w) under each pixel (h/2, w/2).

    Along a side of odd length they are three, and the last belongs to the next pixel, too. Of values that are equally
    common the one that is first so common wins, row by row.

    >>> halved_by_majority(np.array([[1, 4, 0, 0], [4, 1, 0, 7]], np.uint8), 0).tolist()
    [[4, 7]]
    """
    height, width = (length // 2 for length in values.shape)
    taps = [
        np.ascontiguousarray(values[y : y + 2 * height - 1 : 2, x : x + 2 * width - 1 : 2])
        for y in range(2 + values.shape[0] % 2)
        for x in range(2 + values.shape[1] % 2)
    ]
    best = taps[0].copy()
    most = (best != nodata).astype(np.uint8)
    for number, tap in enumerate(taps[1:], start=1):
        there = (tap != nodata).view(np.uint8)
        count = there.copy()
        for earlier in taps[:number]:
            count += earlier == tap
        count *= there
        np.copyto(best, tap, where=count > most)  # several times as fast as putmask
        np.maximum(most, count, out=most)
    return best

"""Lines along the middle of the regions of a class: roads, rivers, hedges."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.pieces import cut, rows_within

Geometries = NDArray[Any]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Centerlines:
    """Lines between the places where they meet or end.

    Attributes:
        lines: (N,) LineStrings in pixel coordinates (x = column, y = row, 0.5 in the middle of the first), sorted by
            their first point; ends that meet are equal to the last bit.
        length_m: (N,) lengths in metres.
    """

    lines: Geometries
    length_m: NDArray[np.float64]


def draw_centerlines(
    strips: Iterable[NDArray[Any]],
    value: float,
    *,
    shape: tuple[int, int],
    pixel_m: tuple[float, float] = (1.0, 1.0),
    spur_m: float = 0.0,
    tolerance_m: float = 0.0,
    work: Path | None = None,
) -> Centerlines:
    """Return the lines along the middle of all regions of the class ``value``.

    The regions are thinned to a skeleton (see `thin`), and the centres of its pixels are joined. Lines with a free
    end that are shorter than ``spur_m`` are removed, the shortest at each junction first, until none is left; so
    are shorter lines that touch no other line. Then lines are simplified by ``tolerance_m``; their ends do not move.

    What to expect: a line ends about half a region's width before the region does. Where two wide roads cross there
    are two junctions, as far apart as the crossing is skewed or wide. Squares and car parks become lines too. Parts
    that no pixel joins stay apart: no gap is closed. A spur is at least half as long as its region is wide, so a good
    ``spur_m`` is a little more than half that width.

    Memory: a byte a pixel of the raster, in a file of the folder ``work`` if there is one, about 50 bytes for each
    pixel on a region's edge, and 500 for each of the skeleton. The result does not depend on how the raster was cut.

    Args:
        strips: rows (h, w) from the top down.
        value: the value of the class.
        shape: (height, width) of the raster.
        pixel_m: (height, width) of a pixel in metres.
    """
    height, width = shape
    with tempfile.TemporaryDirectory(dir=work) as folder:
        size = (height + 2, width + 2)
        if work is None:
            mask: NDArray[np.uint8] = np.zeros(size, np.uint8)
        else:
            mask = np.memmap(_reserved(Path(folder) / "mask", size[0] * size[1]), np.uint8, "r+", shape=size)
        top = 1
        for strip in strips:
            mask[top : top + len(strip), 1:-1] = strip == value
            top += len(strip)
        thin(mask)
        segments = _segments(mask)
        del mask
    scale = np.array([pixel_m[1], pixel_m[0]])
    lines = _pruned(_merged(shapely.linestrings(segments * scale)), spur_m)
    # A line that is a ring keeps its first point too.
    lines = shapely.simplify(lines, tolerance_m) if tolerance_m > 0 else lines
    lengths = np.asarray(shapely.length(lines))
    return Centerlines(np.asarray(shapely.transform(lines, lambda points: points / scale)), lengths)


def _reserved(path: Path, size: int) -> Path:
    """Create a file whose bytes are allocated: a disk that is full later would kill the process without a message."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)
    return path


def _segments(mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return segments (E, 2, 2) between centres of neighbouring pixels, diagonal where no two steps join them."""
    flat, width = mask.reshape(-1), mask.shape[1]
    starts, steps = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for strip in cut(Rect(0, 0, *mask.shape), rows_within(STRIP_PIXELS, width)):
        pixels = np.flatnonzero(mask[strip.slices]) + strip.top * width
        east, south, west = (flat[pixels + step] > 0 for step in (1, width, -1))
        south_east = ~east & ~south & (flat[pixels + width + 1] > 0)
        south_west = ~west & ~south & (flat[pixels + width - 1] > 0)
        for there, step in ((east, 1), (south, width), (south_east, width + 1), (south_west, width - 1)):
            starts.append(pixels[there])
            steps.append(np.full(np.count_nonzero(there), step))
    start, step = np.concatenate(starts), np.concatenate(steps)
    places = np.stack([np.stack([index % width, index // width], axis=1) for index in (start, start + step)], axis=1)
    return np.asarray(places - 0.5)  # the ring around the raster is one pixel wide


def _merged(pieces: Geometries) -> Geometries:
    """Return lines joined wherever exactly two end, in an order that depends on their positions alone."""
    joined = shapely.get_parts(shapely.line_merge(shapely.multilinestrings(pieces)))
    joined = shapely.normalize(joined[~shapely.is_empty(joined)])
    first = shapely.get_coordinates(shapely.get_point(joined, 0))
    second = shapely.get_coordinates(shapely.get_point(joined, 1))
    return np.asarray(joined[np.lexsort((second[:, 1], second[:, 0], first[:, 0], first[:, 1]))])


def _pruned(lines: Geometries, shortest: float) -> Geometries:
    """Return the lines without short ones with a free end, removed in rounds: the shortest at each junction first."""
    while len(lines):
        ends = np.stack([shapely.get_coordinates(shapely.get_point(lines, at)) for at in (0, -1)], axis=1)
        _, node, degree = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
        node = node.reshape(-1, 2)
        free = degree[node] == 1
        lengths = shapely.length(lines)
        short = np.flatnonzero((lengths < shortest) & free.any(axis=1))
        alone = free[short].all(axis=1)
        held = np.where(free[short, 0], node[short, 1], node[short, 0])
        order = np.lexsort((lengths[short], held))
        _, leads = np.unique(held[order], return_index=True)
        gone = np.union1d(short[alone], short[order[leads]])
        if not len(gone):
            break
        lines = _merged(np.delete(lines, gone))
    return lines


STRIP_PIXELS = 1 << 22  # searched for edges at a time


def thin(mask: NDArray[np.uint8]) -> None:
    """Thin the pixels of ``mask`` (H, W) that are 1 to their skeleton, in place; its outermost ring must be 0.

    Pixels on an edge that connect no others and end no line are removed, alternately from two sides, until none is
    left. The result has as many 8-connected pieces and as many holes as the regions had, and ends about half a
    region's width before the region does. The mask may be a memory map; memory is about 50 bytes for each pixel on an
    edge.

    After Guo and Hall, "Parallel thinning with two-subiteration algorithms", CACM 32 (1989), algorithm A1.
    """
    flat, width = mask.reshape(-1), mask.shape[1]
    steps = (-width, 1 - width, 1, width + 1, width, width - 1, -1, -width - 1)  # from the north, clockwise
    edge = _edges(mask)
    waiting = [[edge], [edge]]  # to be examined from either side; marked by 2 and 4 in the mask
    flat[edge] |= 2 | 4
    side = 0
    while waiting[0] or waiting[1]:
        looked = np.concatenate([np.zeros(0, np.int64), *waiting[side]])
        waiting[side] = []
        here = flat[looked]
        flat[looked] = here & ~np.uint8(2 << side)
        looked = looked[here & 1 > 0]
        code = np.zeros(len(looked), np.uint8)
        for bit, step in enumerate(steps):
            code |= (flat[looked + step] & 1) << np.uint8(bit)
        gone = looked[_GOES[side][code]]
        flat[gone] &= ~np.uint8(1)
        for step in steps if len(gone) else ():
            beside = gone + step  # nothing has changed for other pixels
            here = flat[beside]
            for other in (0, 1):
                new = beside[here & (1 | 2 << other) == 1]
                flat[new] |= np.uint8(2 << other)
                if len(new):
                    waiting[other].append(new)
        side = 1 - side


def _edges(mask: NDArray[np.uint8]) -> Ints:
    """Return the flat indices of pixels of the mask that have a neighbour outside the mask."""
    height, width = mask.shape
    found = [np.zeros(0, np.int64)]
    for strip in cut(Rect(1, 0, max(0, height - 2), width), rows_within(STRIP_PIXELS, width)):
        inner = np.asarray(mask[strip.top - 1 : strip.bottom + 1])
        full = inner[1:-1].copy()
        full &= inner[:-2] & inner[2:]
        full[:, 1:-1] &= full[:, :-2] & full[:, 2:]
        found.append(np.flatnonzero((inner[1:-1] > 0) & (full == 0)) + strip.top * width)
    return np.concatenate(found)


def _table() -> NDArray[np.bool_]:
    """Return (2, 256) True where a pixel is removed, by side and by its neighbours as bits, clockwise from north."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1 > 0
    n, ne, e, se, s, sw, w, nw = bits.T
    pieces = sum((~a & (b | c)).astype(int) for a, b, c in ((n, ne, e), (e, se, s), (s, sw, w), (w, nw, n)))
    one = sum((a | b).astype(int) for a, b in ((nw, n), (ne, e), (se, s), (sw, w)))
    other = sum((a | b).astype(int) for a, b in ((n, ne), (e, se), (s, sw), (w, nw)))
    ends = np.minimum(one, other)
    common = (pieces == 1) & (ends >= 2) & (ends <= 3)
    return np.stack([common & ~((n | ne | ~se) & e), common & ~((s | sw | ~nw) & w)])


_GOES = _table()

"""A class raster as regions and the arcs between them, traced block by block on the lattice of pixel corners."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.blocks import FINE, Block, Pieces, cut_blocks, find_pieces, measure
from landseg.vector.topology.edges import Lines, trace_lines
from landseg.vector.topology.joining import PointStore, join
from landseg.vector.topology.linked_lists import Ints, find_components
from landseg.vector.topology.regions import Regions, Statistics


def trace(
    strips: Iterable[NDArray[Any]],
    *,
    nodata: float | None,
    connectivity: int = 4,
    work: Path | None = None,
    measured: Iterable[NDArray[Any]] | None = None,
) -> tuple[Regions, Arcs]:
    """Return the regions of equal pixels of a raster and the arcs between them, the same however its rows were cut.

    ``strips`` are the raster's rows ``(h, w)`` from the top down. Regions are 4-connected; with `connectivity` 8,
    pixels that touch by a corner are joined too. Pixels of ``nodata``, and those that are not a number, belong to no
    region. ``measured`` are strips of a second raster, cut as the first (they may be masked arrays): their figures
    for each region are its statistics, summed as multiples of 1 / 2²⁴, so that the order of summing does not matter.

    Nodes are the corners where three or more borders meet: T-junctions, and corners where two regions touch
    diagonally. Memory: about 40 bytes a pixel for a block of 2 million pixels, and 200 bytes an arc
    and a region; the points (8 bytes each) are in files of the folder ``work``, or in memory twice without one.

    >>> regions, arcs = trace([np.array([[7, 7], [5, 7]])], nodata=0)
    >>> regions.value.tolist(), regions.pixels.tolist(), list(zip(arcs.left.tolist(), arcs.right.tolist()))
    ([7, 5], [3, 1], [(0, 1), (1, -1), (0, -1)])
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity is 4 or 8, not {connectivity}")
    gathered = _Gathered(work)
    for block in cut_blocks(strips, nodata, measured):
        gathered.add(block, diagonal=connectivity == 8)
    return gathered.finished()


@dataclass
class _Parts:
    """Parts of regions, with one array for each block."""

    value: list[NDArray[Any]] = field(default_factory=list)
    pixels: list[Ints] = field(default_factory=list)
    first: list[Ints] = field(default_factory=list)
    counted: list[Ints] = field(default_factory=list)
    total: list[Ints] = field(default_factory=list)
    least: list[NDArray[np.float64]] = field(default_factory=list)


class _Gathered:
    """The parts of regions and the lines of all blocks that were added, and the row that the next block continues."""

    def __init__(self, work: Path | None) -> None:
        self._work = work
        self._parts, self._lines = _Parts(), [[], [], [], [], []]  # type: tuple[_Parts, list[list[Ints]]]
        self._points = PointStore(work)
        self._same: list[Ints] = []  # (2, n): parts of one region in two blocks
        self._count = 0
        self._last: Ints | None = None  # the part of each pixel of the last row
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)

    def add(self, block: Block, *, diagonal: bool) -> None:
        """Add the next block."""
        width = block.values.shape[1]
        same = (block.values[1:] == block.values[:-1]).ravel()
        found = find_pieces(block, same, diagonal=diagonal)
        self._add_parts(block, found, width)
        traced = trace_lines(block, found.starts, same)
        self._points.add(traced.points)
        for kept, new in zip(self._lines, self._numbered(traced, found), strict=True):
            kept.append(new)
        last = found.part[found.run[-width:]]
        self._last = np.where(last >= 0, last + self._count, -1)
        self._count += len(found.first)

    def _numbered(self, traced: Lines, found: Pieces) -> tuple[Ints, ...]:
        left, right = (found.part[found.run[side]] for side in (traced.left, traced.right))
        left, right = (np.where(side >= 0, side + self._count, -1) for side in (left, right))
        return traced.counts, left, right, traced.begin, traced.end

    def _add_parts(self, block: Block, found: Pieces, width: int) -> None:
        row, column = found.first // width, found.first % width
        lengths = np.diff(found.runs, append=block.values.size)
        counted = (found.part >= 0) & (found.runs >= width)
        pixels = np.zeros(len(found.first), np.int64)
        np.add.at(pixels, found.part[counted], lengths[counted])
        self._parts.value.append(block.values.ravel()[found.first])
        self._parts.pixels.append(pixels)
        self._parts.first.append((row - 1 + block.top) * (width - 2) + column - 1)
        above = found.runs[: np.searchsorted(found.runs, width)]
        above = above[found.part[: len(above)] >= 0]
        if self._last is not None:
            self._same.append(np.stack([found.part[found.run[above]] + self._count, self._last[above]]))
        if block.measured is not None:
            figures = measure(block, found)
        elif self._parts.counted:  # the row below the raster
            figures = (pixels, pixels, np.full(len(pixels), np.inf))
        else:
            return
        for kept, new in zip((self._parts.counted, self._parts.total, self._parts.least), figures, strict=True):
            kept.append(new)  # type: ignore[attr-defined]

    def finished(self) -> tuple[Regions, Arcs]:
        """Return the regions and arcs of all blocks."""
        same = np.concatenate(self._same, axis=1) if self._same else np.zeros((2, 0), np.int64)
        root = find_components(self._count, same[0], same[1])
        leads = root == np.arange(self._count)
        number = (np.cumsum(leads) - 1)[root]  # parts are found in order of their first pixels
        regions = self._regions(number)
        counts, left, right, begin, end = (_joined(arrays) for arrays in self._lines)
        number = np.append(number, -1)  # for part -1, which is nodata
        offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
        traced = Arcs(self._points.finished(), offsets, number[left], number[right])
        return regions, join(traced, _matched(end, begin), self._work)

    def _regions(self, number: Ints) -> Regions:
        parts = self._parts
        value = np.concatenate(parts.value) if parts.value else np.zeros(0, self._dtype)
        figures = None
        if parts.counted:
            total = _joined(parts.total)
            count = int(number.max()) + 1 if len(number) else 0
            exact = np.zeros(count, np.int64)
            np.add.at(exact, number, total)
            none = np.zeros(len(total))
            figures = Statistics(_joined(parts.counted), none, np.concatenate(parts.least)).gathered(number, count)
            figures = Statistics(figures.counted, exact / FINE, figures.least)
        found = Regions(value, _joined(parts.pixels), _joined(parts.first)).gathered(number)
        return Regions(found.value, found.pixels, found.first, figures)


def _joined(arrays: list[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)


def _matched(end: Ints, begin: Ints) -> Ints:
    """Return for each line the one that begins where it ends, by the keys of both; -1 where no line does."""
    open_ = np.flatnonzero(begin >= 0)
    open_ = open_[np.argsort(begin[open_])]
    keys = begin[open_]
    place = np.searchsorted(keys, end)
    place[place == len(keys)] = 0
    found = np.full(len(end), -1, np.int64)
    if len(keys):
        match = (end >= 0) & (keys[place] == end)
        found[match] = open_[place[match]]
    return found

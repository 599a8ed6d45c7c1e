"""Counts by square of a raster, with a limit on the number of squares: above it, four squares become one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SPATIAL_LEVELS = 26
"""Number of doublings after which a square holds any raster; further doublings join rasters."""

Key = tuple[int, int, int]  # raster, row and column of the square
Part = tuple[slice, slice]


class Tiles:
    """Arrays of counts, one for each square of ``edge`` pixels with counts.

    Above the limit the edge doubles, until the number of squares is within the limit. The result depends only on the
    squares in use, not on their order or on the cuts of the raster. Squares start at row 0 and column 0 of each
    raster, and rasters stay separate unless there are more of them than the limit.

    Args:
        shape: shape of the counts of a square.
        edge: edge of a square in pixels, at least 1.
        limit: maximum number of squares, at least 1.
    """

    def __init__(self, shape: tuple[int, ...], edge: int, limit: int) -> None:
        if edge < 1 or limit < 1:
            raise ValueError(
                f"expected squares of at least 1 pixel and a limit of at least 1, got {edge} and {limit}"
            )
        self.shape, self.first_edge, self.limit = shape, edge, limit
        self.level = 0
        self.sums: dict[Key, NDArray[np.int64]] = {}

    @property
    def edge(self) -> int:
        """The current edge of a square in pixels."""
        return self.first_edge << min(self.level, SPATIAL_LEVELS)

    def __len__(self) -> int:
        return len(self.sums)

    def cut(self, height: int, width: int, *, top: int, left: int, raster: int) -> Iterator[tuple[Key, Part]]:
        """Yield the squares under a window of a raster, each with its part of the window as slices.

        Raises:
            ValueError: the window starts before the raster.
        """
        if min(top, left, raster) < 0:
            raise ValueError(f"a window at row {top}, column {left} of raster {raster}: expected 0 or more")
        edge, raster = self.edge, raster >> max(0, self.level - SPATIAL_LEVELS)
        for i in range(top // edge, -(-(top + height) // edge)):
            rows = slice(max(0, i * edge - top), min(height, (i + 1) * edge - top))
            for j in range(left // edge, -(-(left + width) // edge)):
                yield (raster, i, j), (rows, slice(max(0, j * edge - left), min(width, (j + 1) * edge - left)))

    def add(self, key: Key, counts: NDArray[np.int64], level: int) -> None:
        """Add the counts of a square that was cut at a level; a square without counts is not kept."""
        if not counts.any():
            return
        for passed in range(level, self.level):
            key = _parent(key, passed)
        self.sums[key] = self.sums[key] + counts if key in self.sums else counts
        while len(self.sums) > self.limit:
            self._coarsen()

    def merge(self, other: Tiles) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has another shape, edge or limit.
        """
        if (self.shape, self.first_edge, self.limit) != (other.shape, other.first_edge, other.limit):
            raise ValueError("merged sums need counts of one shape, squares of one size and one limit")
        while self.level < other.level:
            self._coarsen()
        for key, counts in other.sums.items():
            self.add(key, counts, other.level)

    def stacked(self) -> NDArray[np.int64]:
        """Return the counts of all squares, (B, ...), in order of raster, row and column."""
        rows = [self.sums[key] for key in sorted(self.sums)]
        return np.stack(rows) if rows else np.zeros((0, *self.shape), np.int64)

    def _coarsen(self) -> None:
        merged: dict[Key, NDArray[np.int64]] = {}
        for key, counts in self.sums.items():
            parent = _parent(key, self.level)
            merged[parent] = merged[parent] + counts if parent in merged else counts
        self.sums, self.level = merged, self.level + 1


def _parent(key: Key, level: int) -> Key:
    """Return the key of the square of the next level that holds a square."""
    raster, row, column = key
    return (raster, row // 2, column // 2) if level < SPATIAL_LEVELS else (raster // 2, row, column)

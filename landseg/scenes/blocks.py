"""Blocks of a raster: squares that are learned or kept as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseg.errors import GridError, TrainingError
from landseg.geo.grid import Grid, Rect

Mask = Callable[[Rect], NDArray[np.bool_]]
"""Boolean pixels (h, w) of any rectangle of a scene."""


@dataclass(frozen=True)
class Parts:
    """The part of one scene on either side: a mask, all of it (True) or nothing (False)."""

    learned: Mask | bool
    kept: Mask | bool


@dataclass(frozen=True)
class Blocks:
    """A raster cut into ``rows`` x ``columns`` blocks that are as equal as whole pixels allow.

    >>> [rect.width for rect in Blocks.of((10, 10), 4)]
    [5, 5, 5, 5]
    """

    shape: tuple[int, int]
    rows: int
    columns: int

    @classmethod
    def of(cls, shape: tuple[int, int], edge: int) -> Blocks:
        """Return blocks whose edges are near ``edge`` pixels; a raster smaller than that is one block."""
        rows, columns = (max(1, round(size / edge)) for size in shape)
        return cls(shape, rows, columns)

    def __len__(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[Rect]:
        """Yield the blocks, row by row; they partition the raster."""
        for row in range(self.rows):
            top, bottom = _start(row, self.shape[0], self.rows), _start(row + 1, self.shape[0], self.rows)
            for column in range(self.columns):
                left = _start(column, self.shape[1], self.columns)
                right = _start(column + 1, self.shape[1], self.columns)
                yield Rect(top, left, bottom - top, right - left)

    @property
    def smallest(self) -> int:
        """The shortest edge of any block."""
        return min(self.shape[0] // self.rows, self.shape[1] // self.columns)


@dataclass(frozen=True, eq=False)
class KeptBlocks:
    """The mask of pixels in kept blocks, for any rectangle."""

    blocks: Blocks
    kept: NDArray[np.bool_]  # (rows, columns)

    def __call__(self, rect: Rect) -> NDArray[np.bool_]:
        return self._at(rect, 0, 0)

    def _at(self, rect: Rect, dy: int, dx: int) -> NDArray[np.bool_]:
        """Return the mask of the pixels ``dy`` rows below and ``dx`` columns to the right; at the edge, the last."""
        height, width = self.blocks.shape
        rows = np.clip(np.arange(rect.top, rect.bottom) + dy, 0, height - 1) * self.blocks.rows // height
        columns = np.clip(np.arange(rect.left, rect.right) + dx, 0, width - 1) * self.blocks.columns // width
        found: NDArray[np.bool_] = self.kept[np.ix_(rows, columns)]
        return found


@dataclass(frozen=True, eq=False)
class LearnedBlocks:
    """The mask of pixels in no kept block, and at least ``gap`` pixels of the raster from any.

    The gap is not longer than a block's edge: then looking as far as it in eight directions meets every kept block.
    """

    kept: KeptBlocks
    gap: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.gap <= self.kept.blocks.smallest, "a gap is within one block"

    def __call__(self, rect: Rect) -> NDArray[np.bool_]:
        steps = (-self.gap, 0, self.gap) if self.gap else (0,)
        near = np.zeros(rect.shape, bool)
        for dy in steps:
            for dx in steps:
                near |= self.kept._at(rect, dy, dx)
        return ~near


@dataclass(frozen=True, eq=False)
class InArea:
    """The mask of pixels inside an area, or outside, for any rectangle."""

    inside: Callable[[Rect], NDArray[np.bool_] | None]
    wanted: bool

    def __call__(self, rect: Rect) -> NDArray[np.bool_]:
        found = self.inside(rect)
        inside = np.ones(rect.shape, bool) if found is None else found
        return inside if self.wanted else ~inside


def parts_by_area(name: str, grid: Grid | None, path: str) -> Parts:
    """Return the parts of a raster where the inside of the polygons of a vector file is kept.

    Raises:
        TrainingError: the file does not exist, or the raster does not say where it lies.
        VectorError: the file cannot be read.
    """
    from landseg.geo.vectors.aoi import read_aoi
    from landseg.geo.vectors.names import is_there

    if grid is None:
        raise TrainingError(f"{name} does not say where it lies, so an area means nothing; split by file")
    if not is_there(path):
        raise TrainingError(f"{path} does not exist: name a vector file with the area to keep")
    try:
        area = read_aoi(path, grid)
    except GridError:  # it lies elsewhere
        return Parts(True, False)
    return Parts(InArea(area.inside, False), InArea(area.inside, True))


def _start(index: int, size: int, blocks: int) -> int:
    return -(-index * size // blocks)

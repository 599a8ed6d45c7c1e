"""Surface Dice at a tolerance (Nikolov et al. 2018): the share of the outlines near those of the other side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX

WHOLE = (slice(None), slice(None))
OUTSIDE = 254  # the value of borders: neither a class nor no data
PLANES = 64  # classes whose outlines fit into the bits of one number for each corner

Corners = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows and columns of corners


class SurfaceDice:
    """Lengths of the outlines of each class: in total, and within a tolerance of the other side's outline.

    As in the authors' package `surface-distance`: outlines run through the corners between pixels; the four pixels
    around a corner give the length of outline there (the diagonal of half a pixel, a side, or two diagonals), and
    distances are those between corners. Unlike there, a corner next to the raster's edge, to void or to pixels
    without data has no outline: it would be that of the survey, not of the land. ``border=True`` treats all of these
    as background and agrees with the package. Outlines of the prediction in the truth's void count neither as right
    nor as wrong, but an outline of the truth may lie within the tolerance of such an outline.

    Args:
        classes: K.
        tolerance: in the unit of ``spacing``, for example metres; an outline at exactly this distance is within it.
        spacing: distance between rows and between columns.
        border: True if everything that is no class, and everything outside the raster, is background.
    """

    def __init__(
        self, classes: int, tolerance: float, spacing: tuple[float, float] = (1.0, 1.0), *, border: bool = False
    ) -> None:
        if tolerance < 0 or min(spacing) <= 0:
            raise ValueError(
                f"expected a tolerance of 0 or more and a spacing above 0, got {tolerance} and {spacing}"
            )
        self.classes, self.tolerance, self.spacing, self.border = classes, float(tolerance), spacing, border
        # Side (truth, prediction), class, kind of piece (half-pixel diagonal, along a column, along a row), and
        # all pieces or those within the tolerance: whole numbers, so that the order of sums has no effect.
        self.pieces = np.zeros((2, classes, 3, 2), np.int64)

    @property
    def halo(self) -> tuple[int, int]:
        """The rows and columns that a window needs on each side of its core."""
        disc = list(_disc(self.tolerance, self.spacing))
        return disc[-1][0] + 1, disc[0][1] + 1

    @property
    def has_outline(self) -> bool:
        """True if the truth has an outline; without an outline there is nothing to compare with."""
        return bool(self.true.any())

    @property
    def true(self) -> NDArray[np.bool_]:
        """True for each class with an outline in the truth, (K,)."""
        return np.asarray(self.pieces[0].any((1, 2)))

    def update(
        self,
        target: NDArray[np.integer[Any]],
        predicted: NDArray[np.integer[Any]],
        *,
        core: tuple[slice, slice] = WHOLE,
    ) -> None:
        """Count two rasters (H, W) of class indices, or the core of a window; IGNORE_INDEX is no class.

        The arrays of a window reach `halo` pixels beyond its core, but not beyond the raster. Then cores that
        partition a raster give the counts of the whole raster.
        """
        height, width = target.shape
        own = _corners_of(core, height, width)
        sides = [self._padded(labels) for labels in (target, predicted)]
        found = [_mixed(side, skip_void=not self.border) for side in sides]
        for first in range(0, self.classes, PLANES):
            near = []
            for side, corners in zip(sides, found, strict=True):
                planes = _planes(side, corners, first, self.classes)
                near.append(_spread(planes, self.tolerance, self.spacing))
            for index, (side, corners) in enumerate(zip(sides, found, strict=True)):
                kept = self._counted(sides[0], corners, own)
                self._count(index, side, kept, near[1 - index], first)

    def merge(self, other: SurfaceDice) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has another tolerance, spacing or rule for the border, or other classes.
        """
        same = (other.tolerance, other.spacing, other.border) == (self.tolerance, self.spacing, self.border)
        if not same or other.classes != self.classes:
            raise ValueError("merged surface Dices need the same classes, tolerance, spacing and rule for the border")
        self.pieces += other.pieces

    def lengths(self) -> NDArray[np.float64]:
        """Return the length of the outlines of each class on both sides, (K, 2): all, and within the tolerance."""
        down, across = self.spacing
        kinds = np.array([math.hypot(down, across) / 2, down, across])
        return np.asarray(self.pieces.sum(0).transpose(0, 2, 1) @ kinds)

    def compute(self) -> NDArray[np.float64]:
        """Return the surface Dice of each class, (K,); nan for a class without an outline in the truth.

        With a ``border`` the package's rule holds: 0 if only one side has an outline, nan if neither has.
        """
        return _dice(self.lengths(), self.true | self.border)

    def mean(self) -> float:
        """Return the mean over the classes with a figure; nan without such classes."""
        values = self.compute()
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def _padded(self, labels: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Return labels (H + 2, W + 2) with a frame: background of every class with a border, else no data."""
        values = np.asarray(labels).astype(np.uint8)
        if self.border:
            values[values == IGNORE_INDEX] = OUTSIDE
        return np.pad(values, 1, constant_values=OUTSIDE if self.border else IGNORE_INDEX)

    def _counted(self, target: NDArray[np.uint8], corners: Corners, own: tuple[range, range]) -> Corners:
        """Return the corners that belong to the core and, unless void is background, touch no void of the truth."""
        rows, columns = corners
        keep = (rows >= own[0].start) & (rows < own[0].stop) & (columns >= own[1].start) & (columns < own[1].stop)
        rows, columns = rows[keep], columns[keep]
        if not self.border:
            keep = (_around(target, (rows, columns)) != IGNORE_INDEX).all(0)
            rows, columns = rows[keep], columns[keep]
        return rows, columns

    def _count(
        self,
        side: int,
        labels: NDArray[np.uint8],
        corners: Corners,
        near: NDArray[np.unsignedinteger[Any]],
        first: int,
    ) -> None:
        around, close = _around(labels, corners), near[corners]
        for index in range(first, min(first + PLANES, self.classes)):
            inside = around == index
            if not inside.any():
                continue
            kinds = pieces_of(inside)
            within = (close >> near.dtype.type(index - first)) & near.dtype.type(1)
            self.pieces[side, index, :, 0] += kinds.sum(1)
            self.pieces[side, index, :, 1] += kinds[:, within != 0].sum(1)


class SurfaceDiceByRows:
    """The surface Dice of a raster whose pixels change in size from row to row, as those in degrees do.

    Args:
        classes: K.
        tolerance: in the unit of the spacings.
        bands: the row after the last, and the spacing (rows, columns), of each band of rows, from the top down. An
            outline is measured with the spacing of the band in which it lies.
    """

    def __init__(self, classes: int, tolerance: float, bands: Sequence[tuple[int, tuple[float, float]]]) -> None:
        self.ends = [end for end, _ in bands]
        self.parts = [SurfaceDice(classes, tolerance, spacing) for _, spacing in bands]

    @property
    def halo(self) -> tuple[int, int]:
        """The rows and columns that a window needs on each side of its core."""
        rows, columns = zip(*(part.halo for part in self.parts), strict=True)
        return max(rows), max(columns)

    @property
    def has_outline(self) -> bool:
        """True if the truth has an outline; without an outline there is nothing to compare with."""
        return bool(self.true.any())

    @property
    def true(self) -> NDArray[np.bool_]:
        """True for each class with an outline in the truth, (K,)."""
        return np.asarray(np.any([part.true for part in self.parts], axis=0))

    def update(
        self,
        target: NDArray[np.integer[Any]],
        predicted: NDArray[np.integer[Any]],
        *,
        core: tuple[slice, slice] = WHOLE,
        top: int = 0,
    ) -> None:
        """Count the core of a window whose first row is the raster's row ``top``, as `SurfaceDice.update` does."""
        first, last, _ = core[0].indices(len(target))
        start = 0
        for end, part in zip(self.ends, self.parts, strict=True):
            rows = slice(max(first, start - top), min(last, end - top))
            if rows.start < rows.stop:
                part.update(target, predicted, core=(rows, core[1]))
            start = end

    def merge(self, other: SurfaceDiceByRows) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has different bands.
        """
        for part, counted in zip(self.parts, other.parts, strict=True):
            part.merge(counted)

    def compute(self) -> NDArray[np.float64]:
        """Return the surface Dice of each class, (K,); nan for a class without an outline in the truth."""
        return _dice(np.sum([part.lengths() for part in self.parts], axis=0), self.true)

    def mean(self) -> float:
        """Return the mean over the classes with a figure; nan without such classes."""
        values = self.compute()
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _dice(lengths: NDArray[np.float64], defined: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of lengths (K, 2) within the tolerance; nan for classes without length or not ``defined``."""
    with np.errstate(invalid="ignore"):
        return np.where(defined, lengths[:, 1] / lengths[:, 0], np.nan)


def _corners_of(core: tuple[slice, slice], height: int, width: int) -> tuple[range, range]:
    """Return the corners of a core: the upper left corner of each pixel, and at the array's end the last ones too."""
    owned = []
    for part, size in zip(core, (height, width), strict=True):
        start, stop, _ = part.indices(size)
        owned.append(range(start, stop + (stop == size)))
    return owned[0], owned[1]


def _mixed(padded: NDArray[np.uint8], *, skip_void: bool) -> Corners:
    """Return the corners (H + 1, W + 1) whose four pixels differ; with ``skip_void`` none that touches void."""
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    mixed = (a != b) | (a != c) | (a != d)
    rows, columns = np.nonzero(mixed)
    if skip_void:
        keep = (_around(padded, (rows, columns)) != IGNORE_INDEX).all(0)
        rows, columns = rows[keep], columns[keep]
    return rows, columns


def _around(padded: NDArray[np.uint8], corners: Corners) -> NDArray[np.uint8]:
    """Return the four pixels around each corner, (4, N): upper left, upper right, lower left, lower right."""
    rows, columns = corners
    return np.stack([padded[rows + down, columns + right] for down in (0, 1) for right in (0, 1)])


def _planes(
    padded: NDArray[np.uint8], corners: Corners, first: int, classes: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Return for each corner (H + 1, W + 1) a number whose bit i is set if class ``first + i`` has an outline."""
    classes = min(classes - first, PLANES)
    dtype = next(kind for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if np.iinfo(kind).bits >= classes)
    bits = np.zeros(256, dtype)
    for index in range(classes):
        bits[first + index] = dtype(1) << dtype(index)
    planes = np.zeros((padded.shape[0] - 1, padded.shape[1] - 1), dtype)
    planes[corners] = np.bitwise_or.reduce(bits[_around(padded, corners)], axis=0)
    return planes


def pieces_of(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the pieces of outline at corners, (3, N), from four booleans (4, N): True inside the object.

    One or three of four inside: a half-pixel diagonal. Two side by side: a piece along their row; one above the
    other: along their column. Two across: two diagonals.
    """
    many = inside.sum(0)
    row = (many == 2) & (inside[0] == inside[1])
    column = (many == 2) & (inside[0] == inside[2])
    across = (many == 2) & ~row & ~column
    diagonals = (many == 1).astype(np.int64) + (many == 3) + 2 * across
    return np.stack([diagonals, column.astype(np.int64), row.astype(np.int64)])


def _spread(
    planes: NDArray[np.unsignedinteger[Any]], tolerance: float, spacing: tuple[float, float]
) -> NDArray[np.unsignedinteger[Any]]:
    """Return planes (H, W) with each bit set where it is set at most ``tolerance`` away, exactly."""
    result = planes.copy()
    height = len(planes)
    for down, reach in _disc(tolerance, spacing):
        wide = _along_rows(planes, reach)
        for shift in {down, -down}:
            if abs(shift) < height:
                to = slice(max(0, shift), height + min(0, shift))
                of = slice(max(0, -shift), height + min(0, -shift))
                result[to] |= wide[of]
    return result


def _disc(tolerance: float, spacing: tuple[float, float]) -> Iterator[tuple[int, int]]:
    """Yield each distance in rows with the largest distance in columns that is then within the tolerance."""
    down = 0
    while down * spacing[0] <= tolerance:
        reach = 0
        while math.sqrt((down * spacing[0]) ** 2 + ((reach + 1) * spacing[1]) ** 2) <= tolerance:
            reach += 1
        yield down, reach
        down += 1


def _along_rows(planes: NDArray[np.unsignedinteger[Any]], reach: int) -> NDArray[np.unsignedinteger[Any]]:
    """Return planes with bits set where they are set at most ``reach`` columns away, in about log2(reach) passes."""
    found = np.pad(planes, ((0, 0), (reach, reach)))
    covered, full = 1, 2 * reach + 1
    while covered < full:
        step = min(covered, full - covered)
        found = found[:, :-step] | found[:, step:]
        covered += step
    return found

"""Label rasters on a grid that may be another than their own: as values, and as class indices."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import BandError, GridError
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect
from landseg.geo.horizontal import same_place
from landseg.geo.pieces import cut
from landseg.geo.positions import mover, offset_on, pixel_ratio, turn_of, turned_near
from landseg.geo.rasters.source import Source
from landseg.labels.label_colors import Colors, label_source
from landseg.labels.left_out import Masks, Reason
from landseg.labels.reader import LabelReader, Pixels, UnmappedValues
from landseg.labels.regrid import (
    BALLOTS,
    SLIVER,
    Floats,
    Mask,
    PixelOutlines,
    is_pure,
    numbered,
    resample_codes,
    taps_of_spans,
)
from landseg.text.amounts import counted

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]

_FINER = 1.25  # a raster whose pixels are smaller than the grid's by more than this is called finer
_PART = 1 << 20  # label pixels that are looked at together, about


class RasterLabels(LabelReader):
    """Values of one label raster (or of several, the first valid pixel winning) on a grid.

    Where both grids share their pixels, these are read as they are. Otherwise a pixel takes the label that covers the
    largest part of it (see `largest_share`): no data, and what lies beyond the raster, count as one label. The
    outline of a pixel runs straight between its corners on the raster.

    Args:
        source: one band of class values; it is closed with the reader.
        grid: the grid that `read` takes rectangles of.
        of: what the grid is the grid of, for sentences.

    Attributes:
        source: the raster.
        resampled: whether its pixels are others than the grid's.

    Raises:
        GridError: the two do not overlap, one of them alone has a CRS, or neither says where it lies and they differ
            in size.
        BandError: more than one band.
    """

    def __init__(self, source: Source, grid: Grid, *, of: str = "the prediction") -> None:
        if source.count != 1:
            raise BandError(f"{source.name} has {counted(source.count, 'band')}; expected a class raster with one")
        self.source, self.grid = source, grid
        self.name, self.paths = source.name, source.paths
        self._local = threading.local()
        own = source.grid
        if not own.is_placed and not grid.is_placed and own.shape != grid.shape:
            raise GridError(
                f"{source.name} has {own.width} x {own.height} pixels, {of} {grid.width} x {grid.height}, "
                f"and neither says where it lies: expected equal sizes; do they belong together?"
            )
        self._offset = _whole_offset(own, grid)
        self.resampled = self._offset is None
        if self._offset is not None:
            if own.rect.shifted(*self._offset).intersection(grid.rect) is None:
                raise GridError(_apart(source, grid, of))
            self.note = f"{source.name} is read pixel by pixel"
            return
        if (own.crs is None) != (grid.crs is None):
            raise GridError(
                f"{source.name} has {crs_text(own.crs)}, {of} {crs_text(grid.crs)}: "
                "expected both to have a CRS or neither; assign the missing one (gdal_edit -a_srs)"
            )
        if not _overlap(own, grid):
            raise GridError(_apart(source, grid, of))
        self._ratio, self._turn, self._axes = pixel_ratio(own, grid), turn_of(own), _axes(own, grid)
        finer = f"is finer by {self._ratio:.3g}" if self._ratio > _FINER else "lies on another grid"
        self.note = f"{source.name} {finer}: each pixel takes the label that covers the largest part of it"

    def read_reasons(
        self, rect: Rect, pixels: Pixels | None = None, *, core: Rect | None = None
    ) -> tuple[NDArray[Any], Masks]:
        """Return values (h, w) in the raster's dtype, and masks of the pixels beyond it and of those without data."""
        values, valid, inside = self.read_placed(rect)
        return values, _masks(valid, inside)

    def read_placed(self, rect: Rect) -> tuple[NDArray[Any], Mask, Mask | None]:
        """Return values (h, w), where they are data (h, w), and where the raster lies (h, w); None: everywhere."""
        values = np.zeros(rect.shape, self.source.dtype)
        valid, inside = np.zeros((2, *rect.shape), np.bool_)
        if self._offset is not None:
            placed = self.source.grid.rect.shifted(*self._offset)
            shared = rect.intersection(placed)
            if shared == rect:
                found, known = self.source.read(shared.relative_to(placed))
                return found[0], known, None
            if shared is not None:
                target = shared.relative_to(rect).slices
                found, known = self.source.read(shared.relative_to(placed))
                values[target], valid[target], inside[target] = found[0], known, True
            return values, valid, inside
        side = max(1, math.isqrt(_PART) // math.ceil(self._ratio))
        for part in cut(rect, side, side):
            target = part.relative_to(rect).slices
            values[target], valid[target], inside[target] = self._resampled(part)
        return values, valid, None if inside.all() else inside

    def read_nearest(self, rect: Rect) -> tuple[NDArray[Any], Mask, Mask | None]:
        """Return the arrays of `read_placed` with the label at each pixel's centre, for rasters of many labels."""
        if not self.resampled:
            return self.read_placed(rect)
        values = np.zeros(rect.shape, self.source.dtype)
        valid, inside = np.zeros((2, *rect.shape), np.bool_)
        side = max(1, math.isqrt(_PART) // math.ceil(self._ratio))
        for part in cut(rect, side, side):
            target = part.relative_to(rect).slices
            values[target], valid[target], inside[target] = self._at_centres(part)
        return values, valid, None if inside.all() else inside

    @property
    def offset(self) -> tuple[int, int] | None:
        """The place of the raster's pixel (0, 0) on the grid in whole pixels; None where its pixels are others."""
        return self._offset

    def close(self) -> None:
        self.source.close()

    def _at_centres(self, rect: Rect) -> tuple[NDArray[Any], Mask, Mask]:
        """Return values and validity (h, w) at the centres of a rectangle's pixels, and which of them it has."""
        columns, rows = np.arange(rect.left, rect.right) + 0.5, np.arange(rect.top, rect.bottom) + 0.5
        x, y = self._move(*np.meshgrid(columns, rows))
        height, width = self.source.grid.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        values, valid = np.zeros(rect.shape, self.source.dtype), np.zeros(rect.shape, np.bool_)
        if inside.any():
            across, down = x[inside].astype(np.int64), y[inside].astype(np.int64)
            top, left = int(down.min()), int(across.min())
            needed = Rect(top, left, int(down.max()) + 1 - top, int(across.max()) + 1 - left)
            found, known = self.source.read(needed)
            values[inside], valid[inside] = found[0][down - top, across - left], known[down - top, across - left]
        return values, valid, inside

    def _resampled(self, rect: Rect) -> tuple[NDArray[Any], Mask, Mask]:
        """Return the arrays of `read_placed` for a rectangle whose pixels are others than the raster's."""
        found = self._by_spans(rect, self._axes) if self._axes is not None else self._by_outlines(rect)
        values, valid, covered = found
        return values, valid, valid | (covered >= 0.5 - SLIVER)

    def _by_spans(self, rect: Rect, axes: Affine) -> tuple[NDArray[Any], Mask, Floats]:
        """Return values and validity (h, w), and the part (h, w) of each pixel that the raster covers.

        Args:
            rect: of the grid.
            axes: from the grid's pixels to the raster's, whose axes are parallel.
        """
        x = axes.a * np.arange(rect.left, rect.right + 1.0) + axes.c
        y = axes.e * np.arange(rect.top, rect.bottom + 1.0) + axes.f
        rows, columns = (taps_of_spans(np.minimum(a[:-1], a[1:]), np.maximum(a[:-1], a[1:])) for a in (y, x))
        around = Rect(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        shared = around.intersection(self.source.grid.rect)
        if shared is None:
            return self._nothing(rect)
        found, known = self.source.read(shared)
        kinds, there = numbered(found[0], known)
        codes = np.full(around.shape, len(kinds), there.dtype)
        codes[shared.relative_to(around).slices] = there
        covered = [
            np.where((taps.index + taps.start >= 0) & (taps.index + taps.start < size), taps.weight, 0).sum(1)
            for taps, size in zip((rows, columns), self.source.grid.shape, strict=True)
        ]
        values, valid = _values_of(resample_codes(codes, rows, columns, len(kinds)), kinds)
        return values, valid, covered[0][:, None] * covered[1]

    def _by_outlines(self, rect: Rect) -> tuple[NDArray[Any], Mask, Floats]:
        """Return the arrays of `_by_spans` where pixels lie across the raster's."""
        x, y = self._corners(rect)
        pixels = PixelOutlines.of(x.reshape(4, -1), y.reshape(4, -1))
        needed = pixels.needed(self.source.grid.rect)
        if needed is None:
            return self._nothing(rect)
        found, known = self.source.read(needed)
        kinds, codes = numbered(found[0], known)
        chosen, covered = np.full(rect.area, len(kinds)), np.zeros(rect.area)
        pure = pixels.inside(needed)
        pure[pure] = is_pure(codes, pixels.of_these(pure), needed)
        chosen[pure] = codes[pixels.top[pure] - needed.top, pixels.left[pure] - needed.left]
        covered[pure] = 1
        mixed = np.flatnonzero(~pure & pixels.meets(needed))
        many = max(1, BALLOTS // max(math.prod(pixels.size), len(kinds) + 1))
        for first in range(0, len(mixed), many):
            some = mixed[first : first + many]
            chosen[some], covered[some] = pixels.of_these(some).elected(codes, needed, len(kinds), self._goes_round)
        values, valid = _values_of(chosen.reshape(rect.shape), kinds)
        return values, valid, covered.reshape(rect.shape)

    def _nothing(self, rect: Rect) -> tuple[NDArray[Any], Mask, Floats]:
        return np.zeros(rect.shape, self.source.dtype), np.zeros(rect.shape, np.bool_), np.zeros(rect.shape)

    def _corners(self, rect: Rect) -> tuple[Floats, Floats]:
        """Return the corners (4, h, w) of a rectangle's pixels on the raster as x and y, in order around each."""
        columns, rows = np.arange(rect.left, rect.right + 1.0), np.arange(rect.top, rect.bottom + 1.0)
        found = [
            np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]])
            for at in self._move(*np.meshgrid(columns, rows))
        ]
        x, y = found
        if self._turn is not None:  # corners of one pixel may lie on both sides of where a turn ends
            middle = self._move(*np.meshgrid(columns[:-1] + 0.5, rows[:-1] + 0.5))
            across, down = self._turn
            with np.errstate(invalid="ignore"):
                turns = np.round(
                    ((x - middle[0]) * across + (y - middle[1]) * down) / (across * across + down * down)
                )
                x, y = x - turns * across, y - turns * down
        return x, y

    @property
    def _goes_round(self) -> bool:
        """True where the raster goes all around the globe, so that its columns have no end."""
        return self._turn is not None and math.hypot(*self._turn) < max(self.source.grid.shape) + 0.5

    def _move(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return positions on the grid as positions on the raster."""
        if not hasattr(self._local, "move"):  # pyproj's transformers do not like to be shared
            self._local.move = mover(self.grid, self.source.grid)
        moved: tuple[Floats, Floats] = self._local.move(x, y)
        return moved


class ClassLabels(LabelReader):
    """A label raster as class indices, or as the target values that a table has for these.

    What is no data the raster says itself, by its nodata, mask or alpha; values that the class table ignores are
    unknown. Values without a class are unknown while the raster is read, and counted: `unmapped` has them all at the
    end, since one pass over the raster finds them.

    Args:
        values: the raster on the grid; it is closed with the reader.
        classes: what its values mean.
        table: (256,) target value of each class index; None: labels are class indices.
    """

    def __init__(self, values: RasterLabels, classes: ClassMap, table: NDArray[np.uint8] | None = None) -> None:
        self.name, self.note, self.paths = values.name, values.note, values.paths
        self.values, self.classes = values, classes
        self._table = table
        self._counts: Counter[float] = Counter()
        self._lock = threading.Lock()

    def read_reasons(
        self, rect: Rect, pixels: Pixels | None = None, *, core: Rect | None = None
    ) -> tuple[NDArray[np.uint8], Masks]:
        values, valid, inside = self.values.read_placed(rect)
        indices, unmapped = self.classes.to_indices_and_unmapped(values, valid)
        if unmapped and core is not None and core != rect:
            part = core.relative_to(rect).slices
            _, unmapped = self.classes.to_indices_and_unmapped(values[part], valid[part])
        if unmapped:
            with self._lock:
                self._counts.update(unmapped)
        masks = _masks(valid, inside)
        labels = indices if self._table is None else self._table[indices]
        if self._table is not None or self.classes.ignore:
            masks[Reason.IGNORED] = valid & (labels == IGNORE_INDEX)
        return labels, masks

    @property
    def unmapped(self) -> list[UnmappedValues]:
        if not self._counts:
            return []
        return [UnmappedValues(self.name, self.paths[0], self.classes, self._counts.copy())]

    def close(self) -> None:
        self.values.close()


def open_labels(
    paths: Paths,
    grid: Grid,
    *,
    table: ClassMap | None = None,
    colors: Colors | None = None,
    truth: bool = True,
    of: str = "the prediction",
) -> RasterLabels:
    """Open label rasters on ``grid``; see `label_source` and `RasterLabels` for the arguments.

    Raises:
        RasterError: a file cannot be opened.
        BandError, ClassError: see `label_source`.
        GridError: see `RasterLabels`.
    """
    source = label_source(paths, table=table, colors=colors, truth=truth)
    try:
        return RasterLabels(source, grid, of=of)
    except BaseException:
        source.close()
        raise


def _values_of(codes: NDArray[Any], kinds: NDArray[Any]) -> tuple[NDArray[Any], Mask]:
    """Return the values of codes (h, w), and where there are any (h, w)."""
    return np.append(kinds, kinds.dtype.type(0))[codes], codes < len(kinds)


def _masks(valid: Mask, inside: Mask | None) -> dict[Reason, Mask]:
    """Return masks (h, w) of the pixels beyond a raster and of those without data."""
    masks = {} if inside is None else {Reason.OUTSIDE_LABELS: ~inside}
    if not valid.all():
        masks[Reason.NO_DATA] = ~valid if inside is None else inside & ~valid
    return masks


def _whole_offset(labels: Grid, grid: Grid) -> tuple[int, int] | None:
    """Return the place of the labels' pixel (0, 0) on the grid in whole pixels; None where their pixels are others.

    Two rasters of one size of which one or both lie nowhere match pixel to pixel: there is nothing else to go by.
    """
    if not (labels.is_placed and grid.is_placed) and labels.shape == grid.shape:
        return 0, 0
    return offset_on(grid, labels)


def _axes(labels: Grid, grid: Grid) -> Affine | None:
    """Return the transform from the grid's pixels to the labels' where their axes are parallel, else None.

    None as well where the labels meet the grid from both sides of the globe.
    """
    if not same_place(labels.crs, grid.crs):
        return None
    move = ~turned_near(grid, labels).transform @ grid.transform
    turn = turn_of(labels)
    if turn is not None and math.hypot(*turn) < labels.width + abs(move.a) * grid.width:
        return None
    parallel = abs(move.b) * grid.height < SLIVER and abs(move.d) * grid.width < SLIVER
    return move if parallel else None


def _overlap(one: Grid, other: Grid) -> bool:
    """Return whether any of a net of positions on either grid falls into the other."""
    for here, there in ((one, other), (other, one)):
        x, y = np.meshgrid(np.linspace(0, here.width, 65), np.linspace(0, here.height, 65))
        x, y = mover(here, there)(x, y)
        if ((x > 0) & (x < there.width) & (y > 0) & (y < there.height)).any():
            return True
    return False


def _apart(source: Source, grid: Grid, of: str) -> str:
    """Return the sentence that refuses labels beside the grid."""
    theirs, ours = (", ".join(f"{v:.8g}" for v in g.bounds) for g in (source.grid, grid))
    return (
        f"{source.name} covers {theirs} ({crs_text(source.grid.crs)}), {of} {ours} "
        f"({crs_text(grid.crs)}): expected them to overlap; check that they belong together"
    )

"""Class rasters on another raster's grid: each pixel takes a class of the other, never a mean of two."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.errors import BandError, GridError
from landseg.geo.grid import Grid, Rect, crs_text
from landseg.geo.pieces import cut, rows_within
from landseg.geo.positions import mover, needed_for, offset_on, pixel_ratio
from landseg.geo.rasters.source import Pixels, Source
from landseg.geo.resample import Taps
from landseg.labels.label_colors import Colors, label_source
from landseg.text.amounts import counted

SAME = 1.25  # where labels are finer than the grid by more than this, the commonest under a pixel is taken
_MOST = 8  # positions an axis that are looked up under one pixel
_PART = 1 << 20  # positions worked on at a time


Placed = tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_] | None]
"""Values (h, w), where they are data, and where the raster lies; None: everywhere."""


class AlignedLabels:
    """One class raster (or several, the first valid pixel winning) read on a grid that may be another.

    Where both grids share their pixels, these are read as they are. Where the labels are as coarse as the grid or
    coarser, a pixel takes the label under its centre; where they are finer, the commonest label under the pixel,
    found at evenly spaced positions (all of them for a whole ratio of up to 8), "no data" being one of the
    labels that are counted. Of labels that are equally common the smallest value wins.

    Attributes:
        source: the raster.
        grid: what `read` is asked for.
        note: which of these it is, as a sentence.

    Raises:
        GridError: the two do not overlap, one of them alone has a CRS, or both lie nowhere and differ in size.
        BandError: more than one band.
    """

    def __init__(self, source: Source, grid: Grid) -> None:
        if source.count != 1:
            raise BandError(f"{source.name} has {counted(source.count, 'band')}; expected a class raster with one")
        self.source, self.grid = source, grid
        self._local = threading.local()
        self._offset = _whole_offset(source.grid, grid)
        self._per_axis = 1
        if _nowhere(source.grid) and _nowhere(grid) and source.grid.shape != grid.shape:
            raise GridError(
                f"{source.name} has {source.grid.width} x {source.grid.height} pixels, the prediction {grid.width} x "
                f"{grid.height}, and neither says where it lies: expected equal sizes; do they belong together?"
            )
        if self._offset is not None:
            rect = source.grid.rect.shifted(*self._offset)
            if rect.intersection(grid.rect) is None:
                raise GridError(_apart(source, grid))
            self.note = f"{source.name} is read pixel by pixel"
            return
        if (source.grid.crs is None) != (grid.crs is None):
            raise GridError(
                f"{source.name} has {crs_text(source.grid.crs)}, the prediction {crs_text(grid.crs)}: "
                "expected both to have a CRS or neither; assign the missing one (gdal_edit -a_srs)"
            )
        ratio = pixel_ratio(source.grid, grid)
        if not self._overlaps():
            raise GridError(_apart(source, grid))
        if ratio > SAME:
            self._per_axis = min(_MOST, math.ceil(ratio - 1e-6))
            self.note = (
                f"{source.name} is finer by {ratio:.3g}: each pixel takes the commonest label under it "
                f"({self._per_axis} x {self._per_axis} positions)"
            )
        else:
            self.note = f"{source.name} lies on another grid: each pixel takes the label under its centre"

    def read(self, rect: Rect) -> Pixels:
        """Values (h, w) in the raster's dtype and validity (h, w), under a rectangle of the grid."""
        values, valid, _ = self.read_placed(rect)
        return values, valid

    def read_placed(self, rect: Rect) -> Placed:
        """Values and validity as `read` returns them, and where (h, w) the raster lies; None: everywhere."""
        values = np.zeros(rect.shape, self.source.dtype)
        valid = np.zeros(rect.shape, np.bool_)
        if self._offset is not None:
            placed = self.source.grid.rect.shifted(*self._offset)
            shared = rect.intersection(placed)
            if shared == rect:
                found, known = self.source.read(shared.relative_to(placed))
                return found[0], known, None
            inside = np.zeros(rect.shape, np.bool_)
            if shared is not None:
                target = shared.relative_to(rect).slices
                found, known = self.source.read(shared.relative_to(placed))
                values[target], valid[target], inside[target] = found[0], known, True
            return values, valid, inside
        inside = np.zeros(rect.shape, np.bool_)
        for part in cut(rect, rows_within(_PART, rect.width * self._per_axis**2)):
            target = part.relative_to(rect).slices
            values[target], valid[target], inside[target] = self._looked_up(part)
        return values, valid, None if inside.all() else inside

    def _looked_up(self, rect: Rect) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
        n = self._per_axis
        at = (np.arange(n) + 0.5) / n
        columns = (np.arange(rect.left, rect.right)[:, None] + at).ravel()
        rows = (np.arange(rect.top, rect.bottom)[:, None] + at).ravel()
        x, y = self._move(*np.meshgrid(columns, rows))
        values, valid, inside = self._nearest(x, y)
        if n == 1:
            return values, valid, inside
        h, w = rect.shape
        values, valid, inside = (
            part.reshape(h, n, w, n).transpose(0, 2, 1, 3).reshape(h, w, n * n) for part in (values, valid, inside)
        )
        return *_commonest(values, valid), np.logical_or.reduce(inside, axis=-1)

    def _nearest(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
        """The labels that positions (x, y) of the raster's own pixels fall into, and which lie inside it."""
        height, width = self.source.grid.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        values, valid = np.zeros(x.shape, self.source.dtype), np.zeros(x.shape, np.bool_)
        needed = needed_for(x, y, self.source.grid.rect)
        if needed is None or not inside.any():
            return values, valid, inside
        found, known = self.source.read(needed)
        column = np.floor(x[inside]).astype(np.int64) - needed.left
        row = np.floor(y[inside]).astype(np.int64) - needed.top
        values[inside], valid[inside] = found[0][row, column], known[row, column]
        return values, valid, inside

    def _move(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, Any]:
        """Positions on the grid to positions in the raster."""
        if not hasattr(self._local, "move"):  # pyproj's transformers do not like to be shared
            self._local.move = mover(self.grid, self.source.grid)
        moved: tuple[Any, Any] = self._local.move(x, y)
        return moved

    def _overlaps(self) -> bool:
        """Whether any of a net of positions on either raster falls into the other."""
        for here, there in ((self.grid, self.source.grid), (self.source.grid, self.grid)):
            x, y = np.meshgrid(np.linspace(0, here.width, 65), np.linspace(0, here.height, 65))
            x, y = mover(here, there)(x, y)
            if ((x > 0) & (x < there.width) & (y > 0) & (y < there.height)).any():
                return True
        return False


def open_labels(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    grid: Grid,
    *,
    table: ClassMap | None = None,
    colors: Colors | None = None,
    truth: bool = True,
) -> AlignedLabels:
    """Open label rasters on ``grid``; see `label_source` for what they may be.

    Raises:
        RasterError: a file cannot be opened.
        BandError, ClassError: see `label_source`.
        GridError: see AlignedLabels.
    """
    source = label_source(paths, table=table, colors=colors, truth=truth)
    try:
        return AlignedLabels(source, grid)
    except BaseException:
        source.close()
        raise


def _whole_offset(labels: Grid, grid: Grid) -> tuple[int, int] | None:
    """Where the labels' pixel (0, 0) lies on the grid, in whole pixels; None where their pixels are others.

    Two rasters of one size of which one or both lie nowhere match pixel to pixel: there is nothing else to go by.
    """
    if (_nowhere(labels) or _nowhere(grid)) and labels.shape == grid.shape:
        return 0, 0
    return offset_on(grid, labels)


def _nowhere(grid: Grid) -> bool:
    return grid.crs is None and grid.transform.is_identity


def _apart(source: Source, grid: Grid) -> str:
    theirs, ours = (", ".join(f"{v:.8g}" for v in g.bounds) for g in (source.grid, grid))
    return (
        f"{source.name} covers {theirs} ({crs_text(source.grid.crs)}), the prediction {ours} "
        f"({crs_text(grid.crs)}): expected them to overlap; check that they belong together"
    )


def _commonest(values: NDArray[Any], valid: NDArray[np.bool_]) -> Pixels:
    """The commonest of the last axis' values, "no data" (not valid) among them; ties go to the smallest."""
    kinds = np.unique(values[valid])
    best = (~valid).sum(-1)  # no data has to be beaten or met
    chosen = np.zeros(values.shape[:-1], values.dtype)
    known = np.zeros(values.shape[:-1], np.bool_)
    for kind in kinds:
        votes = ((values == kind) & valid).sum(-1)
        wins = (votes > best) | ((votes == best) & ~known & (votes > 0))
        chosen[wins], known[wins], best = kind, True, np.maximum(best, votes)
    return chosen, known


_SHARE = 240
"""What the weights along one axis are counted in: halves, thirds, quarters, fifths, sixths and eighths are whole."""

_BALLOTS = 1 << 20  # votes that are counted at a time


def resample_labels(labels: NDArray[np.uint8], *, rows: Taps, columns: Taps, void: int) -> NDArray[np.uint8]:
    """Return the label (n, m) that covers the largest part of each output pixel.

    Of labels that cover as much, one that is known goes before ``void``, and the smaller before the larger: which
    it is never depends on where it lies, so that nothing moves.

    Args:
        labels: (h, w), what ``rows`` and ``columns`` point into.
        rows, columns: of `box_taps`.
        void: the label that means unknown.
    """
    low, high = (_along(_along(labels, rows, 0, least), columns, 1, least) for least in (np.minimum, np.maximum))
    mixed = np.argwhere(low != high)  # borders: most pixels lie within one label
    many = max(1, _BALLOTS // (rows.index.shape[1] * columns.index.shape[1]))
    for first in range(0, len(mixed), many):
        y, x = mixed[first : first + many].T
        low[y, x] = _elected(labels, rows.part_at(y), columns.part_at(x), void)
    return low


def _along(labels: NDArray[np.uint8], taps: Taps, axis: int, least: np.ufunc) -> NDArray[np.uint8]:
    """The least (or greatest) of the labels that have weight."""
    index = np.where(taps.weight > 0, taps.index, taps.index[np.arange(taps.size), taps.weight.argmax(1)][:, None])
    found: NDArray[np.uint8] = np.take(labels, index[:, 0], axis=axis)
    for tap in range(1, index.shape[1]):
        least(found, np.take(labels, index[:, tap], axis=axis), out=found)
    return found


def _elected(labels: NDArray[np.uint8], rows: Taps, columns: Taps, void: int) -> NDArray[np.uint8]:
    """The labels (k,) of k output pixels, each with taps of its own in both directions."""
    own = labels[rows.index[:, :, None], columns.index[:, None, :]]
    share = _whole(rows.weight)[:, :, None] * _whole(columns.weight)[:, None, :]
    best, chosen = np.zeros(len(own), np.int64), np.full(len(own), void, np.uint8)
    seen = np.unique(own).tolist()
    for kind in sorted(seen, key=lambda kind: (kind != void, kind)):
        votes = np.where(own == kind, share, 0).sum((1, 2))
        wins = votes > best
        if kind != void:
            wins |= (votes == best) & (chosen == void) & (votes > 0)
        best[wins], chosen[wins] = votes[wins], kind
    return chosen


def _whole(weight: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(weight * _SHARE).astype(np.int64)

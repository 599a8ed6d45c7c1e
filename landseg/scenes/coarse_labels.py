"""Coarse labels beside a scene: a raster of low-resolution classes, read on the image's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap, LandClass
from landseg.errors import TrainingError
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut
from landseg.geo.positions import mover, needed_for, pixel_ratio
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.label_colors import label_source
from landseg.labels.legend import read_legend
from landseg.labels.raster_labels import ClassLabels, Paths, open_labels

_ROWS = 256


class CoarseLabels:
    """Class indices of a coarse raster under rectangles of an image; safe to read from several threads.

    Each pixel takes the label that covers the largest part of it, whatever the raster's own grid and CRS: coarse
    labels are laid over the image, never interpolated.

    Attributes:
        classes: the coarse classes, in the order of the joint statistics' rows.
        shape: (H, W) of the image.
        side: how many of the image's pixels a coarse pixel is wide, at least 1; from the two grids, if not given (a
            raster that was resampled to finer pixels does not show it).
        note: how the raster is read, as a sentence.

    Raises:
        GridError: the raster does not overlap the image, or one of them alone has a CRS.
    """

    def __init__(self, paths: Paths, grid: Grid, classes: ClassMap, *, side: int | None = None) -> None:
        labels = open_labels(paths, grid, of="its image")
        self.classes, self.shape, self.note = classes, grid.shape, labels.note
        own = labels.source.grid
        by_pixel = (own.crs is None) != (grid.crs is None)
        self.side = side or (1 if by_pixel else max(1, round(1 / pixel_ratio(own, grid))))
        self._labels = ClassLabels(labels, classes)

    def read(self, rect: Rect) -> NDArray[np.uint8]:
        """Return class indices (h, w) under a rectangle inside the image; IGNORE_INDEX where no coarse label is.

        Raises:
            TrainingError: values that are neither a class nor ignored, with their pixel counts.
        """
        indices = self._labels.read(rect)
        for values in self._labels.unmapped:
            raise TrainingError(f"coarse labels {values.name}: {values.sentence()}")
        return indices

    def close(self) -> None:
        """Close the raster."""
        self._labels.close()


def coarse_classes(paths: Paths, ignore: Sequence[int] = (0,), *, grids: Sequence[Grid] | None = None) -> ClassMap:
    """Return the classes of a coarse raster: those that it names, or every value that occurs, in order.

    Args:
        paths: the raster, or those of a mosaic.
        ignore: values that are no class, such as NLCD's 0; nodata is none anyway.
        grids: grids of the images that it lies under: the rest is then not read. None: all of it is read.

    Raises:
        TrainingError: a value that is not a whole number, or ignored values alone.
    """
    first = paths if isinstance(paths, str | PathLike) else paths[0]
    file = RasterFile(first)
    try:
        named = read_legend(file)
    finally:
        file.close()
    if named is not None:
        kept = tuple(land for land in named.classes if land.value not in ignore)
        return ClassMap(kept, (*named.ignore, *(v for v in ignore if v not in named.ignore)))
    found: set[float] = set()
    with label_source(paths) as source:
        rects = [source.grid.rect] if grids is None else [_under(grid, source.grid) for grid in grids]
        for rect in rects:
            for strip in cut(rect, _ROWS):
                values, valid = source.read(strip)
                found.update(np.unique(values[0][valid]).tolist())
    left = sorted(found - set(ignore))
    if not left or any(value != int(value) for value in left):
        raise TrainingError(
            f"{first} holds no coarse classes: expected whole numbers, got {', '.join(f'{v:g}' for v in left[:5])}"
        )
    classes = [LandClass(int(value), str(int(value)), (128, 128, 128)) for value in left]
    return ClassMap(tuple(classes), tuple(v for v in ignore if v not in left))


def joined_classes(tables: Sequence[ClassMap]) -> ClassMap:
    """Return the classes of several coarse rasters as one table, by value; the first name of a value holds.

    >>> one, two = (ClassMap((LandClass(v, f"c{v}", (0, 0, 0)),)) for v in (41, 22))
    >>> joined_classes([one, two]).values
    (22, 41)
    """
    classes = {land.value: land for table in reversed(tables) for land in table.classes}
    ignored = {value for table in tables for value in table.ignore} - set(classes)
    return ClassMap(tuple(classes[value] for value in sorted(classes)), tuple(sorted(ignored)))


def _under(grid: Grid, coarse: Grid) -> Rect:
    """Return the pixels of a coarse raster that an image lies on, and a few beside them."""
    if grid.shape == coarse.shape and None in (grid.crs, coarse.crs):
        return coarse.rect
    x, y = mover(grid, coarse)(*np.meshgrid(np.linspace(0, grid.width, 65), np.linspace(0, grid.height, 65)))
    return needed_for(x.ravel(), y.ravel(), coarse.rect) or coarse.rect

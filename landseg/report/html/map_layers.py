"""The layers of a report's map, small enough to be embedded in the page, read in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import GridError
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, rows_within
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.rasters.source import Source
from landseg.report.imagery import Imagery, strips

EDGE = 2048  # of the embedded overview, in pixels
CROP = 512  # of a picture of a worst window
MOST_CROPS = 12
_STRIP = 1 << 22  # class indices held at a time
_NUMBERS = 1 << 20  # numbers, each of which may have been made of several bands

Indices = NDArray[np.uint8]
ReadClasses = Callable[[Rect, tuple[int, int]], Indices]
"""Class indices (h, w) under a rectangle of the map at a shape (h, w); IGNORE_INDEX where there is none."""
ReadNumbers = Callable[[Rect, tuple[int, int]], NDArray[np.float32]]
"""Numbers 0..1 (h, w) likewise; nan where there is none."""


@dataclass(frozen=True)
class Picture:
    """The layers over one rectangle of the map, all of one shape (h, w); None for a missing layer.

    Attributes:
        rect: in pixels of the prediction.
        image: (h, w, 3) or (h, w, 4).
        truth: class indices; IGNORE_INDEX where the truth is void.
        prediction: class indices; IGNORE_INDEX where nothing is predicted.
        confidence: 0..1; nan where there is none.

    Raises:
        ValueError: layers of several shapes, or none at all.
    """

    rect: Rect
    image: NDArray[np.uint8] | None = None
    truth: Indices | None = None
    prediction: Indices | None = None
    confidence: NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        layers = (self.image, self.truth, self.prediction, self.confidence)
        shapes = {layer.shape[:2] for layer in layers if layer is not None}
        if len(shapes) != 1:
            raise ValueError(f"the layers of a picture have one shape, got {sorted(shapes) or 'no layer'}")

    @property
    def error(self) -> Indices | None:
        """0 where the prediction is right, 1 where it is wrong, 255 without truth: (h, w)."""
        if self.truth is None or self.prediction is None:
            return None
        wrong: Indices = (self.truth != self.prediction).astype(np.uint8)
        wrong[self.truth == IGNORE_INDEX] = IGNORE_INDEX
        return wrong


@dataclass(frozen=True)
class MapLayers:
    """The layers of a report's map.

    Attributes:
        grid: of the prediction, in whose pixels every rectangle is.
        overview: the whole of it.
        crops: the worst windows, worst first, at the prediction's pixels or nearly.
        scene: the number of its raster in the evaluation, from 0.
    """

    grid: Grid
    overview: Picture
    crops: tuple[Picture, ...] = ()
    scene: int = 0


def read_layers(
    grid: Grid,
    *,
    prediction: ReadClasses,
    truth: ReadClasses,
    image: Source | None = None,
    confidence: ReadNumbers | None = None,
    worst: Sequence[Rect] = (),
    edge: int = EDGE,
    scene: int = 0,
) -> MapLayers:
    """Read the layers of a report: the whole map at up to ``edge`` pixels a side, and the worst windows.

    ``reduced_raster`` makes a reader of a class raster, ``by_majority`` one of any classes that are read pixel by
    pixel, ``by_mean`` one of numbers.

    Args:
        grid: of the prediction.
        prediction: the predicted classes.
        truth: the true ones, on the same grid.
        image: imagery with as many pixels as the grid.
        confidence: the largest probability.
        worst: rectangles of which to keep pictures; more than a dozen are left out.
        edge: of the overview.
        scene: number of the raster.

    Raises:
        GridError: imagery of another size.
        RasterError: anything cannot be read.
    """
    if image is not None:
        check_image(image, grid)
    imagery = None if image is None else Imagery(image)

    def picture(rect: Rect, longest: int) -> Picture:
        shape = fitted(rect, longest)
        return Picture(
            rect,
            None if imagery is None else imagery.colors(rect, shape),
            truth(rect, shape),
            prediction(rect, shape),
            None if confidence is None else confidence(rect, shape),
        )

    crops = tuple(picture(rect, CROP) for rect in worst[:MOST_CROPS])
    return MapLayers(grid, picture(grid.rect, edge), crops, scene)


def check_image(image: Source, grid: Grid) -> None:
    """Raise GridError if imagery does not have the pixels of a map."""
    if image.grid.shape != grid.shape:
        raise GridError(
            f"{image.name} has {image.grid.width} x {image.grid.height} pixels, the map has "
            f"{grid.width} x {grid.height}: name the raster that it was predicted from"
        )


def fitted(rect: Rect, longest: int) -> tuple[int, int]:
    """Return the shape (h, w) of a picture of ``rect`` whose longer side is ``longest`` pixels at most.

    >>> fitted(Rect(0, 0, 500, 1000), 200), fitted(Rect(0, 0, 5, 10), 200)
    ((100, 200), (5, 10))
    """
    factor = max(1.0, max(rect.shape) / longest)
    return max(1, round(rect.height / factor)), max(1, round(rect.width / factor))


def reduced_raster(file: RasterFile, classes: ClassMap) -> ReadClasses:
    """Return a reader of band 1 of a class raster: the commonest class, from the file's overviews if it has any."""

    def read(rect: Rect, shape: tuple[int, int]) -> Indices:
        values, valid = file.read_reduced([1], rect, shape, resampling="mode")
        indices = np.full(shape, IGNORE_INDEX, np.uint8)
        indices[valid] = classes.to_indices(values[0][valid])
        return indices

    return read


def by_majority(read: Callable[[Rect], NDArray[Any]]) -> ReadClasses:
    """Return a reader of the commonest class index of each block of pixels, the smallest of several.

    IGNORE_INDEX stands only where a block holds nothing else.
    """

    def reduce(rect: Rect, shape: tuple[int, int]) -> Indices:
        if rect.shape == shape:
            return np.asarray(read(rect), np.uint8)
        out = np.empty(shape, np.uint8)
        for part, _, strip in strips(rect, shape, _STRIP):
            out[part] = majority(np.asarray(read(strip), np.uint8), (part.stop - part.start, shape[1]))
        return out

    return reduce


def by_mean(read: Callable[[Rect], NDArray[Any]]) -> ReadNumbers:
    """Return a reader of the mean of each block of numbers, without those that are nan; in bounded memory."""

    def reduce(rect: Rect, shape: tuple[int, int]) -> NDArray[np.float32]:
        if rect.shape == shape:
            return np.asarray(read(rect), np.float32)
        sums, counts = np.zeros(shape), np.zeros(shape, np.int64)
        columns = _starts(rect.width, shape[1])
        rows = np.searchsorted(_starts(rect.height, shape[0]), np.arange(rect.height), "right") - 1
        for strip in cut(rect, rows_within(_NUMBERS, rect.width)):
            at = rows[strip.top - rect.top : strip.bottom - rect.top]
            values = np.asarray(read(strip), np.float32)
            there = np.isfinite(values)
            numbers = np.where(there, values, np.float32(0))
            np.add.at(sums, at, np.add.reduceat(numbers, columns, axis=1, dtype=np.float64))
            np.add.at(counts, at, np.add.reduceat(there, columns, axis=1, dtype=np.int64))
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)

    return reduce


def majority(indices: Indices, shape: tuple[int, int]) -> Indices:
    """Return the commonest class index of each of ``shape`` (h, w) blocks of a larger array; IGNORE_INDEX is none.

    >>> majority(np.array([[0, 1, 1, 255], [1, 2, 255, 255]], np.uint8), (1, 2)).tolist()
    [[1, 1]]
    """
    rows, columns = _starts(indices.shape[0], shape[0]), _starts(indices.shape[1], shape[1])
    found = np.full(shape, IGNORE_INDEX, np.uint8)
    most = np.zeros(shape, np.int64)
    for index in np.flatnonzero(np.bincount(indices.ravel(), minlength=256)[:IGNORE_INDEX]):
        sums = np.add.reduceat(np.add.reduceat(indices == index, columns, axis=1, dtype=np.int32), rows, axis=0)
        found[sums > most] = index
        np.maximum(most, sums, out=most)
    return found


def _starts(size: int, blocks: int) -> NDArray[np.int64]:
    """Return the first of ``size`` pixels in each of ``blocks`` blocks."""
    return np.arange(blocks, dtype=np.int64) * size // blocks

"""ObjectIds: numbered objects under any rectangle of an image's pixels, and the inside of each whole object."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.errors import GridError
from landseg.geo.grid import Grid, Rect
from landseg.labels.distances import squared_distances
from landseg.labels.id_boxes import IdBoxes, find_boxes, open_ids_on, read_ids
from landseg.labels.left_out import Masks, Reason
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.labels.raster_labels import RasterLabels
from landseg.labels.reader import LabelReader, Pixels

NONE, UNKNOWN, OUTSIDE = 0, -1, -2
"""The numbers where no object is, where nothing is known, and where objects may be but none that is known."""
MIDDLE, NO_INTERIOR = 254, 255
"""The interior in the middle of an object, and where none is known."""

CACHE = 16 << 20
"""Bytes of interiors that are kept for each image."""
_LARGEST = 1 << 26  # pixels of an object's box: distances take about 25 bytes each
_TOGETHER = 4  # boxes are read at once where that takes no more than this times the rectangle that is asked for

_Interior = tuple[Rect, NDArray[np.uint8]]


class ObjectIds(ABC):
    """Numbered objects on the pixels of one image, also beyond its edges; safe to read from several threads.

    The pixels of an object are the same whatever rectangle is read, and its interior is that of the whole object.

    Attributes:
        name: of the file, for sentences.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._kept = _Interiors()

    @abstractmethod
    def read(self, rect: Rect) -> NDArray[np.int32]:
        """Return numbers (h, w), from 1 on; 0 where no object is, `UNKNOWN` or `OUTSIDE` where none is known."""

    @abstractmethod
    def box(self, number: int) -> Rect:
        """Return a rectangle that holds all pixels of an object."""

    def close(self) -> None:
        """Close every file."""
        return None

    def interior(self, rect: Rect) -> NDArray[np.uint8]:
        """Return the distance (h, w) of each pixel to the outline of its object, in 254ths of the largest in it.

        The distance is that between centres to the nearest pixel that is not the object's; 0 where no object is, 255
        where none is known.

        Raises:
            GridError: an object is too large.
        """
        ids = self.read(rect)
        made = np.where(ids < 0, np.uint8(NO_INTERIOR), np.uint8(0))
        for number, (box, distances) in self._interiors(np.unique(ids[ids > 0]).tolist(), rect):
            shared = box.intersection(rect)
            assert shared is not None, "the box of an object holds its pixels"
            here = shared.relative_to(rect).slices
            own = ids[here] == number
            made[here][own] = distances[shared.relative_to(box).slices][own]
        return made

    def _interiors(self, numbers: Sequence[int], rect: Rect) -> list[tuple[int, _Interior]]:
        """Return the interior of each object, from memory where it is there."""
        found = {number: kept for number in numbers if (kept := self._kept.get(number)) is not None}
        missing = {number: self._checked_box(number) for number in numbers if number not in found}
        around = None
        for box in missing.values():
            around = box if around is None else around.union(box)
        ids = None
        if around is not None and around.area <= _TOGETHER * max(rect.area, 1 << 16):
            ids = self.read(around)
        for number, box in missing.items():
            part = self.read(box) if ids is None or around is None else ids[box.relative_to(around).slices]
            found[number] = box, _shares(part == number)
            self._kept.add(number, found[number])
        return [(number, found[number]) for number in numbers]

    def _checked_box(self, number: int) -> Rect:
        box = self.box(number)
        if box.area > _LARGEST:
            raise GridError(
                f"object {number} of {self.name} is {box.width} x {box.height} pixels large: expected objects of up "
                f"to {_LARGEST / 1e6:.0f} million pixels, such as houses; is it a polygon of the background?"
            )
        return box


class _Interiors:
    """The interiors that were used last, in bounded memory; a forked process begins with none."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._process, self._lock, self._bytes = os.getpid(), threading.Lock(), 0
        self._entries: OrderedDict[int, _Interior] = OrderedDict()

    def get(self, number: int) -> _Interior | None:
        if self._process != os.getpid():  # another thread may have held the lock when this process was forked
            self._forget()
        with self._lock:
            if number in self._entries:
                self._entries.move_to_end(number)
            return self._entries.get(number)

    def add(self, number: int, entry: _Interior) -> None:
        with self._lock:
            if number not in self._entries:
                self._entries[number] = entry
                self._bytes += entry[1].nbytes
            while self._bytes > CACHE and len(self._entries) > 1:
                _, gone = self._entries.popitem(last=False)
                self._bytes -= gone[1].nbytes


class PolygonIds(ObjectIds):
    """The parts of the polygons of a vector file, numbered from 1 in its order; a smaller one covers a larger one.

    Args:
        objects: the polygons.
        grid: of the image.

    Attributes:
        around: the rectangle of the image and of all objects that lie on it.
    """

    def __init__(self, objects: ObjectPolygons, grid: Grid) -> None:
        super().__init__(Path(objects.polygons.path).name)
        self._objects, self._pixels = objects, pixel_grid(grid)
        _, near = objects.polygons.near(grid)
        self.around = grid.rect
        if len(near):  # whole objects: with all that covers them beyond the image
            self.around = self.around.union(_rect_of(shapely.total_bounds(near)))
        self._placed = objects.polygons.in_pixels(grid, self.around)
        bounds = (shapely.bounds(self._placed.shapes) * [1, -1, 1, -1])[:, [0, 3, 2, 1]]
        if objects.polygons.all_touched:
            bounds += [-1, -1, 1, 1]
        self._boxes = dict(zip((self._placed.numbers + 1).tolist(), bounds, strict=True))
        numbers = np.where(objects.things, np.arange(1, len(objects.things) + 1), NONE)
        self._table = np.append(numbers, objects.beyond).astype(np.int32)

    def read(self, rect: Rect) -> NDArray[np.int32]:
        burnt = self._placed.burn_numbers(self._pixels.crop(rect))
        return self._table[burnt]  # of no polygon, -1, it is the last

    def box(self, number: int) -> Rect:
        return _rect_of(self._boxes[number])


@dataclass(frozen=True, eq=False)
class ObjectPolygons:
    """Polygons that are objects, for all images.

    A feature is an object; parts of one feature lie apart, so each of them is an object by itself.

    Attributes:
        polygons: each part by itself, the largest first (see `parts_of`).
        things: whether each is an object, by its number; the others only cover these.
        beyond: the number where there is no polygon: `NONE` if all objects are drawn, `OUTSIDE` if some are, each
            whole; `UNKNOWN` if objects may go on there.
    """

    polygons: PolygonLabels
    things: NDArray[np.bool_]
    beyond: int

    def on(self, grid: Grid) -> PolygonIds:
        """Return the objects on the grid of an image."""
        return PolygonIds(self, grid)


def objects_of(polygons: PolygonLabels, things: Callable[[str], bool], *, beyond: int) -> ObjectPolygons:
    """Return polygons as objects.

    Args:
        polygons: of a vector file.
        things: for which entries of the column polygons are objects; without a column all are.
        beyond: the number where there is no polygon, see `ObjectPolygons`.
    """
    parts = parts_of(polygons)
    chosen = np.ones(len(parts), bool)
    if polygons.has_texts:
        chosen[parts.numbers] = [text is not None and things(text) for text in parts.texts]
    return ObjectPolygons(parts, chosen, beyond)


def parts_of(polygons: PolygonLabels) -> PolygonLabels:
    """Return every part of every polygon as one by itself, in the order in which objects are burnt."""
    return polygons.in_parts().largest_first()


class RasterIds(ObjectIds):
    """The objects of a raster of ids, numbered from 1 in the order of their ids.

    Args:
        labels: the raster on the grid of the image; it is closed with the reader.
        boxes: its objects.
    """

    def __init__(self, labels: RasterLabels, boxes: IdBoxes) -> None:
        super().__init__(labels.name)
        self._labels, self.boxes = labels, boxes

    def read(self, rect: Rect) -> NDArray[np.int32]:
        ids, known = read_ids(self._labels, rect)
        numbers = np.where(ids > 0, np.searchsorted(self.boxes.ids, ids) + 1, NONE)
        return np.where(known, numbers, UNKNOWN).astype(np.int32)

    def box(self, number: int) -> Rect:
        top, left, bottom, right = self.boxes.boxes[number - 1].tolist()
        return Rect(top, left, bottom - top, right - left)

    def close(self) -> None:
        self._labels.close()


class IdFile:
    """A raster of ids of one image, to be opened on its grid; it is read once from end to end, the first time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._boxes: IdBoxes | None = None

    def on(self, grid: Grid) -> RasterIds:
        """Return the objects on the grid of the image.

        Raises:
            RasterError, BandError, ClassError, GridError: see `open_ids_on` and `read_ids`.
        """
        labels = open_ids_on(self.path, grid)
        try:
            if self._boxes is None:
                self._boxes = find_boxes(labels)
        except BaseException:
            labels.close()
            raise
        return RasterIds(labels, self._boxes)


class IdClasses(LabelReader):
    """Classes made of ids: a label where an object is, and another one elsewhere.

    Args:
        objects: closed with the reader.
        inside, outside: the labels.
    """

    def __init__(self, objects: RasterIds, path: Path, inside: int, outside: int) -> None:
        self.name, self.paths = path.name, (str(path),)
        self._objects, self._inside, self._outside = objects, inside, outside

    def read_reasons(
        self, rect: Rect, pixels: Pixels | None = None, *, core: Rect | None = None
    ) -> tuple[NDArray[np.uint8], Masks]:
        ids = self._objects.read(rect)
        labels = np.where(ids > 0, np.uint8(self._inside), np.uint8(self._outside))
        labels[ids < 0] = IGNORE_INDEX
        return labels, {Reason.NO_DATA: ids < 0}

    def close(self) -> None:
        self._objects.close()


def _shares(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the interior (h, w) of the object that a mask shows whole."""
    squares = squared_distances(mask)
    shares: NDArray[np.float64] = np.sqrt(squares)
    shares *= MIDDLE / max(1.0, float(shares.max(initial=0)))
    return np.rint(shares).astype(np.uint8)


def _rect_of(bounds: NDArray[np.float64]) -> Rect:
    """Return the pixels that a box (left, top, right, bottom) touches."""
    left, top = (int(v) for v in np.floor(bounds[:2]))
    right, bottom = (int(v) for v in np.ceil(bounds[2:]))
    return Rect(top, left, max(1, bottom - top), max(1, right - left))

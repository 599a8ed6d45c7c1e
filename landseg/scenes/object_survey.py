"""ObjectSurvey: the objects that label images, counted: those that touch another one, and those that overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, rows_within
from landseg.geo.reduce import fitted, nearest
from landseg.labels.coverage import covers_a_centre
from landseg.labels.instances import IdFile, ObjectIds, ObjectPolygons, RasterIds
from landseg.labels.polygons import mapped_part, pixel_grid

APART_M = 0.5
"""Metres: objects as near as this touch, and those a pixel apart where that is more."""
_PIXELS = 1 << 22  # that are looked at together
_SLIVER = 1e-6  # square pixels: polygons that share less than this do not overlap


@dataclass(frozen=True)
class ObjectCounts:
    """Counts of the objects on all images.

    Attributes:
        objects: number of those that lie on any image.
        touching: of these, those within half a metre of another one, or within a pixel.
        median_area_m2: of whole objects; None where an image does not say where it lies, or there is no object.
        median_area_px: the same in pixels.
        overlapped: polygons of which a smaller one covers a pixel.
        covered_px: pixels that polygons lose to smaller ones.
    """

    objects: int
    touching: int
    median_area_m2: float | None
    median_area_px: float | None
    overlapped: int = 0
    covered_px: int = 0

    @property
    def touching_share(self) -> float:
        """Share of the objects that touch another one; nan without objects."""
        return self.touching / self.objects if self.objects else math.nan


class _Tally:
    """The facts about the objects of one file: arrays (N,) by number."""

    def __init__(self, count: int) -> None:
        self.lying, self.touching, self.overlapped = np.zeros((3, count), bool)
        self.pixels: NDArray[np.float64] = np.zeros(count)
        self.metres: NDArray[np.float64] = np.zeros(count)


class ObjectSurvey:
    """The objects of images, which are added one by one.

    Args:
        files: the polygons or the raster of ids by the path of an image; polygons of several images are one file.
    """

    def __init__(self, files: Mapping[Path, ObjectPolygons | IdFile]) -> None:
        self._files = files
        self._tallies: dict[int, _Tally] = {}  # by identity of the file
        self._covered = 0
        self._placed = True

    def add(self, image: Path, grid: Grid, *, picture: int = 0) -> NDArray[np.int32] | None:
        """Add the objects of an image, and return their numbers (h, w) in a small picture.

        Args:
            image: its path.
            grid: its grid.
            picture: pixels along the edge of the picture; 0: None is returned.

        Raises:
            LandsegError: the objects cannot be read.
        """
        file = self._files.get(image)
        if file is None:
            return None
        if isinstance(file, ObjectPolygons):
            self._add_polygons(file, grid)
        objects: ObjectIds = file.on(grid)
        try:
            if isinstance(objects, RasterIds):
                self._tallies[id(file)] = self._of_raster(objects, grid)
            return _small(objects, grid, picture) if picture else None
        finally:
            objects.close()

    def counts(self) -> ObjectCounts:
        """Return the counts of all objects so far."""
        tallies = list(self._tallies.values())
        pixels = np.concatenate([np.zeros(0), *(one.pixels[one.lying] for one in tallies)])
        metres = np.concatenate([np.zeros(0), *(one.metres[one.lying] for one in tallies)])
        return ObjectCounts(
            len(pixels),
            sum(int((one.lying & one.touching).sum()) for one in tallies),
            float(np.median(metres)) if self._placed and len(metres) else None,
            float(np.median(pixels)) if len(pixels) else None,
            sum(int(one.overlapped.sum()) for one in tallies),
            self._covered,
        )

    def _add_polygons(self, objects: ObjectPolygons, grid: Grid) -> None:
        tally = self._tallies.setdefault(id(objects), _Tally(len(objects.things)))
        apart = _apart(grid)
        around = objects.on(grid).around
        margin = math.ceil(apart) + 1
        around = Rect(
            around.top - margin, around.left - margin, around.height + 2 * margin, around.width + 2 * margin
        )
        wide = mapped_part(grid, around)
        index, shapes = objects.polygons.near(wide)  # the largest first
        numbers = objects.polygons.numbers[index]
        image = shapely.box(0, 0, grid.width, grid.height)
        image = shapely.transform(image, lambda points: points - [around.left, around.top])
        things = objects.things[numbers]
        here = shapely.area(shapely.intersection(shapes, image)) > _SLIVER
        found = numbers[here & things]
        tally.lying[found] = True
        self._measure(tally, found, shapely.area(shapes[here & things]), grid)
        one, other = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=apart)
        both = (one != other) & things[one] & things[other]
        tally.touching[numbers[one[both]]] = True
        pairs = (one < other) & here[one]  # the larger one lies on the image
        tally.overlapped[numbers[_covered(shapes, np.stack([one[pairs], other[pairs]]), wide)]] = True
        self._covered += _covered_pixels(objects, grid)

    def _measure(self, tally: _Tally, numbers: NDArray[Any], pixels: NDArray[np.float64], grid: Grid) -> None:
        """Take the areas of objects in pixels, and in square metres where the grid has a place."""
        size = grid.pixel_size_m
        tally.pixels[numbers] = pixels
        self._placed &= size is not None
        tally.metres[numbers] = 0 if size is None else pixels * size[0] * size[1]

    def _of_raster(self, objects: RasterIds, grid: Grid) -> _Tally:
        """Return the facts about the objects of a raster."""
        boxes, tally = objects.boxes, _Tally(len(objects.boxes.ids))
        lying, touching = np.zeros((2, len(boxes.ids) + 1), bool)
        reach = _apart(grid) + 1  # between centres
        margin = math.floor(reach)
        for part in cut(grid.rect, rows_within(_PIXELS, grid.width)):
            around = Rect(part.top - margin, part.left - margin, part.height + 2 * margin, part.width + 2 * margin)
            ids = np.maximum(objects.read(around), 0)
            core = ids[part.relative_to(around).slices]
            lying[np.unique(core)] = True
            touching[_touching(ids, margin, reach)] = True
        tally.lying, tally.touching = lying[1:], touching[1:]
        self._measure(tally, np.arange(len(boxes.ids)), boxes.pixels.astype(np.float64), grid)
        return tally


def _covered(shapes: NDArray[Any], pairs: NDArray[np.intp], grid: Grid) -> list[int]:
    """Return the positions of the larger polygons, the first of a pair, of which the smaller one covers a pixel."""
    shared = shapely.intersection(shapes[pairs[0]], shapes[pairs[1]])
    found = []
    for place in np.flatnonzero(shapely.area(shared) > _SLIVER).tolist():
        areas = [part for part in shapely.get_parts(shared[place]) if shapely.get_dimensions(part) == 2]
        if any(covers_a_centre(area, grid) for area in areas):
            found.append(int(pairs[0][place]))
    return found


def _apart(grid: Grid) -> float:
    """Return the distance in pixels up to which objects touch."""
    return max(APART_M / grid.resolution_m if grid.resolution_m else 0.0, 1.0)


def _covered_pixels(objects: ObjectPolygons, grid: Grid) -> int:
    """Return how many pixels polygons lose to smaller ones on a grid."""
    from rasterio.enums import MergeAlg
    from rasterio.features import rasterize

    placed, pixels, total = objects.polygons.in_pixels(grid), pixel_grid(grid), 0
    if not len(placed):
        return 0
    for part in cut(grid.rect, rows_within(_PIXELS, grid.width)):
        layers = rasterize(
            [(shape, 1) for shape in placed.shapes],
            part.shape,
            transform=pixels.crop(part).map_transform,
            merge_alg=MergeAlg.add,
            dtype="uint16",
            all_touched=placed.all_touched,
        )
        total += int(np.maximum(layers.astype(np.int64) - 1, 0).sum())
    return total


def _touching(ids: NDArray[np.int32], margin: int, reach: float) -> NDArray[np.int32]:
    """Return the numbers in a map (h, w), but for its margin, that have a pixel within reach of another number's."""
    padded = np.pad(ids, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    edge = np.zeros(ids.shape, bool)
    for shifted in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        edge |= shifted != inner
    edge &= ids > 0
    inside = np.zeros(ids.shape, bool)
    inside[margin : ids.shape[0] - margin, margin : ids.shape[1] - margin] = True
    edge &= inside
    flat, width = ids.ravel(), ids.shape[1]
    places = np.flatnonzero(edge)
    own, near = flat[places], np.zeros(len(places), bool)
    for down in range(-margin, margin + 1):
        for across in range(-margin, margin + 1):
            if math.hypot(down, across) <= reach:
                there = flat[places + down * width + across]
                near |= (there > 0) & (there != own)
    return np.unique(own[near])


def _small(objects: ObjectIds, grid: Grid, edge: int) -> NDArray[np.int32]:
    """Return the numbers (h, w) at the centres of a small picture's pixels."""
    shape = fitted(grid.shape, edge)
    rows, columns = nearest(grid.height, shape[0]), nearest(grid.width, shape[1])
    made = np.zeros(shape, np.int32)
    for part in cut(grid.rect, rows_within(_PIXELS, grid.width)):
        here = slice(*np.searchsorted(rows, (part.top, part.bottom)).tolist())
        made[here] = objects.read(part)[np.ix_(rows[here] - part.top, columns)]
    return made

"""The pictures of a map of objects: a layer for each outcome, over imagery where there is some."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from landseg.evaluation.objects.pair import Drawing, ObjectPair
from landseg.evaluation.objects.rasters import BurntIds, Ids, IdsOnGrid
from landseg.evaluation.options import EvaluateOptions
from landseg.geo.grid import Grid, Rect, placed
from landseg.geo.placed_shapes import PlacedShapes
from landseg.geo.rasters.mosaic import open_source
from landseg.labels.object_files import ObjectFile
from landseg.metrics.detection import Detection
from landseg.metrics.matching import Verdict
from landseg.metrics.overlaps import Floats
from landseg.report.html.map_layers import CROP, EDGE, Picture, check_image, fitted
from landseg.report.html.pictures import Encoded, encoded, paletted, picture_bytes, with_files
from landseg.report.imagery import Imagery, strips

IMAGE = "image"
COLORS = {
    "found": (46, 139, 87),
    "merged": (230, 145, 0),
    "split": (142, 68, 173),
    "missed": (200, 48, 16),
    "invented": (0, 90, 200),
}
"""The layers of outcomes from below to above, and their colours."""
_OF_TRUTH = {Verdict.FOUND: "found", Verdict.MERGED: "merged", Verdict.SPLIT: "split", Verdict.MISSED: "missed"}
_WORST, _STRIP = 8, 1 << 22
_FINE, _LONGEST = 24, 1 << 14  # pixels along a mean object of polygons, and along the map at most


@dataclass(frozen=True)
class WorstObjects:
    """A window with much area of objects that match nothing.

    Attributes:
        rect: in pixels of the map.
        unmatched: area of truth and detections in it that match nothing, in the unit of the evaluation.
        missed: number of objects of the truth among them.
        invented: number of detections among them.
    """

    rect: Rect
    unmatched: float
    missed: int
    invented: int


class ObjectMap:
    """The map of one pair, drawn on the pixels that were compared, on those of imagery, or on fine ones of its own.

    Attributes:
        grid: of the map.
        worst: windows by unmatched area, the largest first.

    Raises:
        LandsegError: a file cannot be read, or imagery has other pixels than the raster that was compared.
    """

    def __init__(
        self, pair: ObjectPair, drawing: Drawing, detections: Sequence[Detection], options: EvaluateOptions
    ) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._imagery, grid = None, drawing.grid
            if options.image:
                source = stack.enter_context(open_source(list(options.image), stored_values=True))
                if grid is not None:
                    check_image(source, grid)
                self._imagery, grid = Imagery(source), grid or source.grid
            self.grid = grid or _own_grid(drawing, pair)
            self._sides: list[Ids] = []
            for part in (drawing.true, drawing.found):
                self._sides.append(_opened(part, self.grid))
                stack.callback(self._sides[-1].close)
            self._stack = stack.pop_all()
        image, self._verdicts = pair.images[0], list[NDArray[Any]]()
        each = [one.verdicts(image.number, options.score) for one in detections]
        for number, kinds in enumerate((image.true_class, image.found_class)):
            own = np.full(len(kinds), Verdict.BELOW)
            for index, both in enumerate(each):
                own[kinds == index] = both[number]
            self._verdicts.append(own)
        self._ids = [drawing.true_ids, drawing.found_ids]
        self.worst = self._find_worst(pair, drawing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def pictures(self, budget: int) -> list[dict[str, Any]]:
        """Return the overview and the worst windows as plain JSON; the overview gets smaller until they fit."""
        crops = [self._picture(one.rect, CROP) for one in self.worst]
        edge = EDGE
        while True:
            made = [self._picture(self.grid.rect, edge), *crops]
            if picture_bytes(made) <= budget or edge <= CROP:
                return made
            edge //= 2

    def _picture(self, rect: Rect, edge: int) -> dict[str, Any]:
        shape, files = fitted(rect, edge), Encoded()
        if self._imagery is not None:
            files |= encoded(Picture(rect, image=self._imagery.colors(rect, shape)), ())
        true, found = (self._outcomes(side, rect, shape) for side in (0, 1))
        masks = {name: true == verdict for verdict, name in _OF_TRUTH.items()}
        masks["invented"] = found == Verdict.INVENTED
        for name, color in COLORS.items():
            files[name] = paletted(np.where(masks[name], np.uint8(0), np.uint8(1)), [color])
        return with_files(rect, files)

    def _outcomes(self, side: int, rect: Rect, shape: tuple[int, int]) -> NDArray[np.int64]:
        """Return the verdict (h, w) of the object at each pixel of a picture; -1 for none and between objects."""
        ids = np.zeros(shape, np.int64)
        columns = np.arange(shape[1]) * rect.width // shape[1]
        for out, rows, strip in strips(rect, shape, _STRIP):
            ids[out] = self._sides[side].read(strip)[0][rows][:, columns]
        own = self._ids[side]
        at = np.minimum(np.searchsorted(own, ids), max(0, len(own) - 1))
        if not len(own):
            return np.full(shape, -1)
        outcome = np.where((ids > 0) & (own[at] == ids), self._verdicts[side][at], -1)
        for axis in (0, 1):  # a line between neighbours
            touch = np.diff(ids, axis=axis) != 0
            edge = np.zeros(shape, bool)
            edge[(slice(None), slice(1, None)) if axis else slice(1, None)] = touch
            outcome[edge & (ids > 0) & (np.roll(ids, 1, axis) > 0)] = -1
        return outcome

    def _find_worst(self, pair: ObjectPair, drawing: Drawing) -> tuple[WorstObjects, ...]:
        overlaps, edge = pair.images[0].overlaps, CROP
        wrong = [self._verdicts[0] == Verdict.MISSED, self._verdicts[1] == Verdict.INVENTED]
        wrong[0] |= (self._verdicts[0] == Verdict.MERGED) | (self._verdicts[0] == Verdict.SPLIT)
        cells: dict[tuple[int, int], list[float]] = {}
        for number, (side, flags) in enumerate(zip((overlaps.true, overlaps.found), wrong, strict=True)):
            places = self._pixels(side.place[flags], drawing)
            for (row, column), size in zip((places // edge).astype(int).tolist(), side.size[flags], strict=True):
                cell = cells.setdefault((row, column), [0.0, 0, 0])
                cell[0] += float(size)
                cell[1 + number] += 1
        ranked = sorted(cells.items(), key=lambda item: (-item[1][0], item[0]))[:_WORST]
        made = []
        for (row, column), (size, missed, invented) in ranked:
            rect = Rect(row * edge, column * edge, edge, edge).intersection(self.grid.rect)
            if rect is not None:
                made.append(WorstObjects(rect, size, int(missed), int(invented)))
        return tuple(made)

    def _pixels(self, places: Floats, drawing: Drawing) -> Floats:
        """Return row and column (N, 2) on the map of places (N, 2) as `Objects.place` has them."""
        if drawing.grid is not None or not len(places):
            return places
        points = (places * drawing.scale)[:, ::-1]
        own = drawing.true.crs if isinstance(drawing.true, ObjectFile) else None
        moved = PlacedShapes(shapely.points(points), own, self.grid.crs).shapes
        return placed(~self.grid.map_transform, shapely.get_coordinates(moved))[:, ::-1]


def _opened(side: ObjectFile | str, grid: Grid) -> Ids:
    return IdsOnGrid(side, grid) if isinstance(side, str) else BurntIds(side, grid, "the map")


def _own_grid(drawing: Drawing, pair: ObjectPair) -> Grid:
    """Return a grid over all polygons, in the CRS of the truth, with a few pixels along a mean object."""
    true, found = drawing.true, drawing.found
    assert isinstance(true, ObjectFile) and isinstance(found, ObjectFile), "a raster has a grid"
    shapes = np.concatenate([true.shapes, PlacedShapes(found.shapes, found.crs, true.crs).shapes])
    left, bottom, right, top = shapely.total_bounds(shapes).tolist() if len(shapes) else (0.0, 0.0, 1.0, 1.0)
    edge = float(np.sqrt(np.median(shapely.area(shapes)))) if len(shapes) else 1.0
    step = max(edge / _FINE, max(right - left, top - bottom) / _LONGEST)
    width, height = (max(1, math.ceil(length / step)) for length in (right - left, top - bottom))
    crs = None if true.crs is None else CRS.from_wkt(true.crs.to_wkt())
    return Grid(crs, Affine(step, 0, left, 0, -step, top), width, height)

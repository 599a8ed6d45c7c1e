"""The objects of a finished run: grouped row by row from its maps, and written as a raster of ids and as polygons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.dense.grouping import Maps
from landseg.dense.row_grouping import Grouped, RowGrouping
from landseg.dense.task import Request
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, rows_within
from landseg.geo.pixel_areas import PixelAreas
from landseg.geo.ruler import Ruler
from landseg.labels.id_rasters import NODATA
from landseg.output.outputs import Outputs
from landseg.runtime.progress import Progress
from landseg.vector.topology.linked_lists import find_components

CLASSES, ENERGY, EVIDENCE, IDS = "classes", "energy", "evidence", "instances"
"""The layers that objects are made of, and that of their ids."""
_PIXELS = 1 << 19  # grouped at a time
_FEWEST_ROWS = 16


class PixelSizes:
    """The sizes of the pixels of a raster, in square metres as the areas of polygons, and in pixels without a CRS.

    Attributes:
        located: whether sizes are in square metres.
        unit: the area of a unit of `weights`; of a pixel where these are None.
    """

    def __init__(self, grid: Grid) -> None:
        ruler = Ruler.of(grid)
        self._areas = PixelAreas(grid, ruler)
        self._vary = self._areas.vary
        size = self._areas.unit if self._vary else self._areas.pixel
        self.located = ruler.located and bool(np.isfinite(size))
        self.unit = size if self.located else 1.0

    def weights(self, rect: Rect) -> NDArray[np.float64] | None:
        """Return the sizes (h, 1) or (h, w) of pixels as whole numbers; None where all are equal."""
        return self._areas.weights(rect, self.unit) if self._vary and self.located else None


def write_ids(outputs: Outputs, request: Request, classes: ClassMap, options: Mapping[str, Any]) -> Grouped:
    """Write the layer of ids, made of the maps of all pixels, and return the objects.

    Labels go into the layer while rows are grouped, and ids take their places at the end, when they are known.

    Args:
        outputs: with the layers of maps complete.
        request: of the run, with its progress.
        classes: the table of the class raster.
        options: rise, score, min_area_m2 and join_small of the task.
    """
    sizes = PixelSizes(outputs.grid)
    join, rise = bool(options["join_small"]), options["rise"]
    grouping = RowGrouping(classes.things, rise=rise, width=outputs.grid.width, join=join)
    with request.shown(sum(part.area for part in outputs.parts)) as progress:
        for region in touching(outputs.parts):
            _group_region(outputs, region, classes, grouping, sizes if options["min_area_m2"] > 0 else None, progress)
    found = grouping.grouped(least_score=options["score"], least_area=options["min_area_m2"], unit=sizes.unit)
    for part in outputs.parts:
        for rect in cut(part, rows_within(_PIXELS, part.width)):
            labels = outputs.read(IDS, rect)
            there = labels != NODATA
            outputs.rewrite(IDS, rect, np.where(there, found.table[np.where(there, labels, 0)], labels))
    return found


def write_polygons(outputs: Outputs, request: Request, classes: ClassMap, scores: NDArray[np.float32]) -> None:
    """Write the polygons of the objects, with their scores (n,) by id less one, and of other classes."""
    from landseg.dense.class_files import write_style
    from landseg.vector.instance_polygons import InstanceShapes, polygonize_instances

    polygons = request.files["polygons"]
    place = outputs.extra(polygons)
    polygonize_instances(
        outputs.layer_reader(CLASSES),
        outputs.layer_reader(IDS),
        place,
        classes,
        scores,
        options=InstanceShapes(**request.shaping),
        called=polygons,
    )
    write_style(request, place, classes)


def _group_region(
    outputs: Outputs,
    region: Sequence[Rect],
    classes: ClassMap,
    grouping: RowGrouping,
    sizes: PixelSizes | None,
    progress: Progress,
) -> None:
    """Group the rows of parts that touch, and write the labels of their pixels."""
    around = region[0]
    for part in region[1:]:
        around = around.union(part)
    grouping.begin(around.top, around.left, around.width)
    top, waiting = around.top, np.zeros((0, around.width), np.bool_)  # of the first row that is not finished
    for rect in cut(around, max(_FEWEST_ROWS, rows_within(_PIXELS, around.width))):
        maps, valid = _read_maps(outputs, region, rect, classes)
        labels = grouping.add(maps, None if sizes is None else sizes.weights(rect))
        waiting = np.concatenate([waiting, valid])
        _write_labels(outputs, region, Rect(top, around.left, len(labels), around.width), labels, waiting)
        top, waiting = top + len(labels), waiting[len(labels) :]
        progress.add(sum(inside.area for inside in _inside(region, rect)))
    labels = grouping.end()
    _write_labels(outputs, region, Rect(top, around.left, len(labels), around.width), labels, waiting)


def _read_maps(
    outputs: Outputs, region: Sequence[Rect], rect: Rect, classes: ClassMap
) -> tuple[Maps, NDArray[np.bool_]]:
    """Return the maps of a rectangle, and where it has data (h, w): only in the parts of a region."""
    shape = rect.shape
    maps = Maps(
        np.full(shape, IGNORE_INDEX, np.uint8),
        np.zeros(shape, np.uint16),
        np.zeros(shape, np.uint8),
        np.zeros(shape, np.uint8),
    )
    valid = np.zeros(shape, np.bool_)
    for part in _inside(region, rect):
        here = part.relative_to(rect).slices
        values = outputs.read(CLASSES, part)[0]
        valid[here] = values != classes.nodata
        maps.classes[here] = classes.to_indices_and_unmapped(values, valid[here])[0]
        maps.energy[here] = outputs.read(ENERGY, part)[0]
        maps.probability[here], maps.boundary[here] = outputs.read(EVIDENCE, part)
    return maps, valid


def _write_labels(
    outputs: Outputs, region: Sequence[Rect], rect: Rect, labels: NDArray[np.uint32], valid: NDArray[np.bool_]
) -> None:
    for part in _inside(region, rect) if rect.height else ():
        here = part.relative_to(rect).slices
        outputs.write(IDS, part, labels[here], valid[here])


def _inside(region: Sequence[Rect], rect: Rect) -> Iterator[Rect]:
    """Yield the parts of a region inside a rectangle."""
    for part in region:
        shared = part.intersection(rect)
        if shared is not None and shared.area:
            yield shared


def touching(parts: Sequence[Rect]) -> list[list[Rect]]:
    """Return parts of a raster in groups: objects go only from one part to another of its group.

    >>> [len(group) for group in touching([Rect(0, 0, 2, 2), Rect(5, 5, 2, 2), Rect(0, 2, 4, 3)])]
    [2, 1]
    """
    if len(parts) < 2:
        return [list(parts)] if parts else []
    bounds = np.array([(part.top, part.left, part.bottom, part.right) for part in parts])
    top, left, bottom, right = bounds.T
    pairs = [np.zeros((2, 0), np.int64)]
    for number in range(len(parts)):
        rows = np.minimum(bottom, bottom[number]) - np.maximum(top, top[number])
        columns = np.minimum(right, right[number]) - np.maximum(left, left[number])
        near = np.flatnonzero((rows >= 0) & (columns >= 0) & (rows + columns > 0))
        pairs.append(np.stack([np.full(len(near), number), near]))
    one, other = np.concatenate(pairs, axis=1)
    of = find_components(len(parts), one, other)
    return [[parts[number] for number in np.flatnonzero(of == group).tolist()] for group in np.unique(of)]

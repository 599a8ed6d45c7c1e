"""Objects on the pixels of a raster of ids: what the ids of two rasters, or of a raster and polygons, share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import shapely
from affine import Affine

from landseg.errors import GridError
from landseg.evaluation.objects.pair import Drawing, ObjectImage, ObjectPair, common_classes
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.pair import inside_of
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import grown, in_order, strips
from landseg.geo.pixel_areas import PixelAreas
from landseg.geo.pixel_shapes import to_pixels
from landseg.geo.placed_shapes import PlacedShapes
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.aoi import Aoi, read_aoi
from landseg.labels.id_boxes import open_ids_on, read_ids
from landseg.labels.object_files import ObjectFile, burning_order
from landseg.metrics.overlaps import Flags, Floats, IdCounts, Ints, Objects
from landseg.runtime.progress import Progress
from landseg.text.amounts import counted


class Ids(Protocol):
    """The ids of objects on a grid."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the way in which they were brought onto the grid."""

    def read(self, rect: Rect) -> tuple[Ints, Flags]:
        """Return ids (h, w) under a rectangle, 0 for no object, and where there is data (h, w)."""

    def beyond(self, ids: Ints) -> Floats:
        """Return the areas (N,) in pixels of the parts of objects beyond the grid; 0 where they are not known."""

    def close(self) -> None:
        """Close every file."""


class IdsOnGrid:
    """The ids of a raster, on a grid that may be another than its own.

    Raises:
        BandError, ClassError: it holds no ids.
        GridError: it lies beside the grid.
    """

    def __init__(self, path: str, grid: Grid) -> None:
        self._labels = open_ids_on(Path(path), grid, of="the prediction")
        self.notes: tuple[str, ...] = (self._labels.note,) if self._labels.resampled else ()

    def read(self, rect: Rect) -> tuple[Ints, Flags]:
        """See `Ids`; 0 is no object even where the raster declares it nodata."""
        return read_ids(self._labels, rect)

    def beyond(self, ids: Ints) -> Floats:
        """See `Ids`; a raster knows nothing of what lies beyond it."""
        return np.zeros(len(ids))

    def close(self) -> None:
        self._labels.close()


class BurntIds:
    """Polygons burnt where they cover a pixel's centre; the id of each is its number in the file, from 1.

    Where several cover a pixel, it is that of the better score, then of the smaller one.

    Raises:
        GridError: one of file and raster alone has a CRS, or no polygon lies on the grid.
    """

    def __init__(self, objects: ObjectFile, grid: Grid, name: str) -> None:
        if len(objects) and (objects.crs is None) != (grid.crs is None):
            bare, other = (objects.name, name) if objects.crs is None else (name, objects.name)
            raise GridError(
                f"{bare} has no CRS, {other} has one: expected both or neither; assign the missing one "
                "(ogr2ogr -a_srs or gdal_edit -a_srs)"
            )
        order = burning_order(objects)
        near, shapes = PlacedShapes(objects.shapes[order], objects.crs, grid.crs).near(grid)
        if len(objects) and not len(near):
            raise GridError(f"no polygon of {objects.name} lies on {name}; check that they belong together")
        self.notes: tuple[str, ...] = ()
        self._numbers, self._shapes = order[near] + 1, to_pixels(shapes, grid)
        self._tree = shapely.STRtree(self._shapes)
        self._beyond = np.zeros(len(objects) + 1)
        frame = shapely.box(0, 0, grid.width, grid.height)
        self._beyond[self._numbers] = shapely.area(shapely.difference(self._shapes, frame))

    def read(self, rect: Rect) -> tuple[Ints, Flags]:
        """See `Ids`."""
        from rasterio.features import rasterize

        frame = shapely.box(rect.left, rect.top, rect.right, rect.bottom)
        near = np.sort(self._tree.query(frame, predicate="intersects"))
        ids = np.zeros(rect.shape, np.int64)
        if len(near):
            upwards = shapely.transform(self._shapes[near], lambda points: points * [1, -1])
            pairs = list(zip(upwards, self._numbers[near].tolist(), strict=True))
            place = Affine(1, 0, rect.left, 0, -1, -rect.top)  # rows upwards: GDAL warns of the identity
            ids = rasterize(pairs, rect.shape, transform=place, dtype="int32").astype(np.int64)
        return ids, np.ones(rect.shape, bool)

    def beyond(self, ids: Ints) -> Floats:
        """See `Ids`."""
        return np.asarray(self._beyond[ids])

    def without_pixels(self, ids: Ints) -> int:
        """Return the number of polygons on the grid that have none of the pixels counted."""
        return len(np.setdiff1d(self._numbers, ids))

    def close(self) -> None:
        return None


Side = ObjectFile | str
"""The objects of a vector file, or the path of a raster of ids."""


def pair_on_pixels(found: Side, true: Side, options: EvaluateOptions) -> ObjectPair:
    """Return the objects of two sides, at least one a raster of ids, overlaid on the pixels of the first raster.

    Raises:
        LandsegError: a side cannot be read, lies elsewhere, or holds no ids.
    """
    path = next(side for side in (found, true) if isinstance(side, str))
    file = RasterFile(path)
    grid = file.info.grid
    file.close()
    opened: list[Ids] = []
    try:
        for side in (true, found):
            opened.append(IdsOnGrid(side, grid) if isinstance(side, str) else BurntIds(side, grid, path))
        return _pair(opened[0], opened[1], found, true, grid, options)
    finally:
        for one in opened:
            one.close()


def _pair(true_ids: Ids, found_ids: Ids, found: Side, true: Side, grid: Grid, options: EvaluateOptions) -> ObjectPair:
    aoi = None if options.aoi is None else read_aoi(options.aoi, grid)
    width = 0 if options.boundary is None else options.boundary.pixels(grid)
    counts = count_ids(true_ids, found_ids, grid, aoi, width=width, options=options)
    overlaps, (true_at, found_at) = counts.overlaps(), counts.ids()
    areas = None if grid.crs is None else PixelAreas(grid)
    overlaps = replace(
        overlaps,
        true=with_sizes(overlaps.true, true_ids.beyond(true_at), areas),
        found=with_sizes(overlaps.found, found_ids.beyond(found_at), areas),
    )
    names = [
        None if isinstance(side, str) or side.classes is None else [side.classes[one - 1] for one in at]
        for side, at in ((true, true_at), (found, found_at))
    ]
    classes, true_class, found_class, notes = common_classes(names[0], names[1], (len(true_at), len(found_at)))
    scored = not isinstance(found, str) and found.scores is not None
    given = found.scores if not isinstance(found, str) else None
    scores = np.ones(len(found_at)) if given is None else given[found_at - 1]
    block = options.block.pixels(grid)
    notes += [note for side in (true, found) if not isinstance(side, str) for note in side.notes]
    return ObjectPair(
        images=(ObjectImage(overlaps, scores, true_class, found_class),),
        classes=classes,
        scored=scored,
        unit="px" if areas is None else "m2",
        block=block,
        block_text=f"{block} px",
        boundary_text=f"{width} px" if width else None,
        drawing=Drawing(true, found, true_at, found_at, grid),
        notes=(*true_ids.notes, *found_ids.notes, *notes, *_small(true_ids, true_at), *_small(found_ids, found_at)),
    )


def count_ids(
    true: Ids, found: Ids, grid: Grid, aoi: Aoi | None, *, width: int, options: EvaluateOptions, void: bool = False
) -> IdCounts:
    """Return the pixels that the ids of two sides share, counted in strips by several threads.

    Args:
        true: ids of the truth.
        found: ids of the prediction.
        grid: of both.
        aoi: the part that counts; None: all of it.
        width: of the bands along outlines, in pixels; 0 for none.
        options: threads, and whether progress is shown.
        void: whether nothing is known of pixels without an object of the truth, as in panoptic maps.
    """
    total = IdCounts(width)

    def count(core: Rect) -> tuple[IdCounts, int]:
        rect, part = grown(core, width, grid), IdCounts(width)
        (ours, there), (theirs, known) = true.read(rect), found.read(rect)
        valid = there & known if aoi is None else there & known & inside_of(aoi, rect)
        inside = core.relative_to(rect).slices
        told = ours > 0 if void else None
        part.update(ours, theirs, valid=valid, known=told, core=inside, at=(rect.top, rect.left))
        return part, core.area

    # Objects that reach beyond the area of interest are known to do so: rows and columns around it are read too.
    with ThreadPoolExecutor(options.workers) as pool, Progress(grid.rect.area, quiet=options.quiet) as progress:
        for part, pixels in in_order(pool, count, strips(grid.rect, halo=width), ahead=options.workers + 1):
            total.merge(part)
            progress.add(pixels)
    return total


def with_sizes(side: Objects, beyond: Floats, areas: PixelAreas | None) -> Objects:
    """Return objects with sizes in square metres; those that lie beyond the raster by more than half are ignored."""
    made = replace(side, ignored=side.ignored | (side.area < beyond))
    if areas is None or not len(side):
        return made
    if not areas.vary:
        return replace(made, size=side.area * areas.pixel)
    rows, columns = np.floor(side.place).T
    return replace(made, size=side.area * areas.of(rows, columns))


def _small(side: Ids, ids: Ints) -> list[str]:
    if not isinstance(side, BurntIds) or not (lost := side.without_pixels(ids)):
        return []
    many = counted(lost, "polygon has", "polygons have")
    return [
        f"{many} no pixel that counts (outside, smaller than a pixel, or covered by others) and {_are(lost)} left out"
    ]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"

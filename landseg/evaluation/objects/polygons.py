"""Objects as polygons on both sides: areas that pairs share, in the plane of the truth's CRS."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import GridError
from landseg.evaluation.objects.pair import Drawing, ObjectImage, ObjectPair, common_classes
from landseg.evaluation.options import EvaluateOptions
from landseg.geo.metres import metres_per_unit
from landseg.geo.placed_shapes import PlacedShapes
from landseg.geo.vectors.aoi import read_area
from landseg.geo.vectors.buffering import bands
from landseg.labels.object_files import ObjectFile
from landseg.labels.point_files import PointFile
from landseg.metrics.overlaps import Flags, Floats, Objects, Overlaps
from landseg.metrics.overlaps import objects as made_objects
from landseg.text.amounts import part_of

_AT_ONCE = 1 << 16  # pairs whose shared areas are measured at a time
_BLOCK = 8  # edges of a mean object that a block of the bootstrap is wide
_EXACT = 1e-9  # relative: an area inside that is smaller is none


def pair_polygons(found: ObjectFile, true: ObjectFile, options: EvaluateOptions) -> ObjectPair:
    """Return the objects of two vector files, overlaid in the CRS of the truth.

    Raises:
        GridError: one of the two alone has a CRS, or they do not overlap.
    """
    check_crs(found, true)
    shapes = PlacedShapes(found.shapes, found.crs, true.crs).shapes if len(found) else found.shapes
    _check_overlap(shapes, found, true)
    area = None if options.aoi is None else read_area(options.aoi, true.crs)
    width = options.boundary.value if options.boundary is not None and options.boundary.metres else None
    sides = [_Side(one, true.crs, area, width) for one in (true.shapes, shapes)]
    overlaps = _overlaid(*sides)
    names = [_kept(one.classes, side.kept) for one, side in ((true, sides[0]), (found, sides[1]))]
    counts = (len(sides[0].objects), len(sides[1].objects))
    classes, true_class, found_class, notes = common_classes(names[0], names[1], counts)
    scores = (np.ones(len(found)) if found.scores is None else found.scores)[sides[1].kept]
    block, text = _block(options, sides[0].objects, true.crs)
    return ObjectPair(
        images=(ObjectImage(overlaps, scores, true_class, found_class),),
        classes=classes,
        scored=found.scores is not None,
        unit="unit2" if true.crs is None else "m2",
        block=block,
        block_text=text,
        boundary_text=None if width is None else f"{width:g} m",
        drawing=Drawing(true, found, sides[0].kept + 1, sides[1].kept + 1, scale=sides[0].scale),
        notes=(*found.notes, *true.notes, *notes, *_beyond(shapes, sides[0], options)),
    )


def check_crs(found: ObjectFile | PointFile, true: ObjectFile | PointFile) -> None:
    """Raise GridError if one of two vector files alone has a CRS."""
    if len(found) and len(true) and (found.crs is None) != (true.crs is None):
        bare, other = (found, true) if found.crs is None else (true, found)
        raise GridError(
            f"{bare.name} has no CRS, {other.name} has one ({other.crs.name}): expected both or neither; "
            "assign the missing one (ogr2ogr -a_srs EPSG:...)"
        )


class _Side:
    """The objects of one side inside the area of interest.

    Attributes:
        kept: indices of the objects that have any area inside.
        shapes: their parts inside.
        rims: the bands along their outlines inside; None if they are not measured.
        scale: units of the CRS by metres, (down, across).
        objects: their areas in units of the CRS, with sizes in square metres and places in metres.
    """

    def __init__(self, shapes: NDArray[Any], crs: Any, area: shapely.Geometry | None, width: float | None) -> None:
        whole = shapely.area(shapes)
        rims = None if width is None else bands(shapes, crs, width)
        inside = shapes
        if area is not None:
            shapely.prepare(area)
            within = shapely.covered_by(shapes, area)
            inside = shapes.copy()
            inside[~within] = shapely.intersection(shapes[~within], area)
            if rims is not None:
                rims[~within] = shapely.intersection(rims[~within], area)
        areas = shapely.area(inside)
        self.kept = np.flatnonzero(areas > _EXACT * whole)
        self.shapes, areas, whole = inside[self.kept], areas[self.kept], whole[self.kept]
        self.rims = None if rims is None else rims[self.kept]
        scale = metres_per_unit(shapes[self.kept], crs)
        centre = shapely.get_coordinates(shapely.centroid(shapes[self.kept]))
        mean = scale.mean(axis=0) if len(scale) else np.ones(2)
        self.scale = (1 / float(mean[1]), 1 / float(mean[0]))
        self.objects: Objects = made_objects(
            areas,
            size=areas * scale.prod(axis=1),
            ignored=2 * areas < whole,
            place=(centre * mean)[:, ::-1],
            rim=None if self.rims is None else shapely.area(self.rims),
        )


def _overlaid(true: _Side, found: _Side) -> Overlaps:
    """Return the pairs of polygons that share area."""
    tree = shapely.STRtree(true.shapes)
    found_index, true_index = tree.query(found.shapes, predicate="intersects")
    shared = _shared(true.shapes, found.shapes, true_index, found_index)
    some = shared > 0
    true_index, found_index, shared = true_index[some], found_index[some], shared[some]
    rims = None
    if true.rims is not None and found.rims is not None:
        rims = _shared(true.rims, found.rims, true_index, found_index)
    return Overlaps(true.objects, found.objects, true_index, found_index, shared, rims)


def _shared(true: NDArray[Any], found: NDArray[Any], true_index: Any, found_index: Any) -> Floats:
    """Return the area that the polygons of each pair share, (P,); so many at a time that memory stays small."""
    area = np.zeros(len(true_index))
    for start in range(0, len(area), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        area[part] = shapely.area(shapely.intersection(true[true_index[part]], found[found_index[part]]))
    return area


def _block(options: EvaluateOptions, true: Objects, crs: Any) -> tuple[float, str]:
    """Return the edge of a block in metres, and as a text: the one asked for, else by the mean size of the truth."""
    unit = "units" if crs is None else "m"
    if options.block.metres:
        return options.block.value, f"{options.block.value:g} {unit}"
    mean = float(true.size.mean()) if len(true) else 1.0
    edge = _BLOCK * math.sqrt(mean)
    return edge, f"{edge:.3g} {unit}, {_BLOCK} times the edge of a mean object"


def _check_overlap(shapes: NDArray[Any], found: ObjectFile, true: ObjectFile) -> None:
    if not (len(found) and len(true)):
        return
    one, other = (shapely.box(*shapely.total_bounds(part)) for part in (shapes, true.shapes))
    if not one.intersects(other):
        raise GridError(
            f"{found.name} and {true.name} do not overlap: expected objects of one place; check their CRS, and that "
            "they belong together"
        )


def _beyond(shapes: NDArray[Any], true: _Side, options: EvaluateOptions) -> list[str]:
    """Return a sentence about truth beyond the bounds of the prediction, which counts as missed."""
    if options.aoi is not None or not len(shapes) or not len(true.shapes):
        return []
    frame = shapely.box(*shapely.total_bounds(shapes))
    outside: Flags = ~shapely.intersects(true.shapes, frame)
    if not outside.any():
        return []
    many = part_of(int(outside.sum()), len(outside), "object")
    ends = (
        "lies beyond all that is predicted and counts"
        if outside.sum() == 1
        else "lie beyond all that is predicted and count"
    )
    return [f"{many} of the truth {ends} as missed; name the part that counts: --aoi"]


def _kept(names: tuple[str, ...] | None, kept: NDArray[np.intp]) -> list[str] | None:
    return None if names is None else [names[index] for index in kept]

"""The polygons of a vector file: for every command one rule which features count and which are left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.geo.vectors.buffering import buffered
from landseg.geo.vectors.layers import read_layer
from landseg.geo.vectors.names import Name
from landseg.text.amounts import counted, part_of

BUFFER = "remove them, or burn what lies near lines and points: --buffer METRES"
"""The advice about lines and points for commands with an option for them."""
_POLYGONS = ("Polygon", "MultiPolygon")


@dataclass(frozen=True)
class PolygonFile:
    """The content of a vector file: valid polygons of an area, and their columns.

    Attributes:
        frame: a GeoDataFrame of Polygon and MultiPolygon in the file's CRS, without heights; features that have no
            geometry are left out.
        notes: sentences about features that were left out or changed, with their number.
    """

    frame: Any
    notes: tuple[str, ...] = ()


def read_polygons(
    name: Name, *, buffer_m: float | None = None, advice: str = BUFFER, empty: bool = False
) -> PolygonFile:
    """Return the polygons of a layer.

    Features without a geometry are left out. Collections of polygons alone count as their polygons. Lines, points
    and collections that hold any are refused unless ``buffer_m`` is given: then the ground within that distance
    counts. Polygons that cross themselves are made valid, by the even-odd rule that burning uses as well.

    Args:
        name: a file, or one of its layers, ``FILE:LAYER``.
        buffer_m: metres around lines and points; polygons stay as they are.
        advice: about lines and points, for the sentence that refuses them.
        empty: a file without any feature is taken, in place of being refused.

    Raises:
        VectorError: the file cannot be read, holds no polygon, holds lines or points, or has no CRS for metres.
    """
    if buffer_m is not None and not (math.isfinite(buffer_m) and buffer_m > 0):
        raise VectorError(f"--buffer {buffer_m:g}: expected a number of metres above 0, such as 2.5")
    frame, notes = read_layer(name), []
    whole = len(frame)
    shapes = shapely.force_2d(np.array(frame.geometry, dtype=object))
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    if gone := int(whole - there.sum()):
        notes.append(f"{name}: {_features(gone, whole)} without a geometry left out")
    frame, shapes = frame[there], shapes[there]
    if len(shapes):
        shapes = _of_collections(shapes)
        shapes, note = _areas(shapes, frame.crs, name=name, buffer_m=buffer_m, advice=advice)
        notes += note
        shapes, note = _valid(shapes, name=name)
        notes += note
        kept = shapely.area(shapes) > 0
        if flat := int(len(kept) - kept.sum()):
            notes.append(f"{name}: {_features(flat, whole)} whose outline encloses nothing left out")
        frame, shapes = frame[kept], shapes[kept]
    if not len(shapes) and (whole or not empty):
        raise VectorError(f"{name} holds no polygon; expected at least one")
    return PolygonFile(frame.set_geometry(_series(shapes, frame)), tuple(notes))


def _of_collections(shapes: NDArray[Any]) -> NDArray[Any]:
    """Return shapes with collections of polygons alone as these polygons; other shapes unchanged."""
    made = shapes.copy()
    for index in np.flatnonzero(shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = _parts(shapes[index])
        if all(part.geom_type in _POLYGONS for part in parts):
            made[index] = shapely.union_all([part if part.is_valid else shapely.make_valid(part) for part in parts])
    return made


def _parts(shape: shapely.Geometry) -> list[shapely.Geometry]:
    """Return the parts of a collection that are not empty, and those of collections in it."""
    if shape.geom_type != "GeometryCollection":
        return [] if shape.is_empty else [shape]
    return [part for one in shapely.get_parts(shape) for part in _parts(one)]


def _areas(
    shapes: NDArray[Any], crs: Any, *, name: Name, buffer_m: float | None, advice: str
) -> tuple[NDArray[Any], list[str]]:
    """Return polygons for all shapes, and notes; other shapes are buffered, or refused."""
    kinds = np.array([shape.geom_type for shape in shapes])
    other = ~np.isin(kinds, _POLYGONS)
    if not other.any():
        return shapes, []
    found, counts = np.unique(kinds[other], return_counts=True)
    others = ", ".join(f"{kind} ({count})" for kind, count in zip(found.tolist(), counts.tolist(), strict=True))
    if buffer_m is None:
        raise VectorError(
            f"{name}: expected polygons, found {others} among {counted(len(shapes), 'feature')}; {advice}"
        )
    if odd := set(found.tolist()) - _BUFFERED:
        raise VectorError(f"{name}: expected polygons, lines and points, found {', '.join(sorted(odd))}; remove them")
    made = shapes.copy()
    made[other] = [_joined(shape) for shape in shapes[other]]
    try:
        made[other] = _with_own_polygons(shapes[other], buffered(made[other], crs, buffer_m))
    except VectorError as error:
        raise VectorError(f"{name}: {error}") from error
    return made, [f"{name}: {others} became areas, {buffer_m:g} m around"]


_BUFFERED = {"Point", "MultiPoint", "LineString", "MultiLineString", "LinearRing", "GeometryCollection"}


def _joined(shape: shapely.Geometry) -> shapely.Geometry:
    """Return the lines and points of a collection."""
    parts = [part for part in _parts(shape) if part.geom_type not in _POLYGONS]
    return parts[0] if len(parts) == 1 else shapely.GeometryCollection(parts)


def _with_own_polygons(shapes: NDArray[Any], around: NDArray[Any]) -> NDArray[Any]:
    """Return the areas around lines and points, joined with the polygons of the collections that held them."""
    own = [[part for part in _parts(shape) if part.geom_type in _POLYGONS] for shape in shapes]
    joined = [
        shapely.union_all([area, *(p if p.is_valid else shapely.make_valid(p) for p in parts)]) if parts else area
        for area, parts in zip(around, own, strict=True)
    ]
    made = np.empty(len(joined), dtype=object)
    made[:] = joined
    return made


def _valid(shapes: NDArray[Any], *, name: Name) -> tuple[NDArray[Any], list[str]]:
    """Return the polygons, those that cross themselves as the areas that `make_valid` gives, and notes."""
    finite = np.isfinite(shapely.bounds(shapes)).all(axis=1)
    if not finite.all():
        not_finite = _features(int((~finite).sum()), len(shapes))
        raise VectorError(f"{name}: {not_finite} with coordinates that are no numbers; remove them")
    broken = ~shapely.is_valid(shapes)
    if not broken.any():
        return shapes, []
    made = shapes.copy()
    fixed = shapely.make_valid(shapes[broken])
    made[broken] = [
        shape if shape.geom_type in _POLYGONS else shapely.union_all([p for p in _parts(shape) if p.area > 0])
        for shape in fixed
    ]
    changed = f"{name}: {_features(int(broken.sum()), len(shapes))} crossing themselves made valid"
    return made, [changed]


def _series(shapes: NDArray[Any], frame: Any) -> Any:
    import geopandas

    return geopandas.GeoSeries(shapes, index=frame.index, crs=frame.crs)


def _features(count: int, whole: int) -> str:
    return part_of(count, whole, "feature")

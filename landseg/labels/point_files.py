"""Vector files of points: a point for each object, with its class and its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.geo.vectors.layers import read_layer
from landseg.geo.vectors.names import Name
from landseg.labels.object_columns import class_names, scored_features
from landseg.text.amounts import counted, part_of

POINTS = {"Point", "MultiPoint"}
"""The types of geometries of a file of points."""


@dataclass(frozen=True)
class PointFile:
    """The N points of a vector file.

    Attributes:
        name: of the file, as it was given.
        place: (N, 2) x and y in the file's CRS.
        crs: of the points; None where the file has none.
        classes: the class of each point; None where no column names it.
        scores: (N,) from 0 to 1; None without the column ``score``.
        notes: sentences about features that were left out.
    """

    name: str
    place: NDArray[np.float64]
    crs: Any
    classes: tuple[str, ...] | None = None
    scores: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.place)


def read_points(name: Name, class_field: str | None = None, *, truth: bool = False) -> PointFile:
    """Return the points of a vector file or of a layer of it, ``FILE:LAYER``; none where it has no feature.

    Features without a geometry are left out, and so are points of a truth at the place of another of their class.
    A MultiPoint of one point is that point. Classes and scores are in the columns that `read_objects` looks at.

    Args:
        name: of the file.
        class_field: the column with the class; a prediction without it may have the column ``name`` in its place.
        truth: whether scores are left aside.

    Raises:
        VectorError: it cannot be read, holds other shapes or several points in one, lacks the column, or has
            coordinates that are no numbers, or scores outside 0 to 1.
    """
    frame, notes = read_layer(name), []
    whole = len(frame)
    shapes = shapely.force_2d(np.array(frame.geometry, dtype=object))
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    if gone := int(whole - there.sum()):
        notes.append(f"{name}: {part_of(gone, whole, 'feature')} without a geometry left out")
    frame, shapes = frame[there], shapes[there]
    place = _single(name, shapes)
    if not len(place):
        return PointFile(str(name), place, frame.crs, notes=tuple(notes))
    frame = frame.assign(**{_PLACE: np.arange(len(frame))})
    frame, scores, note = scored_features(name, frame, truth=truth, noun="point")
    notes += [] if note is None else [note]
    place = place[np.asarray(frame[_PLACE], np.int64)]
    classes = class_names(name, frame.drop(columns=_PLACE), class_field, truth=truth, noun="point")
    if truth:
        kept = _distinct(place, classes)
        if twice := len(place) - len(kept):
            lies = "lies at the place of another and is" if twice == 1 else "lie at the place of another and are"
            notes.append(f"{name}: {part_of(twice, len(place), 'point')} {lies} left out")
        place = place[kept]
        classes = None if classes is None else tuple(classes[index] for index in kept.tolist())
    return PointFile(str(name), place, frame.crs, classes, scores, tuple(notes))


_PLACE = "_landseg_place"  # a column that keeps the number of each feature


def _single(name: Name, shapes: NDArray[Any]) -> NDArray[np.float64]:
    """Return the coordinates of points, (N, 2)."""
    kinds = np.array([shape.geom_type for shape in shapes])
    if odd := sorted(set(kinds.tolist()) - POINTS):
        count = counted(int((~np.isin(kinds, list(POINTS))).sum()), "feature")
        raise VectorError(
            f"{name}: expected points, found {', '.join(odd)} ({count} of {len(shapes):,}); name the layer with the "
            "points, or make points of them (their centroids, ogr2ogr -dialect sqlite)"
        )
    number = shapely.get_num_geometries(shapes)
    if (number > 1).any():
        raise VectorError(
            f"{name}: {part_of(int((number > 1).sum()), len(shapes), 'feature', 'holds', 'hold')} several points: "
            "expected one point a feature; split them (ogr2ogr -explodecollections)"
        )
    place: NDArray[np.float64] = shapely.get_coordinates(shapes)
    if not np.isfinite(place).all():
        odd_ones = int((~np.isfinite(place).all(axis=1)).sum())
        raise VectorError(
            f"{name}: {part_of(odd_ones, len(place), 'point')} with coordinates that are no numbers; remove them"
        )
    return place


def _distinct(place: NDArray[np.float64], classes: tuple[str, ...] | None) -> NDArray[np.intp]:
    """Return the indices, ascending, of the first point at each place and of each class."""
    kind = np.zeros(len(place)) if classes is None else np.unique(np.array(classes), return_inverse=True)[1]
    first = np.unique(np.column_stack([place, kind.reshape(-1)]), axis=0, return_index=True)[1]
    return np.sort(first)

"""Vector files of objects: a polygon for each object, with its id, its class and its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.geo.vectors.layers import read_layer
from landseg.geo.vectors.names import Name
from landseg.geo.vectors.polygon_file import read_polygons
from landseg.labels.object_columns import class_names, ids_of, numbers, scored_features

_ADVICE = "remove them, or name the layer with the polygons"


@dataclass(frozen=True)
class ObjectFile:
    """The N objects of a vector file.

    Attributes:
        name: of the file, as it was given.
        shapes: (N,) valid polygons, in the file's CRS.
        crs: of the shapes; None where the file has none.
        ids: (N,) the column ``id``; without one, 1 to N.
        classes: the class of each object; None where no column names it.
        scores: (N,) from 0 to 1; None without the column ``score``.
        notes: sentences about features that were left out or changed.
    """

    name: str
    shapes: NDArray[Any]
    crs: Any
    ids: NDArray[np.int64]
    classes: tuple[str, ...] | None = None
    scores: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.shapes)


def read_objects(name: Name, class_field: str | None = None, *, truth: bool = False) -> ObjectFile:
    """Return the objects of a vector file or of a layer of it, ``FILE:LAYER``; none where it has no feature.

    Without a ``class_field``, classes are in the column ``name`` where ``value`` stands beside it, as landseg writes
    them. In a prediction with scores, features without one are areas of stuff and left out.

    Args:
        name: of the file.
        class_field: the column with the class; a prediction without it may have the column ``name`` in its place.
        truth: whether scores are left aside.

    Raises:
        VectorError: it cannot be read, holds lines or points, lacks the column, or has scores outside 0 to 1.
    """
    empty = read_layer(name)
    if not len(empty):
        return ObjectFile(str(name), np.zeros(0, object), empty.crs, np.zeros(0, np.int64))
    read = read_polygons(name, advice=_ADVICE)
    frame, notes = read.frame, list(read.notes)
    frame, scores, note = scored_features(name, frame, truth=truth)
    notes += [] if note is None else [note]
    classes = class_names(name, frame, class_field, truth=truth)
    shapes = np.asarray(frame.geometry, dtype=object)
    return ObjectFile(str(name), shapes, frame.crs, ids_of(frame), classes, scores, tuple(notes))


def read_scores(name: Name) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ids (N,) and the scores (N,) of the polygons of things in a vector file that landseg wrote.

    Raises:
        VectorError: it cannot be read, or has no columns ``id`` and ``score``.
    """
    frame = read_layer(name)
    if missing := [column for column in ("id", "score") if column not in frame]:
        raise VectorError(f"{name} has no column {missing[0]!r}: expected the polygons that predict writes")
    scores = numbers(frame["score"], f"{name}, column 'score'")
    there = np.isfinite(scores)
    return numbers(frame["id"], f"{name}, column 'id'")[there].astype(np.int64), scores[there]


def burning_order(objects: ObjectFile) -> NDArray[np.intp]:
    """Return the order (N,) in which objects are burnt, so that the last one has a pixel that several cover.

    The better score is the later one, then the smaller area.
    """
    area = -shapely.area(objects.shapes)
    return np.lexsort((area,) if objects.scores is None else (area, objects.scores))

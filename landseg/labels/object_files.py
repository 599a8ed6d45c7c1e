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
from landseg.text.amounts import counted, part_of

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
    scores = None if truth or "score" not in frame else _numbers(frame["score"], f"{name}, column 'score'")
    if scores is not None:
        there = np.isfinite(scores)
        if not there.all():
            bare, are = int((~there).sum()), part_of(int((~there).sum()), len(there), "polygon", "has", "have")
            kept = (
                "is taken for an area without objects, and is"
                if bare == 1
                else "are taken for areas without objects, and are"
            )
            notes.append(f"{name}: {are} no score, {kept} left out")
            frame, scores = frame[there], scores[there]
        if not ((scores >= 0) & (scores <= 1)).all():
            worst = scores[(scores < 0) | (scores > 1)][0]
            raise VectorError(f"{name}: the column 'score' holds {worst:g}, expected scores from 0 to 1")
    column = _class_column(name, frame, class_field, truth=truth)
    classes = None if column is None else _classes(name, frame[column], column)
    shapes = np.asarray(frame.geometry, dtype=object)
    return ObjectFile(str(name), shapes, frame.crs, _ids(frame), classes, scores, tuple(notes))


def read_scores(name: Name) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ids (N,) and the scores (N,) of the polygons of things in a vector file that landseg wrote.

    Raises:
        VectorError: it cannot be read, or has no columns ``id`` and ``score``.
    """
    frame = read_layer(name)
    if missing := [column for column in ("id", "score") if column not in frame]:
        raise VectorError(f"{name} has no column {missing[0]!r}: expected the polygons that predict writes")
    scores = _numbers(frame["score"], f"{name}, column 'score'")
    there = np.isfinite(scores)
    return _numbers(frame["id"], f"{name}, column 'id'")[there].astype(np.int64), scores[there]


def _class_column(name: Name, frame: Any, field: str | None, *, truth: bool) -> str | None:
    if field is None:
        return "name" if {"value", "name"} <= set(frame.columns) else None
    if field in frame:
        return field
    if not truth and "name" in frame:
        return "name"
    columns = ", ".join(str(one) for one in frame.columns if one != frame.geometry.name)
    raise VectorError(f"{name} has no column {field!r}; it has {columns or 'none'}")


def _classes(name: Name, column: Any, field: str) -> tuple[str, ...]:
    bare = int(column.isna().sum())
    if bare:
        without = counted(bare, "polygon has", "polygons have")
        raise VectorError(f"{name}: {without} nothing in {field!r}: give them a class, or remove them")
    return tuple(str(int(one)) if isinstance(one, float) and one.is_integer() else str(one) for one in column)


def _ids(frame: Any) -> NDArray[np.int64]:
    """Return the ids of polygons; their numbers from 1 where a column of whole numbers does not give them."""
    own = frame["id"] if "id" in frame and frame["id"].dtype.kind in "iuf" else None
    if own is None or own.isna().any():
        return np.arange(1, len(frame) + 1)
    return np.asarray(own, np.int64)


def _numbers(column: Any, where: str) -> NDArray[np.float64]:
    try:
        return np.asarray(column.astype("float64"), np.float64)
    except (TypeError, ValueError) as error:
        raise VectorError(f"{where}: expected numbers, got {column.iloc[0]!r}") from error


def burning_order(objects: ObjectFile) -> NDArray[np.intp]:
    """Return the order (N,) in which objects are burnt, so that the last one has a pixel that several cover.

    The better score is the later one, then the smaller area.
    """
    area = -shapely.area(objects.shapes)
    return np.lexsort((area,) if objects.scores is None else (area, objects.scores))

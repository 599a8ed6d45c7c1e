"""Columns of vector files of objects: their scores, classes and ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.geo.vectors.names import Name
from landseg.text.amounts import counted, part_of, plural


def scored_features(
    name: Name, frame: Any, *, truth: bool, noun: str = "polygon"
) -> tuple[Any, NDArray[np.float64] | None, str | None]:
    """Return the features of a file that count, their scores (N,) and a sentence about those that are left out.

    In a prediction with the column ``score``, features without one are left out. A truth has no scores.

    Args:
        name: of the file.
        frame: its features, a GeoDataFrame.
        truth: whether it is a truth.
        noun: for a feature.

    Raises:
        VectorError: the column holds no numbers, or numbers outside 0 to 1.
    """
    if truth or "score" not in frame:
        return frame, None, None
    scores, note = numbers(frame["score"], f"{name}, column 'score'"), None
    there = np.isfinite(scores)
    if not there.all():
        bare, are = int((~there).sum()), part_of(int((~there).sum()), len(there), noun, "has", "have")
        one, many = "is taken for an area without objects, and is", "are taken for areas without objects, and are"
        kept = (one if bare == 1 else many) if noun == "polygon" else "and is" if bare == 1 else "and are"
        note = f"{name}: {are} no score, {kept} left out"
        frame, scores = frame[there], scores[there]
    if not ((scores >= 0) & (scores <= 1)).all():
        worst = scores[(scores < 0) | (scores > 1)][0]
        raise VectorError(f"{name}: the column 'score' holds {worst:g}, expected scores from 0 to 1")
    return frame, scores, note


def class_names(
    name: Name, frame: Any, field: str | None, *, truth: bool, noun: str = "polygon"
) -> tuple[str, ...] | None:
    """Return the class of each feature, (N,); None where no column names it.

    Without a ``field``, classes are in the column ``name`` where ``value`` stands beside it, as landseg writes them.

    Args:
        name: of the file.
        frame: its features, a GeoDataFrame.
        field: the column with the class; a prediction without it may have the column ``name`` in its place.
        truth: whether it is a truth.
        noun: for a feature.

    Raises:
        VectorError: the column is missing, or empty for a feature.
    """
    column = _class_column(name, frame, field, truth=truth)
    return None if column is None else _classes(name, frame[column], column, noun)


def _class_column(name: Name, frame: Any, field: str | None, *, truth: bool) -> str | None:
    if field is None:
        return "name" if {"value", "name"} <= set(frame.columns) else None
    if field in frame:
        return field
    if not truth and "name" in frame:
        return "name"
    columns = ", ".join(str(one) for one in frame.columns if one != frame.geometry.name)
    raise VectorError(f"{name} has no column {field!r}; it has {columns or 'none'}")


def _classes(name: Name, column: Any, field: str, noun: str) -> tuple[str, ...]:
    bare = int(column.isna().sum())
    if bare:
        without = counted(bare, f"{noun} has", f"{plural(noun)} have")
        raise VectorError(f"{name}: {without} nothing in {field!r}: give them a class, or remove them")
    return tuple(str(int(one)) if isinstance(one, float) and one.is_integer() else str(one) for one in column)


def ids_of(frame: Any) -> NDArray[np.int64]:
    """Return the ids of features; their numbers from 1 where a column of whole numbers does not give them."""
    own = frame["id"] if "id" in frame and frame["id"].dtype.kind in "iuf" else None
    if own is None or own.isna().any():
        return np.arange(1, len(frame) + 1)
    return np.asarray(own, np.int64)


def numbers(column: Any, where: str) -> NDArray[np.float64]:
    """Return a column as numbers, (N,), nan where it is empty.

    Raises:
        VectorError: it holds other values.
    """
    try:
        return np.asarray(column.astype("float64"), np.float64)
    except (TypeError, ValueError) as error:
        raise VectorError(f"{where}: expected numbers, got {column.iloc[0]!r}") from error

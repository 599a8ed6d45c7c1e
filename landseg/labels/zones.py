"""Zones: named areas of a vector file on a raster, each with the pixels whose centres lie in it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import GridError, VectorError
from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect
from landseg.geo.vectors.aoi import Aoi
from landseg.geo.vectors.names import Name
from landseg.labels.polygons import PolygonLabels

_ADVICE = "remove them, or make areas of lines and points (a buffer)"


class Zones:
    """The zones of a vector file on a grid; they may overlap, and a pixel is then in each of them.

    Features are brought into the raster's CRS. Those of one name are one zone.

    Args:
        path: a vector file with polygons, or one of its layers, ``FILE:LAYER``.
        grid: grid of the raster.
        field: the column that names zones; None: they are numbered from 1 as the file's features are.

    Attributes:
        names: names of all zones, in the order in which the file first has them.
        away: number of zones that share no place with the raster.
        notes: sentences about features that were left out or made valid, and about a missing CRS.

    Raises:
        VectorError: the file cannot be read, holds no polygon or other geometries, has no such column, or features
            without a name.
        GridError: no zone lies on the raster.
    """

    def __init__(self, path: Name, grid: Grid, *, field: str | None = None) -> None:
        labels = PolygonLabels(path, field, advice=_ADVICE)
        each = [index + 1 for index in labels.frame.index] if field is None else _named(labels, field)
        self.names: tuple[str | int, ...] = tuple(dict.fromkeys(each))
        taken = labels.placed_by(grid)
        self.notes = (*labels.notes, *(() if taken is None else (taken,)))
        number = {name: at for at, name in enumerate(self.names)}
        shapes: dict[int, list[shapely.Geometry]] = {}
        for feature, shape in zip(*labels.near(grid), strict=True):
            parts = [part for part in shapely.get_parts(shape).tolist() if not part.is_empty]
            if any(part.intersects(_frame(grid.rect)) for part in parts):
                shapes.setdefault(number[each[int(feature)]], []).extend(parts)
        self.away = len(self.names) - len(shapes)
        if not shapes:
            raise GridError(_sentence_of_no_zone(labels, grid))
        self._areas = {at: _area(parts, grid) for at, parts in sorted(shapes.items())}
        self._numbers = np.array(list(self._areas), np.int64)
        self._rows = np.array([[a.rect.top, a.rect.bottom] for a in self._areas.values()], np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.names)

    def inside(self, rect: Rect) -> Iterator[tuple[int, Rect, NDArray[np.bool_]]]:
        """Yield the zones that may have a pixel in ``rect``: number, the part of ``rect`` around it, pixels (h, w).

        A pixel is True where its centre lies in the zone.
        """
        near = (self._rows[:, 0] < rect.bottom) & (self._rows[:, 1] > rect.top)
        for number in self._numbers[near].tolist():
            area = self._areas[number]
            shared = area.rect.intersection(rect)
            if shared is not None:
                inside = area.inside(shared)
                assert inside is not None, "a zone has an outline"
                yield number, shared, inside


def _named(labels: PolygonLabels, field: str) -> list[str]:
    texts = labels.texts
    missing = sum(text is None for text in texts)
    if missing:
        raise VectorError(
            f"{labels.path}: {missing} of {len(texts)} zones have nothing in {field!r}: name them, or leave "
            "--by-field out to number them"
        )
    return [str(text) for text in texts]


def _sentence_of_no_zone(labels: PolygonLabels, grid: Grid) -> str:
    frame = labels.frame
    bounds = ", ".join(f"{value:.8g}" for value in frame.total_bounds)
    its = f"bounds {bounds} ({'no CRS' if frame.crs is None else crs_text(frame.crs)})"
    return (
        f"no zone of {labels.path} lies on the raster: it has {its}, the raster is {grid.describe()}; "
        "check the CRS of both"
    )


def _area(parts: list[shapely.Geometry], grid: Grid) -> Aoi:
    """Return polygons in pixels as an area, with the rectangle around their part of the raster."""
    left, top, right, bottom = shapely.total_bounds(np.array(parts, dtype=object)).tolist()
    first = max(0, math.floor(top)), max(0, math.floor(left))
    end = min(grid.height, math.ceil(bottom)), min(grid.width, math.ceil(right))
    rect = Rect(*first, max(0, end[0] - first[0]), max(0, end[1] - first[1]))
    return Aoi(rect, tuple(parts))


def _frame(rect: Rect) -> shapely.Geometry:
    """Return the raster's outline less a hair: a zone that merely touches its edge is not on it."""
    return shapely.box(rect.left + 1e-6, rect.top + 1e-6, rect.right - 1e-6, rect.bottom - 1e-6)

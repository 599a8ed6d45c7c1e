"""Polygons of a vector file as labels on a grid: class indices, target values, or codes of a column's entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, MAX_CLASSES, ClassMap
from landseg.errors import ClassError, GridError
from landseg.geo.grid import Grid, Rect
from landseg.geo.vectors.names import stem_of
from landseg.labels.coverage import Coverage
from landseg.labels.instances import ObjectPolygons, parts_of
from landseg.labels.left_out import Masks, Reason
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.labels.reader import LabelReader, Pixels
from landseg.labels.value_mapping import class_indices
from landseg.text.amounts import counted


class BurntPolygons(LabelReader):
    """Polygons burnt where they cover a pixel's centre; ``outside`` where there is none.

    They are brought into the grid's pixels once, so that a part of the grid is burnt as the whole is.

    Args:
        polygons: in any CRS.
        grid: the grid that `read` takes rectangles of.
        outside: the label where no polygon is.
        values: labels by name, "" for polygons of which the column says nothing; None: all polygons mean ``inside``.
        inside: see ``values``.
        note: see `LabelReader`.
        burnt: their parts in the order in which they are burnt; None: as they are.
    """

    def __init__(
        self,
        polygons: PolygonLabels,
        grid: Grid,
        outside: int,
        values: Mapping[str, int] | None = None,
        inside: int = IGNORE_INDEX,
        *,
        note: str = "",
        burnt: PolygonLabels | None = None,
    ) -> None:
        path = Path(polygons.path)
        self.name, self.paths, self.note = path.name, (str(path),), note
        self.drawn = polygons if outside == IGNORE_INDEX else None
        self._placed, self._pixels = (burnt or polygons).in_pixels(grid), pixel_grid(grid)
        self._outside, self._values, self._inside = outside, values, inside

    def read_reasons(
        self, rect: Rect, pixels: Pixels | None = None, *, core: Rect | None = None
    ) -> tuple[NDArray[np.uint8], Masks]:
        part = self._pixels.crop(rect)
        if self._values is not None:
            labels = self._placed.burn_names(part, self._values, self._outside)
        else:
            labels = np.where(self._placed.burn(part), np.uint8(self._inside), np.uint8(self._outside))
        return labels, {Reason.OUTSIDE_LABELS: labels == IGNORE_INDEX}


def open_polygons(
    path: Path,
    field: str | None,
    classes: ClassMap,
    grid: Grid,
    *,
    background: str | None = None,
    buffer_m: float | None = None,
) -> BurntPolygons:
    """Return the polygons of a vector file as class indices on the grid of a prediction.

    Args:
        path: the vector file, or one of its layers, ``FILE:LAYER``.
        field: the column with a class name, or a class value, for every polygon; None: all are of the only class
            beside the background.
        classes: by index.
        grid: grid of the prediction.
        background: the class of all that lies outside, by name; None: outside is unknown.
        buffer_m: metres around lines and points that count as theirs; None: these are refused.

    Raises:
        VectorError: the file cannot be read, or has no such column.
        ClassError: entries of the column that are no class; each is listed with its number of polygons.
        GridError: no polygon touches the grid.
    """
    polygons = PolygonLabels(path, field, buffer_m=buffer_m)
    if not polygons.touches(grid):
        raise GridError(f"no polygon of {path} lies on the prediction; check that they belong together")
    if background is not None and background not in classes.names:
        raise ClassError(f"--background {background!r} is no class; use one of {', '.join(classes.names)}")
    inside, values = IGNORE_INDEX, None
    if field is not None:
        values = class_indices(polygons.counts(), classes, f"{path}, column {field!r}")
    else:
        inside = _only_class(path, classes, background)
    outside = IGNORE_INDEX if background is None else classes.names.index(background)
    coverage = Coverage(polygons, outside=background)
    coverage.add(path.name, grid)
    beyond = "nobody knows" if background is None else background
    rule = f"{path.name}: a pixel has the class of the polygon that covers its centre; outside, {beyond}"
    note = "; ".join((rule, *polygons.notes, *coverage.sentences(away=False)))
    return BurntPolygons(polygons, grid, outside, values, inside, note=note)


def _only_class(path: Path, classes: ClassMap, background: str | None) -> int:
    """Return the index of the one class beside the background.

    Raises:
        ClassError: there are several, which a column has to tell apart.
    """
    others = [index for index, name in enumerate(classes.names) if name != background]
    if background is None or len(others) != 1:
        raise ClassError(f"{path} is a vector file: say which column names the class, --class-field")
    return others[0]


class PolygonCodes:
    """The polygons of a vector file that label all images, as codes whose classes are not known yet.

    Attributes:
        texts: by code: the column's entries, in order, then the class of all that lies outside, where it is named.
            Without a column all polygons are one entry.
        labels: the polygons.
        coverage: on which images they lie; every image has to be added before any is read.
        objects: the polygons as objects, where ``things`` tells for which entries they are; else None.
        notes: sentences about what was left out of the file, and about polygons of which the column says nothing:
            these are unknown.

    Raises:
        VectorError: the file cannot be read, holds other things than polygons, or has no such column.
        ClassError: too many entries.
    """

    def __init__(
        self,
        path: Path,
        field: str | None,
        *,
        only: str | None = None,
        outside: str | None = None,
        buffer_m: float | None = None,
        things: Callable[[str], bool] | None = None,
    ) -> None:
        self.labels = PolygonLabels(path, field, buffer_m=buffer_m)
        self.coverage = Coverage(self.labels, outside=outside)
        self.notes = (*self.labels.notes, *filter(None, [self.labels.unnamed]))
        names = [only or stem_of(path)] if field is None else sorted(self.labels.known_counts())
        if len(names) > MAX_CLASSES - 1:
            raise ClassError(
                f"column {field!r} of {path} has {counted(len(names), 'entry')}, expected {MAX_CLASSES - 1} classes "
                "at most: name the column with the class"
            )
        codes = {name: code for code, name in enumerate(names)} | {"": IGNORE_INDEX}
        beyond = codes.get(outside or "", len(names)) if outside else len(names)
        self.texts = names + ([outside] if outside is not None and beyond == len(names) else [])
        self._codes = None if field is None else codes
        self._outside = IGNORE_INDEX if outside is None else beyond
        self.objects = None if things is None else self._made_objects(field, things)

    def _made_objects(self, field: str | None, things: Callable[[str], bool]) -> ObjectPolygons:
        parts = parts_of(self.labels)
        chosen = np.ones(len(parts), bool)
        if field is not None:
            chosen[parts.numbers] = [text is not None and things(text) for text in parts.texts]
        return ObjectPolygons(parts, chosen, self.filled)

    @property
    def filled(self) -> bool:
        """True where a class is named for all that lies outside the polygons."""
        return self._outside != IGNORE_INDEX

    def on(self, grid: Grid) -> BurntPolygons:
        """Return the polygons as codes (uint8) on the grid of an image, IGNORE_INDEX where nothing is known.

        Raises:
            GridError: none lies on it, and nothing says what lies outside; or none lies on any image.
        """
        if not self.labels.touches(grid) and not (self.filled and self.coverage.lies):
            raise GridError("no polygon lies on it")
        burnt = None if self.objects is None else self.objects.polygons
        return BurntPolygons(self.labels, grid, self._outside, self._codes, 0, burnt=burnt)

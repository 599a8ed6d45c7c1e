"""Polygons of a vector file as labels on a grid: class indices, target values, or codes of a column's entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, MAX_CLASSES, ClassMap
from landseg.errors import ClassError, GridError, LandsegError
from landseg.geo.grid import Grid, Rect
from landseg.labels.coverage import Coverage, shorten_notes
from landseg.labels.instances import NONE, UNKNOWN, ObjectPolygons, objects_of
from landseg.labels.left_out import Masks, Reason
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.labels.reader import LabelReader, Pixels
from landseg.labels.value_mapping import class_indices
from landseg.text.amounts import counted, shorten_list


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
    coverage = Coverage(outside=background)
    coverage.add(polygons, path.name, grid)
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
    """The polygons of the vector files that label images, as codes whose classes are not known yet.

    A code is the same in all files. Of several files those that cannot be used are refused when their image is read.

    Args:
        files: vector files, or layers of them; each labels an image or several.
        field: the column with the class of each polygon; None: all polygons are one entry.
        title: the name of that entry.
        outside: the class of all that lies outside the polygons; None: it is not known.
        buffer_m: metres around lines and points that count as theirs; None: these are refused.
        things: for which entries polygons are objects; None: for none.

    Attributes:
        texts: by code: the column's entries, in order, then the class of all that lies outside, where it is named.
        coverage: on which images they lie; every image has to be added before any is read.
        notes: sentences about what was left out of the files, and about polygons of which the column says nothing:
            these are unknown.

    Raises:
        VectorError: no file can be read, holds polygons alone and has such a column.
        ClassError: too many entries.
    """

    def __init__(
        self,
        files: Sequence[Path],
        field: str | None,
        *,
        title: str,
        outside: str | None = None,
        buffer_m: float | None = None,
        things: Callable[[str], bool] | None = None,
    ) -> None:
        self.coverage = Coverage(outside=outside)
        found, self._faults = _readable(files, field, buffer_m)
        names = [title] if field is None else sorted({text for one in found.values() for text in one.known_counts()})
        if len(names) > MAX_CLASSES - 1:
            raise ClassError(
                f"column {field!r} of {shorten_list([str(path) for path in found])} has "
                f"{counted(len(names), 'entry')}, expected {MAX_CLASSES - 1} classes at most: name the column with "
                "the class"
            )
        codes = {name: code for code, name in enumerate(names)} | {"": IGNORE_INDEX}
        beyond = codes.get(outside or "", len(names)) if outside else len(names)
        self.texts = names + ([outside] if outside is not None and beyond == len(names) else [])
        self._codes = None if field is None else codes
        self._outside = IGNORE_INDEX if outside is None else beyond
        self._files = found
        beyond = NONE if self.filled else UNKNOWN
        self._objects = {
            path: objects_of(one, things, beyond=beyond) for path, one in found.items() if things is not None
        }
        self.notes = shorten_notes([tuple(filter(None, (*one.notes, one.unnamed))) for one in found.values()])

    @property
    def filled(self) -> bool:
        """True where a class is named for all that lies outside the polygons."""
        return self._outside != IGNORE_INDEX

    def labels(self, file: Path) -> PolygonLabels | None:
        """Return the polygons of a file; None where it cannot be used."""
        return self._files.get(file)

    def objects(self, file: Path) -> ObjectPolygons | None:
        """Return the polygons of a file as objects; None where they are none, or it cannot be used."""
        return self._objects.get(file)

    def on(self, file: Path, grid: Grid) -> BurntPolygons:
        """Return the polygons of a file as codes (uint8) on an image's grid, IGNORE_INDEX where nothing is known.

        Raises:
            VectorError, ClassError: the file cannot be used.
            GridError: none lies on it, and nothing says what lies outside; or none lies on any image.
        """
        if file in self._faults:
            raise self._faults[file]
        polygons, objects = self._files[file], self.objects(file)
        if not polygons.touches(grid) and not (self.filled and not self.coverage.is_astray(polygons)):
            raise GridError("no polygon lies on it")
        burnt = None if objects is None else objects.polygons
        return BurntPolygons(polygons, grid, self._outside, self._codes, 0, burnt=burnt)


def _readable(
    files: Sequence[Path], field: str | None, buffer_m: float | None
) -> tuple[dict[Path, PolygonLabels], dict[Path, LandsegError]]:
    """Return the polygons of the files that can be used, and the faults of the others, by file."""
    found: dict[Path, PolygonLabels] = {}
    faults: dict[Path, LandsegError] = {}
    for path in files:
        try:
            found[path] = PolygonLabels(path, field, buffer_m=buffer_m, empty=len(files) > 1)
        except LandsegError as error:
            faults[path] = error
    if faults and not found:
        raise next(iter(faults.values()))
    return found, faults

"""What labels say under an image, before anybody knows what it means: raster values, or entries of a column."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import COLOR, IGNORE_INDEX, MAX_CLASSES, ClassMap, shown_value
from landseg.errors import ClassError, GridError
from landseg.geo.grid import Grid, Rect
from landseg.geo.vectors.names import stem_of
from landseg.labels.coverage import Coverage
from landseg.labels.label_colors import Colors, file_of, label_source
from landseg.labels.left_out import Masks, Reason
from landseg.labels.legend import read_legend
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.labels.regrid import AlignedLabels
from landseg.text.amounts import counted

Known = tuple[NDArray[Any], NDArray[np.bool_]]
"""Values (h, w), and where there is one."""


class LabelValues(ABC):
    """Values on an image's grid.

    Attributes:
        note: how they were brought onto it, where that is not pixel by pixel; else None.
        drawn: the polygons that all of them come from, where nothing is known outside these; else None.
    """

    note: str | None = None
    drawn: PolygonLabels | None = None

    def read(self, rect: Rect) -> Known:
        """The values under a rectangle of the image."""
        values, masks = self.read_reasons(rect)
        return values, ~np.logical_or.reduce(list(masks.values()))

    @abstractmethod
    def read_reasons(self, rect: Rect) -> tuple[NDArray[Any], Masks]:
        """Return the values (h, w) under a rectangle of the image, and where and why there is none."""

    def close(self) -> None:
        """Close every file."""
        return None


class RasterValues(LabelValues):
    """A label raster's values.

    Args:
        path: of the raster.
        grid: of the image.
        table: the classes, as far as they are known (see `label_source`).
        colors: the raster is a picture in these colours.

    Raises:
        RasterError: it cannot be opened.
        BandError, ClassError: see `label_source`.
        GridError: it is elsewhere, or of another size without saying where it lies.
    """

    def __init__(
        self, path: Path, grid: Grid, *, table: ClassMap | None = None, colors: Colors | None = None
    ) -> None:
        source = label_source(path, table=table, colors=colors)
        try:
            theirs = source.grid
            if grid.shape != theirs.shape and (_nowhere(grid) or _nowhere(theirs)):
                raise GridError(
                    f"{path.name} has {theirs.width} x {theirs.height} px, its image {grid.width} x {grid.height}; "
                    "without georeference they have to be of one size"
                )
            self._labels = AlignedLabels(source, grid)
        except BaseException:
            source.close()
            raise
        self.note = None if theirs.same_as(grid) or _nowhere(grid) or _nowhere(theirs) else self._labels.note
        file = file_of(source)
        self.legend = None if file is None else read_legend(file.file)
        palette = (None if file is None else file.file.palette(1)) or {}
        self.palette = {value: color[:3] for value, color in palette.items()}

    def read_reasons(self, rect: Rect) -> tuple[NDArray[Any], Masks]:
        values, valid, inside = self._labels.read_placed(rect)
        if inside is None:
            return values, {Reason.NO_DATA: ~valid}
        return values, {Reason.OUTSIDE_LABELS: ~inside, Reason.NO_DATA: inside & ~valid}

    def close(self) -> None:
        self._labels.source.close()


class PolygonCodes:
    """The polygons of a vector file that label all images, as codes.

    Attributes:
        texts: by code: the column's entries, in order, then the class of all that lies outside, where it is named.
            Without a column all polygons are one entry.
        polygons: how many there are of each entry.
        coverage: on which images they lie; to be told of every image before any is read.
        notes: what was left out of the file, and how many polygons the column says nothing of: these are unknown.

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
    ) -> None:
        self._labels = PolygonLabels(path, field, buffer_m=buffer_m)
        self.coverage = Coverage(self._labels, outside=outside)
        self.notes = (*self._labels.notes, *filter(None, [self._labels.unnamed]))
        self._field = field
        self.polygons = self._labels.known_counts()
        names = sorted(self.polygons) if field is not None else [only or stem_of(path)]
        if len(names) > MAX_CLASSES - 1:
            raise ClassError(
                f"column {field!r} of {path} has {counted(len(names), 'entry')}, expected {MAX_CLASSES - 1} classes "
                "at most: name the column with the class"
            )
        self._codes = {name: code for code, name in enumerate(names)} | {"": IGNORE_INDEX}
        inside = self._codes.get(outside or "", len(names)) if outside else len(names)
        self.texts = names + ([outside] if outside is not None and inside == len(names) else [])
        self._outside = IGNORE_INDEX if outside is None else inside

    @property
    def filled(self) -> bool:
        """Whether a class is named for all that lies outside the polygons."""
        return self._outside != IGNORE_INDEX

    @property
    def labels(self) -> PolygonLabels:
        """The polygons themselves."""
        return self._labels

    def on(self, grid: Grid) -> LabelValues:
        """Their codes on an image's grid.

        Raises:
            GridError: none lies on it, and nothing says what lies outside; or none lies on any image.
        """
        placed = self._labels.in_pixels(grid)
        if not len(placed) and not (self.filled and self.coverage.lies):
            raise GridError("no polygon lies on it")
        return PolygonCodesOnGrid(self, placed, grid)

    def burn(self, placed: PolygonLabels, grid: Grid) -> NDArray[np.uint8]:
        """Codes (H, W) of polygons on a grid that both are in; IGNORE_INDEX where nobody knows."""
        if self._field is not None:
            return placed.burn_names(grid, self._codes, self._outside)
        return np.where(placed.burn(grid), np.uint8(0), np.uint8(self._outside))


class PolygonCodesOnGrid(LabelValues):
    def __init__(self, drawn: PolygonCodes, placed: PolygonLabels, grid: Grid) -> None:
        self._drawn, self._placed, self._pixels = drawn, placed, pixel_grid(grid)
        self.drawn = None if drawn.filled else drawn.labels

    def read_reasons(self, rect: Rect) -> tuple[NDArray[Any], Masks]:
        codes = self._drawn.burn(self._placed, self._pixels.crop(rect))
        return codes, {Reason.OUTSIDE_LABELS: codes == IGNORE_INDEX}


class ValueMapping:
    """Which class each value is of.

    Attributes:
        classes: by index.
        guessed: no table said what values mean: each stands for itself.
    """

    def __init__(self, classes: ClassMap, texts: dict[float, str], *, guessed: bool = False) -> None:
        self.classes, self.guessed = classes, guessed
        self._texts = texts
        self._by_text = {str(value): index for index, value in enumerate(classes.values)}
        self._by_text |= {name: index for index, name in enumerate(classes.names)}

    def text(self, value: float) -> str:
        """The value for a sentence: a number, or an entry of a column."""
        return self._texts.get(value, f"{value:g}" if value > COLOR else shown_value(value))

    def index(self, value: float) -> int | None:
        """The class index of a value, IGNORE_INDEX where it means unknown, None where it has no class."""
        if self._texts:
            text = self.text(value)
            return self._by_text.get(text, self._by_text.get(text.removesuffix(".0")))
        if value in self.classes.values:
            return self.classes.values.index(int(value))
        return IGNORE_INDEX if value in self.classes.ignore else None

    def indices(self, values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Class indices (h, w); IGNORE_INDEX where unknown, or of no class."""
        found = np.full(values.shape, IGNORE_INDEX, np.uint8)
        for value in np.unique(values[known]).tolist():
            index = self.index(value)
            if index is not None:
                found[known & (values == value)] = index
        return found


def _nowhere(grid: Grid) -> bool:
    return grid.crs is None and grid.transform.is_identity

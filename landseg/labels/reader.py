"""The truth on a prediction's grid: class indices out of label rasters or polygons, void where nobody knows."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import ClassError, GridError
from landseg.geo.grid import Grid, Rect
from landseg.labels.coverage import Coverage
from landseg.labels.left_out import Masks, Reason
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.labels.regrid import AlignedLabels
from landseg.text.amounts import shorten_list


class Truth(ABC):
    """Class indices under any rectangle of a grid, from several threads at once if need be.

    Attributes:
        name: of the file.
        note: how it was brought onto the grid, as a sentence.
        paths: of its files.
    """

    name: str
    note: str
    paths: tuple[str, ...]

    def read(self, rect: Rect) -> NDArray[np.uint8]:
        """Class indices (h, w); IGNORE_INDEX where the truth is not known."""
        return self.read_reasons(rect)[0]

    @abstractmethod
    def read_reasons(self, rect: Rect, core: Rect | None = None) -> tuple[NDArray[np.uint8], Masks]:
        """Return class indices (h, w) as `read` does, and where and why they are IGNORE_INDEX.

        Args:
            rect: of the grid's pixels.
            core: the part whose values without a class are counted, for rectangles that overlap; None: all of it.
        """

    def strange(self) -> str | None:
        """A sentence about values without a class among what was read; None where all had one."""
        return None

    def close(self) -> None:
        """Close every file."""
        return None


class ClassLabels(Truth):
    """A class raster as indices: values that the table ignores, and pixels without data, are IGNORE_INDEX.

    What is no data the raster says itself, by its nodata, mask or alpha.

    Values without a class are void while it is read, and counted; `strange` tells of them in one go, since one pass
    over the raster finds them all.
    """

    def __init__(self, labels: AlignedLabels, classes: ClassMap) -> None:
        self.name, self.note, self.paths = labels.source.name, labels.note, labels.source.paths
        self.labels, self.classes = labels, classes
        self.unknown: Counter[float] = Counter()
        self._lock = threading.Lock()

    def read_reasons(self, rect: Rect, core: Rect | None = None) -> tuple[NDArray[np.uint8], Masks]:
        values, valid, inside = self.labels.read_placed(rect)
        indices, strange = self.classes.to_indices_and_unmapped(values, valid)
        if strange and core is not None and core != rect:
            part = core.relative_to(rect).slices
            _, strange = self.classes.to_indices_and_unmapped(values[part], valid[part])
        if strange:
            with self._lock:
                self.unknown.update(strange)
        return indices, self._reasons(indices, valid, inside)

    def _reasons(
        self, indices: NDArray[np.uint8], valid: NDArray[np.bool_], inside: NDArray[np.bool_] | None
    ) -> Masks:
        masks: dict[Reason, NDArray[np.bool_]] = {}
        if inside is not None:
            masks[Reason.OUTSIDE_LABELS] = ~inside
        if not valid.all():
            masks[Reason.NO_DATA] = ~valid if inside is None else inside & ~valid
        if self.classes.ignore:
            masks[Reason.IGNORED] = valid & (indices == IGNORE_INDEX)
        return masks

    def strange(self) -> str | None:
        return f"{self.name} has {self.classes.unmapped_text(self.unknown)}" if self.unknown else None

    def close(self) -> None:
        self.labels.source.close()


class Polygons(Truth):
    """Polygons of a vector file, burnt where they cover a pixel's centre; outside is void, or one class.

    Args:
        path: of the vector file, or of one of its layers, ``FILE:LAYER``.
        field: the column with a class name, or a class value, for every polygon; None: all are of the only class
            beside the background.
        classes: by index.
        grid: of the prediction.
        background: the class of all that lies outside, by name; None: nobody knows.
        buffer_m: metres around lines and points that count as theirs; None: these are refused.

    Raises:
        VectorError: the file cannot be read, or has no such column.
        ClassError: entries of the column that are no class; each is listed with its number of polygons.
        GridError: no polygon touches the grid.
    """

    def __init__(
        self,
        path: Path,
        field: str | None,
        classes: ClassMap,
        grid: Grid,
        *,
        background: str | None = None,
        buffer_m: float | None = None,
    ) -> None:
        self.name, self.paths = path.name, (str(path),)
        polygons = PolygonLabels(path, field, buffer_m=buffer_m)
        self._pixels, self._placed = pixel_grid(grid), polygons.in_pixels(grid)
        if not len(self._placed):
            raise GridError(f"no polygon of {path} lies on the prediction; check that they belong together")
        if background is not None and background not in classes.names:
            raise ClassError(f"--background {background!r} is no class; use one of {', '.join(classes.names)}")
        self._values: dict[str, int] | None = None
        if field is not None:
            self._values = class_indices(polygons.counts(), classes, f"{path}, column {field!r}")
        else:
            self._inside = _only_class(path, classes, background)
        self._outside = IGNORE_INDEX if background is None else classes.names.index(background)
        outside = "nobody knows" if background is None else background
        coverage = Coverage(polygons, outside=background)
        coverage.add(path.name, grid)
        rule = f"{path.name}: a pixel has the class of the polygon that covers its centre; outside, {outside}"
        self.note = "; ".join((rule, *polygons.notes, *coverage.sentences(away=False)))

    def read_reasons(self, rect: Rect, core: Rect | None = None) -> tuple[NDArray[np.uint8], Masks]:
        if self._values is None:
            inside = self._placed.burn(self._pixels.crop(rect))
            indices = np.where(inside, np.uint8(self._inside), np.uint8(self._outside))
        else:
            indices = self._placed.burn_names(self._pixels.crop(rect), self._values, self._outside)
        outside = self._outside == IGNORE_INDEX
        return indices, {Reason.OUTSIDE_LABELS: indices == IGNORE_INDEX} if outside else {}


def _only_class(path: Path, classes: ClassMap, background: str | None) -> int:
    """Return the index of the one class beside the background.

    Raises:
        ClassError: there are several, which a column has to tell apart.
    """
    others = [index for index, name in enumerate(classes.names) if name != background]
    if background is None or len(others) != 1:
        raise ClassError(f"{path} is a vector file: say which column names the class, --class-field")
    return others[0]


def class_indices(counts: dict[str, int], classes: ClassMap, where: str) -> dict[str, int]:
    """Return the class index of each entry of a column: a class name, or a class value.

    Raises:
        ClassError: entries that are neither, each with its number of polygons.
    """
    by_text = {str(value): index for index, value in enumerate(classes.values)}
    by_text |= {name: index for index, name in enumerate(classes.names)}
    found = {text: by_text.get(text, by_text.get(text.removesuffix(".0"))) for text in counts}
    strange = [f"{text} ({counts[text]})" for text, index in found.items() if index is None]
    if strange:
        raise ClassError(
            f"{where}: polygons without a class: {shorten_list(strange)}; expected "
            f"{', '.join(classes.names)}, or their values"
        )
    return {text: index for text, index in found.items() if index is not None}

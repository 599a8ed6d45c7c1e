"""A class raster as shapes are made of it: strips of class values, with nodata for all that is not selected."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landseg.classes import MAX_CLASSES, MAX_VALUE, ClassMap, LandClass
from landseg.errors import BandError, ClassError, GridError
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, rows_within
from landseg.geo.rasters.address import File
from landseg.geo.rasters.bands import band_table
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.aoi import Aoi, read_aoi
from landseg.labels.id_rasters import refuse_ids
from landseg.labels.left_out import LeftOut, Reason
from landseg.labels.legend import declared_nodata, is_class_raster, own_legend, read_class_table, read_legend
from landseg.text.amounts import counted
from landseg.vector.class_selection import named_parts, parse_selection, unknown, values_of
from landseg.vector.codes import Codes, to_class_values

_CONFIDENCES = "confidences, bytes or numbers 0..1, as `landseg predict --confidence` writes them"
STRIP_PIXELS = 1 << 22  # read at a time

_log = logging.getLogger(__name__)


def strip_rects(rect: Rect) -> Iterator[Rect]:
    """Yield the rectangles of the strips of a rectangle, from the top down."""
    rows = rows_within(STRIP_PIXELS, rect.width)
    return cut(rect, rows if rows < 512 else rows // 512 * 512)  # whole rows of the file's blocks


class ClassRaster:
    """One band of class values, its legend, and the selected part of both.

    Attributes:
        file: the raster.
        whole: the grid of the raster.
        rect: the rectangle that `strips` cover: the bounds of the area of interest.
        grid: the grid of that rectangle.
        nodata: the value of pixels without a class in the strips.
        table: the class table; None where neither the caller nor the raster has one.
        left_out: numbers of pixels that become no shape, by reason; complete after `strips` were read to their end.

    Raises:
        LandsegError: the raster cannot be opened or is no class raster, or the area of interest holds no pixel of it.
    """

    def __init__(
        self,
        path: File,
        *,
        table: ClassMap | None = None,
        classes: File | Sequence[str | int] | None = None,
        aoi: str | None = None,
        neighbours: bool = False,
    ) -> None:
        """Open the raster.

        ``neighbours`` leaves all classes in the strips: filters of pixels and regions need to see the neighbours of
        selected classes.
        """
        self.file = RasterFile(path)
        try:
            refuse_ids(self.file)
            check_single_band(self.file, "a class raster with one")
            self.whole = self.file.info.grid
            self._band = band_table(self.file, [1])
            self.aoi: Aoi | None = None if aoi is None else read_aoi(aoi, self.whole)
            self.rect = self.whole.rect if self.aoi is None else self.aoi.rect
            self.grid: Grid = self.whole.crop(self.rect)
            self._strict = table is not None
            parts = parse_selection(classes)
            if isinstance(parts, Path):
                table, parts, self._strict = read_class_table(parts), None, True
            legend = table or own_legend(self.file)  # names alone do not tell which values are classes
            self.table, self._complete = legend or read_legend(self.file), legend is not None
            self._selection = None if parts is None else self._values(parts)
            self._nodata = declared_nodata(self.file, table)
            self._codes = Codes(self._nodata, self.table, None if neighbours else self._selection)
        except BaseException:
            self.file.close()
            raise
        self.nodata = self._codes.nodata
        self._seen = np.zeros(MAX_VALUE + 1, bool)
        self._is_selected = np.full(MAX_VALUE + 1, self._selection is None)
        self._is_selected[list(self._selection or ())] = True
        self._reasons = {Reason.NO_DATA: self._codes.empty, Reason.IGNORED: self._codes.ignored}
        self._reasons[Reason.UNWANTED] = ~(self._is_selected | self._codes.empty | self._codes.ignored)
        self.left_out = LeftOut()

    @property
    def classes(self) -> tuple[LandClass, ...]:
        """Return the classes of the shapes: the selected ones of the table, then other values that were found.

        A value without a name is named by its number; its colour is that of the raster's palette, or a default.
        """
        known = () if self.table is None else self.table.classes
        known = tuple(entry for entry in known if self._selection is None or entry.value in self._selection)
        have = {entry.value for entry in known}
        unmapped = [int(value) for value in np.flatnonzero(self._seen) if value not in have]
        colors = self.file.palette(1) or {}
        rows = [{"value": v, "name": str(v), "color": colors[v][:3] if v in colors else None} for v in unmapped]
        return known + (ClassMap.from_json(rows).classes if rows else ())

    def classes_of(self, names: str | Sequence[str | int] | None, option: str) -> tuple[LandClass, ...]:
        """Return the classes that an option lists by name or value.

        Raises:
            ClassError: the raster does not have a class, or --classes does not select it.
        """
        if names is None:
            return ()
        values = self._values(named_parts(names, option))
        absent = values - self._selection if self._selection is not None else frozenset()
        if absent:
            called = {} if self.table is None else dict(zip(self.table.values, self.table.names, strict=True))
            listed = ",".join(str(called.get(value, value)) for value in sorted(absent))
            raise ClassError(f"{option} {listed} is not among --classes: add it there")
        known = {entry.value: entry for entry in self.classes}
        return tuple(known.get(value, LandClass(value, str(value), (128, 128, 128))) for value in sorted(values))

    def _values(self, parts: list[str]) -> frozenset[int]:
        return values_of(parts, self.table, self.file.label, complete=self._complete)

    def report_absent(self) -> None:
        """Warn, after the strips were read, of values in --classes that neither the class table nor a pixel has.

        Raises:
            ClassError: there is such a value, and the raster has a class table and was read as a whole.
        """
        named = () if self.table is None else self.table.values
        absent = [v for v in sorted(self._selection or ()) if v not in named and not self._seen[v]]
        if absent and self.table is not None and self.aoi is None:
            raise unknown(str(absent[0]), self.table, self.file.label)
        if absent:
            listed = ", ".join(map(str, absent))
            _log.warning("%s has no pixels of %s, which --classes names", self.file.label, listed)

    def is_selected(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return (N,) True for class values that are selected."""
        return np.asarray(self._is_selected[values])

    def first_in_whole(self, first: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return positions (row * width + column) in the rectangle as positions in the whole raster."""
        row, column = np.divmod(first, self.rect.width)
        return (row + self.rect.top) * self.whole.width + column + self.rect.left

    def rects(self) -> Iterator[Rect]:
        """Yield the rectangles of the strips in the whole raster, from the top down."""
        return strip_rects(self.rect)

    def strips(self, done: Callable[[int], None] = lambda pixels: None) -> Iterator[NDArray[Any]]:
        """Yield class values (h, w) of one integer dtype from the top down; call ``done`` with the pixels of each.

        Raises:
            ClassError: the raster holds values that are no classes.
        """
        left_out = LeftOut()
        left_out.add(Reason.OUTSIDE_AOI, self.whole.rect.area - self.rect.area)
        for rect in self.rects():
            yield self._read(rect, left_out)
            done(rect.area)
        self.left_out = left_out

    def _read(self, rect: Rect, left_out: LeftOut) -> NDArray[Any]:
        info = self.file.info
        raw = self.file.read([1], rect, info.dtypes[0])[0]
        valid = self._valid(rect, raw)
        codes = raw if raw.dtype in (np.uint8, np.uint16) else to_class_values(raw, valid, self.file.label)
        values = self._codes.select(codes)
        inside = None if self.aoi is None else self.aoi.inside(rect)
        for part in (valid, inside):
            if part is not None and not part.all():
                values = np.where(part, values, values.dtype.type(self.nodata))
        self._note_values(values)
        self._count(codes, valid, inside, left_out)
        return values

    def _count(
        self,
        codes: NDArray[Any],
        valid: NDArray[np.bool_] | None,
        inside: NDArray[np.bool_] | None,
        left_out: LeftOut,
    ) -> None:
        """Count pixels that become no shape; ``valid`` and ``inside`` (h, w) are None where they are all True."""
        if inside is not None:
            left_out.add(Reason.OUTSIDE_AOI, int((~inside).sum()))
        if valid is not None:
            left_out.add(Reason.NO_DATA, int((~valid if inside is None else inside & ~valid).sum()))
        if not any(values.any() for values in self._reasons.values()):
            return
        counted = [part for part in (valid, inside) if part is not None and not part.all()]
        pixels = codes[np.logical_and.reduce(counted)] if counted else codes.ravel()
        seen = np.bincount(pixels, minlength=MAX_VALUE + 1)
        for reason, values in self._reasons.items():
            left_out.add(reason, int(seen[values].sum()))

    def _valid(self, rect: Rect, raw: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return where the raster has data (h, w); None where its nodata value alone decides that."""
        info = self.file.info
        nodata = info.nodata[0]
        if not self.file.validity.by_file and len(info.colorinterp) == 1:
            if nodata is None:
                return np.isfinite(raw) if raw.dtype.kind == "f" else None
            if raw.dtype in (np.uint8, np.uint16):
                return None
        return self.file.validity.mask(1, rect) & self._band.has_data(raw[None])

    def _note_values(self, values: NDArray[Any]) -> None:
        """Note the values that occur; raise ClassError if a class raster cannot have them."""
        here = np.zeros(MAX_VALUE + 3, bool)
        here[values.ravel()] = True  # -1 is the last
        if 0 <= self.nodata <= MAX_VALUE:
            here[self.nodata] = False
        new = here[: MAX_VALUE + 1] & self._is_selected & ~self._seen
        if not new.any():
            return
        self._seen |= new
        known = set(() if self.table is None else self.table.values)
        unmapped = [int(value) for value in np.flatnonzero(new) if value not in known]
        if self._strict and unmapped and self.table is not None:
            counts = {float(value): int((values == value).sum()) for value in unmapped[:9]}
            raise ClassError(f"{self.file.label}: {self.table.unmapped_text(counts, option=None)}")
        if int(self._seen.sum()) > MAX_CLASSES:
            raise ClassError(
                f"{self.file.label} holds more than {MAX_CLASSES} values: expected a class raster; classify it "
                "first, or select values (--classes 1,2,5)"
            )
        if unmapped and self.table is not None:
            shown = ", ".join(map(str, unmapped[:8])) + (" ..." if len(unmapped) > 8 else "")
            _log.warning(
                "%s: values without a class (%s) are called by their numbers; leave them out with --classes, or "
                "declare the one that is no data (gdal_edit.py -a_nodata)",
                self.file.label,
                shown,
            )

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_confidence(path: File, raster: ClassRaster) -> RasterFile:
    """Open a raster of confidences that lies on the grid of the class raster.

    Raises:
        LandsegError: the file cannot be opened, holds classes, has several bands, or has another grid.
    """
    file = RasterFile(path)
    try:
        check_single_band(file, "one, the confidence")
        if is_class_raster(file) or _same_file(file.path, raster.file.path):
            raise BandError(f"{file.label} holds classes: expected {_CONFIDENCES}")
        if not file.info.grid.same_as(raster.whole):
            raise GridError(
                f"{file.label} is {file.info.grid.describe()}: expected the grid of {raster.file.label}, "
                f"{raster.whole.describe()}; warp it there (gdalwarp)"
            )
    except BaseException:
        file.close()
        raise
    return file


def read_confidence(file: RasterFile, rect: Rect) -> NDArray[np.float32]:
    """Return confidences 0..1 (h, w) as float32, nan where there is none; bytes are steps of 1/255.

    Raises:
        BandError: a number is not between 0 and 1.
    """
    raw = file.read([1], rect, file.info.dtypes[0])[0]
    values: NDArray[np.float32] = raw.astype(np.float32) / (255 if raw.dtype == np.uint8 else 1)
    values[~file.validity.mask(1, rect)] = np.nan
    wrong = (values < 0) | (values > 1)
    if wrong.any():
        raise BandError(f"{file.label} holds {values[wrong][0]:g}: expected {_CONFIDENCES}")
    return values


def check_single_band(file: RasterFile, expected: str) -> None:
    """Raise BandError if a raster has several bands, an alpha band not counted; ``expected`` is for the sentence."""
    bands = [name for name in file.info.colorinterp if name != "alpha"]
    if len(bands) != 1:
        raise BandError(f"{file.label} has {counted(len(bands), 'band')}: expected {expected}")


def _same_file(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):  # an address, or a whole document
        return one == other

"""A class raster as it is turned into shapes: strips of whole numbers, what is not wanted set to nodata."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landseg.classes import MAX_CLASSES, MAX_VALUE, ClassMap, LandClass
from landseg.errors import BandError, ClassError, GridError
from landseg.geo.aoi import Aoi, read_aoi
from landseg.geo.grid import Grid, Rect
from landseg.geo.legend import read_class_table, read_legend
from landseg.geo.raster import RasterFile

STRIP_PIXELS = 1 << 22  # of the raster that are read at a time

_log = logging.getLogger(__name__)


class ClassRaster:
    """One band of class values, its legend, and the part of both that is wanted.

    Attributes:
        file: the raster.
        whole: its grid.
        rect: the rectangle that `strips` cover, which is that of the area of interest.
        grid: of that rectangle.
        nodata: what pixels without a class have in the strips.
        table: the class table; None where neither the raster nor anybody else has one.

    Raises:
        LandsegError: the raster cannot be opened or is no class raster, or nothing is left of it.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        table: ClassMap | None = None,
        classes: str | Sequence[str | int] | None = None,
        aoi: str | None = None,
        neighbours: bool = False,
    ) -> None:
        """``neighbours``: the strips hold unwanted classes too, for what looks at what is beside."""
        self.file = RasterFile(path)
        try:
            bands = [name for name in self.file.info.colorinterp if name != "alpha"]
            if len(bands) != 1:
                raise BandError(f"{self.file.label} has {len(bands)} bands: expected a class raster with one")
            self.whole = self.file.info.grid
            self.aoi: Aoi | None = None if aoi is None else read_aoi(aoi, self.whole)
            self.rect = self.whole.rect if self.aoi is None else self.aoi.rect
            self.grid: Grid = self.whole.crop(self.rect)
            self._strict = table is not None
            picked = _picked(classes)
            if isinstance(picked, Path):
                table, picked, self._strict = read_class_table(picked), None, True
            self.table = table or read_legend(self.file)
            self._wanted = None if picked is None else _values(picked, self.table, self.file.label)
            self._codes = _Codes(self.file.info.nodata[0], self.table, None if neighbours else self._wanted)
        except BaseException:
            self.file.close()
            raise
        self.nodata = self._codes.nodata
        self._seen = np.zeros(MAX_VALUE + 1, bool)

    @property
    def classes(self) -> tuple[LandClass, ...]:
        """The classes that shapes are of: those of the table that are wanted, then what else was found, by value.

        A value that has no name is called by its number, and has a colour of the raster's or one of ours.
        """
        known = () if self.table is None else self.table.classes
        known = tuple(entry for entry in known if self._wanted is None or entry.value in self._wanted)
        have = {entry.value for entry in known}
        strangers = [int(value) for value in np.flatnonzero(self._seen) if value not in have]
        colors = self.file.palette(1) or {}
        rows = [{"value": v, "name": str(v), "color": colors[v][:3] if v in colors else None} for v in strangers]
        return known + (ClassMap.from_json(rows).classes if rows else ())

    def chosen(self, names: str | Sequence[str | int] | None, option: str) -> tuple[LandClass, ...]:
        """The classes that an option names, by name or value.

        Raises:
            ClassError: one that there is not, or that is not wanted.
        """
        if names is None:
            return ()
        parts = names.split(",") if isinstance(names, str) else names
        values = _values([str(part).strip() for part in parts], self.table, self.file.label)
        unwanted = values - self._wanted if self._wanted is not None else frozenset()
        if unwanted:
            raise ClassError(f"{option} {','.join(map(str, sorted(unwanted)))} is not among --classes: add it there")
        known = {entry.value: entry for entry in self.classes}
        return tuple(known.get(value, LandClass(value, str(value), (128, 128, 128))) for value in sorted(values))

    def wants(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which class values (N,) are wanted."""
        return np.ones(len(values), bool) if self._wanted is None else np.isin(values, list(self._wanted))

    def first_in_whole(self, first: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions (row * width + column) in the rectangle as positions in the whole raster."""
        row, column = np.divmod(first, self.rect.width)
        return (row + self.rect.top) * self.whole.width + column + self.rect.left

    def rects(self) -> Iterator[Rect]:
        """The strips' rectangles in the whole raster, from the top down."""
        rows = max(1, STRIP_PIXELS // self.rect.width)
        rows = rows if rows < 512 else rows // 512 * 512  # whole rows of the file's blocks
        for top in range(self.rect.top, self.rect.bottom, rows):
            yield Rect(top, self.rect.left, min(rows, self.rect.bottom - top), self.rect.width)

    def strips(self, done: Callable[[int], None] = lambda pixels: None) -> Iterator[NDArray[Any]]:
        """Class values (h, w) from the top down, of one unsigned or signed dtype; ``done`` is told of pixels.

        Raises:
            ClassError: values that are no classes.
        """
        for rect in self.rects():
            yield self._read(rect)
            done(rect.area)

    def _read(self, rect: Rect) -> NDArray[Any]:
        info = self.file.info
        raw = self.file.read([1], rect, info.dtypes[0])[0]
        valid = self._valid(rect, raw)
        codes = raw if raw.dtype in (np.uint8, np.uint16) else _whole_numbers(raw, valid, self.file.label)
        values = self._codes.wanted(codes)
        inside = None if self.aoi is None else self.aoi.inside(rect)
        for part in (valid, inside):
            if part is not None and not part.all():
                values = np.where(part, values, values.dtype.type(self.nodata))
        self._look(values)
        return values

    def _valid(self, rect: Rect, raw: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Where the raster says that there is data; None where its nodata value says it all."""
        info = self.file.info
        nodata = info.nodata[0]
        if info.masked == "none" and len(info.colorinterp) == 1:
            if nodata is None:
                return np.isfinite(raw) if raw.dtype.kind == "f" else None
            if raw.dtype in (np.uint8, np.uint16):
                return None
        valid = self.file.read_mask(1, rect)
        return valid & np.isfinite(raw) if raw.dtype.kind == "f" else valid

    def _look(self, values: NDArray[Any]) -> None:
        """Notes which values occur, and refuses what a class raster does not have."""
        here = np.zeros(MAX_VALUE + 3, bool)
        here[values.ravel()] = True  # -1 is the last
        if 0 <= self.nodata <= MAX_VALUE:
            here[self.nodata] = False
        if self._wanted is not None:
            here &= np.isin(np.arange(len(here)), list(self._wanted))
        new = here[: MAX_VALUE + 1] & ~self._seen
        if not new.any():
            return
        self._seen |= new
        known = set(() if self.table is None else self.table.values)
        strangers = [int(value) for value in np.flatnonzero(new) if value not in known]
        if self._strict and strangers and self.table is not None:
            counts = {float(value): int((values == value).sum()) for value in strangers[:9]}
            raise ClassError(f"{self.file.label}: {self.table.strangers(counts)}")
        if int(self._seen.sum()) > MAX_CLASSES:
            raise ClassError(
                f"{self.file.label} holds more than {MAX_CLASSES} values: expected a class raster; classify it "
                "first, or name the values that are wanted (--classes 1,2,5)"
            )
        if strangers and self.table is not None:
            shown = ", ".join(map(str, strangers[:8])) + (" ..." if len(strangers) > 8 else "")
            _log.warning("%s: values without a class (%s) are called by their numbers", self.file.label, shown)

    def close(self) -> None:
        """Closes the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Codes:
    """Which raster values stay: a table of 65,536, and the value that stands for none."""

    def __init__(self, nodata: float | None, table: ClassMap | None, wanted: frozenset[int] | None) -> None:
        keep = np.ones(MAX_VALUE + 1, bool)
        if nodata is not None and 0 <= nodata <= MAX_VALUE and nodata == int(nodata):
            keep[int(nodata)] = False
        if table is not None:
            keep[[table.nodata, *(value for value in table.ignore if 0 <= value <= MAX_VALUE)]] = False
        if wanted is not None:
            keep &= np.isin(np.arange(MAX_VALUE + 1), list(wanted))
        dropped = np.flatnonzero(~keep[:256])
        dropped = dropped if dropped.size else np.flatnonzero(~keep)
        self.nodata = int(dropped[0]) if dropped.size else -1
        self._table = np.where(keep, np.arange(MAX_VALUE + 1), self.nodata)

    def wanted(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Values (h, w) with the unwanted ones set to nodata, in a dtype that holds both."""
        narrow = codes.dtype == np.uint8 and 0 <= self.nodata <= 255
        dtype = np.uint8 if narrow else np.int32 if self.nodata < 0 else np.uint16
        part = self._table[: 256 if codes.dtype == np.uint8 else None].astype(dtype)
        return np.asarray(part[codes])


def _whole_numbers(raw: NDArray[Any], valid: NDArray[np.bool_] | None, name: str) -> NDArray[np.uint16]:
    """Other dtypes as class values.

    Raises:
        ClassError: fractions, negative or larger numbers.
    """
    fits = (raw >= 0) & (raw <= MAX_VALUE)
    if raw.dtype.kind == "f":
        fits &= raw == np.rint(raw)
    wrong = ~fits if valid is None else valid & ~fits
    if wrong.any():
        found = raw[wrong][0].item()
        raise ClassError(
            f"{name} holds {found:g}: expected a class raster of whole numbers 0..{MAX_VALUE}; classify it first "
            "(landseg predict), or convert it"
        )
    return np.where(fits, raw, 0).astype(np.uint16)


def _picked(classes: str | Sequence[str | int] | None) -> list[str] | Path | None:
    """What --classes means: names and values, or a class table."""
    if classes is None:
        return None
    if isinstance(classes, (str, PathLike)):
        text = str(classes)
        if text.lower().endswith((".toml", ".json")):
            return Path(text)
        classes = text.split(",")
    return [str(part).strip() for part in classes]


def _values(picked: list[str], table: ClassMap | None, name: str) -> frozenset[int]:
    """The values of classes by name or number.

    Raises:
        ClassError: a class that the raster does not know.
    """
    by_name = {} if table is None else dict(zip(table.names, table.values, strict=True))
    found = set()
    for part in picked:
        value = by_name.get(part, int(part) if part.isdigit() else -1)
        if not 0 <= value <= MAX_VALUE or (table is not None and value in (table.nodata, *table.ignore)):
            near = difflib.get_close_matches(part, by_name, 1)
            known = ", ".join(f"{value} {text}" for text, value in by_name.items()) or "values such as 1,2,5"
            hint = f"did you mean {near[0]}?" if near else f"expected {known}"
            raise ClassError(f"{name} has no class {part!r}: {hint}")
        found.add(int(value))
    return frozenset(found)


def open_confidence(path: str | PathLike[str], raster: ClassRaster) -> RasterFile:
    """A raster of confidences that lies on the class raster's grid.

    Raises:
        LandsegError: it cannot be opened, has several bands or another grid.
    """
    file = RasterFile(path)
    try:
        bands = [name for name in file.info.colorinterp if name != "alpha"]
        if len(bands) != 1:
            raise BandError(f"{file.label} has {len(bands)} bands: expected one, the confidence")
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
    """Confidences 0..1 (h, w) as float32, nan where there are none; bytes are steps of 1/255.

    Raises:
        BandError: the numbers are no confidences.
    """
    raw = file.read([1], rect, file.info.dtypes[0])[0]
    values: NDArray[np.float32] = raw.astype(np.float32) / (255 if raw.dtype == np.uint8 else 1)
    values[~file.read_mask(1, rect)] = np.nan
    wrong = (values < 0) | (values > 1)
    if wrong.any():
        raise BandError(
            f"{file.label} holds {values[wrong][0]:g}: expected confidences, bytes or numbers 0..1, as "
            "`landseg predict --confidence` writes them"
        )
    return values

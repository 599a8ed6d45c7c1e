"""A raster of ids as polygons of objects are made of it: strips of codes, and the class of each object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE, ClassMap, LandClass
from landseg.errors import ClassError, GridError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.address import File
from landseg.geo.rasters.bands import band_table
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.aoi import Aoi, read_aoi
from landseg.labels.id_rasters import check_id_dtype, is_id_raster, to_ids
from landseg.labels.left_out import LeftOut, Reason
from landseg.labels.legend import is_class_raster, own_legend
from landseg.vector.classraster import ClassRaster, check_single_band, strip_rects
from landseg.vector.id_outlines import CLASS, EMPTY, NOTHING, OBJECT

_PAIRS = 1 << 20  # pairs of an object and a class that wait to be added up


class IdRaster:
    """One band of ids, and the classes of the objects.

    An object is of the class that most of its pixels have in a class raster. Without one, all are of the one class of
    things in the raster's own class table; if that has several, their classes are unknown.

    Attributes:
        file: the raster.
        whole: the grid of the raster.
        rect: the rectangle that `strips` cover: the bounds of the area of interest.
        grid: the grid of that rectangle.
        stuff: whether classes that are no things are in the strips too.
        left_out: numbers of pixels that become no polygon, by reason; complete after `strips` were read to their end.

    Raises:
        LandsegError: the raster cannot be opened or holds no ids, the class raster has another grid, or the area of
            interest holds no pixel.
    """

    def __init__(
        self, path: File, *, classes: ClassRaster | None = None, aoi: str | None = None, stuff: bool = False
    ) -> None:
        """Open the raster.

        ``classes`` is a class raster on the same grid, with the same area of interest. With ``stuff`` those of its
        classes that are no things are in the strips too.
        """
        self.file = RasterFile(path)
        try:
            _check_ids(self.file)
            self.whole = self.file.info.grid
            if classes is not None and not self.whole.same_as(classes.whole):
                raise GridError(
                    f"{classes.file.label} is {classes.whole.describe()}: expected the grid of {self.file.label}, "
                    f"{self.whole.describe()}; warp it there (gdalwarp)"
                )
            self.aoi: Aoi | None = None if aoi is None else read_aoi(aoi, self.whole)
        except BaseException:
            self.file.close()
            raise
        self.rect = self.whole.rect if self.aoi is None else self.aoi.rect
        self.grid: Grid = self.whole.crop(self.rect)
        self.left_out = LeftOut()
        self._band = band_table(self.file, [1])
        self._classes, self.stuff, self._votes = classes, stuff, _Votes()
        self._codes = _codes_of(classes) if classes is not None and stuff else np.zeros(0, np.int64)

    @property
    def classes(self) -> tuple[LandClass, ...]:
        """Return the classes that polygons may have; those of the class raster are complete after `strips`."""
        if self._classes is not None:
            return self._classes.classes
        return () if (one := self._only_class) is None else (one,)

    @property
    def has_classes(self) -> bool:
        """Return whether there is a class raster."""
        return self._classes is not None

    @property
    def table(self) -> ClassMap | None:
        """Return the class table of the class raster, or of the classes that all objects have; None without one."""
        if self._classes is not None:
            return self._classes.table
        return ClassMap(self.classes) if self.classes else None

    @property
    def _only_class(self) -> LandClass | None:
        """Return the class of all objects; None where they may differ in class, or where it is unknown."""
        if self._classes is not None and not self.stuff:  # any raster that users name
            return None
        table = own_legend(self.file) if self._classes is None else self._classes.table
        return table.classes[table.things[0]] if table is not None and len(table.things) == 1 else None

    def values_of(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the values of the classes of objects (N,), -1 where unknown, after `strips` were read."""
        if (one := self._only_class) is not None:
            return np.full(len(ids), one.value, np.int32)
        return self._votes.values_of(ids)

    def strips(self, done: Callable[[int], None] = lambda pixels: None) -> Iterator[NDArray[np.int64]]:
        """Yield codes (h, w) from the top down; call ``done`` with the pixels of each strip.

        Raises:
            ClassError: the raster holds numbers that are no ids, or the class raster numbers that are no classes.
        """
        left_out = LeftOut()
        left_out.add(Reason.OUTSIDE_AOI, self.whole.rect.area - self.rect.area)
        classes: Iterator[NDArray[Any]] = iter(()) if self._classes is None else self._classes.strips()
        for rect in strip_rects(self.rect):
            yield self._read(rect, next(classes, None), left_out)
            done(rect.area)
        self.left_out = left_out

    def _read(self, rect: Rect, values: NDArray[Any] | None, left_out: LeftOut) -> NDArray[np.int64]:
        """Return the codes (h, w) of a rectangle, where the class raster has ``values`` (h, w)."""
        raw = self.file.read([1], rect, self.file.info.dtypes[0])[0]
        valid = self.file.validity.mask(1, rect) & self._band.has_data(raw[None])
        if self.file.info.nodata[0] == 0:
            valid |= raw == 0
        inside = None if self.aoi is None else self.aoi.inside(rect)
        if inside is not None:
            left_out.add(Reason.OUTSIDE_AOI, int((~inside).sum()))
            valid &= inside
        ids = to_ids(raw, valid, self.file.label)
        if values is not None and self._classes is not None and self._only_class is None:
            self._votes.add(ids, values, self._classes.nodata)
        codes: NDArray[np.int64]
        if self.stuff and values is not None:
            codes = self._codes[values]
            valid = codes != EMPTY
        else:
            codes = np.where(valid, np.int64(NOTHING), np.int64(EMPTY))
        left_out.add(Reason.NO_DATA, int((~valid if inside is None else inside & ~valid).sum()))
        objects = ids > 0
        ids += OBJECT
        np.copyto(codes, ids, where=objects)
        return codes

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class _Votes:
    """The numbers of pixels that objects have of each class."""

    keys: list[NDArray[np.int64]] = field(default_factory=list)
    counts: list[NDArray[np.int64]] = field(default_factory=list)
    waiting: int = 0
    winners: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None

    def add(self, ids: NDArray[np.int64], values: NDArray[Any], nodata: int) -> None:
        """Count pixels by their ids (h, w), 0 for none, and their class values (h, w)."""
        keys = np.where((ids > 0) & (values != nodata), (ids << 16) + values, -1).ravel()
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.int64)
        lengths = np.diff(starts, append=len(keys))
        self.winners = None
        self._keep(keys[starts], lengths)
        if self.waiting > _PAIRS:
            self._add_up()

    def values_of(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the class value that most pixels of each object (N,) have, the least of equals; -1 for none."""
        if self.winners is None:
            self._add_up()
            keys, counts = self.keys[0], self.counts[0]
            order = np.lexsort((keys, -counts, keys >> 16))
            known, first = np.unique(keys[order] >> 16, return_index=True)
            self.winners = known, (keys[order][first] & MAX_VALUE).astype(np.int32)
        known, values = self.winners
        if not len(known):
            return np.full(len(ids), -1, np.int32)
        place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[place] == ids, values[place], np.int32(-1))

    def _keep(self, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        there = keys >= 0
        every, which = np.unique(keys[there], return_inverse=True)
        self.keys.append(every)
        self.counts.append(np.bincount(which, counts[there], minlength=len(every)).astype(np.int64))
        self.waiting += len(every)

    def _add_up(self) -> None:
        """Bring the counts of each pair together."""
        keys, counts = (np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (self.keys, self.counts))
        self.keys, self.counts, self.waiting = [], [], 0
        self._keep(keys, counts)
        self.waiting = 0


def _codes_of(source: ClassRaster) -> NDArray[np.int64]:
    """Return the code of a pixel without an object by its class value (65537,); the last is that of the value -1."""
    codes = np.arange(MAX_VALUE + 2, dtype=np.int64) + CLASS
    table = source.table
    codes[[table.values[index] for index in table.things] if table is not None else []] = NOTHING
    codes[[source.nodata, -1]] = EMPTY
    return codes


def _check_ids(file: RasterFile) -> None:
    """Raise BandError or ClassError if a raster does not hold ids of objects."""
    check_single_band(file, "a raster of ids with one")
    check_id_dtype(file.info.dtypes[0], file.label)
    if not is_id_raster(file) and is_class_raster(file):
        raise ClassError(
            f"{file.label} holds classes, not ids of objects: leave --ids out, or name the raster of ids"
        )

"""Validity: the pixels of a raster that hold data, by alpha bands, by masks, and by the members of a mosaic."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.dtypes import in_dtype_range

from landseg.errors import RasterError
from landseg.geo.extents import Extents, within
from landseg.geo.grid import Rect
from landseg.geo.rasters.failures import missing_member_text
from landseg.geo.rasters.gaps import Bools, Footprints, MemberFiles, Presence, presences
from landseg.geo.rasters.opacity import is_opacity
from landseg.geo.rasters.raster_info import RasterInfo
from landseg.geo.rasters.tile_index import read_index
from landseg.geo.rasters.vrt import virtual_at

_TILE_INDEX = "GTI"
MOSAICS = ("VRT", "STACIT", _TILE_INDEX)
"""GDAL's drivers whose rasters are made of members that they name."""

_log = logging.getLogger(__name__)


class PixelReader(Protocol):
    """Pixels of the 1-based bands of a raster, and GDAL's masks of them."""

    def read(self, bands: Sequence[int], rect: Rect, dtype: str) -> NDArray[Any]:
        """Return the pixels (C, h, w) under a rectangle."""

    def read_masks(self, bands: Sequence[int], rect: Rect, shape: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return the masks (C, h, w) under a rectangle, at ``shape`` if given."""


class MosaicMembers(NamedTuple):
    """The places of the members of a mosaic.

    Attributes:
        presence: of each band; None where there is no gap, or none that can be seen.
        gaps: whether a band may be empty between members, and has no nodata value to say where.
    """

    presence: tuple[Presence | None, ...]
    gaps: bool


class Validity:
    """The pixels of a raster that hold data, whatever their values.

    Args:
        info: the description of the raster.
        members: of a mosaic; None of other rasters.
        reader: of its pixels.

    Attributes:
        presence: of members of a mosaic in each band; None where there is no gap.
        gaps: whether it is a mosaic that may be empty between its members, and has no nodata value to say where.
    """

    def __init__(self, info: RasterInfo, members: MosaicMembers | None, reader: PixelReader) -> None:
        self._info, self._reader = info, reader
        self.presence, self.gaps = members or MosaicMembers((None,) * len(info.dtypes), False)

    @property
    def by_file(self) -> bool:
        """True if a mask, or a gap between members, may mark pixels without data."""
        return self._info.masked != "none" or self.gaps

    @property
    def alpha(self) -> tuple[int, ...]:
        """The 1-based bands that are called alpha, whatever they hold."""
        return tuple(number for number, color in enumerate(self._info.colorinterp, start=1) if color == "alpha")

    @cached_property
    def opacity(self) -> tuple[int, ...]:
        """The alpha bands that mark where there is data (`is_opacity`); a sample of their values is read."""
        shape, block = self._info.grid.shape, self._info.block

        def holds_opacity(number: int) -> bool:
            dtype = self._info.dtypes[number - 1]
            return is_opacity(lambda rect: self._reader.read([number], rect, dtype), shape, block)

        return tuple(number for number in self.alpha if holds_opacity(number))

    @property
    def misnamed_alpha(self) -> tuple[int, ...]:
        """The alpha bands that hold other numbers than opacity, such as near infrared under that name."""
        return tuple(number for number in self.alpha if number not in self.opacity)

    @property
    def masks_mislead(self) -> bool:
        """True if GDAL takes an alpha band for a mask although it is no opacity."""
        return self._info.alpha_masks and not self.opacity

    def mask(self, band: int, rect: Rect) -> Bools:
        """Return where GDAL's mask of a 1-based band is above 0 and a member of a mosaic lies: boolean (h, w).

        Raises:
            RasterError: any part of it cannot be read.
        """
        found = np.ones(rect.shape, np.bool_) if self.masks_mislead else self._reader.read_masks([band], rect)[0] > 0
        return found & self.covered([band], rect) if self.gaps else found

    def mask_of_all(self, bands: Sequence[int], rect: Rect) -> Bools:
        """Return where all of the 1-based bands hold data by the raster's own masks and members: boolean (h, w).

        Alpha bands count only as far as GDAL takes them for masks.

        Raises:
            RasterError: any part of it cannot be read.
        """
        masked = {"none": [], "dataset": list(bands[:1]), "band": sorted(set(bands))}[self._info.masked]
        found = np.ones(rect.shape, np.bool_)
        for band in masked:
            found &= self.mask(band, rect)
        return found & self.covered(bands, rect) if self.gaps else found

    def reduced(self, bands: Sequence[int], rect: Rect, shape: tuple[int, int]) -> Bools:
        """Return where the mask of any of the bands is above 0 and a member lies, by the nearest pixels: ``shape``.

        Raises:
            RasterError: any part of it cannot be read.
        """
        found = np.ones(shape, np.bool_)
        if not self.masks_mislead:
            found = np.any(self._reader.read_masks(bands, rect, shape) > 0, axis=0)
        return found & self.covered(bands, rect, shape) if self.gaps else found

    def covered(self, bands: Sequence[int], rect: Rect, shape: tuple[int, int] | None = None) -> Bools:
        """Return where members of a mosaic lie in all of the 1-based `bands`: boolean (h, w), of `shape` if given.

        Bands with a nodata value are left out: that value fills their gaps. Of several pixels the middle one counts.
        """
        height, width = shape or rect.shape
        rows = rect.top + ((np.arange(height) + 0.5) * rect.height / height).astype(np.int64)
        columns = rect.left + ((np.arange(width) + 0.5) * rect.width / width).astype(np.int64)
        found = np.ones((height, width), np.bool_)
        gappy = [self.presence[band - 1] for band in bands if _gap(self.presence[band - 1], self._info, band - 1)]
        for presence in dict.fromkeys(gappy):
            found &= presence.at(rows, columns) if presence is not None else True
        return found

    def extents(self, bands: Sequence[int]) -> Extents | None:
        """Return rectangles outside of which the 1-based `bands` have no member; None where that is unknown."""
        places = [None if one is None else one.extents() for one in {self.presence[band - 1] for band in bands}]
        clear = [place for place in places if place is not None]
        return within(np.concatenate(clear), self._info.grid.rect) if len(clear) == len(places) else None


def find_members(path: str, name: str, info: RasterInfo, written: str, files: MemberFiles) -> MosaicMembers:
    """Return the places of the members of a mosaic.

    Args:
        path: of the mosaic, as GDAL opens it.
        name: for sentences.
        info: the description of the mosaic.
        written: GDAL's own XML of it.
        files: opens members.

    Raises:
        RasterError: a tile index names a file that does not exist.
    """
    count = len(info.dtypes)
    presence: tuple[Presence | None, ...] = (None,) * count
    trusted = False
    if info.driver == _TILE_INDEX:
        index = read_index(path, info.grid)
        if index is not None and index.missing is not None:
            raise RasterError(missing_member_text(name, index.missing))
        presence = (None if index is None else Footprints(index.polygons),) * count
    elif (virtual := virtual_at(path, written)) is not None:
        presence = presences(virtual, count, files)
        silent = info.masked == "none" and "alpha" not in info.colorinterp and info.nodata[0] is None
        trusted = virtual.warp is not None and not silent  # a warp knows best where it put something
        if virtual.warp is not None and not virtual.warp.plain and silent:
            _log.warning(
                "%s is warped in a way that does not say where it has no data, and declares no nodata value: "
                "what lies outside its source counts as data; warp it again with -dstalpha or -dstnodata",
                name,
            )
    gaps = any(_gap(one, info, band) for band, one in enumerate(presence))
    return MosaicMembers(presence, gaps and not trusted)


def _gap(presence: Presence | None, info: RasterInfo, band: int) -> bool:
    """Return whether a band (from 0) may be empty somewhere, and has no nodata value that fills its gaps."""
    nodata = info.nodata[band]
    return presence is not None and (nodata is None or not in_dtype_range(nodata, info.dtypes[band]))

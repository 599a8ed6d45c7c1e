"""Gaps of mosaics: a virtual raster holds data where its members lie, whatever GDAL reads between them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from landseg.geo.extents import Extents, within
from landseg.geo.grid import Grid, Rect
from landseg.geo.positions import mover
from landseg.geo.rasters.address import is_remote
from landseg.geo.rasters.vrt import Box, Member, Virtual, Warp, is_virtual

Bools = NDArray[np.bool_]
Positions = NDArray[np.int64]

_MOST_CELLS = 1 << 22  # of the mesh in which rectangles are counted, to see whether they leave gaps
_STRIP = 1 << 22  # pixels that are read at a time to find those that are taken
_TOUCHED = 1e-3  # of a pixel that a member has to cover for GDAL to fill it
_FAR = 1 << 40  # pixels: farther away than any raster reaches
_PART = 64  # rows and columns of scattered positions that are looked up in another presence at a time
_PLAIN = (".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg", ".img", ".bil", ".bsq", ".asc", ".ecw", ".sid", ".webp")


class Presence(ABC):
    """The pixels of a band that are made of a member."""

    @abstractmethod
    def at(self, rows: Positions, columns: Positions) -> Bools:
        """Return (R, C), True where a member lies under the pixels of ``rows`` (R,) and ``columns`` (C,).

        Both ascend; they may leave out pixels.
        """

    def extents(self) -> Extents | None:
        """Return rectangles outside of which there is no member, without opening any; None where that is unknown."""
        return None


@dataclass(frozen=True)
class MemberFile:
    """The (width, height) of a member in its own pixels, and the presence of each of its bands, None without gaps."""

    size: tuple[int, int]
    bands: tuple[Presence | None, ...]


class MemberFiles(Protocol):
    """The files that a virtual raster is made of."""

    def open(self, name: str) -> MemberFile | None:
        """Return a member by name; None where it cannot be opened: reading from it raises the error."""

    def filled(self, document: str, rect: Rect) -> Bools:
        """Return where the one band of a raster that is named by its whole XML is above 0: boolean (h, w)."""


@dataclass(frozen=True)
class _MemberPlace:
    """The place of a member: rows and columns of the virtual raster, and the gaps of the member itself."""

    top: int
    left: int
    bottom: int
    right: int
    inner: Presence | None


class Members(Presence):
    """The pixels of members, in GDAL's rounding: a member has every pixel of which it covers a part.

    Args:
        size: (width, height) of the virtual raster.
        members: of one band.
        files: opens virtual members, and those whose XML gives no size, when they are needed.
    """

    def __init__(self, size: tuple[int, int], members: Sequence[Member], files: MemberFiles) -> None:
        self._size, self._members, self._files = size, members, files
        self._placed: dict[int, _MemberPlace | None] = {}
        boxes = [_pixels(one.target) if one.target else (0, 0, size[1], size[0]) for one in members]
        self._boxes = np.array(boxes, np.int64).reshape(-1, 4)  # top, left, bottom, right: at most

    def at(self, rows: Positions, columns: Positions) -> Bools:
        found = np.zeros((len(rows), len(columns)), np.bool_)
        if not found.size:
            return found
        top, left, bottom, right = self._boxes.T
        near = (top <= rows[-1]) & (bottom > rows[0]) & (left <= columns[-1]) & (right > columns[0])
        for number in np.flatnonzero(near).tolist():
            placed = self._place(number)
            if placed is None:
                continue
            ys = slice(*np.searchsorted(rows, (placed.top, placed.bottom)).tolist())
            xs = slice(*np.searchsorted(columns, (placed.left, placed.right)).tolist())
            if placed.inner is None or not found[ys, xs].size:
                found[ys, xs] = True
            elif not found[ys, xs].all():
                found[ys, xs] |= self._inner(number, placed.inner, rows[ys], columns[xs])
        return found

    def extents(self) -> Extents:
        return within(self._boxes, Rect(0, 0, self._size[1], self._size[0]))

    def full(self) -> bool:
        """Return whether the members certainly leave no gap, by the XML alone."""
        complete = [_is_complete(member) for member in self._members]
        if not all(complete):
            return False
        width, height = self._size
        placed = [one for number in range(len(complete)) if (one := self._place(number)) is not None]
        edges = np.array([(p.top, p.left, p.bottom, p.right) for p in placed], np.int64).reshape(-1, 4)
        edges = np.clip(edges, 0, (height, width, height, width))
        ys = np.unique(np.append(edges[:, (0, 2)], (0, height)))
        xs = np.unique(np.append(edges[:, (1, 3)], (0, width)))
        if len(ys) * len(xs) > _MOST_CELLS:
            return False
        mesh = np.zeros((len(ys), len(xs)), np.int64)
        top, left, bottom, right = (np.searchsorted(ys if n % 2 == 0 else xs, edges[:, n]) for n in range(4))
        for y, x, step in ((top, left, 1), (bottom, right, 1), (top, right, -1), (bottom, left, -1)):
            np.add.at(mesh, (y, x), step)
        return bool((mesh.cumsum(0).cumsum(1)[:-1, :-1] > 0).all())

    def _place(self, number: int) -> _MemberPlace | None:
        if number not in self._placed:
            self._placed[number] = self._found(self._members[number])
        return self._placed[number]

    def _found(self, member: Member) -> _MemberPlace | None:
        """Return the place of a member; None where no part of it is in the raster."""
        opened = None if _is_complete(member) else self._files.open(member.name)
        size = opened.size if opened is not None else member.size
        inner = opened.bands[member.band - 1] if opened is not None and member.band <= len(opened.bands) else None
        source, target = self._rectangles(member, size)
        if min(source.width, source.height, target.width, target.height) <= 0:
            return None
        width, height = size or (math.inf, math.inf)
        left, right = max(source.left, 0.0), min(source.left + source.width, width)
        top, bottom = max(source.top, 0.0), min(source.top + source.height, height)
        if left >= right or top >= bottom:
            return None
        across, down = target.width / source.width, target.height / source.height
        kept = Box(
            target.left + (left - source.left) * across,
            target.top + (top - source.top) * down,
            (right - left) * across,
            (bottom - top) * down,
        )
        return _MemberPlace(*_pixels(kept), inner)

    def _rectangles(self, member: Member, size: tuple[int, int] | None) -> tuple[Box, Box]:
        """Return the part of a member that is read and its place; without a target GDAL keeps the source's pixels."""
        everything = Box(0.0, 0.0, *(float(side) for side in (size or self._size)))
        source = member.source or everything
        return source, member.target or Box(0.0, 0.0, source.width, source.height)

    def _inner(self, number: int, inner: Presence, rows: Positions, columns: Positions) -> Bools:
        """Return a member's own presence under the pixels of ``rows`` (R,) and ``columns`` (C,): boolean (R, C)."""
        member = self._members[number]
        opened = self._files.open(member.name)
        assert opened is not None
        source, target = self._rectangles(member, opened.size)

        def there(pixels: Positions, first: float, length: float, start: float, size: float, most: int) -> Positions:
            places = (pixels + 0.5 - first) * (length / size) + start
            found: Positions = np.clip(np.floor(places).astype(np.int64), 0, most - 1)
            return found

        width, height = opened.size
        ys = there(rows, target.top, source.height, source.top, target.height, height)
        xs = there(columns, target.left, source.width, source.left, target.width, width)
        return inner.at(ys, xs)


class Warped(Presence):
    """The pixels of a warped raster under which its source lies, and is made of a member itself.

    Args:
        warp: the transform from its pixels to the source's.
        size: (width, height) of the source.
        inner: the presence of the source's band.
    """

    def __init__(self, warp: Warp, size: tuple[int, int], inner: Presence | None) -> None:
        self._size, self._inner = size, inner
        here, there = (None, None) if warp.crs is None else (CRS.from_wkt(wkt) for wkt in warp.crs)
        self._grid = Grid(here, Affine.from_gdal(*warp.out), 1, 1)
        self._base = Grid(there, ~Affine.from_gdal(*warp.into), *size)

    def at(self, rows: Positions, columns: Positions) -> Bools:
        width, height = self._size
        move = mover(self._grid, self._base)  # anew each time: transformers are not shared between threads
        found = np.zeros((len(rows), len(columns)), np.bool_)
        step = max(1, len(rows), len(columns)) if self._inner is None else _PART
        for top in range(0, len(rows), step):
            for left in range(0, len(columns), step):
                x, y = move(*np.meshgrid(columns[left : left + step] + 0.5, rows[top : top + step] + 0.5))
                part = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
                if self._inner is not None and part.any():
                    ys, row = np.unique(np.minimum(y[part], height - 1).astype(np.int64), return_inverse=True)
                    xs, col = np.unique(np.minimum(x[part], width - 1).astype(np.int64), return_inverse=True)
                    part[part] = self._inner.at(ys, xs)[row, col]
                found[top : top + step, left : left + step] = part
        return found


class Taken(Presence):
    """The pixels that a band takes from sources, as their values and masks decide, where the sources lie.

    Args:
        read: returns where under a rectangle the band takes a pixel of a source: boolean (h, w).
        places: of the sources; None: everywhere.
    """

    def __init__(self, read: Callable[[Rect], Bools], places: Presence | None) -> None:
        self._read, self._places = read, places

    def at(self, rows: Positions, columns: Positions) -> Bools:
        if not len(rows) or not len(columns):
            return np.zeros((len(rows), len(columns)), np.bool_)
        left, width = int(columns[0]), int(columns[-1] - columns[0]) + 1
        found = np.empty((len(rows), len(columns)), np.bool_)
        step = max(1, _STRIP // width)  # rows of the raster at a time
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff((rows - rows[0]) // step)) + 1):
            top, last = int(rows[part[0]]), int(rows[part[-1]])
            strip = self._read(Rect(top, left, last - top + 1, width))
            found[part] = strip[np.ix_(rows[part] - top, columns - left)]
        return found if self._places is None else found & self._places.at(rows, columns)

    def extents(self) -> Extents | None:
        return None if self._places is None else self._places.extents()


class Footprints(Presence):
    """The pixels under polygons: those whose centre is inside a polygon, or on its edge.

    Args:
        polygons: of shapely, in pixels: x is a column and y a row.
    """

    def __init__(self, polygons: NDArray[Any]) -> None:
        self._polygons = polygons
        self._bounds = shapely.bounds(polygons).reshape(-1, 4)
        self._boxes = shapely.equals(polygons, shapely.envelope(polygons))

    def extents(self) -> Extents:
        left, top, right, bottom = self._bounds.T
        edges = np.floor(top), np.floor(left), np.ceil(bottom), np.ceil(right)
        return np.stack(edges, axis=1).clip(-_FAR, _FAR).astype(np.int64)

    def at(self, rows: Positions, columns: Positions) -> Bools:
        found = np.zeros((len(rows), len(columns)), np.bool_)
        if not found.size:
            return found
        y, x = rows + 0.5, columns + 0.5
        left, top, right, bottom = self._bounds.T
        near = (top <= y[-1]) & (bottom >= y[0]) & (left <= x[-1]) & (right >= x[0])
        for number in np.flatnonzero(near).tolist():
            ys = slice(int(np.searchsorted(y, top[number])), int(np.searchsorted(y, bottom[number], "right")))
            xs = slice(int(np.searchsorted(x, left[number])), int(np.searchsorted(x, right[number], "right")))
            if self._boxes[number]:
                found[ys, xs] = True
            elif not found[ys, xs].all():
                found[ys, xs] |= shapely.intersects_xy(self._polygons[number], *np.meshgrid(x[xs], y[ys]))
        return found


def presences(virtual: Virtual, count: int, files: MemberFiles) -> tuple[Presence | None, ...]:
    """Return the presence of each of ``count`` bands; None where there are no gaps, or where gaps cannot be seen.

    Args:
        virtual: the members that the raster's XML names.
        count: of bands.
        files: opens members.
    """
    warp = virtual.warp
    if warp is not None:
        opened = files.open(warp.name) if warp.plain else None
        if opened is None:
            return (None,) * count
        sources = [warp.bands.get(band, band) - 1 for band in range(1, count + 1)]
        inner = [opened.bands[n] if n < len(opened.bands) else None for n in sources]
        made: dict[int, Presence | None] = {id(one): Warped(warp, opened.size, one) for one in inner}
        return tuple(made[id(one)] for one in inner)
    bands: list[Presence | None] = []
    shared: dict[tuple[object, ...], Presence | None] = {}  # bands of the same members, as they mostly are
    for number in range(1, count + 1):
        members = virtual.bands.get(number)
        if members is None:
            bands.append(None)
            continue
        key = tuple((m.size, m.source, m.target, *(() if _is_complete(m) else (m.name, m.band))) for m in members)
        if key not in shared:
            found = Members(virtual.size, members, files)
            shared[key] = None if found.full() else found
        if number in virtual.taken:
            bands.append(Taken(partial(files.filled, virtual.taken[number]), shared[key]))
        else:
            bands.append(shared[key])
    return tuple(bands)


def _is_complete(member: Member) -> bool:
    """Return whether the XML gives a member's place completely."""
    if not member.name.lower().split("?")[0].endswith(_PLAIN) or is_virtual(member.name):
        return False
    return member.size is not None or (member.source is not None and is_remote(member.name))


def _pixels(box: Box) -> tuple[int, int, int, int]:
    """Return the pixels (top, left, bottom, right) that GDAL fills for a rectangle with fractions of pixels."""
    top, left = math.floor(box.top + _TOUCHED), math.floor(box.left + _TOUCHED)
    bottom, right = math.ceil(box.top + box.height - _TOUCHED), math.ceil(box.left + box.width - _TOUCHED)
    return top, left, bottom, right

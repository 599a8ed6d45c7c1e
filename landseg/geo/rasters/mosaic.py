"""MosaicSource: several rasters on the grid of the first; others are warped as they are read."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landseg.errors import BandError, GridError
from landseg.geo.crs import as_pyproj, crs_text
from landseg.geo.extents import Extents, extents_of
from landseg.geo.globe import turns_of
from landseg.geo.grid import SAME_PIXEL, Grid, Rect
from landseg.geo.positions import turn_of, turned_near
from landseg.geo.rasters.rescaled import RescaledSource, with_tags
from landseg.geo.rasters.source import FileSource, Pixels, Source
from landseg.geo.rasters.stack import StackSource
from landseg.geo.rasters.value_tags import tags_text
from landseg.geo.rasters.warp import WarpedSource, extent_on
from landseg.text.amounts import counted, shorten_list

_TORN = 0.01  # of a mosaic wider than half the globe: with less in it, its members are neighbours on the ground
_MOST = (1 << 31) - 1  # rows or columns that a raster can have


@dataclass(frozen=True)
class _Member:
    """A source whose pixel (0, 0) is the mosaic's pixel (rect.top, rect.left)."""

    source: Source
    rect: Rect


class MosaicSource(Source):
    """Several rasters as one: the first one's pixels, extended to hold them all; the first valid pixel wins.

    Members that declare another scale and offset are brought over to the first one's, unless `stored_values`: the
    mosaic then holds floats.

    Raises:
        BandError: members with other bands, dtypes or colours than the first; only some of them declare a scale.
        GridError: a member that cannot be placed, because it or the first has no CRS.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        bands: Sequence[int] | None = None,
        *,
        stored_values: bool = False,
    ) -> None:
        opened: list[FileSource] = []
        try:
            for path in paths:
                opened.append(FileSource(path, bands))
                _check_bands(opened[0], opened[-1])
            alike = opened if stored_values else [_like_first(source, opened[0]) for source in opened]
            members = _short_way([_place(source, opened[0]) for source in alike], opened[0].grid)
            extent = _extent(members, opened[0])
        except BaseException:
            for source in opened:
                source.close()
            raise
        first = opened[0]
        self._members = [_Member(member.source, member.rect.relative_to(extent)) for member in members]
        name = shorten_list([source.name for source in opened], 1)
        paths_of = sum((s.paths for s in opened), ())
        dtype = np.result_type(*(source.dtype for source in alike)).name
        super().__init__(name, paths_of, first.grid.crop(extent), first.bands, dtype=dtype)
        self._indexed = next((source.name for source in opened if source.bands.indexed), None)
        self.remarks = tuple(dict.fromkeys(text for source in opened for text in source.remarks))
        self.notes = _notes([source for source in alike if isinstance(source, RescaledSource)], first)

    @property
    def indexed(self) -> str | None:
        return self._indexed

    def extents(self) -> Extents:
        """Return the extents of the members; of members that are mosaics themselves, those of their own members."""
        found = [extents_of([])]
        for member in self._members:
            own = member.source.extents()
            top, left = member.rect.top, member.rect.left
            found.append(extents_of([member.rect]) if own is None else own + np.array([top, left, top, left]))
        return np.concatenate(found)

    def close(self) -> None:
        for member in self._members:
            member.source.close()

    def _read(self, rect: Rect) -> Pixels:
        pixels = np.zeros((self.count, *rect.shape), dtype=self.dtype)
        valid = np.zeros(rect.shape, dtype=np.bool_)
        for member in self._members:
            shared = rect.intersection(member.rect)
            if shared is None:
                continue
            target = shared.relative_to(rect).slices
            if valid[target].all():
                continue
            found, found_valid = member.source.read(shared.relative_to(member.rect))
            new = found_valid & ~valid[target]
            pixels[(slice(None), *target)][:, new] = found[:, new]
            valid[target] |= new
        return pixels, valid

    def _files(self) -> list[dict[str, Any]]:
        return [file for member in self._members for file in member.source._files()]


def _like_first(source: FileSource, first: FileSource) -> Source:
    """Return a source with its stored numbers in the scale and offset of the first one."""
    return with_tags(source, first.bands.value_tags, like=first.name)


def _notes(moved: Sequence[RescaledSource], first: FileSource) -> tuple[str, ...]:
    """Return a sentence about the members that were brought over, by the tags that they declare."""
    kinds: dict[str, list[str]] = {}
    for source in moved:
        kinds.setdefault(tags_text(source.base.bands.value_tags), []).append(source.name)
    parts = [f"{text} ({shorten_list(names, 1)})" for text, names in kinds.items()]
    target = f"{tags_text(first.bands.value_tags)} ({first.name})"
    return (f"{'; '.join(parts)} brought over to {target}",) if parts else ()


def _check_bands(first: FileSource, other: FileSource) -> None:
    if first.count != other.count:
        has = f"{other.name} has {counted(other.count, 'band')}, but {first.name} has {first.count}"
        raise BandError(f"{has}: a mosaic needs as many in all; choose them with --bands, or do them apart")
    if first.dtype != other.dtype:
        has = f"{other.name} holds {other.dtype} pixels, but {first.name} {first.dtype}"
        raise BandError(f"{has}: a mosaic needs one dtype; convert one of the two, or do them apart{_apart(other)}")
    found = first.bands.contradiction(other.bands)
    if found is not None:
        own, others = (", ".join(name or "unnamed" for name in names) for names in found)
        has = f"{other.name} has the bands {others}, but {first.name} has {own}"
        way = f"{_reordering(first, other, *found)}do them apart{_apart(other)}"
        raise BandError(f"{has}: a mosaic needs one order in all; {way}")


def _apart(other: FileSource) -> str:
    """Return the advice for rasters of one band, which may be the bands of one raster; "" for others."""
    return ", or read them as the bands of one raster with --stack" if other.count == 1 else ""


def _reordering(first: FileSource, other: FileSource, own: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Return the advice to give `other` the order of `first`, if it holds the same bands and all were chosen."""
    total, numbers = len(other.file.info.dtypes), other.band_numbers
    place = dict(zip(others, numbers, strict=True))
    chosen = sorted({*numbers, *other.file.validity.alpha}) == list(range(1, total + 1))
    if not chosen or first.band_numbers != numbers or "" in own or sorted(place) != sorted(own):
        return ""
    holder = {number: place[name] for number, name in zip(numbers, own, strict=True)}
    order = " ".join(f"-b {holder.get(number, number)}" for number in range(1, total + 1))
    return f"reorder it (gdal_translate {order}), or "


def _place(source: Source, first: Source) -> _Member:
    """Return `source` in its place on the grid of `first`, warped where its pixels are not that grid's."""
    offset = first.grid.offset_of(turned_near(first.grid, source.grid))
    if offset is not None:
        return _Member(source, source.grid.rect.shifted(*offset))
    if (source.grid.crs is None) != (first.grid.crs is None):
        has = f"{source.name} has {crs_text(source.grid.crs)}, {first.name} has {crs_text(first.grid.crs)}"
        raise GridError(f"{has}: a mosaic needs one in all; assign it (gdal_edit -a_srs), or do them apart")
    rect = extent_on(first.grid, source.grid)
    if rect is None:
        crs = crs_text(first.grid.crs)
        raise GridError(f"{source.name} has no place in the {crs} of {first.name}: do them apart")
    return _Member(WarpedSource(source, first.grid.crop(rect)), rect)


def _short_way(members: list[_Member], grid: Grid) -> list[_Member]:
    """Return the members moved nearer to each other by whole turns of the globe, if the mosaic gets narrower."""
    turn = turn_of(grid)
    if turn is None or turn[1]:
        return members
    around = abs(turn[0])
    left = np.array([member.rect.left for member in members], np.float64)
    right = np.array([member.rect.right for member in members], np.float64)
    turns = turns_of(left, right, around)
    narrower = np.ptp([*(left + turns * around), *(right + turns * around)])
    if narrower >= np.ptp([*left, *right]) * (1 - 1e-9):
        return members
    return [_moved(member, count * around, grid) for member, count in zip(members, turns.tolist(), strict=True)]


def _moved(member: _Member, columns: float, grid: Grid) -> _Member:
    """Return a member moved to the right by a number of columns, which need not be whole."""
    whole = round(columns)
    if abs(columns - whole) <= SAME_PIXEL or not columns:
        rect = member.rect.shifted(0, whole)
        if not isinstance(member.source, WarpedSource):
            return _Member(member.source, rect)
    else:
        left, right = math.floor(member.rect.left + columns), math.ceil(member.rect.right + columns)
        rect = Rect(member.rect.top, left, member.rect.height, right - left)
    base = member.source.original if isinstance(member.source, WarpedSource) else member.source
    return _Member(WarpedSource(base, grid.crop(rect)), rect)


def _extent(members: Sequence[_Member], first: Source) -> Rect:
    """Return the rectangle of the first one's pixels that holds all members.

    Raises:
        GridError: it is larger than any raster can be, or goes around the globe between neighbours.
    """
    extent, held = members[0].rect, 0
    for member in members:
        extent, held = extent.union(member.rect), held + member.rect.area
    crs = None if first.grid.crs is None else as_pyproj(first.grid.crs)
    geod, edges = None if crs is None else crs.get_geod(), first.grid.pixel_size_m
    torn = False
    if turn_of(first.grid) is None and geod is not None and edges is not None and held < _TORN * extent.area:
        torn = max(extent.height * edges[0], extent.width * edges[1]) > math.pi * geod.a
    if torn or max(extent.shape) > _MOST:
        size = f"{extent.width:,} x {extent.height:,} pixels"
        raise GridError(
            f"{first.name} and the others would make a mosaic of {size} in its {crs_text(first.grid.crs)}, nearly "
            "all of it empty: bring them into a coordinate system in which they are neighbours (gdalwarp -t_srs), or "
            "do them apart"
        )
    return extent


def open_source(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    bands: Sequence[int] | None = None,
    resolution_factor: float = 1.0,
    stored_values: bool = False,
    stack: bool = False,
) -> Source:
    """Return the pixels of one raster, or of several as one mosaic on the first one's grid.

    With `stack`, several are one raster of all their bands instead. A path is anything GDAL opens: a file, a VRT,
    /vsizip/..., the address of a remote GeoTIFF. `bands` are 1-based, in the order of the result, and may repeat; by
    default every band but alpha. `resolution_factor` is that of `at_scale`. Members of a mosaic with another scale
    and offset are brought over to the first one's, or with `stored_values` taken as they are stored.

    Raises:
        RasterError: a raster cannot be opened.
        BandError: a band that does not exist, or mosaic members whose bands differ.
        GridError: mosaic members that cannot be placed on one grid, or a stack's that are not on one.
    """
    many = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not many:
        raise GridError("no raster given: name at least one")
    if stack:
        source: Source = StackSource(many, bands)
    elif len(many) == 1:
        source = FileSource(many[0], bands)
    else:
        source = MosaicSource(many, bands, stored_values=stored_values)
    return source.at_scale(resolution_factor)

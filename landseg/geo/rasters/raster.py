"""RasterFile: the one place where landseg opens rasters: a dataset a thread, failures as sentences."""

import logging
import os
import re
import stat
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.dtypes import in_dtype_range
from rasterio.enums import Resampling
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from landseg.errors import BandError, GridError, LandsegError, RasterError
from landseg.geo.extents import Extents, within
from landseg.geo.grid import ControlPoint, Grid, Rect
from landseg.geo.rasters.address import composed, gdal_path, is_remote, label, siblings
from landseg.geo.rasters.damage import no_damaged_jpeg, png_damage
from landseg.geo.rasters.failures import open_failure, read_failure, reason
from landseg.geo.rasters.gaps import Footprints, Opened, Presence, presences
from landseg.geo.rasters.opacity import is_opacity
from landseg.geo.rasters.tiff_nodata import integer_nodata
from landseg.geo.rasters.tile_index import read_index
from landseg.geo.rasters.value_tags import ValueTags
from landseg.geo.rasters.vrt import missing_member, virtual_at
from landseg.runtime.replacement import refuse_unfinished

CACHE_MIB = 256
"""GDAL's block cache for the whole process. Its own default, a twentieth of the machine, is more than a plan
of memory may leave out. The environment variable GDAL_CACHEMAX goes before it."""

_OPTIONS = {
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_MAX_RETRY": 4,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "VSI_CACHE": "TRUE",
}
_REMOTE_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}  # a folder listing is a request, or a hang
_TILE_INDEX = "GTI"
_MOSAICS = ("VRT", "STACIT", _TILE_INDEX)  # drivers that say of what members a raster is made
_AXES = ("x", "y", "lat", "lon", "latitude", "longitude", "time", "band", "crs", "spatial_ref")
_SIDECARS = (".aux.xml", ".ovr")  # written by viewers, without changing a pixel
_ERRORS = (RasterioError, CPLE_BaseError, OSError, ValueError)

Read = TypeVar("Read")
_log = logging.getLogger(__name__)
_opening = threading.Lock()  # warnings.catch_warnings changes the whole process

if "GDAL_CACHEMAX" not in os.environ:
    set_gdal_config("GDAL_CACHEMAX", CACHE_MIB << 20)


class _Dataset(Protocol):
    """What is used of rasterio's DatasetReader, which has no published types."""

    def read(self, indexes: Any, **options: Any) -> NDArray[Any]: ...
    def read_masks(self, indexes: Any, **options: Any) -> NDArray[np.uint8]: ...
    def colormap(self, band: int) -> dict[int, tuple[int, int, int, int]]: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class RasterInfo:
    """What a raster says about itself; tuples hold one entry a band.

    Attributes:
        masked: "none", "dataset" (one mask for all bands) or "band" (a mask for each).
        block: (height, width) of the blocks in which the first band is stored.
        overviews: the first band's, as factors of reduction.
        files: the file and everything that GDAL reads with it, such as a VRT's members.
        tags: the metadata of the whole raster.
        values: what stored numbers mean: the declared scale and offset of each band.
        alpha_masks: whether GDAL's mask of any band is an alpha band, whatever that holds.
        gaps: whether it is a mosaic that may be empty between its members, and has no nodata value to say where.
    """

    grid: Grid
    driver: str
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    colorinterp: tuple[str, ...]
    names: tuple[str | None, ...]
    masked: str
    block: tuple[int, int]
    overviews: tuple[int, ...]
    files: tuple[str, ...]
    tags: dict[str, str]
    values: tuple[ValueTags, ...]
    alpha_masks: bool = False
    gaps: bool = False


class _Handle:
    """One open dataset and the lock that keeps it from being closed while it is read."""

    def __init__(self, dataset: Any) -> None:
        self.dataset: _Dataset = dataset
        self.lock = threading.Lock()


class RasterFile:
    """A raster on disk or anywhere GDAL reads from, safe to read from several threads and processes at once.

    Every thread gets a dataset of its own, opened at its first read; a forked process opens anew.

    Args:
        path: anything that GDAL opens.
        members: look for gaps between the members of a mosaic.

    Raises:
        RasterError: the raster cannot be opened.
        BandError: it holds no bands, or complex numbers.
    """

    def __init__(self, path: str | os.PathLike[str], *, members: bool = True) -> None:
        self.path = gdal_path(path)
        self.label = label(path)
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._closed = False
        self._members = members
        self._opened: dict[str, Opened | None] = {}
        self._documents: dict[str, RasterFile] = {}
        self.presence: tuple[Presence | None, ...] = ()
        """Of each band, where members of a mosaic lie; None where there is no gap."""
        refuse_unfinished(self.path, RasterError)
        self.info = self._inspect()

    def __reduce__(self) -> tuple[type["RasterFile"], tuple[str]]:
        return RasterFile, (self.path,)

    @property
    def alpha(self) -> tuple[int, ...]:
        """The 1-based bands that are called alpha, whatever they hold."""
        return tuple(number for number, color in enumerate(self.info.colorinterp, start=1) if color == "alpha")

    @cached_property
    def opacity(self) -> tuple[int, ...]:
        """Those of the alpha bands that say where there is data (`is_opacity`); some of their values are read."""
        shape, block = self.info.grid.shape, self.info.block

        def holds_opacity(number: int) -> bool:
            dtype = self.info.dtypes[number - 1]
            return is_opacity(lambda rect: self.read([number], rect, dtype), shape, block)

        return tuple(number for number in self.alpha if holds_opacity(number))

    def read(self, bands: Sequence[int], rect: Rect, dtype: str) -> NDArray[Any]:
        """Pixels (C, h, w) of the 1-based `bands` under `rect`.

        Raises:
            RasterError: any part of them cannot be read.
        """
        return self._read(rect, lambda data, window: data.read(list(bands), window=window, out_dtype=dtype))

    def read_mask(self, band: int, rect: Rect) -> NDArray[np.bool_]:
        """Return where GDAL's mask of a 1-based band is above 0 and a member of a mosaic lies: boolean (h, w).

        Raises:
            RasterError: any part of it cannot be read.
        """
        if self._misnamed:
            mask = np.ones(rect.shape, np.bool_)
        else:
            mask = self._read(rect, lambda data, window: data.read_masks(band, window=window) > 0)
        return mask & self.read_covered([band], rect) if self.info.gaps else mask

    def read_covered(
        self, bands: Sequence[int], rect: Rect, shape: tuple[int, int] | None = None
    ) -> NDArray[np.bool_]:
        """Return where members of a mosaic lie in all of the 1-based `bands`: boolean (h, w), of `shape` if given.

        Bands with a nodata value are left out: that value fills their gaps. Of several pixels the middle one counts.
        """
        height, width = shape or rect.shape
        rows = rect.top + ((np.arange(height) + 0.5) * rect.height / height).astype(np.int64)
        columns = rect.left + ((np.arange(width) + 0.5) * rect.width / width).astype(np.int64)
        found = np.ones((height, width), np.bool_)
        gappy = [self.presence[band - 1] for band in bands if _gap(self.presence[band - 1], self.info, band - 1)]
        for presence in dict.fromkeys(gappy):
            found &= presence.at(rows, columns) if presence is not None else True
        return found

    def extents(self, bands: Sequence[int]) -> Extents | None:
        """Return rectangles outside of which no member of a mosaic lies in the 1-based `bands`; None: not known."""
        found = {self.presence[band - 1] if self.presence else None for band in bands}
        places = [None if presence is None else presence.extents() for presence in found]
        known = [place for place in places if place is not None]
        return within(np.concatenate(known), self.info.grid.rect) if len(known) == len(places) else None

    def read_reduced(
        self, bands: Sequence[int], rect: Rect, shape: tuple[int, int], *, resampling: str
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """What lies under `rect` at `shape` (h, w), from overviews where the file has them; and GDAL's mask.

        For pictures: (C, h, w) by "average", "mode" or "nearest", and boolean (h, w), True where any band's mask is
        above 0 at the nearest pixel, and a member of a mosaic lies. Averages leave out what GDAL takes for masked, so
        of a raster whose alpha band is no opacity the nearest pixels are taken.
        """
        numbers, how = list(bands), Resampling["nearest" if self._misnamed else resampling]

        size = (len(numbers), *shape)
        pixels = self._read(rect, lambda data, w: data.read(numbers, window=w, out_shape=size, resampling=how))
        if self._misnamed:
            valid = np.ones(shape, np.bool_)
        else:
            masks = self._read(rect, lambda data, w: data.read_masks(numbers, window=w, out_shape=size))
            valid = np.any(masks > 0, axis=0)
        return pixels, valid & self.read_covered(numbers, rect, shape) if self.info.gaps else valid

    @property
    def _misnamed(self) -> bool:
        """Whether GDAL takes for a mask what is none: an alpha band that is no opacity."""
        return self.info.alpha_masks and not self.opacity

    def palette(self, band: int) -> dict[int, tuple[int, int, int, int]] | None:
        """The colour table (red, green, blue, alpha) of a 1-based band; None without one."""
        handle = self._handle()
        with handle.lock, suppress(ValueError):  # rasterio's word for "no colour table"
            return dict(handle.dataset.colormap(band))
        return None

    def _read(self, rect: Rect, how: Callable[[_Dataset, Window], Read]) -> Read:
        window = Window(rect.left, rect.top, rect.width, rect.height)
        handle = self._handle()
        with handle.lock, self._environment():
            try:
                with no_damaged_jpeg():
                    return how(handle.dataset, window)
            except _ERRORS as error:
                raise RasterError(read_failure(self.path, self.label, rect, error)) from error

    def close(self) -> None:
        """Close every thread's dataset, waiting for reads that are under way."""
        self._closed = True
        for file in self._documents.values():
            file.close()
        for handle in list(self._handles):
            with handle.lock:
                handle.dataset.close()

    def fingerprint(self) -> list[dict[str, Any]]:
        """Name, size and time of change of every file behind the raster; only the name where it is remote."""
        files = [file for file in self.info.files or (self.path,) if not file.endswith(_SIDECARS)]
        return [_file_identity(file) for file in files]

    def _environment(self) -> Any:
        options = {**_OPTIONS, **(_REMOTE_OPTIONS if is_remote(self.path) else {})}
        return rasterio.Env(**{key: value for key, value in options.items() if key not in os.environ})

    def _handle(self) -> _Handle:
        if self._closed:
            raise RasterError(f"{self.label} is closed: open it again to read from it")
        kept: tuple[int, _Handle] | None = getattr(self._local, "kept", None)
        if kept is not None and kept[0] == os.getpid():
            return kept[1]
        handle = _Handle(self._open()[0])
        self._local.kept = (os.getpid(), handle)
        self._handles.add(handle)
        return handle

    def _open(self) -> tuple[Any, bool]:
        """A dataset of one's own, and whether it has any georeference."""
        with _opening, warnings.catch_warnings(record=True) as caught, self._environment():
            warnings.simplefilter("always")
            try:
                dataset = rasterio.open(self.path, sharing=False)
            except _ERRORS as error:
                self._refuse_missing_member()  # of which GDAL may say something else
                raise RasterError(open_failure(self.path, self.label, error)) from error
        return dataset, not any(issubclass(entry.category, NotGeoreferencedWarning) for entry in caught)

    def _inspect(self) -> RasterInfo:
        dataset, georeferenced = self._open()
        handle = _Handle(dataset)
        try:
            if dataset.driver == "VRT":
                self._refuse_missing_member()
            with self._environment():
                info = self._describe(dataset, georeferenced)
                if self._members and dataset.driver in _MOSAICS:
                    written = dataset.tags(ns="xml:VRT").get("xml:VRT", "")
                    info = self._look_for_gaps(dataset.driver, written, info)
        except _ERRORS as error:
            dataset.close()
            raise RasterError(f"{self.label}: its description cannot be read ({reason(error)})") from error
        except BaseException:
            dataset.close()
            raise
        self._local.kept = (os.getpid(), handle)
        self._handles.add(handle)
        return info

    def _refuse_missing_member(self) -> None:
        """Refuses a virtual raster that lacks a member, which GDAL does not always notice."""
        if (member := missing_member(Path(self.path))) is not None:
            wanted = composed(member.name).casefold()
            alike = [path.name for path in siblings(member) if composed(path.name).casefold() == wanted]
            found = f", or correct its name in the .vrt: there is {alike[0]}" if alike else ""
            raise self._lacks(member, found)

    def _lacks(self, member: Path, found: str = "") -> RasterError:
        return RasterError(
            f"{self.label}: cannot read its member {member}: expected a file; put it back there{found}"
        )

    def _describe(self, dataset: Any, georeferenced: bool) -> RasterInfo:
        if dataset.count == 0:
            parts = f": name a part, such as {_first_part(dataset.subdatasets)}" if dataset.subdatasets else ""
            raise BandError(f"{self.label} has no bands of its own{parts}")
        wrong = [dtype for dtype in dataset.dtypes if np.dtype(dtype).kind not in "uif"]
        if wrong:
            raise BandError(f"{self.label} holds {wrong[0]} pixels: expected real numbers; convert it first")
        for file in dataset.files:
            refuse_unfinished(file, RasterError)
            is_png = dataset.driver == "PNG" or file.lower().endswith(".png")
            if is_png and (damage := png_damage(file)):
                raise RasterError(f"{label(file)} is damaged ({damage}): copy or download it again")
        flags = [{flag.name for flag in band} for band in dataset.mask_flag_enums]
        own = [not band & {"all_valid", "alpha"} and band != {"nodata"} for band in flags]
        shared = [mine and "per_dataset" in band for mine, band in zip(own, flags, strict=True)]
        return RasterInfo(
            grid=_grid(dataset, georeferenced, self.label),
            driver=dataset.driver,
            dtypes=tuple(dataset.dtypes),
            nodata=_nodata(dataset, self.path),
            colorinterp=tuple(entry.name for entry in dataset.colorinterp),
            names=tuple(dataset.descriptions),
            masked="dataset" if all(shared) else "band" if any(own) else "none",
            block=tuple(dataset.block_shapes[0]),
            overviews=tuple(dataset.overviews(1)),
            files=tuple(dataset.files),
            tags=dict(dataset.tags()),
            alpha_masks=any("alpha" in band for band in flags),
            values=tuple(ValueTags.of(*pair) for pair in zip(dataset.scales, dataset.offsets, strict=True)),
        )

    def _look_for_gaps(self, driver: str, written: str, info: RasterInfo) -> RasterInfo:
        """Notes where the members of a mosaic lie, and in its description whether that matters.

        Args:
            driver: GDAL's.
            written: GDAL's own XML of it.
            info: its description.
        """
        count, trusted = len(info.dtypes), False
        if driver == _TILE_INDEX:
            index = read_index(self.path, info.grid)
            if index is not None and index.missing is not None:
                raise self._lacks(index.missing)
            self.presence = (None if index is None else Footprints(index.polygons),) * count
        elif (virtual := virtual_at(self.path, written)) is not None:
            self.presence = presences(virtual, count, self._member, self._read_document)
            silent = info.masked == "none" and "alpha" not in info.colorinterp and info.nodata[0] is None
            trusted = virtual.warp is not None and not silent  # a warp knows best where it put something
            if virtual.warp is not None and not virtual.warp.plain and silent:
                _log.warning(
                    "%s is warped in a way that does not say where it has no data, and declares no nodata value: "
                    "what lies outside its source counts as data; warp it again with -dstalpha or -dstnodata",
                    self.label,
                )
        gaps = any(_gap(presence, info, band) for band, presence in enumerate(self.presence))
        return replace(info, gaps=gaps and not trusted)

    def _member(self, name: str) -> Opened | None:
        """A member's size, and its own gaps; None where it cannot be opened: reading says why."""
        if name not in self._opened:
            try:
                file = RasterFile(name)
            except LandsegError:
                self._opened[name] = None
            else:
                file.close()
                size = file.info.grid.width, file.info.grid.height
                self._opened[name] = Opened(size, file.presence or (None,) * len(file.info.dtypes))
        return self._opened[name]

    def _read_document(self, text: str, rect: Rect) -> NDArray[np.bool_]:
        """Where the one band of a raster that is named by its whole XML is above 0."""
        if text not in self._documents:
            self._documents[text] = RasterFile(text, members=False)
        filled: NDArray[np.bool_] = self._documents[text].read([1], rect, "uint8")[0] > 0
        return filled


def opens(path: str | os.PathLike[str]) -> bool:
    """Return whether GDAL opens a file or folder as a raster, though perhaps not as one that landseg reads."""
    try:
        RasterFile(path, members=False).close()
    except RasterError:
        return False
    except LandsegError:
        pass
    return True


def _gap(presence: Presence | None, info: RasterInfo, band: int) -> bool:
    """Whether a band (from 0) may be empty somewhere, and has no nodata value that fills its gaps."""
    nodata = info.nodata[band]
    return presence is not None and (nodata is None or not in_dtype_range(nodata, info.dtypes[band]))


def _nodata(dataset: Any, path: str) -> tuple[float | None, ...]:
    wide = dataset.driver == "GTiff" and {"int64", "uint64"} & set(dataset.dtypes)
    if not wide or set(dataset.nodatavals) == {None}:
        return tuple(dataset.nodatavals)
    return tuple(integer_nodata(path, value) for value in dataset.nodatavals)


def _grid(dataset: Any, georeferenced: bool, name: str) -> Grid:
    points, points_crs = dataset.gcps
    try:
        if points and dataset.transform.is_identity:
            gcps = tuple(ControlPoint(p.row, p.col, p.x, p.y, p.z or 0.0) for p in points)
            return Grid.from_control_points(points_crs, gcps, width=dataset.width, height=dataset.height)
        # A CRS without a transform places nothing: keeping it would invent a pixel of one metre.
        crs = dataset.crs if georeferenced and dataset.crs else None
        return Grid(crs, dataset.transform, dataset.width, dataset.height)
    except GridError as error:
        raise GridError(f"{name}: {error}") from error


def _first_part(subdatasets: Sequence[str]) -> str:
    """The first part of a file of several that is no axis."""
    pixels = [name for name in subdatasets if re.split(r"[:/]", name.lower())[-1].strip('"') not in _AXES]
    return str((pixels or subdatasets)[0])


def _file_identity(file: str) -> dict[str, Any]:
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return {"path": label(file)}
    size, changed = status.st_size, status.st_mtime_ns
    if stat.S_ISDIR(status.st_mode):  # a raster in many files, of which GDAL names the folder alone
        inside = [os.stat(os.path.join(folder, name)) for folder, _, names in os.walk(file) for name in names]
        size, changed = sum(one.st_size for one in inside), max([changed, *(one.st_mtime_ns for one in inside)])
    return {"path": str(Path(file).resolve()), "size": size, "changed": changed}

"""RasterFile: the one place where landseg opens rasters: a dataset a thread, failures as sentences."""

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from landseg.errors import BandError, GridError, RasterError
from landseg.geo.address import gdal_path, is_remote, label, without_queries
from landseg.geo.grid import ControlPoint, Grid, Rect
from landseg.geo.jpeg import no_damaged_jpeg
from landseg.geo.png import png_damage
from landseg.geo.tiffnodata import integer_nodata
from landseg.geo.valuetags import ValueTags
from landseg.geo.vrt import missing_member

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
_SIDECARS = (".aux.xml", ".ovr")  # written by viewers, without changing a pixel
_ERRORS = (RasterioError, CPLE_BaseError, OSError, ValueError)

Read = TypeVar("Read")
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


class _Handle:
    """One open dataset and the lock that keeps it from being closed while it is read."""

    def __init__(self, dataset: Any) -> None:
        self.dataset: _Dataset = dataset
        self.lock = threading.Lock()


class RasterFile:
    """A raster on disk or anywhere GDAL reads from, safe to read from several threads and processes at once.

    Every thread gets a dataset of its own, opened at its first read; a forked process opens anew.

    Raises:
        RasterError: the raster cannot be opened.
        BandError: it holds no bands, or complex numbers.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = gdal_path(path)
        self.label = label(path)
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._closed = False
        self.info = self._inspect()

    def __reduce__(self) -> tuple[type["RasterFile"], tuple[str]]:
        return RasterFile, (self.path,)

    def read(self, bands: Sequence[int], rect: Rect, dtype: str) -> NDArray[Any]:
        """Pixels (C, h, w) of the 1-based `bands` under `rect`.

        Raises:
            RasterError: any part of them cannot be read.
        """
        return self._read(rect, lambda data, window: data.read(list(bands), window=window, out_dtype=dtype))

    def read_mask(self, band: int, rect: Rect) -> NDArray[np.bool_]:
        """Where GDAL's mask of a 1-based band is above 0: boolean (h, w).

        Raises:
            RasterError: any part of it cannot be read.
        """
        return self._read(rect, lambda data, window: data.read_masks(band, window=window) > 0)

    def read_reduced(
        self, bands: Sequence[int], rect: Rect, shape: tuple[int, int], *, resampling: str
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """What lies under `rect` at `shape` (h, w), from overviews where the file has them; and GDAL's mask.

        For pictures: (C, h, w) by "average", "mode" or "nearest", and boolean (h, w), True where any band's mask is
        above 0 at the nearest pixel.
        """
        numbers, how = list(bands), Resampling[resampling]

        size = (len(numbers), *shape)
        pixels = self._read(rect, lambda data, w: data.read(numbers, window=w, out_shape=size, resampling=how))
        masks = self._read(rect, lambda data, w: data.read_masks(numbers, window=w, out_shape=size))
        return pixels, np.any(masks > 0, axis=0)

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
                raise self._unreadable(rect, error) from error

    def close(self) -> None:
        """Close every thread's dataset, waiting for reads that are under way."""
        self._closed = True
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
                raise RasterError(_open_failure(self.path, self.label, error)) from error
        return dataset, not any(issubclass(entry.category, NotGeoreferencedWarning) for entry in caught)

    def _inspect(self) -> RasterInfo:
        dataset, georeferenced = self._open()
        handle = _Handle(dataset)
        try:
            if dataset.driver == "VRT" and (member := missing_member(Path(self.path))) is not None:
                raise RasterError(
                    f"{self.label}: cannot read its member {member}: expected a file; put it back there"
                )
            with self._environment():
                info = self._describe(dataset, georeferenced)
        except _ERRORS as error:
            dataset.close()
            raise RasterError(f"{self.label}: its description cannot be read ({_reason(error)})") from error
        except BaseException:
            dataset.close()
            raise
        self._local.kept = (os.getpid(), handle)
        self._handles.add(handle)
        return info

    def _describe(self, dataset: Any, georeferenced: bool) -> RasterInfo:
        if dataset.count == 0:
            parts = f": name a part, such as {dataset.subdatasets[0]}" if dataset.subdatasets else ""
            raise BandError(f"{self.label} has no bands of its own{parts}")
        wrong = [dtype for dtype in dataset.dtypes if np.dtype(dtype).kind not in "uif"]
        if wrong:
            raise BandError(f"{self.label} holds {wrong[0]} pixels: expected real numbers; convert it first")
        for file in dataset.files:
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
            values=tuple(ValueTags.of(*pair) for pair in zip(dataset.scales, dataset.offsets, strict=True)),
        )

    def _unreadable(self, rect: Rect, error: BaseException) -> RasterError:
        where = f"rows {rect.top} to {rect.bottom - 1}, columns {rect.left} to {rect.right - 1}"
        again = "check the connection and try again" if is_remote(self.path) else "copy or download it again"
        return RasterError(
            f"{self.label}: cannot read {where} ({_reason(error)}); it is damaged or incomplete: {again}"
        )


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


def _file_identity(file: str) -> dict[str, Any]:
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return {"path": label(file)}
    return {"path": str(Path(file).resolve()), "size": status.st_size, "changed": status.st_mtime_ns}


def _reason(error: BaseException) -> str:
    """What GDAL said first: rasterio chains the messages, and the innermost is the one that helps."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "errmsg", None) or str(error)
    return without_queries(str(text).strip().rstrip(".").replace("\n", " ")) or type(error).__name__


def _open_failure(path: str, name: str, error: BaseException) -> str:
    if not is_remote(path) and not path.startswith("/vsi") and "\0" not in path:
        file = Path(path)
        if file.is_dir():
            return f"{name} is a folder: expected a raster file; name the files in it"
        if file.is_file() and not os.access(file, os.R_OK):
            return f"{name}: no permission to read it; change its permissions"
        if file.is_file() and file.stat().st_size == 0:
            return f"{name} is empty (0 bytes): expected a raster; copy or download it again"
        if not file.exists() and ":" not in path:
            return f"{name}: no such file; check the path"
    return (
        f'{name}: expected a raster that GDAL can open, got "{_reason(error)}"; '
        "check that the name is right and the file complete"
    )

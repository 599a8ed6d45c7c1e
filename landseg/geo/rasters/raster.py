"""RasterFile: the one place where landseg opens rasters: a dataset for each thread, failures as sentences."""

from __future__ import annotations

import os
import stat
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
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

from landseg.errors import LandsegError, RasterError
from landseg.geo.grid import Rect
from landseg.geo.rasters.address import composed, gdal_path, is_remote, label, siblings
from landseg.geo.rasters.damage import no_damaged_jpeg
from landseg.geo.rasters.failures import missing_member_text, open_failure, read_failure, reason
from landseg.geo.rasters.gaps import MemberFile
from landseg.geo.rasters.raster_info import RasterInfo, describe
from landseg.geo.rasters.validity import MOSAICS, Validity, find_members
from landseg.geo.rasters.vrt import missing_member
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
_SIDECARS = (".aux.xml", ".ovr")  # written by viewers, without changing a pixel
_ERRORS = (RasterioError, CPLE_BaseError, OSError, ValueError)

Read = TypeVar("Read")
_opening = threading.Lock()  # warnings.catch_warnings changes the whole process

if "GDAL_CACHEMAX" not in os.environ:
    set_gdal_config("GDAL_CACHEMAX", CACHE_MIB << 20)


class _Dataset(Protocol):
    """The part of rasterio's DatasetReader that is used; it has no published types."""

    def read(self, indexes: Any, **options: Any) -> NDArray[Any]: ...
    def read_masks(self, indexes: Any, **options: Any) -> NDArray[np.uint8]: ...
    def colormap(self, band: int) -> dict[int, tuple[int, int, int, int]]: ...
    def close(self) -> None: ...


class _Handle:
    """One open dataset and the lock that keeps it from being closed while it is read."""

    def __init__(self, dataset: Any) -> None:
        self.dataset: _Dataset = dataset
        self.lock = threading.Lock()


class _Datasets:
    """The open datasets of one raster: one for each thread, opened at its first read; a forked process opens anew.

    Args:
        path: as GDAL opens it.
        name: for sentences.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._closed = False

    def describe(self) -> tuple[RasterInfo, str]:
        """Return the description of the raster, and GDAL's own XML of it where it is virtual; its dataset stays open.

        Raises:
            RasterError: it cannot be opened, or lacks a member.
        """
        dataset, georeferenced = self._open()
        try:
            if dataset.driver == "VRT":
                self._refuse_missing_member()
            with self.environment():
                info = describe(dataset, self._path, self._name, georeferenced=georeferenced)
                written = dataset.tags(ns="xml:VRT").get("xml:VRT", "") if dataset.driver in MOSAICS else ""
        except _ERRORS as error:
            dataset.close()
            raise RasterError(f"{self._name}: its description cannot be read ({reason(error)})") from error
        except BaseException:
            dataset.close()
            raise
        self._keep(_Handle(dataset))
        return info, written

    def read(self, bands: Sequence[int], rect: Rect, dtype: str) -> NDArray[Any]:
        """Return the pixels (C, h, w) of 1-based bands under a rectangle, in a dtype."""
        return self.apply(rect, lambda data, window: data.read(list(bands), window=window, out_dtype=dtype))

    def read_reduced(
        self, bands: Sequence[int], rect: Rect, shape: tuple[int, int], resampling: Resampling
    ) -> NDArray[Any]:
        """Return the pixels (C, h, w) under a rectangle at ``shape`` (h, w), from overviews where there are any."""
        numbers, size = list(bands), (len(bands), *shape)
        return self.apply(rect, lambda data, w: data.read(numbers, window=w, out_shape=size, resampling=resampling))

    def read_masks(self, bands: Sequence[int], rect: Rect, shape: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return GDAL's masks (C, h, w) of 1-based bands under a rectangle, at ``shape`` if given."""
        numbers, size = list(bands), (len(bands), *(shape or rect.shape))
        return self.apply(rect, lambda data, window: data.read_masks(numbers, window=window, out_shape=size))

    def apply(self, rect: Rect, read: Callable[[_Dataset, Window], Read]) -> Read:
        """Return the result of a read from this thread's dataset.

        Raises:
            RasterError: the raster is closed, or any part of the pixels cannot be read.
        """
        window = Window(rect.left, rect.top, rect.width, rect.height)
        handle = self.handle()
        with handle.lock, self.environment():
            try:
                with no_damaged_jpeg():
                    return read(handle.dataset, window)
            except _ERRORS as error:
                raise RasterError(read_failure(self._path, self._name, rect, error)) from error

    def handle(self) -> _Handle:
        """Return this thread's dataset, opened if it is not.

        Raises:
            RasterError: the raster is closed, or cannot be opened.
        """
        if self._closed:
            raise RasterError(f"{self._name} is closed: open it again to read from it")
        kept: tuple[int, _Handle] | None = getattr(self._local, "kept", None)
        if kept is not None and kept[0] == os.getpid():
            return kept[1]
        return self._keep(_Handle(self._open()[0]))

    def close(self) -> None:
        """Close every thread's dataset, after reads that are under way."""
        self._closed = True
        for handle in list(self._handles):
            with handle.lock:
                handle.dataset.close()

    def environment(self) -> Any:
        """Return GDAL's options for this raster, as a context; the user's environment goes before them."""
        options = {**_OPTIONS, **(_REMOTE_OPTIONS if is_remote(self._path) else {})}
        return rasterio.Env(**{key: value for key, value in options.items() if key not in os.environ})

    def _keep(self, handle: _Handle) -> _Handle:
        self._local.kept = (os.getpid(), handle)
        self._handles.add(handle)
        return handle

    def _open(self) -> tuple[Any, bool]:
        """Return a new dataset, and whether it has any georeference."""
        with _opening, warnings.catch_warnings(record=True) as caught, self.environment():
            warnings.simplefilter("always")
            try:
                dataset = rasterio.open(self._path, sharing=False)
            except _ERRORS as error:
                self._refuse_missing_member()  # for which GDAL may give another reason
                raise RasterError(open_failure(self._path, self._name, error)) from error
        return dataset, not any(issubclass(entry.category, NotGeoreferencedWarning) for entry in caught)

    def _refuse_missing_member(self) -> None:
        """Raise RasterError if a virtual raster lacks a member, which GDAL does not always notice."""
        if (member := missing_member(Path(self._path))) is not None:
            name = composed(member.name).casefold()
            alike = [path.name for path in siblings(member) if composed(path.name).casefold() == name]
            raise RasterError(missing_member_text(self._name, member, alike[0] if alike else None))


class _MemberFiles:
    """The files that a virtual raster is made of, each opened once (`MemberFiles`)."""

    def __init__(self) -> None:
        self._opened: dict[str, MemberFile | None] = {}
        self._documents: dict[str, RasterFile] = {}

    def open(self, name: str) -> MemberFile | None:
        """Return the size of a member and its own gaps; None where it cannot be opened: reading raises the error."""
        if name not in self._opened:
            try:
                file = RasterFile(name)
            except LandsegError:
                self._opened[name] = None
            else:
                file.close()
                size = file.info.grid.width, file.info.grid.height
                self._opened[name] = MemberFile(size, file.validity.presence)
        return self._opened[name]

    def filled(self, document: str, rect: Rect) -> NDArray[np.bool_]:
        """Return where the one band of a raster that is named by its whole XML is above 0: boolean (h, w)."""
        if document not in self._documents:
            self._documents[document] = RasterFile(document, members=False)
        filled: NDArray[np.bool_] = self._documents[document].read([1], rect, "uint8")[0] > 0
        return filled

    def close(self) -> None:
        """Close every document."""
        for file in self._documents.values():
            file.close()


class RasterFile:
    """A raster on disk or anywhere GDAL reads from, safe to read from several threads and processes at once.

    Args:
        path: anything that GDAL opens.
        members: look for gaps between the members of a mosaic.

    Attributes:
        path: as GDAL opens it.
        label: the path for people.
        info: the description of the raster.
        validity: the pixels that hold data, whatever their values.

    Raises:
        RasterError: the raster cannot be opened.
        BandError: it holds no bands, or complex numbers.
    """

    def __init__(self, path: str | os.PathLike[str], *, members: bool = True) -> None:
        self.path = gdal_path(path)
        self.label = label(path)
        refuse_unfinished(self.path, RasterError)
        self._datasets, self._members = _Datasets(self.path, self.label), _MemberFiles()
        self.info, written = self._datasets.describe()
        found = None
        try:
            if members and self.info.driver in MOSAICS:
                with self._datasets.environment():
                    found = find_members(self.path, self.label, self.info, written, self._members)
        except BaseException as error:
            self._datasets.close()
            if isinstance(error, _ERRORS):
                raise RasterError(f"{self.label}: its description cannot be read ({reason(error)})") from error
            raise
        self.validity = Validity(self.info, found, self._datasets)

    def __reduce__(self) -> tuple[type[RasterFile], tuple[str]]:
        return RasterFile, (self.path,)

    def read(self, bands: Sequence[int], rect: Rect, dtype: str) -> NDArray[Any]:
        """Return the pixels (C, h, w) of the 1-based `bands` under `rect`, in a dtype.

        Raises:
            RasterError: any part of them cannot be read.
        """
        return self._datasets.read(bands, rect, dtype)

    def read_reduced(
        self, bands: Sequence[int], rect: Rect, shape: tuple[int, int], *, resampling: str
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return pixels (C, h, w) and validity (h, w) under `rect` at a `shape` (h, w), by overviews if it has any.

        For pictures: the pixels by "average", "mode" or "nearest"; valid is where any band's mask is above 0 at the
        nearest pixel, and a member of a mosaic lies. Averages leave out pixels that GDAL masks, so
        of a raster whose alpha band is no opacity the nearest pixels are taken.
        """
        how = Resampling["nearest" if self.validity.masks_mislead else resampling]
        return self._datasets.read_reduced(bands, rect, shape, how), self.validity.reduced(bands, rect, shape)

    def palette(self, band: int) -> dict[int, tuple[int, int, int, int]] | None:
        """Return the colour table (red, green, blue, alpha) of a 1-based band; None without one."""
        handle = self._datasets.handle()
        with handle.lock, suppress(ValueError):  # ValueError is rasterio's answer for "no colour table"
            return dict(handle.dataset.colormap(band))
        return None

    def close(self) -> None:
        """Close every thread's dataset, after reads that are under way."""
        self._members.close()
        self._datasets.close()

    def fingerprint(self) -> list[dict[str, Any]]:
        """Return name, size and time of change of every file behind the raster; only the name where it is remote."""
        files = [file for file in self.info.files or (self.path,) if not file.endswith(_SIDECARS)]
        return [_file_identity(file) for file in files]


def opens(path: str | os.PathLike[str]) -> bool:
    """Return whether GDAL opens a file or folder as a raster, though perhaps not as one that landseg reads."""
    try:
        RasterFile(path, members=False).close()
    except RasterError:
        return False
    except LandsegError:
        pass
    return True


def _file_identity(file: str) -> dict[str, Any]:
    """Return name, size and time of change of a file or folder as JSON values."""
    try:
        status = os.stat(file)
    except (OSError, ValueError):
        return {"path": label(file)}
    size, changed = status.st_size, status.st_mtime_ns
    if stat.S_ISDIR(status.st_mode):  # a raster in many files, of which GDAL names the folder alone
        inside = [os.stat(os.path.join(folder, name)) for folder, _, names in os.walk(file) for name in names]
        size, changed = sum(one.st_size for one in inside), max([changed, *(one.st_mtime_ns for one in inside)])
    return {"path": str(Path(file).resolve()), "size": size, "changed": changed}

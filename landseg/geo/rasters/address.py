"""Addresses of rasters: in GDAL's form, in a form for people, and whether they are remote."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from landseg.errors import RasterError

File = str | os.PathLike[str]
"""The path of a file, or an address that GDAL reads; rasters also as datasets that rasterio has open for reading."""
Files = File | Sequence[File]
"""One file, or several."""
_BUCKETS = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}  # rasterio would need cloud libraries


def file_name(source: Any) -> str:
    """Return the name of a raster or vector file as text: of a path, or of a dataset that rasterio has open.

    >>> file_name(Path("maps/town.tif")), file_name("s3://bucket/scene.tif")
    ('maps/town.tif', 's3://bucket/scene.tif')

    Raises:
        RasterError: anything else, such as an array, which has no place; a dataset that is open for writing, or
            that is a view of another.
    """
    if isinstance(source, (str, os.PathLike)) and source != "":
        return str(os.fspath(source))
    if _is_dataset(source):
        if source.mode != "r":
            raise RasterError(f"{source.name} is open for writing: close it, and give its path")
        if source.options:  # the file that is opened again by its name would have other pixels
            options = ", ".join(source.options)
            raise RasterError(f"{source.name} is open with options ({options}): give a file that needs none")
        return str(source.name)
    raise RasterError(f"expected the path of a file, got {_described(source)}")


def file_names(sources: Any) -> list[str]:
    """Return the names of one file or of several, each as `file_name` does.

    >>> file_names("a.tif"), file_names([Path("a.tif"), "b.tif"])
    (['a.tif'], ['a.tif', 'b.tif'])

    Raises:
        RasterError: as `file_name`.
    """
    several = isinstance(sources, Iterable) and not isinstance(sources, (str, bytes, os.PathLike))
    if not several or hasattr(sources, "shape") or hasattr(sources, "read"):  # arrays, tables and files are iterable
        return [file_name(sources)]
    return [file_name(source) for source in sources]


def _is_dataset(source: Any) -> bool:
    """Return whether a source is a dataset of rasterio's, without importing it; a WarpedVRT has no file."""
    kinds = [kind.__name__ for kind in type(source).__mro__ if kind.__module__.startswith("rasterio.")]
    return "DatasetBase" in kinds and "WarpedVRT" not in kinds


def _described(source: Any) -> str:
    """Return words for a source that has no file name, and the advice what to do with it."""
    if source is None:
        return "None: give text or a pathlib.Path"
    if isinstance(source, str):
        return "an empty text: give the path"
    kind, module = type(source).__name__, type(source).__module__
    article = "an" if kind[:1].lower() in "aeiou" else "a"
    if hasattr(source, "to_file"):
        return f"{article} {kind}: write it to a file (to_file) and give its path"
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        shape = "x".join(map(str, source.shape))
        return (
            f"an array of {shape} ({module.partition('.')[0]}), which does not say where it lies: write it to a "
            "GeoTIFF with its CRS and transform (rasterio.open(PATH, 'w', ...)) and give its path"
        )
    if module.startswith("rasterio."):
        return f"{article} {kind}, which is no file: write it to one and give its path"
    return f"{article} {kind}: give text or a pathlib.Path"


def gdal_path(path: str | os.PathLike[str]) -> str:
    """Return a path as GDAL takes it: bucket addresses become /vsi paths, everything else stays as it is.

    >>> gdal_path("s3://bucket/scene.tif"), gdal_path("scene.vrt")
    ('/vsis3/bucket/scene.tif', 'scene.vrt')
    """
    text = os.fspath(path)
    scheme, separator, rest = text.partition("://")
    return _BUCKETS[scheme] + rest if separator and scheme in _BUCKETS else text


def label(path: str | os.PathLike[str]) -> str:
    """Return a path for people: an address loses its query, which may hold a password.

    >>> label("https://example.org/scene.tif?token=secret")
    'https://example.org/scene.tif'
    """
    text = os.fspath(path)
    if not is_remote(text):
        return text
    try:
        user = urlsplit(text.removeprefix("/vsicurl/")).username
    except ValueError:
        user = None
    text = text.split("?", 1)[0]
    return text.replace(text[text.find("://") + 3 : text.find("@") + 1], "", 1) if user else text


def without_queries(text: str) -> str:
    """Return a message in which every address has lost its query.

    >>> without_queries("CURL error on https://example.org/a.tif?sig=secret: 403")
    'CURL error on https://example.org/a.tif 403'
    """
    return re.sub(r"(://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)


def is_remote(path: str) -> bool:
    """Return whether reading from a path goes over the network."""
    cloud = ("/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "/vsiadls", "/vsioss", "/vsiswift", "/vsiwebhdfs")
    return "://" in path or path.startswith(cloud)


def composed(name: str) -> str:
    """Return a name with its accents in Unicode's composed form: the same name may be written in two.

    >>> composed("Zu\u0308rich") == "Z\u00fcrich"
    True
    """
    return unicodedata.normalize("NFC", name)


def as_on_disk(path: Path) -> Path:
    """Return the path of an existing file or folder whose name may be written in Unicode's other form.

    Lists are written on one machine and read on another, whose file system or copying tool composed the accents, or
    took them apart. A path that exists stays as it is, and so does a path that exists in neither form.
    """
    if os.path.lexists(path) or composed(str(path)).isascii():
        return path
    found = Path(path.anchor)
    for part in path.parts[1 if path.anchor else 0 :]:
        there = found / part
        if not os.path.lexists(there):
            there = next((one for one in siblings(there) if composed(one.name) == composed(part)), there)
        found = there
    return found if os.path.lexists(found) else path


def siblings(path: Path) -> list[Path]:
    """Return the paths in the folder of a path, sorted; an empty list where there is no such folder."""
    try:
        return sorted(path.parent.iterdir())
    except (OSError, ValueError):
        return []

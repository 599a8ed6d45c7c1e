"""Addresses of rasters: what GDAL takes, what people may see of them, whether they lie elsewhere."""

import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import urlsplit

_BUCKETS = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}  # rasterio would want cloud libraries


def gdal_path(path: str | os.PathLike[str]) -> str:
    """The path as GDAL takes it: bucket addresses become /vsi paths, everything else stays as it is.

    >>> gdal_path("s3://bucket/scene.tif"), gdal_path("scene.vrt")
    ('/vsis3/bucket/scene.tif', 'scene.vrt')
    """
    text = os.fspath(path)
    scheme, separator, rest = text.partition("://")
    return _BUCKETS[scheme] + rest if separator and scheme in _BUCKETS else text


def label(path: str | os.PathLike[str]) -> str:
    """The path for people: an address loses its query, which may hold a password.

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
    """A message in which every address has lost its query.

    >>> without_queries("CURL error on https://example.org/a.tif?sig=secret: 403")
    'CURL error on https://example.org/a.tif 403'
    """
    return re.sub(r"(://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)


def is_remote(path: str) -> bool:
    """Whether reading goes over the network."""
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
    took them apart. A path that exists stays as it is, and so does one of which there is nothing in either form.
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
    """Return what lies in the folder of a path, sorted; nothing where there is no such folder."""
    try:
        return sorted(path.parent.iterdir())
    except (OSError, ValueError):
        return []

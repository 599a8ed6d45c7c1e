"""Names of vector files and of layers in them: ``fields.gpkg`` or ``fields.gpkg:roofs``."""

from __future__ import annotations

import os
import re
from os import PathLike, fspath
from pathlib import Path

from landseg.errors import VectorError

PARQUET = (".parquet", ".geoparquet")
_VECTORS = (".shp", ".zip", ".gpkg", ".geojson", ".json", ".fgb", *PARQUET, ".gml", ".kml", ".kmz", ".gdb")
_DRIVER = re.compile(r"[A-Za-z]\w+:")  # GPKG:map.gpkg:tiles is a raster; one letter is a drive
_ARCHIVE = re.compile(r"(/vsi(?:zip|tar|gzip|7z|rar)/)([^/{].*)")
Name = str | PathLike[str]


def split_layer(name: Name) -> tuple[str, str | None]:
    """Return the file of a name, and the layer that follows it after a colon; None where no layer is named.

    Existing files decide: ``a:b.gpkg`` is a file where there is one of that name. In a name that does not exist, or
    that lies in an archive, the file is the part with the suffix of a vector file.

    >>> split_layer("fields.gpkg:roofs"), split_layer("fields.gpkg"), split_layer("C:/x.gpkg:roofs")
    (('fields.gpkg', 'roofs'), ('fields.gpkg', None), ('C:/x.gpkg', 'roofs'))
    """
    text = _rooted(fspath(name))
    if ":" not in text or os.path.exists(text):
        return text, None
    cuts = [(text[: at.start()], text[at.end() :]) for at in re.finditer(":", text)][::-1]
    for file, layer in cuts:
        if layer and file and os.path.exists(file):
            return file, layer
    if not _ends_as_vector(text):
        for file, layer in cuts:
            if layer and _ends_as_vector(file) and not _DRIVER.match(file):
                return file, layer
    return text, None


def is_vector(name: Name) -> bool:
    """Return whether a name is that of a vector file, by its suffix, or of one file of a folder of shapefiles."""
    file, layer = split_layer(name)
    return _ends_as_vector(file) or (layer is not None and os.path.exists(os.path.join(file, f"{layer}.shp")))


def file_of(name: Name) -> Path:
    """Return the file of a name, without the layer."""
    return Path(split_layer(name)[0])


def is_there(name: Name) -> bool:
    """Return whether the file of a name exists; files in archives and on servers count as existing until read."""
    file = split_layer(name)[0]
    return file.startswith("/vsi") or os.path.exists(file)


def stem_of(name: Name) -> str:
    """Return the name for the polygons of a file: that of the layer where one is named, else that of the file.

    >>> stem_of("a/fields.gpkg"), stem_of("a/fields.gpkg:roofs")
    ('fields', 'roofs')
    """
    file, layer = split_layer(name)
    return layer or Path(file).stem


def with_layer(name: str, layer: str | None) -> str:
    """Return the name of a layer of a vector file; the file's name unchanged where ``layer`` is None.

    Raises:
        VectorError: the name is not that of a vector file, or names another layer itself.
    """
    if layer is None:
        return name
    file, own = split_layer(name)
    if own not in (None, layer):
        raise VectorError(f"{name} names the layer {own!r} itself: leave out --layer {layer}")
    named = f"{file}:{layer}"
    if not is_vector(named) and not os.path.isdir(file):
        raise VectorError(f"--layer {layer} goes with a vector file, and {name} is none: leave it out")
    return named


def _rooted(text: str) -> str:
    """Return a file in an archive with the second slash that a Path takes from ``/vsizip//data/fields.zip``."""
    if (archive := _ARCHIVE.match(text)) is None:
        return text
    parts = archive[2].split("/")
    heads = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    if any(map(os.path.isfile, heads)) or not any(os.path.isfile(f"/{head}") for head in heads):
        return text
    return f"{archive[1]}/{archive[2]}"


def _ends_as_vector(text: str) -> bool:
    return os.path.splitext(text)[1].lower() in _VECTORS

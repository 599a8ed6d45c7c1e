"""Layers of vector files: the layer that a name means, as a table with geometries."""

from __future__ import annotations

import logging
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from landseg.errors import VectorError
from landseg.geo.vectors.names import PARQUET, Name, is_vector, split_layer
from landseg.runtime.replacement import refuse_unfinished, refuse_unfinished_in
from landseg.text.amounts import counted, shorten_list

_STYLES = "layer_styles"  # where QGIS and landseg keep the colours of a GeoPackage's other layers
_SINGLE = (".shp", ".geojson", ".fgb")  # formats of one layer, whose layers need not be listed
_IDLE = re.compile("Specify layer|is not consistent with type")  # harmless warnings, or about a choice made here
_MOST = 12  # names of layers in one sentence
_ARC, _DEGREES = "OGR_ARC_STEPSIZE", "0.5"

_log = logging.getLogger(__name__)


def read_layer(name: Name) -> Any:
    """Return the layer of a vector file as a GeoDataFrame: the one that is named, or the only one with geometry.

    Args:
        name: a file, a folder of shapefiles or an archive, or one of their layers, ``FILE:LAYER``.

    Raises:
        VectorError: it cannot be read, there is no such layer, or there are several and none is named.
    """
    file, layer = split_layer(name)
    if os.path.isdir(file):
        refuse_unfinished_in(Path(file), VectorError)
    refuse_unfinished(file, VectorError)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with _fine_arcs():
                frame = _read(file, layer)
    except VectorError:
        raise
    except ImportError as error:
        raise VectorError(f"{file}: GeoParquet is read by pyarrow; install it (pip install pyarrow)") from error
    except Exception as error:  # pyogrio, pyarrow and the file system each have errors of their own
        raise VectorError(f"{file} cannot be read as a vector file: {error}") from error
    for text in dict.fromkeys(str(one.message) for one in caught if issubclass(one.category, RuntimeWarning)):
        if not _IDLE.search(text):
            _log.warning("%s: %s", name, text)
    if not hasattr(frame, "geometry"):
        raise VectorError(f"{name} holds no geometry: expected polygons")
    return frame


def geometry_types(name: Name) -> set[str]:
    """Return the types of the geometries of a layer, such as "Point"; empty where it has none, or cannot be read.

    A layer that declares a single type is not read.
    """
    import pyogrio

    file, layer = split_layer(name)
    try:
        if os.path.splitext(file)[1].lower() not in PARQUET:
            path, chosen = _locate(file, layer)
            told = str(pyogrio.read_info(path, layer=chosen)["geometry_type"]).removeprefix("2.5D ").split(" ")[0]
            if told not in ("Unknown", "GeometryCollection", "None"):
                return {told}
        shapes = read_layer(name).geometry
    except Exception:  # whoever reads the file says what is wrong with it
        return set()
    return set(shapes[~(shapes.isna() | shapes.is_empty)].geom_type)


@contextmanager
def _fine_arcs() -> Iterator[None]:
    """Read curves inside the block as chords that stray by 0.00001 of the radius, not by GDAL's default of 0.0006."""
    import pyogrio

    before = pyogrio.get_gdal_config_option(_ARC)
    pyogrio.set_gdal_config_options({_ARC: _DEGREES if before is None else before})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({_ARC: before})


def layers_of(file: str) -> dict[str, str]:
    """Return the layers of a file that have geometry: the path that GDAL opens to read each, by its name.

    In an archive with folders or with several files, the layers of every vector file count.

    Raises:
        Exception: pyogrio's, for a file that is no vector file.
    """
    import pyogrio

    try:
        names = pyogrio.list_layers(file).tolist()
    except Exception:
        inside = _inside(file)
        if not inside:
            raise
        return {layer: member for member in inside for layer in layers_of(member)}
    return {str(layer): file for layer, kind in names if kind is not None and layer != _STYLES}


def _read(file: str, layer: str | None) -> Any:
    """Return a layer as a GeoDataFrame; see `read_layer`."""
    import geopandas

    ending = os.path.splitext(file)[1].lower()
    if ending in PARQUET:
        if layer is not None:
            raise VectorError(f"{file} is one table and has no layers: leave out :{layer}")
        return geopandas.read_parquet(file)
    path, chosen = _locate(file, layer)
    return geopandas.read_file(path) if chosen is None else geopandas.read_file(path, layer=chosen)


def _locate(file: str, layer: str | None) -> tuple[str, str | None]:
    """Return the path that GDAL opens to read a layer, and its name; None where the file has one.

    Raises:
        VectorError: there is no such layer, or there are several and none is named.
    """
    if layer is None and os.path.splitext(file)[1].lower() in _SINGLE:
        return file, None
    found = layers_of(file)
    names = shorten_list(list(found), _MOST)
    if layer is None and len(found) > 1:
        first = next(iter(found))
        raise VectorError(
            f"{file} has {counted(len(found), 'layer')} ({names}): name the one that is meant, {file}:{first}"
        )
    if layer is not None and layer not in found:
        raise VectorError(f"{file} has no layer {layer!r} with geometry; it has {names or 'none'}")
    if not found:
        raise VectorError(f"{file} holds no layer with geometry: expected polygons")
    chosen = next(iter(found)) if layer is None else layer
    return found[chosen], chosen


def _inside(file: str) -> list[str]:
    """Return the vector files of an archive that GDAL does not open as a whole, as GDAL's paths."""
    if not zipfile.is_zipfile(file):
        return []
    with zipfile.ZipFile(file) as archive:
        members = sorted(archive.namelist())
    at = os.path.abspath(file)
    hidden = ("__MACOSX/", "._")
    return [
        f"/vsizip/{at}/{one}"
        for one in members
        if is_vector(one) and not one.startswith(hidden) and not os.path.basename(one).startswith(hidden)
    ]

"""Tile indexes: vector files whose polygons are the footprints of rasters, which GDAL opens as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Grid

_PREFIX = "GTI:"


def footprints(path: str, grid: Grid) -> NDArray[Any] | None:
    """Return the polygons of the tile index at ``path``, in pixels of ``grid`` (x is a column and y a row).

    None where the index cannot be read.
    """
    import pyogrio
    import pyproj

    file, layer, where = _index(path)
    try:
        frame = pyogrio.read_dataframe(file, layer=layer, columns=[], where=where)
    except Exception:  # pyogrio's own errors, and GDAL's; whoever reads pixels says what is wrong
        return None
    if frame.crs is not None and grid.crs is not None:
        frame = frame.to_crs(pyproj.CRS.from_user_input(grid.crs))
    polygons = frame.geometry.array[frame.geometry.notna() & ~frame.geometry.is_empty]
    a, b, c, d, e, f = tuple(~grid.transform)[:6]
    moved: NDArray[Any] = shapely.transform(
        np.asarray(polygons), lambda points: points @ np.array([[a, d], [b, e]]) + np.array([c, f])
    )
    return moved


def _index(path: str) -> tuple[str, str | None, str | None]:
    """The vector file behind a name, its layer, and which of its rows count."""
    name = path.removeprefix(_PREFIX)
    root = None
    try:
        root = Xml.fromstring(name) if name.lstrip().startswith("<") else None
        if root is None and name.lower().endswith(".gti"):
            root = Xml.parse(name).getroot()
    except (OSError, ValueError, Xml.ParseError):
        return name, None, None
    if root is None:
        return name, None, None
    file = (root.findtext("IndexDataset") or "").strip()
    entry = root.find("IndexDataset")
    if entry is not None and entry.get("relativeToVRT", "0") == "1":
        file = str(Path(name).resolve().parent / file)
    return file, root.findtext("IndexLayer"), root.findtext("Filter")

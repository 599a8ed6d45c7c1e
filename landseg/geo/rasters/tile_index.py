"""Tile indexes: vector files whose polygons are the footprints of rasters, which GDAL opens as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as Xml

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.crs import transformer
from landseg.geo.grid import Grid
from landseg.geo.rasters.vrt import lies_elsewhere

_PREFIX = "GTI:"


class TileIndex(NamedTuple):
    """The rows of a tile index that its name selects.

    Attributes:
        polygons: of shapely, in pixels of a grid: x is a column and y a row.
        missing: the first file of it that does not exist, which GDAL would fill with zeros; None: all exist.
    """

    polygons: NDArray[Any]
    missing: Path | None


def read_index(path: str, grid: Grid) -> TileIndex | None:
    """Return the tile index at ``path``, in pixels of ``grid``; None where it cannot be read."""
    import pyogrio

    index = _IndexName.of(path)
    try:
        fields = list(pyogrio.read_info(index.file, layer=index.layer)["fields"])
        column = next((name for name in fields if name.lower() == index.column), None)
        columns = [] if column is None else [column]
        frame = pyogrio.read_dataframe(index.file, layer=index.layer, columns=columns, where=index.where)
    except Exception:  # pyogrio's own errors, and GDAL's; reading pixels raises the error
        return None
    polygons = np.asarray(frame.geometry.array[frame.geometry.notna() & ~frame.geometry.is_empty])
    if frame.crs is not None and grid.crs is not None:
        move = transformer(frame.crs, grid.crs)
        polygons = shapely.transform(polygons, lambda points: np.stack(move.transform(*points.T), axis=1))
    a, b, c, d, e, f = tuple(~grid.transform)[:6]
    moved: NDArray[Any] = shapely.transform(
        polygons, lambda points: points @ np.array([[a, d], [b, e]]) + np.array([c, f])
    )
    names = [] if column is None else [str(name) for name in frame[column].dropna()]
    return TileIndex(moved, _first_missing(names, Path(index.file).parent))


def _first_missing(names: Sequence[str], folder: Path) -> Path | None:
    """Return the first file that exists neither by its path nor below a folder; remote files count as existing."""
    local = [Path(name) for name in dict.fromkeys(names) if name and not lies_elsewhere(name)]
    return next((file for file in local if not file.exists() and not (folder / file).exists()), None)


class _IndexName(NamedTuple):
    """The meaning of a tile index's name: a vector file, its layer, a filter of rows, the column of file names."""

    file: str
    layer: str | None = None
    where: str | None = None
    column: str = "location"

    @classmethod
    def of(cls, path: str) -> _IndexName:
        """Return the parts of a name: a vector file's, a .gti file's, or a whole document."""
        name = path.removeprefix(_PREFIX)
        try:
            root = Xml.fromstring(name) if name.lstrip().startswith("<") else None
            if root is None and name.lower().endswith(".gti"):
                root = Xml.parse(name).getroot()
        except (OSError, ValueError, Xml.ParseError):
            return cls(name)
        entry = None if root is None else root.find("IndexDataset")
        if root is None or entry is None:
            return cls(name)
        file = (entry.text or "").strip()
        if entry.get("relativeToVRT", "0") == "1":
            file = str(Path(name).resolve().parent / file)
        column = (root.findtext("LocationField") or "location").strip().lower()
        return cls(file, root.findtext("IndexLayer"), root.findtext("Filter"), column)

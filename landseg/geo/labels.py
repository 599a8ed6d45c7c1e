"""Labels, as rasters or as polygons, to class indices on a grid."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import VectorError
from landseg.geo.grid import Grid
from landseg.replacement import refuse_unfinished

_PARQUET = (".parquet", ".geoparquet")
_VECTORS = (".shp", ".zip", ".gpkg", ".geojson", ".json", ".fgb", *_PARQUET, ".gml", ".kml")


def is_vector(path: Path) -> bool:
    """Whether a name is that of a vector file, by its suffix."""
    return path.suffix.lower() in _VECTORS


def read_vector(path: Path) -> Any:
    """Return a vector file as a GeoDataFrame.

    Raises:
        VectorError: when it cannot be read.
    """
    import geopandas

    from landseg.geo.layers import read_layers

    refuse_unfinished(path, VectorError)
    try:
        if path.suffix.lower() not in _PARQUET:
            return read_layers(path)
        return geopandas.read_parquet(path)
    except ImportError as error:
        raise VectorError(f"{path}: GeoParquet is read by pyarrow; install it (pip install pyarrow)") from error
    except Exception as error:  # pyogrio, pyarrow and the file system each have their own
        raise VectorError(f"{path} cannot be read as a vector file: {error}") from error


class PolygonLabels:
    """Polygons burnt onto any grid: a pixel is inside when its centre is. May be pickled for other processes.

    Args:
        path: any vector file.
        field: the column with the polygons' class names, for ``names`` and ``burn_names``.
        all_touched: every pixel that a polygon touches is inside.

    Raises:
        VectorError: when the file cannot be read, holds no polygon or has no such column.
    """

    def __init__(self, path: Path, field: str | None = None, *, all_touched: bool = False) -> None:
        self.path, self.all_touched = path, all_touched
        self._frame = read_vector(path)
        if not len(self._frame):
            raise VectorError(f"{path} holds no polygon; expected at least one")
        if field is not None and field not in self._frame:
            columns = ", ".join(str(c) for c in self._frame.columns if c != self._frame.geometry.name)
            raise VectorError(f"{path} has no column {field!r}; it has {columns or 'none'}")
        self._field = field
        self._moved: dict[Any, Any] = {}  # by CRS
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_moved": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def frame(self) -> Any:
        """The polygons and their columns, as a GeoDataFrame in the file's own CRS; not to be changed."""
        return self._frame

    def in_pixels(self, grid: Grid) -> PolygonLabels:
        """Return those on a grid in its own pixels (x = column, y = -row), for grids such as `pixel_grid` makes.

        Parts of a large raster are cut from that without rounding, so that what is burnt does not depend on the cut.
        """
        back = ~grid.map_transform

        def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.stack(back @ points.T, axis=1) * [1, -1]

        near = self._on(grid)
        moved = near.set_geometry(near.geometry.transform(place), crs=None)
        placed = object.__new__(PolygonLabels)
        placed.__setstate__({**self.__getstate__(), "_frame": moved.set_crs(None, allow_override=True)})
        return placed

    @property
    def names(self) -> list[str]:
        """The class names in the column, each once."""
        return sorted(self.counts())

    def counts(self) -> dict[str, int]:
        """The number of polygons of each name in the column."""
        return {str(name): int(count) for name, count in self._frame[self._field].value_counts(dropna=False).items()}

    def touches(self, grid: Grid) -> bool:
        """Whether any polygon lies on the grid."""
        return bool(len(self._on(grid)))

    def burn(self, grid: Grid) -> NDArray[np.bool_]:
        """Return (H, W), True where a polygon covers the pixel's centre; reprojects when the CRS differs."""
        return self._burn(grid, lambda near: near.geometry.tolist(), 0).astype(bool)

    def burn_names(self, grid: Grid, values: Mapping[str, int], outside: int) -> NDArray[np.uint8]:
        """Return (H, W) of ``values`` by name, ``outside`` where no polygon is; a later one covers an earlier."""
        names = self._field
        return self._burn(
            grid, lambda near: [(g, values[str(n)]) for g, n in zip(near.geometry, near[names], strict=True)], outside
        )

    def _burn(self, grid: Grid, shapes: Callable[[Any], list[Any]], outside: int) -> NDArray[np.uint8]:
        from rasterio.features import rasterize

        near = self._on(grid)
        if not len(near):
            return np.full(grid.shape, outside, dtype=np.uint8)
        return np.asarray(
            rasterize(
                shapes(near),
                grid.shape,
                transform=grid.map_transform,
                fill=outside,
                default_value=1,
                dtype="uint8",
                all_touched=self.all_touched,
            )
        )

    def _on(self, grid: Grid) -> Any:
        """The polygons that meet the grid, in its CRS and in the file's order."""
        with self._lock:
            if grid.crs not in self._moved:
                frame = self._frame
                if grid.crs is not None and frame.crs is not None and frame.crs != grid.crs:
                    left, bottom, right, top = frame.total_bounds
                    step = max(right - left, top - bottom) / 100  # straight lines are not straight in the other CRS
                    frame = frame.set_geometry(frame.geometry.segmentize(step)).to_crs(grid.crs)
                self._moved[grid.crs] = frame
            frame = self._moved[grid.crs]
            return frame.iloc[np.sort(frame.sindex.query(_outline(grid), predicate="intersects"))]


def pixel_grid(grid: Grid) -> Grid:
    """Return the grid in the coordinates of its own pixels, for polygons of `PolygonLabels.in_pixels`."""
    from affine import Affine

    return Grid(None, Affine.scale(1, -1), grid.width, grid.height)


def _outline(grid: Grid) -> object:
    from shapely.geometry import Polygon

    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return Polygon([grid.map_transform @ corner for corner in corners])

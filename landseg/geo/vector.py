"""Class rasters as polygons, in five vector formats, with areas in real square metres."""

from __future__ import annotations

import importlib.util
import itertools
import math
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.errors import OutputError, VectorError
from landseg.geo.aoi import Aoi, read_aoi
from landseg.geo.grid import Grid, Rect
from landseg.geo.raster import RasterFile
from landseg.geo.store import disk_errors, full_disk, work_folder
from landseg.geo.targets import check_absent
from landseg.geo.trace import Region, trace

__all__ = ["Aoi", "polygonize", "read_aoi", "vector_driver"]

STRIP_PIXELS = 1 << 22  # of the raster that are traced at a time
CHUNK = 20_000  # polygons that are written at a time
_DRIVERS = {
    ".gpkg": "GPKG",
    ".shp": "ESRI Shapefile",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".fgb": "FlatGeobuf",
    ".parquet": "Parquet",
    ".geoparquet": "Parquet",
}


def vector_driver(path: Path) -> str:
    """The OGR driver for a file's suffix, or "Parquet"; call it before any work is done.

    Raises:
        VectorError: no format that landseg writes has this suffix, or what writes it is not installed.
    """
    known = ".gpkg, .shp, .geojson, .fgb, .parquet"
    driver = _DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise VectorError(f"{path.name}: polygons are not written with this suffix; use one of {known}")
    if driver == "Parquet":
        if importlib.util.find_spec("pyarrow") is None:
            raise VectorError(f"{path.name}: GeoParquet needs pyarrow (pip install pyarrow); or use {known[:-10]}")
    elif "w" not in pyogrio.list_drivers().get(driver, ""):
        raise VectorError(f"{path.name}: this installation cannot write {driver}; use one of {known}")
    return driver


def polygonize(
    raster_path: Path, out_path: Path, classes: ClassMap, *, overwrite: bool = False, called: Path | None = None
) -> int:
    """The number of polygons that a class raster was written as: one for each 4-connected region of a class.

    Their corners are pixel corners, exactly. Columns: ``value``, ``name``, ``area_m2`` (null without a CRS).
    The file appears when it is complete. Memory is bounded by a strip of the raster and the regions that are
    open in it; GeoParquet alone is gathered in memory. Where `out_path` is not the name that people know,
    `called` is.

    Raises:
        VectorError: the format is unknown or cannot hold the polygons.
        OutputError: the file exists, or the disk is full.
    """
    driver, shown = vector_driver(out_path), called or out_path
    if not overwrite:
        check_absent([], [out_path])
    if not out_path.parent.is_dir():
        raise OutputError(f"{out_path} has no folder: make {out_path.parent} first, or choose another output")
    raster = RasterFile(raster_path)
    work = work_folder(out_path) / "polygons"
    made = not work.parent.exists()
    try:
        with disk_errors(shown):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
        with _vector_errors(shown, work):
            count = _write_chunks(raster, work / "chunks.gpkg", classes, layer=out_path.stem)
            _convert(work / "chunks.gpkg", work / out_path.name, driver)
        with disk_errors(shown):
            files = [file for file in work.iterdir() if file.name != "chunks.gpkg" and file.name != out_path.name]
            for file in [*files, work / out_path.name]:  # the one that carries the name comes last
                file.replace(out_path.with_name(file.name))
    finally:
        raster.close()
        shutil.rmtree(work.parent if made else work, ignore_errors=True)
    return count


def areas_m2(polygons: NDArray[Any], grid: Grid) -> NDArray[np.float64]:
    """Ground areas of polygons in the grid's CRS; nan without a CRS.

    Geographic and Mercator coordinates are measured on the ellipsoid, by an equal-area projection in which
    pixel edges stay straight; other projections in their own plane.
    """
    if grid.crs is None:
        return np.full(len(polygons), math.nan)
    crs = _pyproj_crs(grid)
    method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
    cylinder = "Mercator" in method and "Transverse" not in method and "Oblique" not in method
    if crs.is_geographic or cylinder:
        polygons = shapely.transform(polygons, _equal_area(crs, grid))
        return np.asarray(shapely.area(polygons))
    unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 0.0
    return np.asarray(shapely.area(polygons) * unit**2) if unit else np.full(len(polygons), math.nan)


def _equal_area(crs: pyproj.CRS, grid: Grid) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    geod, base = crs.get_geod(), crs.geodetic_crs
    assert geod is not None and base is not None
    to_degrees = pyproj.Transformer.from_crs(crs, base, always_xy=True)
    left, bottom, right, top = grid.bounds
    middle, _ = to_degrees.transform((left + right) / 2, (bottom + top) / 2)
    # Centred on the raster, so that no polygon is torn apart at the cylinder's seam.
    flat = pyproj.Proj(proj="cea", a=geod.a, b=geod.b, lon_0=middle)

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(flat(*to_degrees.transform(points[:, 0], points[:, 1])), axis=1)

    return place


def _write_chunks(raster: RasterFile, path: Path, classes: ClassMap, *, layer: str) -> int:
    grid, names = raster.info.grid, dict(zip(classes.values, classes.names, strict=True))
    regions = trace(_strips(raster), nodata=classes.nodata)
    crs = None if grid.crs is None else _pyproj_crs(grid)
    count = 0
    while True:
        chunk = list(itertools.islice(regions, CHUNK))
        if chunk or count == 0:
            frame = _frame(chunk, grid, names, crs)
            pyogrio.write_dataframe(
                frame, path, driver="GPKG", layer=layer, geometry_type="Polygon", append=count > 0
            )
        count += len(chunk)
        if len(chunk) < CHUNK:
            return count


def _frame(chunk: list[Region], grid: Grid, names: dict[int, str], crs: pyproj.CRS | None) -> Any:
    t = grid.map_transform

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points.T
        return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1)

    values = np.array([value for value, _ in chunk], np.int32)
    polygons = np.array([polygon for _, polygon in chunk], dtype=object)
    polygons = shapely.transform(polygons, place) if len(chunk) else polygons
    columns = {
        "value": values,
        "name": np.array([names.get(int(value), str(value)) for value in values], dtype=object),
        "area_m2": areas_m2(polygons, grid) if len(chunk) else np.zeros(0),
    }
    return geopandas.GeoDataFrame(columns, geometry=polygons, crs=crs)


def _strips(raster: RasterFile) -> Iterator[NDArray[Any]]:
    grid = raster.info.grid
    rows = max(1, STRIP_PIXELS // grid.width)
    rows = rows if rows < 512 else rows // 512 * 512  # whole rows of the file's blocks
    for top in range(0, grid.height, rows):
        rect = Rect(top, 0, min(rows, grid.height - top), grid.width)
        yield raster.read([1], rect, raster.info.dtypes[0])[0]


def _convert(chunks: Path, out: Path, driver: str) -> None:
    """Copies the polygons into their format as a stream: several of these cannot be appended to."""
    if driver == "GPKG":
        chunks.replace(out)
    elif driver == "Parquet":
        pyogrio.read_dataframe(chunks).to_parquet(out)
    else:
        options = {"DBF_DATE_LAST_UPDATE": "2000-01-01", "ENCODING": "UTF-8"} if driver == "ESRI Shapefile" else {}
        with pyogrio.open_arrow(chunks, use_pyarrow=False) as (meta, stream):
            pyogrio.write_arrow(
                stream,
                out,
                driver=driver,
                layer=out.stem,
                geometry_name=meta["geometry_name"] or "wkb_geometry",
                geometry_type="Polygon",
                crs=meta["crs"],
                layer_options=options,
            )


@contextmanager
def _vector_errors(path: Path, work: Path) -> Iterator[None]:
    """Errors of the libraries as sentences about `path`, not `work`; no time of day: equal rasters, equal bytes."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # a raster without one has none to give
            yield
    except (RuntimeError, ValueError, ImportError, OSError) as error:  # pyogrio's are RuntimeErrors, Arrow's any
        if shutil.disk_usage(path.parent).free < 1 << 20:
            raise full_disk(path) from error
        text = " ".join(str(error).replace(str(work), str(path.parent)).split())
        raise VectorError(f"{path} cannot hold the polygons: {text}; try a .gpkg") from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _pyproj_crs(grid: Grid) -> pyproj.CRS:
    assert grid.crs is not None
    return pyproj.CRS.from_wkt(grid.crs.to_wkt(version="WKT2_2019"))

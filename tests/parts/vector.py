"""Class rasters on every kind of grid, and readers of what they are exported to."""

import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
from affine import Affine
from rasterio.crs import CRS

from landseg.classes import ClassMap, LandClass
from landseg.geo.grid import ControlPoint, Grid
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets

CLASSES = ClassMap((LandClass(1, "building", (200, 30, 30)), LandClass(2, "road", (90, 90, 90))))
UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
SUFFIXES = (".gpkg", ".shp", ".shp.zip", ".fgb", ".geojson", ".parquet")

GRIDS = {
    "north-up": Grid(UTM, NORTH_UP, 31, 23),
    "south-up": Grid(UTM, Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000), 31, 23),
    "rotated": Grid(UTM, Affine(0.5, 0.25, 500_000, 0.25, -0.5, 5_400_000), 31, 23),
    "geographic": Grid(CRS.from_epsg(4326), Affine(2**-17, 0, 10, 0, -(2**-17), 50), 31, 23),
    "mercator": Grid(CRS.from_epsg(3857), Affine(0.5, 0, 1_000_000, 0, -0.5, 6_000_000), 31, 23),
    "control points": Grid.from_control_points(
        UTM,
        tuple(
            ControlPoint(row, col, 5e5 + 2 * col + 0.5 * row, 54e5 - 2 * row) for row in (0, 23) for col in (0, 31)
        ),
        width=31,
        height=23,
    ),
    "no CRS": Grid(None, Affine.identity(), 31, 23),
}


def write_classes(path: Path, grid: Grid, values: Any, classes: ClassMap = CLASSES) -> Path:
    with Outputs.begin(Targets([Layer.of_classes("classes", path, classes)]), grid, signature={}) as outputs:
        outputs.write("classes", grid.rect, values)
        outputs.finish()
    return path


def blocky(rng: np.random.Generator, grid: Grid) -> Any:
    """Values 0 to 2 with regions of several pixels, holes, and a noisy edge."""
    rows, columns = grid.shape
    values = np.kron(rng.integers(0, 3, (rows // 3 + 1, columns // 3 + 1)), np.ones((3, 3)))[:rows, :columns]
    values = values.astype("uint8")
    values[:5] = rng.integers(0, 3, (5, columns))
    return values


def read(path: Path) -> Any:
    """The features of a vector file, whatever its format."""
    if path.suffix in (".parquet", ".geoparquet"):
        return geopandas.read_parquet(path)
    if path.suffix == ".gpkg":
        return geopandas.read_file(path, layer=path.stem)  # the other layer is the table of styles
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "driver GeoJSON does not support open option")
        return geopandas.read_file(path)

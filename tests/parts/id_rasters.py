"""Rasters of ids for tests of their polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes as gdal_shapes
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from landseg.classes import ClassMap, LandClass
from landseg.labels.legend import class_tag

NO_DATA = (1 << 32) - 1
PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
LAND, HOUSE = LandClass(1, "land", (90, 160, 60)), LandClass(2, "house", (200, 30, 30), thing=True)
TABLE = ClassMap((LAND, HOUSE))
TWO_THINGS = ClassMap((LAND, HOUSE, LandClass(3, "tree", (0, 90, 0), thing=True)))


def write_ids(
    path: Path,
    ids: Any,
    *,
    table: ClassMap | None = TABLE,
    dtype: str = "uint32",
    nodata: float | None = NO_DATA,
    crs: str | None = "EPSG:32633",
    transform: Affine | None = PLACE,
) -> Path:
    """Write ids (h, w) as landseg writes them; as another program does without a ``table``."""
    values = np.asarray(ids).astype(dtype)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=dtype, height=values.shape[0], width=values.shape[1], nodata=nodata,
        crs=crs, transform=transform,
    ) as file:  # fmt: skip
        file.write(values, 1)
        if table is not None:
            file.set_band_description(1, "instance")
            file.update_tags(LANDSEG_TASK="instances", LANDSEG_CLASSES=class_tag(table))
    return path


def random_ids(seed: int, height: int = 24, width: int = 31, *, count: int = 12, empty: float = 0.1) -> NDArray[Any]:
    """Ids (h, w) of cells that touch, in several pieces some of them, with holes, gaps and pixels without data."""
    rng = np.random.default_rng(seed)
    sites = rng.random((count * 2, 2)) * (height, width)
    rows, columns = np.mgrid[:height, :width]
    nearest = np.hypot(rows[..., None] - sites[:, 0], columns[..., None] - sites[:, 1]).argmin(axis=-1)
    ids = rng.integers(0, count + 1, len(sites))[nearest] * 7
    strewn = rng.random(ids.shape) < empty
    ids[strewn] = rng.choice([0, NO_DATA, 7], int(strewn.sum()))
    return ids


def brute(ids: NDArray[Any], transform: Affine = PLACE) -> dict[int, BaseGeometry]:
    """Return the polygon of each id (h, w), by GDAL."""
    parts: dict[int, list[BaseGeometry]] = {}
    numbers, codes = np.unique(ids, return_inverse=True)
    for made, code in gdal_shapes(codes.reshape(ids.shape).astype(np.int32), connectivity=4, transform=transform):
        parts.setdefault(int(numbers[int(code)]), []).append(shape(made))
    return {number: unary_union(found) for number, found in parts.items() if number not in (0, NO_DATA)}


def on_edge(ids: NDArray[Any]) -> set[int]:
    """Return the ids (h, w) that touch the edge or a pixel without data, pixel by pixel."""
    framed = np.pad(ids.astype(np.int64), 1, constant_values=NO_DATA)
    found: set[int] = set()
    for row, column in np.ndindex(*ids.shape):
        beside = [framed[row + 1 + y, column + 1 + x] for y, x in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        if NO_DATA in beside:
            found.add(int(ids[row, column]))
    return found - {0, NO_DATA}

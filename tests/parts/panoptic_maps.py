"""Panoptic maps drawn at random: class values and ids of objects of one class each."""

from __future__ import annotations

from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from landseg.classes import ClassMap, LandClass
from landseg.geo.grid import Grid
from landseg.labels.id_rasters import NODATA

FIELD, WATER = LandClass(7, "field", (9, 200, 9), thing=True), LandClass(0, "water", (0, 0, 250))
HOUSE, GROUND = LandClass(300, "house", (200, 0, 0), thing=True), LandClass(2, 'ground "bare"', (90, 90, 90))
TABLE = ClassMap((FIELD, WATER, HOUSE, GROUND))
THINGS = (FIELD.value, HOUSE.value)
Map = tuple[NDArray[np.uint16], NDArray[np.uint32]]


def place(shape: tuple[int, int], crs: str | None = "EPSG:32645") -> Grid:
    """Return the grid of a map (h, w): half a metre, or pixels without a place."""
    transform = Affine.identity() if crs is None else Affine(0.5, 0, 3e5, 0, -0.5, 3e6)
    return Grid(None if crs is None else CRS.from_string(crs), transform, shape[1], shape[0])


def random_map(rng: np.random.Generator, shape: tuple[int, int], *, void: bool = True) -> Map:
    """Return class values and ids (h, w), 1 to n; with ``void`` some pixels have no data, some things no object."""
    cells = np.kron(rng.integers(0, 12, (-(-shape[0] // 3), -(-shape[1] // 3))), np.ones((3, 3), int))
    cells = cells[: shape[0], : shape[1]]
    cells[rng.random(shape) < 0.15] = 0
    kind = rng.choice(TABLE.values, 12)
    values = np.where(void & (rng.random(shape) < 0.1), TABLE.nodata, kind[cells]).astype(np.uint16)
    objects = np.isin(kind, THINGS) & ((rng.random(12) < 0.7) | (not void))
    ids = np.where(np.isin(values, THINGS) & objects[cells], cells + 1, 0)
    known = np.unique(ids[ids > 0])
    ids = np.where(ids > 0, np.searchsorted(known, ids) + 1, 0)
    return values, np.where(values == TABLE.nodata, NODATA, ids).astype(np.uint32)


def partition_faults(values: NDArray[Any], ids: NDArray[Any], valid: NDArray[np.bool_], table: ClassMap) -> list[str]:
    """Return in what class values and ids (h, w) are no partition of the valid pixels (h, w)."""
    found = []
    if not np.array_equal(values != table.nodata, valid) or not np.isin(values[valid], table.values).all():
        found.append("a pixel without a class")
    if not np.array_equal(ids != NODATA, valid):
        found.append("no data in one of both alone")
    objects = valid & (ids > 0)
    if len(np.unique(np.stack([ids[objects], values[objects]]), axis=1).T) != len(np.unique(ids[objects])):
        found.append("an object of two classes")
    if not np.isin(values[objects], [table.values[index] for index in table.things]).all():
        found.append("an object of stuff")
    known = np.unique(ids[objects])
    return found if np.array_equal(known, np.arange(1, len(known) + 1)) else [*found, "a gap between ids"]

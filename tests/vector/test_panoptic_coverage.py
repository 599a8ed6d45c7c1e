"""Polygons of panoptic maps: no overlap and no gap between objects and classes, also where corners are left out."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from landseg.geo.grid import Grid
from landseg.vector.instance_polygons import InstanceShapes, polygonize_instances
from tests.parts.id_rasters import write_ids
from tests.parts.panoptic_maps import TABLE, THINGS, Map, place, random_map
from tests.parts.vector import read


def polygons(folder: Path, made: Map, *, simplify: float = 0.0) -> Any:
    """Return the polygons of a map, read from their file."""
    grid: Grid = place(made[0].shape)
    where: dict[str, Any] = {"crs": "EPSG:32645", "transform": grid.transform}
    classes = write_ids(
        folder / "map.tif", made[0], table=None, dtype=TABLE.dtype, nodata=TABLE.nodata, **where
    )  # as plain numbers: a COG takes longer to write than all the rest
    ids = write_ids(folder / "ids.tif", made[1], table=TABLE, **where)
    out = folder / "made" / "parcels.fgb"
    out.parent.mkdir()
    polygonize_instances(classes, ids, out, TABLE, None, options=InstanceShapes(simplify=simplify))
    return read(out)


def covered(shapes: NDArray[Any]) -> float:
    """Return the area that shapes cover together; fail where they overlap or do not meet in whole edges."""
    assert shapely.is_valid(shapes).all() and shapely.coverage_is_valid(shapes)
    return float(shapely.area(shapes).sum())


@settings(max_examples=15)
@given(some.integers(0, 10**6), some.integers(1, 30), some.integers(1, 30), some.sampled_from([0.0, 0.4, 0.8, 3.0]))
def test_polygons_are_a_coverage_without_gaps(seed: int, height: int, width: int, metres: float) -> None:
    rng, shape = np.random.default_rng(seed), (height, width)
    with patch.object(os, "fsync", lambda _: None):
        for void in (False, True):
            values, ids = made = random_map(rng, shape, void=void)
            with TemporaryDirectory() as folder:
                found = polygons(Path(folder), made, simplify=metres)
            area = covered(found.geometry.to_numpy())
            there = (values != TABLE.nodata) & ~(np.isin(values, THINGS) & (ids == 0))
            if not void or not metres:  # a border to pixels without data moves too
                assert area == pytest.approx(0.25 * there.sum(), rel=1e-9)
            assert found["id"].dropna().is_unique and set(found["id"].dropna()) == set(
                ids[there & (ids > 0)].tolist()
            )


@pytest.mark.usefixtures("quick_disk")
def test_twin_polygons_simplified_one_by_one_are_no_coverage(tmp_path: Path) -> None:
    found = polygons(tmp_path, random_map(np.random.default_rng(0), (30, 30), void=False))
    alone = shapely.simplify(found.geometry.to_numpy(), 0.8)
    assert covered(found.geometry.to_numpy()) == 0.25 * 900
    with pytest.raises(AssertionError):
        covered(alone)

"""Polygons on a grid, by the pixel's centre."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
from shapely.geometry import box

from landseg.classes import ClassMap, LandClass
from landseg.errors import VectorError
from landseg.geo.rasters.source import FileSource
from landseg.labels.polygons import PolygonLabels
from tests.parts.places import HALF_METRE, UTM

CLASSES = ClassMap((LandClass(3, "a", (1, 1, 1)), LandClass(7, "b", (2, 2, 2))), ignore=(9,))


def _polygons(tmp_path: Path, crs: str) -> Path:
    """One rectangle over columns 2..4 and rows 1..2 of the half-metre grid, by its pixels' outer edges."""
    left, top = HALF_METRE @ (2, 1)
    right, bottom = HALF_METRE @ (5, 3)
    path = tmp_path / "p.gpkg"
    geopandas.GeoDataFrame(geometry=[box(left, bottom, right, top)], crs=UTM).to_crs(crs).to_file(path)
    return path


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_polygons_cover_the_pixels_whose_centres_they_hold(
    write_raster: Callable[..., Path], tmp_path: Path, crs: str
) -> None:
    with FileSource(write_raster(np.zeros((6, 8), np.uint8))) as source:
        burnt = PolygonLabels(_polygons(tmp_path, crs)).burn(source.grid)
    expected = np.zeros((6, 8), bool)
    expected[1:3, 2:5] = True
    assert np.array_equal(burnt, expected)


def test_polygons_elsewhere_burn_nothing(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    with FileSource(write_raster(np.zeros((6, 8), np.uint8), transform=HALF_METRE @ HALF_METRE)) as source:
        assert not PolygonLabels(_polygons(tmp_path, UTM)).burn(source.grid).any()


def test_named_polygons_burn_their_values_and_a_later_one_covers_an_earlier(
    write_raster: Callable[..., Path], tmp_path: Path
) -> None:
    spans = {"a": (0, 4), "b": (3, 6)}
    boxes = [box(*(HALF_METRE @ (left, 6)), *(HALF_METRE @ (right, 0))) for left, right in spans.values()]
    geopandas.GeoDataFrame({"class": list(spans)}, geometry=boxes, crs=UTM).to_file(tmp_path / "named.gpkg")
    with FileSource(write_raster(np.zeros((6, 8), np.uint8))) as source:
        labels = PolygonLabels(tmp_path / "named.gpkg", "class")
        assert labels.names == ["a", "b"]
        burnt = labels.burn_names(source.grid, {"a": 4, "b": 0}, 9)
    assert burnt.tolist() == [[4, 4, 4, 0, 0, 0, 9, 9]] * 6


def test_a_file_without_the_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VectorError, match=r"has no column 'kind'; it has"):
        PolygonLabels(_polygons(tmp_path, UTM), "kind")


def test_a_file_without_polygons_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gpkg").write_text("no geopackage")
    with pytest.raises(VectorError, match=r"x.gpkg cannot be read as a vector file"):
        PolygonLabels(tmp_path / "x.gpkg")
    geopandas.GeoDataFrame(geometry=[], crs=UTM).to_file(tmp_path / "empty.gpkg")
    with pytest.raises(VectorError, match="holds no polygon"):
        PolygonLabels(tmp_path / "empty.gpkg")

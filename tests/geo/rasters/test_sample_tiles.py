"""The imagery that ships is small, complete and lies where it says."""

import tomllib
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from PIL import Image

from landseg.classes import ClassMap
from landseg.geo.rasters.source import FileSource
from landseg.labels.polygons import PolygonLabels

LARGEST = 20_000_000  # bytes, in all


def test_size(sample_tiles: Path) -> None:
    assert sum(file.stat().st_size for file in sample_tiles.rglob("*") if file.is_file()) <= LARGEST


def test_every_set_is_credited(sample_tiles: Path) -> None:
    text = (sample_tiles / "README.md").read_text()
    for entry in sample_tiles.iterdir():
        assert entry.name == "README.md" or f"## {entry.name}" in text


def test_scene(sample_tiles: Path) -> None:
    with rasterio.open(sample_tiles / "banepa_scene.tif") as scene:
        assert (scene.count, scene.shape, scene.crs.to_epsg()) == (3, (2048, 2048), 3857)
        assert scene.block_shapes[0] == (256, 256) and scene.transform.a == pytest.approx(0.14929107)
        pixels, valid = scene.read(), scene.dataset_mask() > 0
    assert 0.05 < (~valid).mean() < 0.12  # the hole that was never flown
    assert pixels[:, ~valid].min() > 180 and pixels[:, valid].std() > 40


def test_samples_lie_on_the_scene_and_name_its_classes(sample_tiles: Path) -> None:
    table = ClassMap.from_json(tomllib.loads((sample_tiles / "landcover" / "classes.toml").read_text()))
    labels = PolygonLabels(sample_tiles / "banepa_scene_samples.geojson", "class")
    assert set(labels.names) == set(table.names)
    with FileSource(sample_tiles / "banepa_scene.tif") as scene:
        burnt = labels.burn_names(scene.grid, {n: i for i, n in enumerate(table.names)}, 255)
        _, valid = scene.read(scene.grid.rect)
    assert all((burnt[valid] == number).sum() > 20_000 for number in range(len(table)))


@pytest.mark.parametrize("folder", ["landcover", "sentinel2", "buildings", "parcels"])
def test_class_tables(sample_tiles: Path, folder: str) -> None:
    table = ClassMap.from_json(tomllib.loads((sample_tiles / folder / "classes.toml").read_text()))
    assert len(table) >= 2


@pytest.mark.parametrize(("folder", "count"), [("landcover", 5), ("sentinel2", 1)])
def test_label_rasters_fit(sample_tiles: Path, folder: str, count: int) -> None:
    table = ClassMap.from_json(tomllib.loads((sample_tiles / folder / "classes.toml").read_text()))
    images = sorted((sample_tiles / folder).rglob("*.jpg"))
    assert len(images) == count
    for image in images:
        with Image.open(image) as pixels, Image.open(image.with_name(f"{image.stem}_labels.png")) as labels:
            assert pixels.size == labels.size
            assert set(np.unique(np.asarray(labels))) <= {*table.values, *table.ignore}


@pytest.mark.parametrize(
    ("folder", "rasters", "suffix", "features"),
    [("parcels", 2, ".gpkg", 139), ("trees/train", 6, ".geojson", 430), ("trees/val", 2, ".geojson", 106)],
)
def test_vectors_lie_on_their_rasters(
    sample_tiles: Path, folder: str, rasters: int, suffix: str, features: int
) -> None:
    images, found = sorted((sample_tiles / folder).glob("*.tif")), 0
    assert len(images) == rasters
    for image in images:
        labels = geopandas.read_file(image.with_suffix(suffix))
        with rasterio.open(image) as raster:
            left, bottom, right, top = raster.bounds
            slack = raster.transform.a / 2  # parcels have corners on half pixels, also half a pixel outside
            assert labels.crs == raster.crs or labels.crs.to_epsg() == raster.crs.to_epsg()
        west, south, east, north = labels.total_bounds
        assert left - slack <= west and east <= right + slack
        assert bottom - slack <= south and north <= top + slack
        found += len(labels)
    assert found == features


def test_buildings_lie_on_their_tiles(sample_tiles: Path) -> None:
    bounds = []
    for tile in (sample_tiles / "buildings" / "tiles").glob("*.tif"):
        with rasterio.open(tile) as raster:
            bounds.append(raster.bounds)
    left, bottom, right, top = zip(*bounds, strict=True)
    buildings = geopandas.read_file(sample_tiles / "buildings" / "buildings.gpkg")
    assert (len(bounds), len(buildings), buildings.crs.to_epsg()) == (8, 342, 3857)
    extent = [min(left), min(bottom), max(right), max(top)]
    assert np.all(np.abs(buildings.total_bounds - extent) < 1)
    assert buildings.is_valid.all()

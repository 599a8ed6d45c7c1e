"""`landseg data` of objects: how many there are, which touch, and what smaller polygons cover."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import box

from landseg.data import inspect_data
from landseg.errors import TrainingError
from landseg.report.objects import object_colors
from landseg.scenes.object_survey import ObjectCounts, _touching
from tests.parts.labelled import landseg
from tests.parts.places import HALF_METRE, UTM

# In pixels of half a metre: left, top, right, bottom.
BOXES = [
    (2, 2, 12, 12),  # alone but for a gap of a pixel, half a metre, to the next
    (13, 2, 20, 12),
    (30, 2, 40, 12),  # covered by the next in 2 x 2 pixels
    (38, 10, 44, 16),
    (50, 2, 56, 8),  # alone
    (57.2, 20, 70, 30),  # cut by the image's right edge, and near one that lies beside the image
    (70.5, 20, 75, 30),
    (71, 22, 74, 28),  # covers the one before it, both beside the image
    (200, 200, 210, 210),  # elsewhere
]
EXPECTED = {
    "objects": 6,
    "touching": 5,
    "median_area_px": (70 + 100) / 2,
    "median_area_m2": (70 + 100) / 8,
    "overlapped": 1,
    "covered_px": 4,
}


def write_image(write: Callable[..., Path], name: str = "a.tif", **options: object) -> Path:
    pixels = np.random.default_rng(1).integers(1, 255, (3, 40, 60)).astype(np.uint8)
    return write(pixels, name, **options)


def polygons(path: Path, crs: str | None = UTM) -> Path:
    shapes = [box(*(HALF_METRE @ (x0, y1)), *(HALF_METRE @ (x1, y0))) for x0, y0, x1, y1 in BOXES]
    geopandas.GeoDataFrame(geometry=shapes, crs=crs).to_file(path)
    return path


def test_polygons_are_counted_on_all_images(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    image, houses = write_image(write_raster), polygons(tmp_path / "p.gpkg")
    found = inspect_data(str(image), str(houses), background="land", things=True)
    assert found.objects is not None and vars(found.objects) == pytest.approx(EXPECTED, rel=1e-3)
    assert (
        found.classes[0].pixels == sum(x * y for x, y in ((10, 10), (7, 10), (10, 10), (6, 6), (6, 6), (3, 10))) - 4
    )
    again = write_image(write_raster, "b.tif", transform=HALF_METRE @ Affine.translation(0, 5))
    both = inspect_data([str(image), str(again)], str(houses), background="land", things=True).objects
    assert both is not None and both.objects == 6 and both.covered_px == 8, "each once, pixels of each image"
    plain = inspect_data(str(image), str(houses), background="land")
    assert plain.objects is None and "objects" not in plain.to_json()


def test_without_a_place_areas_are_in_pixels(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    image = write_image(write_raster, crs=None)
    houses = tmp_path / "p.gpkg"
    shapes = [box(2, -12, 12, -2), box(12.9, -12, 20, -2)]
    with warnings.catch_warnings(action="ignore"):  # a file without a CRS
        geopandas.GeoDataFrame(geometry=shapes).to_file(houses)
    found = inspect_data(str(image), str(houses), background="land", things=True).objects
    assert found is not None and found.median_area_m2 is None
    assert (found.objects, found.touching) == (2, 2), "within a pixel"


def test_the_command_counts_and_draws(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    image, houses = write_image(write_raster), polygons(tmp_path / "p.gpkg")
    sheets = [tmp_path / "objects.png", tmp_path / "classes.png"]
    done = landseg("data", image, houses, "--background", "land", "--things", "--sheet", sheets[0])
    assert done.exit_code == 0, done.output
    assert "objects        6, 5 of them (83%) within half a metre of another one" in done.output
    assert "overlaps       1 polygon covered by smaller ones, 4 pixels in all" in done.output
    as_json = landseg("data", image, houses, "--background", "land", "--things", "--json")
    assert json.loads(as_json.stdout)["objects"] == pytest.approx(EXPECTED, rel=1e-3)
    landseg("data", image, houses, "--background", "land", "--sheet", sheets[1])
    one, other = (np.asarray(Image.open(sheet)).astype(int) for sheet in sheets)
    assert one.shape == other.shape and (np.abs(one - other).sum(axis=-1) > 30).sum() > 1000
    alone = landseg("data", image, "--things")
    assert alone.exit_code == 2 and "--things goes with a vector file of labels" in alone.output


def write_ids(write: Callable[..., Path]) -> Path:
    ids = np.zeros((40, 60), np.uint16)
    ids[2:12, 2:12], ids[2:12, 13:20], ids[2:8, 50:56], ids[30:40, 0:4] = 9, 7, 500, 3
    return write(ids, "a_ids.tif")


def test_rasters_of_ids_are_counted(write_raster: Callable[..., Path]) -> None:
    image, ids = write_image(write_raster), write_ids(write_raster)
    found = inspect_data(str(image), ids=str(ids))
    assert found.objects == ObjectCounts(4, 2, pytest.approx(55 / 4, rel=1e-3), 55.0)
    assert [(one.name, one.pixels) for one in found.classes] == [("no object", 2154), ("object", 246)]
    assert [one.text for one in found.findings] == []
    other = landseg("data", image, "--ids", ids)
    assert "objects        4, 2 of them (50%)" in other.output and other.exit_code == 0


def test_labels_that_are_no_ids_are_a_finding(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    image = write_image(write_raster)
    bad = write_raster(np.full((40, 60), -3, np.int16), "a_ids.tif")
    labels = write_raster(np.ones((40, 60), np.uint8), "a_labels.tif")
    for found in (inspect_data(str(image), ids=str(bad)), inspect_data(str(image), str(labels), ids=str(bad))):
        said = [one.text for one in found.findings if "has the id -3: expected 0 for none" in one.text]
        assert sum(not text.startswith("train refuses") for text in said) == 1
    with pytest.raises(TrainingError, match="--ids goes with label rasters, or alone"):
        inspect_data(str(image), str(polygons(tmp_path / "p.gpkg")), ids=str(bad), background="land")
    with pytest.raises(TrainingError, match="--things goes with a vector file, and the labels are none"):
        inspect_data(str(image), str(labels), things=True)


@given(seed=st.integers(0, 500), reach=st.sampled_from([1.5, 2.0, 3.2]))
@settings(max_examples=40, deadline=None)
def test_objects_touch_where_any_two_pixels_are_near(seed: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    margin = int(reach)
    ids = np.zeros((22, 22), np.int32)
    for number in range(1, 6):
        top, left = rng.integers(0, 18, 2)
        ids[top : top + rng.integers(1, 5), left : left + rng.integers(1, 5)] = number
    core = ids[margin:-margin, margin:-margin]
    places = [np.argwhere(core == number) + margin for number in range(1, 6)]
    everywhere = [np.argwhere(ids == number) for number in range(1, 6)]
    near = {
        one + 1
        for one, own in enumerate(places)
        for other, there in enumerate(everywhere)
        if one != other and len(own) and len(there)
        if np.hypot(*(own[:, None] - there).transpose(2, 0, 1)).min() <= reach
    }
    assert set(_touching(ids, margin, reach).tolist()) == near


def test_colours_of_objects_are_fixed_and_far_apart() -> None:
    colors = object_colors(np.arange(1, 200))
    assert np.array_equal(colors, object_colors(np.arange(1, 400))[:199])
    assert np.abs(np.diff(colors, axis=0)).max(axis=1).min() > 100


TABLE = """
classes = [{value = 1, name = "land"}, {value = 2, name = "house", thing = true}%s]
"""


def test_the_class_table_says_which_polygons_are_objects(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    image, table = write_image(write_raster), tmp_path / "classes.toml"
    table.write_text(TABLE % ', {value = 3, name = "pond"}')
    spans = {"house": (2, 2, 12, 12), "3": (4, 4, 6, 6), "2": (30, 2, 40, 12)}
    shapes = [box(*(HALF_METRE @ (x0, y1)), *(HALF_METRE @ (x1, y0))) for x0, y0, x1, y1 in spans.values()]
    houses = tmp_path / "h.gpkg"
    geopandas.GeoDataFrame({"kind": list(spans)}, geometry=shapes, crs=UTM).to_file(houses)
    found = inspect_data(str(image), str(houses), classes=table, class_field="kind", background="land", things=True)
    assert [(one.name, one.pixels) for one in found.classes] == [("land", 2200), ("house", 196), ("pond", 4)]
    counts = found.objects
    assert counts is not None and (counts.objects, counts.overlapped, counts.covered_px) == (2, 1, 4)
    table.write_text((TABLE % ', {value = 3, name = "pond"}').replace(", thing = true", ""))
    every = inspect_data(str(image), str(houses), classes=table, class_field="kind", background="land", things=True)
    assert every.objects is not None and every.objects.objects == 3
    table.write_text(TABLE % "")
    ids = inspect_data(str(image), ids=str(write_ids(write_raster)), classes=table)
    assert [(one.name, one.pixels) for one in ids.classes] == [("land", 2154), ("house", 246)]

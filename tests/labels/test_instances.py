"""Objects of polygons and of rasters of ids: the same pixels and interiors, whatever rectangle is read."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from shapely.geometry import MultiPolygon, Point, Polygon, box

from landseg.errors import BandError, ClassError, GridError, VectorError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.raster import RasterFile
from landseg.labels import instances
from landseg.labels.distances import squared_distances
from landseg.labels.id_rasters import is_id_raster
from landseg.labels.instances import NONE, UNKNOWN, IdFile, ObjectIds, ObjectPolygons, PolygonIds, parts_of
from landseg.labels.label_colors import label_source
from landseg.labels.polygons import PolygonLabels
from tests.parts.places import HALF_METRE, UTM

GRID = Grid(CRS.from_user_input(UTM), HALF_METRE, 60, 40)
TAGS = {"LANDSEG_TASK": "instances"}


def on_map(shape: Polygon | MultiPolygon) -> Polygon:
    """A shape in pixels (x = column, y = row) of GRID on the map."""
    from shapely.affinity import affine_transform

    a, b, c, d, e, f = tuple(HALF_METRE)[:6]
    return affine_transform(shape, [a, b, d, e, c, f])


def write_shapes(path: Path, *shapes: Polygon | MultiPolygon, crs: str | None = UTM) -> Path:
    geopandas.GeoDataFrame(geometry=[on_map(shape) for shape in shapes], crs=crs).to_file(path)
    return path


def objects_of(path: Path, *, beyond: int = NONE) -> ObjectPolygons:
    parts = parts_of(PolygonLabels(path))
    return ObjectPolygons(parts, np.ones(len(parts), bool), beyond)


def nearest_other(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Squared distances by comparing every pixel with every other."""
    padded = np.pad(mask, 1)
    others, found = np.argwhere(~padded), np.zeros(padded.shape, np.int64)
    for y, x in np.argwhere(padded):
        found[y, x] = ((others - [y, x]) ** 2).sum(axis=1).min()
    return found[1:-1, 1:-1]


@given(seed=st.integers(0, 1000), share=st.sampled_from([0.5, 0.9, 0.99, 1.0]))
@settings(max_examples=60, deadline=None)
def test_distances_are_those_to_the_nearest_pixel_outside(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 14, 2)) < share
    expected = nearest_other(mask)
    assert np.array_equal(squared_distances(mask), expected)
    assert np.array_equal(squared_distances(mask, steps=0), expected)


def test_distances_of_large_objects_are_the_same_both_ways() -> None:
    rng = np.random.default_rng(0)
    mask = np.ones((300, 420), bool)
    mask[rng.integers(0, 300, 9), rng.integers(0, 420, 9)] = False
    assert np.array_equal(squared_distances(mask, steps=0), squared_distances(mask, steps=10**6))


def shapes_of(seed: int) -> list[Polygon]:
    """Turned boxes and discs that overlap each other and the edges of GRID."""
    from shapely.affinity import rotate

    rng = np.random.default_rng(seed)
    made = []
    for _ in range(14):
        x, y, w, h = rng.uniform([-8, -8, 3, 3], [66, 46, 16, 16])
        shape = box(x, y, x + w, y + h) if rng.random() < 0.7 else Point(x, y).buffer(w / 2)
        made.append(rotate(shape, rng.uniform(0, 90)))
    return made


class CutObjects(PolygonIds):
    """The twin: an object's interior is that of its part in the rectangle."""

    def interior(self, rect: Rect) -> NDArray[np.uint8]:
        ids = self.read(rect)
        made = np.zeros(ids.shape, np.uint8)
        for number in np.unique(ids[ids > 0]):
            made = np.maximum(made, instances._shares(ids == number))
        return made


def differing(objects: ObjectIds, seed: int) -> int:
    """Pixels by which maps of random rectangles differ from the same part of the whole, beyond the image as well."""
    rng = np.random.default_rng(seed)
    around = Rect(-20, -20, 80, 100)
    whole = objects.read(around), objects.interior(around)
    wrong = 0
    for _ in range(6):
        (top, left), (height, width) = rng.integers(-15, 40, 2), rng.integers(1, 20, 2)
        rect = Rect(int(top), int(left), int(height), int(width))
        part = rect.relative_to(around).slices
        wrong += int((objects.read(rect) != whole[0][part]).sum() + (objects.interior(rect) != whole[1][part]).sum())
    return wrong


@pytest.mark.parametrize("seed", range(4))
def test_polygons_are_the_same_whatever_rectangle_is_read(tmp_path: Path, seed: int) -> None:
    objects = objects_of(write_shapes(tmp_path / "p.gpkg", *shapes_of(seed)))
    assert differing(PolygonIds(objects, GRID), seed) == 0
    assert differing(CutObjects(objects, GRID), seed) > 0


@pytest.mark.parametrize("turned", [False, True])
def test_rasters_are_the_same_whatever_rectangle_is_read(
    write_raster: Callable[..., Path], tmp_path: Path, turned: bool
) -> None:
    here = PolygonIds(objects_of(write_shapes(tmp_path / "p.gpkg", *shapes_of(5))), GRID)
    ids = np.where((found := here.read(Rect(-5, -5, 50, 70))) > 0, found * 1000, 0).astype(np.uint32)
    place = HALF_METRE @ Affine.translation(-5, -5)
    place = place @ Affine.rotation(0.5) @ Affine.scale(0.93) if turned else place
    raster = IdFile(write_raster(ids, "ids.tif", transform=place))
    objects = raster.on(GRID)
    assert differing(objects, 3) == 0
    if not turned:
        inside = objects.read(GRID.rect)
        assert np.array_equal(objects.boxes.ids[inside[inside > 0] - 1], ids[5:45, 5:65][inside > 0])
        whole = IdFile(write_raster(ids[5:45, 5:65], "cut.tif")).on(GRID)
        assert not np.array_equal(whole.interior(GRID.rect), objects.interior(GRID.rect)), "cut at the image's edge"
    copy = pickle.loads(pickle.dumps(raster))
    assert np.array_equal(copy.on(GRID).interior(GRID.rect), objects.interior(GRID.rect))


def test_a_smaller_polygon_covers_a_larger_one_in_whatever_order_they_come(tmp_path: Path) -> None:
    large, small = box(0, 0, 20, 20), box(5, 5, 9, 9)
    for name, shapes in (("a", (large, small)), ("b", (small, large))):
        ids = PolygonIds(objects_of(write_shapes(tmp_path / f"{name}.gpkg", *shapes)), GRID).read(GRID.rect)
        number = 1 + shapes.index(small)
        assert (ids == number).sum() == 16 and (ids[5:9, 5:9] == number).all()
        assert (ids > 0).sum() == 400 and (ids == 0).sum() == 2000


def test_an_object_that_the_image_cuts_has_the_interior_of_the_whole(tmp_path: Path) -> None:
    objects = PolygonIds(objects_of(write_shapes(tmp_path / "p.gpkg", box(-20, 10, 21, 31))), GRID)
    interior = objects.interior(GRID.rect)
    assert interior[20, 0] == 254 and interior[10, 0] == round(254 / 11) and interior[20, 20] == round(254 / 11)


def test_parts_of_a_feature_are_objects_by_themselves_and_outside_is_unknown(tmp_path: Path) -> None:
    path = write_shapes(tmp_path / "p.gpkg", MultiPolygon([box(0, 0, 4, 4), box(10, 0, 14, 4)]), box(20, 0, 24, 4))
    ids = PolygonIds(objects_of(path, beyond=UNKNOWN), GRID).read(GRID.rect)
    assert np.unique(ids).tolist() == [-1, 1, 2, 3]


def test_objects_lie_on_images_without_a_place(tmp_path: Path) -> None:
    path = tmp_path / "p.gpkg"
    with warnings.catch_warnings(action="ignore"):  # a file without a CRS
        geopandas.GeoDataFrame(geometry=[box(-9, -12, 12, -2)]).to_file(path)  # x = column, y = -row
    objects = PolygonIds(objects_of(path), Grid(None, Affine.identity(), 60, 40))
    ids = objects.read(Rect(0, -10, 40, 60))
    assert (ids > 0).sum() == 210 and (ids[2:12, 1:22] == 1).all()
    assert objects.interior(Rect(0, 0, 40, 60))[6, 0] == 254


def test_threads_and_a_small_memory_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = objects_of(write_shapes(tmp_path / "p.gpkg", *shapes_of(1)))
    rects = [Rect(top, left, 9, 13) for top in range(0, 30, 5) for left in range(0, 45, 5)]
    expected = [PolygonIds(objects, GRID).interior(rect) for rect in rects]
    monkeypatch.setattr(instances, "CACHE", 100)
    shared = PolygonIds(pickle.loads(pickle.dumps(objects)), GRID)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared.interior, rects * 3))
    assert all(np.array_equal(one, other) for one, other in zip(found, expected * 3, strict=True))
    kept = [distances.nbytes for _, distances in shared._kept._entries.values()]
    assert sum(kept) == shared._kept._bytes and (len(kept) == 1 or sum(kept) <= 100)


def test_too_large_an_object_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "_LARGEST", 100)
    objects = PolygonIds(objects_of(write_shapes(tmp_path / "p.gpkg", box(0, 0, 20, 20))), GRID)
    with pytest.raises(GridError, match=r"object 1 of p.gpkg is 20 x 20 pixels large: expected objects of up to"):
        objects.interior(Rect(0, 0, 5, 5))


def test_lines_and_points_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VectorError, match=r"expected polygons, found Point \(1\)"):
        objects_of(write_shapes(tmp_path / "p.gpkg", Point(3, 4)))


def test_what_is_no_id_is_refused(write_raster: Callable[..., Path]) -> None:
    good = np.zeros((40, 60), np.int64)
    good[3:6, 3:6] = 7

    def refused(kind: type[Exception], text: str, change: int | None = None, **options: object) -> None:
        ids = good.copy()
        if change is not None:
            ids[0, 0] = change
        dtype = options.pop("dtype", "int64")
        with pytest.raises(kind, match=text):
            IdFile(write_raster(ids.astype(str(dtype)), "i.tif", **options)).on(GRID)

    refused(ClassError, r"i.tif has the id -4: expected 0 for none and ids up to 4,294,967,294", -4)
    refused(ClassError, r"i.tif has the id 4294967295: expected 0", 4294967295)
    refused(BandError, r"i.tif is of float32: expected ids in whole numbers", dtype="float32")
    with pytest.raises(GridError, match="expected both to have a CRS or neither"):
        IdFile(write_raster(good, "i.tif")).on(Grid(None, HALF_METRE @ Affine.scale(2), 60, 40))
    refused(GridError, r"expected them to overlap", transform=HALF_METRE @ Affine.translation(500, 0))
    with pytest.raises(BandError, match=r"two.tif has 2 bands: expected a raster of ids with one"):
        IdFile(write_raster(np.stack([good, good]), "two.tif")).on(GRID)
    IdFile(write_raster(good, "i.tif")).on(GRID).close()


def test_no_data_is_unknown_and_zero_is_none(write_raster: Callable[..., Path]) -> None:
    ids = np.zeros((40, 60), np.uint32)
    ids[3:6, 3:6], ids[:, 50:] = 4_000_000_000, 4294967295
    found = IdFile(write_raster(ids, "i.tif", nodata=4294967295)).on(GRID)
    numbers = found.read(GRID.rect)
    assert (numbers[:, 50:] == -1).all() and (numbers[3:6, 3:6] == 1).all() and numbers[0, 0] == 0
    assert found.interior(GRID.rect)[4, 4] == 254 and found.interior(GRID.rect)[0, 55] == 255
    ids[:, 50:] = 0
    assert (IdFile(write_raster(ids, "z.tif", nodata=0)).on(GRID).read(GRID.rect)[:, 50:] == 0).all()
    assert (found.read(Rect(-4, 0, 4, 4)) == -1).all(), "nothing is known beyond the raster"


def test_ids_and_classes_are_told_apart(write_raster: Callable[..., Path]) -> None:
    import rasterio

    path = write_raster(np.ones((40, 60), np.uint32), "ids.tif", descriptions=["instance"])
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(**TAGS)
    other = write_raster(np.ones((40, 60), np.uint32), "other.tif", descriptions=["instance"])
    for name, expected in ((path, True), (other, False)):
        file = RasterFile(name)
        assert is_id_raster(file) == expected
        file.close()
    with pytest.raises(ClassError, match=r"ids.tif holds the ids of objects, not classes: .* --ids"):
        label_source(path)
    label_source(other).close()
    classes = write_raster(np.ones((40, 60), np.uint8), "classes.tif")
    with rasterio.open(classes, "r+") as raster:
        raster.write_colormap(1, {1: (255, 0, 0, 255)})
        raster.update_tags(LANDSEG_CLASSES='{"classes": [{"value": 1, "name": "a"}], "ignore": []}')
    with pytest.raises(ClassError, match=r"classes.tif holds classes, not ids of objects"):
        IdFile(classes).on(GRID)

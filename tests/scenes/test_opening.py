"""Label rasters and polygons as targets of images; misfits of one kind in one sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import torch
from affine import Affine
from PIL import Image
from shapely.geometry import box

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import ClassError, LandsegError, RasterError, TrainingError, VectorError
from landseg.labels.image_lists import Item, pair
from landseg.labels.infer_classes import classes_of
from landseg.labels.reader import LabelReader, UnmappedValues, refuse_unmapped
from landseg.scenes.label_counts import count_labels, remarks
from landseg.scenes.label_sets import LabelSetBuilder
from landseg.scenes.opening import ImageLabelOptions
from landseg.scenes.scene import Scene
from landseg.scenes.targets import JoinedTargets
from tests.parts.opened import open_items
from tests.parts.places import HALF_METRE, UTM

CLASSES = ClassMap.from_json(
    {
        "classes": [{"value": 1, "name": "land"}, {"value": 2, "name": "water"}, {"value": 3, "name": "road"}],
        "ignore": [9],
    }
)


def picture(path: Path, array: np.ndarray, palette: list[int] | None = None) -> Path:
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)
    return path


# --- label rasters ----------------------------------------------------------------------------------------------


def open_one(item: Item, **options: object) -> tuple[Scene, list[list[int]]]:
    scenes, sets = open_items([item], ImageLabelOptions(CLASSES, **options))  # type: ignore[arg-type]
    return scenes[0], [row.nonzero().flatten().tolist() for row in sets.allowed]


def target_of(scene: Scene) -> np.ndarray:
    return scene.read(scene.rect)[2]


def test_pictures_without_georeference(tmp_path: Path) -> None:
    image = picture(tmp_path / "a.jpg", np.full((6, 8, 3), 99, np.uint8))
    labels = picture(tmp_path / "a_labels.png", np.array([[1, 2, 3, 9, 0, 1, 1, 1]] * 6, np.uint8))
    scene, _ = open_one(Item(image, labels))
    assert target_of(scene)[0].tolist() == [0, 1, 2, 255, 255, 0, 0, 0]
    assert scene.resolution_m is None and scene.channels == 3


def test_labels_on_another_grid_are_brought_onto_the_image(write_raster: Callable[..., Path]) -> None:
    image = write_raster(np.ones((3, 8, 8), np.uint8), "a.tif")
    coarse = write_raster(np.array([[1, 2], [3, 1]], np.uint8), "c.tif", transform=HALF_METRE @ Affine.scale(4))
    assert target_of(open_one(Item(image, coarse))[0])[::4, ::4].tolist() == [[0, 1], [2, 0]]
    rows = np.kron(np.array([[1, 2], [3, 1]]), np.ones((12, 12))).astype(np.uint8)
    rows[0, 0] = 3  # one of nine
    fine = write_raster(rows, "f.tif", transform=HALF_METRE @ Affine.scale(1 / 3))
    assert target_of(open_one(Item(image, fine))[0])[::4, ::4].tolist() == [[0, 1], [2, 0]]
    moved = write_raster(np.full((8, 8), 2, np.uint8), "m.tif", transform=HALF_METRE @ Affine.translation(3, 2))
    target = target_of(open_one(Item(image, moved))[0])
    assert (target[2:, 3:] == 1).all() and (target == IGNORE_INDEX).sum() == 64 - 30


def test_misfits_of_each_kind_are_listed_together(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    items = []
    for name in "ab":
        image = picture(tmp_path / f"{name}.png", np.zeros((6, 8, 3), np.uint8))
        items.append(Item(image, picture(tmp_path / f"{name}_labels.png", np.ones((6, 7), np.uint8))))
    placed = write_raster(np.ones((3, 6, 8), np.uint8), "p.tif")
    far = write_raster(np.ones((6, 8), np.uint8), "far.tif", transform=HALF_METRE @ Affine.translation(99, 0))
    nowhere = write_raster(np.ones((6, 9), np.uint8), "nowhere.tif", crs=None)
    grey = write_raster(np.ones((1, 6, 8), np.uint8), "grey.tif")
    fine = write_raster(np.ones((6, 8), np.uint8), "fine.tif")
    items += [Item(placed, far), Item(placed, nowhere), Item(grey, fine)]
    with pytest.raises(TrainingError) as caught:
        open_items(items, ImageLabelOptions(CLASSES))
    text = str(caught.value)
    assert re.search(
        r"pixel by pixel .*: .*a_labels\.png has 7 x 6 px, .*a\.png 8 x 6, .*b_labels\.png has 7 x 6", text
    )
    assert re.search(r"do not overlap their image .*: .*far\.tif is in EPSG:32633", text)
    assert re.search(r"both to have a CRS or neither .*: .*nowhere\.tif is in no CRS", text)
    assert re.search(r"most images have 3 bands of uint8, these have others.*: .*grey\.tif \(1 of uint8\)", text)
    assert text.count(";") == 3 and "fine.tif" not in text  # twin: what fits is not listed
    assert len(open_items([Item(placed, fine)], ImageLabelOptions(CLASSES))[0]) == 1


def test_strange_values_of_all_files_come_in_one_sentence(write_raster: Callable[..., Path]) -> None:
    items = []
    for name, values in (("a", [1, 7, 7]), ("b", [2, 7, 8]), ("c", [1, 2, 2])):
        image = write_raster(np.ones((3, 1, 3), np.uint8), f"{name}.tif")
        items.append(Item(image, write_raster(np.array([values], np.uint8), f"{name}_labels.tif")))
    scenes, _ = open_items(items, ImageLabelOptions(CLASSES))
    for _ in range(2):  # however often it is counted
        with pytest.raises(ClassError) as caught:
            count_labels(scenes)
        assert "values without a class: 7 (3 px), 8 (1 px); expected 1, 2, 3" in str(caught.value)
        assert "a_labels.tif, " in str(caught.value) and "c_labels" not in str(caught.value)
    count_labels(scenes[2:])


def test_strange_values_are_told_by_class_table() -> None:
    other = ClassMap.from_json([{"value": 5, "name": "x"}])
    refuse_unmapped([UnmappedValues("a", "a", CLASSES)])
    with pytest.raises(ClassError, match=r"a: values without a class: 7 .*; b: values without a class: 8 \(2 px\)"):
        found = UnmappedValues("a", "a", CLASSES, Counter({7: 1})), UnmappedValues("b", "b", other, Counter({8: 2}))
        refuse_unmapped(found)


def test_scenes_without_labels_and_classes_without_pixels_are_remarked(write_raster: Callable[..., Path]) -> None:
    items = []
    for name, value in (("a", 1), ("b", 0), ("c", 9)):
        image = write_raster(np.ones((3, 4, 4), np.uint8), f"{name}.tif")
        items.append(Item(image, write_raster(np.full((4, 4), value, np.uint8), f"{name}_labels.tif", nodata=0)))
    scenes, _ = open_items(items, ImageLabelOptions(CLASSES))
    first, second = remarks(scenes, count_labels(scenes), CLASSES.names)
    assert "2 of 3 scenes have no labelled pixel to learn from: b, c" in first
    assert "no pixel is labelled water, road" in second
    assert remarks(scenes[:1], count_labels(scenes[:1]), ["land"]) == []
    with pytest.raises(TrainingError, match="none of the 2 scenes has a labelled pixel"):
        count_labels(scenes[1:])


# --- polygons ---------------------------------------------------------------------------------------------------


def shapes(
    path: Path, boxes: list[tuple[float, float, float, float]], crs: str | None = UTM, **columns: object
) -> Path:
    """Boxes (left, top, right, bottom) in pixels of HALF_METRE."""
    corners = [(HALF_METRE @ (left, top), HALF_METRE @ (right, bottom)) for left, top, right, bottom in boxes]
    geometry = [box(a[0], b[1], b[0], a[1]) for a, b in corners]
    frame = geopandas.GeoDataFrame(columns, geometry=geometry, crs=UTM)
    (frame if crs == UTM else frame.to_crs(crs)).to_file(path)
    return path


@pytest.mark.parametrize("name", ["v.gpkg", "v.geojson", "v.shp"])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_polygons_are_burnt_where_they_cover_a_pixels_centre(
    tmp_path: Path, write_raster: Callable[..., Path], name: str, crs: str
) -> None:
    # Edges at .4 and .6 of a pixel: its centre is outside to the one side and inside to the other.
    vector = shapes(tmp_path / name, [(2.4, 1.4, 5.6, 4.6)], crs, kind=["water"])
    item = Item(write_raster(np.ones((3, 8, 8), np.uint8), "a.tif"))
    target = target_of(open_one(replace(item, polygons=vector), field="kind", background="land")[0])
    expected = np.zeros((8, 8), int)
    expected[1:5, 2:6] = 1
    assert target.tolist() == expected.tolist()
    smaller = shapes(tmp_path / f"s_{name}", [(2.6, 1.6, 5.4, 4.4)], crs, kind=["water"])
    by_centre = target_of(open_one(replace(item, polygons=smaller), field="kind", background="land")[0])
    assert (by_centre == 1).sum() == 2 * 2
    touched = target_of(
        open_one(replace(item, polygons=smaller), field="kind", background="land", all_touched=True)[0]
    )
    assert touched.tolist() == expected.tolist()


def test_the_whole_and_its_windows_are_burnt_alike(sample_tiles: Path) -> None:
    items = pair(str(sample_tiles / "buildings" / "tiles"), str(sample_tiles / "buildings" / "buildings.gpkg"))
    table = ClassMap.from_json([{"value": 1, "name": "background"}, {"value": 2, "name": "building"}])
    vector = sample_tiles / "buildings" / "buildings.gpkg"
    scene = open_items([replace(items[0], polygons=vector)], ImageLabelOptions(table, background="background"))[0][0]
    whole = target_of(scene)
    assert set(np.unique(whole)) == {0, 1}
    from landseg.geo.grid import Rect

    for rect in (Rect(100, 37, 61, 200), Rect(450, 0, 62, 512)):
        assert np.array_equal(scene.read(rect)[2], whole[rect.slices])


def test_what_polygons_leave_open(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    vector = shapes(tmp_path / "v.gpkg", [(0, 0, 2, 8), (4, 0, 6, 8)], kind=["water", "2"])
    roads = shapes(tmp_path / "r.gpkg", [(0, 0, 2, 8), (4, 0, 6, 8)], kind=["water", "road"])
    item = Item(write_raster(np.ones((3, 8, 8), np.uint8), "a.tif"))

    def row(vector: Path, **options: object) -> tuple[list[int], list[list[int]]]:
        scene, sets = open_one(replace(item, polygons=vector), field="kind", **options)
        return target_of(scene)[0].tolist(), sets[3:]

    assert row(vector) == ([1, 1, 255, 255, 1, 1, 255, 255], [])  # by name or by value; outside, nobody knows
    assert row(vector, partial="unknown") == ([3, 3, 255, 255, 3, 3, 255, 255], [[1]])  # only water
    assert row(vector, partial="others") == ([3, 3, 4, 4, 3, 3, 4, 4], [[1], [0, 2]])
    assert row(roads, partial="others") == ([1, 1, 3, 3, 2, 2, 3, 3], [[0]])  # two classes are told apart
    assert row(roads, background="land") == ([1, 1, 0, 0, 2, 2, 0, 0], [])


def test_a_partial_raster_knows_some_classes(write_raster: Callable[..., Path]) -> None:
    image = write_raster(np.ones((3, 1, 4), np.uint8), "a.tif")
    labels = write_raster(np.array([[2, 0, 9, 1]], np.uint8), "l.tif")

    def row(**options: object) -> tuple[list[int], list[list[int]]]:
        scene, sets = open_one(Item(image, labels), **options)
        return target_of(scene)[0].tolist(), sets[3:]

    assert row() == ([1, 255, 255, 0], [])
    assert row(partial="unknown", known=("water",)) == ([3, 255, 255, 255], [[1]])
    assert row(partial="others", known=("water", "land")) == ([1, 3, 255, 0], [[2]])  # 9 is ignored: not known


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"field": "none"}, VectorError, "has no column 'none'; it has kind"),
        ({"field": "kind"}, ClassError, r"polygons without a class: swamp \(1\); expected land, water, road"),
        ({"background": "land"}, ClassError, "water, road could all be meant by a polygon: name the column"),
        ({"field": "kind", "background": "sea"}, ClassError, "'sea' is no class"),
    ],
)
def test_polygons_that_do_not_say_their_class(
    tmp_path: Path,
    write_raster: Callable[..., Path],
    options: dict[str, str],
    error: type[LandsegError],
    message: str,
) -> None:
    kind = "swamp" if "without" in message else "water"
    vector = shapes(tmp_path / "v.gpkg", [(0, 0, 2, 2)], kind=[kind])
    item = Item(write_raster(np.ones((3, 8, 8), np.uint8), "a.tif"))
    with pytest.raises(error, match=message):
        open_one(replace(item, polygons=vector), **options)


def test_polygons_on_no_image_are_refused(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    vector = shapes(tmp_path / "v.gpkg", [(900, 0, 902, 2)], kind=["water"])
    item = Item(write_raster(np.ones((3, 8, 8), np.uint8), "a.tif"))
    with pytest.raises(TrainingError, match=r"no polygon of .*v\.gpkg lies on the only image"):
        open_one(replace(item, polygons=vector), field="kind")
    with pytest.raises(TrainingError, match="has no labels; name its label raster or a vector file"):
        open_one(item)


# --- classes from the labels themselves -------------------------------------------------------------------------


def test_classes_from_a_palette_are_the_values_that_occur(tmp_path: Path) -> None:
    palette = [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255] + [7] * 30
    first = picture(tmp_path / "a_labels.png", np.array([[0, 1]], np.uint8), palette)
    second = picture(tmp_path / "b_labels.png", np.array([[3, 1]], np.uint8), palette)
    table = classes_of([Item(tmp_path / "a.jpg", first), Item(tmp_path / "b.jpg", second)])
    assert table.values == (0, 1, 3) and table.colors[2] == (0, 0, 255) and table.names == ("0", "1", "3")


def test_classes_from_names_in_rasters(write_raster: Callable[..., Path]) -> None:
    import json

    import rasterio

    from landseg.geo.tags import CLASSES as TAG

    paths = [write_raster(np.ones((2, 2), np.uint8), f"{name}_labels.tif") for name in "abc"]
    for path in paths[:2]:
        with rasterio.open(path, "r+") as file:
            file.update_tags(**{TAG: json.dumps(CLASSES.to_json())})
    items = [Item(path, path) for path in paths]
    assert classes_of(items[:2]) == CLASSES
    with pytest.raises(ClassError, match=r"1 of 3 label rasters names no class: .*c_labels"):
        classes_of(items)
    with pytest.raises(ClassError, match="neither names nor a palette"):
        classes_of(items[2:])
    with pytest.raises(ClassError, match="there are no label rasters"):
        classes_of([])
    with rasterio.open(paths[1], "r+") as file:
        file.update_tags(**{TAG: json.dumps({"classes": [{"value": 1, "name": "x"}]})})
    with pytest.raises(ClassError, match=r"b_labels\.tif name other classes than .*a_labels"):
        classes_of(items[:2])


def test_classes_from_a_column(tmp_path: Path) -> None:
    spots = [(0, 0, 1, 1)] * 3
    words = classes_of(shapes(tmp_path / "w.gpkg", spots, kind=["water", "land", "water"]), "kind")
    assert (words.names, words.values) == (("land", "water"), (1, 2))
    numbers = classes_of(shapes(tmp_path / "n.gpkg", spots, kind=[20, 3, 20]), "kind")
    assert (numbers.names, numbers.values) == (("3", "20"), (3, 20))
    with pytest.raises(ClassError, match="say which column names the class"):
        classes_of(tmp_path / "w.gpkg")


def test_kinds_of_labels() -> None:
    kinds = LabelSetBuilder(CLASSES)
    found = [
        kinds.index("only water"),
        kinds.index("not water"),
        kinds.excluding(["road", "land"]),
        kinds.index("road"),
    ]
    assert found == [3, 4, 5, 2] and kinds.index("only water") == 3 and kinds.excluding(["water"]) == 4
    expected = [[False, True, False], [True, False, True], [False, True, False]]
    assert torch.equal(kinds.sets().allowed[3:], torch.tensor(expected))
    for bad in (
        lambda: kinds.index("only sea"),
        lambda: kinds.excluding(["sea"]),
        lambda: kinds.excluding(CLASSES.names),
    ):
        with pytest.raises(TrainingError, match=r"'sea' names no class|of no class at all"):
            bad()


def test_the_first_target_that_knows_holds_and_classes_go_before_exclusions() -> None:
    class Fixed(LabelReader):
        def __init__(self, values: list[int]) -> None:
            self.values = np.array([values], np.uint8)

        def read_reasons(self, rect: object, pixels: object = None, *, core: object = None):  # type: ignore[no-untyped-def]
            return self.values.copy(), {}

    joined = JoinedTargets([Fixed([0, 3, 255, 3]), Fixed([1, 1, 4, 4])], classes=3)
    assert joined.read(None).tolist() == [[0, 1, 4, 3]]  # type: ignore[arg-type]


def test_a_damaged_file_is_named(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    image = write_raster(np.random.default_rng(0).integers(0, 255, (3, 300, 300)).astype(np.uint8), "a.tif")
    labels = write_raster(np.ones((300, 300), np.uint8), "a_labels.tif")
    scene, _ = open_one(Item(image, labels))
    data = image.read_bytes()
    image.write_bytes(data[: len(data) // 2])
    with pytest.raises(RasterError, match=r"a\.tif"):
        scene.read(scene.rect)

"""The label maps of scenes whose objects are known: of polygons, of rasters of ids, on disk and in memory."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
from numpy.typing import NDArray
from shapely.geometry import box

from landseg.classes import ClassMap
from landseg.errors import ClassError, TrainingError
from landseg.geo.grid import Rect
from landseg.geo.rasters.mosaic import open_source
from landseg.labels.image_lists import Item, with_ids
from landseg.labels.instances import OUTSIDE, _shares
from landseg.scenes.data_source import SourceSpec
from landseg.scenes.label_sets import LabelSetBuilder
from landseg.scenes.opener import LabelPolygons, Opener
from landseg.scenes.opening import ImageLabelOptions, checked, labels_for
from landseg.scenes.scene import RasterScene, Scene
from landseg.scenes.views import MaskedScene, in_memory
from landseg.training.crops import read_crop
from landseg.training.sources import find_items
from tests.parts.places import HALF_METRE, UTM

CLASSES = ClassMap.from_json(
    [{"value": 0, "name": "land"}, {"value": 1, "name": "building", "thing": True}, {"value": 2, "name": "pond"}]
)
TWO = ClassMap(CLASSES.classes[:2])
BOXES = {  # pixels (left, top, right, bottom); the first reaches beyond the image, the pond lies on the second
    "building": [(-10, 2, 8, 12), (20, 4, 36, 20), (40, 4, 50, 14)],
    "pond": [(24, 8, 28, 12)],
}


def scene_of(item: Item, options: ImageLabelOptions) -> RasterScene:
    labels = labels_for([item], options, LabelSetBuilder(options.classes))
    return RasterScene("s", checked([Opener(item.image, None, tuple(labels), len(options.classes))])[0])


def image(write: Callable[..., Path]) -> Path:
    return write(np.random.default_rng(0).integers(1, 255, (3, 40, 60)).astype(np.uint8), "a.tif")


def polygons(folder: Path) -> Path:
    rows = [(name, corners) for name, boxes in BOXES.items() for corners in boxes]
    shapes = [box(*(HALF_METRE @ (x0, y1)), *(HALF_METRE @ (x1, y0))) for _, (x0, y0, x1, y1) in rows]
    geopandas.GeoDataFrame({"kind": [name for name, _ in rows]}, geometry=shapes, crs=UTM).to_file(folder / "p.gpkg")
    return folder / "p.gpkg"


def drawn(folder: Path, write: Callable[..., Path], **options: object) -> RasterScene:
    given = {"field": "kind", "background": "land", "things": True} | options
    return scene_of(Item(image(write), polygons=polygons(folder)), ImageLabelOptions(CLASSES, **given))  # type: ignore[arg-type]


def maps(scene: Scene, rect: Rect) -> dict[str, NDArray[np.generic]]:
    return {"class": scene.labels(rect), **{name: scene.read_map(name, rect) for name in scene.label_maps[1:]}}


def test_objects_of_polygons_are_those_of_classes_of_things(
    write_raster: Callable[..., Path], tmp_path: Path
) -> None:
    scene = drawn(tmp_path, write_raster)
    assert scene.label_maps == ("class", "instance", "interior")
    found = maps(scene, scene.rect)
    ids, classes = found["instance"], found["class"]
    assert np.unique(ids).tolist() == [0, 1, 2, 3]
    assert np.array_equal(ids > 0, classes == 1), "numbers where the class is one of things"
    assert (classes[8:12, 24:28] == 2).all() and (ids[8:12, 24:28] == 0).all(), "the smaller pond covers the house"
    assert found["interior"][7, 0] == 254, "the house goes on beyond the image"
    assert (found["interior"][ids == 0] == 0).all() and (found["interior"][ids > 0] > 0).all()
    bare = drawn(tmp_path, write_raster, things=False)
    assert bare.label_maps == ("class",)


def test_outside_is_unknown_without_a_background(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    scene = drawn(tmp_path, write_raster, background=None)
    found = maps(scene, scene.rect)
    outside = found["class"] == 255
    assert outside.any() and (found["instance"][outside] == -1).all() and (found["interior"][outside] == 255).all()
    assert np.array_equal(found["instance"] == -1, outside)
    assert scene.drawn is not None


def test_partial_polygons_end_at_their_outlines(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    scene = drawn(tmp_path, write_raster, background=None, partial="unknown")
    found = maps(scene, scene.rect)
    outside = found["class"] == 255
    assert np.array_equal(found["instance"] == OUTSIDE, outside) and (found["interior"][outside] == 255).all()
    part = MaskedScene(scene, lambda rect: np.broadcast_to(np.arange(rect.left, rect.right) < 30, rect.shape))
    kept = maps(part, scene.rect)["instance"]
    assert np.array_equal(kept == OUTSIDE, outside), "what is learned ends there as well where the rest is kept"
    assert (kept[:, 30:][~outside[:, 30:]] == -1).all()
    coarser = read_crop(scene, Rect(0, 0, 20, 30), factor=2.0).labels["instance"].numpy()
    assert set(np.unique(coarser).tolist()) == {OUTSIDE, 0, 1, 2, 3}
    # Twin: all others are none of these, so that no object lies there.
    others = maps(drawn(tmp_path, write_raster, background=None, partial="others"), scene.rect)
    assert not (others["instance"] < 0).any()


def read_in_child(scene: Scene, rect: Rect, queue: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    queue.put(scene.read_map("interior", rect))


def test_maps_are_the_same_in_memory_pickled_in_a_fork_and_in_parts(
    write_raster: Callable[..., Path], tmp_path: Path
) -> None:
    scene = drawn(tmp_path, write_raster)
    whole = maps(scene, scene.rect)
    loaded = in_memory([scene], 100)[0]
    assert loaded is not scene and loaded.label_maps == scene.label_maps
    rect = Rect(5, 3, 20, 30)
    for other in (loaded, pickle.loads(pickle.dumps(scene)), scene):
        for name, found in maps(other, rect).items():
            assert np.array_equal(found, whole[name][rect.slices]), name
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=read_in_child, args=(scene, rect, queue))
    child.start()
    assert np.array_equal(queue.get(timeout=30), whole["interior"][rect.slices])
    child.join()
    assert in_memory([scene], 40 * 60 * 10 / 2**20 - 0.001)[0] is scene, "maps count: three bytes, two, and five"


def test_a_part_of_a_scene_knows_nothing_elsewhere(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    scene = drawn(tmp_path, write_raster)
    part = MaskedScene(scene, lambda rect: np.broadcast_to(np.arange(rect.left, rect.right) < 30, rect.shape))
    found = maps(part, scene.rect)
    assert part.label_maps == scene.label_maps
    assert (found["instance"][:, 30:] == -1).all() and (found["interior"][:, 30:] == 255).all()
    assert np.array_equal(found["interior"][:, :30], scene.read_map("interior", scene.rect)[:, :30])
    crop = read_crop(part, Rect(0, 20, 24, 24))
    assert crop.labels["instance"].dtype.itemsize == 4 and set(crop.labels) == {"class", "instance", "interior"}


def test_ids_make_classes_where_there_are_no_others(write_raster: Callable[..., Path]) -> None:
    ids = np.zeros((40, 60), np.uint16)
    ids[3:9, 3:9], ids[3:9, 9:14] = 900, 12
    item = Item(image(write_raster), ids=write_raster(ids, "a_ids.tif"))
    found = maps(scene_of(item, ImageLabelOptions(TWO)), Rect(0, 0, 40, 60))
    assert np.array_equal(found["class"], ids > 0)
    assert np.array_equal(found["instance"], np.where(ids == 900, 2, np.where(ids == 12, 1, 0)))
    labelled = replace(item, labels=write_raster(np.full((40, 60), 2, np.uint8), "a_labels.tif"))
    found = maps(scene_of(labelled, ImageLabelOptions(CLASSES)), Rect(0, 0, 40, 60))
    assert (found["class"] == 2).all() and found["instance"].max() == 2
    with pytest.raises(ClassError, match=r"land, pond could be meant where there is no object: name one of them"):
        scene_of(item, ImageLabelOptions(CLASSES))
    assert scene_of(item, ImageLabelOptions(CLASSES, background="pond")).labels(Rect(0, 0, 1, 1))[0, 0] == 2
    with pytest.raises(ClassError, match=r"expected a class table with one class of things, got none; say thing"):
        scene_of(item, ImageLabelOptions(ClassMap.from_json([{"value": 1, "name": "a"}, {"value": 2, "name": "b"}])))


def test_ids_are_paired_by_name(write_raster: Callable[..., Path]) -> None:
    items = [Item(image(write_raster))]
    ids = write_raster(np.zeros((40, 60), np.uint16), "a_ids.tif")
    assert with_ids(items, str(ids))[0].ids == ids
    with pytest.raises(TrainingError, match=r"1 of 1 image has no id raster in .*b.tif: .*a.tif; expected a_ids.tif"):
        with_ids(items, str(write_raster(np.zeros((40, 60), np.uint16), "b.tif")))
    with pytest.raises(TrainingError, match=r"p.gpkg is a vector file: name it as the labels"):
        with_ids(items, "p.gpkg")


def test_polygons_of_no_class_of_things_are_refused(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    plain = ClassMap.from_json([{"value": n, "name": name} for n, name in enumerate(CLASSES.names)])
    options = ImageLabelOptions(plain, "kind", background="land", things=True)
    with pytest.raises(ClassError, match=r"p.gpkg has polygons of building, pond, and the class table calls none of"):
        scene_of(Item(image(write_raster), polygons=polygons(tmp_path)), options)


def test_sources_name_objects_once() -> None:
    assert "things" not in SourceSpec("a", polygons="p.gpkg").table() and "ids" not in SourceSpec("a").table()
    assert SourceSpec("a", ids="ids", background="land").table()["ids"] == "ids"
    for given in ({"things": True}, {"things": True, "polygons": "p", "partial_class": "x"}):
        with pytest.raises(TrainingError, match="things are polygons of classes"):
            SourceSpec("a", **given)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="ids go with label rasters, or alone"):
        SourceSpec("a", ids="i", polygons="p.gpkg")
    with pytest.raises(TrainingError, match="class_field, background, all_touched and buffer_m go with polygons"):
        SourceSpec("a", ids="i", labels="l", background="land")


def test_tiles_that_cut_houses_show_what_their_mosaic_shows(sample_tiles: Path) -> None:
    tiles = sorted((sample_tiles / "buildings/tiles").glob("*.tif"))
    polygons = sample_tiles / "buildings/buildings.gpkg"
    options = ImageLabelOptions(TWO, background="land", things=True)
    with open_source(tiles) as source:
        grid = source.grid
    labels = labels_for([Item(tile, polygons=polygons) for tile in tiles], options, LabelSetBuilder(TWO))
    drawn = labels[0]
    assert isinstance(drawn, LabelPolygons) and drawn.objects is not None
    whole = drawn.objects.on(grid)
    cut = 0
    for tile in tiles:
        scene = RasterScene("s", Opener(tile, None, (drawn,), 2))
        assert scene.grid is not None
        offset = grid.offset_of(scene.grid)
        assert offset is not None
        rect = scene.rect.shifted(*offset)
        ids, interior = (scene.read_map(name, scene.rect) for name in ("instance", "interior"))
        assert np.array_equal(ids, whole.read(rect)) and np.array_equal(interior, whole.interior(rect))
        for number in np.unique(ids[-1][ids[-1] > 0]).tolist():  # Twin: distances in the tile alone are others.
            part = np.s_[-150:]
            own = ids[part] == number
            cut += not np.array_equal(_shares(own), np.where(own, interior[part], 0))
    assert cut > 10


def test_a_source_pairs_rasters_of_ids_with_its_images(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    tile, ids = image(write_raster), write_raster(np.zeros((40, 60), np.uint16), "a_ids.tif")
    labels = write_raster(np.zeros((40, 60), np.uint8), "a_labels.tif")
    assert find_items(SourceSpec("a.tif", ids="a_ids.tif"), tmp_path, tmp_path) == [Item(tile, ids=ids)]
    both = SourceSpec("a.tif", ids="a_ids.tif", labels="a_labels.tif")
    assert find_items(both, tmp_path, tmp_path) == [Item(tile, labels, ids=ids)]
    with pytest.raises(TrainingError, match=r"source 'a.tif': .*b_ids.tif: no such file"):
        find_items(SourceSpec("a.tif", ids="b_ids.tif"), tmp_path, tmp_path)

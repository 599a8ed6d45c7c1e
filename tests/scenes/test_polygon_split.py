"""Splits by whole polygons: none is cut, neighbours stay together, and every class that can be is on both sides."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import TrainingError
from landseg.geo.grid import Grid
from landseg.labels.image_lists import Item
from landseg.labels.polygons import PolygonLabels
from landseg.scenes import polygon_split as module
from landseg.scenes.balance import _Cost
from landseg.scenes.opening import ImageLabelOptions
from landseg.scenes.scene import Scene
from landseg.scenes.split import Split, SplitOptions, split
from tests.parts.data_facts import facts
from tests.parts.labelled import NETWORK, QUICK, landseg
from tests.parts.opened import open_items
from tests.parts.places import HALF_METRE, UTM

Boxes = Sequence[tuple[str, float, float, float, float]]
"""Class, left, top, right and bottom in pixels of the raster."""
Drawing = Callable[..., tuple[list[Scene], tuple[str, ...], Path]]

SPARSE = [("ab"[n % 2], 40 * n + 4, 10 + 3 * n, 40 * n + 30, 30 + 2 * n) for n in range(8)]


def written(folder: Path, boxes: Boxes, name: str = "drawn.geojson") -> Path:
    shapes = [shapely.transform(shapely.box(*box), lambda p: p * [0.5, -0.5] + origin()) for _, *box in boxes]
    frame = geopandas.GeoDataFrame({"kind": [box[0] for box in boxes]}, geometry=shapes, crs=UTM)
    frame.to_file(folder / name)
    return folder / name


def origin() -> list[float]:
    return [HALF_METRE.c, HALF_METRE.f]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import rasterio

    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    pixels = np.random.default_rng(3).integers(1, 255, (1, 60, 330), np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=60, width=330, dtype="uint8", crs=UTM, transform=HALF_METRE
    ) as raster:
        raster.write(pixels)
    return path


@pytest.fixture
def drawing(scene: Path, tmp_path: Path) -> Drawing:
    """Scenes, class names and the vector file of some boxes."""

    def draw(boxes: Boxes, **more: Any) -> tuple[list[Scene], tuple[str, ...], Path]:
        names = tuple(sorted({box[0] for box in boxes} | set(filter(None, [more.get("background")]))))
        table = ClassMap.from_json([{"value": n, "name": name} for n, name in enumerate(names, start=1)])
        path = written(tmp_path, boxes)
        options = ImageLabelOptions(table, field="kind", **more)
        return open_items([Item(scene, polygons=path)], options)[0], names, path

    return draw


def sides(scene: Scene, found: Split, path: Path) -> list[tuple[int, int]]:
    """Pixels of each polygon that are learned and that are kept."""
    assert scene.grid is not None
    numbers = PolygonLabels(path, "kind").burn_numbers(scene.grid)
    known = []
    for side in (found.learned, found.kept):
        target = side[0].read(scene.rect)[2] if side else np.full(scene.shape, IGNORE_INDEX, np.uint8)
        known.append([int(((numbers == n) & (target != IGNORE_INDEX)).sum()) for n in range(int(numbers.max()) + 1)])
    return list(zip(*known, strict=True))


def assert_whole(scene: Scene, found: Split, path: Path) -> None:
    """Every polygon's pixels are all on one side."""
    assert all(not (learned and kept) for learned, kept in sides(scene, found, path)), "a polygon is cut"


def assert_both(found: Split) -> None:
    """Every class is on both sides."""
    assert all(learned and kept for learned, kept in zip(found.learned_px, found.kept_px, strict=True)), found


def test_no_polygon_is_cut_and_every_class_is_on_both_sides(drawing: Drawing) -> None:
    scenes, names, path = drawing(SPARSE)
    found = split(scenes, SplitOptions(by="block"), classes=names)
    assert found.by == "polygon" and found.polygons is not None and sum(found.polygons) == 8
    assert any("8 polygons, which blocks would cut" in note for note in found.notes)
    assert_whole(scenes[0], found, path)
    assert_both(found)
    assert sum(found.learned_px) + sum(found.kept_px) == sum(map(sum, sides(scenes[0], found, path)))


def test_twin_blocks_cut_polygons(drawing: Drawing) -> None:
    scenes, names, path = drawing(SPARSE)
    found = split(scenes, SplitOptions(by="block", block_px=18, share=0.4), classes=names)
    assert found.by == "block"
    with pytest.raises(AssertionError, match="a polygon is cut"):
        assert_whole(scenes[0], found, path)


layouts = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 2), st.integers(3, 40), st.integers(3, 26)),
    min_size=2,
    max_size=14,
)


def boxes_of(layout: Sequence[tuple[str, int, int, int, int]]) -> Boxes:
    return [(kind, 33 * x, 20 * y, 33 * x + w, min(60, 20 * y + h)) for kind, x, y, w, h in layout]


def apart_or_together(boxes: Boxes, found: Split, scene: Scene, path: Path, distance: float) -> None:
    """Polygons as near as ``distance`` pixels are on one side."""
    side = [bool(kept) if learned or kept else None for learned, kept in sides(scene, found, path)]
    for one, (_, *a) in enumerate(boxes[: len(side)]):
        for two, (_, *b) in enumerate(boxes[: len(side)]):
            if shapely.box(*a).distance(shapely.box(*b)) <= distance and None not in (side[one], side[two]):
                assert side[one] == side[two], "neighbours are on two sides"


@settings(max_examples=25)
@given(layouts, st.integers(0, 3), st.sampled_from([0, 12]))
def test_neighbours_stay_together(
    scene: Path, tmp_path_factory: pytest.TempPathFactory, layout: Any, seed: int, gap: int
) -> None:
    boxes = boxes_of(layout)
    names = tuple(sorted({box[0] for box in boxes}))
    path = written(tmp_path_factory.mktemp("drawn"), boxes)
    table = ClassMap.from_json([{"value": n, "name": name} for n, name in enumerate(names, start=1)])
    scenes = open_items([Item(scene, polygons=path)], ImageLabelOptions(table, field="kind"))[0]
    wanted = SplitOptions(by="polygon", seed=seed, gap_px=gap)
    try:
        found = split(scenes, wanted, classes=names)
    except TrainingError as error:
        assert "one group" in str(error)
        return
    assert_whole(scenes[0], found, path)
    apart_or_together(boxes, found, scenes[0], path, gap or module.TOUCHING)
    again = split(scenes, wanted, classes=names)
    assert (again.learned_px, again.kept_px, again.notes) == (found.learned_px, found.kept_px, found.notes)


TOUCHING = [("a", 0, 0, 40, 50), ("a", 40, 0, 50, 50), ("b", 120, 0, 150, 50), ("b", 150, 0, 160, 50)]
TOUCHING += [("a", 250, 0, 262, 50), ("b", 300, 0, 312, 50)]


def test_twin_neighbours_apart_are_noticed(drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, names, path = drawing(TOUCHING)
    found = split(scenes, SplitOptions(by="polygon", share=0.2), classes=names)
    apart_or_together(TOUCHING, found, scenes[0], path, 2)
    monkeypatch.setattr(module.PolygonGround, "groups", lambda self, apart: np.arange(len(self.shown)))
    lone = [split(scenes, SplitOptions(by="polygon", share=0.17, seed=s), classes=names) for s in range(6)]
    with pytest.raises(AssertionError, match="neighbours"):
        for found in lone:
            apart_or_together(TOUCHING, found, scenes[0], path, 2)


def test_a_class_of_one_polygon_is_learned_and_that_is_said(
    drawing: Drawing, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = [("a", 0, 0, 150, 60), ("a", 200, 5, 230, 40), ("pond", 230, 5, 245, 40)]  # the small ones touch
    scenes, names, _ = drawing(boxes)

    def check() -> None:
        for seed in range(6):
            found = split(scenes, SplitOptions(by="polygon", seed=seed), classes=names)
            pond = names.index("pond")
            assert found.learned_px[pond] and not found.kept_px[pond]
            assert [note for note in found.notes if note.startswith("pond has one polygon only, which is learned")]
            assert not [note for note in found.notes if "no kept pixel" in note]

    check()
    of = _Cost.of

    def blind(self: _Cost, kept: Any) -> Any:
        self.alone = np.zeros_like(self.alone)
        return of(self, kept)

    monkeypatch.setattr(_Cost, "of", blind)
    with pytest.raises(AssertionError):
        check()


def test_neighbours_of_two_classes_are_named(drawing: Drawing) -> None:
    boxes = [*[("a", 60 * n, 5, 60 * n + 30, 40) for n in range(4)], ("b", 250, 5, 260, 40), ("b", 261, 5, 280, 40)]
    scenes, names, _ = drawing(boxes)
    found = split(scenes, SplitOptions(by="polygon"), classes=names)
    assert "b has 2 polygons that are neighbours only, which" in "\n".join(found.notes)


def test_polygons_are_far_apart_as_long_as_classes_allow(drawing: Drawing) -> None:
    boxes = [("a", 0, 0, 20, 20), ("a", 24, 0, 40, 20), ("a", 290, 0, 320, 20), ("b", 0, 30, 20, 50)]
    scenes, names, path = drawing([*boxes, ("b", 290, 30, 320, 50)])
    found = split(scenes, SplitOptions(by="polygon", share=0.4), classes=names)
    kept = [bool(k) for _, k in sides(scenes[0], found, path)]
    assert kept[0] == kept[1] == kept[3] and kept[2] == kept[4] != kept[0]


def test_where_blocks_stay(drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, names, _ = drawing(SPARSE)
    for said in ({"block_px": 20}, {"gap_px": 1, "crop": 40}):
        assert split(scenes, SplitOptions(by="block", share=0.4, **said), classes=names).by == "block"
    monkeypatch.setattr(module, "FEW", 7)
    assert split(scenes, SplitOptions(by="block", crop=20), classes=names).by == "block"
    filled, names, _ = drawing(SPARSE, background="b")
    assert split(filled, SplitOptions(by="block", crop=20), classes=names).by == "block"
    with pytest.raises(TrainingError, match="labels of scene are no polygons, or something is known outside"):
        split(filled, SplitOptions(by="polygon"), classes=names)


def test_one_group_is_refused(drawing: Drawing) -> None:
    scenes, names, _ = drawing([("a", 0, 0, 20, 20), ("b", 20, 0, 40, 20)])
    with pytest.raises(TrainingError, match="2 polygons with labels touch each other"):
        split(scenes, SplitOptions(by="polygon"), classes=names)
    with pytest.raises(TrainingError, match="a gap goes with a split by block or by polygon, not by file"):
        SplitOptions(gap_px=4)


def test_parts_of_a_multipolygon_are_polygons(scene: Path, tmp_path: Path) -> None:
    """A layer that was dissolved by class has one feature a class."""
    path = written(tmp_path, SPARSE)
    geopandas.read_file(path).dissolve("kind", as_index=False).to_file(tmp_path / "dissolved.gpkg")
    table = ClassMap.from_json([{"value": 1, "name": "a"}, {"value": 2, "name": "b"}])
    options = ImageLabelOptions(table, field="kind")
    scenes = open_items([Item(scene, polygons=tmp_path / "dissolved.gpkg")], options)[0]
    found = split(scenes, SplitOptions(by="polygon"), classes=("a", "b"))
    assert found.polygons == (6, 2)
    assert_whole(scenes[0], found, path)
    assert_both(found)


def test_scenes_that_share_a_polygon_agree_on_it(scene: Path, tmp_path: Path, write_raster: Any) -> None:
    path = written(tmp_path, SPARSE)
    beside = HALF_METRE @ HALF_METRE.translation(100, 0)
    pixels = np.random.default_rng(4).integers(1, 255, (1, 60, 230), np.uint8)
    other = write_raster(pixels, "other.tif", transform=beside)
    table = ClassMap.from_json([{"value": 1, "name": "a"}, {"value": 2, "name": "b"}])
    scenes = open_items([Item(one, polygons=path) for one in (scene, other)], ImageLabelOptions(table, field="kind"))[
        0
    ]
    found = split(scenes, SplitOptions(by="polygon"), classes=("a", "b"))
    turned = split(scenes[::-1], SplitOptions(by="polygon"), classes=("a", "b"))
    assert found.kept_px == turned.kept_px and not [note for note in found.notes if note.startswith("leak")]
    known = {side: np.zeros((60, 330), bool) for side in ("learned", "kept")}
    for side in known:
        for one in getattr(found, side):
            left = 0 if one.name == "scene" else 100
            known[side][:, left : left + one.shape[1]] |= one.read(one.rect)[2] != IGNORE_INDEX
    assert known["kept"].any() and not (known["kept"] & known["learned"]).any()


def test_files_that_lack_classes_hint_at_polygons(scene: Path, tmp_path: Path, write_raster: Any) -> None:
    boxes = [("a", 0, 0, 20, 20), ("a", 200, 0, 220, 20), *(("b", 40 * n, 90, 40 * n + 20, 110) for n in range(3))]
    pixels = np.random.default_rng(4).integers(1, 255, (1, 60, 330), np.uint8)
    below = write_raster(pixels, "below.tif", transform=HALF_METRE @ HALF_METRE.translation(0, 80))
    table = ClassMap.from_json([{"value": 1, "name": "a"}, {"value": 2, "name": "b"}])
    items, options = (
        [Item(one, polygons=written(tmp_path, boxes)) for one in (scene, below)],
        ImageLabelOptions(table, field="kind"),
    )
    scenes = open_items(items, options)[0]
    notes = "\n".join(split(scenes, SplitOptions(), classes=("a", "b")).notes)
    assert "no kept pixel is" in notes and "--split polygon splits these" in notes
    found = split(scenes, SplitOptions(by="polygon"), classes=("a", "b"))
    assert_both(found)
    assert "--split polygon" not in "\n".join(found.notes)


def test_numbers_of_polygons(tmp_path: Path) -> None:
    labels = PolygonLabels(written(tmp_path, [("a", 0, 0, 4, 4), ("b", 2, 0, 8, 4), ("a", 20, 0, 24, 4)]), "kind")
    grid = Grid(UTM, HALF_METRE, 10, 4)
    assert labels.burn_numbers(grid)[0].tolist() == [0, 0, 1, 1, 1, 1, 1, 1, -1, -1]
    last = labels.chosen(np.array([False, True, True]))
    assert last.numbers.tolist() == [1, 2] and last.known_counts() == {"a": 1, "b": 1}
    assert last.burn_numbers(grid)[0].tolist() == [-1, -1, 1, 1, 1, 1, 1, 1, -1, -1]


def test_the_samples_that_ship(sample_tiles: Path) -> None:
    named = (sample_tiles / "banepa_scene.tif", sample_tiles / "banepa_scene_samples.geojson")
    found = facts(*named, "--class-field", "class", "--split", "block")["split"]
    assert found["by"] == "polygon" and found["learned_polygons"] + found["kept_polygons"] == 19
    assert len(found["kept_pixels"]) == 5
    assert all(found["kept_pixels"].values()) and all(found["learned_pixels"].values())
    assert abs(found["kept_share"] - 0.2) < 0.05


def test_training_keeps_whole_polygons_out(scene: Path, tmp_path: Path, quick_disk: None) -> None:
    path = written(tmp_path, SPARSE)
    named = (scene, path, "--class-field", "kind", "-o", tmp_path / "m.safetensors")
    result = landseg("train", *named, *NETWORK, *QUICK, "--json")
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)["metrics"]["measured_on"]
    assert measured.endswith("split by polygon: 2 of 8 polygons"), measured
    assert "8 polygons, which blocks would cut" in result.stderr

"""Scenes on disk and in memory, and crops of them at any magnification."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.geometry import box

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import TrainingError
from landseg.geo.grid import Rect, scaled_size
from landseg.geo.pieces import parts
from landseg.geo.rasters.source import FileSource
from landseg.geo.resample import box_taps
from landseg.labels import regrid
from landseg.labels.image_lists import Item
from landseg.labels.regrid import resample_labels
from landseg.scenes.open_files import OpenFiles
from landseg.scenes.opening import ImageLabelOptions
from landseg.scenes.scene import ArrayScene, Example, RasterScene, Scene
from landseg.scenes.views import MaskedScene, in_memory
from landseg.training.crops import Crop, read_crop
from tests.parts.opened import open_items
from tests.parts.places import HALF_METRE, UTM

CLASSES = ClassMap.from_json([{"value": 1, "name": "land"}, {"value": 2, "name": "water"}])


def placed(height: int = 40, width: int = 60, **options: object) -> ArrayScene:
    """Pixels that name their place, and a target that is 1 in the right third."""
    rows, columns = np.mgrid[0:height, 0:width]
    target = (columns >= width * 2 // 3).astype(np.uint8)
    pixels = np.stack([rows, columns, rows + columns]).astype(np.uint8)
    return ArrayScene("s", pixels, np.ones(target.shape, bool), target, **options)  # type: ignore[arg-type]


def scene_on_disk(write: Callable[..., Path], height: int = 50, width: int = 70) -> Scene:
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 255, (3, height, width)).astype(np.uint8)
    valid = rng.random((height, width)) > 0.1
    labels = rng.integers(0, 3, (height, width)).astype(np.uint8)
    item = Item(write(pixels, "a.tif", valid=valid), write(labels, "a_labels.tif"))
    return open_items([item], ImageLabelOptions(CLASSES))[0][0]


@given(top=st.integers(-10, 35), left=st.integers(-10, 55), size=st.integers(1, 30))
def test_a_crop_shows_its_place_and_ignores_what_lies_outside(top: int, left: int, size: int) -> None:
    scene = placed()
    crop = read_crop(scene, Rect(top, left, size, size))
    for y in range(0, size, 7):
        for x in range(0, size, 7):
            inside = 0 <= top + y < 40 and 0 <= left + x < 60
            assert bool(crop.valid[y, x]) == inside
            expected = scene.target[top + y, left + x] if inside else IGNORE_INDEX
            assert crop.labels["class"][y, x] == expected
            assert not inside or crop.pixels[:2, y, x].tolist() == [top + y, left + x]


def test_a_crop_is_named_by_its_place_in_the_scene_and_owns_its_memory() -> None:
    scene = placed()
    assert read_crop(scene, Rect(2, 4, 10, 10), factor=2.0).name == "s at rows 4 to 23, columns 8 to 27"
    crop = read_crop(scene, Rect(0, 0, 10, 10))
    crop.pixels.add_(1)
    crop.labels["class"].add_(1)
    assert scene.pixels[0, 0, 0] == 0 and scene.target[0, 0] == 0
    far = read_crop(scene, Rect(500, 500, 4, 4))
    assert not far.valid.any() and (far.labels["class"] == IGNORE_INDEX).all() and far.pixels.shape == (3, 4, 4)


@pytest.mark.parametrize("factor", [0.3, 0.77, 1.5, 2.0, 3.3])
def test_training_sees_the_pixels_that_predict_sees(factor: float, write_raster: Callable[..., Path]) -> None:
    scene = scene_on_disk(write_raster)
    with FileSource(write_raster(np.zeros((3, 1, 1), np.uint8), "other.tif").parent / "a.tif") as source:
        predicted, valid = source.at_scale(factor).read(source.at_scale(factor).grid.rect)
    height, width = valid.shape
    side = min(height, width) - 3
    crop = read_crop(scene, Rect(2, 1, side, side), factor=factor)
    assert np.array_equal(crop.valid, valid[2 : 2 + side, 1 : 1 + side])
    known = crop.valid.numpy()
    assert np.array_equal(crop.pixels.numpy()[:, known], predicted[:, 2 : 2 + side, 1 : 1 + side][:, known])
    # Twin: torch's own resizing of the whole makes other pixels.
    whole = torch.from_numpy(scene.read(scene.rect)[0].astype(np.float32))[None]
    resized = F.interpolate(whole, (height, width), mode="bilinear", antialias=True)[0].round().numpy()
    assert not np.array_equal(resized[:, 2 : 2 + side, 1 : 1 + side][:, known], crop.pixels.numpy()[:, known])


def test_only_the_window_that_is_needed_is_read() -> None:
    asked: list[Rect] = []

    class Watched(ArrayScene):
        def read(self, rect: Rect):  # type: ignore[no-untyped-def]
            asked.append(rect)
            return super().read(rect)

    scene = placed(200, 200)
    watched = Watched("w", scene.pixels, scene.valid, scene.target)
    for factor in (0.25, 1.0, 2.5):
        read_crop(watched, Rect(20, 30, 16, 16), factor=factor)
        rect = asked.pop()
        exact = Rect(int(20 * factor) - 1, int(30 * factor) - 1, int(16 * factor) + 3, int(16 * factor) + 3)
        assert exact.contains(rect), factor


# --- labels stay where the imagery is ---------------------------------------------------------------------------


class Blob(ArrayScene):
    """A bright disc whose label is 1, among dark land (0), far out in a scene that is made up as it is read."""

    def __init__(self, cy: float, cx: float, radius: float) -> None:
        empty = np.zeros((1, 1), np.uint8)
        super().__init__("blob", empty[None], empty == 0, empty)
        object.__setattr__(self, "disc", (cy, cx, radius))

    @property
    def shape(self) -> tuple[int, int]:
        return 100_000, 100_000

    def read(self, rect: Rect) -> Example:
        cy, cx, radius = self.disc  # type: ignore[attr-defined]
        y, x = (
            (np.arange(n * 4) + 0.5) / 4 + first for n, first in ((rect.height, rect.top), (rect.width, rect.left))
        )
        inside = (y[:, None] - cy) ** 2 + (x[None] - cx) ** 2 <= radius**2
        share = inside.reshape(rect.height, 4, rect.width, 4).mean((1, 3))
        return (share * 240).round().astype(np.uint8)[None], share >= 0, (share > 0.5).astype(np.uint8)


# Spread evenly, so that errors of rounding cancel out.
BLOBS = [
    Blob(100 + 90_000 * (i * 0.7549 % 1), 100 + 90_000 * (i * 0.5698 % 1), 15 + 4 * (i * 0.618 % 1))
    for i in range(80)
]


def centre(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    y, x = np.mgrid[0 : weights.shape[0], 0 : weights.shape[1]] + 0.5
    return np.array([(weights * y).sum(), (weights * x).sum()]) / weights.sum()


def assert_centred(factor: float, labels: Callable[[Blob, Rect, float, Crop], NDArray[np.uint8]]) -> None:
    """Labels are whole pixels, which moves the centre of one blob by some hundredths: not that of many on average."""
    apart = []
    for scene in BLOBS:
        cy, cx, _ = scene.disc  # type: ignore[attr-defined]
        side = 2 * int(24 / factor + 1)
        rect = Rect(int((cy - 24) / factor) // 2 * 2, int((cx - 24) / factor) // 2 * 2, side, side)
        crop = read_crop(scene, rect, factor=factor)
        found = labels(scene, rect, factor, crop)
        apart.append(centre((found == 1).astype(np.float64)) - centre(crop.pixels[0].numpy().astype(np.float64)))
    assert np.abs(np.mean(apart, axis=0)).max() < 0.05, np.mean(apart, axis=0)


def by_mode(scene: Blob, rect: Rect, factor: float, crop: Crop) -> NDArray[np.uint8]:
    return crop.labels["class"].numpy()


def by_nearest(scene: Blob, rect: Rect, factor: float, crop: Crop) -> NDArray[np.uint8]:
    there = Rect(*(round(v * factor) for v in (rect.top, rect.left, rect.height, rect.width)))
    target = torch.from_numpy(scene.read(there)[2])[None, None]
    return F.interpolate(target.float(), rect.shape, mode="nearest")[0, 0].numpy()


@settings(max_examples=12)
@given(factor=st.floats(0.4, 2.5))
def test_the_label_of_a_blob_stays_on_it_at_any_zoom(factor: float) -> None:
    assert_centred(factor, by_mode)


@pytest.mark.parametrize("factor", [0.5, 2 / 3, 1.5, 2.0, 3.0])
def test_the_label_of_a_blob_stays_on_it_where_pixels_are_split_evenly(factor: float) -> None:
    assert_centred(factor, by_mode)


@pytest.mark.parametrize("factor", [1.5, 2.0, 2.5])
def test_twin_biased_nearest_moves_the_label(factor: float) -> None:
    with pytest.raises(AssertionError):
        assert_centred(factor, by_nearest)


@given(st.integers(0, 2**32), st.floats(0.3, 4), st.integers(2, 9))
def test_labels_go_to_the_one_that_covers_most(seed: int, factor: float, kinds: int) -> None:
    labels = np.random.default_rng(seed).integers(0, kinds, (9, 11)).astype(np.uint8)
    labels[labels == 1] = IGNORE_INDEX
    rows = box_taps(0, scaled_size(9, factor), factor=factor, size=9)
    columns = box_taps(0, scaled_size(11, factor), factor=factor, size=11)
    shown = [slice(taps.start, taps.stop) for taps in (rows, columns)]
    found = resample_labels(labels[shown[0], shown[1]], rows=rows, columns=columns, void=IGNORE_INDEX)
    for y in range(rows.size):
        for x in range(columns.size):
            cover = np.outer(rows.weight[y], columns.weight[x])
            under = labels[rows.start :][rows.index[y]][:, columns.start + columns.index[x]]
            shares = {int(kind): cover[under == kind].sum() for kind in np.unique(under)}
            assert shares[int(found[y, x])] >= max(shares.values()) - 1e-5


@pytest.mark.parametrize("ballots", [1, 50, 1000])
def test_votes_are_counted_in_parts(ballots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(5).integers(0, 3, (40, 30)).astype(np.uint8)
    taps = [box_taps(0, scaled_size(size, 2.6), factor=2.6, size=size) for size in labels.shape]
    whole = resample_labels(labels, rows=taps[0], columns=taps[1], void=IGNORE_INDEX)
    monkeypatch.setattr(regrid, "BALLOTS", ballots)
    assert np.array_equal(resample_labels(labels, rows=taps[0], columns=taps[1], void=IGNORE_INDEX), whole)
    # The twin: where only the first pixel under each is asked, others win.
    monkeypatch.setattr(regrid, "largest_share", lambda codes, shares, kinds: codes[:, 0])
    assert not np.array_equal(resample_labels(labels, rows=taps[0], columns=taps[1], void=IGNORE_INDEX), whole)


def test_unknown_is_a_label_that_has_to_be_outvoted() -> None:
    taps = box_taps(0, 1, factor=3.0, size=3)

    def label(rows: list[list[int]]) -> int:
        return int(resample_labels(np.array(rows, np.uint8), rows=taps, columns=taps, void=255)[0, 0])

    assert label([[255, 255, 255], [255, 255, 1], [2, 2, 2]]) == 255
    assert label([[255, 255, 255], [1, 1, 1], [2, 2, 2]]) == 1  # as common: what is known, and the smaller
    assert label([[255, 255, 255], [2, 1, 1], [2, 2, 2]]) == 2


# --- on disk, in memory, in part --------------------------------------------------------------------------------


def test_a_scene_on_disk_is_that_in_memory(write_raster: Callable[..., Path]) -> None:
    scene = scene_on_disk(write_raster)
    assert (
        isinstance(scene, RasterScene) and scene.channels == 3 and scene.resolution_m == pytest.approx(0.5, rel=1e-2)
    )
    (kept,) = in_memory([scene], 1)
    assert isinstance(kept, ArrayScene) and kept.grid == scene.grid and kept.name == scene.name == "a"
    for rect in (scene.rect, Rect(3, 7, 20, 11)):
        for one, other in zip(scene.read(rect), kept.read(rect), strict=True):
            assert np.array_equal(one, other) and one.dtype == other.dtype
    _, valid, target = kept.read(kept.rect)
    assert (target[~valid] == IGNORE_INDEX).all() and set(np.unique(target)) == {0, 1, IGNORE_INDEX}
    assert in_memory([scene], 0) == [scene]


def test_the_smallest_scenes_that_fit_together_are_held(write_raster: Callable[..., Path]) -> None:
    items = []
    for name, side in (("big", 700), ("small", 300), ("middle", 500)):
        image = write_raster(np.ones((3, side, side), np.uint8), f"{name}.tif")
        items.append(Item(image, write_raster(np.ones((side, side), np.uint8), f"{name}_labels.tif")))
    scenes = open_items(items, ImageLabelOptions(CLASSES))[0]
    held = in_memory(scenes, budget_mib=2)  # 5 bytes a pixel: 0.43 + 1.19 + 2.34 MiB
    assert [type(scene) for scene in held] == [RasterScene, ArrayScene, ArrayScene]


def _sum_of(scene: Scene, rect: Rect) -> int:
    return int(scene.read(rect)[0].sum(dtype=np.int64))


def _child(scene: Scene, rect: Rect, queue: multiprocessing.Queue[int]) -> None:
    queue.put(_sum_of(scene, rect))


def test_scenes_are_read_by_threads_forks_and_other_processes(write_raster: Callable[..., Path]) -> None:
    scene = scene_on_disk(write_raster)
    rect = Rect(5, 6, 30, 40)
    expected = _sum_of(scene, rect)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: _sum_of(scene, rect), range(20))) == {expected}
    assert _sum_of(pickle.loads(pickle.dumps(scene)), rect) == expected
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(scene, rect, queue))
    child.start()
    assert queue.get(timeout=30) == expected
    child.join()


def test_scenes_with_polygons_can_be_pickled(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    left, top = HALF_METRE @ (0, 0)
    right, bottom = HALF_METRE @ (10, 10)
    vector = tmp_path / "v.gpkg"
    geopandas.GeoDataFrame({"k": ["water"]}, geometry=[box(left, bottom, right, top)], crs=UTM).to_file(vector)
    image = write_raster(np.ones((3, 20, 20), np.uint8), "a.tif")
    scene = open_items([Item(image, polygons=vector)], ImageLabelOptions(CLASSES, field="k", background="land"))[0][0]
    target = scene.read(scene.rect)[2]
    assert (target[:10, :10] == 1).all() and target.sum() == 100
    assert np.array_equal(pickle.loads(pickle.dumps(scene)).read(scene.rect)[2], target)


def test_files_beyond_the_limit_are_closed_when_nobody_reads_them() -> None:
    class File:
        def __init__(self) -> None:
            self.closed = False
            opened.append(self)

        def close(self) -> None:
            self.closed = True

    opened: list[File] = []
    pool = OpenFiles(limit=2)
    with pool.using("a", File) as a:
        for key in ("b", "c", "b", "d"):
            with pool.using(key, File):
                assert not a.closed
    assert [file.closed for file in opened] == [False, True, True, False] or sum(not f.closed for f in opened) == 2
    with pool.using("a", File) as again:
        assert again is a or a.closed
    pool.forget()
    with pool.using("a", File) as fresh:
        assert fresh is not a


def test_a_mask_hides_targets_and_nothing_else() -> None:
    scene = placed()
    part = MaskedScene(
        scene, lambda rect: np.arange(rect.left, rect.right)[None].repeat(rect.height, 0) < 30, name="west"
    )
    assert part.name == "west" and part.shape == scene.shape and part.channels == 3
    for rect in (scene.rect, Rect(3, 20, 10, 20)):
        pixels, valid, target = part.read(rect)
        shown = np.arange(rect.left, rect.right) < 30
        assert (target[:, ~shown] == IGNORE_INDEX).all()
        assert np.array_equal(target[:, shown], scene.read(rect)[2][:, shown])
        assert valid.all() and np.array_equal(pixels, scene.read(rect)[0])
    assert sum(int((target == IGNORE_INDEX).sum()) for _, target in part.survey()) == 40 * 30


@given(st.integers(1, 9000), st.integers(1, 20000))
def test_parts_of_a_survey_partition_the_scene_and_stay_small(height: int, width: int) -> None:
    found = list(parts((height, width)))
    assert sum(part.area for part in found) == height * width
    assert max(part.area for part in found) <= 2048**2 and all(
        part.top % 256 == part.left % 256 == 0 for part in found
    )
    assert all(Rect(0, 0, height, width).contains(part) for part in found)


def test_arrays_of_different_sizes_make_no_scene() -> None:
    with pytest.raises(TrainingError, match="expected pixels, validity and target of one size"):
        ArrayScene("b", np.zeros((3, 4, 4), np.uint8), np.ones((4, 4), bool), np.zeros((40, 40), np.uint8))

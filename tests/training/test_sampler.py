"""What crops are drawn: a function of seed, step and number; rare classes in sight; bounded memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.dense.losses import LabelSets
from landseg.errors import RasterError, TrainingError
from landseg.geo.grid import Grid
from landseg.labels.image_lists import Item
from landseg.scenes.label_counts import LabelCounts, count_labels
from landseg.scenes.opening import ImageLabelOptions
from landseg.scenes.scene import ArrayScene, Scene
from landseg.training.sampler import CropSampler, SamplingOptions, base_zoom
from tests.parts.opened import open_items
from tests.parts.places import HALF_METRE, UTM

SMALL = SamplingOptions(crop=16, batch=2)


def scene_of(target: np.ndarray, name: str = "s", **options: object) -> ArrayScene:
    """A scene whose first two bands are row and column."""
    rows, columns = np.indices(target.shape)
    pixels = np.stack([rows, columns]).astype(np.float32)
    return ArrayScene(name, pixels, np.ones(target.shape, bool), target.astype(np.uint8), **options)  # type: ignore[arg-type]


def rare(side: int = 300) -> ArrayScene:
    target = np.zeros((side, side))
    target[200:206, 90:96] = 1
    return scene_of(target)


def assert_pure(make: Callable[[], Callable[[int, int], torch.Tensor]]) -> None:
    first, second = make(), make()
    places = [(step, index) for step in (0, 1, 7) for index in (0, 1)]
    forward = {place: first(*place) for place in places}
    backward = {place: second(*place) for place in reversed(places)}
    assert all(torch.equal(forward[place], backward[place]) for place in places)
    assert len({tuple(crop[:, 0, 0].tolist()) for crop in forward.values()}) > 3


def test_a_crop_depends_on_seed_step_and_number_alone() -> None:
    def made(seed: int = 5) -> Callable[[int, int], torch.Tensor]:
        sampler = CropSampler([rare()], SamplingOptions(crop=16, scale=(0.5, 2.0)), seed=seed)
        return lambda step, index: sampler.draw(step, index).pixels

    assert_pure(made)
    assert not torch.equal(made(6)(0, 0), made(5)(0, 0))


def test_twin_dice_that_roll_on_are_not_pure() -> None:
    sampler = CropSampler([rare()], SMALL, seed=5)
    rolled = iter(range(1000))
    with pytest.raises(AssertionError):
        assert_pure(lambda: lambda step, index: sampler.draw(next(rolled), index).pixels)


def shares(scenes: list[Scene], options: SamplingOptions, label: int, **more: object) -> float:
    sampler = CropSampler(scenes, options, **more)  # type: ignore[arg-type]
    return float(np.mean([bool((sampler.draw(n, 0).labels["class"] == label).any()) for n in range(300)]))


def test_rare_labels_are_drawn_about_as_often_as_common_ones() -> None:
    half = shares([rare()], SMALL, 1)
    assert 0.15 < half < 0.35  # half of the crops are even ones, half of these aim at it
    assert shares([rare()], SamplingOptions(crop=16, balanced=1.0), 1) == pytest.approx(0.5, abs=0.1)
    assert shares([rare()], SamplingOptions(crop=16, balanced=0.0), 1) < 0.03  # twin: by area alone


def test_only_and_full_labels_of_a_class_are_drawn_as_one_and_exclusions_are_not() -> None:
    target = np.full((300, 300), 4)  # not class 1
    target[:6, :6], target[200:206, 90:96], target[290:, 290:] = 0, 3, 1  # class 0, only class 1, class 1
    sets = LabelSets.of(3, [[1], [0, 2]])
    sampler = CropSampler([scene_of(target)], SamplingOptions(crop=8, balanced=1.0), sets=sets)
    crops = [sampler.draw(n, 0).labels["class"] for n in range(200)]
    seen = {label: np.mean([bool((crop == label).any()) for crop in crops]) for label in (0, 1, 3)}
    assert seen[0] == pytest.approx(0.5, abs=0.12) and seen[1] + seen[3] == pytest.approx(0.5, abs=0.12)
    assert seen[3] > 0.05


def test_weight_and_area_decide_where_crops_come_from() -> None:
    zeros = np.zeros((256, 256))
    scenes = [scene_of(zeros, "a"), scene_of(zeros, "b", weight=3.0), scene_of(np.zeros((256, 512)), "c")]
    empty = scene_of(np.full((256, 256), IGNORE_INDEX), "d", weight=100.0)
    sampler = CropSampler([*scenes, empty], SMALL)
    names = [sampler.draw(n, 0).name[0] for n in range(600)]
    found = [names.count(name) / 600 for name in "abcd"]
    assert found == pytest.approx([1 / 6, 1 / 2, 1 / 3, 0], abs=0.07) and found[3] == 0


def test_crops_anywhere_look_where_labels_are_and_lie_evenly() -> None:
    target = np.full((2000, 1000), IGNORE_INDEX)
    target[1800:1900, 300:500] = 0
    sampler = CropSampler([scene_of(target)], SamplingOptions(crop=64, balanced=0.0))
    assert np.mean([bool((sampler.draw(n, 0).labels["class"] == 0).any()) for n in range(100)]) > 0.2  # by area: 0.03
    full = CropSampler([scene_of(np.zeros((300, 520)))], SamplingOptions(crop=8, balanced=0.0))
    middles = np.array([full.draw(n, 0).pixels[:, 4, 4].tolist() for n in range(600)])
    for axis, size in ((0, 300), (1, 520)):
        found, _ = np.histogram(middles[:, axis], bins=4, range=(0, size))
        assert found.min() > 100, axis


# --- resolution and magnification -------------------------------------------------------------------------------


def metres(resolution: float, side: int = 200) -> ArrayScene:
    grid = Grid(rasterio.crs.CRS.from_string(UTM), HALF_METRE @ Affine.scale(resolution * 2), side, side)
    return scene_of(np.zeros((side, side)), f"{resolution}", grid=grid)


def step_of(sampler: CropSampler, number: int) -> float:
    """Scene pixels from one pixel of a crop to the next."""
    rows = sampler.draw(number, 0).pixels[0, :, 8]
    return float((rows[12] - rows[4]) / 8)


@pytest.mark.parametrize(
    ("own", "wanted", "step"), [(0.5, 1.0, 2.0), (0.5, 0.25, 0.5), (2.0, 2.05, 1.0), (0.3, 0.3, 1.0)]
)
def test_scenes_of_any_resolution_are_brought_to_one(own: float, wanted: float, step: float) -> None:
    sampler = CropSampler([metres(own)], SamplingOptions(crop=16, resolution_m=wanted))
    assert [step_of(sampler, n) for n in range(5)] == pytest.approx([step] * 5, rel=5e-3)
    assert base_zoom(metres(own), wanted) == pytest.approx(1 / step, rel=5e-3)


def test_magnification_multiplies_and_covers_its_range(caplog: pytest.LogCaptureFixture) -> None:
    scene = ArrayScene(**{**vars(metres(0.5, 600)), "zoom": (2.0, 4.0)})
    sampler = CropSampler([scene], SamplingOptions(crop=16, resolution_m=1.0, scale=(0.5, 1.0)))
    steps = [step_of(sampler, n) for n in range(200)]  # 2 / zoom / scale: 0.5 to 2
    assert 0.49 < min(steps) < 0.65 and 1.5 < max(steps) < 2.01
    with caplog.at_level(logging.WARNING):
        plain = CropSampler([scene_of(np.zeros((60, 60)), "nowhere")], SamplingOptions(crop=16, resolution_m=1.0))
    assert step_of(plain, 0) == 1 and "1 scene has no coordinate system" in caplog.text and "nowhere" in caplog.text


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.3, 3), st.integers(0, 9))
def test_crops_have_their_size_and_show_the_scene_whatever_its_size(h: int, w: int, zoom: float, step: int) -> None:
    scene = scene_of(np.zeros((h, w)), zoom=(zoom, zoom))
    crop = CropSampler([scene], SMALL).draw(step, 0)
    assert crop.pixels.shape == (2, 16, 16) and crop.labels["class"].shape == (16, 16) == crop.valid.shape
    assert crop.valid.any() and torch.equal(crop.valid, crop.labels["class"] == 0)
    if h * zoom >= 17 and w * zoom >= 17:
        assert crop.valid.all()  # where the scene fits, nothing beside it is shown


# --- counts of labels ------------------------------------------------------------------------------------------


def assert_even(spots: np.ndarray, target: np.ndarray, label: int) -> None:
    """Spots are pixels of the label, and lie as its pixels do."""
    assert (target[spots[:, 0], spots[:, 1]] == label).all()
    rows = np.nonzero(target == label)[0]
    edges = np.quantile(rows, [0, 0.25, 0.5, 0.75, 1])
    found, _ = np.histogram(spots[:, 0], edges)
    expected, _ = np.histogram(rows, edges)
    assert np.abs(found / len(spots) - expected / len(rows)).max() < 0.05


def test_spots_are_spread_evenly_over_all_parts_of_a_scene(rng: np.random.Generator) -> None:
    target = rng.integers(0, 3, (1300, 4096)).astype(np.uint8)  # two parts
    target[:900][target[:900] == 2] = IGNORE_INDEX
    scene = ArrayScene("s", np.zeros((1, *target.shape), np.uint8), target >= 0, target)
    (census,) = count_labels([scene], spots=4000)
    assert census.counts.tolist() == np.bincount(target.ravel(), minlength=256).tolist()
    for label in (0, 1, 2):
        assert len(census.spots[label]) == 4000
        assert_even(census.spots[label], target, label)
    assert len(census.cells) == 6 * 16
    twin = census.spots[0][census.spots[0][:, 0] < 900]  # a reservoir that is full stays as it is
    with pytest.raises(AssertionError):
        assert_even(twin, target, 0)


def test_the_census_is_the_same_for_a_seed() -> None:
    one, same, other = (count_labels([rare()], seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one.spots[1], same.spots[1]) and not np.array_equal(one.spots[1], other.spots[1])
    with pytest.raises(TrainingError, match="no scene has a labelled pixel"):
        count_labels([scene_of(np.full((4, 4), IGNORE_INDEX))])


def sparse(path: Path, side: int, bands: int) -> Path:
    """A tiled raster without any block, then one block of data in a far corner."""
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=bands, dtype="uint8", crs=UTM, transform=HALF_METRE,
        tiled=True, blockxsize=512, blockysize=512, sparse_ok=True, bigtiff="YES",
    ) as raster:  # fmt: skip
        window = rasterio.windows.Window(side - 512, side - 512, 512, 512)
        raster.write(np.full((bands, 512, 512), 2, np.uint8), window=window)
        raster.write(np.full((bands, 512, 512), 1, np.uint8), window=rasterio.windows.Window(0, 0, 512, 512))
    return path


CLASSES = ClassMap.from_json(
    {"classes": [{"value": 1, "name": "land"}, {"value": 2, "name": "water"}], "ignore": [0]}
)


@pytest.mark.slow
def test_a_raster_of_ten_gigabytes_is_learned_from_in_bounded_memory(tmp_path: Path) -> None:
    side = 58_368  # 3 bands: 10.2 GB
    item = Item(sparse(tmp_path / "a.tif", side, 3), sparse(tmp_path / "a_labels.tif", side, 1))
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    peak = before
    scenes, _ = open_items([item], ImageLabelOptions(CLASSES))
    for number, (_, target) in enumerate(scenes[0].survey()):
        del target
        if number % 50 == 0:
            peak = max(peak, process.memory_info().rss)
    sampler = CropSampler(scenes, SamplingOptions(crop=384, scale=(0.5, 2.0)))
    for step in range(20):
        crop = sampler.draw(step, 0)
        assert crop.pixels.shape == (3, 384, 384)
        peak = max(peak, process.memory_info().rss)
    assert sampler.counts[0].labelled == 2 * 512 * 512 and len(sampler.counts[0].cells) == 8
    assert peak - before < 700 << 20, (peak - before) >> 20  # 256 MiB of it are GDAL's


def test_a_crop_reads_a_window_of_a_big_raster(tmp_path: Path) -> None:
    side = 20_480
    item = Item(sparse(tmp_path / "a.tif", side, 3), sparse(tmp_path / "a_labels.tif", side, 1))
    (scene,), _ = open_items([item], ImageLabelOptions(CLASSES))
    spots = np.array([[side - 10, side - 10]])
    counts = np.zeros(256, np.int64)
    counts[1] = 512**2
    census = [LabelCounts(counts, {1: spots}, np.array([[side // 256 - 1] * 2]))]
    sampler = CropSampler([scene], SamplingOptions(crop=64, balanced=1.0), counts=census)
    before = psutil.Process(os.getpid()).memory_info().rss
    crop = sampler.draw(0, 0)
    assert (crop.labels["class"] == 1).all() and (crop.pixels == 2).all()
    assert psutil.Process(os.getpid()).memory_info().rss - before < 100 << 20  # all of it: 1.7 GB


# --- what cannot be read ----------------------------------------------------------------------------------------


def half_damaged(write: Callable[..., Path]) -> list[Scene]:
    rng = np.random.default_rng(0)
    items = []
    for name in "ab":
        image = write(rng.integers(1, 255, (3, 300, 300)).astype(np.uint8), f"{name}.tif")
        items.append(Item(image, write(np.ones((300, 300), np.uint8), f"{name}_labels.tif")))
    scenes = open_items(items, ImageLabelOptions(CLASSES))[0]
    data = items[0].image.read_bytes()
    items[0].image.write_bytes(data[: len(data) // 8])
    return scenes


def test_a_damaged_file_stops_the_epoch_by_name(write_raster: Callable[..., Path]) -> None:
    sampler = CropSampler(half_damaged(write_raster), SMALL)
    with pytest.raises(RasterError, match=r"a\.tif"):
        for step in range(20):
            sampler.draw(step, 0)


def test_damaged_files_are_left_out_on_request_and_named_once(
    write_raster: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    scenes = half_damaged(write_raster)
    options = SamplingOptions(crop=16, skip_corrupt=True)
    sampler, again = (CropSampler(scenes, options, seed=2) for _ in range(2))
    with caplog.at_level(logging.WARNING):
        crops = [sampler.draw(step, 0) for step in range(30)]
    assert caplog.text.count("left out: ") == 1 and "a.tif" in caplog.text
    assert all(torch.equal(crops[step].pixels, again.draw(step, 0).pixels) for step in reversed(range(30)))
    alone = CropSampler(scenes[:1], options)
    alone.scenes[0].read = _unreadable  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="100 crops in a row could not be read; check a"):
        alone.draw(0, 0)


def _unreadable(rect: object) -> None:
    raise RasterError("a.tif: cannot read")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 0}, "crop must be above 0"),
        ({"batch": -1}, "batch must be above 0"),
        ({"balanced": 1.5}, "balanced is a share"),
        ({"scale": (2.0, 1.0)}, "scale is a range"),
        ({"scale": (0.0, 1.0)}, "scale is a range"),
        ({"resolution_m": -1.0}, "--resolution -1.0: expected metres above 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        SamplingOptions(**options)  # type: ignore[arg-type]

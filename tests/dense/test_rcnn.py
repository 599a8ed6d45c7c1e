"""Mask R-CNN on rows: the objects of the whole raster, whatever the strips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.dense.boxes import SUB, Boxes
from landseg.dense.mask_claims import Claims
from landseg.dense.pyramid import FeatureRows, Level, Pyramid, level_of
from landseg.dense.rcnn import DetectionOptions, Detections, Detector, SecondStage

FEATURES, CELLS = 4, 28
PYRAMID = Pyramid(
    tuple(Level(stride, 0.0, ((64 * stride, 48 * stride), (40 * stride, 70 * stride))) for stride in (4, 8, 16, 32)),
    FEATURES,
)
SHAPE = (990, 150)
OPTIONS = DetectionOptions(objectness=1.2, score=0.3, largest=96)
MERGED = replace(OPTIONS, taken=0.5)


def random_heads(seed: int = 0, things: int = 2) -> SecondStage:
    """Return heads that are linear in the crops."""
    random = np.random.default_rng(seed)
    score, move = random.normal(0, 0.2, (FEATURES * 49, things + 1)), random.normal(0, 0.05, (FEATURES * 49, 12))
    mask = random.normal(0, 1, (FEATURES, things + 1))

    def boxes(crops: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        flat = crops.reshape(len(crops), -1).astype(np.float64)
        return flat @ score, flat @ move

    def masks(crops: NDArray[Any]) -> NDArray[Any]:
        cells: NDArray[Any] = np.einsum("ncij,ck->nkij", crops, mask)
        return cells.repeat(2, 2).repeat(2, 3)

    return SecondStage(boxes, masks)


def random_maps(seed: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    """Return packed maps of features, objectness and differences drawn at random."""
    random = np.random.default_rng(seed)
    rows, columns = (-(-side // 32) for side in shape)
    parts = []
    for level in PYRAMID.levels:
        factor = (32 // level.stride) ** 2
        for channels, spread in ((FEATURES, 1.0), (2, 1.0), (8, 0.25)):
            parts.append(random.normal(0, spread, (channels * factor, rows, columns)))
    return np.concatenate(parts).astype(np.float32)


def detect(
    maps: NDArray[np.float32],
    heights: Sequence[int],
    shape: tuple[int, int] = SHAPE,
    options: DetectionOptions = OPTIONS,
) -> tuple[NDArray[np.uint32], Detections]:
    """Return the ids of pixels, and the objects, of maps that come in strips; the last height is used again."""
    found, labels, top, turn = Detector(PYRAMID, shape, random_heads(), options), [], 0, 0
    while top < maps.shape[1]:
        bottom = top + heights[min(turn, len(heights) - 1)]
        labels.append(found.add(maps[:, top:bottom]))
        top, turn = bottom, turn + 1
    labels.append(found.end())
    objects = found.detections()
    return objects.table[np.concatenate(labels)], objects


@pytest.fixture(scope="module")
def whole() -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint32], Detections]]:
    maps = random_maps(0)
    yield maps, *detect(maps, [1000])


@pytest.mark.parametrize("heights", [[1], [2], [3, 1, 7], [13]])
def test_objects_and_pixels_are_those_of_the_whole_raster(whole: Any, heights: list[int]) -> None:
    maps, pixels, objects = whole
    found, others = detect(maps, heights)
    assert found.shape == SHAPE and len(objects) > 100 and len(np.unique(pixels)) > 50
    np.testing.assert_array_equal(others.box, objects.box)
    np.testing.assert_array_equal(others.kind, objects.kind)
    np.testing.assert_allclose(others.score, objects.score, atol=1e-6)
    assert set(objects.kind.tolist()) == {0, 1}
    assert (found != pixels).mean() < 1e-4  # a mask of almost one half may go either way


@pytest.mark.parametrize("heights", [[1], [3, 1, 7]])
def test_merged_objects_are_those_of_the_whole_raster(whole: Any, heights: list[int]) -> None:
    maps, _, every = whole
    pixels, objects = detect(maps, [1000], options=MERGED)
    found, others = detect(maps, heights, options=MERGED)
    assert 50 < len(objects) < len(every)  # the twin: without the merge none is dropped
    np.testing.assert_array_equal(others.box, objects.box)
    assert (found != pixels).mean() < 1e-4
    assert set(np.unique(pixels[pixels > 0])) == set(range(1, len(objects) + 1))  # each has pixels


def test_twin_strips_that_are_searched_alone_find_other_objects(whole: Any) -> None:
    maps, pixels, objects = whole
    parts = [
        detect(maps[:, top : top + 8], [100], (min(256, SHAPE[0] - 32 * top), SHAPE[1])) for top in (0, 8, 16, 24)
    ]
    boxes = np.concatenate([part.box + np.array([0, 256, 0, 256]) * SUB * i for i, (_, part) in enumerate(parts)])
    common = {tuple(box) for box in boxes.tolist()} & {tuple(box) for box in objects.box.tolist()}
    assert 0 < len(common) < 0.95 * len(objects)
    assert (np.concatenate([found > 0 for found, _ in parts]) != (pixels > 0)).mean() > 0.01


@pytest.mark.parametrize("options", [OPTIONS, MERGED], ids=["claims", "merge"])
def test_what_is_kept_does_not_grow_with_the_raster(options: DetectionOptions) -> None:
    most = {}
    for packed in (80, 160):
        maps, shape = random_maps(1, (32 * packed, 64)), (32 * packed, 64)
        found = Detector(PYRAMID, shape, random_heads(), options)
        sizes = []
        for row in range(packed):
            found.add(maps[:, row : row + 1])
            sizes.append((found.nbytes, found.waiting))
        most[packed] = np.max(sizes, axis=0)
    assert (most[160] < 1.2 * most[80]).all() and (most[80] > 0).all()
    assert options is MERGED or most[160][0] < maps.nbytes / 5  # the twin: to keep all rows would take all of that


def test_a_crop_is_the_mean_of_bilinear_samples() -> None:
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    random = np.random.default_rng(0)
    level, shape = Level(8, 0.0, ()), (160, 120)
    features = random.normal(size=(20, 15, 3)).astype(np.float32)
    rows = FeatureRows(level, shape)
    rows.add(features)
    start = random.integers(20 * SUB, 60 * SUB, (9, 2))
    box = np.concatenate([start, start + random.integers(2 * SUB, 40 * SUB, (9, 2))], axis=1)
    # torchvision's first unit is centred at half a stride, landseg's at the centre of the first pixel
    there = torch.tensor(box / SUB - 0.5 + level.stride / 2, dtype=torch.float32)
    whole = torch.tensor(features).permute(2, 0, 1)[None]
    expected = ops.roi_align(whole, [there], 7, 1 / level.stride, 2, aligned=True).numpy()
    np.testing.assert_allclose(rows.crop(box, 7), expected, atol=2e-5)
    wrong = ops.roi_align(whole, [there + 0.5], 7, 1 / level.stride, 2, aligned=True).numpy()
    assert np.abs(rows.crop(box, 7) - wrong).max() > 0.01


def test_a_crop_has_the_same_bits_wherever_the_box_lies() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(20, 15, 3)).astype(np.float32)
    low, high = FeatureRows(Level(4, 0.0, ()), (80, 60)), FeatureRows(Level(4, 0.0, ()), (400_000, 60))
    low.add(features)
    high.add(features)
    high._top = 99_980  # the same features, so many units further down
    box = np.array([[100, 130, 613, 777], [333, 200, 500, 1000]])
    moved = box + np.array([0, 99_980, 0, 99_980]) * 4 * SUB
    np.testing.assert_array_equal(low.crop(box, 7), high.crop(moved, 7))


def test_rows_that_are_forgotten_cannot_be_read() -> None:
    rows = FeatureRows(Level(4, 0.0, ()), (400, 40))
    rows.add(np.ones((50, 10, 2), np.float32))
    box = np.array([[0, 40 * SUB, 100, 60 * SUB]])
    rows.forget(40 * SUB)
    assert rows.nbytes < 42 * 10 * 2 * 4 and rows.crop(box, 7).shape == (1, 2, 7, 7)
    rows.forget(50 * SUB)
    with pytest.raises(ValueError, match="forgotten"):
        rows.crop(box, 7)
    with pytest.raises(ValueError, match="not come"):
        rows.crop(box + np.array([0, 200, 0, 200]) * SUB, 7)


def test_a_level_suits_the_longer_side() -> None:
    box = np.array([[0, 0, 112, 10], [0, 0, 113, 10], [0, 0, 10, 225], [0, 0, 3000, 10]]) * SUB
    assert level_of(box, PYRAMID.levels, 28).tolist() == [0, 1, 2, 3]


def claimed(order: Sequence[int], scores: Sequence[float] = (1, 2, 2)) -> NDArray[np.uint32]:
    """Return the labels of three squares that overlap, added in an order, each with its own number."""
    box = np.array([[0, 0, 6, 6], [2, 2, 8, 8], [4, 4, 10, 10]]) * SUB
    zeros = np.zeros(3, np.int64)
    boxes, claims = Boxes(box, np.array(scores, np.float32), np.arange(3), zeros, zeros), Claims((10, 10))
    for index in order:
        claims.add(boxes.chosen(np.array([index])), np.ones((1, CELLS, CELLS), np.float32), index + 1)
    return claims.finish(10)


def test_a_pixel_belongs_to_the_best_that_claims_it() -> None:
    expected = np.zeros((10, 10), np.uint32)
    expected[:6, :6], expected[4:, 4:], expected[2:8, 2:8] = 1, 3, 2
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        np.testing.assert_array_equal(claimed(order), expected)
    assert (claimed([0, 1, 2], (3, 2, 2)) != expected).any()


def test_masks_are_sampled_at_the_centres_of_pixels() -> None:
    mask = np.zeros((1, CELLS, CELLS), np.float32)
    mask[:, :, : CELLS // 2] = 1  # the left half
    zero = np.zeros(1, np.int64)
    box = np.array([[2 * SUB + 9, SUB, 12 * SUB + 9, 4 * SUB]])  # its middle at 7.5625, behind the centre of pixel 7
    claims = Claims((5, 16))
    claims.add(Boxes(box, np.ones(1, np.float32), zero, zero, zero), mask, 1)
    expected = np.zeros((5, 16), np.uint32)
    expected[1:4, 3:8] = 1  # the centre of pixel 2 lies before the box
    np.testing.assert_array_equal(claims.finish(5), expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"score": 0.0}, "score"), ({"largest": 0}, "reach"), ({"overlap": 1.0}, "share"), ({"taken": 1.0}, "share")],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DetectionOptions(**options)


def test_a_reach_below_the_coarsest_level_is_refused() -> None:
    with pytest.raises(ValueError, match="64 pixels or more"):
        Detector(PYRAMID, SHAPE, random_heads(), DetectionOptions(largest=40))


def test_maps_of_other_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="packed maps of"):
        Detector(PYRAMID, SHAPE, random_heads()).add(np.zeros((7, 1, 5), np.float32))


def test_nothing_is_found_where_nothing_proposes() -> None:
    found = Detector(PYRAMID, SHAPE, random_heads(), DetectionOptions(objectness=1e9))
    rows = [found.add(random_maps(0)), found.end()]
    assert not np.concatenate(rows).any() and len(found.detections()) == 0

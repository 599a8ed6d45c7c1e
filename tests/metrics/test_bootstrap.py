"""Blocks and their bootstrap: intervals that cover what they say, and those of single pixels, which do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics import bootstrap as module
from landseg.metrics import figures
from landseg.metrics.bootstrap import Blocks, differences, interval, intervals, replicates
from landseg.metrics.confusion import pairs

ACCURACY = {"pixel_accuracy": figures.pixel_accuracy}


def _same(one: Blocks, two: Blocks) -> bool:
    a, b = one.tiles, two.tiles
    return (
        a.level == b.level and a.sums.keys() == b.sums.keys() and all((a.sums[k] == b.sums[k]).all() for k in a.sums)
    )


def test_blocks_lie_where_the_raster_says() -> None:
    truth = np.zeros((5, 7), np.uint8)
    truth[:4, 4:] = 255  # an empty block is not kept
    blocks = Blocks(2, 4)
    blocks.update(truth, truth * 0)
    assert list(blocks.tiles.sums) == [(0, 0, 0), (0, 1, 0), (0, 1, 1)]
    assert blocks.tiles.stacked()[:, 0, 0].tolist() == [16, 4, 3]
    assert blocks.table().tolist() == pairs(truth, truth * 0, 2).tolist() and len(blocks) == 3


rects = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2))


@settings(max_examples=60)
@given(st.lists(rects, max_size=6), st.integers(1, 6), st.integers(1, 8), st.randoms(use_true_random=False))
def test_no_order_and_no_split_of_updates_shows(
    windows: list[tuple[int, int, int, int, int]], edge: int, limit: int, shuffle: object
) -> None:
    truth, predicted = np.random.default_rng(1).integers(0, 3, (2, 3, 40, 40), dtype=np.uint8)

    def count(blocks: Blocks, some: list[tuple[int, int, int, int, int]]) -> Blocks:
        for top, left, height, width, raster in some:
            at = (raster, slice(top, top + height), slice(left, left + width))
            blocks.update(truth[at], predicted[at], top=top, left=left, raster=raster)
        return blocks

    whole = count(Blocks(3, edge, limit), windows)
    mixed = list(windows)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    first, second = count(Blocks(3, edge, limit), mixed[::2]), count(Blocks(3, edge, limit), mixed[1::2])
    first.merge(second)
    assert len(whole) <= limit and _same(whole, first)
    assert whole.table().sum() == sum(height * width for _, _, height, width, _ in windows)


def test_above_the_limit_four_blocks_become_one() -> None:
    blocks, zeros = Blocks(1, 2, limit=4), np.zeros((8, 8), np.uint8)
    blocks.update(zeros[:4], zeros[:4])
    assert (blocks.edge, len(blocks)) == (4, 2)
    blocks.update(zeros[4:], zeros[4:], top=4)
    assert (blocks.edge, len(blocks)) == (4, 4) and blocks.tiles.stacked()[:, 0, 0].tolist() == [16] * 4
    many = Blocks(1, 2, limit=4)
    for raster in range(9):
        many.update(zeros, zeros, raster=raster)
    assert len(many) == 3 and many.table()[0, 0] == 9 * 64  # rasters join once one block holds a whole one


def test_memory_bounds_the_blocks_of_many_classes() -> None:
    assert Blocks(6, 64).tiles.limit == 4096
    assert Blocks(254, 64).tiles.limit * 254 * 255 * 8 <= module.MEMORY


def test_the_draws_are_those_of_whole_blocks() -> None:
    stack = np.array([[[4, 0]], [[0, 4]]])  # one block all right, one all missed
    shares = replicates(stack, ACCURACY, count=4000, seed=3)["pixel_accuracy"]
    found, counts = np.unique(shares, return_counts=True)
    assert found.tolist() == [0, 0.5, 1] and np.allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.03)
    assert np.array_equal(shares, replicates(stack, ACCURACY, count=4000, seed=3)["pixel_accuracy"])
    assert not np.array_equal(shares, replicates(stack, ACCURACY, count=4000, seed=4)["pixel_accuracy"])


def test_samples_drawn_in_parts_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.random.default_rng(0).integers(0, 9, (5, 2, 3))
    at_once = replicates(stack, {"iou": figures.iou}, count=50)["iou"]
    monkeypatch.setattr(module, "MEMORY", 8 * 6 * 7)
    assert np.array_equal(replicates(stack, {"iou": figures.iou}, count=50)["iou"], at_once)


def _patchy(rng: np.random.Generator, squares: int, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """A scene of squares, each with its own error rate (0.2 on average): errors that come in patches."""
    rates = np.kron(rng.choice([0.0, 0.1, 0.5], (squares, squares), p=[0.3, 0.4, 0.3]), np.ones((edge, edge)))
    truth = np.zeros(rates.shape, np.uint8)
    return truth, (rng.random(rates.shape) < rates).astype(np.uint8)


def _stack(truth: np.ndarray, predicted: np.ndarray, edge: int) -> np.ndarray:
    if edge == 1:  # a pixel a block, without the blocks
        wrong = (predicted != truth).ravel()
        return np.stack([~wrong, wrong], 1)[:, None, :].astype(np.int64)
    blocks = Blocks(2, edge)
    blocks.update(truth, predicted)
    return blocks.tiles.stacked()


def _coverage(edge: int, trials: int) -> float:
    """How often the 95 % interval of the accuracy, from blocks of an edge, holds the true 0.81."""
    rng, hits = np.random.default_rng(5), 0
    for trial in range(trials):
        stack = _stack(*_patchy(rng, 7, 8), edge)
        low, high = interval(replicates(stack, ACCURACY, count=200, seed=trial)["pixel_accuracy"])
        hits += low <= 1 - (0.4 * 0.1 + 0.3 * 0.5) <= high
    return hits / trials


def test_intervals_of_blocks_cover_the_truth_and_those_of_pixels_do_not() -> None:
    assert 0.90 <= _coverage(edge=8, trials=200) <= 0.98
    assert _coverage(edge=1, trials=25) < 0.75  # twin: a bootstrap of pixels


def test_one_block_gives_no_interval_and_undrawn_classes_no_nan() -> None:
    blocks, ones = Blocks(3, 8), np.ones((4, 4), np.uint8)
    blocks.update(ones, ones)
    ends = intervals(blocks, {"iou": figures.iou, "mean": figures.mean_iou})
    assert ends["iou"].shape == (2, 3) and ends["mean"].shape == (2,) and np.isnan(ends["mean"]).all()
    blocks.update(ones * 0, ones, left=8)
    ends = intervals(blocks, {"iou": figures.iou})
    assert ends["iou"][:, 0].tolist() == [0, 0] and np.isnan(ends["iou"][:, 2]).all()
    with pytest.raises(ValueError, match="at least one block"):
        replicates(Blocks(3, 8).tiles.stacked(), ACCURACY)


def test_interval_is_of_percentiles() -> None:
    assert interval(np.arange(1001.0)).tolist() == pytest.approx([25, 975])
    assert interval(np.arange(1001.0), 0.5).tolist() == pytest.approx([250, 750])


def test_paired_differences_see_what_unpaired_ones_cannot() -> None:
    rng = np.random.default_rng(2)
    truth, first = _patchy(rng, 10, 8)
    better = np.where(rng.random(truth.shape) < 0.2, truth, first)  # a fifth of the errors mended
    sides = [Blocks(2, 8), Blocks(2, 8)]
    for blocks, predicted in zip(sides, (first, better), strict=True):
        blocks.update(truth, predicted)
    points, ends = differences(sides, figures.pixel_accuracy)
    assert points.shape == (1,) and ends.shape == (1, 2) and 0 < ends[0, 0] < points[0] < ends[0, 1]
    assert points[0] == pytest.approx((first != truth).mean() - (better != truth).mean())
    # Twin: drawn apart, the same difference is lost in what varies between blocks.
    apart = [replicates(one.tiles.stacked(), ACCURACY, seed=seed)["pixel_accuracy"] for seed, one in enumerate(sides)]
    assert interval(apart[1] - apart[0])[0] < 0


def test_refusals() -> None:
    truth = np.zeros((8, 8), np.uint8)
    one, other, small = Blocks(2, 4), Blocks(2, 4), Blocks(2, 2)
    for blocks in (one, small):
        blocks.update(truth, truth)
    other.update(truth[:4], truth[:4])
    with pytest.raises(ValueError, match="squares of one size"):
        one.merge(small)
    for sides in ((one, other), (one, small)):
        with pytest.raises(ValueError, match="the same pixels of the truth"):
            differences(sides, figures.pixel_accuracy)
    with pytest.raises(ValueError, match="two predictions"):
        differences([one], figures.pixel_accuracy)
    with pytest.raises(ValueError, match="two blocks"):
        whole = Blocks(2, 8)
        whole.update(truth, truth)
        differences([whole, whole], figures.pixel_accuracy)
    with pytest.raises(ValueError, match="row -1"):
        one.update(truth, truth, top=-1)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        Blocks(2, 0)

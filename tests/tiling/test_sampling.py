"""The disagreement of a map with a longer halo: where squares are drawn, and whether the interval holds the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.tiling import sampling
from landseg.tiling.sampling import Sample, disagreement, interval, plan_sample
from landseg.tiling.windows import Window, WindowPlan, plan_windows
from tests.parts.border_squares import border_squares

Bool = NDArray[np.bool_]
PLAN = plan_windows((4096, 4096), window=512, halo=64, stride=32)


class Painted:
    """A map whose changed pixels and data are known; it keeps the squares that it was asked for."""

    def __init__(self, changes: Bool, data: Bool | None = None) -> None:
        self.changes, self.data = changes, np.ones_like(changes) if data is None else data
        self.asked: list[Window] = []

    @property
    def truth(self) -> float:
        return float(self.changes[self.data].mean())

    def valid(self, rect: Rect) -> Bool:
        return self.data[rect.slices]

    def changed(self, window: Window) -> Bool:
        self.asked.append(window)
        return self.changes[window.core.slices]


def sample(windows: WindowPlan = PLAN, seed: int = 0) -> Sample:
    made = plan_sample(windows, most=1e6, exact_halo=128)
    assert made is not None
    return replace(made, seed=seed)


def seams(rng: np.random.Generator, plan: WindowPlan = PLAN, *, share: float = 0.3, width: int = 12) -> Bool:
    """Changes as a short halo makes them: near where windows meet, more in some places than in others."""
    near = np.zeros(plan.shape, bool)
    for cut in plan.cuts[0]:
        near[cut - width : cut + width] = True
    for cut in plan.cuts[1]:
        near[:, cut - width : cut + width] = True
    local = np.kron(rng.random((16, 16)) ** 2 * 3 * share, np.ones((256, 256), np.float32)).astype(np.float32)
    return near & (rng.random(plan.shape, np.float32) < local)


def test_the_interval_holds_the_truth() -> None:
    held, old, new = 0, [], []
    for seed in range(25):
        painted = Painted(seams(np.random.default_rng(seed), share=0.1 + 0.1 * (seed % 4)))
        found = disagreement(painted, PLAN, sample(seed=seed))
        assert found.share is not None and found.interval is not None
        held += found.interval[0] <= painted.truth <= found.interval[1]
        assert found.interval[1] < 6 * painted.truth  # an interval that says nothing would hold everything
        new.append(found.share / painted.truth)
        old.append(np.mean([painted.changes[s.slices].mean() for s in border_squares(PLAN)]) / painted.truth)
    assert held >= 22 and 0.85 < np.mean(new) < 1.15
    assert np.mean(old) > 1.5  # twin: squares where windows meet do not stand for the raster


def test_it_is_neither_too_high_nor_too_low_on_average() -> None:
    painted = Painted(seams(np.random.default_rng(1)))
    shares = [disagreement(painted, PLAN, sample(seed=seed)).share for seed in range(100)]
    assert np.mean(np.array(shares, float)) == pytest.approx(painted.truth, rel=0.1)


def test_squares_with_few_large_changes_and_none() -> None:
    rng = np.random.default_rng(3)
    blobs = np.kron(rng.random((32, 32)) < 0.1, np.ones((128, 128), bool))  # a tenth is wrong throughout
    held = 0
    for seed in range(40):
        found = disagreement(Painted(blobs), PLAN, sample(seed=seed))
        assert found.interval is not None
        held += found.interval[0] <= blobs.mean() <= found.interval[1]
    assert held >= 36
    none = disagreement(Painted(np.zeros((4096, 4096), bool)), PLAN, sample())
    assert none.share == 0 and none.interval is not None and 0 < none.interval[1] < 0.25


def test_only_data_count_however_rare() -> None:
    rng = np.random.default_rng(5)
    data = np.zeros((4096, 4096), bool)
    data[700:1100, 2900:3300] = True  # 1 % of the raster
    painted = Painted(rng.random((4096, 4096)) < np.where(data, 0.2, 1.0), data)
    found = disagreement(painted, PLAN, sample())
    assert found.share == pytest.approx(0.2, abs=0.02) and found.interval is not None
    assert len(painted.asked) == 16 and all(data[window.core.slices].any() for window in painted.asked)


def test_rare_data_are_found_by_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.zeros((4096, 4096), bool)
    data[5, 7] = data[4000, 4000] = data[2000, 100:700] = True
    painted = Painted(np.ones_like(data), data)
    both = disagreement(painted, PLAN, sample())
    assert both.share == 1 and both.interval == (1, 1) and "of all 602 pixels" in both.sentence
    monkeypatch.setattr(sampling, "_TRIES", 1)
    again = Painted(np.ones_like(data), data)
    assert disagreement(again, PLAN, sample()) == both
    assert [window.core for window in again.asked] == [window.core for window in painted.asked]
    empty = disagreement(Painted(data, np.zeros_like(data)), PLAN, sample())
    assert empty.share is None and empty.interval is None and "holds no data" in empty.sentence


def test_equal_plans_draw_equal_squares_that_lie_inside_and_on_the_stride() -> None:
    plan = plan_windows((3001, 4099), window=512, halo=64, stride=32, region=Rect(70, 45, 2800, 3900))
    made = plan_sample(plan, most=1e6, exact_halo=128)
    assert made == plan_sample(plan, most=1e6, exact_halo=128) and made is not None
    first, second = Painted(np.zeros((3001, 4099), bool)), Painted(np.zeros((3001, 4099), bool))
    disagreement(first, plan, made)
    disagreement(second, plan, made)
    assert first.asked == second.asked and len({window.core for window in first.asked}) == made.count
    for window in first.asked:
        assert plan.region.contains(window.core) and Rect(0, 0, 3001, 4099).contains(window.rect)
        assert window.rect.top % 32 == window.rect.left % 32 == 0
        for near, far, end in (
            (window.core.top - window.rect.top, window.rect.bottom - window.core.bottom, 3001 - window.rect.bottom),
            (window.core.left - window.rect.left, window.rect.right - window.core.right, 4099 - window.rect.right),
        ):
            assert near >= 128 or 0 in (window.rect.top, window.rect.left)
            assert far >= 128 or end == 0
    other = plan_sample(replace(plan, region=Rect(0, 0, 3001, 4099)), most=1e6, exact_halo=128)
    assert other is not None and other.seed != made.seed


def test_the_price_is_a_tenth_of_the_run_or_sixteen_windows() -> None:
    large = plan_windows((40_000, 40_000), window=1024, halo=64, stride=32)
    many = plan_sample(large, most=1e6, exact_halo=128)
    assert many is not None and many.count == 64
    small = plan_windows((3000, 3000), window=512, halo=64, stride=32)
    few = plan_sample(small, most=1e6, exact_halo=128)
    assert few is not None and (few.count, few.halo, few.exact, few.whole) == (16, 128, True, False)
    middle = plan_windows((15_000, 15_000), window=512, halo=64, stride=32)
    some = plan_sample(middle, most=1e7, exact_halo=512)
    assert some is not None and 16 < some.count < 64
    assert some.count * 1152**2 <= 0.1 * middle.pixels


def test_what_is_compared_with() -> None:
    short = plan_sample(PLAN, most=300_000, exact_halo=512)
    assert short is not None and not short.exact and short.halo == 192  # 128 + 2 * 192 = 512
    assert short.reference == "the longer halo of 192"
    assert plan_sample(PLAN, most=90_000, exact_halo=512) is None  # nothing longer fits
    unknown = disagreement(Painted(np.zeros((4096, 4096), bool)), PLAN, None)
    assert unknown.share is None and "none fits --memory" in unknown.sentence
    tiny = plan_windows((300, 400), window=128, halo=32, stride=32)
    whole = plan_sample(tiny, most=1e6, exact_halo=None)
    assert whole is not None and whole.whole
    changes = np.random.default_rng(0).random((300, 400)) < 0.1
    found = disagreement(Painted(changes), tiny, whole)
    assert found.share == changes.mean() and found.interval == (found.share, found.share)
    assert found.sentence.endswith("of all 120,000 pixels get another class than with the whole raster at once")


def test_the_interval_of_counts() -> None:
    assert interval([(0, 50), (10, 150)], of=2) == (0.05, 0.05, 0.05)
    share, low, high = interval([(3, 100), (5, 100), (4, 100), (4, 100)] * 4, of=100)
    assert share == 0.04 and 0.03 < low < share < high < 0.08
    narrow, wide = (interval([(0, 100), (8, 100)] * 8, of=of) for of in (17, 1000))
    assert wide[1] < narrow[1] < narrow[2] < wide[2]
    one: Any = interval([(100, 100)] * 16, of=1000)
    assert one[0] == one[2] == 1 and 0.7 < one[1] < 1

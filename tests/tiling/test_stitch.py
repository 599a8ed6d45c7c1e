"""Stitching: crop equals whole, blend is a mean, neither depends on order, blocks or holes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.geo.grid import Rect
from landseg.models.graph.receptive_field import receptive_field
from landseg.tiling.placement import GridPlacement
from landseg.tiling.stitch import Blend, CoreStitcher, Stitcher, Weights
from landseg.tiling.windows import Span, WindowPlan, plan_windows
from tests.parts.engine import CLASSES, STRIDE, picture, small_runner, tiled, whole

RUNNER = small_runner()
HALO = 16  # radius 15, rounded up to the stride: checked below

sizes = st.integers(1, 150)


def test_the_small_network_needs_the_halo_that_the_tests_use() -> None:
    from tests.parts.engine import Small

    field = receptive_field(Small())
    assert (field.stride, field.halo) == (STRIDE, HALO)


def equals_whole(height: int, width: int, window: tuple[int, int], halo: int) -> None:
    image = picture(height, width)
    stitched = tiled(RUNNER, image, window=window, halo=halo)
    np.testing.assert_allclose(stitched, whole(RUNNER, image), atol=1e-4, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, st.tuples(st.integers(1, 12), st.integers(1, 12)), st.integers(0, 2))
def test_stitched_equals_whole(height: int, width: int, steps: tuple[int, int], more: int) -> None:
    halo = HALO + more * STRIDE
    equals_whole(height, width, (2 * halo + steps[0] * STRIDE, 2 * halo + steps[1] * STRIDE), halo)


def test_a_halo_one_stride_short_is_caught() -> None:
    equals_whole(130, 130, (64, 64), HALO)
    with pytest.raises(AssertionError):
        equals_whole(130, 130, (64, 64), HALO - STRIDE)


def test_an_origin_off_the_stride_is_caught() -> None:
    image = picture(60, 200)
    plan = plan_windows((60, 200), window=(64, 96), halo=HALO, stride=STRIDE)
    shifted = [Span(max(0, s.start - 2), s.core_start, s.core_stop, min(200, s.stop + 2)) for s in plan.x_spans]
    plan = replace(plan, x_spans=tuple(shifted))  # a larger halo, and yet wrong
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(tiled(RUNNER, image, plan=plan), whole(RUNNER, image), atol=1e-3)


def test_batches_change_nothing() -> None:
    image = picture(100, 300)
    one = tiled(RUNNER, image, window=64, halo=HALO)
    np.testing.assert_allclose(tiled(RUNNER, image, window=64, halo=HALO, batch=3), one, atol=1e-4)


def run_identity(stitcher: Stitcher, values: np.ndarray, *, shuffle: int | None = None) -> np.ndarray:
    """What a stitcher makes of windows cut out of `values` (K, h, w), in any order within a strip."""
    result = np.full_like(values, np.nan)
    for step in stitcher.steps():
        stitcher.begin(step)
        pieces = list(step.pieces)
        if shuffle is not None:
            np.random.default_rng(shuffle).shuffle(pieces)  # type: ignore[arg-type]
        for piece in pieces:
            logits = values[(slice(None), *piece.window.rect.slices)]
            for done in stitcher.add(piece, logits, np.ones(piece.target.shape, bool)):
                result[(slice(None), *done.rect.slices)] = done.logits
        for done in stitcher.end(step):
            assert done.valid.all()
            result[(slice(None), *done.rect.slices)] = done.logits
    return result


@st.composite
def cut(draw: st.DrawFn) -> WindowPlan:
    halo = 4 * draw(st.integers(0, 4))
    window = tuple(2 * halo + 4 * draw(st.integers(1, 9)) for _ in range(2))
    shape = draw(st.tuples(st.integers(1, 120), st.integers(1, 120)))
    return plan_windows(shape, window=window, halo=halo, stride=4)  # type: ignore[arg-type]


@settings(deadline=None)
@given(cut(), st.booleans(), st.integers(0, 5), st.integers(1, 10**5))
def test_stitching_the_identity_returns_the_input(plan: WindowPlan, blend: bool, order: int, budget: int) -> None:
    values = np.random.default_rng(order).normal(size=(CLASSES, *plan.shape)).astype(np.float32)
    place, region = GridPlacement.same(plan.shape), Rect(0, 0, *plan.shape)
    stitcher = (
        Blend(plan, place, region, classes=CLASSES, budget=budget) if blend else CoreStitcher(plan, place, region)
    )
    np.testing.assert_allclose(run_identity(stitcher, values, shuffle=order), values, atol=2e-6)


def test_a_blend_that_forgets_a_weight_is_caught() -> None:
    plan = plan_windows((40, 100), window=32, halo=8, stride=4)
    stitcher = Blend(plan, GridPlacement.same(plan.shape), Rect(0, 0, 40, 100), classes=CLASSES)
    values = np.ones((CLASSES, 40, 100), np.float32)
    stitcher._x_weights._spans = [(s - 3, e) for s, e in stitcher._x_weights._spans]  # type: ignore[misc]
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(run_identity(stitcher, values), values, atol=2e-6)


@given(cut())
def test_weights_are_positive_in_their_window_and_sum_to_one(plan: WindowPlan) -> None:
    spans = [(span.start, span.stop) for span in plan.x_spans]
    weights = Weights(spans)
    total = np.zeros(plan.shape[1])
    for number, (start, stop) in enumerate(spans):
        mine = weights.of(number, 0, plan.shape[1])
        assert (mine[start:stop] > 0).all()
        assert not mine[:start].any() and not mine[stop:].any()
        total += mine
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert weights.of(0, 0, 1)[0] > 0


def blended(image: np.ndarray, budget: int, **options: object) -> np.ndarray:
    shape = image.shape[1:]
    plan = plan_windows(shape, window=64, halo=8, stride=STRIDE)
    stitcher = Blend(plan, GridPlacement.same(shape), Rect(0, 0, *shape), classes=CLASSES, budget=budget)
    return tiled(RUNNER, image, stitcher=stitcher, **options)  # type: ignore[arg-type]


def test_a_blend_does_not_depend_on_the_width_of_its_blocks() -> None:
    image = picture(150, 400)
    wide = blended(image, 1 << 30)
    np.testing.assert_array_equal(blended(image, 1), wide)
    assert np.abs(wide - whole(RUNNER, image)).max() > 1e-3  # the halo is too short: not the whole image's


def test_blending_has_no_seams_where_cutting_has_some() -> None:
    image = picture(150, 400)
    truth = whole(RUNNER, image)
    plan = plan_windows((150, 400), window=64, halo=8, stride=STRIDE)
    borders = [span.core_start for span in plan.x_spans[1:]]

    def jump(logits: np.ndarray) -> float:
        error = logits - truth
        return float(np.abs(error[:, :, borders] - error[:, :, [border - 1 for border in borders]]).mean())

    assert jump(blended(image, 1 << 30)) < 0.75 * jump(tiled(RUNNER, image, plan=plan))


@pytest.mark.parametrize("blend", [False, True])
def test_windows_without_a_valid_pixel_are_skipped_and_the_rest_stays(blend: bool) -> None:
    image = picture(100, 400)
    valid = np.ones((100, 400), bool)
    valid[:, 150:330] = False
    calls: list[int] = []
    runner = small_runner()
    plain_run = runner.run
    runner.run = lambda batch: calls.append(len(batch)) or plain_run(batch)  # type: ignore
    plan = plan_windows((100, 400), window=64, halo=8 if blend else HALO, stride=STRIDE)
    place, region = GridPlacement.same((100, 400)), Rect(0, 0, 100, 400)

    def stitcher() -> Stitcher:
        return Blend(plan, place, region, classes=CLASSES) if blend else CoreStitcher(plan, place, region)

    some = tiled(runner, image, stitcher=stitcher(), valid=valid)
    assert sum(calls) < len(plan)
    every = runner.prepare
    runner.prepare = lambda pixels, _: every(pixels, np.ones(pixels.shape[1:], bool))  # type: ignore
    # Where no window with a hole is near, holes change nothing.
    np.testing.assert_array_equal(some[:, :, :60], tiled(runner, image, stitcher=stitcher())[:, :, :60])


def resumed(image: np.ndarray, steps_before: int) -> np.ndarray:
    """What a blend yields from some step on when the steps before are done."""
    shape = image.shape[1:]
    plan = plan_windows(shape, window=64, halo=16, stride=STRIDE)
    stitcher = Blend(plan, GridPlacement.same(shape), Rect(0, 0, *shape), classes=CLASSES, budget=1)
    names = [step.name for step in stitcher.steps()]
    result = np.full((CLASSES, *shape), np.nan, np.float32)
    for step in stitcher.steps(names[:steps_before]):
        stitcher.begin(step)
        for piece in step.pieces:
            logits = image[(slice(None), *piece.window.rect.slices)]
            list(stitcher.add(piece, logits, np.ones(piece.target.shape, bool)))
        for done in stitcher.end(step):
            result[(slice(None), *done.rect.slices)] = done.logits
    return result


@pytest.mark.parametrize("before", [1, 2, 3, 5])
def test_a_resumed_blend_yields_the_same_bits(before: int) -> None:
    values = np.random.default_rng(1).normal(size=(CLASSES, 150, 120)).astype(np.float32)
    fresh, again = resumed(values, 0), resumed(values, before)
    left = np.isfinite(again)
    assert 0 < left.sum() < fresh.size
    np.testing.assert_array_equal(again[left], fresh[left])


# --- the network's grid is not the source's ---


def resampled_equals_whole(factor: float, *, halo: int, size: tuple[int, int] = (230, 170)) -> None:
    shape = tuple(int(np.ceil(n / factor)) for n in size)
    place = GridPlacement(size, shape, factor)  # type: ignore[arg-type]
    image = picture(*shape)
    logits = whole(RUNNER, image)
    expected = place.resample(logits, Rect(0, 0, *shape), Rect(0, 0, *size))  # type: ignore[arg-type]
    stitched = tiled(RUNNER, image, placement=place, window=(2 * halo + 20, 2 * halo + 28), halo=halo)
    np.testing.assert_allclose(stitched, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("factor", [0.4, 0.77, 1.3, 2.0, 3.7])
def test_resampled_stitched_equals_resampled_whole(factor: float) -> None:
    place = GridPlacement((1, 1), (1, 1), factor)
    resampled_equals_whole(factor, halo=-(-(HALO + place.reach) // STRIDE) * STRIDE)


def test_a_halo_without_the_pixels_that_resampling_needs_is_caught() -> None:
    with pytest.raises(AssertionError):
        resampled_equals_whole(0.4, halo=HALO - STRIDE)


@pytest.mark.parametrize("factor", [0.5, 2.0, 1.7])
def test_resampling_keeps_positions(factor: float) -> None:
    size = (90, 60)
    shape = tuple(int(np.ceil(n / factor)) for n in size)
    place = GridPlacement(size, shape, factor)  # type: ignore[arg-type]
    # The value at a network pixel is its centre in source pixels; so must it be where it is resampled to.
    x = factor * (np.arange(shape[1]) + 0.5)
    logits = np.broadcast_to(x.astype(np.float32), (1, *shape)).copy()
    found = place.resample(logits, Rect(0, 0, *shape), Rect(0, 0, *size))  # type: ignore[arg-type]
    inner = slice(4, 50)
    np.testing.assert_allclose(found[0, 40, inner], (np.arange(60) + 0.5)[inner], atol=1e-4)


@given(st.floats(0.26, 3.9), st.tuples(st.integers(1, 200), st.integers(1, 200)))
def test_cores_stay_a_partition_on_the_source(factor: float, size: tuple[int, int]) -> None:
    shape = tuple(int(np.ceil(n / factor)) for n in size)
    place = GridPlacement(size, shape, factor)  # type: ignore[arg-type]
    plan = plan_windows(shape, window=24, halo=8, stride=4)  # type: ignore[arg-type]
    seen = np.zeros(size, int)
    for step in CoreStitcher(plan, place, Rect(0, 0, *size)).steps():
        for piece in step.pieces:
            seen[piece.target.slices] += 1
    assert (seen == 1).all()

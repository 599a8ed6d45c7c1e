"""One pass: what streams equals the whole image, gaps cost nothing, and a stopped run goes on to the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from landseg.geo.grid import Rect
from landseg.tiling.placement import GridPlacement
from landseg.tiling.rows.device_copy import DeviceCopy
from landseg.tiling.rows.one_pass import Pass, one_pass
from landseg.tiling.rows.program import program_of
from landseg.tiling.rows.row_stream import Rows
from landseg.tiling.runner import Runner
from landseg.tiling.stream_plan import Memory, StreamPlan
from tests.parts.engine import CLASSES, small_runner, whole

RUNNER = small_runner()


class _Sink:
    """Keeps pixels; fails at the commit after ``stop`` of them."""

    def __init__(self, shape: tuple[int, int], *, stop: int | None = None) -> None:
        self.logits = np.full((CLASSES, *shape), np.nan, np.float32)
        self.valid = np.zeros(shape, np.bool_)
        self.written = np.zeros(shape, np.int64)
        self.done: list[str] = []
        self.stop = stop

    def write(
        self, name: str, rect: Rect, pixels: NDArray[Any] | None, valid: NDArray[np.bool_] | None = None
    ) -> None:
        self.written[rect.slices] += 1
        if pixels is not None and valid is not None:
            self.logits[(slice(None), *rect.slices)] = pixels
            self.valid[rect.slices] = valid

    def commit(self, step: str) -> None:
        if self.stop is not None and len(self.done) >= self.stop:
            raise KeyboardInterrupt
        self.done.append(step)


class _Reads:
    """A picture in memory that counts the rows read of it."""

    def __init__(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        self.pixels, self.valid, self.rows = pixels, valid, 0

    def read(self, rect: Rect) -> tuple[Tensor, NDArray[np.bool_]]:
        self.rows += rect.height
        here = self.valid[rect.slices]
        return RUNNER.prepare(self.pixels[(slice(None), *rect.slices)], here), here


def _encode(finished: Any) -> Mapping[str, NDArray[Any] | None]:
    return {"logits": None if finished.logits is None else np.array(finished.logits)}


def _job(
    reads: _Reads, *, strip: int = 16, cuts: tuple[int, ...] = (), runner: Runner = RUNNER, factor: float = 1.0
) -> Pass:
    shape = reads.valid.shape
    source = shape if factor == 1 else (round(shape[0] * factor), round(shape[1] * factor))
    placement = GridPlacement(source, shape, factor)
    edges = [0, *cuts, shape[1]]
    blocks = tuple(Rect(0, a, shape[0], b - a) for a, b in pairwise(edges))
    plan = StreamPlan(blocks, strip, None, 0, Memory(0, 0, 0), 1.0)
    wanted = None if factor == 1 else lambda rect: np.ones(rect.shape, np.bool_)
    region = Rect(0, 0, *source)

    def rows(part: Rect) -> Rows:
        return Rows(program, shape, bands=2, region=part, strip=strip)

    program = program_of(runner.network)
    copies = DeviceCopy("cpu")
    return Pass(rows, copies, program.period, plan, placement, region, reads.read, wanted, _encode, workers=2)


def _picture(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pixels = np.random.default_rng(height * 1000 + width).integers(0, 256, (2, height, width), dtype=np.uint8)
    return pixels, np.ones((height, width), np.bool_)


def _check(sink: _Sink, expected: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    assert (sink.written == 1).all(), "every pixel is written once"
    assert np.array_equal(sink.valid, valid)
    np.testing.assert_allclose(sink.logits[:, valid], expected[:, valid], atol=1e-4, rtol=1e-5)


@settings(max_examples=30)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 90),
    strip=st.sampled_from([4, 16, 64]),
    cuts=st.sets(st.sampled_from([8, 16, 40, 64]), max_size=3),
)
def test_streamed_is_whole_however_it_is_cut(height: int, width: int, strip: int, cuts: set[int]) -> None:
    pixels, valid = _picture(height, width)
    job = _job(_Reads(pixels, valid), strip=strip, cuts=tuple(sorted(cut for cut in cuts if cut < width)))
    sink = _Sink((height, width))
    one_pass(job, sink)
    _check(sink, whole(RUNNER, pixels), valid)


def test_twin_blocks_that_do_not_see_beside_them_are_noticed() -> None:
    pixels, valid = _picture(64, 80)
    left, right = _Sink((64, 40)), _Sink((64, 40))
    for sink, part in ((left, slice(0, 40)), (right, slice(40, 80))):
        one_pass(_job(_Reads(pixels[:, :, part], valid[:, part])), sink)
    both = _Sink((64, 80))
    both.logits = np.concatenate([left.logits, right.logits], axis=2)
    both.valid[:], both.written[:] = True, 1
    with pytest.raises(AssertionError):
        _check(both, whole(RUNNER, pixels), valid)


@pytest.mark.parametrize("stop", range(0, 18, 3))
def test_a_stopped_run_goes_on_to_the_same_bytes(stop: int) -> None:
    pixels, valid = _picture(203, 60)
    valid[:, :7] = False
    job = _job(_Reads(pixels, valid), cuts=(32,))
    undisturbed = _Sink(valid.shape)
    one_pass(job, undisturbed)
    assert len(undisturbed.done) > 18
    sink = _Sink(valid.shape, stop=stop)
    with pytest.raises(KeyboardInterrupt):
        one_pass(job, sink)
    sink.stop = None
    again: list[int] = []
    one_pass(replace(job, restarted=again.append), sink, done=tuple(sink.done))
    assert sink.logits.tobytes() == undisturbed.logits.tobytes()
    assert again == ([] if stop == 0 else again) and all(0 < rows < 203 for rows in again)


def test_twin_a_journal_ahead_of_its_pixels_is_noticed() -> None:
    pixels, valid = _picture(203, 60)
    job = _job(_Reads(pixels, valid))
    sink = _Sink(valid.shape)
    one_pass(job, sink, done=("block 0 to row 96",))
    with pytest.raises(AssertionError, match="written once"):
        _check(sink, whole(RUNNER, pixels), valid)


def test_long_gaps_are_passed_over_and_change_nothing() -> None:
    pixels, valid = _picture(2000, 24)
    valid[100:1700] = False
    valid[:, 20:] = False
    reads = _Reads(pixels, valid)
    sink = _Sink(valid.shape)
    job = _job(reads)
    one_pass(job, sink)
    _check(sink, whole(RUNNER, pixels, valid), valid)
    assert np.isnan(sink.logits[:, 500:1500]).all(), "nothing was computed inside the gap"


def test_nothing_wanted_is_nodata_everywhere() -> None:
    pixels, valid = _picture(90, 30)
    valid[:] = False
    sink = _Sink(valid.shape)
    one_pass(_job(_Reads(pixels, valid)), sink)
    assert (sink.written == 1).all() and not sink.valid.any() and np.isnan(sink.logits).all()


@pytest.mark.parametrize("factor", [2.0, 0.5, 1.37])
@pytest.mark.parametrize("cuts", [(), (24,)])
def test_the_result_lies_on_the_sources_grid(factor: float, cuts: tuple[int, ...]) -> None:
    pixels, valid = _picture(90, 64)
    job = _job(_Reads(pixels, valid), factor=factor, cuts=cuts)
    sink = _Sink(job.placement.source)
    one_pass(job, sink)
    whole_rect = Rect(0, 0, 90, 64)
    expected = job.placement.resample(whole(RUNNER, pixels), whole_rect, Rect(0, 0, *job.placement.source))
    _check(sink, expected, np.ones(job.placement.source, np.bool_))


def test_a_fault_in_reading_surfaces_and_nothing_is_committed_after_it() -> None:
    pixels, valid = _picture(120, 30)
    reads = _Reads(pixels, valid)

    def broken(rect: Rect) -> tuple[Tensor, NDArray[np.bool_]]:
        if rect.bottom > 100:
            raise OSError("bad block")
        return reads.read(rect)

    sink = _Sink(valid.shape)
    with pytest.raises(OSError, match="bad block"):
        one_pass(replace(_job(reads), read=broken), sink)
    assert sink.done and torch.is_inference_mode_enabled() is False

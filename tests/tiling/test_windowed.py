"""The stream: faults surface, threads end, steps are committed in order and once."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from landseg.errors import OutputError, RasterError
from landseg.geo.grid import Rect
from landseg.tiling.placement import GridPlacement
from landseg.tiling.stitch import CoreStitcher, WindowTarget
from landseg.tiling.windowed import Job, stream
from landseg.tiling.windows import plan_windows
from tests.parts.engine import STRIDE, Record, picture, reader, small_runner

RUNNER = small_runner()
SHAPE = (120, 200)


def job(**changes: Any) -> Job:
    plan = plan_windows(SHAPE, window=64, halo=16, stride=STRIDE)
    place, region = GridPlacement.same(SHAPE), Rect(0, 0, *SHAPE)
    read = reader(RUNNER, picture(*SHAPE), np.ones(SHAPE, bool), place)
    made = Job(CoreStitcher(plan, place, region), read, RUNNER.run, lambda done: {"logits": done.logits}, workers=2)
    return replace(made, **changes)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("landseg")]


def test_every_strip_is_written_and_then_committed_once() -> None:
    sink, counted = Record(), []
    stream(job(progress=counted.append), sink)
    assert sink.commits == ["strip 0", "strip 1", "strip 2"]
    assert sum(rect.area for rect in sink.rects) == sum(counted) == SHAPE[0] * SHAPE[1]


def test_done_steps_are_not_repeated() -> None:
    sink = Record()
    stream(job(), sink, done={"strip 0", "strip 2"})
    assert sink.commits == ["strip 1"]
    assert {rect.top for rect in sink.rects} == {48}


def test_batches_hold_windows_of_one_strip_and_size() -> None:
    sizes: list[tuple[int, int]] = []

    def run(batch: list[Any]) -> Any:
        sizes.append((len(batch), len({one.shape for one in batch})))
        return RUNNER.run(batch)

    stream(job(run=run, batch=4), Record())
    assert max(count for count, _ in sizes) > 1 and all(kinds == 1 for _, kinds in sizes)
    first = list(sizes)
    sizes.clear()
    stream(job(run=run, batch=4), Record(), done={"strip 0"})
    assert sizes == first[len(first) - len(sizes) :]  # a resumed run forms the same ones


@pytest.mark.parametrize("where", ["read", "run", "encode", "write", "commit", "progress"])
def test_a_fault_anywhere_stops_the_run_and_is_raised(where: str) -> None:
    calls = {"count": 0}
    fault = RasterError("block 7 cannot be read")

    def broken(*_: Any) -> Any:
        raise fault

    def breaks_later(piece: WindowTarget) -> Any:
        calls["count"] += 1
        if calls["count"] > 5:
            raise fault
        return job().read(piece)

    sink: Any = Record()
    changes: dict[str, Any] = {}
    if where in ("write", "commit"):
        setattr(sink, where, broken)
    else:
        changes[where] = breaks_later if where == "read" else broken
    with pytest.raises(RasterError, match="block 7"):
        stream(job(**changes), sink)
    assert "strip 2" not in sink.commits


def test_nothing_is_committed_after_a_fault() -> None:
    class Full(Record):
        def write(self, name: str, rect: Rect, pixels: Any, valid: Any = None) -> None:
            if rect.top > 0:
                raise OutputError("the disk is full")
            super().write(name, rect, pixels, valid)

    sink = Full()
    with pytest.raises(OutputError, match="full"):
        stream(job(), sink)
    assert sink.commits == ["strip 0"]


def test_an_interrupt_ends_every_thread() -> None:
    def interrupted(_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(job(run=interrupted), Record())


def test_reading_runs_ahead_by_a_bounded_number_of_windows() -> None:
    begun, computed = [], []
    most = [0]

    def read(piece: WindowTarget) -> Any:
        begun.append(piece)
        most[0] = max(most[0], len(begun) - len(computed))
        return job().read(piece)

    def run(batch: list[Any]) -> Any:
        computed.extend(batch)
        return RUNNER.run(batch)

    stream(job(read=read, run=run, ahead=2), Record())
    assert most[0] <= 2 + 1 + 1

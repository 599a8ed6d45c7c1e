"""Progress: the speed without the start-up, and lines in a log file, up to the last."""

import io
import logging
from collections.abc import Callable

import pytest

from landseg.runtime import progress as module
from landseg.runtime.progress import Progress

Wait = Callable[[float], None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Return a function that lets a number of seconds pass."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(
    progress: Progress, wait: Wait, *, start: float, steps: int, pixels: int, each: float, parts: int = 1
) -> None:
    """Count `steps` lots of pixels, `each` seconds apart behind the start-up, each lot in parts at one moment."""
    wait(start)
    for step in range(steps):
        wait(each if step else 0.0)
        for _ in range(parts):
            progress.add(pixels // parts)


@pytest.mark.parametrize("parts", [1, 8])
def test_the_speed_leaves_out_the_start_up(wait: Wait, parts: int) -> None:
    progress = Progress(100 * 10**6, quiet=True)
    run(progress, wait, start=5.0, steps=20, pixels=4 * 10**6, each=1.0, parts=parts)
    assert progress.speed() == pytest.approx(4e6) and progress.line() == " 80.0 %  4.00 Mpx/s  5 s left"
    twin = 80e6 / (5.0 + 19 * 1.0)  # with the start-up
    assert twin == pytest.approx(3.33e6, rel=0.01)


def test_pixels_that_come_out_at_once_do_not_make_the_speed(wait: Wait) -> None:
    """A short job: the network takes 1.5 s, then all rows are written within hundredths of a second."""
    progress = Progress(4 * 10**6, quiet=True)
    run(progress, wait, start=1.5, steps=8, pixels=500_000, each=0.005)
    assert progress.speed() == pytest.approx(4e6 / 1.535)
    twin = 3.5e6 / 0.035  # from the first pixels on
    assert twin > 30 * progress.speed()


def test_pixels_of_an_earlier_run_are_no_speed(wait: Wait) -> None:
    progress = Progress(10 * 10**6, done=8 * 10**6, quiet=True)
    assert progress.speed() == 0 and progress.line() == " 80.0 %  0.00 Mpx/s  ? left"
    run(progress, wait, start=1.0, steps=10, pixels=100_000, each=1.0)
    assert progress.speed() == pytest.approx(1e5) and progress.line() == " 90.0 %  0.10 Mpx/s  10 s left"
    twin = Progress(10 * 10**6, quiet=True)
    wait(1.0)
    twin.add(9 * 10**6)
    assert twin.speed() > 50 * progress.speed()


@pytest.mark.parametrize("steps", [[10] * 10, [95, 5], [33, 33, 33, 1], [100]])
def test_a_log_file_ends_at_100(steps: list[int], wait: Wait) -> None:
    log = io.StringIO()
    with Progress(100, stream=log) as progress:
        for step in steps:
            wait(11)
            progress.add(step)
    lines = log.getvalue().splitlines()
    assert lines[-1].startswith("100.0 %")
    assert len(lines) == len({line.split("%")[0] for line in lines}) == len(steps)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(20, 2), (60, 6), (1000, 20), (100_000, 160)],  # the end alone counts at any time
)
def test_a_log_file_gets_a_line_for_each_twentieth_ten_seconds_apart(wait: Wait, seconds: int, expected: int) -> None:
    log = io.StringIO()
    with Progress(1000, stream=log) as progress:
        for _ in range(1000):
            wait(seconds / 1000)
            progress.add(1)
    assert abs(len(log.getvalue().splitlines()) - expected) <= 1 + expected // 10


def test_without_a_pause_a_short_run_fills_a_log_file(wait: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    log = io.StringIO()
    with Progress(1000, stream=log) as progress:
        for _ in range(1000):
            wait(0.02)
            progress.add(1)
    assert len(log.getvalue().splitlines()) == 20


def test_what_was_done_before_or_is_quiet_says_nothing() -> None:
    log = io.StringIO()
    with Progress(100, done=100, stream=log):
        pass
    with Progress(100, stream=log, quiet=True) as progress:
        progress.add(100)
    assert not log.getvalue()


def test_one_raster_of_several_leaves_its_line_to_the_batch() -> None:
    screen, log = Terminal(), io.StringIO()
    for stream in (screen, log):
        with Progress(100, stream=stream, name="2/9 b.tif") as progress:
            progress.add(100)
    shown = screen.getvalue()
    assert shown.startswith("\r2/9 b.tif  100.0 %") and shown.endswith("\r\033[K")  # removed
    assert not log.getvalue()


def test_a_slow_raster_of_several_is_heard_of(wait: Wait) -> None:
    log = io.StringIO()
    with Progress(100, stream=log, name="2/9 b.tif") as progress:
        for _ in range(10):
            wait(6)
            progress.add(10)
    lines = log.getvalue().splitlines()
    assert len(lines) == 4 and all(line.startswith("2/9 b.tif  ") for line in lines)  # each 12 s, but for the end


def test_the_lines_are_logged_whatever_is_shown(caplog: pytest.LogCaptureFixture, wait: Wait) -> None:
    caplog.set_level(logging.DEBUG, "landseg.progress")
    with Progress(100, quiet=True) as progress:
        for _ in range(100):
            wait(3)
            progress.add(1)
    assert len(caplog.messages) == 20 and caplog.messages[-1].startswith("100.0 %")

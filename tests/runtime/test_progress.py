"""Progress: lines in a log file, up to the last."""

import io
import logging

import pytest

from landseg.runtime import progress as module
from landseg.runtime.progress import Progress


@pytest.mark.parametrize("steps", [[10] * 10, [95, 5], [33, 33, 33, 1], [100]])
def test_a_log_file_ends_at_100(steps: list[int]) -> None:
    log = io.StringIO()
    with Progress(100, stream=log) as progress:
        for step in steps:
            progress.add(step)
    lines = log.getvalue().splitlines()
    assert lines[-1].startswith("100.0 %")
    assert len(lines) == len({line.split("%")[0] for line in lines}) <= 11


def test_what_was_done_before_or_is_quiet_says_nothing() -> None:
    log = io.StringIO()
    with Progress(100, done=100, stream=log):
        pass
    with Progress(100, stream=log, quiet=True) as progress:
        progress.add(100)
    assert not log.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_raster_of_several_leaves_its_line_to_the_batch() -> None:
    screen, log = Terminal(), io.StringIO()
    for stream in (screen, log):
        with Progress(100, stream=stream, name="2/9 b.tif") as progress:
            progress.add(100)
    shown = screen.getvalue()
    assert shown.startswith("\r2/9 b.tif  100.0 %") and shown.endswith("\r\033[K")  # removed
    assert not log.getvalue()


def test_a_slow_raster_of_several_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    log = io.StringIO()
    with Progress(100, stream=log, name="2/9 b.tif") as progress:
        for _ in range(10):
            now[0] += 6
            progress.add(10)
    lines = log.getvalue().splitlines()
    assert len(lines) == 5 and all(line.startswith("2/9 b.tif  ") for line in lines)  # each 12 s


def test_tenths_are_logged_whatever_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "landseg.progress")
    with Progress(100, quiet=True) as progress:
        for _ in range(100):
            progress.add(1)
    assert len(caplog.messages) == 10 and caplog.messages[-1].startswith("100.0 %")

"""Progress: lines in a log file, up to the last."""

import io

import pytest

from landseg.tiling.progress import Progress


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

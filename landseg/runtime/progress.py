"""Progress of a run in one line on standard error: share, speed and time left."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

_log = logging.getLogger("landseg.progress")  # the lines of a log file at level DEBUG, whatever is shown
_REDRAW_S = 0.2  # on a terminal
_SHARE = 0.05  # elsewhere: a line for each twentieth of the work,
_PAUSE_S = 10.0  # and no line sooner than this after another,
_LONGEST_S = 600.0  # and none later than this, so that a run of days is heard of


class LineTimes:
    """The moments at which a log file gets a line: each twentieth of the work, a few seconds apart, and the end.

    Args:
        done: share of the work that an earlier run finished.
        last: whether the end has a line.
    """

    def __init__(self, done: float = 0.0, *, last: bool = True) -> None:
        self._share, self._last, self._moment = done, last, time.monotonic()

    def due(self, share: float) -> bool:
        """Return True if a line is due at this share of the work; it counts as printed then."""
        waited = time.monotonic() - self._moment
        ended = self._last and share >= 1 > self._share
        regular = share - self._share >= _SHARE - 1e-9 and waited >= _PAUSE_S and share < 1
        if not (ended or regular or (waited >= _LONGEST_S and self._share < share < 1)):
            return False
        self._share, self._moment = share, time.monotonic()
        return True


class StatusLine:
    """A line about a run: redrawn on a terminal, printed now and then into a log file.

    Args:
        done: share of the work that an earlier run finished.
        stream: where to write; None is standard error as it is now.
        quiet: show nothing; the log at level DEBUG gets its lines all the same.
        passing: the line is removed from a terminal at the end, and a log file gets none for the end.
    """

    def __init__(
        self, done: float = 0.0, *, stream: TextIO | None = None, quiet: bool = False, passing: bool = False
    ) -> None:
        self._stream = stream or sys.stderr
        self._quiet, self._live = quiet, not quiet and self._stream.isatty()
        self._printed, self._logged = LineTimes(done, last=not passing), LineTimes(done)
        self._passing, self._drawn, self._drawn_at = passing, False, 0.0

    def show(self, share: float, line: Callable[[], str]) -> None:
        """Show the line where one is due at this share of the work."""
        if self._logged.due(share):
            _log.debug("%s", line())
        if self._quiet:
            return
        if self._live:
            now = time.monotonic()
            if now - self._drawn_at > _REDRAW_S or share >= 1:
                self._drawn, self._drawn_at = True, now
                print(f"\r{line()}\033[K", end="", file=self._stream, flush=True)
        elif self._printed.due(share):
            print(line(), file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """Print a line of its own, once."""
        _log.debug("%s", text)
        if not self._quiet:
            self.close()
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """End or remove the line that is being redrawn."""
        if self._drawn:
            print(end="\r\033[K" if self._passing else "\n", file=self._stream, flush=True)
            self._drawn = False


class Progress:
    """A counter of finished pixels that shows the share, the speed and the time left.

    On a terminal one line is redrawn; elsewhere (a log file) there is a line for each twentieth of the work, ten
    seconds apart at least, and one for the end. Pixels are the source's.

    The speed leaves out the start-up: everything before the first pixels came out, once the run has gone on for as
    long again. Before that, the few pixels that follow the first closely would make it far too high.

    Args:
        total: pixels of the whole run.
        done: pixels that an earlier run finished; they count for the share, not for the speed.
        stream: where to write; None is standard error as it is when the run starts.
        quiet: count, but show nothing.
        name: of one raster of several, for the start of the line. What is redrawn is removed at the end, elsewhere
            there is no line for the end: a line about the finished raster follows.
    """

    def __init__(
        self,
        total: int,
        *,
        done: int = 0,
        stream: TextIO | None = None,
        quiet: bool = False,
        name: str | None = None,
    ) -> None:
        self._total, self._before, self._now = total, done, done
        self._name = name
        self._start = time.monotonic()
        self._first: tuple[float, int] | None = None  # moment and pixels when the first ones had come out,
        self._together = 0.0  # and the moment until which pixels count as coming out with them
        self._line = StatusLine(self._share, stream=stream, quiet=quiet, passing=name is not None)

    @property
    def _share(self) -> float:
        return self._now / max(1, self._total)

    def add(self, pixels: int) -> None:
        """Count pixels that are finished."""
        self._now += pixels
        now = time.monotonic()
        if self._first is None:
            self._together = now + (now - self._start) / 4
        if now <= self._together:
            self._first = now, self._now
        self._line.show(self._share, self.line)

    def speed(self) -> float:
        """Return the pixels per second of this run; 0 while there are none."""
        now = time.monotonic()
        since, before = self._start, self._before
        if self._first is not None and now - self._first[0] >= self._first[0] - self._start:
            since, before = self._first
        return (self._now - before) / max(1e-9, now - since)

    def line(self) -> str:
        """Return the share in percent, the speed and the time left, as one line."""
        speed = self.speed()
        left = duration(round((self._total - self._now) / speed)) if speed > 0 else "?"
        name = "" if self._name is None else f"{self._name}  "
        return f"{name}{100 * self._share:5.1f} %  {speed / 1e6:.2f} Mpx/s  {left} left"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.close()


Shown = Callable[..., Progress]
"""A maker of progress: takes the number of all pixels and, by the name ``done``, of those finished before."""


def duration(seconds: float) -> str:
    """Return a time span in seconds as text, in its two largest units.

    >>> duration(0), duration(0.043), duration(7.4), duration(131), duration(7322)
    ('0 s', '0.04 s', '7 s', '2 min 11 s', '2 h 02 min')
    """
    if 0 < seconds < 0.995:
        return f"{max(seconds, 0.01):.2f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

"""Progress of a run in one line on standard error: share, speed and time left."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

_log = logging.getLogger("landseg.progress")  # a line for each tenth, at level DEBUG, whatever is shown
_REDRAW_S = 0.2  # on a terminal
_SHARE = 0.1  # elsewhere: a line for each tenth of the work
_PAUSE_S = 10.0  # between lines about one raster of several


class Progress:
    """A counter of finished pixels that shows the share, the speed and the time left.

    On a terminal one line is redrawn; elsewhere (a log file) there is a line for each tenth. Pixels are the
    source's.

    Args:
        total: pixels of the whole run.
        done: pixels that an earlier run finished; they count for the share, not for the speed.
        stream: where to write; None is standard error as it is when the run starts.
        quiet: count, but show nothing.
        name: of one raster of several, for the start of the line. What is redrawn is removed at the end, elsewhere
            there is a line in ten seconds at most: a line about the finished raster follows.
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
        self._stream = stream or sys.stderr
        self._live = not quiet and self._stream.isatty()
        self._quiet, self._name = quiet, name
        self._start = self._printed_at = time.monotonic()
        self._shown_at = 0.0
        self._shown_share = self._logged_share = done / max(1, total)

    def add(self, pixels: int) -> None:
        """Count pixels that are finished."""
        self._now += pixels
        moment, share = time.monotonic(), self._now / max(1, self._total)
        if _due(share, self._logged_share):
            self._logged_share = share
            _log.debug("%s", self.line())
        if self._quiet:
            return
        if self._live and (moment - self._shown_at > _REDRAW_S or share >= 1):
            self._shown_at = moment
            print(f"\r{self.line()}\033[K", end="", file=self._stream, flush=True)
        elif not self._live and _due(share, self._shown_share):
            self._shown_share = share
            if self._name is None or moment - self._printed_at >= _PAUSE_S:
                self._printed_at = moment
                print(self.line(), file=self._stream, flush=True)

    def line(self) -> str:
        """Return the share in percent, the speed and the time left, as one line."""
        seconds = max(1e-9, time.monotonic() - self._start)
        speed = (self._now - self._before) / seconds
        left = duration(round((self._total - self._now) / speed)) if speed > 0 else "?"
        name = "" if self._name is None else f"{self._name}  "
        return f"{name}{100 * self._now / max(1, self._total):5.1f} %  {speed / 1e6:.2f} Mpx/s  {left} left"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live and self._shown_at:
            print(end="\n" if self._name is None else "\r\033[K", file=self._stream, flush=True)


Shown = Callable[..., Progress]
"""A maker of progress: takes the number of all pixels and, by the name ``done``, of those finished before."""


def _due(share: float, shown: float) -> bool:
    """Return True if the next tenth is reached, or the end."""
    return share - shown >= _SHARE or share >= 1 > shown


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

"""Lines joined end to end into arcs, in an order that does not depend on how the raster was cut."""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.arcs import POINTS, Arcs
from landseg.vector.topology.linked_lists import Ints, batches, rank_lists, spans


class PointStore:
    """A collection of points that grows, in memory, or in a new file of the folder ``work``."""

    def __init__(self, work: Path | None) -> None:
        self._parts: list[NDArray[Any]] = []
        self._file: IO[bytes] | None = None
        if work is not None:
            handle, self._name = tempfile.mkstemp(dir=work, suffix=".points")
            self._file = os.fdopen(handle, "wb")
            weakref.finalize(self, self._file.close)  # in case a run fails before `finished`
        self._count = 0

    def add(self, points: NDArray[Any]) -> None:
        """Append points ``(n, 2)`` int32."""
        self._count += len(points)
        if self._file is None:
            self._parts.append(points)
        else:
            self._file.write(np.ascontiguousarray(points, np.int32).data)

    def finished(self) -> NDArray[Any]:
        """Return all points ``(P, 2)`` int32; a memory map where they are in a file."""
        if self._file is None:
            return np.concatenate(self._parts) if self._parts else np.zeros((0, 2), np.int32)
        self._file.close()
        if self._count == 0:
            return np.zeros((0, 2), np.int32)
        return np.memmap(self._name, np.int32, "r", shape=(self._count, 2))


@dataclass(frozen=True)
class _Shares:
    """The points of lines that arcs consist of, share by share ``(n,)``."""

    line: Ints
    begin: Ints  # index in the points of all lines
    stop: Ints
    arcs: Ints  # the first share of each arc


def join(lines: Arcs, onward: NDArray[Any], work: Path | None = None) -> Arcs:
    """Return arcs made of ``lines``; ``onward`` ``(A,)`` is the line that follows each, or -1 where the arc ends.

    No line follows a closed one. Where two lines are joined in the middle of a straight line, the point between them
    is dropped. Arcs that are closed by joining begin at their first point in reading order. Points are read and
    written in order, a bounded number at a time; those of the arcs lie in a file of the folder ``work``, if given.
    """
    shares = _shares(lines, onward)
    ends = np.append(shares.arcs[1:], len(shares.line))
    order = np.argsort(_sort_key(lines.points, shares.begin[shares.arcs]))
    count = (ends - shares.arcs)[order]
    index = spans(shares.arcs[order], count)
    begin, taken = shares.begin[index], (shares.stop - shares.begin)[index]
    store = PointStore(work)
    for part in batches(taken, POINTS):
        store.add(np.asarray(lines.points[spans(begin[part], taken[part])]))
    sums = np.append(0, np.cumsum(taken))
    line = shares.line[shares.arcs[order]]
    offsets = sums[np.append(0, np.cumsum(count))]
    return Arcs(store.finished(), offsets, lines.left[line], lines.right[line])


def _shares(lines: Arcs, onward: NDArray[Any]) -> _Shares:
    """Return the shares; the last point of a line belongs to the next line, or to none where the line is straight."""
    begin, stop = lines.offsets[:-1].copy(), lines.offsets[1:].copy()
    joined = np.flatnonzero(onward >= 0)
    after = onward[joined]
    straight = _straight(lines.points, stop[joined] - 2, begin[after] + 1)
    begin[after[straight]] += 1
    stop[joined] -= 1
    lists = rank_lists(onward)
    counts = np.diff(lists.offsets)
    order, arcs = lists.order, lists.offsets[:-1]
    if not lists.closed.any():
        return _Shares(order, begin[order], stop[order], arcs)
    # A closed arc begins within a line, which has two shares: the first and the last.
    rings = np.flatnonzero(lists.closed)
    turned, first = _turned(lines, order, arcs[rings], counts[rings])
    order = order.copy()
    order[spans(arcs[rings], counts[rings])] = turned
    index = spans(arcs, counts + lists.closed)
    arcs = np.cumsum(counts + lists.closed) - (counts + lists.closed)
    last = arcs[rings] + counts[rings]
    index[last] = lists.offsets[rings]
    order = order[index]
    begin, stop = begin[order], stop[order]
    begin[arcs[rings]], stop[last] = first, first + 1
    return _Shares(order, begin, stop, arcs)


def _turned(lines: Arcs, order: Ints, begin: Ints, count: Ints) -> tuple[Ints, Ints]:
    """Return the lines of closed lists, rotated to begin with the first point in reading order, and its index."""
    member = order[spans(begin, count)]
    least = np.empty(len(member), np.int64)
    at = np.empty(len(member), np.int64)
    lengths = (lines.offsets[1:] - lines.offsets[:-1])[member] - 1  # the last point belongs to the next line
    for part in batches(lengths, POINTS):
        index = spans(lines.offsets[member[part]], lengths[part])
        points = np.asarray(lines.points[index], np.int64)
        key = (points[:, 1] << 31) + points[:, 0]
        starts = np.cumsum(lengths[part]) - lengths[part]
        least[part] = np.minimum.reduceat(key, starts)
        at[part] = index[np.flatnonzero(key == np.repeat(least[part], lengths[part]))]
    starts = np.cumsum(count) - count
    first = np.flatnonzero(least == np.repeat(np.minimum.reduceat(least, starts), count))
    step = np.arange(len(member)) + np.repeat(first - starts, count)
    ends = np.repeat(starts + count, count)
    step = np.where(step >= ends, step - np.repeat(count, count), step)
    return member[step], at[first]


def _straight(points: NDArray[Any], before: Ints, after: Ints) -> NDArray[np.bool_]:
    """Return True where the lattice points on either side of a third point lie on one line with it."""
    one, other = np.asarray(points[before]), np.asarray(points[after])
    straight: NDArray[np.bool_] = (one == other).any(axis=1)
    return straight


def _sort_key(points: NDArray[Any], begin: Ints) -> Ints:
    """Return sort keys of arcs: by first point in reading order, then by direction: east, south, west, north."""
    one, other = np.asarray(points[begin], np.int64), np.asarray(points[begin + 1], np.int64)
    x, y = np.sign(other - one).T
    heading = np.where(x != 0, 1 - x, 2 - y)  # 0, 2 along x; 1, 3 along y
    key: Ints = (one[:, 1] << 33) + (one[:, 0] << 2) + heading
    return key

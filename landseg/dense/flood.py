"""Instances by a flood: basins of an energy map merged over their saddles, the same however the rows are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.basins import (
    OUTSIDE,
    Saddles,
    check_map,
    find_saddles,
    follow,
    join_saddles,
    merge_basins,
    to_levels,
    uphill,
)
from landseg.errors import PlanError
from landseg.vector.topology.linked_lists import find_components

BLOCK = 1 << 18  # pixels processed at a time, so that they stay in the processor's cache
FEWEST_ROWS = 8  # of a block, beside the two rows that are kept
EVENTS = 1 << 17  # found before finished pieces are merged for the first time
MOST_LABELS = (1 << 32) - 2  # 0 is outside, and the last number of uint32 is left for nodata


@dataclass(frozen=True)
class Instances:
    """The instances of a raster, in reading order of their summits.

    Attributes:
        table: the id of each label ``(labels + 1,)`` uint32; 0 for none. ``table[labels]`` are the ids of pixels.
        place: the number of the pixel of each instance's summit ``(n,)``, row * width + column.
        summit: the level of the summit ``(n,)``, 0 to 65535.
        pixels: the number of pixels ``(n,)``.
    """

    table: NDArray[np.uint32]
    place: NDArray[np.int64]
    summit: NDArray[np.int32]
    pixels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.place)


@dataclass(frozen=True)
class _Basins:
    """Basins, or parts of basins: label, place of the summit or -1, its level, pixels."""

    label: NDArray[np.int64]
    place: NDArray[np.int64]
    summit: NDArray[np.int32]
    pixels: NDArray[np.int64]

    def chosen(self, index: NDArray[Any]) -> _Basins:
        return _Basins(self.label[index], self.place[index], self.summit[index], self.pixels[index])


def _no_basins() -> _Basins:
    nothing = np.zeros(0, np.int64)
    return _Basins(nothing, nothing, np.zeros(0, np.int32), nothing)


class Flood:
    """Flood a raster that comes in strips of rows.

    `add` takes rows and returns the labels of rows that are finished: one row fewer than came in so far. `end`
    returns those of the last row, and `instances` the table from labels to ids. A label is a basin or a part of one;
    which labels there are depends on the strips, the ids do not.

    Kept are two rows, the basins of pieces of the mask that reach the last rows, and 8 bytes for each label.

    Args:
        width: columns of the raster.
        rise: two basins become one where the lower summit rises less than this above their saddle, in energies from 0
            to 1; 0 leaves every summit an instance, infinity makes an instance of every piece of the mask.

    Raises:
        ValueError: the rise is negative or no number, or the width is less than 1.

    >>> flood = Flood(3, rise=0.5)
    >>> energy = np.array([[60000, 100, 50000], [9000, 0, 10000]], np.uint16)
    >>> mask = energy > 0
    >>> labels = np.concatenate([flood.add(energy[:1], mask[:1]), flood.add(energy[1:], mask[1:]), flood.end()])
    >>> flood.instances().table[labels].tolist()
    [[1, 1, 2], [1, 0, 2]]
    """

    def __init__(self, width: int, *, rise: float) -> None:
        if width < 1 or not rise >= 0:
            raise ValueError(f"expected a width of 1 or more and a rise of 0 or more, not {width} and {rise}")
        self._width, self._rise = width, rise
        self._levels = np.full((2, width), OUTSIDE, np.int32)  # the last two rows, first those above the raster
        self._labels = np.zeros((2, width), np.int64)  # in the last one only where the row above leads there
        self._top, self._next, self._ended = -2, 1, False  # number of the first kept row; the next label
        self._open, self._saddles, self._fresh = _no_basins(), join_saddles([]), 1
        self._begin_events()
        self._left: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]] = []  # labels, and what they are part of
        self._done: list[_Basins] = []

    @property
    def labels(self) -> int:
        """The number of labels so far, which are numbered from 1."""
        return self._next - 1

    def add(self, energy: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Return the labels of the rows that are finished (n, width); 0 outside the mask.

        Args:
            energy: the next rows ``(h, width)``, as `to_levels` takes them.
            mask: True for pixels that can belong to an instance ``(h, width)``.

        Raises:
            ValueError: the rows are of another width or not such rows, or the last row was said to have come.
            PlanError: the raster has more labels than uint32 can number.
        """
        if self._ended:
            raise ValueError("the flood has ended: rows come before end()")
        check_map(energy, mask)
        if energy.shape[1] != self._width:
            raise ValueError(f"expected rows of {self._width} pixels, not of {energy.shape[1]}")
        rows = max(FEWEST_ROWS, BLOCK // self._width)
        found = [np.zeros((0, self._width), np.uint32)]
        for row in range(0, len(energy), rows):
            found.append(self._advance(to_levels(energy[row : row + rows], mask[row : row + rows])))
        return np.concatenate(found)

    def end(self) -> NDArray[np.uint32]:
        """Return the labels of the last row (1, width), or of none (0, width), after which no row comes.

        Raises:
            ValueError: it was called before.
        """
        if self._ended:
            raise ValueError("the flood has ended before")
        found = self._advance(np.full((1, self._width), OUTSIDE, np.int32))
        self._labels[:] = 0
        self._sweep()
        self._ended = True
        return found

    def instances(self, smallest: int = 1) -> Instances:
        """Return the instances of at least ``smallest`` pixels, numbered from 1 in reading order of their summits.

        Raises:
            ValueError: `end` was not called before.
        """
        if not self._ended:
            raise ValueError("the flood has not ended: call end() after the last row")
        parent = np.arange(self._next, dtype=np.uint32)
        for labels, become in self._left:
            parent[labels] = become
        parts = self._done or [_no_basins()]
        label = np.concatenate([part.label for part in parts])
        place = np.concatenate([part.place for part in parts])
        pixels = np.concatenate([part.pixels for part in parts])
        order = np.argsort(place)
        order = order[pixels[order] >= smallest]
        number = np.zeros(self._next, np.uint32)
        number[label[order]] = np.arange(1, len(order) + 1)
        summit = np.concatenate([part.summit for part in parts])
        return Instances(number[follow(parent)], place[order], summit[order], pixels[order])

    def _begin_events(self) -> None:
        """Forget what was found since finished pieces were merged."""
        none, level = np.zeros(0, np.int64), np.zeros(0, np.int32)
        self._same = [(none, none)]  # two labels of one basin
        self._found = [join_saddles([])]
        self._summits = [(none, none, level)]  # label, place, level
        self._counts = [(none, none)]  # label, pixels
        self._events = 0

    def _advance(self, rows: NDArray[np.int32]) -> NDArray[np.uint32]:
        """Return the labels of rows that are finished when the levels of ``rows`` (h, w) have come."""
        first = self._top == -2
        levels = np.concatenate([self._levels, rows])
        target = follow(uphill(levels))
        labels = self._label(levels, target)
        saddles = find_saddles(labels[:-1], levels[:-1], self._top * self._width)
        self._found.append(saddles)
        self._events += len(saddles)
        self._levels, self._labels, self._top = levels[-2:].copy(), labels[-2:].copy(), self._top + len(rows)
        if self._events > max(EVENTS, len(self._saddles) + len(self._open.label)):
            self._sweep()
        return labels[2 if first else 1 : -1].astype(np.uint32)

    def _label(self, levels: NDArray[np.int32], target: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the labels of a block (n, w) whose pixels lead to the pixels ``target``, and note what was found.

        The first row has its labels, and the second where the first leads there. Of the last row only those pixels
        get labels to which others lead: where these lead is seen when the next row has come.
        """
        width = self._width
        label = np.zeros(levels.size, np.int64)
        label[:width] = self._labels[0]
        waiting = np.flatnonzero(self._labels[1])
        known, end = self._labels[1, waiting], target[waiting + width]
        free = label[end] == 0
        label[end[free][::-1]] = known[free][::-1]  # of several labels the first one stays
        differ = label[end] != known
        self._same.append((known[differ], label[end][differ]))
        body = target[width:-width]
        counts = np.bincount(body[levels[1:-1].ravel() >= 0], minlength=levels.size)
        ends = np.flatnonzero(counts)
        new = ends[label[ends] == 0]
        if self._next - 1 + len(new) > MOST_LABELS:
            raise PlanError(f"the raster has more than {MOST_LABELS:,} basins: group it in several parts")
        label[new] = np.arange(self._next, self._next + len(new))
        self._next += len(new)
        inner = ends[(ends >= width) & (ends < levels.size - width)]
        summits = inner[target[inner] == inner]
        self._summits.append((label[summits], summits + self._top * width, levels.ravel()[summits]))
        self._counts.append((label[ends], counts[ends]))
        self._events += len(new) + len(ends) + len(self._same[-1][0])
        found: NDArray[np.int64] = label[target].reshape(levels.shape)
        return found

    def _sweep(self) -> None:
        """Merge the pieces of the mask that have left the kept rows, and sum up what is known of the others."""
        basins, saddles, root = self._gathered()
        count = len(root)
        piece = find_components(count, saddles.one, saddles.other)
        kept = np.unique(self._labels[self._labels > 0])
        frontier = root[np.searchsorted(basins.label, kept)]
        is_open = np.zeros(count, bool)
        is_open[piece[frontier]] = True
        whole, is_open = root == np.arange(count), is_open[piece]
        self._leave(basins.label[~whole], basins.label[root[~whole]])
        done, stay = whole & ~is_open, whole & is_open
        self._saddles = saddles.chosen(stay[saddles.one]).renumbered(np.cumsum(stay) - 1)
        saddles = saddles.chosen(done[saddles.one]).renumbered(np.cumsum(done) - 1)
        there = self._labels > 0
        of_row = np.searchsorted(basins.label, self._labels[there])
        self._labels[there] = basins.label[root[of_row]]
        self._open, self._fresh = basins.chosen(stay), self._next
        basins = basins.chosen(done)
        del piece, root, whole, is_open, done, stay  # all pieces may be done at once, and many
        self._merge(basins, saddles)

    def _gathered(self) -> tuple[_Basins, Saddles, NDArray[Any]]:
        """Return all open labels, the saddles of the basins, and the index of the label that stands for its basin.

        The numbers of the saddles are indices of the labels. Pixels are summed at the label that stands. Notes are
        forgotten on the way, so that nothing is in memory twice.
        """
        known = self._open
        label = np.concatenate([known.label, np.arange(self._fresh, self._next)])
        count = len(label)
        one, other = (np.concatenate(column) for column in zip(*self._same, strict=True))
        root = find_components(count, np.searchsorted(label, one), np.searchsorted(label, other))
        place, summit, pixels = np.full(count, -1), np.zeros(count, np.int32), np.zeros(count, np.int64)
        of = root[: len(known.label)][known.place >= 0]
        place[of], summit[of] = known.place[known.place >= 0], known.summit[known.place >= 0]
        np.add.at(pixels, root[: len(known.label)], known.pixels)
        for labels, there, level in self._summits:
            of = root[np.searchsorted(label, labels)]
            place[of], summit[of] = there, level
        for labels, counts in self._counts:
            np.add.at(pixels, root[np.searchsorted(label, labels)], counts)
        self._open = known = _no_basins()
        saddles, found = [self._saddles.renumbered(root)], self._found
        self._begin_events()
        while found:
            saddles.append(found.pop().numbered(label).renumbered(root))
        self._saddles = join_saddles(saddles)
        saddles.clear()
        tree = self._saddles.spanning(count)
        return _Basins(label, place, summit, pixels), tree, root

    def _leave(self, labels: NDArray[np.int64], become: NDArray[np.int64]) -> None:
        """Note that labels are parts of others from now on."""
        self._left.append((labels.astype(np.uint32), become.astype(np.uint32)))

    def _merge(self, basins: _Basins, saddles: Saddles) -> None:
        """Make instances of basins whose pieces are finished; the numbers of the saddles are their indices."""
        assert (basins.place >= 0).all()
        stays = merge_basins(basins.summit, basins.place, saddles, self._rise)
        self._leave(basins.label, basins.label[stays])
        pixels = np.zeros(len(stays), np.int64)
        np.add.at(pixels, stays, basins.pixels)
        first = np.flatnonzero(stays == np.arange(len(stays)))
        self._done.append(_Basins(basins.label[first], basins.place[first], basins.summit[first], pixels[first]))


def flood(energy: NDArray[Any], mask: NDArray[np.bool_], *, rise: float, smallest: int = 1) -> NDArray[np.uint32]:
    """Return the instance of each pixel (h, w) as uint32: 1 to n in reading order of the summits, 0 for none.

    Every pixel of the mask points to the first, in the order of falling energy and then of reading, of itself and its
    four neighbours in the mask. Pixels that lead to the same summit are a basin. The saddle of two basins is the
    largest lower energy of two neighbouring pixels, one in each. From the highest saddle down, and in reading order
    among equals, two basins become one if the lower summit rises less than ``rise`` above the saddle. So each
    instance is four-connected.

    Args:
        energy: levels as uint16 ``(h, w)``, or floats from 0 to 1, which are rounded to 65535ths.
        mask: True for pixels that can belong to an instance ``(h, w)``.
        rise: height in energies from 0 to 1; 0 leaves every summit an instance, infinity makes an instance of every
            piece of the mask.
        smallest: pixels of the smallest instance; smaller ones are gone before the numbers are given.

    Raises:
        ValueError: energy or mask are not as `to_levels` takes them, or the rise is negative or no number.

    >>> energy = np.array([[0.9, 0.2, 0.8, 0.7]])
    >>> flood(energy, energy > 0, rise=0.5).tolist(), flood(energy, energy > 0, rise=0.7).tolist()
    ([[1, 1, 2, 2]], [[1, 1, 1, 1]])
    """
    if energy.ndim != 2 or 0 in energy.shape:
        check_map(energy, mask)
        return np.zeros(energy.shape, np.uint32)
    rows = Flood(energy.shape[1], rise=rise)
    labels = np.concatenate([rows.add(energy, mask), rows.end()])
    ids: NDArray[np.uint32] = rows.instances(smallest).table[labels]
    return ids

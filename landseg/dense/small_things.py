"""Small things that become part of a neighbour: the one with which they have the longest border in common."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseg.dense.basins import follow

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Borders:
    """The borders between things, each pair once.

    Attributes:
        one: the lesser number of a pair ``(p,)``.
        other: the greater one.
        length: edges of pixels that the two have in common.
    """

    one: Integers
    other: Integers
    length: Integers

    @classmethod
    def of(cls, one: Integers, other: Integers, length: Integers) -> Borders:
        """Return the borders of pairs, which may come several times and in either order; 0 is no thing."""
        apart = (one != other) & (one > 0) & (other > 0)
        one, other, length = one[apart], other[apart], length[apart]
        pairs = np.stack([np.minimum(one, other), np.maximum(one, other)])
        pairs, which = np.unique(pairs, axis=1, return_inverse=True)
        total = np.zeros(pairs.shape[1], np.int64)
        np.add.at(total, which.ravel(), length)
        return cls(pairs[0], pairs[1], total)

    @classmethod
    def joined(cls, parts: Sequence[Borders]) -> Borders:
        """Return the borders of several parts, lengths of one pair added up."""
        none = np.zeros(0, np.int64)
        columns = zip(*((part.one, part.other, part.length) for part in parts), strict=True)
        return cls.of(*(np.concatenate([none, *column]) for column in columns)) if parts else cls(none, none, none)

    def shifted(self, by: int) -> Borders:
        """Return the borders between things whose numbers are greater."""
        return Borders(self.one + by, self.other + by, self.length)

    def within(self, kind: NDArray[np.uint8]) -> Borders:
        """Return the borders between things of one class; ``kind`` is the class of each thing (n,)."""
        same = kind[self.one - 1] == kind[self.other - 1]
        return Borders(self.one[same], self.other[same], self.length[same])

    @classmethod
    def between(cls, numbers: NDArray[np.integer]) -> Borders:
        """Return the borders between the pixels (h, w) of numbers, 0 for none."""
        return cls.of(*pixel_pairs(numbers, None))


def pixel_pairs(
    numbers: NDArray[np.integer], above: NDArray[np.integer] | None
) -> tuple[Integers, Integers, Integers]:
    """Return two numbers and 1 for each edge between pixels (h, w) that differ, with the row (w,) above if given."""
    rows = numbers if above is None else np.concatenate([above[None], numbers])
    found = []
    for one, other in ((numbers[:, :-1], numbers[:, 1:]), (rows[:-1], rows[1:])):
        apart = one != other
        found.append(np.stack([one[apart], other[apart]]).astype(np.int64))
    one, other = np.concatenate(found, axis=1)
    return one, other, np.ones(len(one), np.int64)


def join_small(area: NDArray[np.float64], place: Integers, borders: Borders, *, least: float) -> Integers:
    """Return for each thing (n,) the index of the thing that it becomes part of, or its own.

    The smallest thing below the least area, and of equal ones the first, joins the neighbour with the longest border
    in common, and of equal ones the first; areas and borders add up. So on until no small thing has a neighbour.

    Args:
        area: of each thing.
        place: of each thing in reading order.
        borders: between things, by their indices plus 1.
        least: area from which on a thing is not small.

    >>> borders = Borders.of(np.array([1, 2]), np.array([2, 3]), np.array([5, 4]))
    >>> join_small(np.array([9.0, 1.0, 9.0]), np.arange(3), borders, least=2).tolist()
    [0, 0, 2]
    """
    sizes, joined = area.tolist(), list(range(len(area)))
    near: list[dict[int, int]] = [{} for _ in joined]
    for one, other, length in zip(borders.one - 1, borders.other - 1, borders.length.tolist(), strict=True):
        near[one][int(other)] = near[other][int(one)] = length
    waiting = [(size, int(place[i]), i) for i, size in enumerate(sizes) if size < least]
    heapq.heapify(waiting)
    while waiting:
        size, _, small = heapq.heappop(waiting)
        if joined[small] != small or size != sizes[small] or not near[small]:
            continue
        into = min(near[small], key=lambda i: (-near[small][i], place[i]))
        joined[small] = into
        sizes[into] += size
        for i, length in near[small].items():
            del near[i][small]
            if i != into:
                near[i][into] = near[into][i] = near[into].get(i, 0) + length
        near[small] = {}
        if sizes[into] < least:
            heapq.heappush(waiting, (sizes[into], int(place[into]), into))
    ends: Integers = follow(np.array(joined, np.int64))
    return ends

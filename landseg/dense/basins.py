"""Basins of an energy map: the way uphill, the saddles between basins, and the basins that become one."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.linked_lists import find_components

TOP = 65535  # the level of an energy of 1
OUTSIDE = -1  # the level of pixels outside the mask
_AT_A_TIME = 1 << 16  # saddles made Python numbers at a time


def check_map(energy: NDArray[Any], mask: NDArray[np.bool_]) -> None:
    """Raise a ValueError unless an energy map and a boolean mask have one shape (h, w)."""
    if energy.ndim != 2 or energy.shape != mask.shape or mask.dtype != bool:
        found = f"{energy.shape} and {mask.shape} of {mask.dtype}"
        raise ValueError(f"expected an energy and a boolean mask of one shape (h, w), not {found}")


def to_levels(energy: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the levels (h, w) of an energy map, 0 to 65535, and -1 outside the mask.

    Args:
        energy: levels as uint16, or numbers 0 to 1, which become 65535 times as much, rounded to the nearest level,
            and the even one of two. Numbers outside the mask may be anything.
        mask: True for pixels that can belong to an instance ``(h, w)``.

    Raises:
        ValueError: the shapes differ or are not (h, w), the mask is not boolean, the energy is neither uint16 nor
            floating, or a number inside the mask is not within 0 to 1.

    >>> to_levels(np.array([[0.0, 0.5, np.nan, 1.0]]), np.array([[True, True, False, True]])).tolist()
    [[0, 32768, -1, 65535]]
    """
    check_map(energy, mask)
    if energy.dtype == np.uint16:
        return np.where(mask, energy, np.int32(OUTSIDE))
    if energy.dtype.kind != "f":
        raise ValueError(f"expected an energy of uint16 or of floats, not of {energy.dtype}")
    inside = np.where(mask, energy, 0).astype(np.float64)
    if inside.size and not (inside.min() >= 0 and inside.max() <= 1):
        raise ValueError("expected energies from 0 to 1 inside the mask; others or no numbers were found")
    return np.where(mask, np.rint(inside * TOP).astype(np.int32), np.int32(OUTSIDE))


def uphill(levels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the flat index ``(n * w,)`` of the pixel that each pixel of a block (n, w) points to.

    That is the highest of the pixel and its four neighbours, and the first of these in reading order among equals.
    The first and the last row, whose neighbours are not all at hand, point to themselves, and so do pixels outside
    the mask, of level -1.
    """
    height, width = levels.shape
    middle = levels[1:-1]
    best, step = levels[:-2].copy(), np.full(middle.shape, -width, np.int64)
    candidates = (
        (slice(1, None), middle[:, :-1], -1),
        (slice(None), middle, 0),
        (slice(None, -1), middle[:, 1:], 1),
        (slice(None), levels[2:], width),
    )
    for columns, there, way in candidates:  # in reading order, so that only a higher one takes the place
        higher = there > best[:, columns]
        np.copyto(best[:, columns], there, where=higher)
        np.copyto(step[:, columns], way, where=higher)
    step[middle < 0] = 0
    target = np.arange(height * width)
    target[width:-width] += step.ravel()
    return target


def follow(target: NDArray[Any]) -> NDArray[Any]:
    """Return the end of the way that begins at each item ``(n,)``.

    The next item of each is ``target``; at the end of a way it is the item itself.

    >>> follow(np.array([1, 2, 2, 0, 4])).tolist()
    [2, 2, 2, 2, 4]
    """
    while True:
        further = target[target]
        if np.array_equal(further, target):
            return target
        target = further


@dataclass(frozen=True)
class Saddles:
    """Saddles ``(s,)`` between basins.

    Attributes:
        one: one basin of each saddle, the lesser number.
        other: the other basin.
        level: the level of the saddle.
        place: the place of the saddle: twice the pixel's number in the raster, in reading order, and 1 more where the
            second pixel is the one below and not the one to the right.
    """

    one: NDArray[np.uint32]
    other: NDArray[np.uint32]
    level: NDArray[np.int32]
    place: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.one)

    def chosen(self, index: NDArray[Any]) -> Saddles:
        """Return the saddles of an index or a mask."""
        return Saddles(self.one[index], self.other[index], self.level[index], self.place[index])

    def numbered(self, labels: NDArray[np.int64]) -> Saddles:
        """Return the saddles with the index in sorted ``labels`` for the label of each basin."""
        one, other = (np.searchsorted(labels, number).astype(np.uint32) for number in (self.one, self.other))
        return Saddles(one, other, self.level, self.place)

    def renumbered(self, basins: NDArray[Any]) -> Saddles:
        """Return the saddles with ``basins[number]`` for the number of each basin, and none within a basin."""
        one, other = (basins[number].astype(np.uint32) for number in (self.one, self.other))
        apart = one != other
        one, other = one[apart], other[apart]
        return Saddles(np.minimum(one, other), np.maximum(one, other), self.level[apart], self.place[apart])

    def highest(self) -> Saddles:
        """Return the highest saddle of every two basins, and the first in its place among equals."""
        order = np.lexsort((self.place, -self.level, self.other, self.one))
        one, other = self.one[order], self.other[order]
        first = np.ones(len(order), bool)
        first[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
        return self.chosen(order[first])

    def spanning(self, count: int) -> Saddles:
        """Return the saddles that decide about merging, one fewer than basins in each piece, from the highest down.

        The last saddle of a circle decides nothing: where all others of it merged, its basins are one already, and
        where one of them did not, both its summits rise too far, and so do those that this last one would join. Left
        is the spanning forest of the highest saddles, which holds the pieces together as well. It grows from all
        basins at once, each by its highest saddle (Borůvka).

        Args:
            count: the number of basins, which are numbered from 0.
        """
        order = np.lexsort((self.place, -self.level)).astype(np.uint32)
        kept = np.zeros(len(self), bool)
        alive, one, other = np.arange(len(self), dtype=np.uint32), self.one[order], self.other[order]
        while len(alive):
            best = np.full(count, len(self), np.uint32)
            best[other[::-1]] = alive[::-1]  # the last one that is written is the highest
            taken = best.copy()
            taken[one[::-1]] = alive[::-1]
            taken = np.unique(np.minimum(taken, best, out=taken))
            taken = taken[taken < len(self)]
            kept[taken] = True
            index = np.searchsorted(alive, taken)
            tree = find_components(count, one[index], other[index]).astype(np.uint32)
            one, other = tree[one], tree[other]
            apart = one != other
            alive, one, other = alive[apart], one[apart], other[apart]
        return self.chosen(order[kept])


def join_saddles(parts: list[Saddles]) -> Saddles:
    """Return the saddles of several parts, one part after another."""
    if not parts:
        nothing = np.zeros(0, np.uint32)
        return Saddles(nothing, nothing, np.zeros(0, np.int32), np.zeros(0, np.int64))
    columns = ((part.one, part.other, part.level, part.place) for part in parts)
    return Saddles(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def find_saddles(basins: NDArray[np.int64], levels: NDArray[np.int32], start: int) -> Saddles:
    """Return the saddles of the basins of a block.

    Pairs side by side in the first row are left out: they belong to the block before.

    Args:
        basins: the basin of each pixel ``(n, w)``; 0 outside the mask.
        levels: the level of each pixel ``(n, w)``.
        start: the number of the block's first pixel in the raster.
    """
    pixel = np.arange(levels.size).reshape(levels.shape) + start
    parts = []
    for here, there, below in (
        ((slice(1, None), slice(None, -1)), (slice(1, None), slice(1, None)), 0),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None)), 1),
    ):
        meet = (basins[here] != basins[there]) & (basins[here] > 0) & (basins[there] > 0)
        one, other = (basins[side][meet].astype(np.uint32) for side in (here, there))
        level = np.minimum(levels[here][meet], levels[there][meet])
        place = 2 * pixel[here][meet] + below
        parts.append(Saddles(np.minimum(one, other), np.maximum(one, other), level, place))
    return join_saddles(parts).highest()


def merge_basins(
    summit: NDArray[np.int32], place: NDArray[np.int64], saddles: Saddles, rise: float
) -> NDArray[np.uint32]:
    """Return for each basin ``(n,)`` the basin whose summit stays, after merging over the saddles.

    Saddles are taken as they come: the highest first, and the first in its place among equals. Two basins that are
    not yet one become one if the lower of both summits rises less than ``rise`` above the saddle; the higher summit
    stays, or the first in reading order.

    Args:
        summit: level of the summit of each basin.
        place: place of the summit in reading order.
        saddles: saddles between the basins, which are numbered from 0, from the highest down as `Saddles.spanning`
            gives them.
        rise: height in energies from 0 to 1; infinity merges all basins that touch.
    """
    limit = TOP + 1 if rise > 1 else math.ceil(rise * TOP)
    order = np.lexsort((place, -summit)).astype(np.uint32)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    # A summit only grows by merging, so a saddle too far below both basins stays too far below.
    near = np.minimum(summit[saddles.one], summit[saddles.other]) - saddles.level < limit
    one, other = rank[saddles.one[near]], rank[saddles.other[near]]
    stays = _joined(summit[order], one, other, saddles.level[near], limit)
    merged: NDArray[np.uint32] = order[stays[rank]]
    return merged


def _joined(
    summit: NDArray[np.int32],
    one: NDArray[np.uint32],
    other: NDArray[np.uint32],
    level: NDArray[np.int32],
    limit: int,
) -> NDArray[np.uint32]:
    """Return for each basin ``(n,)``, numbered by the rank of its summit, the least of those that it is one with."""
    above = array("I", np.arange(len(summit), dtype=np.uintc).tobytes())
    height = array("i", summit.astype(np.intc).tobytes())
    for start in range(0, len(one), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        for first, second, saddle in zip(one[part].tolist(), other[part].tolist(), level[part].tolist(), strict=True):
            while above[first] != first:
                above[first] = first = above[above[first]]
            while above[second] != second:
                above[second] = second = above[above[second]]
            if first == second:
                continue
            if first > second:
                first, second = second, first
            if height[second] - saddle < limit:
                above[second] = first
    return follow(np.frombuffer(above, np.uintc))

"""Linked lists, graphs and ranges of indices, processed as whole arrays, without a loop over items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class LinkedLists:
    """Items in the order of their linked lists.

    Attributes:
        order: the items ``(n,)``, each once.
        offsets: list `i` is ``order[offsets[i]:offsets[i + 1]]``; ``(lists + 1,)``.
        closed: True where the first item of a list follows its last one ``(lists,)``.
    """

    order: Ints
    offsets: Ints
    closed: NDArray[np.bool_]


def rank_lists(successor: NDArray[Any]) -> LinkedLists:
    """Return the linked lists of items; ``successor`` ``(n,)`` is the next item of each, -1 at the end of a list.

    No two items have the same successor. A closed list begins at an arbitrary item, always the same one. Lists are
    ranked by contraction: every item whose scrambled number is less than those of its neighbours absorbs the items
    behind it; the rest, about a third, is ranked in the same way. Work and memory are linear.

    >>> lists = rank_lists(np.array([2, -1, 1]))
    >>> lists.order.tolist(), lists.offsets.tolist(), lists.closed.tolist()
    ([0, 2, 1], [0, 3], [False])
    """
    n = len(successor)
    successor = successor.astype(np.int32 if n < 1 << 31 else np.int64, copy=False)
    head, rank = _ranks(successor, np.ones(n, successor.dtype))
    counts = np.bincount(head, minlength=n)
    heads = np.flatnonzero(counts)
    begins = np.cumsum(counts) - counts
    order = np.empty(n, np.int64)
    order[begins[head] + rank] = np.arange(n)
    offsets = np.append(begins[heads], n).astype(np.int64)
    closed = successor[order[offsets[1:] - 1]] >= 0 if n else np.zeros(0, bool)
    return LinkedLists(order, offsets, closed)


def _ranks(successor: NDArray[Any], weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return for each item: an item that names its list, and the sum of weights from there to the item."""
    n = len(successor)
    rulers, is_ruler = _rulers(successor)
    owner, rank = np.empty_like(successor), np.zeros_like(weight)
    owner[rulers] = np.arange(len(rulers))
    onward, gap = np.empty_like(rulers), np.empty(len(rulers), weight.dtype)
    walker, at, walked = np.arange(len(rulers)), successor[rulers], weight[rulers]
    while len(walker):
        going = at >= 0
        going[going] = ~is_ruler[at[going]]
        ended = ~going
        onward[walker[ended]], gap[walker[ended]] = at[ended], walked[ended]
        walker, at, walked = walker[going], at[going], walked[going]
        owner[at], rank[at] = walker, walked
        walked, at = walked + weight[at], successor[at]
    onward = np.where(onward >= 0, owner[onward], -1)
    head, base = np.arange(len(rulers)), np.zeros(len(rulers), weight.dtype)
    if len(rulers) < n:
        open_ = _unsettled(onward)
        if len(open_):
            place = np.full(len(rulers), -1, successor.dtype)
            place[open_] = np.arange(len(open_))
            inner = np.where(onward[open_] >= 0, place[onward[open_]], -1).astype(successor.dtype)
            inner_head, base[open_] = _ranks(inner, gap[open_])
            head[open_] = open_[inner_head]
    return rulers[head[owner]].astype(successor.dtype), base[owner] + rank


def _rulers(successor: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return heads of open lists and items scrambled below both neighbours, as indices and as a mask (n,)."""
    n = len(successor)
    followed = np.flatnonzero(successor >= 0)
    key = _scramble(n)
    before = np.full(n, -1, successor.dtype)
    before[successor[followed]] = followed
    key[before < 0] = -1  # no neighbour of a head is less than it
    least = before < 0
    inner = np.flatnonzero(~least)
    least[inner] = key[inner] < key[before[inner]]
    followed = followed[least[followed] & (before[followed] >= 0)]
    least[followed] = key[followed] < key[successor[followed]]
    least |= before == np.arange(n)
    return np.flatnonzero(least), least


def _scramble(n: int) -> Ints:
    """Return distinct numbers (n,) in no order of lists on a lattice (the 32-bit finaliser of MurmurHash3)."""
    key = np.arange(n, dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        key ^= key >> np.uint32(shift)
        key *= np.uint32(factor)
    key ^= key >> np.uint32(16)
    return key.astype(np.int64)


def _unsettled(onward: NDArray[Any]) -> NDArray[Any]:
    """Return the items whose list has other items too."""
    index = np.arange(len(onward))
    lone = (onward < 0) | (onward == index)
    led = np.zeros(len(onward), bool)
    led[onward[~lone]] = True
    return np.flatnonzero(~lone | led)


def find_components(n: int, one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Return the least member of the connected component of each item ``(n,)``; edges join `one` and `other`.

    >>> find_components(5, np.array([3, 4]), np.array([1, 3])).tolist()
    [0, 1, 2, 1, 1]
    """
    parent = np.arange(n, dtype=np.int32 if n < 1 << 31 else np.int64)
    one, other = one.astype(parent.dtype, copy=False), other.astype(parent.dtype, copy=False)
    while len(one):
        np.minimum.at(parent, np.maximum(one, other), np.minimum(one, other))
        while True:
            above = parent[parent]
            if np.array_equal(above, parent):
                break
            parent = above
        one, other = parent[one], parent[other]
        apart = one != other
        one, other = one[apart], other[apart]
    return parent


def spans(begin: NDArray[Any], count: NDArray[Any]) -> Ints:
    """Return the indices of ranges, one range after another.

    >>> spans(np.array([7, 2]), np.array([2, 3])).tolist()
    [7, 8, 2, 3, 4]
    """
    ends = np.cumsum(count)
    index = np.arange(ends[-1] if len(ends) else 0, dtype=np.int64)
    index += np.repeat(np.asarray(begin, np.int64) - (ends - count), count)
    return index


def batches(count: NDArray[Any], limit: int) -> Iterator[slice]:
    """Yield slices of consecutive items whose counts sum to `limit` at most, or of one item that alone exceeds it.

    >>> [(s.start, s.stop) for s in batches(np.array([2, 2, 9, 1]), 4)]
    [(0, 2), (2, 3), (3, 4)]
    """
    ends = np.cumsum(count)
    begin, done = 0, 0
    while begin < len(count):
        stop = max(begin + 1, int(np.searchsorted(ends, done + limit, side="right")))
        yield slice(begin, stop)
        begin, done = stop, int(ends[stop - 1])


def cut(offsets: Ints, longest: int) -> tuple[Ints, Ints, Ints]:
    """Return pieces of lines: the index of the first point, the number of points, and the line of each.

    Line `i` is ``offsets[i]:offsets[i + 1]``; a line of more than `longest` points is cut at every
    ``longest - 1``th point, which is the last of one piece and the first of the next.

    >>> [array.tolist() for array in cut(np.array([0, 2, 7]), 3)]
    [[0, 2, 4], [2, 3, 3], [0, 1, 1]]
    """
    return cut_spans(offsets[:-1], np.diff(offsets), longest)


def cut_spans(begin: Ints, count: Ints, longest: int) -> tuple[Ints, Ints, Ints]:
    """Return the pieces of lines as `cut` does, of lines that begin at ``begin`` and have ``count`` points each."""
    steps = count - 1
    parts = -(-steps // (longest - 1))
    line = np.repeat(np.arange(len(steps)), parts)
    done = spans(np.zeros(len(parts), np.int64), parts) * (longest - 1)
    return begin[line] + done, np.minimum(steps[line] - done, longest - 1) + 1, line

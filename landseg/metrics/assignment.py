"""One-to-one assignment of things that lie near each other: the shortest one, and how many pairs any of them has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landseg.metrics.overlaps import Flags, Floats, Ints

_AT_ONCE = 512  # things of the left side in a problem that small groups are put together to


def assign(
    left: Ints,
    right: Ints,
    distance: Floats,
    counts: tuple[int, int],
    *,
    left_first: Flags | None = None,
    right_first: Flags | None = None,
) -> Ints:
    """Return the positions (M,), ascending, of the pairs of an assignment; each thing is in at most one of them.

    It is, of all assignments with the most pairs, the one of the least total distance (the Hungarian method). It is
    solved group by group, where a group is what pairs connect, so that memory goes by the pairs. Where two are
    equally short, it is either.

    Things that come first are preferred: of the assignments with the most pairs only those count that hold as many
    of them as any assignment does, on both sides. Such assignments exist (Mendelsohn and Dulmage 1958).

    Args:
        left: (P,) numbers of the things on the left of each pair, from 0.
        right: (P,) numbers of those on the right; no pair stands twice.
        distance: (P,) of each pair, 0 or more.
        counts: number of things on either side.
        left_first: (L,) True for things that come first; None for all.
        right_first: (R,) likewise.

    >>> assign(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1.0, 5.0, 4.0]), (2, 2)).tolist()
    [1, 2]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(left):
        return np.zeros(0, np.int64)
    whole = sum(counts)
    graph = coo_array((np.ones(len(left), bool), (left, counts[0] + right)), shape=(whole, whole))
    group = connected_components(graph, directed=False)[1][left]
    sizes = np.bincount(group)
    chosen = [np.flatnonzero(sizes[group] == 1)]
    order = np.argsort(group, kind="stable")
    order = order[sizes[group[order]] > 1]
    first = np.flatnonzero(np.diff(group[order], prepend=-1))  # of each group
    preferred = (
        np.ones(count, bool) if flags is None else flags
        for count, flags in zip(counts, (left_first, right_first), strict=True)
    )
    value = 1 + sum((flags[side].astype(np.int64) for flags, side in zip(preferred, (left, right), strict=True)))
    for part in _parts(order, first):
        chosen.append(part[_solve(left[part], right[part], distance[part], np.asarray(value)[part])])
    return np.sort(np.concatenate(chosen))


def _parts(order: Ints, first: Ints) -> list[Ints]:
    """Return the pairs in parts of whole groups, as many groups together as have some `_AT_ONCE` pairs."""
    parts, start = [], 0
    for end in [*first[1:].tolist(), len(order)]:
        if end - start >= _AT_ONCE or (end == len(order) and end > start):
            parts.append(order[start:end])
            start = end
    return parts


def _solve(left: Ints, right: Ints, distance: Floats, value: Ints) -> Ints:
    """Return the positions of the pairs, (M,), with the most value, and of these the least distance.

    Every thing on the left may also go to a place of its own, which costs more than any pair.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, row = np.unique(left, return_inverse=True)
    columns, column = np.unique(right, return_inverse=True)
    height, width = len(rows), len(columns)
    worth = (min(height, width) + 1) * (float(distance.max()) or 1.0)  # more than all distances together
    alone = 4 * worth  # the solver takes a cost of 0 for no pair, so all of them are above it
    cost = np.concatenate([distance - worth * value + alone, np.full(height, alone)])
    places = np.concatenate([row, np.arange(height)]), np.concatenate([column, width + np.arange(height)])
    solved = min_weight_full_bipartite_matching(csr_array((cost, places), shape=(height, width + height)))
    taken = np.full(height, -1, np.int64)
    taken[solved[0]] = solved[1]
    chosen: Ints = np.flatnonzero(taken[row] == column)
    return chosen


def growth(left: Ints, right: Ints, order: Ints, counts: tuple[int, int]) -> Flags:
    """Return whether the most pairs of any assignment become one more as each thing on the right joins, (R,).

    Summed up, that is the number of pairs that `assign` finds among the first 1, 2 ... things of the order.

    Args:
        left: (P,) numbers of the things on the left of each pair, from 0.
        right: (P,) numbers of those on the right.
        order: (R,) things on the right in the order in which they join.
        counts: number of things on either side.

    >>> growth(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0, 1]), (2, 2)).tolist()
    [True, True]
    """
    near: list[list[int]] = [[] for _ in range(counts[1])]
    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        near[other].append(one)
    partner, own, dead = [-1] * counts[0], [-1] * counts[1], [False] * counts[0]
    grown = np.zeros(len(order), bool)
    for turn, node in enumerate(order.tolist()):
        via, end = _path(node, near, partner, dead)
        if end < 0:
            # No free place can be reached from these, nor from any later path that comes to them.
            for one in via:
                dead[one] = True
            continue
        grown[turn] = True
        while end >= 0:
            other = via[end]
            partner[end], own[other], end = other, end, own[other]
    return grown


def _path(
    node: int, near: Sequence[Sequence[int]], partner: Sequence[int], dead: Sequence[bool]
) -> tuple[dict[int, int], int]:
    """Return how each thing on the left is reached from one on the right by partners, and the free one, or -1."""
    via: dict[int, int] = {}
    queue = [node]
    for other in queue:  # it grows meanwhile
        for one in near[other]:
            if one in via or dead[one]:
                continue
            via[one] = other
            if partner[one] < 0:
                return via, one
            queue.append(partner[one])
    return via, -1

"""The choice of groups of labelled pixels to keep for measuring: near a share, with every class on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""(groups, classes): labelled pixels."""
Choice = NDArray[np.bool_]
"""(groups,): True where a group is kept."""

_ALL = 12  # groups of which every choice is tried
_SWAPS = 160  # groups among which exchanges are tried as well
_MOVES = 400  # improvements at most, after every group was looked at once
_STEP = 0.002  # of the squared distance from the share: choices that are as near as this are equally good
_MISSING = 10.0  # cost of a class that one side lacks
_UNLEARNED = 5.0  # cost of a class that one group alone has, where that group is kept


def choose(counts: Counts, share: float, seed: int = 0) -> Choice:
    """Return the groups to keep, given the pixels of each class in each group.

    A class that occurs in two groups or more is wanted on both sides before anything else, and one that occurs in a
    single group is wanted on the learned side; then the kept share of all labelled pixels, and of each class', is
    to be near ``share``. Of few groups the best choice is taken, of many a good one is searched; of equally good ones
    the seed chooses. Of two labelled groups or more neither side is empty.

    >>> choose(np.array([[80, 0], [70, 20], [20, 10]]), 0.2).tolist()
    [False, False, True]
    """
    kept = np.zeros(len(counts), bool)
    labelled = np.flatnonzero(counts.sum(1))
    if len(labelled) < 2:
        return kept
    order = np.random.default_rng(seed).permutation(labelled)
    cost = _Cost(counts[order].astype(np.float64), share)
    found = _best(cost) if len(order) <= _ALL else _searched(cost)
    kept[order[found]] = True
    return kept


class _Cost:
    """The cost of choices: lower is better."""

    def __init__(self, counts: NDArray[np.float64], share: float) -> None:
        self.counts, self.share = counts, share
        self.totals = counts.sum(0)
        self.present = self.totals > 0
        self.apart = (counts > 0).sum(0) >= 2  # classes that both sides can have
        self.alone = (counts > 0).sum(0) == 1  # classes that are learned or measured, not both

    def of(self, kept: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cost (n,) of kept pixels (n, classes)."""
        missing = ((kept <= 0) | (kept >= self.totals)) & self.apart
        one_sided = (kept.sum(-1) <= 0) | (kept.sum(-1) >= self.totals.sum())
        shares = kept[..., self.present] / self.totals[self.present]
        whole = kept.sum(-1) / self.totals.sum()
        near = (whole - self.share) ** 2 + 0.5 * ((shares - self.share) ** 2).mean(-1)
        unlearned = ((kept > 0) & self.alone).sum(-1)
        cost: NDArray[np.float64] = near + _MISSING * missing.sum(-1) + _UNLEARNED * unlearned
        cost += _MISSING * len(self.totals) * one_sided
        return cost


def _best(cost: _Cost) -> Choice:
    """Return the best of all choices; the first of those that are equally good, to a step."""
    groups = len(cost.counts)
    choices = (np.arange(1, 1 << groups)[:, None] >> np.arange(groups)) & 1
    values = cost.of(choices @ cost.counts)
    best: Choice = choices[int(np.argmax(values <= values.min() + _STEP))].astype(bool)
    return best


def _searched(cost: _Cost) -> Choice:
    """Return a good choice: every group in turn where it helps, then changes and exchanges while they help."""
    kept = np.zeros(len(cost.counts), bool)
    sums = np.zeros(cost.counts.shape[1])
    now = float(cost.of(sums))
    for index in _rare_first(cost):
        after = float(cost.of(sums + cost.counts[index]))
        if after < now:
            kept[index], sums, now = True, sums + cost.counts[index], after
    for _ in range(_MOVES):
        move = _best_move(cost, kept, sums)
        value = float(cost.of(sums + move[1]))
        if value >= now - 1e-12:
            break
        kept[move[0]] = ~kept[move[0]]
        sums, now = sums + move[1], value
    return kept


def _rare_first(cost: _Cost) -> list[int]:
    """Return the smallest groups of the rarest classes, for a place of every class, then the others in order."""
    having = cost.counts > 0
    first = []
    for label in np.argsort(having.sum(0), kind="stable").tolist():
        groups = np.flatnonzero(having[:, label])
        if len(groups) >= 2:
            sizes = cost.counts[groups].sum(1)
            first.append(int(groups[np.argsort(sizes, kind="stable")[len(groups) // 2 - 1]]))
    chosen = list(dict.fromkeys(first))
    return chosen + [index for index in range(len(having)) if index not in set(chosen)]


def _best_move(cost: _Cost, kept: Choice, sums: NDArray[np.float64]) -> tuple[list[int], NDArray[np.float64]]:
    """Return the groups to turn over that lower the cost most, and the pixels (classes,) that this adds."""
    signed = np.where(kept[:, None], -cost.counts, cost.counts)
    single = cost.of(sums + signed)
    best = int(np.argmin(single))
    inside, outside = np.flatnonzero(kept), np.flatnonzero(~kept)
    if len(kept) > _SWAPS or not len(inside) or not len(outside):
        return [best], signed[best]
    pairs = cost.of(sums + signed[inside][:, None] + signed[outside])
    a, b = np.unravel_index(int(np.argmin(pairs)), pairs.shape)
    if pairs[a, b] < single[best]:
        return [int(inside[a]), int(outside[b])], signed[inside[a]] + signed[outside[b]]
    return [best], signed[best]

"""Detections matched to objects of the truth: greedily, from the highest score down, by the rules of pycocotools."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from landseg.metrics.overlaps import Flags, Floats, Ints, Overlaps

NEARLY_ONE = 1 - 1e-10
"""Largest threshold that an IoU is held against, as in pycocotools: 1 itself would ask too much of rounding."""


def by_score(scores: Floats) -> Ints:
    """Return the order (D,) of scores from the highest down; equal ones stay in their order.

    >>> by_score(np.array([0.5, 0.9, 0.5])).tolist()
    [1, 0, 2]
    """
    return np.argsort(-scores, kind="stable")


def match(overlaps: Overlaps, iou: Floats, order: Ints, aside: Flags, thresholds: Floats) -> Ints:
    """Return for each threshold the pair that each detection takes, (len(thresholds), D); -1 for none.

    Detections choose in turn. Each takes, of the objects that are free and whose IoU is at least the threshold, the
    one of the highest IoU, of equal ones the later; an object that is set aside only if no other is left. An object
    is taken once, but a crowd (`Objects.ignored` of the truth) by any number.

    Args:
        overlaps: the objects and the P pairs.
        iou: (P,) the figure that pairs are judged by.
        order: indices of the detections that take part, in the order in which they choose.
        aside: (T,) True for objects of the truth that are not judged: crowds, and those outside a range of areas.
        thresholds: least IoU, above 0: pairs that share no area are not listed.
    """
    taken = np.full((len(thresholds), len(overlaps.found)), -1, np.int64)
    floors = np.minimum(thresholds, NEARLY_ONE)
    turn = np.full(len(overlaps.found), -1, np.int64)
    turn[order] = np.arange(len(order))
    pairs = np.flatnonzero((iou >= floors.min(initial=np.inf)) & (turn[overlaps.found_index] >= 0))
    true, found = overlaps.true_index[pairs], overlaps.found_index[pairs]
    ranked = np.lexsort((-true, -iou[pairs], aside[true], turn[found]))
    pairs, true, found = pairs[ranked], true[ranked], found[ranked]
    # Most detections meet one object, which meets no other: they take it wherever the IoU is enough.
    alone = (np.bincount(true, minlength=1)[true] == 1) & (np.bincount(found, minlength=1)[found] == 1)
    for row, floor in enumerate(floors):
        clear = alone & (iou[pairs] >= floor)
        taken[row, found[clear]] = pairs[clear]
        rest = pairs[~alone & (iou[pairs] >= floor)]
        sides = overlaps.true_index[rest], overlaps.found_index[rest]
        chosen = rest[take_in_turn(*sides, overlaps.true.ignored[sides[0]])]
        taken[row, overlaps.found_index[chosen]] = chosen
    return taken


def take_in_turn(true: Ints, found: Ints, crowd: Flags | None = None) -> Ints:
    """Return the positions of the pairs that are taken when each, in its order, is taken if both of it are free.

    Args:
        true: (P,) number of the object of the truth of each pair.
        found: (P,) number of its detection.
        crowd: (P,) True where the truth of a pair may be taken by any number of detections; None for nowhere.
    """
    shared = np.zeros(len(true), bool).tolist() if crowd is None else crowd.tolist()
    gone: set[int] = set()
    served: set[int] = set()
    chosen = []
    for k, (one, other) in enumerate(zip(true.tolist(), found.tolist(), strict=True)):
        if other not in served and (shared[k] or one not in gone):
            served.add(other)
            gone.add(one)
            chosen.append(k)
    return np.array(chosen, np.int64)


class Verdict(IntEnum):
    """The outcome for one object of the truth or of the prediction."""

    FOUND = 0
    """Truth and detection that match at IoU 0.5."""
    MERGED = 1
    """A truth of which a detection covers at least half, as it does of another truth."""
    SPLIT = 2
    """A truth in which at least two detections lie by half or more."""
    MISSED = 3
    """A truth of which none of these holds."""
    INVENTED = 4
    """A detection that matches nothing and neither merges nor splits."""
    INVOLVED = 5
    """A detection that matches nothing, but merges or is one of those that split."""
    IGNORED = 6
    """An object that is not judged."""
    BELOW = 7
    """A detection that takes no part, because its score is below the one that counts or a limit leaves it out."""


def verdicts(overlaps: Overlaps, taken: Ints, kept: Flags) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return the `Verdict` of each object of the truth, (T,), and of each detection, (D,).

    Args:
        overlaps: the objects and the P pairs.
        taken: (D,) the pair that each detection takes at IoU 0.5, or -1, as by `match`.
        kept: (D,) True for detections that count.
    """
    judged = ~overlaps.true.ignored
    pair = kept[overlaps.found_index] & judged[overlaps.true_index]
    true, found, twice = overlaps.true_index[pair], overlaps.found_index[pair], 2 * overlaps.shared[pair]
    covers, inside = twice >= overlaps.true.area[true], twice >= overlaps.found.area[found]
    merges = np.bincount(found[covers], minlength=len(kept)) >= 2
    splits = np.bincount(true[inside], minlength=len(judged)) >= 2
    hits = taken[kept & (taken >= 0)]

    of_true = np.full(len(judged), Verdict.MISSED, np.int8)
    of_true[splits] = Verdict.SPLIT
    of_true[true[covers & merges[found]]] = Verdict.MERGED
    of_true[overlaps.true_index[hits]] = Verdict.FOUND
    of_true[~judged] = Verdict.IGNORED

    of_found = np.full(len(kept), Verdict.INVENTED, np.int8)
    of_found[merges] = Verdict.INVOLVED
    of_found[found[inside & splits[true]]] = Verdict.INVOLVED
    of_found[overlaps.found.ignored] = Verdict.IGNORED
    of_found[overlaps.found_index[hits]] = np.where(judged[overlaps.true_index[hits]], Verdict.FOUND, Verdict.IGNORED)
    of_found[~kept] = Verdict.BELOW
    return of_true, of_found

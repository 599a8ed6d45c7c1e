"""The rings of arcs round the regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.arcs import POINTS, Arcs
from landseg.vector.topology.linked_lists import Ints, LinkedLists, batches, rank_lists


@dataclass(frozen=True)
class Rings:
    """Rings as sequences of half-arcs: ``2 a`` is arc `a` along its points, ``2 a + 1`` against them.

    Every half-arc is in one ring, which has the same region on its left all the way; no ring passes a node twice.

    Attributes:
        order: half-arcs, ring by ring ``(2 A,)``.
        offsets: ring `r` is ``order[offsets[r]:offsets[r + 1]]``; ``(rings + 1,)``.
        region: region on the left of each ring ``(rings,)``; -1 for nodata and outside.
    """

    order: Ints
    offsets: Ints
    region: Ints


def traverse(arcs: Arcs) -> Rings:
    """Return the rings round all regions, and round nodata.

    At a node a ring takes the sharpest turn to the left, so that it stays beside the same pixels. Where a region
    reaches a node from two opposite sides and one ring passes there twice, the ring would touch itself: there it
    turns right instead, which makes two simple rings of it.
    """
    region = np.stack([arcs.left, arcs.right], axis=1).ravel()
    sorted_, starts = sort_fans(arcs)
    sizes = np.diff(starts, append=len(sorted_))
    following = np.arange(1, len(sorted_) + 1)
    following[starts + sizes - 1] = starts
    clockwise = np.empty_like(sorted_)
    clockwise[sorted_] = sorted_[following]
    onward = clockwise[np.arange(len(sorted_)) ^ 1]  # the half-arc that leaves next after the way back
    lists = rank_lists(onward)
    if _part_pinched(onward, lists, sorted_, starts[sizes == 4]):
        lists = rank_lists(onward)
    return Rings(lists.order, lists.offsets, region[lists.order[lists.offsets[:-1]]])


def sort_fans(arcs: Arcs) -> tuple[Ints, Ints]:
    """Return half-arcs ``(2 A,)`` by the node that they leave, clockwise on the picture, and where nodes start."""
    ends = np.stack([arcs.offsets[:-1], arcs.offsets[1:] - 1], axis=1).ravel()
    inner = np.stack([arcs.offsets[:-1] + 1, arcs.offsets[1:] - 2], axis=1).ravel()
    at, to = np.asarray(arcs.points[ends]), np.asarray(arcs.points[inner])
    if arcs.points.dtype.kind == "i":  # all steps are along the axes: one number holds position and direction
        x, y = np.sign(to - at).T
        key = (at[:, 1].astype(np.int64) << 33) + (at[:, 0].astype(np.int64) << 2) + np.where(x != 0, 1 - x, 2 - y)
        order = np.argsort(key)
        place = key[order] >> 2
        new = place[1:] != place[:-1]
    else:
        step = to - at
        order = np.lexsort((np.arctan2(step[:, 1], step[:, 0]) % (2 * np.pi), at[:, 0], at[:, 1]))
        new = (at[order[1:]] != at[order[:-1]]).any(axis=1)
    return order, np.flatnonzero(np.append(True, new)) if len(order) else np.zeros(0, np.int64)


def _part_pinched(onward: Ints, lists: LinkedLists, fan: Ints, crossings: Ints) -> bool:
    """Swap successors, in place, where a ring passes a node of four arcs twice; return True if there is one."""
    if not len(crossings):
        return False
    ring = np.empty(len(onward), np.int64)
    ring[lists.order] = np.repeat(np.arange(len(lists.closed)), np.diff(lists.offsets))
    before = np.empty(len(onward), np.int64)
    before[onward] = np.arange(len(onward))
    pinched = False
    for side in (0, 1):
        one, other = fan[crossings + side], fan[crossings + side + 2]
        twice = ring[one] == ring[other]
        one, other = one[twice], other[twice]
        onward[before[one]], onward[before[other]] = other, one
        pinched |= bool(len(one))
    return pinched


def ring_areas(arcs: Arcs, halves: Ints, rings: Ints) -> NDArray[np.float64]:
    """Return the area within each ring ``(rings,)``: positive for outer rings, negative for holes.

    ``halves`` are half-arcs, ring by ring; ``rings`` are the start of each ring in them, and the end of the last.
    """
    double = np.zeros(len(arcs), np.float64)
    for part in batches(np.diff(arcs.offsets), POINTS):
        begin, stop = arcs.offsets[part.start], arcs.offsets[part.stop]
        x, y = _exact(arcs.points[begin:stop]).T
        cross = np.append(x[1:] * y[:-1] - x[:-1] * y[1:], 0)  # y is down: counter-clockwise is positive
        cross[arcs.offsets[part.start + 1 : part.stop + 1] - begin - 1] = 0  # from one arc to the next
        double[part] = np.add.reduceat(cross, arcs.offsets[part] - begin)
    signed = np.stack([double, -double], axis=1).ravel()[halves]
    found: NDArray[np.float64] = np.add.reduceat(signed, rings[:-1]) / 2 if len(signed) else np.zeros(0)
    return found


def _exact(points: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(points, np.int64 if points.dtype.kind == "i" else np.float64)

"""The borders within a block of a class raster, traced from corner to corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.blocks import Block
from landseg.vector.topology.linked_lists import Ints, LinkedLists, rank_lists, spans


@dataclass(frozen=True)
class Lines:
    """Lines between nodes or seams with the blocks above and below, and closed lines.

    Attributes:
        points: ``(P, 2)`` int32, x and y on the raster's lattice.
        counts: points of each line ``(L,)``.
        left, right: flat index in the block of a pixel on either side ``(L,)``.
        begin, end: row × (width + 1) + column of the lattice corner where the line continues in another block
            ``(L,)``; -1 where it does not.
    """

    points: NDArray[np.int32]
    counts: Ints
    left: Ints
    right: Ints
    begin: Ints
    end: Ints


@dataclass(frozen=True)
class _Corners:
    """Lattice corners of a block where lines turn, meet or are cut, in reading order."""

    x: Ints
    y: Ints  # 0 is the block's upper edge
    south: NDArray[np.bool_]  # True where a line leaves in this direction
    east: NDArray[np.bool_]
    node: NDArray[np.bool_]
    cut: NDArray[np.bool_]


def trace_lines(block: Block, starts: NDArray[np.bool_], same: NDArray[np.bool_]) -> Lines:
    """Return the lines of a block, with the larger value on their left (nodata is least).

    For ``starts`` see `Pieces`, for ``same`` see `find_pieces`.
    """
    width = block.values.shape[1]
    corners = _corners(starts.reshape(-1, width)[:, 1:], ~same.reshape(-1, width))
    begin, end, left, right = _segments(block.values.ravel(), corners, width, block.nodata)
    leaving = np.empty(len(corners.x), np.int64)
    leaving[begin] = np.arange(len(begin))
    ends = corners.node | corners.cut
    lists = rank_lists(np.where(ends[end], -1, leaving[end]))
    order = _from_the_first(lists, begin)
    heads, tails = order[lists.offsets[:-1]], order[lists.offsets[1:] - 1]
    counts = np.diff(lists.offsets) + 1
    place = np.arange(len(order)) + np.repeat(np.arange(len(heads)), counts - 1)
    corner = np.empty(len(order) + len(heads), np.int64)
    corner[place] = begin[order]
    corner[np.cumsum(counts) - 1] = end[tails]
    points = np.stack([corners.x[corner], corners.y[corner] + block.top], axis=1).astype(np.int32)
    key = np.where(corners.cut, (corners.y + block.top) * (width - 1) + corners.x, -1)
    return Lines(points, counts, left[heads], right[heads], key[begin[heads]], key[end[tails]])


def _corners(vertical: NDArray[np.bool_], horizontal: NDArray[np.bool_]) -> _Corners:
    """Return the corners where borders turn, meet or are cut.

    ``vertical`` ``(h + 1, w + 1)`` are the borders between columns, ``horizontal`` ``(h, w + 2)`` those between rows.
    """
    north, south, west, east = vertical[:-1], vertical[1:], horizontal[:, :-1], horizontal[:, 1:]
    kept = north ^ south
    kept |= west ^ east
    kept |= north & west  # and, with no turn, south and east too: all four
    kept[0] |= north[0]  # a line from above is cut there
    height, columns = kept.shape
    flat = np.flatnonzero(kept)
    y = flat // columns
    x = flat - y * columns
    arms = [side.ravel()[flat] for side in (vertical[:-1], vertical[1:])]
    arms += [horizontal.ravel()[flat + y], horizontal.ravel()[flat + y + 1]]
    node = np.sum(arms, axis=0, dtype=np.uint8) > 2
    below = np.flatnonzero(vertical[-1])
    none, all_ = np.zeros(len(below), bool), np.ones(len(below), bool)
    return _Corners(
        np.append(x, below),
        np.append(y, np.full(len(below), height)),
        np.append(arms[1], none),
        np.append(arms[3], none),
        np.append(node, none),
        np.append((y == 0) & arms[0] & ~node, all_),
    )


def _segments(flat: NDArray[Any], corners: _Corners, width: int, nodata: Any) -> tuple[Ints, Ints, Ints, Ints]:
    """Return straight segments: begin and end as indices of corners, and the pixels on their left and right."""
    column = corners.x.astype(np.uint16) if width <= 1 << 16 else corners.x  # 16 bits are sorted in linear time
    downwards = np.argsort(column, kind="stable")
    beneath = np.empty_like(downwards)
    beneath[downwards[:-1]] = downwards[1:]
    across, down = np.flatnonzero(corners.east), np.flatnonzero(corners.south)
    one = np.concatenate([across, down])
    other = np.concatenate([across + 1, beneath[down]])
    south_east = (corners.y[one] + 1) * width + corners.x[one] + 1
    beside = south_east - np.repeat([width, 1], [len(across), len(down)])
    there, here = flat[beside], flat[south_east]
    larger = (there != nodata) & ((here == nodata) | (there > here))
    ahead = larger.copy()  # the left of a segment to the east is north,
    ahead[len(across) :] ^= True  # of one to the south it is east
    left, right = np.where(larger, beside, south_east), np.where(larger, south_east, beside)
    return np.where(ahead, one, other), np.where(ahead, other, one), left, right


def _from_the_first(lists: LinkedLists, begin: Ints) -> Ints:
    """Return the order of items, with closed lists rotated to begin at their first corner in reading order."""
    if not lists.closed.any():
        return lists.order
    counts = np.diff(lists.offsets)
    rings = np.flatnonzero(lists.closed)
    inside = spans(lists.offsets[rings], counts[rings])
    corner = begin[lists.order[inside]]
    starts = np.cumsum(counts[rings]) - counts[rings]
    least = np.minimum.reduceat(corner, starts)
    first = np.flatnonzero(corner == np.repeat(least, counts[rings])) - starts
    step = np.arange(len(inside)) - np.repeat(starts - first, counts[rings])
    around = np.repeat(counts[rings], counts[rings])
    step = np.where(step >= around, step - around, step)
    order = lists.order.copy()
    order[inside] = lists.order[np.repeat(lists.offsets[rings], counts[rings]) + step]
    return order

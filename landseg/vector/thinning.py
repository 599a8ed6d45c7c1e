"""Regions thinned to lines one pixel wide, in place, at a price that goes with their area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
STRIP_PIXELS = 1 << 22  # that are looked through at a time for where regions end


def thin(mask: NDArray[np.uint8]) -> None:
    """Thins the pixels of ``mask`` (H, W) that are 1 to their skeleton, in place; its outermost ring must be 0.

    Pixels go that are on an edge, that hold nothing together and that are no end of a line, alternately from two
    sides until none is left to go. The result has as many 8-connected pieces and as many holes as the regions had,
    and ends about half a region's width before the region does. It may be a memory map: beside it there are about
    50 bytes for each pixel on an edge.

    After Guo and Hall, "Parallel thinning with two-subiteration algorithms", CACM 32 (1989), algorithm A1.
    """
    flat, width = mask.reshape(-1), mask.shape[1]
    steps = (-width, 1 - width, 1, width + 1, width, width - 1, -1, -width - 1)  # from the north, clockwise
    edge = _edges(mask)
    waiting = [[edge], [edge]]  # to be looked at from either side; in the mask 2 and 4 say so
    flat[edge] |= 2 | 4
    side = 0
    while waiting[0] or waiting[1]:
        looked = np.concatenate([np.zeros(0, np.int64), *waiting[side]])
        waiting[side] = []
        here = flat[looked]
        flat[looked] = here & ~np.uint8(2 << side)
        looked = looked[here & 1 > 0]
        code = np.zeros(len(looked), np.uint8)
        for bit, step in enumerate(steps):
            code |= (flat[looked + step] & 1) << np.uint8(bit)
        gone = looked[_GOES[side][code]]
        flat[gone] &= ~np.uint8(1)
        for step in steps if len(gone) else ():
            beside = gone + step  # nothing has changed for other pixels
            here = flat[beside]
            for other in (0, 1):
                new = beside[here & (1 | 2 << other) == 1]
                flat[new] |= np.uint8(2 << other)
                if len(new):
                    waiting[other].append(new)
        side = 1 - side


def _edges(mask: NDArray[np.uint8]) -> Ints:
    """Flat indices of pixels of the mask with a neighbour that is none."""
    height, width = mask.shape
    rows = max(1, STRIP_PIXELS // width)
    found = [np.zeros(0, np.int64)]
    for top in range(1, height - 1, rows):
        bottom = min(top + rows, height - 1)
        inner = np.asarray(mask[top - 1 : bottom + 1])
        full = inner[1:-1].copy()
        full &= inner[:-2] & inner[2:]
        full[:, 1:-1] &= full[:, :-2] & full[:, 2:]
        found.append(np.flatnonzero((inner[1:-1] > 0) & (full == 0)) + top * width)
    return np.concatenate(found)


def _table() -> NDArray[np.bool_]:
    """Whether a pixel goes, by side (0, 1) and by its neighbours as bits, from the north, clockwise: (2, 256)."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1 > 0
    n, ne, e, se, s, sw, w, nw = bits.T
    pieces = sum((~a & (b | c)).astype(int) for a, b, c in ((n, ne, e), (e, se, s), (s, sw, w), (w, nw, n)))
    one = sum((a | b).astype(int) for a, b in ((nw, n), (ne, e), (se, s), (sw, w)))
    other = sum((a | b).astype(int) for a, b in ((n, ne), (e, se), (s, sw), (w, nw)))
    ends = np.minimum(one, other)
    common = (pieces == 1) & (ends >= 2) & (ends <= 3)
    return np.stack([common & ~((n | ne | ~se) & e), common & ~((s | sw | ~nw) & w)])


_GOES = _table()

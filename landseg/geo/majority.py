"""Label rasters at another size: the label that covers most of a pixel, "unknown" being one of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landseg.geo.resample import Taps

_SHARE = 240
"""What the weights along one axis are counted in: halves, thirds, quarters, fifths, sixths and eighths are whole."""
_LANES = 4  # labels whose votes share 64 bits, 16 each: 240 * 240 < 2 ** 16


def resample_labels(labels: NDArray[np.uint8], *, rows: Taps, columns: Taps, void: int) -> NDArray[np.uint8]:
    """Return the label (n, m) that covers the largest part of each output pixel.

    Of labels that cover as much, one that is known goes before ``void``, and the smaller before the larger: which
    it is never depends on where it lies, so that nothing moves.

    Args:
        labels: (h, w), what ``rows`` and ``columns`` point into.
        rows, columns: of `box_taps`.
        void: the label that means unknown.
    """
    shape = (rows.size, columns.size)
    seen = np.zeros(256, bool)
    seen[labels] = True
    kinds = [kind for kind in np.flatnonzero(seen).tolist() if kind != void]
    if not kinds or (len(kinds) == 1 and not seen[void]):
        return np.full(shape, kinds[0] if kinds else void, np.uint8)
    listed = [void, *kinds] if seen[void] else kinds
    best, chosen = np.zeros(shape, np.uint64), np.full(shape, void, np.uint8)
    for first in range(0, len(listed), _LANES):
        part = listed[first : first + _LANES]
        votes = _votes(labels, part, rows, columns)
        for lane, kind in enumerate(part):
            mine = (votes >> np.uint64(16 * lane)) & np.uint64(0xFFFF)
            wins = mine > best
            if kind != void:
                wins |= (mine == best) & (chosen == void) & (mine > 0)
            best[wins], chosen[wins] = mine[wins], kind
    return chosen


def _votes(labels: NDArray[np.uint8], kinds: list[int], rows: Taps, columns: Taps) -> NDArray[np.uint64]:
    """(n, m) with the weight of each kind in 16 bits of its own: one sum counts up to four of them."""
    lanes = np.zeros(256, np.uint64)
    lanes[kinds] = [1 << (16 * lane) for lane in range(len(kinds))]
    return _along(_along(lanes[labels], rows, 0), columns, 1)


def _along(stack: NDArray[np.uint64], taps: Taps, axis: int) -> NDArray[np.uint64]:
    weights = np.rint(taps.weight * _SHARE).astype(np.uint64)
    total: NDArray[np.uint64] | None = None
    for tap in range(taps.index.shape[1]):
        part = np.take(stack, taps.index[:, tap], axis=axis)
        part *= weights[:, tap].reshape((-1, 1) if axis == 0 else (1, -1))
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None, "taps hold at least two columns"
    return total

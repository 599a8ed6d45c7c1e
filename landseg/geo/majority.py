"""Label rasters at another size: the label that covers most of a pixel, "unknown" being one of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landseg.geo.resample import Taps

_SHARE = 240
"""What the weights along one axis are counted in: halves, thirds, quarters, fifths, sixths and eighths are whole."""

_BALLOTS = 1 << 20  # votes that are counted at a time


def resample_labels(labels: NDArray[np.uint8], *, rows: Taps, columns: Taps, void: int) -> NDArray[np.uint8]:
    """Return the label (n, m) that covers the largest part of each output pixel.

    Of labels that cover as much, one that is known goes before ``void``, and the smaller before the larger: which
    it is never depends on where it lies, so that nothing moves.

    Args:
        labels: (h, w), what ``rows`` and ``columns`` point into.
        rows, columns: of `box_taps`.
        void: the label that means unknown.
    """
    low, high = (_along(_along(labels, rows, 0, least), columns, 1, least) for least in (np.minimum, np.maximum))
    mixed = np.argwhere(low != high)  # borders: most pixels lie within one label
    many = max(1, _BALLOTS // (rows.index.shape[1] * columns.index.shape[1]))
    for first in range(0, len(mixed), many):
        y, x = mixed[first : first + many].T
        low[y, x] = _elected(labels, rows.part_at(y), columns.part_at(x), void)
    return low


def _along(labels: NDArray[np.uint8], taps: Taps, axis: int, least: np.ufunc) -> NDArray[np.uint8]:
    """The least (or greatest) of the labels that have weight."""
    index = np.where(taps.weight > 0, taps.index, taps.index[np.arange(taps.size), taps.weight.argmax(1)][:, None])
    found: NDArray[np.uint8] = np.take(labels, index[:, 0], axis=axis)
    for tap in range(1, index.shape[1]):
        least(found, np.take(labels, index[:, tap], axis=axis), out=found)
    return found


def _elected(labels: NDArray[np.uint8], rows: Taps, columns: Taps, void: int) -> NDArray[np.uint8]:
    """The labels (k,) of k output pixels, each with taps of its own in both directions."""
    own = labels[rows.index[:, :, None], columns.index[:, None, :]]
    share = _whole(rows.weight)[:, :, None] * _whole(columns.weight)[:, None, :]
    best, chosen = np.zeros(len(own), np.int64), np.full(len(own), void, np.uint8)
    seen = np.unique(own).tolist()
    for kind in sorted(seen, key=lambda kind: (kind != void, kind)):
        votes = np.where(own == kind, share, 0).sum((1, 2))
        wins = votes > best
        if kind != void:
            wins |= (votes == best) & (chosen == void) & (votes > 0)
        best[wins], chosen[wins] = votes[wins], kind
    return chosen


def _whole(weight: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(weight * _SHARE).astype(np.int64)

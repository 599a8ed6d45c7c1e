"""The place of the network's pixels on the source's grid, and logits from one grid to the other.

A network may run on a coarser or finer grid than the raster it maps: `factor` source pixels to one network pixel.
Both grids share their top-left corner, so source pixel x and network pixel u have the same centre where
x + 0.5 = factor * (u + 0.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect

Array = NDArray[np.float32]
Cuts = tuple[tuple[int, ...], tuple[int, ...]]
"""The rows and the columns at which windows, strips or blocks that are computed apart begin, but for the first."""


@dataclass(frozen=True)
class GridPlacement:
    """The network's grid on the source's: shapes are (height, width), `factor` is source pixels per network pixel."""

    source: tuple[int, int]
    network: tuple[int, int]
    factor: float = 1.0

    @classmethod
    def same(cls, shape: tuple[int, int]) -> GridPlacement:
        """Return the placement of a network that runs on the source's own pixels."""
        return cls(shape, shape)

    @property
    def reach(self) -> int:
        """The network pixels beyond a core that its source pixels interpolate from: 0 on one grid."""
        if self.factor == 1.0:
            return 0
        # The triangle's half width, half a source pixel of rounding at the core's edge, half a network pixel.
        return ceil(max(1.0, 1.0 / self.factor) + 0.5 / self.factor + 0.5)

    def to_source(self, rect: Rect) -> Rect:
        """Return the source pixels of a rectangle of network pixels, to whole pixels: a partition stays one."""
        if self.factor == 1.0:
            return rect
        top, bottom = (self._edge(edge, 0) for edge in (rect.top, rect.bottom))
        left, right = (self._edge(edge, 1) for edge in (rect.left, rect.right))
        return Rect(top, left, bottom - top, right - left)

    def to_network(self, rect: Rect) -> Rect:
        """Return the smallest rectangle of network pixels that covers these source pixels."""
        if self.factor == 1.0:
            return rect
        top, left = int(rect.top / self.factor), int(rect.left / self.factor)
        bottom = min(self.network[0], ceil(rect.bottom / self.factor))
        right = min(self.network[1], ceil(rect.right / self.factor))
        return Rect(top, left, bottom - top, right - left)

    def cuts(self, cuts: Cuts, region: Rect) -> Cuts:
        """Return cuts of the network's rows and columns as those of a source region, counted from its first."""
        rows, columns = cuts
        return (
            tuple(self._edge(edge, 0) - region.top for edge in rows),
            tuple(self._edge(edge, 1) - region.left for edge in columns),
        )

    def resample(self, logits: Array, rect: Rect, target: Rect) -> Array:
        """Return logits (K, h, w) of network rectangle `rect` at the source pixels `target`, in the target's shape.

        Bilinear, with the triangle widened to the coarser grid's pixel where the source is coarser (so nothing
        aliases). On one grid this is a plain cut, a view. Beyond the rectangle its edge pixels are held.
        """
        if self.factor == 1.0:
            inside = target.shifted(-rect.top, -rect.left)
            return logits[(slice(None), *inside.slices)]
        rows = self._along(logits, 1, (target.top, target.bottom), rect.top)
        return self._along(rows, 2, (target.left, target.right), rect.left)

    def _edge(self, edge: int, axis: int) -> int:
        if edge >= self.network[axis]:
            return self.source[axis]
        return min(self.source[axis], round(edge * self.factor))

    def _along(self, values: Array, axis: int, wanted: tuple[int, int], origin: int) -> Array:
        """Return `values`, which start at network pixel `origin`, at the wanted source pixels of one axis."""
        width = max(1.0, 1.0 / self.factor)  # half the triangle, in network pixels
        centres = (np.arange(*wanted) + 0.5) / self.factor - 0.5
        first = np.floor(centres - width).astype(np.int64) + 1
        taps = ceil(2 * width)
        weights = np.stack([np.maximum(0.0, 1 - np.abs(first + tap - centres) / width) for tap in range(taps)])
        weights = (weights / weights.sum(axis=0)).astype(np.float32)
        shape = [1, 1, 1]
        shape[axis] = -1
        last = self.network[axis - 1] - 1  # held at the raster's edge first, whatever window is asked
        total: Array | None = None
        for tap in range(taps):
            index = np.clip(np.clip(first + tap, 0, last) - origin, 0, values.shape[axis] - 1)
            part = np.take(values, index, axis=axis)
            part *= weights[tap].reshape(shape)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total


class ResampledRows:
    """Rows of logits in, rows of source pixels out, as soon as all rows that they interpolate from are there.

    Args:
        placement: of the network's grid on the source's.
        region: network pixels that come, from top to bottom.
        needed: source pixels wanted of them.
    """

    def __init__(self, placement: GridPlacement, region: Rect, needed: Rect) -> None:
        self._placement, self._region, self._needed = placement, region, needed
        self._kept: Array | None = None
        self._top = region.top
        self._next = needed.top

    def push(self, row: int, logits: Array) -> Iterator[tuple[Rect, Array]]:
        """Take logits (K, h, w) of the network's rows from ``row`` on; yield the source pixels that are ready."""
        kept = logits if self._kept is None or not self._kept.shape[1] else np.concatenate([self._kept, logits], 1)
        self._top = row + logits.shape[1] - kept.shape[1]
        bottom = self._top + kept.shape[1]
        ready = self.ready(bottom)
        if ready > self._next:
            rect = Rect(self._next, self._needed.left, ready - self._next, self._needed.width)
            held = Rect(self._top, self._region.left, kept.shape[1], kept.shape[2])
            yield rect, self._placement.resample(kept, held, rect)
            self._next = ready
        first = int(self._next / self._placement.factor) - self._placement.reach
        self._kept = kept[:, max(0, min(first, bottom) - self._top) :]

    def ready(self, bottom: int) -> int:
        """Return the source row up to which pixels are ready when the network's rows before ``bottom`` are there."""
        if bottom >= self._region.bottom:
            return self._needed.bottom
        reach = self._placement.reach
        return min(self._needed.bottom, int((bottom - reach) * self._placement.factor))

"""Where the network's pixels lie on the source's grid, and how logits get from one to the other.

A network may run on a coarser or finer grid than the raster it maps: `factor` source pixels to one network pixel.
Both grids share their top-left corner, so source pixel x and network pixel u have the same centre where
x + 0.5 = factor * (u + 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Placement:
    """The network's grid on the source's: shapes are (height, width), `factor` is source pixels per network pixel."""

    source: tuple[int, int]
    network: tuple[int, int]
    factor: float = 1.0

    @classmethod
    def same(cls, shape: tuple[int, int]) -> Placement:
        """The network runs on the source's own pixels."""
        return cls(shape, shape)

    @property
    def reach(self) -> int:
        """Network pixels beyond a core that its source pixels interpolate from: 0 on one grid."""
        if self.factor == 1.0:
            return 0
        # The triangle's half width, half a source pixel of rounding at the core's edge, half a network pixel.
        return ceil(max(1.0, 1.0 / self.factor) + 0.5 / self.factor + 0.5)

    def to_source(self, rect: Rect) -> Rect:
        """The source pixels of a rectangle of network pixels, to whole pixels: a partition stays one."""
        if self.factor == 1.0:
            return rect
        top, bottom = (self._edge(edge, 0) for edge in (rect.top, rect.bottom))
        left, right = (self._edge(edge, 1) for edge in (rect.left, rect.right))
        return Rect(top, left, bottom - top, right - left)

    def to_network(self, rect: Rect) -> Rect:
        """The smallest rectangle of network pixels that covers these source pixels."""
        if self.factor == 1.0:
            return rect
        top, left = int(rect.top / self.factor), int(rect.left / self.factor)
        bottom = min(self.network[0], ceil(rect.bottom / self.factor))
        right = min(self.network[1], ceil(rect.right / self.factor))
        return Rect(top, left, bottom - top, right - left)

    def resample(self, logits: Array, rect: Rect, target: Rect) -> Array:
        """Logits (K, h, w) of network rectangle `rect` at the source pixels `target`: (K, target.height, .width).

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
        """`values`, which start at network pixel `origin`, at the wanted source pixels of one axis."""
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

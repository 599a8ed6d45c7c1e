"""Lengths in pixels or in metres, as users write them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from landseg.errors import GridError
from landseg.geo.grid import Grid

_SQUARE = 1e-3
_ROWS = 33  # of a raster at which pixels are measured
_CHANGE = 0.01  # relative change of the distance between pixels that is taken for none
_NARROW = 1 / 64  # of the longest distance: shorter distances, close to a pole, count as this long


@dataclass(frozen=True)
class Distance:
    """A length in pixels or in metres on the ground.

    >>> Distance.of("2.5m"), Distance.of("3px"), Distance.of(3)
    (Distance(value=2.5, metres=True), Distance(value=3.0, metres=False), Distance(value=3.0, metres=False))
    """

    value: float
    metres: bool = False

    @classmethod
    def of(cls, text: str | float | Distance) -> Distance:
        """Read "2.5m", "3px" or a number of pixels.

        Raises:
            GridError: the text is none of these.
        """
        if isinstance(text, Distance):
            return text
        plain = str(text).strip().lower()
        metres = plain.endswith("m")
        try:
            value = float(plain.removesuffix("px").removesuffix("m"))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise GridError(f"distance {text!r}: expected pixels or metres above 0, such as 3px or 2.5m")
        return cls(value, metres)

    def pixels(self, grid: Grid) -> int:
        """Return the length in whole pixels of a grid, at least 1.

        Raises:
            GridError: metres on a raster without a resolution.
        """
        if not self.metres:
            return max(1, round(self.value))
        if grid.resolution_m is None:
            raise GridError(
                f"a distance of {self.value:g} m needs a raster with a CRS; give it in pixels, such as 3px"
            )
        return max(1, round(self.value / grid.resolution_m))

    def pixels_each_way(self, grid: Grid) -> int | tuple[int, int]:
        """Return the length in whole pixels: one number, or (rows, columns) where pixels are not square there.

        Raises:
            GridError: metres on a raster without a resolution.
        """
        number, edges = self.pixels(grid), grid.pixel_size_m
        if not self.metres or edges is None or square(edges):
            return number
        return max(1, round(self.value / edges[0])), max(1, round(self.value / edges[1]))


def row_spacings(grid: Grid) -> tuple[tuple[int, tuple[float, float]], ...]:
    """Return the metres between rows and between columns by bands of rows; empty where they hardly change.

    Each entry is the row after a band's last, and (between rows, between columns) in the middle of the band. Bands
    are of one height, so that within each band the two change by about a hundredth at most.
    """
    rows = np.unique(np.linspace(0, grid.height - 1, _ROWS).astype(np.int64)) + 0.5
    sizes = grid.edges_m([grid.width / 2] * len(rows), rows.tolist())
    if sizes is None or not np.isfinite(sizes).all() or len(rows) < 2:
        return ()
    narrow = sizes.max() * _NARROW
    sizes = np.maximum(sizes, narrow)
    change = np.abs(np.diff(np.log(sizes), axis=0)).sum(axis=0).max()
    if change <= _CHANGE:
        return ()
    height = max(1, int(grid.height * _CHANGE / change))
    tops = np.arange(0, grid.height, height)
    ends = np.minimum(tops + height, grid.height)
    edges = grid.edges_m([grid.width / 2] * len(tops), ((tops + ends) / 2).tolist())
    assert edges is not None, "so it has been above"
    edges = np.maximum(edges, narrow)
    return tuple((end, (down, across)) for end, (across, down) in zip(ends.tolist(), edges.tolist(), strict=True))


def square(edges: tuple[float, float]) -> bool:
    """Return whether a pixel of two edges is a square, to a thousandth."""
    return abs(edges[0] / edges[1] - 1) <= _SQUARE

"""The error rate of a prediction near the seams between its windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.metrics import bootstrap
from landseg.metrics.tiles import Tiles


class Seam(NamedTuple):
    """The error rate near the borders between windows, and the rate farther away.

    Attributes:
        near: error rate at distances below ``distance``.
        far: error rate at all other distances.
        ratio: near / far; nan if ``far`` has no errors, or either has no pixels.
        low: lower end of the ratio's 95 % interval, by a bootstrap of spatial blocks.
        high: upper end of that interval. If 1 lies between the two ends, there is no sign of a seam.
        distance: pixels nearer than this to a border count as near.
    """

    near: float
    far: float
    ratio: float
    low: float
    high: float
    distance: int


class BorderErrors:
    """Counts of labelled pixels and of errors, by distance to the nearest window border and by spatial block.

    The distance is in pixels along rows or columns, whichever is less: the pixels on either side of a border are at
    0. The raster's own edge is no border. Distances of ``reach`` and more are counted together.

    Args:
        rows: first row of each window (core) except the first: the borders between rows, in one raster.
        columns: first column of each window except the first.
        reach: number of distances that are counted separately.
        edge: edge of a block in pixels; wider than the windows, so that a block holds near and far pixels.
        limit: maximum number of blocks; see `Tiles`.
    """

    def __init__(
        self, rows: Sequence[int], columns: Sequence[int], *, reach: int = 64, edge: int = 1024, limit: int = 4096
    ) -> None:
        if reach < 1:
            raise ValueError(f"reach must be at least 1 pixel, got {reach}")
        self.rows, self.columns = (np.unique(np.asarray(at, np.int64)) for at in (rows, columns))
        self.reach = reach
        self._dtype = np.min_scalar_type(3 * reach + 2)
        self.tiles = Tiles((reach + 1, 2), edge, limit)

    def update(self, target: NDArray[Any], predicted: NDArray[Any], *, top: int = 0, left: int = 0) -> None:
        """Count class indices (H, W) whose first pixel is at ``top``, ``left`` of the raster.

        Pixels with IGNORE_INDEX as truth are not counted; a labelled pixel without a prediction is an error.
        """
        height, width = target.shape
        down = self._distances(self.rows, top, height).astype(self._dtype)
        across = self._distances(self.columns, left, width).astype(self._dtype)
        level = self.tiles.level
        for key, (rows, columns) in self.tiles.cut(height, width, top=top, left=left, raster=0):
            truth, found = target[rows, columns], predicted[rows, columns]
            state = (truth != found).astype(self._dtype)
            state[truth == IGNORE_INDEX] = 2
            state += 3 * np.minimum(down[rows, None], across[None, columns])
            counts = np.bincount(state.ravel(), minlength=3 * self.reach + 3)
            self.tiles.add(key, counts.reshape(-1, 3)[:, :2], level)

    def merge(self, other: BorderErrors) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has different borders, reach or blocks.
        """
        if not (np.array_equal(self.rows, other.rows) and np.array_equal(self.columns, other.columns)):
            raise ValueError("merged errors by border need the same borders")
        self.tiles.merge(other.tiles)

    def compute(self) -> NDArray[np.int64]:
        """Return pixels and errors, (reach + 1, 2), by distance 0, 1, ...; the last row is for ``reach`` and more."""
        counts = self.tiles.stacked().sum(0)
        return np.stack([counts.sum(1), counts[:, 1]], 1)

    def seam(self, distance: int, *, count: int = 1000, seed: int = 0) -> Seam:
        """Compare the error rate at distances below ``distance`` with that of the other pixels.

        Raises:
            ValueError: the distance lies outside 1..reach.
        """
        if not 1 <= distance <= self.reach:
            raise ValueError(f"expected a distance of 1 to {self.reach} pixels, got {distance}")
        stack = self.tiles.stacked()
        grouped = np.stack(
            [stack[:, :distance].sum(1), stack[:, distance:].sum(1)], 1
        )  # (B, near or far, right or wrong)
        near, far = _rates(grouped.sum(0, keepdims=True).astype(np.float64))[0]
        ends = np.full(2, np.nan)
        if len(stack) > 1 and count:
            ends = bootstrap.interval(bootstrap.replicates(grouped, {"": _ratios}, count=count, seed=seed)[""])
        ratio = float(_ratios(grouped.sum(0, keepdims=True).astype(np.float64))[0])
        return Seam(float(near), float(far), ratio, float(ends[0]), float(ends[1]), distance)

    def _distances(self, borders: NDArray[np.int64], start: int, size: int) -> NDArray[np.int64]:
        """Return the distance of pixels start..start + size - 1 to the nearest border, at most ``reach``, (size,)."""
        if not len(borders):
            return np.full(size, self.reach)
        at = np.arange(start, start + size)
        after = np.searchsorted(borders, at, side="right")
        above = at - borders[np.maximum(after - 1, 0)]
        below = borders[np.minimum(after, len(borders) - 1)] - 1 - at
        above[after == 0] = self.reach
        below[after == len(borders)] = self.reach
        nearest: NDArray[np.int64] = np.minimum(np.minimum(above, below), self.reach)
        return nearest


def _rates(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the error rates (..., 2) near and far from counts (..., 2, 2)."""
    with np.errstate(invalid="ignore"):
        rates: NDArray[np.float64] = counts[..., 1] / counts.sum(-1)
    return rates


def _ratios(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the error rate near divided by the rate far, (...); nan where that rate is 0 or nan."""
    rates = _rates(counts)
    defined = rates[..., 1] > 0
    ratios = np.full(defined.shape, np.nan)
    np.divide(rates[..., 0], rates[..., 1], out=ratios, where=defined)
    return ratios

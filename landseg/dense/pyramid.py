"""The levels of a feature pyramid: rows that come packed, and crops of boxes from the rows that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.dense.boxes import SUB

SAMPLES = 2  # points of a bin along each axis, as in Mask R-CNN
_AT_ONCE = 32  # boxes cropped together


@dataclass(frozen=True)
class Level:
    """One level of a pyramid.

    Attributes:
        stride: pixels between two units.
        offset: the pixel of the first unit's centre; halves are allowed.
        anchors: width and height of each anchor, in sixteenths of a pixel.
    """

    stride: int
    offset: float
    anchors: tuple[tuple[int, int], ...]

    @property
    def first(self) -> int:
        """The centre of the first unit, in sixteenths of a pixel from the raster's corner."""
        return SUB // 2 + round(self.offset * SUB)

    @property
    def step(self) -> int:
        """The distance of two units, in sixteenths of a pixel."""
        return self.stride * SUB

    def units(self, pixels: int) -> int:
        """Return the number of units of an axis of so many pixels."""
        return -(-pixels // self.stride)


@dataclass(frozen=True)
class Pyramid:
    """The levels of a pyramid, the finest first, and the channels of their features.

    A unit of the packed maps ``(C, h, w)`` has the units of every level in one step of the coarsest: those of a level
    with a stride that is f times finer are f x f units for each of its channels, which are the features, an
    objectness logit for each anchor and four differences for each anchor.
    """

    levels: tuple[Level, ...]
    features: int

    @property
    def coarsest(self) -> int:
        """The stride of the coarsest level, in pixels."""
        return self.levels[-1].stride

    def unpack(self, packed: NDArray[Any], width: int) -> list[NDArray[Any]]:
        """Return the maps of every level ``(h, w, C)`` of packed maps ``(C, h, w)``, for a raster's width in pixels.

        Raises:
            ValueError: the maps have not as many channels as the levels.
        """
        sizes = [
            (self.features + 5 * len(level.anchors)) * (self.coarsest // level.stride) ** 2 for level in self.levels
        ]
        if packed.ndim != 3 or len(packed) != sum(sizes):
            raise ValueError(f"expected packed maps of {sum(sizes)} channels, got {packed.shape}")
        found, start = [], 0
        for level, size in zip(self.levels, sizes, strict=True):
            factor, (_, rows, columns) = self.coarsest // level.stride, packed.shape
            cells = packed[start : start + size].reshape(-1, factor, factor, rows, columns)
            maps = cells.transpose(3, 1, 4, 2, 0).reshape(rows * factor, columns * factor, -1)
            found.append(maps[:, : level.units(width)])
            start += size
        return found


class FeatureRows:
    """The rows of one level's features that boxes may still read.

    Args:
        level: the level.
        shape: height and width of the raster, in pixels.
    """

    def __init__(self, level: Level, shape: tuple[int, int]) -> None:
        self._level, self._rows = level, level.units(shape[0])
        self._top, self._kept = 0, np.zeros((0, level.units(shape[1]), 0))

    @property
    def nbytes(self) -> int:
        """Bytes of the rows kept."""
        return self._kept.nbytes

    def add(self, rows: NDArray[Any]) -> None:
        """Take the next rows (h, w, C); rows below the raster's last unit are left out."""
        rows = rows[: max(0, self._rows - self._top - len(self._kept))]
        self._kept = np.concatenate([self._kept, rows]) if len(self._kept) else rows.copy()

    def forget(self, above: int) -> None:
        """Forget the rows that no box reads whose top is at ``above`` or below, in sixteenths of a pixel."""
        gone = min(max(0, (above - self._level.first) // self._level.step - self._top), len(self._kept))
        if gone:
            self._kept, self._top = self._kept[gone:].copy(), self._top + gone

    def crop(self, box: NDArray[np.int64], bins: int) -> NDArray[Any]:
        """Return the features of boxes (n, 4) in bins x bins cells ``(n, C, bins, bins)``: RoIAlign.

        A cell is the mean of 2 x 2 points, bilinear between the centres of units. Where a point lies between two
        units is computed in whole numbers, so it is the same wherever the box lies. Points beyond the first and last
        unit of the raster have their features.
        """
        parts = [self._crop(box[start : start + _AT_ONCE], bins) for start in range(0, len(box), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, self._kept.shape[2], bins, bins))

    def _crop(self, box: NDArray[np.int64], bins: int) -> NDArray[Any]:
        down, rows = self._shares(box[:, 1], box[:, 3], bins)
        across, columns = self._shares(box[:, 0], box[:, 2], bins)
        rows = np.clip(rows, 0, self._rows - 1) - self._top
        columns = np.clip(columns, 0, self._kept.shape[1] - 1)
        needed = down.any(axis=1)
        if (rows[needed] < 0).any() or (rows[needed] >= len(self._kept)).any():
            raise ValueError("a box reads rows that have not come, or that are forgotten")
        units = self._kept[np.clip(rows, 0, len(self._kept) - 1)[:, :, None], columns[:, None, :]]
        count, height, width, channels = units.shape
        lines = down.astype(units.dtype) @ units.reshape(count, height, width * channels)
        cells = across.astype(units.dtype)[:, None] @ lines.reshape(count, bins, width, channels)
        return np.ascontiguousarray(cells.transpose(0, 3, 1, 2))

    def _shares(
        self, start: NDArray[np.int64], stop: NDArray[np.int64], bins: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return each unit's share in each bin (n, bins, units) along an axis, and the units' numbers (n, units)."""
        points = bins * SAMPLES
        over = 2 * points * self._level.step
        ahead = np.arange(points) * 2 + 1
        at = (start - self._level.first)[:, None] * (2 * points) + (stop - start)[:, None] * ahead
        unit, rest = at // over, at % over / over
        first = unit[:, :1]
        count = int((unit[:, -1] - unit[:, 0]).max()) + 2
        shares = np.zeros((len(start), points, count))
        np.put_along_axis(shares, (unit - first)[..., None], (1 - rest)[..., None], 2)
        np.put_along_axis(shares, (unit - first + 1)[..., None], rest[..., None], 2)
        return shares.reshape(len(start), bins, SAMPLES, count).mean(2), first + np.arange(count)


def level_of(box: NDArray[np.int64], levels: Sequence[Level], most: int) -> NDArray[np.int64]:
    """Return each box's level (n,): the finest on which its longer side is at most ``most`` units, or the last.

    >>> levels = [Level(4, 0, ()), Level(8, 0, ())]
    >>> level_of(np.array([[0, 0, 64 * 28, 16], [0, 0, 16, 64 * 28 + 1]]), levels, 28).tolist()
    [0, 1]
    """
    side = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    limits = np.array([most * level.step for level in levels[:-1]])
    found: NDArray[np.int64] = np.searchsorted(limits, side, side="left")
    return found

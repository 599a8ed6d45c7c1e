"""The regions of a class raster: values, sizes and statistics, without their shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Statistics:
    """Figures of a second raster over the pixels of each region; pixels that are not a number are left out.

    Attributes:
        counted: count of pixels with a number ``(R,)`` int64.
        total: sum of their numbers ``(R,)`` float64.
        least: least of their numbers ``(R,)`` float64; inf where no pixel has a number.
    """

    counted: NDArray[np.int64]
    total: NDArray[np.float64]
    least: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Return the mean of each region ``(R,)``; nan where no pixel has a number."""
        mean: NDArray[np.float64] = np.divide(
            self.total, self.counted, out=np.full(len(self.total), np.nan), where=self.counted > 0
        )
        return mean

    @property
    def minimum(self) -> NDArray[np.float64]:
        """Return the minimum of each region ``(R,)``; nan where no pixel has a number."""
        return np.where(self.counted > 0, self.least, np.nan)

    def chosen(self, which: NDArray[np.bool_]) -> Statistics:
        """Return the statistics of the regions for which ``which`` ``(R,)`` is True."""
        return Statistics(self.counted[which], self.total[which], self.least[which])

    def gathered(self, number: NDArray[Any], count: int) -> Statistics:
        """Return the statistics of `count` merged regions; ``number`` ``(R,)`` is the merged region of each."""
        counted, total, least = np.zeros(count, np.int64), np.zeros(count), np.full(count, np.inf)
        np.add.at(counted, number, self.counted)
        np.add.at(total, number, self.total)
        np.minimum.at(least, number, self.least)
        return Statistics(counted, total, least)


@dataclass(frozen=True)
class Regions:
    """The regions of a class raster, sorted by `first`; region `r` is row `r` of every array.

    Attributes:
        value: value in the raster ``(R,)``, in its dtype.
        pixels: number of pixels ``(R,)`` int64.
        first: the first pixel in reading order, as row × width + column ``(R,)`` int64. ``first + 1`` is a stable
            id: the same however the raster was cut, and whatever changes elsewhere in it.
        statistics: figures of a second raster, if there is one.
    """

    value: NDArray[Any]
    pixels: NDArray[np.int64]
    first: NDArray[np.int64]
    statistics: Statistics | None = None

    def __len__(self) -> int:
        return len(self.value)

    def chosen(self, which: NDArray[np.bool_]) -> Regions:
        """Return the regions for which ``which`` ``(R,)`` is True."""
        if which.all():
            return self
        statistics = None if self.statistics is None else self.statistics.chosen(which)
        return Regions(self.value[which], self.pixels[which], self.first[which], statistics)

    def gathered(self, number: NDArray[Any]) -> Regions:
        """Return merged regions in the order of their numbers; ``number`` ``(R,)`` is the merged region of each.

        The value is that of the first region; a caller that merges regions of several values sets it first.
        """
        count = int(number.max()) + 1 if len(number) else 0
        pixels, first = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
        np.add.at(pixels, number, self.pixels)
        np.minimum.at(first, number, self.first)
        value = np.empty(count, self.value.dtype)
        value[number[::-1]] = self.value[::-1]
        statistics = None if self.statistics is None else self.statistics.gathered(number, count)
        return Regions(value, pixels, first, statistics)

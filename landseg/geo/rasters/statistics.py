"""Statistics of a band's values, which are added part by part, in memory of a fixed size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (2, 25, 50, 75, 98)
_MEASURED = 1e30  # measured values are smaller, in any unit; the lowest and highest floats are larger
_SAMPLE = 1 << 17  # values kept of a band that has no histogram


class BandStatistics:
    """Count, extremes, mean, standard deviation and percentiles of all values that were added.

    Integers of up to 16 bits are counted value by value, so all figures are exact. For other dtypes percentiles are
    those of an even sample of about a hundred thousand values. Figures of no values are nan.

    Args:
        dtype: of the values.
    """

    def __init__(self, dtype: str) -> None:
        kind = np.dtype(dtype)
        self.dtype, self.count = dtype, 0
        self._lowest = int(np.iinfo(kind).min) if kind.kind in "ui" and kind.itemsize <= 2 else None
        self._histogram = np.zeros(0 if self._lowest is None else 1 << (8 * kind.itemsize), np.int64)
        self._minimum, self._maximum, self._mean, self._squares = math.inf, -math.inf, 0.0, 0.0
        self._sample: list[NDArray[Any]] = []
        self._step = 1

    def update(self, values: NDArray[Any]) -> None:
        """Add finite values (n,)."""
        if not values.size:
            return
        if self._lowest is not None:
            places = values.astype(np.int64) - self._lowest if self._lowest else values
            self._histogram += np.bincount(places, minlength=len(self._histogram))
            self.count += values.size
            return
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        ends = float(exact.min()), float(exact.max())
        self._add_moments(exact.size, mean, float(((exact - mean) ** 2).sum()), ends)
        self._keep(exact[:: self._step])

    @property
    def minimum(self) -> float:
        """The smallest value."""
        return self._values()[0][0] if self._lowest is not None and self.count else _or_nan(self._minimum)

    @property
    def maximum(self) -> float:
        """The largest value."""
        return self._values()[0][-1] if self._lowest is not None and self.count else _or_nan(self._maximum)

    @property
    def beyond_measure(self) -> float | None:
        """A value so far from 0 that it is an undeclared nodata value; None where there is none."""
        ends = (self.minimum, self.maximum)
        return next((end for end in ends if abs(end) > _MEASURED), None)

    @property
    def mean(self) -> float:
        """The mean."""
        if not self.count or self._lowest is None:
            return self._mean if self.count else math.nan
        values, counts = self._values()
        return float((values * counts).sum() / self.count)

    @property
    def std(self) -> float:
        """The standard deviation of the population (divided by the count)."""
        if not self.count or self._lowest is None:
            return math.sqrt(self._squares / self.count) if self.count else math.nan
        values, counts = self._values()
        return math.sqrt(float((counts * (values - self.mean) ** 2).sum() / self.count))

    def percentiles(self, of: tuple[int, ...] = PERCENTILES) -> tuple[float, ...]:
        """Return for each percentage the smallest value that at least this percentage of all values do not exceed."""
        if not self.count:
            return tuple(math.nan for _ in of)
        if self._lowest is None:
            held = np.concatenate(self._sample)
            return tuple(np.percentile(held, of, method="inverted_cdf").astype(float).tolist())
        values, counts = self._values()
        at = np.searchsorted(counts.cumsum(), np.ceil(np.array(of) / 100 * self.count).clip(1))
        return tuple(values[at].tolist())

    def merge(self, other: BandStatistics) -> None:
        """Add all values of another instance of the same dtype."""
        if not other.count:
            return
        if self._lowest is not None:
            self._histogram += other._histogram
            self.count += other.count
            return
        self._add_moments(other.count, other._mean, other._squares, (other._minimum, other._maximum))
        while self._step < other._step:
            self._thin()
        while other._step < self._step:
            other._thin()
        self._keep(np.concatenate(other._sample))

    def _values(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the values that occur, ascending, and the count of each."""
        found = np.flatnonzero(self._histogram)
        return found.astype(np.float64) + (self._lowest or 0), self._histogram[found]

    def _add_moments(self, count: int, mean: float, squares: float, ends: tuple[float, float]) -> None:
        """Add mean and squared deviations by the update of Chan, Golub and LeVeque, which does not cancel."""
        total = self.count + count
        apart = mean - self._mean
        self._squares += squares + apart**2 * self.count * count / total
        self._mean += apart * count / total
        self.count = total
        self._minimum, self._maximum = min(self._minimum, ends[0]), max(self._maximum, ends[1])

    def _keep(self, values: NDArray[Any]) -> None:
        self._sample.append(values.copy())
        while sum(len(part) for part in self._sample) > _SAMPLE:
            self._thin()

    def _thin(self) -> None:
        """Keep every second value of the sample, and of values added later."""
        self._step *= 2
        self._sample = [np.concatenate([*self._sample, np.zeros(0)])[::2].copy()]


def _or_nan(value: float) -> float:
    return value if math.isfinite(value) else math.nan

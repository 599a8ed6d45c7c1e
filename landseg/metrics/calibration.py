"""The calibration of confidences: reliability, expected calibration error, and the temperature that corrects it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEMPERATURES: tuple[float, ...] = tuple(float(t) for t in np.geomspace(0.2, 5.0, 33))
"""The temperatures that are tried: 0.2 to 5, each about a tenth larger than the one before."""

CHUNK = 1 << 14  # pixels at a time: few enough to stay in a processor's cache
SMALLEST = 1e-12  # replaces a probability of 0, so that a single pixel cannot decide the result


@dataclass(frozen=True)
class ReliabilityBin:
    """The pixels with a confidence above ``lower`` and up to ``upper``.

    Attributes:
        lower: left end, not included; only 0 itself is in the first bin.
        upper: right end, included.
        count: number of pixels.
        confidence: mean confidence of the pixels; nan without pixels.
        accuracy: share of the pixels that is right; nan without pixels.
    """

    lower: float
    upper: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram and its expected calibration error.

    Attributes:
        bins: in order of confidence, from 0 to 1.
        ece: expected calibration error: the mean over pixels of |accuracy - confidence| of their bin; nan without
            pixels.
    """

    bins: tuple[ReliabilityBin, ...]
    ece: float


class ReliabilityCounts:
    """Sums of confidences and hits in bins of equal width (Guo et al. 2017, section 2).

    The confidence of a pixel is its largest probability. A hit is a pixel whose class with that probability (the
    first if several have it) is the truth. A pixel counts if its truth is a class and its probabilities are finite:
    pixels without a prediction have no confidence to compare.

    Args:
        classes: K.
        bins: number of bins of equal width between 0 and 1.
        each_class: count each class's own probability as well, for `by_class`.
    """

    def __init__(self, classes: int, bins: int = 15, *, each_class: bool = False) -> None:
        if classes < 1 or bins < 1:
            raise ValueError(f"expected at least 1 class and 1 bin, got {classes} and {bins}")
        self.classes = classes
        # Row 0: the top class. Row 1 + k: class k against the rest. Columns: pixels, sum of confidences, hits.
        self.sums = np.zeros((1 + classes * each_class, bins, 3))

    def update(self, probs: NDArray[np.floating[Any]], target: NDArray[np.integer[Any]]) -> None:
        """Count probabilities (K, ...) between 0 and 1 and class indices (...).

        Raises:
            ValueError: the shapes do not fit.
        """
        values, truth = labelled_pixels(probs, target, self.classes)
        top = values.argmax(0)
        self._count(0, np.take_along_axis(values, top[None], 0)[0], top == truth)
        for index in range(len(self.sums) - 1):
            self._count(1 + index, values[index], truth == index)

    def merge(self, other: ReliabilityCounts) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has different classes or bins.
        """
        if self.sums.shape != other.sums.shape:
            raise ValueError("merged calibrations need the same classes and bins")
        self.sums += other.sums

    def compute(self) -> Reliability:
        """Return the reliability of the confidence of the most probable class."""
        return self._read(0)

    def by_class(self) -> tuple[Reliability, ...]:
        """Return the reliability of each class's own probability, as answers to K questions "is it this class?"."""
        return tuple(self._read(row) for row in range(1, len(self.sums)))

    def _count(self, row: int, confidence: NDArray[np.float64], hit: NDArray[np.bool_]) -> None:
        bins = self.sums.shape[1]
        at = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        for column, weights in enumerate((None, confidence, hit.astype(np.float64))):
            self.sums[row, :, column] += np.bincount(at, weights, minlength=bins)

    def _read(self, row: int) -> Reliability:
        count, confidence, hits = self.sums[row].T
        total, bins = count.sum(), len(count)
        with np.errstate(invalid="ignore"):
            means = np.stack([confidence / count, hits / count], 1)
        ece = float(np.abs(hits - confidence).sum() / total) if total else float("nan")
        rows = (
            ReliabilityBin(i / bins, (i + 1) / bins, int(count[i]), float(means[i, 0]), float(means[i, 1]))
            for i in range(bins)
        )
        return Reliability(tuple(rows), ece)


class Temperature:
    """The one number by which logits are divided so that confidences fit the truth (Guo et al. 2017, section 4.2).

    The mean negative log likelihood is summed at fixed temperatures, so that windows and processes can be combined;
    the minimum lies on the parabola through the best of them and its neighbours, over the logarithm of the
    temperature. Logarithms of probabilities serve as logits: the two differ by a constant a pixel, which cancels.

    >>> t = Temperature(2)
    >>> logits = np.log([[0.9, 0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1]])
    >>> t.update(np.exp(logits), np.array([0, 0, 0, 1]))  # three in four are right: 0.75, not 0.9
    >>> round(t.compute(), 1), round(float(np.log(0.9 / 0.1) / np.log(0.75 / 0.25)), 1)
    (2.0, 2.0)

    Args:
        classes: K.
        temperatures: values to try, ascending, at least 3.
    """

    def __init__(self, classes: int, temperatures: Sequence[float] = TEMPERATURES) -> None:
        self.temperatures = np.asarray(temperatures, np.float64)
        if len(self.temperatures) < 3 or self.temperatures[0] <= 0 or (np.diff(self.temperatures) <= 0).any():
            raise ValueError("expected at least 3 temperatures above 0, ascending")
        self.classes = classes
        self.pixels = 0
        self.losses = np.zeros(len(self.temperatures))

    def update(
        self, probs: NDArray[np.floating[Any]], target: NDArray[np.integer[Any]], *, rounded: bool = False
    ) -> None:
        """Count probabilities (K, ...) and class indices (...); only pixels whose truth is a class.

        In ``rounded`` probabilities, for example in steps of 1/255, a 0 may stand for very different small values,
        and the temperature would depend on them. So only classes above 0 are compared at each pixel: a softmax over
        fewer classes is still a softmax. Pixels with one such class, or whose truth is not among them, do not count.

        Raises:
            ValueError: the shapes do not fit.
        """
        values, truth = labelled_pixels(probs, target, self.classes)
        if rounded:
            positive = values > 0
            usable = np.take_along_axis(positive, truth[None], 0)[0] & (positive.sum(0) > 1)
            values, truth = values[:, usable], truth[usable]
        self.pixels += truth.size
        for start in range(0, truth.size, CHUNK):
            part = slice(start, start + CHUNK)
            # Single precision is four times as fast, and seven digits of a loss are enough.
            logits = np.log(np.maximum(values[:, part], SMALLEST)).astype(np.float32)
            logits -= logits.max(0)
            if rounded:
                logits[values[:, part] == 0] = -np.inf
            own = float(np.take_along_axis(logits, truth[None, part], 0).sum(dtype=np.float64))
            for index, temperature in enumerate(self.temperatures):
                sums = np.exp(logits * np.float32(1 / temperature)).sum(0)
                self.losses[index] += np.log(sums).sum(dtype=np.float64) - own / temperature

    def merge(self, other: Temperature) -> None:
        """Add the counts of another.

        Raises:
            ValueError: the other has different temperatures.
        """
        if not np.array_equal(self.temperatures, other.temperatures):
            raise ValueError("merged fits have to try the same temperatures")
        self.pixels += other.pixels
        self.losses += other.losses

    @property
    def negative_log_likelihood(self) -> NDArray[np.float64]:
        """The mean negative log likelihood over pixels at each temperature, (T,); nan without pixels."""
        return self.losses / self.pixels if self.pixels else np.full_like(self.losses, np.nan)

    @property
    def at_end(self) -> bool:
        """True if the best temperature is the first or the last of those tried: the optimum may lie outside."""
        return int(self.losses.argmin()) in (0, len(self.losses) - 1)

    def compute(self) -> float:
        """Return the temperature; nan without pixels."""
        if not self.pixels:
            return float("nan")
        best = int(self.losses.argmin())
        if self.at_end:
            return float(self.temperatures[best])
        near = slice(best - 1, best + 2)
        x = np.log(self.temperatures[near])
        square, slope, _ = np.polyfit(x - x[1], self.negative_log_likelihood[near], 2)
        return float(np.exp(x[1] - slope / (2 * square))) if square > 0 else float(self.temperatures[best])


def tempered(
    probs: NDArray[np.floating[Any]], temperature: float, *, smallest: float = SMALLEST
) -> NDArray[np.float64]:
    """Return probabilities (K, ...) whose logits are divided by a temperature; they sum to 1.

    Probabilities below ``smallest`` are replaced by it.

    >>> tempered(np.array([0.8, 0.2]), 0.5).round(3).tolist()
    [0.941, 0.059]
    """
    logits = np.log(np.maximum(np.asarray(probs, np.float64), smallest)) / temperature
    powers = np.exp(logits - logits.max(0))
    result: NDArray[np.float64] = powers / powers.sum(0)
    return result


def labelled_pixels(
    probs: NDArray[np.floating[Any]], target: NDArray[np.integer[Any]], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities (K, N) and class indices (N,) of pixels with a class as truth and finite values.

    Raises:
        ValueError: the shapes do not fit.
    """
    if probs.shape != (classes, *target.shape):
        raise ValueError(f"expected probabilities of shape {(classes, *target.shape)}, got {probs.shape}")
    flat, truth = probs.reshape(classes, -1), target.reshape(-1)
    keep = (truth >= 0) & (truth < classes) & np.isfinite(flat).all(0)
    return flat[:, keep].astype(np.float64), truth[keep].astype(np.int64)

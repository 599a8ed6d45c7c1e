"""Areas by class with their standard errors, estimated as in Olofsson et al. 2014."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.metrics.confusion import pairs

NORMAL_95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class AreaEstimate:
    """Areas and accuracies by class, (K,), with standard errors, from a map and a sample of labelled pixels.

    Attributes:
        proportions: (K, K) shares of the area by truth (rows) and map (columns); they sum to 1.
        share: share of the area that each class covers, corrected for the errors of the map.
        share_error: standard error of ``share``.
        users_accuracy: share of the area mapped as the class that is right: precision.
        users_error: standard error of ``users_accuracy``.
        producers_accuracy: share of the class's area that the map finds: recall, but of area, not of labelled pixels.
        producers_error: standard error of ``producers_accuracy``.
        overall_accuracy: share of the area that the map has right.
        overall_error: standard error of ``overall_accuracy``.
        pixels: number of pixels of the map in classes with a labelled pixel; areas are shares of these.
        size: the area of these pixels in pixels of a common size; None if all have the same size.
        unsampled: indices of mapped classes without a labelled pixel; they are left out.
        census: every pixel of the map is labelled: shares are counts, and the standard errors do not apply.
    """

    proportions: NDArray[np.float64]
    share: NDArray[np.float64]
    share_error: NDArray[np.float64]
    users_accuracy: NDArray[np.float64]
    users_error: NDArray[np.float64]
    producers_accuracy: NDArray[np.float64]
    producers_error: NDArray[np.float64]
    overall_accuracy: float
    overall_error: float
    pixels: int
    unsampled: tuple[int, ...]
    census: bool
    size: float | None = None

    def areas(self, pixel_area: float) -> NDArray[np.float64]:
        """Return the area of each class, (K,), in the unit of ``pixel_area``."""
        return self.share * (self.pixels if self.size is None else self.size) * pixel_area

    def area_intervals(self, pixel_area: float) -> NDArray[np.float64]:
        """Return the 95 % interval of the area of each class, (K, 2): low (0 or more) and high."""
        half = NORMAL_95 * self.share_error * (self.pixels if self.size is None else self.size) * pixel_area
        areas = self.areas(pixel_area)
        return np.stack([np.maximum(areas - half, 0), areas + half], 1)


class StratifiedArea:
    """Counts for the stratified estimator: labelled pixels, and all mapped pixels.

    The map's classes are the strata. Within each, labelled pixels are treated as a simple random sample: the
    standard errors hold for pixels chosen at random. Labels drawn as polygons or whole scenes are clustered and often
    lie where labelling was easy: then the errors are far too small (use a bootstrap of spatial blocks over
    `area_shares` instead) and the areas may be biased.
    """

    def __init__(self, classes: int) -> None:
        self.table = np.zeros((classes, classes + 1), np.int64)
        self.mapped = np.zeros(classes, np.int64)

    def update(self, truth: NDArray[Any], prediction: NDArray[Any]) -> None:
        """Count two arrays of class indices of the same shape; the truth is IGNORE_INDEX where it is unknown.

        Raises:
            ValueError: as `Confusion.update`.
        """
        classes = len(self.mapped)
        self.table += pairs(truth, prediction, classes)
        known = prediction
        if prediction.dtype != np.uint8:
            known = np.where((prediction >= 0) & (prediction < classes), prediction, classes)
        self.mapped += np.bincount(known.ravel().astype(np.uint8), minlength=classes)[:classes]

    def merge(self, other: StratifiedArea) -> None:
        """Add the counts of another."""
        self.table += other.table
        self.mapped += other.mapped

    def compute(self) -> AreaEstimate:
        """Return the estimates; labelled pixels without a prediction lie outside the map and do not count."""
        return stratified(self.table[:, :-1], self.mapped)


def stratified(
    counts: NDArray[np.integer[Any]],
    mapped: NDArray[np.integer[Any]],
    *,
    sizes: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> AreaEstimate:
    """Return areas and accuracies from labelled pixels (K, K), rows are the truth, and mapped pixels (K,) by class.

    Equations 1 to 3 (accuracies), 5 to 7 (their variances), 9 to 11 (areas) of the paper; no finite-population
    correction. A class of the map with a single labelled pixel has no variance: figures that depend on it are nan.

    Where pixels differ in size, ``sizes`` are the areas of the labelled (K, K) and of the mapped pixels (K,): strata
    are weighted by area, shares within them are those of the labelled area, and variances use the number of pixels.
    """
    sample = np.asarray(counts, np.float64).T  # rows are strata from here on, as in the paper
    drawn = sample.sum(1)
    used = drawn > 0
    size = np.where(used, mapped if sizes is None else sizes[1], 0).astype(np.float64)
    labelled = sample if sizes is None else np.asarray(sizes[0], np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = size / size.sum()
        within = np.where(used[:, None], labelled / labelled.sum(1)[:, None], 0.0)
        # Variance of each share within each stratum; 0 for a stratum that is not on the map or not sampled.
        spread = within * (1 - within) / (drawn - 1)[:, None]
        spread = np.where((size > 0)[:, None], spread, 0.0)
        proportions = weight[:, None] * within
        share = proportions.sum(0)
        users = np.where(used, np.diag(within), np.nan)
        producers = np.diag(proportions) / share
        own = np.diag(spread)
        others = (weight**2)[:, None] * spread
        others = others.sum(0) - np.diag(others)
        producers_variance = (weight**2 * (1 - producers) ** 2 * own + producers**2 * others) / share**2
        return AreaEstimate(
            proportions=proportions.T,
            share=share,
            share_error=np.sqrt(((weight**2)[:, None] * spread).sum(0)),
            users_accuracy=users,
            users_error=np.where(used, np.sqrt(own), np.nan),
            producers_accuracy=producers,
            producers_error=np.sqrt(producers_variance),
            overall_accuracy=float(np.trace(proportions)) if size.any() else float("nan"),
            overall_error=float(np.sqrt((weight**2 * own).sum())),
            pixels=int(np.where(used, mapped, 0).sum()),
            unsampled=tuple(np.flatnonzero((np.asarray(mapped) > 0) & ~used).tolist()),
            census=bool(size.any() and np.array_equal(drawn, np.asarray(mapped, np.float64))),
            size=None if sizes is None else float(size.sum()),
        )


def area_shares(matrix: NDArray[Any], mapped: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the area of each class, (..., K), from confusion matrices (..., K, K) or (..., K, K + 1).

    The figure is `AreaEstimate.share` for many matrices at once: a statistic for a bootstrap of spatial blocks.

    >>> area_shares(np.array([[8, 1], [2, 4]]), np.array([100, 300])).tolist()  # 1/4 * 8/10 + 3/4 * 1/5 is a class 0
    [0.35, 0.65]
    """
    classes = np.shape(matrix)[-2]
    counts = np.asarray(matrix, np.float64)[..., :classes]
    drawn = counts.sum(-2)
    size = np.where(drawn > 0, mapped, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = size / size.sum(-1, keepdims=True)
        by_map = np.where(drawn > 0, weight / drawn, 0.0)[..., None, :] * counts
    shares: NDArray[np.float64] = by_map.sum(-1)
    shares[~size.any(-1)] = np.nan
    return shares

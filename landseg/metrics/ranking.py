"""Average precision: detections of several images in one order, and the precision along it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landseg.metrics.matching import by_score, match
from landseg.metrics.overlaps import Flags, Floats, Ints, Objects, Overlaps

IOUS: Floats = np.linspace(0.5, 0.95, 10)
"""The thresholds .50:.05:.95."""
RECALLS: Floats = np.linspace(0, 1, 101)
"""The recalls at which precision is read."""
WRONG, ASIDE = -1, -2
"""Values of `Ranking.taken`: a detection that matches nothing, and one that does not count."""

Image = tuple[Overlaps, Floats]
"""The objects of an image, and the scores (D,) of its detections."""


@dataclass(frozen=True)
class Ranking:
    """The D detections of all images, from the highest score down, and the T objects of the truth they take.

    Objects of all images are numbered one after the other, in the order of the images.

    Attributes:
        score: (D,) scores, descending.
        turn: (D,) place of each detection among those of its image, from 0.
        index: (D,) number of each detection among those of all images.
        taken: (thresholds, D) number of the truth that each takes; `WRONG` or `ASIDE`.
        iou: (thresholds, D) IoU with the truth that it takes; 0 without one.
        judged: (T,) True for objects of the truth that count.
    """

    score: Floats
    turn: Ints
    index: Ints
    taken: Ints
    iou: Floats
    judged: Flags

    def precision(self, row: int, limit: int | None = None) -> tuple[float, float]:
        """Return average precision and recall at a threshold, given by its row.

        Args:
            row: row of `taken`.
            limit: number of detections of each image that count; None for all.
        """
        kept = slice(None) if limit is None else self.turn < limit
        taken = self.taken[row][kept]
        return average_precision(1.0 * (taken >= 0), 1.0 * (taken == WRONG), float(self.judged.sum()))


@dataclass(frozen=True)
class Rule:
    """The rule by which detections are ranked and matched.

    Attributes:
        thresholds: least IoUs, ascending or not.
        low: least size of an object, which counts; smaller ones of the truth are set aside, and so are smaller
            detections that take nothing.
        high: largest size, likewise.
        limit: number of detections of each image that take part; None for all.
        boundary: True to judge by the lesser of IoU and boundary IoU.
    """

    thresholds: Floats
    low: float = 0.0
    high: float = np.inf
    limit: int | None = None
    boundary: bool = False

    def holds(self, objects: Objects) -> Flags:
        """Return True for each object (N,) whose size is in the range."""
        return (objects.size >= self.low) & (objects.size <= self.high)


def rank(images: Iterable[Image], rule: Rule) -> Ranking:
    """Return the detections of all images in one order, matched within their images; equal scores by image."""
    columns: list[tuple[NDArray[np.float64 | np.int64 | np.bool_], ...]] = []
    trues = founds = 0
    for overlaps, scores in images:
        order = by_score(scores)[: rule.limit]
        iou = overlaps.boundary_iou() if rule.boundary else overlaps.iou()
        aside = overlaps.true.ignored | ~rule.holds(overlaps.true)
        pairs = match(overlaps, iou, order, aside, rule.thresholds)[:, order]
        hit = pairs >= 0
        true = np.where(hit, overlaps.true_index[pairs] if len(iou) else 0, 0)
        without = np.where((overlaps.found.ignored | ~rule.holds(overlaps.found))[order], ASIDE, WRONG)
        judged = np.where(aside[true], ASIDE, true + trues) if len(aside) else true
        value = np.where(hit, iou[pairs] if len(iou) else 0.0, 0.0)
        columns.append(
            (scores[order], np.arange(len(order)), order + founds, np.where(hit, judged, without).T, value.T, ~aside)
        )
        trues, founds = trues + len(aside), founds + len(scores)
    if not columns:
        none, rows = np.zeros(0, np.int64), np.zeros((len(rule.thresholds), 0))
        return Ranking(np.zeros(0), none, none, rows.astype(np.int64), rows, np.zeros(0, bool))
    score, turn, index, taken, value, judged = (np.concatenate(one) for one in zip(*columns, strict=True))
    order = by_score(score)
    return Ranking(score[order], turn[order], index[order], taken[order].T, value[order].T, judged)


def checked_scores(scores: ArrayLike, count: int) -> Floats:
    """Return the scores (D,) of detections as float64.

    Raises:
        ValueError: they are not as many as ``count``, nan or outside 0 to 1.
    """
    given = np.asarray(scores, np.float64).reshape(-1)
    if len(given) != count:
        raise ValueError(f"expected a score for each of {count} detections, got {len(given)}")
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("expected scores from 0 to 1")
    return given


def average_precision(hits: Floats, misses: Floats, total: float) -> tuple[float, float]:
    """Return the mean precision at 101 recalls, and the last recall; nan without any truth.

    The precision at a recall is the largest one at that recall or above, and 0 at recalls that are never reached.

    Args:
        hits: (D,) weights of detections that are right, from the highest score down; 0 for others.
        misses: (D,) weights of detections that are wrong.
        total: weight of all objects of the truth.

    >>> average_precision(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]), 2.0)  # 51 recalls at 1, 50 at 2/3
    (0.834983498349835, 1.0)
    """
    if not total > 0:
        return float("nan"), float("nan")
    right, wrong = np.cumsum(hits), np.cumsum(misses)
    recall = right / total
    precision = right / (right + wrong + np.spacing(1))  # of pycocotools: 0, not nan, where nothing counts yet
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    found = np.concatenate([precision, [0.0]])[at]
    return float(found.mean()), float(recall[-1]) if len(recall) else 0.0

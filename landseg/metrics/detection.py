"""Figures of detected objects: average precision, hits at a score, panoptic quality, and the kinds of errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landseg.metrics.bootstrap import draws, interval, number_blocks
from landseg.metrics.matching import Verdict, by_score, match, verdicts
from landseg.metrics.overlaps import Flags, Floats, Ints, Overlaps
from landseg.metrics.ranking import ASIDE, IOUS, WRONG, Image, Ranking, Rule, average_precision, checked_scores, rank

MATCHES = np.array([*IOUS, np.nextafter(0.5, 1)])
"""The thresholds of AP, and the one of panoptic quality: an IoU above 0.5."""
HALF, PANOPTIC = 0, len(IOUS)
COCO_AREAS, COCO_LIMITS = (32.0**2, 96.0**2), (1, 10, 100)
"""Ends of the ranges of areas in pixels, and limits of detections of an image, of COCO."""

FIGURES = ("ap", "ap50", "ap75", "precision", "recall", "f1", "pq", "sq", "rq")
"""The figures of `DetectionFigures` that have intervals."""


@dataclass(frozen=True)
class DetectionFigures:
    """The figures of one class of objects. A figure that means nothing is nan: without any truth, all of them.

    Attributes:
        ap: mean average precision at IoU .50:.05:.95.
        ap50: average precision at IoU 0.5.
        ap75: average precision at IoU 0.75.
        ar: mean recall of all detections at IoU .50:.05:.95.
        ap_by_area: ``ap`` of each range of sizes, from the smallest; empty without ranges.
        ar_by_area: ``ar`` of each range.
        ar_by_limit: ``ar`` with each limit of detections of an image; empty without limits.
        boundary_ap: ``ap`` by the lesser of IoU and boundary IoU; nan where no bands were measured.
        score: score from which detections count in all that follows.
        precision: share of the detections that match at IoU 0.5; nan without detections.
        recall: share of the truth that is matched.
        f1: 2 * matches / (truth + detections).
        best_f1: the largest F1 that any score gives on this truth.
        best_score: that score, the highest of several; nan without detections.
        pq: panoptic quality: the sum of the IoUs above 0.5 / mean number of truth and detections.
        sq: mean of the IoUs above 0.5; nan where there is none.
        rq: F1 of the matches of IoU above 0.5.
        found: number of objects of the truth that match at IoU 0.5.
        merged: number of objects of the truth with `Verdict.MERGED`.
        split: number with `Verdict.SPLIT`.
        missed: number with `Verdict.MISSED`.
        invented: number of detections with `Verdict.INVENTED`.
        true_count: number of objects of the truth that count.
        found_count: number of detections that count.
        true_size: their total sizes, in the unit of `Objects.size`.
        found_size: likewise of the detections.
    """

    ap: float
    ap50: float
    ap75: float
    ar: float
    ap_by_area: tuple[float, ...]
    ar_by_area: tuple[float, ...]
    ar_by_limit: tuple[float, ...]
    boundary_ap: float
    score: float
    precision: float
    recall: float
    f1: float
    best_f1: float
    best_score: float
    pq: float
    sq: float
    rq: float
    found: int
    merged: int
    split: int
    missed: int
    invented: int
    true_count: int
    found_count: int
    true_size: float
    found_size: float

    def coco(self) -> tuple[float, ...]:
        """Return the twelve figures in the order of pycocotools; for `Detection.coco`, with its areas and limits."""
        return (self.ap, self.ap50, self.ap75, *self.ap_by_area, *self.ar_by_limit, *self.ar_by_area)


class Detection:
    """Objects and detections of one class, over several images; the order in which they come changes nothing.

    Without a limit all detections of an image count: one image may be a whole map. Memory is that of the overlaps,
    some 50 bytes for each object and 32 for each pair, and some 500 for each detection while figures are made.

    Args:
        areas: ends of the ranges of sizes, ascending; two ends give three ranges. Both ends belong to a range.
        limits: numbers of detections of an image, ascending: only as many as the last one take part. Empty for all.
        block: edge of a spatial block of the bootstrap, in the unit of `Objects.place`.
    """

    def __init__(self, *, areas: Sequence[float] = (), limits: Sequence[int] = (), block: float = 512) -> None:
        if list(areas) != sorted(set(areas)) or list(limits) != sorted(set(limits)):
            raise ValueError(f"expected ascending areas and limits, got {tuple(areas)} and {tuple(limits)}")
        if not block > 0 or min([1, *limits]) < 1:
            raise ValueError(f"expected a block above 0 and limits of at least 1, got {block} and {tuple(limits)}")
        self.areas, self.limits, self.block = tuple(areas), tuple(limits), float(block)
        self.images: dict[int, Image] = {}

    @classmethod
    def coco(cls) -> Detection:
        """Return a `Detection` with COCO's ranges of areas, in pixels, and its limits of 1, 10 and 100 detections."""
        return cls(areas=COCO_AREAS, limits=COCO_LIMITS)

    def update(self, overlaps: Overlaps, scores: ArrayLike, *, raster: int = 0) -> None:
        """Add the objects of an image and the scores (D,) of its detections, from 0 to 1.

        Images count in the order of their numbers ``raster``, which decides between equal scores.

        Raises:
            ValueError: the image was added before, or scores are of another number, nan or outside 0 to 1.
        """
        given = checked_scores(scores, len(overlaps.found))
        if raster in self.images:
            raise ValueError(f"image {raster} was added before")
        self.images[raster] = (overlaps, given)

    def merge(self, other: Detection) -> None:
        """Add the images of another.

        Raises:
            ValueError: the other has other areas, limits or blocks, or an image that this one has.
        """
        if (self.areas, self.limits, self.block) != (other.areas, other.limits, other.block):
            raise ValueError("merged detections need the same areas, limits and blocks")
        if twice := sorted(self.images.keys() & other.images.keys()):
            raise ValueError(f"image {twice[0]} was added before")
        self.images.update(other.images)

    def compute(self, score: float = 0.0) -> DetectionFigures:
        """Return the figures; those of single hits, of PQ and of errors for the detections of at least a score."""
        ranking = self._rank(MATCHES)
        ap, ar = _means(ranking)
        ranges = [_means(self._rank(IOUS, low, high)) for low, high in self._ranges()]
        best_f1, best_score = _best(ranking)
        blocks = np.zeros(len(ranking.judged), np.int64), np.zeros(len(ranking.score), np.int64)
        hits = _hits(ranking, score, *blocks, 1)[0]
        quality, (true_size, found_size) = _ratios(hits), self._sizes(ranking, score)
        return DetectionFigures(
            ap=ap,
            ap50=ranking.precision(0)[0],
            ap75=ranking.precision(5)[0],
            ar=ar,
            ap_by_area=tuple(one[0] for one in ranges),
            ar_by_area=tuple(one[1] for one in ranges),
            ar_by_limit=tuple(_means(ranking, limit)[1] for limit in self.limits),
            boundary_ap=self._boundary_ap(),
            score=score,
            best_f1=best_f1,
            best_score=best_score,
            precision=float(quality["precision"]),
            recall=float(quality["recall"]),
            f1=float(quality["f1"]),
            pq=float(quality["pq"]),
            sq=float(quality["sq"]),
            rq=float(quality["rq"]),
            true_count=int(hits[0]),
            found_count=int(hits[1] + hits[2]),
            true_size=true_size,
            found_size=found_size,
            **self._errors(score),
        )

    def verdicts(self, raster: int, score: float = 0.0) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Return the `Verdict` of each object of the truth, (T,), and of each detection, (D,), of an image."""
        overlaps, scores = self.images[raster]
        order = by_score(scores)[: self._limit]
        kept = np.zeros(len(scores), bool)
        kept[order] = scores[order] >= score
        taken = match(overlaps, overlaps.iou(), order, overlaps.true.ignored, IOUS[:1])[0]
        return verdicts(overlaps, taken, kept)

    def intervals(self, score: float = 0.0, *, count: int = 1000, seed: int = 0) -> dict[str, Floats]:
        """Return the 95 % interval, (2,), of each of `FIGURES`: low and high; nan where there is one block.

        Spatial blocks are drawn with replacement, with all of their objects. An object belongs to the block of its
        centroid, a detection that matches to that of its truth. Above 4096 blocks, four become one.
        """
        ranking = self._rank(MATCHES)
        of_true, of_found = self._blocks(ranking)
        blocks = int(max(of_true.max(initial=-1), of_found.max(initial=-1))) + 1
        if blocks < 2:
            return {name: np.full(2, np.nan) for name in FIGURES}
        sums = _hits(ranking, score, of_true, of_found, blocks)
        drawn: dict[str, list[Floats]] = {name: [] for name in FIGURES}
        for weights in draws(blocks, count=count, seed=seed):
            figures = _ratios(weights @ sums) | _precisions(ranking, weights, of_true, of_found)
            for name, values in figures.items():
                drawn[name].append(values)
        return {name: interval(np.concatenate(values)) for name, values in drawn.items()}

    @property
    def _limit(self) -> int | None:
        return self.limits[-1] if self.limits else None

    def _ranges(self) -> list[tuple[float, float]]:
        """Return the ends of the ranges of sizes, from the smallest; none without areas."""
        ends = (0.0, *self.areas, np.inf)
        return list(pairwise(ends)) if self.areas else []

    def _rank(self, thresholds: Floats, low: float = 0.0, high: float = np.inf, boundary: bool = False) -> Ranking:
        images = [self.images[number] for number in sorted(self.images)]
        return rank(images, Rule(thresholds, low, high, self._limit, boundary))

    def _boundary_ap(self) -> float:
        if not self.images or any(overlaps.shared_rim is None for overlaps, _ in self.images.values()):
            return float("nan")
        return _means(self._rank(IOUS, boundary=True))[0]

    def _errors(self, score: float) -> dict[str, int]:
        """Return the numbers of objects by the kinds of `Verdict` that `DetectionFigures` names."""
        true, found = np.zeros(len(Verdict), np.int64), np.zeros(len(Verdict), np.int64)
        for raster in self.images:
            sides = self.verdicts(raster, score)
            true += np.bincount(sides[0], minlength=len(Verdict))
            found += np.bincount(sides[1], minlength=len(Verdict))
        of_true = (Verdict.FOUND, Verdict.MERGED, Verdict.SPLIT, Verdict.MISSED)
        counts = {kind.name.lower(): int(true[kind]) for kind in of_true}
        return counts | {"invented": int(found[Verdict.INVENTED])}

    def _sizes(self, ranking: Ranking, score: float) -> tuple[float, float]:
        """Return the total size of the truth and of the detections that count."""
        images = [self.images[number][0] for number in sorted(self.images)]
        true, found = (
            np.concatenate([np.zeros(0), *(getattr(one, side).size for one in images)]) for side in ("true", "found")
        )
        counted = ranking.index[(ranking.score >= score) & (ranking.taken[HALF] != ASIDE)]
        return float(true[ranking.judged].sum()), float(found[counted].sum())

    def _blocks(self, ranking: Ranking) -> tuple[Ints, Ints]:
        """Return the number of the block of each object of the truth, (T,), and of each detection, (D,).

        Detections are in the order of the ranking. A detection is counted in its own block at thresholds at which it
        is wrong. Objects that are counted nowhere get block 0 as well, where nothing asks for them.
        """
        cells, counts = self._cells(ranking)
        index = np.zeros(len(counts), np.int64)
        index[counts] = number_blocks(cells[counts])
        return index[: len(ranking.judged)], index[len(ranking.judged) :]

    def _cells(self, ranking: Ranking) -> tuple[Ints, Flags]:
        """Return raster, row and column of the cell of each object, (T + D, 3), and which of them are counted."""
        numbers = sorted(self.images)
        sides = []
        for side in ("true", "found"):
            places = [getattr(self.images[number][0], side).place for number in numbers]
            cells = np.floor(np.concatenate([np.zeros((0, 2)), *places]) / self.block).astype(np.int64)
            raster = np.repeat(np.array(numbers, np.int64), [len(one) for one in places])
            sides.append(np.column_stack([raster, cells]))
        counts = np.concatenate([ranking.judged, (ranking.taken == WRONG).any(0)])
        return np.concatenate([sides[0], sides[1][ranking.index]]), counts


def differences(
    detections: Sequence[Detection], score: float = 0.0, *, count: int = 1000, seed: int = 0
) -> dict[str, tuple[Floats, Floats]]:
    """Return the differences (P - 1,) of F1 and AP50 to those of the first, and their 95 % intervals (P - 1, 2).

    By the names "f1" and "ap50". Blocks are those of all P together and drawn once for all of them, so that objects
    that are difficult for all do not widen the interval, which is nan where there is one block.

    Raises:
        ValueError: the truths differ, or there are fewer than two.
    """
    rankings = [one._rank(MATCHES) for one in detections]
    if len(rankings) < 2:
        raise ValueError("a difference needs two predictions or more")
    cells, counts = zip(*(one._cells(order) for one, order in zip(detections, rankings, strict=True)), strict=True)
    total = len(rankings[0].judged)
    for one, order in zip(cells, rankings, strict=True):
        same = np.array_equal(order.judged, rankings[0].judged)
        if not same or not np.array_equal(one[:total], cells[0][:total]):
            raise ValueError("paired differences need one truth, in the same places")
    every, flags = np.concatenate(cells), np.concatenate(counts)
    index = np.zeros(len(every), np.int64)
    index[flags] = number_blocks(every[flags])
    parts = np.split(index, np.cumsum([len(one) for one in cells])[:-1])
    blocks = int(index.max(initial=-1)) + 1
    points, drawn = [], []
    for order, part in zip(rankings, parts, strict=True):
        sides = part[:total], part[total:]
        points.append(_f1_and_ap50(order, score, sides, blocks, np.ones((1, blocks), np.int64)))
        some = draws(blocks, count=count, seed=seed) if blocks > 1 and count else ()
        each = [_f1_and_ap50(order, score, sides, blocks, weights) for weights in some]
        drawn.append(np.concatenate(each, axis=1) if each else np.full((2, 1), np.nan))
    return {
        name: (
            np.array([point[row, 0] - points[0][row, 0] for point in points[1:]]),
            np.stack([interval(one[row] - drawn[0][row]) for one in drawn[1:]]),
        )
        for row, name in enumerate(("f1", "ap50"))
    }


def _f1_and_ap50(ranking: Ranking, score: float, sides: tuple[Ints, Ints], blocks: int, weights: Ints) -> Floats:
    """Return F1 and AP50, (2, R), where each block counts as often as its weight of (R, blocks) says."""
    sums = _hits(ranking, score, *sides, max(1, blocks))
    f1 = _ratios(weights @ sums[:blocks])["f1"]
    return np.stack([f1, _precisions(ranking, weights, *sides, rows=1)["ap50"]])


def _means(ranking: Ranking, limit: int | None = None) -> tuple[float, float]:
    """Return AP and recall, each the mean over `IOUS`."""
    both = np.array([ranking.precision(row, limit) for row in range(len(IOUS))])
    return float(both[:, 0].mean()), float(both[:, 1].mean())


def _best(ranking: Ranking) -> tuple[float, float]:
    """Return the largest F1 at IoU 0.5 that a score gives, and the highest such score."""
    total, taken = int(ranking.judged.sum()), ranking.taken[HALF]
    if not total or not len(taken):
        return (0.0 if total else float("nan")), float("nan")
    f1 = 2 * np.cumsum(taken >= 0) / (np.cumsum(taken != ASIDE) + total)
    last = np.flatnonzero(np.diff(ranking.score, append=-1.0))  # all detections of a score count together
    best = last[np.argmax(f1[last])]
    return float(f1[best]), float(ranking.score[best])


def _hits(ranking: Ranking, score: float, of_true: Ints, of_found: Ints, blocks: int) -> Floats:
    """Return by block, (blocks, 6): truth; matches and errors at IoU 0.5; the same above it, and the sum of IoUs."""
    sums = np.zeros((blocks, 6))
    sums[:, 0] = np.bincount(of_true[ranking.judged], minlength=blocks)
    for row, column in ((HALF, 1), (PANOPTIC, 3)):
        taken = np.where(ranking.score >= score, ranking.taken[row], ASIDE)
        right = taken >= 0
        where = of_true[taken[right]]
        sums[:, column] = np.bincount(where, minlength=blocks)
        sums[:, column + 1] = np.bincount(of_found[taken == WRONG], minlength=blocks)
        if row == PANOPTIC:
            sums[:, 5] = np.bincount(where, ranking.iou[row][right], minlength=blocks)
    return sums


def _ratios(sums: Floats) -> dict[str, Floats]:
    """Return the figures (...) of sums (..., 6) as by `_hits`; nan without truth."""
    true, right, wrong, matched, unmatched, iou = np.moveaxis(sums, -1, 0)
    empty = true <= 0

    def ratio(part: Floats, whole: Floats) -> Floats:
        found: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=(whole > 0) & ~empty)
        return found

    both = (true + matched + unmatched) / 2
    return {
        "precision": ratio(right, right + wrong),
        "recall": ratio(right, true),
        "f1": ratio(2 * right, true + right + wrong),
        "pq": ratio(iou, both),
        "sq": ratio(iou, matched),
        "rq": ratio(matched, both),
    }


def _precisions(
    ranking: Ranking, weights: Ints, of_true: Ints, of_found: Ints, rows: int = len(IOUS)
) -> dict[str, Floats]:
    """Return AP, AP50 and AP75, each (R,), where each block counts as often as its weight of (R, blocks) says.

    With fewer ``rows`` only the first thresholds are measured: 1 gives AP50, and AP and AP75 mean nothing.
    """
    found = np.full((len(weights), len(IOUS)), np.nan)
    for row in range(rows):
        taken = ranking.taken[row]
        counts = taken != ASIDE  # the rest has no part in the order
        right = taken[counts] >= 0
        where = of_found[counts]
        where[right] = of_true[taken[counts][right]]
        for k, weight in enumerate(weights):
            each = weight[where]
            total = float(weight[of_true[ranking.judged]].sum())
            found[k, row] = average_precision(each * right, each * ~right, total)[0]
    return {"ap": found.mean(1), "ap50": found[:, 0], "ap75": found[:, 5]}

"""Figures of objects with keypoints: average precision by OKS, and how far the keypoints lie off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from landseg.metrics.detection import COCO_AREAS, Detection
from landseg.metrics.matching import by_score, match
from landseg.metrics.oks import Similarities
from landseg.metrics.overlaps import Floats
from landseg.metrics.ranking import IOUS, Rule, rank

COCO_LIMIT = 20
"""Number of detections of an image that count in COCO's figures of keypoints."""
FIGURES = ("ap", "ap50", "ap75", "precision", "recall", "f1")
"""The figures of `KeypointFigures` that have intervals."""


@dataclass(frozen=True)
class KeypointFigures:
    """The figures of objects of one class. A figure that means nothing is nan: without any truth, all ratios.

    Attributes:
        ap: mean average precision at OKS .50:.05:.95.
        ap50: average precision at OKS 0.5.
        ap75: average precision at OKS 0.75.
        ar: mean recall of all detections at OKS .50:.05:.95.
        ar50: recall of all detections at OKS 0.5.
        ar75: likewise at 0.75.
        ap_by_area: ``ap`` of each range of areas, from the smallest; empty without ranges.
        ar_by_area: ``ar`` of each range.
        score: score from which detections count in all that follows.
        precision: share of the detections that match at OKS 0.5; nan without detections.
        recall: share of the truth that is matched.
        f1: 2 * matches / (truth + detections).
        best_f1: the largest F1 that any score gives on this truth.
        best_score: that score, the highest of several; nan without detections.
        true_count: number of objects of the truth that count.
        found_count: number of detections that count.
        keypoints: number of visible keypoints of the truth that counts.
        matched_keypoints: number of those whose object is matched.
        distance_rms: root mean square of the distances of matched keypoints, in metres.
        distance_median: their median.
        within: distances in metres of `pck` and `found_within`.
        pck: share of the matched keypoints (percentage of correct keypoints) within each of these distances.
        found_within: share of all visible keypoints of the truth within each distance, in a matched object.
    """

    ap: float
    ap50: float
    ap75: float
    ar: float
    ar50: float
    ar75: float
    ap_by_area: tuple[float, ...]
    ar_by_area: tuple[float, ...]
    score: float
    precision: float
    recall: float
    f1: float
    best_f1: float
    best_score: float
    true_count: int
    found_count: int
    keypoints: int
    matched_keypoints: int
    distance_rms: float
    distance_median: float
    within: tuple[float, ...]
    pck: tuple[float, ...]
    found_within: tuple[float, ...]

    def coco(self) -> tuple[float, ...]:
        """Return the ten figures in the order of pycocotools; for `KeypointDetection.coco`, with its areas."""
        medium, large = 1, 2  # there is no range of small objects
        precisions = (self.ap, self.ap50, self.ap75, self.ap_by_area[medium], self.ap_by_area[large])
        return (*precisions, self.ar, self.ar50, self.ar75, self.ar_by_area[medium], self.ar_by_area[large])


class KeypointDetection:
    """Objects with keypoints of one class, over several images; the order in which they come changes nothing.

    Detections are matched as `Detection` matches objects, with the OKS in place of the IoU.

    Args:
        within: distances in metres of `KeypointFigures.pck`, above 0.
        areas: ends of the ranges of areas, ascending, in the unit of `Keypoints.area`.
        limit: number of detections of an image that count; None for all.
        block: edge of a spatial block of the bootstrap, in metres.
    """

    def __init__(
        self,
        *,
        within: Sequence[float] = (0.5, 1.0, 2.0),
        areas: Sequence[float] = (),
        limit: int | None = None,
        block: float = 100.0,
    ) -> None:
        if not (np.asarray(within) > 0).all():
            raise ValueError(f"expected distances above 0, got {tuple(within)}")
        self.within, self.limit = tuple(within), limit
        self.images: dict[int, Similarities] = {}
        self.detection = Detection(areas=areas, limits=() if limit is None else (limit,), block=block)

    @classmethod
    def coco(cls, within: Sequence[float] = (2.0, 5.0, 10.0)) -> KeypointDetection:
        """Return one with COCO's ranges of areas and its limit of 20 detections an image, each a block; in pixels."""
        return cls(within=within, areas=COCO_AREAS, limit=COCO_LIMIT, block=np.inf)

    def update(self, pairs: Similarities, scores: ArrayLike, *, raster: int = 0) -> None:
        """Add the objects of an image and the scores (D,) of its detections, from 0 to 1.

        Raises:
            ValueError: as `Detection.update`.
        """
        self.detection.update(pairs, scores, raster=raster)
        self.images[raster] = pairs

    def merge(self, other: KeypointDetection) -> None:
        """Add the images of another.

        Raises:
            ValueError: as `Detection.merge`, or the other has other distances.
        """
        if self.within != other.within:
            raise ValueError("merged keypoints need the same distances")
        self.detection.merge(other.detection)
        self.images.update(other.images)

    def compute(self, score: float = 0.0) -> KeypointFigures:
        """Return the figures; those of single matches and of distances for the detections of at least a score."""
        made = self.detection.compute(score)
        images = [self.detection.images[number] for number in sorted(self.detection.images)]
        ranking = rank(images, Rule(IOUS, limit=self.limit))
        apart = np.concatenate([np.zeros(0), *self._distances(score)])
        there = sum(int(pairs.seen[pairs.judged].sum()) for pairs in self.images.values())
        reached = np.array([(apart <= distance).sum() for distance in self.within], np.float64)
        some = len(apart) > 0
        return KeypointFigures(
            ap=made.ap,
            ap50=made.ap50,
            ap75=made.ap75,
            ar=made.ar,
            ar50=ranking.precision(0)[1],
            ar75=ranking.precision(5)[1],
            ap_by_area=made.ap_by_area,
            ar_by_area=made.ar_by_area,
            score=score,
            precision=made.precision,
            recall=made.recall,
            f1=made.f1,
            best_f1=made.best_f1,
            best_score=made.best_score,
            true_count=made.true_count,
            found_count=made.found_count,
            keypoints=there,
            matched_keypoints=len(apart),
            distance_rms=float(np.sqrt((apart**2).mean())) if some else float("nan"),
            distance_median=float(np.median(apart)) if some else float("nan"),
            within=self.within,
            pck=tuple((reached / len(apart)).tolist() if some else [float("nan")] * len(reached)),
            found_within=tuple((reached / there).tolist() if there else [float("nan")] * len(reached)),
        )

    def intervals(self, score: float = 0.0, *, count: int = 1000, seed: int = 0) -> dict[str, Floats]:
        """Return the 95 % interval, (2,), of each of `FIGURES`, as `Detection.intervals` does."""
        made = self.detection.intervals(score, count=count, seed=seed)
        return {name: made[name] for name in FIGURES}

    def _distances(self, score: float) -> list[Floats]:
        """Return the distances of the visible keypoints of each image's matched objects, in metres."""
        made = []
        for number in sorted(self.images):
            pairs, scores = self.images[number], self.detection.images[number][1]
            order = by_score(scores)[: self.limit]
            taken = match(pairs, pairs.iou(), order, ~pairs.judged, IOUS[:1])[0]
            taken = taken[(taken >= 0) & (scores >= score)]
            apart = pairs.apart[taken[pairs.judged[pairs.true_index[taken]]]]
            made.append(apart[np.isfinite(apart)])
        return made

"""Figures of detected points, such as trees: found within a radius, how far off, and how well they are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landseg.metrics.assignment import assign, growth
from landseg.metrics.bootstrap import draws, interval, number_blocks
from landseg.metrics.matching import Verdict, by_score, take_in_turn
from landseg.metrics.nearby import Nearby
from landseg.metrics.overlaps import Flags, Floats, Ints
from landseg.metrics.ranking import ASIDE, WRONG, average_precision, checked_scores

FIGURES = ("ap", "precision", "recall", "f1", "rmse")
"""The figures of `PointFigures` that have intervals."""


@dataclass(frozen=True)
class PointFigures:
    """The figures of points of one class. A figure that means nothing is nan: without any truth, all ratios.

    Attributes:
        ap: average precision: detections choose greedily, from the highest score down.
        best_f1: the largest F1 that any score gives on this truth.
        best_score: that score, the highest of several; nan without detections.
        score: score from which detections count in all that follows.
        precision: share of the detections that are assigned; nan without detections.
        recall: share of the truth that is assigned.
        f1: 2 * pairs / (truth + detections).
        rmse: root mean square of the distances of the pairs; nan without any.
        matched: number of pairs.
        missed: number of points of the truth without a detection; those that are ignored are not among them.
        invented: number of detections without a truth, likewise.
        true_count: number of all points of the truth, ignored ones too.
        found_count: number of all detections, likewise.
        blocks: number of blocks with any point, in which points are counted.
        count_bias: mean over the blocks of detections minus truth.
        count_rmse: root mean square of that difference.
        count_r2: 1 - sum of its squares / sum of squares of the truth's number around its mean; nan where all blocks
            have as many points of the truth.
    """

    ap: float
    best_f1: float
    best_score: float
    score: float
    precision: float
    recall: float
    f1: float
    rmse: float
    matched: int
    missed: int
    invented: int
    true_count: int
    found_count: int
    blocks: int
    count_bias: float
    count_rmse: float
    count_r2: float


@dataclass(frozen=True)
class _Matches:
    """The points of all images, numbered one after the other, and their assignment at a score.

    Attributes:
        true: (M,) number of the truth of each pair.
        found: (M,) number of its detection.
        distance: (M,) their distance.
        missed: numbers of the truth that is missed.
        invented: numbers of the detections that are wrong.
        counted: numbers of all detections of at least the score.
    """

    true: Ints
    found: Ints
    distance: Floats
    missed: Ints
    invented: Ints
    counted: Ints


class PointDetection:
    """Points and detections of one class, over several images; the order in which they come changes nothing.

    Precision, recall, F1 and the distances are those of the one-to-one assignment of `assign`: of all with the most
    pairs within the radius the one of the least total distance. (To assign all points of an image first, and to drop
    the pairs beyond the radius then, finds fewer pairs.) A point at the edge, see `Nearby`, counts only if it is in a
    pair; where several assignments have as many pairs, points that count are preferred to those at the edge.

    Average precision goes by COCO's rule with the distance in place of the IoU: from the highest score down, each
    detection takes the nearest point that is free, of equally near ones the later.

    Args:
        block: edge of a spatial block of the bootstrap, and of the blocks in which points are counted, in the unit of
            `Nearby.true_place`.

    Raises:
        ValueError: the block is not above 0.
    """

    def __init__(self, *, block: float = 100.0) -> None:
        if not block > 0:
            raise ValueError(f"expected a block above 0, got {block}")
        self.block = float(block)
        self.images: dict[int, tuple[Nearby, Floats]] = {}
        self._last: tuple[float, _Matches] | None = None  # the assignment takes long, and two calls ask for it

    def update(self, near: Nearby, scores: ArrayLike, *, raster: int = 0) -> None:
        """Add the points of an image and the scores (D,) of its detections, from 0 to 1.

        Images count in the order of their numbers ``raster``, which decides between equal scores.

        Raises:
            ValueError: the image was added before, or scores are of another number, nan or outside 0 to 1.
        """
        given = checked_scores(scores, len(near.found_place))
        if raster in self.images:
            raise ValueError(f"image {raster} was added before")
        self.images[raster], self._last = (near, given), None

    def merge(self, other: PointDetection) -> None:
        """Add the images of another.

        Raises:
            ValueError: the other has other blocks, or an image that this one has.
        """
        if self.block != other.block:
            raise ValueError("merged points need the same blocks")
        if twice := sorted(self.images.keys() & other.images.keys()):
            raise ValueError(f"image {twice[0]} was added before")
        self.images.update(other.images)
        self._last = None

    def compute(self, score: float = 0.0) -> PointFigures:
        """Return the figures; all but AP and the best F1 for the detections of at least a score."""
        matches = self._matches(score)
        true, pairs, wrong = len(matches.true) + len(matches.missed), len(matches.true), len(matches.invented)
        sums = np.array([true, pairs, wrong, (matches.distance**2).sum()], np.float64)
        ratios = {name: float(value) for name, value in _ratios(sums).items()}
        best_f1, best_score = self._best()
        error, spread = self._counts(matches)
        return PointFigures(
            ap=self._ranking().precision(),
            best_f1=best_f1,
            best_score=best_score,
            score=score,
            matched=pairs,
            missed=len(matches.missed),
            invented=wrong,
            true_count=sum(len(near.true_place) for near, _ in self.images.values()),
            found_count=len(matches.counted),
            **ratios,
            blocks=len(error),
            count_bias=float(error.mean()) if len(error) else float("nan"),
            count_rmse=float(np.sqrt((error**2).mean())) if len(error) else float("nan"),
            count_r2=1 - float((error**2).sum()) / spread if spread > 0 else float("nan"),
        )

    def intervals(self, score: float = 0.0, *, count: int = 1000, seed: int = 0) -> dict[str, Floats]:
        """Return the 95 % interval, (2,), of each of `FIGURES`: low and high; nan where there is one block.

        Spatial blocks are drawn with replacement, with all of their points. A detection that is in a pair belongs to
        the block of its truth. Above 4096 blocks, four become one.
        """
        matches, ranking = self._matches(score), self._ranking()
        of_true, of_found = self._blocks()
        blocks = int(max(of_true.max(initial=-1), of_found.max(initial=-1))) + 1
        if blocks < 2:
            return {name: np.full(2, np.nan) for name in FIGURES}
        at = of_true[matches.true]
        total = partial(np.bincount, minlength=blocks)
        pairs, missed, wrong = total(at), total(of_true[matches.missed]), total(of_found[matches.invented])
        sums = np.stack([pairs + missed, pairs, wrong, total(at, matches.distance**2)], 1)
        drawn: dict[str, list[Floats]] = {name: [] for name in FIGURES}
        for weights in draws(blocks, count=count, seed=seed):
            for name, values in _ratios((weights @ sums).astype(np.float64)).items():
                drawn[name].append(values)
            drawn["ap"].append(ranking.precisions(weights, of_true, of_found))
        return {name: interval(np.concatenate(values)) for name, values in drawn.items()}

    def verdicts(self, raster: int, score: float = 0.0) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Return the `Verdict` of each point of the truth, (T,), and of each detection, (D,), of an image.

        They are FOUND, MISSED or INVENTED, IGNORED at the edge, and BELOW for detections under the score.
        """
        near, scores = self.images[raster]
        pairs = _assigned(near, scores >= score)
        of_true = np.where(near.true_edge, Verdict.IGNORED, Verdict.MISSED).astype(np.int8)
        of_found = np.where(near.found_edge, Verdict.IGNORED, Verdict.INVENTED).astype(np.int8)
        of_true[near.true_index[pairs]] = of_found[near.found_index[pairs]] = Verdict.FOUND
        of_found[scores < score] = Verdict.BELOW
        return of_true, of_found

    def _each(self) -> Iterator[tuple[int, Nearby, Floats, int, int]]:
        """Yield number, points, scores, and the numbers of points and detections before, of each image in order."""
        trues = founds = 0
        for number in sorted(self.images):
            near, scores = self.images[number]
            yield number, near, scores, trues, founds
            trues, founds = trues + len(near.true_place), founds + len(scores)

    def _matches(self, score: float) -> _Matches:
        """Return the assignment of the detections of at least a score."""
        if self._last is None or self._last[0] != score:
            self._last = score, self._assign(score)
        return self._last[1]

    def _assign(self, score: float) -> _Matches:
        """Return the assignment of the detections of at least a score, made anew."""
        distances = [np.zeros(0)]
        columns: list[list[Ints]] = [[np.zeros(0, np.int64)] for _ in range(5)]
        for _, near, scores, trues, founds in self._each():
            kept = scores >= score
            pairs = _assigned(near, kept)
            true, found = near.true_index[pairs], near.found_index[pairs]
            missed, invented = ~near.true_edge, kept & ~near.found_edge
            missed[true] = invented[found] = False
            distances.append(near.distance[pairs])
            flags = (missed, trues), (invented, founds), (kept, founds)
            parts = (true + trues, found + founds, *(np.flatnonzero(one) + before for one, before in flags))
            for column, part in zip(columns, parts, strict=True):
                column.append(part)
        true, found, *others = (np.concatenate(one) for one in columns)
        return _Matches(true, found, np.concatenate(distances), *others)

    def _ranking(self) -> _Ranking:
        """Return the detections of all images from the highest score down, and the points that they take."""
        scores, taken = [np.zeros(0)], [np.zeros(0, np.int64)]
        judged: list[Flags] = [np.zeros(0, bool)]
        for _, near, own, trues, _ in self._each():
            turn = np.empty(len(own), np.int64)
            turn[by_score(own)] = np.arange(len(own))
            true, found = near.true_index, near.found_index
            order = np.lexsort((-true, near.distance, turn[found]))
            chosen = order[take_in_turn(true[order], found[order])]
            value = np.where(near.found_edge, ASIDE, WRONG).astype(np.int64)
            value[found[chosen]] = true[chosen] + trues
            counts = ~near.true_edge
            counts[true[chosen]] = True
            scores.append(own)
            taken.append(value)
            judged.append(counts)
        order = by_score(np.concatenate(scores))
        return _Ranking(np.concatenate(taken)[order], order, np.concatenate(judged))

    def _best(self) -> tuple[float, float]:
        """Return the largest F1 that a score gives, and the highest such score.

        The number of pairs at every score, and of points and detections at the edge or not that they leave, come
        from the growth of the largest assignment as detections join.
        """
        rows = [_curve(near, scores) for _, near, scores, _, _ in self._each()]
        score, *gains = np.concatenate([np.zeros((5, 0)), *rows], axis=1)
        inner = sum(int((~near.true_edge).sum()) for near, _ in self.images.values())
        every = sum(len(near.true_place) for near, _ in self.images.values())
        order = by_score(score)
        pairs, of_true, of_found, counted = (np.cumsum(one[order]) for one in gains)
        if not every:
            return float("nan"), float("nan")
        if not len(order):
            return (0.0 if inner else float("nan")), float("nan")
        missed, wrong = inner - of_true, counted - of_found
        f1 = np.divide(
            2 * pairs, 2 * pairs + missed + wrong, out=np.full(len(order), np.nan), where=pairs + missed > 0
        )
        last = np.flatnonzero(np.diff(score[order], append=-1.0))  # all detections of a score count together
        if np.isnan(f1[last]).all():
            return float("nan"), float("nan")
        best = last[np.nanargmax(f1[last])]
        return float(f1[best]), float(score[order][best])

    def _counts(self, matches: _Matches) -> tuple[Floats, float]:
        """Return detections minus truth of each block with points, (blocks,), and the squared spread of the truth."""
        true, found = self._cells(0), self._cells(1)[matches.counted]
        index = np.unique(np.concatenate([true, found]), axis=0, return_inverse=True)[1].reshape(-1)
        blocks = int(index.max(initial=-1)) + 1
        numbers = [np.bincount(part, minlength=blocks) for part in (index[: len(true)], index[len(true) :])]
        mean = len(true) / max(1, blocks)
        return (numbers[1] - numbers[0]).astype(np.float64), float(((numbers[0] - mean) ** 2).sum())

    def _cells(self, side: int) -> Ints:
        """Return image, row and column of the block of each point of the truth (side 0) or detection (1), (N, 3)."""
        cells = [np.zeros((0, 3), np.int64)]
        for number, near, *_ in self._each():
            place = np.floor((near.true_place, near.found_place)[side] / self.block).astype(np.int64)
            cells.append(np.column_stack([np.full(len(place), number), place]))
        return np.concatenate(cells)

    def _blocks(self) -> tuple[Ints, Ints]:
        """Return the number of the block of each point of the truth, (T,), and of each detection, (D,)."""
        true, found = self._cells(0), self._cells(1)
        index = number_blocks(np.concatenate([true, found]))
        return index[: len(true)], index[len(true) :]


@dataclass(frozen=True)
class _Ranking:
    """The D detections of all images, from the highest score down.

    Attributes:
        taken: (D,) number of the truth that each takes; `WRONG` or `ASIDE`.
        index: (D,) number of each detection among those of all images.
        judged: (T,) True for points of the truth that count.
    """

    taken: Ints
    index: Ints
    judged: Flags

    def precision(self) -> float:
        """Return average precision."""
        right, wrong = ((self.taken >= 0).astype(np.float64), (self.taken == WRONG).astype(np.float64))
        return average_precision(right, wrong, float(self.judged.sum()))[0]

    def precisions(self, weights: Ints, of_true: Ints, of_found: Ints) -> Floats:
        """Return AP, (R,), where each block counts as often as its weight of (R, blocks) says."""
        counts = self.taken != ASIDE
        right = self.taken[counts] >= 0
        where = of_found[self.index[counts]]
        where[right] = of_true[self.taken[counts][right]]
        made = np.empty(len(weights))
        for row, weight in enumerate(weights):
            each, total = weight[where], float(weight[of_true[self.judged]].sum())
            made[row] = average_precision(each * right, each * ~right, total)[0]
        return made


def _assigned(near: Nearby, kept: Flags) -> Ints:
    """Return the pairs, (M,), of the assignment of the detections that are kept."""
    pairs = np.flatnonzero(kept[near.found_index])
    true, found = near.true_index[pairs], near.found_index[pairs]
    sizes, first = (len(near.true_place), len(kept)), {"left_first": ~near.true_edge, "right_first": ~near.found_edge}
    return pairs[assign(true, found, near.distance[pairs], sizes, **first)]


def _curve(near: Nearby, scores: Floats) -> Floats:
    """Return scores, growth of three largest assignments, and flags of detections that count, (5, D), by score.

    The assignments are those of all points, of the truth that counts with all detections, and of all truth with the
    detections that count: an assignment that is largest in all three ways exists, and `assign` finds it.
    """
    order, sizes = by_score(scores), (len(near.true_place), len(scores))
    every = growth(near.true_index, near.found_index, order, sizes)
    of_true = of_found = every
    if near.true_edge.any():
        pairs = ~near.true_edge[near.true_index]
        of_true = growth(near.true_index[pairs], near.found_index[pairs], order, sizes)
    if near.found_edge.any():
        pairs = ~near.found_edge[near.found_index]
        of_found = growth(near.true_index[pairs], near.found_index[pairs], order, sizes)
    return np.stack([scores[order], every, of_true, of_found, ~near.found_edge[order]])


def _ratios(sums: Floats) -> dict[str, Floats]:
    """Return precision, recall, F1 and RMSE, (...), of sums (..., 4): truth, pairs, errors, squared distances."""
    true, pairs, wrong, squares = np.moveaxis(sums, -1, 0)

    def ratio(part: Floats, whole: Floats) -> Floats:
        found: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=(whole > 0) & (true > 0))
        return found

    return {
        "precision": ratio(pairs, pairs + wrong),
        "recall": ratio(pairs, true),
        "f1": ratio(2 * pairs, true + pairs + wrong),
        "rmse": np.sqrt(ratio(squares, pairs)),
    }

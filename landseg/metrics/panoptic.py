"""Panoptic quality (Kirillov et al. 2019): PQ, SQ and RQ of the segments of images, by the rules of panopticapi."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landseg.metrics.bootstrap import draws, interval, number_blocks
from landseg.metrics.matching import Verdict, verdicts
from landseg.metrics.overlaps import Flags, Floats, Ints, Overlaps

GROUPS = ("all", "things", "stuff")
"""The groups of classes over which means are taken."""
ESTIMATED = ("pq", "sq", "rq")
"""The figures of a group or a class that have intervals."""

# Columns of a table by class: the sum of the IoUs of matches, matches, wrong segments, missed ones; the same four by
# boundary; numbers by verdict; and sizes of the truth, of what is found, and of the truth that is matched.
IOU, TP, FP, FN, BOUNDARY, VERDICTS, TRUE, FOUND, MATCHED = 0, 1, 2, 3, 4, 8, 13, 14, 15
COLUMNS = 16
_KINDS = (Verdict.FOUND, Verdict.MERGED, Verdict.SPLIT, Verdict.MISSED, Verdict.INVENTED)


@dataclass(frozen=True)
class GroupQuality:
    """The means of figures over the classes of a group that have segments; nan if none has any.

    The mean of PQ is not the mean of SQ times the mean of RQ: that product holds within a class alone.

    Attributes:
        pq: panoptic quality.
        sq: segmentation quality, 0 for a class without a match.
        rq: recognition quality.
        boundary_pq: ``pq`` by the lesser of IoU and boundary IoU; nan where no bands were measured.
        classes: the number of classes in the means.
    """

    pq: float
    sq: float
    rq: float
    boundary_pq: float
    classes: int


@dataclass(frozen=True)
class ClassQuality:
    """The figures of one class. Without a segment that counts on either side all ratios are nan.

    Attributes:
        pq: sum of the IoUs of matches / (matches + half of the wrong and of the missed segments).
        sq: mean IoU of matches; 0 without any.
        rq: matches / (matches + half of the wrong and of the missed segments), the F1 of segments.
        boundary_pq: ``pq`` by the lesser of IoU and boundary IoU; nan where no bands were measured.
        precision: matches / segments of the prediction that count; nan without such segments.
        recall: matches / segments of the truth; nan without such segments.
        tp: number of matches, of IoU above 0.5.
        fp: number of segments of the prediction that match nothing; those that lie by more than half on void, or on
            a crowd of their class, are none.
        fn: number of segments of the truth that are not matched; a crowd is none.
        merged: number of segments of the truth with `Verdict.MERGED`.
        split: number with `Verdict.SPLIT`.
        missed: number with `Verdict.MISSED`.
        invented: number of segments of the prediction with `Verdict.INVENTED`.
        true_size: total size of the truth, in the unit of `Objects.size`.
        found_size: likewise of the segments of the prediction that count.
        matched_share: share of the truth's size that is that of matched segments; nan without truth.
    """

    pq: float
    sq: float
    rq: float
    boundary_pq: float
    precision: float
    recall: float
    tp: int
    fp: int
    fn: int
    merged: int
    split: int
    missed: int
    invented: int
    true_size: float
    found_size: float
    matched_share: float


@dataclass(frozen=True)
class PanopticFigures:
    """The figures of panoptic maps.

    Attributes:
        groups: the means by the names of `GROUPS`.
        classes: the figures of each class, by index.
    """

    groups: Mapping[str, GroupQuality]
    classes: tuple[ClassQuality, ...]


@dataclass(frozen=True)
class _Image:
    """The counts of one image: tables (n, `COLUMNS`) of n classes, and of things each segment's block and counts."""

    index: Ints
    table: Floats
    cells: Ints
    kinds: Ints
    parts: Floats


class Panoptic:
    """Segments of panoptic maps, over several images; the order in which they come changes nothing.

    A segment of the prediction matches one of the truth of the same class if their IoU is above 0.5, where the union
    leaves out what the prediction has on void. Memory is 136 bytes for each class in an image, and with spatial
    blocks 56 for each segment of a thing.

    Args:
        things: (K,) True for a class of things.
        block: edge of a spatial block of the bootstrap, in the unit of `Objects.place`; None: an image is a block.
    """

    def __init__(self, things: Sequence[bool], *, block: float | None = None) -> None:
        if block is not None and not block > 0:
            raise ValueError(f"expected a block above 0, got {block}")
        self.things = np.array(things, bool).reshape(-1)
        self.block = block
        self.images: dict[int, _Image] = {}
        self._boundary = True

    def update(
        self, overlaps: Overlaps, true_class: ArrayLike, found_class: ArrayLike, *, raster: int = 0
    ) -> NDArray[np.bool_]:
        """Add the segments of an image, and return which of its P pairs are matches.

        Pixels of a segment of the prediction that no segment of the truth shares are void. A segment of the truth
        that is ignored is a crowd; of several of one class the last one counts, as in panopticapi. A segment of the
        prediction that is ignored counts only if it matches.

        Args:
            overlaps: the T segments of the truth and the D of the prediction, of any class each.
            true_class: (T,) index of the class of each segment of the truth.
            found_class: (D,) likewise of the prediction.
            raster: number of the image.

        Raises:
            ValueError: the image was added before, or classes are of another number or outside 0 to K - 1.
        """
        kinds = np.asarray(true_class, np.int64).reshape(-1), np.asarray(found_class, np.int64).reshape(-1)
        if (len(kinds[0]), len(kinds[1])) != (len(overlaps.true), len(overlaps.found)):
            raise ValueError(f"expected classes of {len(overlaps.true)} and {len(overlaps.found)} segments")
        if any(one.size and not 0 <= one.min() <= one.max() < len(self.things) for one in kinds):
            raise ValueError(f"expected classes from 0 to {len(self.things) - 1}")
        if raster in self.images:
            raise ValueError(f"image {raster} was added before")
        dropped = _dropped(overlaps, *kinds, len(self.things))
        iou = iou_without_void(overlaps)
        matched = _matches(overlaps, *kinds, iou)
        by_class = np.zeros((len(self.things), COLUMNS))
        where, of, parts = _events(overlaps, kinds, matched, dropped, iou)
        np.add.at(by_class[:, : FN + 1], of, parts)
        if overlaps.shared_rim is None:
            self._boundary = False
        else:
            lesser = np.minimum(iou, overlaps.rim_iou())
            both = _matches(overlaps, *kinds, lesser)
            _, kind, part = _events(overlaps, kinds, both, dropped, lesser)
            np.add.at(by_class[:, BOUNDARY : BOUNDARY + 4], kind, part)
        _add_verdicts(by_class, overlaps, kinds, matched, dropped)
        _add_sizes(by_class, overlaps, kinds, matched, dropped)
        there = np.flatnonzero(by_class.any(1))
        own = self.things[of] if self.block is not None else np.zeros(len(of), bool)
        cells = np.floor(where[own] / (self.block or 1)).astype(np.int64)
        self.images[raster] = _Image(there, by_class[there], cells, of[own], parts[own])
        return matched

    def merge(self, other: Panoptic) -> None:
        """Add the images of another.

        Raises:
            ValueError: the other has other classes or blocks, or an image that this one has.
        """
        if self.block != other.block or not np.array_equal(self.things, other.things):
            raise ValueError("merged panoptic figures need the same classes and blocks")
        if twice := sorted(self.images.keys() & other.images.keys()):
            raise ValueError(f"image {twice[0]} was added before")
        self.images.update(other.images)
        self._boundary &= other._boundary

    def compute(self) -> PanopticFigures:
        """Return the figures of all images."""
        table = np.zeros((len(self.things), COLUMNS))
        for raster in sorted(self.images):
            one = self.images[raster]
            table[one.index] += one.table
        whole, outlines = _ratios(table[:, : FN + 1]), _ratios(table[:, BOUNDARY : BOUNDARY + 4])["pq"]
        if not self._boundary or not self.images:
            outlines = np.full(len(table), np.nan)
        classes = tuple(
            _class({name: float(values[k]) for name, values in whole.items()}, float(outlines[k]), row)
            for k, row in enumerate(table)
        )
        groups = {}
        for name, chosen in self._groups().items():
            means = {figure: float(_mean(values, chosen)) for figure, values in whole.items()}
            some = int(np.isfinite(whole["pq"][chosen]).sum())
            groups[name] = GroupQuality(**means, boundary_pq=float(_mean(outlines, chosen)), classes=some)
        return PanopticFigures(groups, classes)

    def intervals(
        self, *, count: int = 1000, seed: int = 0
    ) -> tuple[dict[str, dict[str, Floats]], dict[str, Floats]]:
        """Return the 95 % intervals of `ESTIMATED`: of the groups, (2,) by figure and group; of classes, (2, K).

        Blocks are drawn with replacement, with all of their segments: images, or spatial blocks, to which a thing
        belongs by its centroid, and a match by that of its truth. A class of stuff is one segment of a raster however
        large it is, and no sample: with spatial blocks it has no interval, and neither has the group "all". All are
        nan where there is one block.
        """
        sums = self._block_sums()
        groups, classes = self._groups(), len(self.things)
        empty = {name: dict.fromkeys(groups, np.full(2, np.nan)) for name in ESTIMATED}
        if len(sums) < 2 or not count:
            return empty, {name: np.full((2, classes), np.nan) for name in ESTIMATED}
        drawn: dict[str, list[Floats]] = {name: [] for name in ESTIMATED}
        flat = sums.reshape(len(sums), -1)
        for weights in draws(len(sums), count=count, seed=seed, columns=flat.shape[1]):
            for name, values in _ratios((weights @ flat).reshape(-1, classes, 4)).items():
                drawn[name].append(values)
        every = {name: np.concatenate(values) for name, values in drawn.items()}
        if self.block is not None:
            groups = {"things": groups["things"]}
        found = {
            name: empty[name] | {group: interval(_mean(values, of)) for group, of in groups.items()}
            for name, values in every.items()
        }
        return found, {name: interval(values) for name, values in every.items()}

    def _groups(self) -> dict[str, Flags]:
        return dict(zip(GROUPS, (np.ones(len(self.things), bool), self.things, ~self.things), strict=True))

    def _block_sums(self) -> Floats:
        """Return the counts of each block, (blocks, K, 4); with spatial blocks those of things alone."""
        numbers = sorted(self.images)
        if self.block is None:
            sums = np.zeros((len(numbers), len(self.things), 4))
            for row, raster in enumerate(numbers):
                sums[row, self.images[raster].index] = self.images[raster].table[:, : FN + 1]
            return sums[sums.any((1, 2))]
        images = [self.images[raster] for raster in numbers]
        places = [np.insert(self.images[raster].cells, 0, raster, axis=1) for raster in numbers]
        cells = np.concatenate([np.zeros((0, 3), np.int64), *places])
        block = number_blocks(cells) if len(cells) else np.zeros(0, np.int64)
        sums = np.zeros((int(block.max(initial=-1)) + 1, len(self.things), 4))
        if len(cells):
            kinds, parts = (np.concatenate([getattr(one, name) for one in images]) for name in ("kinds", "parts"))
            np.add.at(sums, (block, kinds), parts)
        return sums


def iou_without_void(overlaps: Overlaps) -> Floats:
    """Return the IoU (P,) of each pair, with a union that leaves out what the prediction has on void.

    >>> from landseg.metrics.overlaps import objects
    >>> one = Overlaps(objects([6]), objects([8]), np.array([0]), np.array([0]), np.array([6.0]))
    >>> iou_without_void(one).tolist()  # of the 8 pixels 2 are void
    [1.0]
    """
    true, found = overlaps.true.area[overlaps.true_index], overlaps.found.area[overlaps.found_index]
    ratio: Floats = overlaps.shared / (found + true - overlaps.shared - _void(overlaps)[overlaps.found_index])
    return ratio


def _void(overlaps: Overlaps) -> Floats:
    """Return the area (D,) of each segment of the prediction where the truth is void."""
    count = len(overlaps.found)
    known = np.bincount(overlaps.found_index, overlaps.shared, minlength=count)[:count]
    void: Floats = overlaps.found.area - known
    return void


def _matches(overlaps: Overlaps, true_class: Ints, found_class: Ints, iou: Floats) -> Flags:
    """Return which pairs (P,) are matches."""
    same: Flags = true_class[overlaps.true_index] == found_class[overlaps.found_index]
    return same & ~overlaps.true.ignored[overlaps.true_index] & (iou > 0.5)


def _dropped(overlaps: Overlaps, true_class: Ints, found_class: Ints, classes: int) -> Flags:
    """Return which segments (D,) are ignored, or lie by more than half on void and on the crowd of their class."""
    crowd = np.full(classes, -1)
    crowds = np.flatnonzero(overlaps.true.ignored)
    np.maximum.at(crowd, true_class[crowds], crowds)  # the last one of a class is kept
    on = overlaps.true_index == crowd[found_class[overlaps.found_index]]
    out = _void(overlaps)
    np.add.at(out, overlaps.found_index[on], overlaps.shared[on])
    dropped: Flags = 2 * out > overlaps.found.area
    return dropped | overlaps.found.ignored


def _events(
    overlaps: Overlaps, kinds: tuple[Ints, Ints], matched: Flags, dropped: Flags, iou: Floats
) -> tuple[Floats, Ints, Floats]:
    """Return place (N, 2), class (N,) and counts (N, 4) of each match, wrong segment and missed one."""
    true, found = overlaps.true_index[matched], overlaps.found_index[matched]
    wrong, missed = ~dropped, ~overlaps.true.ignored
    wrong[found], missed[true] = False, False
    places = np.concatenate([overlaps.true.place[true], overlaps.found.place[wrong], overlaps.true.place[missed]])
    counts = np.zeros((len(places), 4))
    ends = np.cumsum([len(true), wrong.sum()])
    counts[: ends[0], IOU] = iou[matched]
    for part, column in zip(np.split(counts, ends), (TP, FP, FN), strict=True):
        part[:, column] = 1
    return places, np.concatenate([kinds[0][true], kinds[1][wrong], kinds[0][missed]]), counts


def _add_verdicts(
    by_class: Floats, overlaps: Overlaps, kinds: tuple[Ints, Ints], matched: Flags, dropped: Flags
) -> None:
    """Add to a table (K, `COLUMNS`) the numbers of segments by verdict, each class by itself."""
    same = kinds[0][overlaps.true_index] == kinds[1][overlaps.found_index]
    alike = Overlaps(
        overlaps.true,
        replace(overlaps.found, ignored=dropped),
        overlaps.true_index[same],
        overlaps.found_index[same],
        overlaps.shared[same],
    )
    hits = np.flatnonzero(matched[same])
    taken = np.full(len(overlaps.found), -1, np.int64)
    taken[alike.found_index[hits]] = hits
    sides = verdicts(alike, taken, np.ones(len(taken), bool))
    for kind in _KINDS:
        side = int(kind is Verdict.INVENTED)
        np.add.at(by_class[:, VERDICTS + kind], kinds[side][sides[side] == kind], 1)


def _add_sizes(
    by_class: Floats, overlaps: Overlaps, kinds: tuple[Ints, Ints], matched: Flags, dropped: Flags
) -> None:
    """Add to a table (K, `COLUMNS`) the sizes of segments that count, and of the truth that is matched."""
    true, counts = overlaps.true_index[matched], ~overlaps.true.ignored
    kept = ~dropped
    kept[overlaps.found_index[matched]] = True
    np.add.at(by_class[:, TRUE], kinds[0][counts], overlaps.true.size[counts])
    np.add.at(by_class[:, FOUND], kinds[1][kept], overlaps.found.size[kept])
    np.add.at(by_class[:, MATCHED], kinds[0][true], overlaps.true.size[true])


def _ratios(sums: Floats) -> dict[str, Floats]:
    """Return PQ, SQ and RQ (...) of sums (..., 4) of IoUs, matches, wrong and missed segments; nan without any."""
    iou, right, wrong, missed = np.moveaxis(sums, -1, 0)
    both = right + (wrong + missed) / 2

    def ratio(part: Floats, whole: Floats, otherwise: float) -> Floats:
        found: Floats = np.divide(part, whole, out=np.full(np.shape(whole), otherwise), where=whole > 0)
        return found

    sq = np.where(both > 0, ratio(iou, right, 0.0), np.nan)
    return {"pq": ratio(iou, both, np.nan), "sq": sq, "rq": ratio(right, both, np.nan)}


def _mean(values: Floats, chosen: Flags) -> Floats:
    """Return the mean over the chosen classes with a figure, (...) of (..., K); nan without any."""
    some = values[..., chosen]
    there = np.isfinite(some)
    count = there.sum(-1)
    total = np.where(there, some, 0).sum(-1)
    mean: Floats = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return mean


def _class(ratios: Mapping[str, float], boundary: float, row: Floats) -> ClassQuality:
    tp, fp, fn = (int(row[column]) for column in (TP, FP, FN))
    merged, split, missed, invented = (int(row[VERDICTS + kind]) for kind in _KINDS[1:])
    return ClassQuality(
        pq=ratios["pq"],
        sq=ratios["sq"],
        rq=ratios["rq"],
        boundary_pq=boundary,
        precision=tp / (tp + fp) if tp + fp else float("nan"),
        recall=tp / (tp + fn) if tp + fn else float("nan"),
        tp=tp,
        fp=fp,
        fn=fn,
        merged=merged,
        split=split,
        missed=missed,
        invented=invented,
        true_size=float(row[TRUE]),
        found_size=float(row[FOUND]),
        matched_share=float(row[MATCHED] / row[TRUE]) if row[TRUE] else float("nan"),
    )

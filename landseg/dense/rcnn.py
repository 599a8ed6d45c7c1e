"""Mask R-CNN on rows: the objects of a raster, the same however the rows are cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landseg.dense.boxes import FARTHEST, SUB, Boxes, join_boxes, move_boxes, no_boxes, share_of
from landseg.dense.mask_claims import Claims
from landseg.dense.mask_merge import MaskMerge
from landseg.dense.online_nms import OnlineSuppression
from landseg.dense.pyramid import FeatureRows, Level, Pyramid, level_of

BOX_BINS, MASK_BINS = 7, 14
WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""Factors of the second stage's differences, as in Fast R-CNN."""
MOST_UNITS = 28  # longest side of a box in units of its level, but of the last: 112 pixels at stride 4
_BITS, _OF_ANCHOR, _OF_KIND = 24, 12, 8  # of a row or column of units; of anchor and class; of the class
_FAR = 1 << 62

BoxHead = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""A function from crops (n, C, 7, 7) to logits (n, K + 1), background first, and differences (n, 4 (K + 1))."""
MaskHead = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A function from crops (n, C, 14, 14) to logits of masks (n, K + 1, m, m)."""


@dataclass(frozen=True)
class SecondStage:
    """The two networks that read crops of features."""

    boxes: BoxHead
    masks: MaskHead


@dataclass(frozen=True)
class DetectionOptions:
    """The thresholds of a detector.

    Attributes:
        objectness: a unit proposes a box where the logit is at least this.
        proposal_overlap: of two proposals that overlap more, the worse is dropped; a share of their union.
        overlap: likewise of two objects of a class.
        score: objects with a lower probability are dropped before the worse of two is.
        largest: pixels; boxes that reach further from their anchor are none.
        taken: an object is dropped if better ones have a larger share of its mask; the rest of its mask is its. None:
            a pixel belongs to the best object whose mask has it, and none is dropped.

    Raises:
        ValueError: an option is out of range.
    """

    objectness: float = 0.0
    proposal_overlap: float = 0.7
    overlap: float = 0.5
    score: float = 0.05
    largest: int = 256
    taken: float | None = None

    def __post_init__(self) -> None:
        share_of(self.proposal_overlap), share_of(self.overlap), share_of(self.taken or 0)
        if not 0 < self.score < 1:
            raise ValueError(f"expected a score between 0 and 1, not {self.score}")
        if not 0 < self.largest <= FARTHEST // 2:
            raise ValueError(f"expected a largest reach of 1 to {FARTHEST // 2} pixels, not {self.largest}")


@dataclass(frozen=True)
class Detections:
    """The objects of a raster, in reading order of their anchors.

    Attributes:
        table: the id of each label ``(labels + 1,)`` uint32; 0 for none. ``table[labels]`` are the ids of pixels.
        box: left, top, right, bottom ``(n, 4)``, in sixteenths of a pixel.
        score: the probability of the class ``(n,)`` float32.
        kind: the class of things ``(n,)``, from 0.
        label: ``(n,)``, in the order in which the objects were found.
    """

    table: NDArray[np.uint32]
    box: NDArray[np.int64]
    score: NDArray[np.float32]
    kind: NDArray[np.int64]
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.box)


class Detector:
    """Find the objects of a raster whose packed maps come in strips of rows.

    `add` takes rows of the pyramid and returns the labels of the rows of pixels that are finished; `end` returns
    the rest, and `detections` the objects with the table from labels to ids. Which labels there are depends on the
    strips; the objects and their ids do not.

    Kept are the rows of features that a box may still read, proposals and objects that are not decided, and the rows
    of pixels that a mask may still claim.

    Args:
        pyramid: the levels.
        shape: height and width of the raster, in pixels.
        heads: the networks of the second stage.
        options: the thresholds.

    Raises:
        ValueError: the largest reach is less than two units of the coarsest level.
    """

    def __init__(
        self, pyramid: Pyramid, shape: tuple[int, int], heads: SecondStage, options: DetectionOptions | None = None
    ) -> None:
        self._pyramid, self._shape, self._heads = pyramid, shape, heads
        self._options = options = options or DetectionOptions()
        if options.largest < 2 * pyramid.coarsest:
            raise ValueError(
                f"expected a largest reach of {2 * pyramid.coarsest} pixels or more, not {options.largest}"
            )
        self._largest = options.largest * SUB
        self._rows = [FeatureRows(level, shape) for level in pyramid.levels]
        self._proposals = OnlineSuppression(share_of(options.proposal_overlap), largest=self._largest)
        self._objects = OnlineSuppression(share_of(options.overlap), largest=self._largest)
        self._claims, self._packed = Claims(shape), 0
        self._merge = None
        if options.taken is not None:
            self._merge = MaskMerge(self._claims, share_of(options.taken), largest=self._largest)
        self._found: list[Boxes] = []
        self._kinds = np.zeros(1, np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of the features, the masks and the rows of pixels kept."""
        masks = 0 if self._merge is None else self._merge.nbytes
        return sum(rows.nbytes for rows in self._rows) + self._claims.nbytes + masks

    @property
    def waiting(self) -> int:
        """The number of proposals and objects that are not decided."""
        merging = 0 if self._merge is None else len(self._merge.waiting)
        return len(self._proposals.waiting) + len(self._objects.waiting) + merging

    @property
    def kinds(self) -> NDArray[np.int64]:
        """The class of things of each label so far (labels + 1,), from 0; that of label 0 means nothing."""
        return self._kinds

    def add(self, packed: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> NDArray[np.uint32]:
        """Take the next rows (C, h, w) of the packed maps and return the labels (n, width) of finished rows.

        Args:
            packed: the maps.
            valid: the pixels with data (rows, width) of these rows; a unit whose own pixel has none proposes nothing.
                None: all have.
        """
        maps = self._pyramid.unpack(packed, self._shape[1])
        parts = [self._propose(number, rows, valid) for number, rows in enumerate(maps)]
        for kept, rows in zip(self._rows, maps, strict=True):
            kept.add(rows[..., : self._pyramid.features])
        self._packed += packed.shape[1]
        return self._advance(join_boxes(parts), self._packed * self._pyramid.coarsest * SUB + SUB // 2)

    def end(self) -> NDArray[np.uint32]:
        """Return the labels of all rows that were not finished; no row comes any more."""
        return self._advance(no_boxes(), _FAR)

    def detections(self) -> Detections:
        """Return the objects, also those of which better ones claim every pixel; ids count from 1."""
        boxes = join_boxes(self._found)
        column = boxes.place >> _OF_ANCHOR & (1 << _BITS) - 1
        level = boxes.place >> _OF_ANCHOR + 2 * _BITS
        stride = np.array([one.stride for one in self._pyramid.levels])[level]
        order = np.lexsort((boxes.place, level, column * stride, boxes.anchor))
        table = np.zeros(len(boxes) + 1, np.uint32)
        table[1 + order] = np.arange(1, len(boxes) + 1)
        score = _sigmoid(boxes.score[order])
        return Detections(table, boxes.box[order], score, boxes.kind[order], 1 + order)

    def _advance(self, proposals: Boxes, frontier: int) -> NDArray[np.uint32]:
        """Decide what can be decided where all anchors above the frontier have come."""
        kept = self._proposals.add(proposals, frontier)
        anchors = _first(frontier, self._proposals.waiting.anchor)
        found = self._objects.add(self._score(kept), anchors)
        masks = self._masks(found)
        above = _first(anchors - self._largest, self._objects.waiting.box[:, 1])
        for rows in self._rows:
            rows.forget(above)
        if self._merge is None:
            self._claims.add(found, masks, len(self._kinds))
        else:
            found = self._merge.merge(found, masks, _first(anchors, self._objects.waiting.anchor))
            above = _first(above, self._merge.waiting.box[:, 1])
        self._found.append(found)
        self._kinds = np.concatenate([self._kinds, found.kind])
        return self._claims.finish(min(max(above // SUB, 0), self._shape[0]))

    def _propose(self, number: int, maps: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> Boxes:
        """Return the proposals of the next rows (h, w, C) of a level."""
        level, features = self._pyramid.levels[number], self._pyramid.features
        count = len(level.anchors)
        top = self._packed * (self._pyramid.coarsest // level.stride)
        maps = maps[: max(0, level.units(self._shape[0]) - top)]
        proposing = maps[..., features : features + count] >= self._options.objectness
        if valid is not None and len(maps):
            proposing &= _at_units(valid, level, maps.shape[:2])[..., None]
        row, column, anchor = np.nonzero(proposing)
        values = maps[row, column]
        one = np.arange(len(row))
        deltas = values[:, features + count :].reshape(-1, count, 4)[one, anchor]
        row = row + top
        centre = np.stack([column, row], axis=1) * level.step + level.first
        place = ((number << _BITS | row) << _BITS | column) << _OF_ANCHOR | anchor << _OF_KIND
        size = np.array(level.anchors, np.int64).reshape(-1, 2)[anchor]
        box = move_boxes(centre, size, deltas.astype(np.float32))
        score = values[one, features + anchor].astype(np.float32)
        return self._allowed(Boxes(box, score, place, centre[:, 1], np.zeros_like(place)))

    def _allowed(self, boxes: Boxes) -> Boxes:
        """Return the boxes inside the raster that are not less than a pixel and do not reach too far."""
        height, width = self._shape
        box = np.clip(boxes.box, 0, np.array([width, height, width, height]) * SUB)
        boxes = Boxes(box, boxes.score, boxes.place, boxes.anchor, boxes.kind)
        level = boxes.place >> _OF_ANCHOR + 2 * _BITS
        column = boxes.place >> _OF_ANCHOR & (1 << _BITS) - 1
        step, first = (
            np.array([getattr(one, name) for one in self._pyramid.levels])[level] for name in ("step", "first")
        )
        x = column * step + first
        reach = np.maximum(np.maximum(x - box[:, 0], box[:, 2] - x), boxes.reach())
        sides = box[:, 2:] - box[:, :2]
        return boxes.chosen((reach <= self._largest) & (sides.min(axis=1, initial=_FAR) >= SUB))

    def _score(self, kept: Boxes) -> Boxes:
        """Return the objects that the second stage makes of proposals; their score is the logarithm of the odds."""
        if not len(kept):
            return no_boxes()
        logits, deltas = self._heads.boxes(self._crops(kept.box, BOX_BINS))
        odds, things = _log_odds(logits), logits.shape[1] - 1
        index, kind = np.nonzero(odds[:, 1:] >= np.log(self._options.score / (1 - self._options.score)))
        moves = deltas.reshape(len(kept), things + 1, 4)[index, kind + 1] / np.array(WEIGHTS)
        box = kept.box[index]
        size = box[:, 2:] - box[:, :2]
        moved = move_boxes(box[:, :2] + size // 2, size, moves.astype(np.float32))
        place = kept.place[index] | kind
        return self._allowed(Boxes(moved, odds[index, kind + 1], place, kept.anchor[index], kind))

    def _masks(self, found: Boxes) -> NDArray[np.float32]:
        """Return the probabilities (n, m, m) of the masks of objects."""
        if not len(found):
            return np.zeros((0, 1, 1), np.float32)
        logits = self._heads.masks(self._crops(found.box, MASK_BINS))[np.arange(len(found)), found.kind + 1]
        return _sigmoid(logits)

    def _crops(self, box: NDArray[np.int64], bins: int) -> NDArray[np.float32]:
        """Return the features (n, C, bins, bins) of boxes, each from the level that suits its longer side."""
        level = level_of(box, self._pyramid.levels, MOST_UNITS)
        found = np.zeros((len(box), self._pyramid.features, bins, bins), np.float32)
        for number, rows in enumerate(self._rows):
            found[level == number] = rows.crop(box[level == number], bins)
        return found


def _first(row: int, others: NDArray[np.int64]) -> int:
    """Return the first of a row and others (n,)."""
    return min(row, int(others.min(initial=row)))


def _at_units(valid: NDArray[np.bool_], level: Level, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the value (h, w) of the pixel at the centre of each unit of a level, from those of pixels."""
    row, column = (
        np.minimum((np.arange(units) * level.step + level.first) // SUB, pixels - 1)
        for units, pixels in zip(shape, valid.shape, strict=True)
    )
    found: NDArray[np.bool_] = valid[row[:, None], column]
    return found


def _log_odds(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithm of the odds of each class (n, K): exact near a probability of 1, where many scores lie."""
    exact = logits.astype(np.float64)
    top = exact.max(axis=1, keepdims=True)
    weights = np.exp(exact - top)
    others = np.stack([np.delete(weights, i, axis=1).sum(axis=1) for i in range(weights.shape[1])], axis=1)
    found: NDArray[np.float32] = (exact - top - np.log(np.maximum(others, 1e-300))).astype(np.float32)
    return found


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities; no logit is too large for this form."""
    found: NDArray[np.float32] = (0.5 + 0.5 * np.tanh(logits.astype(np.float64) / 2)).astype(np.float32)
    return found

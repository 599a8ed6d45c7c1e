"""The merge of masks (Kirillov et al. 2019): objects, best first, that claim the pixels which better ones leave."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from landseg.dense.boxes import Boxes, find_overlaps
from landseg.dense.mask_claims import Claims
from landseg.dense.online_nms import OnlineDecisions


class MaskMerge(OnlineDecisions):
    """The merge of objects whose anchors come from above: it is that of all objects at once.

    That of all is defined by their order: the best object claims the pixels of its mask. Each further one is dropped
    if more than ``share`` of its mask's pixels are claimed already, and claims the rest otherwise. An object whose
    mask has no pixels is dropped.

    Args:
        claims: the rows of pixels.
        share: of the pixels of a mask.
        largest: the rows by which a box reaches above or below its anchor at most, in sixteenths of a pixel.
    """

    def __init__(self, claims: Claims, share: Fraction, *, largest: int) -> None:
        super().__init__(largest=largest)
        self._claims, self._share = claims, share
        self._masks: dict[int, NDArray[np.float32]] = {}  # by the box's place, of those that are not decided
        self._labels: dict[int, int] = {}  # likewise, of those that were kept just now
        self._count = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the masks kept."""
        return sum(mask.nbytes for mask in self._masks.values())

    def merge(self, boxes: Boxes, masks: NDArray[np.float32], frontier: int) -> Boxes:
        """Take objects, see `add`, and return those that are kept now, in the order of their labels.

        Labels count from 1, over all calls.

        Args:
            boxes: of the objects.
            masks: probabilities ``(n, m, m)``.
            frontier: the anchors of all objects to come lie at this row or below it.
        """
        self._masks.update((int(place), mask.copy()) for place, mask in zip(boxes.place, masks, strict=True))
        kept = self.add(boxes, frontier)
        labels = np.array([self._labels.pop(int(place)) for place in kept.place], np.int64)
        return kept.chosen(np.argsort(labels))

    def _overlaps(self, boxes: Boxes, fresh: int) -> NDArray[np.int64]:
        any_kind = replace(boxes, kind=np.zeros_like(boxes.kind))
        return find_overlaps(any_kind, Fraction(0), fresh)

    def _settle(self, now: NDArray[np.bool_], kept: NDArray[np.bool_], dropped: NDArray[np.bool_]) -> None:
        for index in np.flatnonzero(now):
            box, place = self._boxes.box[index], int(self._boxes.place[index])
            label = self._count + 1
            if self._claims.add_rest(box, self._masks.pop(place), label, share=self._share):
                kept[index], self._labels[place], self._count = True, label, label
            else:
                dropped[index] = True

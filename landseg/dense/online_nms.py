"""Non-maximum suppression of boxes that come row by row: its result is that of all boxes at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from landseg.dense.boxes import Boxes, find_overlaps, join_boxes, no_boxes

_NEVER = 1 << 62


class OnlineDecisions(ABC):
    """Boxes whose anchors come from above, each of which is kept or dropped.

    Whether a box is kept depends on better ones alone that overlap it. It is decided here as soon as every box that
    could overlap it has come, and each better one that does overlap it is decided. So the same boxes are kept as of
    the whole list in its order, however the rows are cut.

    In memory are the boxes that are not decided, and the pairs of them that overlap.

    Args:
        largest: the rows by which a box reaches above or below its anchor at most, in sixteenths of a pixel.
    """

    def __init__(self, *, largest: int) -> None:
        self._largest = largest
        self._boxes = no_boxes()
        self._pairs = np.zeros((0, 2), np.int64)  # a better and a worse box, neither of them decided
        self._frontier = -_NEVER

    @property
    def waiting(self) -> Boxes:
        """The boxes that are not decided."""
        return self._boxes

    def add(self, boxes: Boxes, frontier: int) -> Boxes:
        """Take boxes and return those that are kept now, best first.

        Args:
            boxes: the next boxes; their anchors lie at the last frontier or below it.
            frontier: a row in sixteenths of a pixel; the anchors of all boxes to come lie at it or below it.

        Raises:
            ValueError: a box reaches further than the largest, or lies above the last frontier.
        """
        if len(boxes) and (boxes.reach().max() > self._largest or boxes.anchor.min() < self._frontier):
            raise ValueError("a box reaches further from its anchor than the largest, or comes too late")
        old = len(self._boxes)
        self._frontier = max(frontier, self._frontier)
        self._boxes = join_boxes([self._boxes, boxes])
        self._pairs = np.concatenate([self._pairs, self._overlaps(self._boxes, old)])
        return self._decide(self._boxes.box[:, 3] + self._largest <= self._frontier)

    def end(self) -> Boxes:
        """Return the boxes that are kept now, best first; no box comes any more."""
        return self.add(no_boxes(), _NEVER)

    def _decide(self, complete: NDArray[np.bool_]) -> Boxes:
        """Keep and drop boxes until nothing follows; ``complete``: every box that could overlap it has come."""
        count = len(self._boxes)
        kept, dropped = np.zeros(count, bool), np.zeros(count, bool)
        while True:
            better, worse = self._pairs.T
            blocked = kept | dropped
            blocked[worse] = True
            now = complete & ~blocked
            if not now.any():
                break
            self._settle(now, kept, dropped)
            decided = kept | dropped
            self._pairs = self._pairs[~(decided[better] | decided[worse])]
        found = self._boxes.chosen(kept)
        stays = ~(kept | dropped)
        self._boxes = self._boxes.chosen(stays)
        self._pairs = (np.cumsum(stays) - 1)[self._pairs]
        return found.chosen(found.order())

    @abstractmethod
    def _overlaps(self, boxes: Boxes, fresh: int) -> NDArray[np.int64]:
        """Return the pairs of boxes that overlap, the better one first (n, 2), with a box from index ``fresh`` on."""

    @abstractmethod
    def _settle(self, now: NDArray[np.bool_], kept: NDArray[np.bool_], dropped: NDArray[np.bool_]) -> None:
        """Keep or drop the boxes ``now`` (n,), no two of which overlap, and drop others that follow from it."""


class OnlineSuppression(OnlineDecisions):
    """Greedy non-maximum suppression of boxes whose anchors come from above.

    The result of all boxes at once is defined by their order: the best box is kept, every box that overlaps it more
    than ``share`` is dropped, and so on with the rest. One that a kept box overlaps is dropped at once here.

    Args:
        share: of the union of two boxes; the worse of two that overlap more is dropped.
        largest: the rows by which a box reaches above or below its anchor at most, in sixteenths of a pixel.

    >>> box = np.array([[0, 0, 64, 64], [8, 0, 72, 64]])
    >>> rows = np.array([32, 32])
    >>> boxes = Boxes(box, np.array([1, 2], np.float32), np.arange(2), rows, np.zeros(2, int))
    >>> suppression = OnlineSuppression(Fraction(1, 2), largest=64)
    >>> len(suppression.add(boxes, 100)), suppression.add(no_boxes(), 128).box.tolist()
    (0, [[8, 0, 72, 64]])
    """

    def __init__(self, share: Fraction, *, largest: int) -> None:
        super().__init__(largest=largest)
        self._share = share

    def _overlaps(self, boxes: Boxes, fresh: int) -> NDArray[np.int64]:
        return find_overlaps(boxes, self._share, fresh)

    def _settle(self, now: NDArray[np.bool_], kept: NDArray[np.bool_], dropped: NDArray[np.bool_]) -> None:
        better, worse = self._pairs.T
        kept |= now
        dropped[worse[now[better]]] = True


def suppress(boxes: Boxes, share: Fraction) -> Boxes:
    """Return the boxes that greedy non-maximum suppression keeps, best first."""
    largest = int(boxes.reach().max()) if len(boxes) else 0
    suppression = OnlineSuppression(share, largest=largest)
    return suppression.add(boxes, _NEVER)

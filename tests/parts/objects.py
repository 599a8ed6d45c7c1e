"""Objects drawn at random as masks, what they share, and the rules of COCO's matching as loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landseg.metrics.overlaps import Overlaps, objects


@dataclass
class Scene:
    """Masks (T, H, W) and (D, H, W) of one image, flags of crowds (T,) and scores (D,)."""

    true: np.ndarray
    found: np.ndarray
    crowd: np.ndarray
    scores: np.ndarray

    def overlaps(self, *, listed_later: bool = False) -> Overlaps:
        """Return all pairs that share a pixel, by the detection, or in another order."""
        flat = [one.reshape(len(one), self.true.shape[1] * self.true.shape[2]) for one in (self.true, self.found)]
        shared = (flat[0].astype(np.float32) @ flat[1].astype(np.float32).T).astype(float)
        if listed_later:
            true, found = np.nonzero(shared)
        else:
            found, true = np.nonzero(shared.T)
        sides = [
            objects(one.sum((1, 2)), ignored=ignored, place=np.array([_centre(mask) for mask in one]).reshape(-1, 2))
            for one, ignored in ((self.true, self.crowd), (self.found, None))
        ]
        return Overlaps(sides[0], sides[1], true, found, shared[true, found])

    def iou(self) -> np.ndarray:
        """Return the IoU (T, D) of each pair, of a crowd the share of the detection, from the masks."""
        ratio = np.zeros((len(self.true), len(self.found)))
        for i, one in enumerate(self.true):
            for j, other in enumerate(self.found):
                whole = other.sum() if self.crowd[i] else (one | other).sum()
                ratio[i, j] = (one & other).sum() / whole
        return ratio


def _centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(0)


def random_scene(seed: int, size: int = 48, most: int = 9) -> Scene:
    """Return boxes that overlap; detections are moved boxes of the truth, and others; many scores are equal."""
    rng = np.random.default_rng(seed)

    def box(top: int, left: int, height: int, width: int) -> np.ndarray:
        mask = np.zeros((size, size), bool)
        mask[max(0, top) : max(0, top) + height, max(0, left) : max(0, left) + width] = True
        return mask

    boxes = [(*rng.integers(0, size - 4, 2), *rng.integers(2, size // 2, 2)) for _ in range(rng.integers(0, most))]
    found = [tuple(np.maximum(rng.integers(-2, 3, 4) + one, (0, 0, 1, 1))) for one in boxes for _ in range(2)]
    found = [one for one in found if rng.random() < 0.7]
    found += [(*rng.integers(0, size - 4, 2), *rng.integers(1, size // 3, 2)) for _ in range(rng.integers(0, most))]
    boxes += [boxes[k] for k in rng.integers(0, len(boxes), 2)] if boxes else []  # equal IoUs
    empty = np.zeros((0, size, size), bool)
    return Scene(
        np.array([box(*one) for one in boxes]) if boxes else empty,
        np.array([box(*one) for one in found]) if found else empty,
        rng.random(len(boxes)) < 0.2,
        rng.integers(1, 8, len(found)) / 8,
    )


def matched_by_loops(
    iou: np.ndarray, order: np.ndarray, aside: np.ndarray, crowd: np.ndarray, floor: float
) -> np.ndarray:
    """Return the truth that each detection takes, (D,), or -1: the loops of the rule, over a matrix (T, D)."""
    taken = np.full(iou.shape[1], -1)
    for d in order:
        best = None
        for t in range(len(iou)):
            free = crowd[t] or t not in taken
            # Judged before set aside, then by IoU, then the later one.
            rank = (not aside[t], iou[t, d], t)
            if free and iou[t, d] >= min(floor, 1 - 1e-10) and (best is None or rank > best):
                best = rank
        if best is not None:
            taken[d] = best[2]
    return taken

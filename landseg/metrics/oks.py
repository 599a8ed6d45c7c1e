"""Object keypoint similarity (OKS) of objects with keypoints, by the formula of pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from landseg.metrics.nearby import candidates
from landseg.metrics.overlaps import Flags, Floats, Ints, Objects, Overlaps, objects

COCO_SIGMAS: Floats = np.array(
    [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
) / 10.0  # fmt: skip
"""The sigmas of COCO's 17 keypoints of people, as shares of the square root of an object's area."""
LEAST = 0.5
"""The OKS from which a detection may match; pairs below it are not listed."""
_SLACK = 1 + 1e-6  # of a reach: rounding decides nothing that OKS itself does not


@dataclass(frozen=True)
class Keypoints:
    """The N objects of one side, truth or prediction, of one image, each with K keypoints.

    Attributes:
        place: (N, K, 2) x and y of each keypoint.
        visible: (N, K) True for a keypoint that is known; False ones are not compared. Of a prediction all are True.
        area: (N,) areas of the objects, in square units of the coordinates.
        crowd: (N,) True for a truth that is ignored and may be taken by many detections, as in COCO.
        box: (N, 4) left, top, width and height of a box around each object, which stands for a truth without any
            visible keypoint. Such a truth is ignored; a detection in the box, doubled on each side, may take it.
    """

    place: Floats
    visible: Flags
    area: Floats
    crowd: Flags
    box: Floats

    def __len__(self) -> int:
        return len(self.place)

    @classmethod
    def of(
        cls,
        place: ArrayLike,
        *,
        visible: ArrayLike | None = None,
        area: ArrayLike | None = None,
        crowd: ArrayLike | None = None,
        box: ArrayLike | None = None,
    ) -> Keypoints:
        """Return keypoints (N, K, 2): by default all visible, no crowds, in boxes that just hold them.

        Args:
            place: x and y of each keypoint.
            visible: (N, K), see the attributes.
            area: (N,); by default those of the boxes, as COCO has it for a prediction.
            crowd: (N,).
            box: (N, 4).

        Raises:
            ValueError: arrays of other shapes.
        """
        points = np.asarray(place, np.float64)
        if points.ndim != 3 or points.shape[2] != 2 or not points.shape[1]:
            raise ValueError(f"expected keypoints (N, K, 2), got {points.shape}")
        count = len(points)
        if box is None:
            low, high = (end(points, axis=1) for end in (np.min, np.max))
            boxes = np.concatenate([low, high - low], axis=1)
        else:
            boxes = np.asarray(box, np.float64).reshape(-1, 4)
        made = cls(
            points,
            np.ones(points.shape[:2], bool) if visible is None else np.asarray(visible, bool),
            boxes[:, 2] * boxes[:, 3] if area is None else np.asarray(area, np.float64),
            np.zeros(count, bool) if crowd is None else np.asarray(crowd, bool),
            boxes,
        )
        if made.visible.shape != points.shape[:2] or {len(made.area), len(made.crowd), len(made.box)} != {count}:
            raise ValueError(
                f"expected visibility {points.shape[:2]}, and areas, crowds and boxes of {count} objects"
            )
        return made


def oks(
    true: Keypoints, found: Keypoints, pairs: tuple[Ints, Ints], sigmas: ArrayLike, order: Sequence[int] | None = None
) -> Floats:
    """Return the object keypoint similarity of each pair, (P,), from 0 to 1, by the formula of pycocotools.

    It is the mean over the visible keypoints of exp(-d² / (2 (2 sigma)² area)), with the distance d and the area of
    the truth; of a truth without any over all keypoints, with d to its box doubled on each side.

    Args:
        true: the T objects of the truth.
        found: the D detections.
        pairs: (P,) index of the truth, and (P,) of the detection.
        sigmas: (K,) shares of the square root of an area. For sigmas in the unit of the coordinates let areas be 1.
        order: (K,) keypoint of a detection that stands for each keypoint of the truth; as they are by default.

    Raises:
        ValueError: sigmas that are not K numbers above 0.
    """
    sigma = np.asarray(sigmas, np.float64)
    if sigma.shape != true.visible.shape[1:] or not (sigma > 0).all():
        raise ValueError(f"expected {true.visible.shape[1]} sigmas above 0, got {sigma.tolist()}")
    variance, made = (sigma * 2) ** 2, np.zeros(len(pairs[0]))
    columns = slice(None) if order is None else np.asarray(order)
    patterns, kind = np.unique(true.visible[pairs[0]], axis=0, return_inverse=True)
    for number, seen in enumerate(patterns):
        rows = np.flatnonzero(kind.reshape(-1) == number)
        one, other = pairs[0][rows], pairs[1][rows]
        apart = found.place[other][:, columns] - true.place[one]
        if not seen.any():
            apart, seen = _beyond(found.place[other], true.box[one]), np.ones(len(seen), bool)
        # In the order of pycocotools, so that equal similarities are equal to the last bit.
        error = (apart[..., 0] ** 2 + apart[..., 1] ** 2) / variance / (true.area[one][:, None] + np.spacing(1)) / 2
        shares = np.ascontiguousarray(np.exp(-error[:, seen]))
        made[rows] = shares.sum(1) / int(seen.sum())
    return made


def _beyond(place: Floats, box: Floats) -> Floats:
    """Return how far keypoints (P, K, 2) lie outside boxes (P, 4) doubled on each side, in x and in y."""
    low, high = box[:, None, :2] - box[:, None, 2:], box[:, None, :2] + box[:, None, 2:] * 2
    outside: Floats = np.maximum(0, low - place) + np.maximum(0, place - high)
    return outside


@dataclass(frozen=True, kw_only=True)
class Similarities(Overlaps):
    """The T objects of the truth and the D of a prediction, and the P pairs with an OKS from `LEAST` on.

    Attributes:
        shared: (P,) the OKS, which is the figure that pairs are judged by.
        apart: (P, K) distances of the keypoints of each pair in metres; nan where the truth's is not visible.
        seen: (T,) number of visible keypoints of each object of the truth.
    """

    apart: Floats
    seen: Ints

    def iou(self) -> Floats:
        """Return the OKS of each pair, (P,)."""
        return self.shared

    @property
    def judged(self) -> Flags:
        """The truth that counts, (T,): no crowd, and with a visible keypoint."""
        return ~self.true.ignored & (self.seen > 0)

    def only(self, true: Flags, found: Flags) -> Similarities:
        """Return the pairs of the objects that two boolean arrays, (T,) and (D,), name: those of one class."""
        part, pairs = super().only(true, found), true[self.true_index] & found[self.found_index]
        sides = part.true, part.found, part.true_index, part.found_index
        return Similarities(*sides, part.shared, apart=self.apart[pairs], seen=self.seen[true])


def similarities(
    true: Keypoints,
    found: Keypoints,
    sigmas: ArrayLike,
    *,
    symmetry: Sequence[Sequence[int]] = (),
    unit_m: float = 1.0,
) -> Similarities:
    """Return the pairs of objects with an OKS of at least 0.5, so many that memory goes by what lies near.

    Args:
        true: the truth.
        found: the prediction.
        sigmas: (K,) as for `oks`.
        symmetry: orders of the keypoints that mean the same, each (K,), beside the one that is given: of a pair the
            one of the highest OKS counts. None as in COCO.
        unit_m: metres in a unit of the coordinates, for distances and places.

    Raises:
        ValueError: sides or sigmas of different numbers of keypoints, or an order that is no permutation.
    """
    keypoints = true.visible.shape[1]
    if found.visible.shape[1] != keypoints:
        raise ValueError(f"expected {keypoints} keypoints of each detection, got {found.visible.shape[1]}")
    for order in symmetry:
        if sorted(order) != list(range(keypoints)):
            raise ValueError(f"expected an order of the numbers 0 to {keypoints - 1}, got {list(order)}")
    pairs = _candidates(true, found, np.asarray(sigmas, np.float64))
    orders = [list(range(keypoints)), *map(list, symmetry)]
    each = np.stack([oks(true, found, pairs, sigmas, order) for order in orders])
    best = each.argmax(0)
    value = each[best, np.arange(len(best))]
    near = value >= LEAST
    one, other = pairs[0][near], pairs[1][near]
    moved = np.take_along_axis(found.place[other], np.array(orders)[best[near]][..., None], axis=1)
    apart = np.hypot(*np.moveaxis(moved - true.place[one], -1, 0)) * unit_m
    return Similarities(
        _objects(true, true.visible, unit_m),
        _objects(found, np.ones(found.visible.shape, bool), unit_m),
        one,
        other,
        value[near],
        apart=np.where(true.visible[one], apart, np.nan),
        seen=true.visible.sum(1),
    )


def _objects(side: Keypoints, seen: Flags, unit_m: float) -> Objects:
    """Return objects of the areas of a side; one without a visible keypoint has no size, so no range holds it."""
    some = seen.any(1)
    count = np.maximum(1, seen.sum(1))[:, None]
    place = np.where(seen[..., None], side.place, 0).sum(1) / count * unit_m
    size = np.where(some, side.area * unit_m**2, np.nan)
    return objects(np.ones(len(side)), size=size, ignored=side.crowd, place=place[:, ::-1])


def _candidates(true: Keypoints, found: Keypoints, sigmas: Floats) -> tuple[Ints, Ints]:
    """Return the pairs, (P,) and (P,), that may have an OKS of `LEAST`: a keypoint lies near enough for that."""
    if not (len(true) and len(found)):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    keypoints = true.visible.shape[1]
    reach = np.sqrt(-2 * np.log(LEAST) * (2 * sigmas.max(initial=0)) ** 2 * (true.area + np.spacing(1))) * _SLACK
    owner, kind = np.nonzero(true.visible)
    near = candidates(true.place[owner, kind], found.place.reshape(-1, 2), reach[owner])
    keys = owner[near[0]] * len(found) + near[1] // keypoints
    hidden = np.flatnonzero(~true.visible.any(1))
    keys = np.unique(np.concatenate([keys, (hidden[:, None] * len(found) + np.arange(len(found))).reshape(-1)]))
    return keys // len(found), keys % len(found)

"""Skeleton: the keypoints of a kind of object, its edges, the orders that mean the same, and tolerances."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import ModelError
from landseg.metrics.oks import COCO_SIGMAS
from landseg.text.amounts import counted
from landseg.text.strict import read_dataclass

SHARE, METRES = "share", "m"
"""The units of sigmas: shares of the square root of an object's area, as in COCO, and metres."""


@dataclass(frozen=True)
class Skeleton:
    """The keypoints of a kind of object; data of a model's card.

    Keypoints that a permutation of `symmetry` maps onto each other cannot be told apart: they are of one *type* and
    share a map. The corners of a rectangle are of one type, the joints of a person of 17.

    Attributes:
        name: of the skeleton.
        keypoints: their J names.
        edges: pairs of names, from the first to the second.
        sigmas: (J,) tolerances, above 0, in the unit ``sigma_unit``.
        symmetry: permutations of the indices that mean the same, without the one that changes nothing.
        sigma_unit: "share" of the square root of the area, or "m".
        any_number: whether an object has any number of keypoints, all of the one type, each joined to the next.

    Raises:
        ModelError: the entries contradict each other.
    """

    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]
    symmetry: tuple[tuple[int, ...], ...] = ()
    sigma_unit: str = SHARE
    any_number: bool = False

    def __post_init__(self) -> None:
        count, where = len(self.keypoints), f"skeleton {self.name!r}"
        if not count or len(set(self.keypoints)) < count:
            raise ModelError(f"{where}: expected names of keypoints that differ, got {', '.join(self.keypoints)!r}")
        for edge in self.edges:
            if strange := [name for name in edge if name not in self.keypoints]:
                raise ModelError(
                    f"{where}: the edge {' - '.join(edge)} names {strange[0]!r}, which is none of its keypoints; "
                    f"they are {', '.join(self.keypoints)}"
                )
        if len(self.sigmas) != count or not all(math.isfinite(sigma) and sigma > 0 for sigma in self.sigmas):
            raise ModelError(f"{where}: expected a sigma above 0 for each of {counted(count, 'keypoint')}")
        if self.sigma_unit not in (SHARE, METRES):
            raise ModelError(f"{where}: sigma_unit is {self.sigma_unit!r}; expected {SHARE!r} or {METRES!r}")
        if self.any_number and count > 1:
            raise ModelError(f"{where}: any_number goes with one keypoint, the type of all of them; it has {count}")
        self._check_symmetry(where)

    def _check_symmetry(self, where: str) -> None:
        count = len(self.keypoints)
        for order in self.symmetry:
            if sorted(order) != list(range(count)):
                raise ModelError(f"{where}: symmetry {list(order)} is no permutation of 0 to {count - 1}")
            moved = {(order[one], order[other]) for one, other in self.links}
            if moved != set(self.links):
                raise ModelError(f"{where}: symmetry {list(order)} does not map its edges onto its edges")
        orders = {tuple(range(count)), *self.symmetry}
        for one in orders:
            for other in orders:
                if (both := tuple(one[index] for index in other)) not in orders:
                    raise ModelError(f"{where}: symmetry lacks {list(both)}, which follows from two others")

    @classmethod
    def from_json(cls, entries: Any, place: str = "skeleton") -> Skeleton:
        """Return the skeleton that a table describes.

        Raises:
            ModelError: entries are unknown, missing, of another type, or contradict each other.
        """
        made = read_dataclass(cls, entries, place, error=ModelError, floats=True)
        assert isinstance(made, cls)
        return made

    def to_json(self) -> dict[str, Any]:
        """Return the table that `from_json` reads."""
        return asdict(self)

    def __len__(self) -> int:
        return len(self.keypoints)

    @cached_property
    def links(self) -> tuple[tuple[int, int], ...]:
        """The edges as pairs of indices."""
        place = {name: index for index, name in enumerate(self.keypoints)}
        return tuple((place[one], place[other]) for one, other in self.edges)

    @cached_property
    def orders(self) -> NDArray[np.int64]:
        """All orders that mean the same (P, J), first the one that changes nothing."""
        return np.array([tuple(range(len(self))), *self.symmetry], np.int64)

    @cached_property
    def types(self) -> tuple[int, ...]:
        """The type of each keypoint (J,), numbered by first keypoints."""
        first = self.orders.min(axis=0)
        return tuple(np.unique(first, return_inverse=True)[1].tolist())

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of keypoints of each type (T,)."""
        return tuple(np.bincount(self.types).tolist())

    def pair_kinds(self, pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
        """Return the kind of each pair of indices: pairs that the symmetry maps onto each other are of one kind."""
        first = [min((int(order[one]), int(order[other])) for order in self.orders) for one, other in pairs]
        kinds = {pair: number for number, pair in enumerate(sorted(set(first)))}
        return tuple(kinds[pair] for pair in first)


def closest_order(found: NDArray[Any], truth: NDArray[Any], skeleton: Skeleton) -> NDArray[np.float64]:
    """Return the truth (n, J, 2) of each object in the order, of those that mean the same, that is closest.

    Closest is the least sum of absolute differences over keypoints that are there; of equal ones the first. Targets
    of offsets are made so, since a rectangle has no first corner.

    Args:
        found: predicted keypoints (n, J, 2).
        truth: keypoints (n, J, 2); NaN where one is not there.
        skeleton: with J keypoints.

    >>> square = np.array([[[0.0, 0], [4, 0], [4, 4], [0, 4]]])
    >>> closest_order(square, np.roll(square, 1, axis=1), RECTANGLE).tolist() == square.tolist()
    True
    """
    orders = truth[:, skeleton.orders]  # (n, P, J, 2)
    apart = np.nansum(np.abs(orders - found[:, None]), axis=(2, 3))
    chosen: NDArray[np.float64] = orders[np.arange(len(truth)), apart.argmin(axis=1)]
    return chosen


_CORNERS = ("corner 1", "corner 2", "corner 3", "corner 4")

RECTANGLE = Skeleton(
    "rectangle",
    _CORNERS,
    tuple(zip(_CORNERS, _CORNERS[1:] + _CORNERS[:1], strict=True)),
    (0.5,) * 4,
    symmetry=((1, 2, 3, 0), (2, 3, 0, 1), (3, 0, 1, 2)),
    sigma_unit=METRES,
)
"""The four corners of the smallest rectangle at any angle, clockwise as seen on the map, without a first one."""

OUTLINE = Skeleton("outline", ("corner",), (("corner", "corner"),), (0.5,), sigma_unit=METRES, any_number=True)
"""Any number of corners, each joined to the next, clockwise as seen on the map."""

_JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
_LIMBS = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
PERSON = Skeleton(
    "person",
    _JOINTS,
    tuple((_JOINTS[one - 1], _JOINTS[other - 1]) for one, other in _LIMBS),
    tuple(COCO_SIGMAS.tolist()),
)
"""COCO's 17 joints of a person, with its edges and sigmas."""

SKELETONS = {skeleton.name: skeleton for skeleton in (RECTANGLE, OUTLINE, PERSON)}
"""The skeletons that are built in, by name."""

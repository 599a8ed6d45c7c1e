"""Associative embedding: a tag for each keypoint, alike within an object and unlike that of its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from landseg.dense.keypoints.skeletons import PERSON, Skeleton
from landseg.dense.keypoints.system import (
    Evidence,
    Floats,
    Integers,
    Maps,
    Piece,
    Poses,
    System,
    components,
    find_candidates,
    find_near,
    nearest_units,
    to_keypoints,
)
from landseg.dense.keypoints.targets import Drawn, Shape, centres, draw_peaks
from landseg.errors import ModelError

_HEAD_TO_ANKLES = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
_TIES = 1e-3
_FORBIDDEN = 1e9  # the cost of a pair that may not be


@dataclass(frozen=True)
class Associative(System):
    """Associative Embedding (Newell, Huang and Deng 2017), with a reach: tags mean nothing across a town.

    Maps: ``heat`` (T), ``offset`` (2 T), ``tag`` (T).

    Two candidates are *linked* if they lie within the reach and their tags differ by less than ``tag``. Groups of
    linked candidates are decided apart. In a group, types come one after the other. Candidates of a type are assigned
    to the objects so far by the least sum of costs (Hungarian): 100 times the rounded difference of the tag from the
    mean tag of the object, less the score, as in the authors' code; and a thousandth of the squared difference, which
    decides where that code takes any. A pair is allowed if the difference is less than ``tag``, the candidate is
    linked to a member of the object, and the type has a place left there. The other candidates begin objects.
    Keypoints of a type that has several in an object come one by one, from the best score down.

    Attributes:
        skeleton: with a fixed number of keypoints.
        reach: units within which an object's keypoints lie of each other; inf for none.
        tag: the difference of tags below which two can belong together.
        score: the lowest of a candidate.
        least: the fewest keypoints of an object.
        radius: of the window of peaks.
    """

    skeleton: Skeleton
    reach: float
    tag: float = 1.0
    score: float = 0.1
    least: int = 1
    radius: int = 1

    def __post_init__(self) -> None:
        if self.skeleton.any_number:
            raise ModelError(
                f"skeleton {self.skeleton.name!r} has any number of keypoints, of which tags give no order; use the "
                "system paf for it"
            )

    @property
    def context(self) -> int:
        """The units around its core that a piece must show: the window of a peak."""
        return self.radius

    def collect(self, piece: Piece) -> Evidence:
        """Return the candidates of the core; ``values`` (m, 1) is the tag."""
        found = find_candidates(piece, "heat", "offset", score=self.score, radius=self.radius)
        tags = np.take_along_axis(piece.read("tag", found.unit), found.kind[:, None], axis=1)
        found = replace(found, values=tags)
        return found.chosen(np.isfinite(tags[:, 0]))

    def links(self, evidence: Evidence) -> Integers:
        """Return the pairs (p, 2) of candidates that are linked, both ways."""
        reach = min(self.reach, 4 * float(np.abs(evidence.place).max(initial=1)))
        one, other, _ = find_near(evidence.place, evidence.place, reach)
        tag = evidence.values[:, 0]
        alike = np.abs(tag[one] - tag[other]) < self.tag
        return np.stack([one[alike], other[alike]], axis=1)

    def group(self, evidence: Evidence) -> Poses:
        """Return the objects, one group of linked candidates after the other."""
        pairs = self.links(evidence)
        found = [
            members
            for group in components(len(evidence), pairs)
            for members in self.assign(evidence.chosen(group), _linked(pairs, group, len(evidence)), group)
        ]
        return self.poses(evidence, found)

    def poses(self, evidence: Evidence, found: Sequence[Integers]) -> Poses:
        """Return the objects whose candidates have these indices, in reading order."""
        kept = sorted((members for members in found if len(members) >= self.least), key=min)
        places = evidence.place
        made = [to_keypoints(self.skeleton, evidence.kind[one], places[one], evidence.score[one]) for one in kept]
        return Poses.of([points for points, _ in made], [scores for _, scores in made], [s.mean() for _, s in made])

    def assign(self, part: Evidence, linked: NDArray[np.bool_], group: Integers) -> list[Integers]:
        """Return the members of each object of one group, as indices of all candidates.

        Args:
            part: the candidates (k,) of the group.
            linked: (k, k), which of them are linked.
            group: (k,) their indices among all.
        """
        from scipy.optimize import linear_sum_assignment

        tag, objects = part.values[:, 0], list[list[int]]()
        for batch in self._batches(part):
            cost = np.full((len(objects), len(batch)), _FORBIDDEN)
            size = self.skeleton.sizes[part.kind[batch[0]]]
            for row, members in enumerate(objects):
                full = (part.kind[members] == part.kind[batch[0]]).sum() >= size
                apart = np.abs(tag[batch] - tag[members].mean())
                allowed = (apart < self.tag) & linked[members][:, batch].any(axis=0) & ~full
                cost[row, allowed] = (np.rint(apart) * 100 - part.score[batch] + _TIES * apart**2)[allowed]
            rows, columns = linear_sum_assignment(cost)
            good = cost[rows, columns] < _FORBIDDEN
            for row, column in zip(rows[good].tolist(), columns[good].tolist(), strict=True):
                objects[row].append(int(batch[column]))
            free = np.setdiff1d(np.arange(len(batch)), columns[good])
            objects += [[int(batch[column])] for column in free]
        return [group[np.sort(members)] for members in objects]

    def _batches(self, part: Evidence) -> list[Integers]:
        """Return the indices of candidates that are assigned together, in their turn."""
        types = [self.skeleton.types[index] for index in self._turns()]
        made: list[Integers] = []
        for kind in dict.fromkeys(types):
            own = np.flatnonzero(part.kind == kind)
            if self.skeleton.sizes[kind] > 1:
                own = own[np.argsort(-part.score[own], kind="stable")]
                made += [own[i : i + 1] for i in range(len(own))]
            elif len(own):
                made.append(own)
        return made

    def _turns(self) -> tuple[int, ...]:
        """Return the keypoints in the order in which they are assigned: of a person from the head to the ankles."""
        person = self.skeleton.keypoints == PERSON.keypoints
        return _HEAD_TO_ANKLES if person else tuple(range(len(self.skeleton)))


def _linked(pairs: Integers, group: Integers, count: int) -> NDArray[np.bool_]:
    """Return which candidates of a group are linked, (k, k)."""
    place = np.full(count, -1, np.int64)
    place[group] = np.arange(len(group))
    linked = np.zeros((len(group), len(group)), bool)
    own = place[pairs[:, 0]] >= 0
    linked[place[pairs[own, 0]], place[pairs[own, 1]]] = True
    return linked


def encode(
    objects: Sequence[Floats],
    skeleton: Skeleton,
    shape: Shape,
    *,
    reach: float,
    sigma: float = 1.0,
    step: float = 2.0,
) -> Maps:
    """Return the maps (channels, h, w) from which `Associative` makes the objects again.

    A network may give far objects the same tag, and so do these: tags are the lowest multiples of ``step`` that no
    object nearby has, an object nearby being one with its centre within three reaches.

    Args:
        objects: places (J, 2) of keypoints, in units of the maps.
        skeleton: with J keypoints.
        shape: of the maps, (h, w).
        reach: within which keypoints of an object lie, in units.
        sigma: of the peaks, in units.
        step: between tags.
    """
    keypoints, types = Drawn.of(objects, skeleton), len(skeleton.sizes)
    heat, offset = draw_peaks(keypoints, types, shape, sigma)
    one, other, _ = find_near(centres(objects), centres(objects), 3 * reach)
    tags = np.full(len(objects), -1)
    for number in range(len(objects)):
        taken = set(tags[other[one == number]].tolist())
        tags[number] = next(tag for tag in range(len(objects)) if tag not in taken)
    tag = np.zeros((types, *shape))
    columns, rows = nearest_units(keypoints.places).T
    inside = (rows >= 0) & (columns >= 0) & (rows < shape[0]) & (columns < shape[1])
    tag[keypoints.kind[inside], rows[inside], columns[inside]] = step * tags[keypoints.owner[inside]]
    return {"heat": heat, "offset": offset, "tag": tag}


def tag_losses(tags: Floats, owner: Integers) -> tuple[float, float]:
    """Return how much tags within objects differ (pull) and how much objects are alike (push), for one image.

    Pull is the mean over objects of the mean squared difference from the object's mean tag. Push is half the mean
    over ordered pairs of objects of exp(-d²), d the difference of their means; 0 where there is one object alone.
    Both are those of the authors' code, which weights them by 0.001; the paper's 1 / (2 sigma²) is not in it.

    Args:
        tags: (m,) of the keypoints that are there.
        owner: (m,) the object of each.

    >>> tag_losses(np.array([0.0, 2, 4, 4]), np.array([0, 0, 1, 1]))[0]
    0.5
    """
    _, number = np.unique(owner, return_inverse=True)
    count = np.bincount(number)
    if not len(count):
        return 0.0, 0.0
    mean = np.bincount(number, tags) / count
    pull = float((np.bincount(number, (tags - mean[number]) ** 2) / count).mean())
    alike = np.exp(-((mean[:, None] - mean) ** 2))
    pairs = len(count) * (len(count) - 1)
    push = 0.5 * float(alike.sum() - len(count)) / pairs if pairs else 0.0
    return pull, push

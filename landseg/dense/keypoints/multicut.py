"""DeeperCut: candidates and vectors between them, grouped by a multicut that is solved exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from landseg.dense.keypoints.skeletons import Skeleton
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
from landseg.dense.keypoints.targets import Drawn, Shape, draw_peaks
from landseg.errors import ModelError, PlanError
from landseg.text.amounts import counted

LARGEST_GROUP = 40
"""The candidates of a group at most that is solved exactly."""
_WORST = -4.0  # the weight of a pair that does not fit, and the bound of what a candidate's own score says
_BARRED = -1e9


@dataclass(frozen=True)
class Multicut(System):
    """DeeperCut (Insafutdinov et al. 2016): the multicut of candidates, one group within reach after the other.

    Maps: ``heat`` (T), ``offset`` (2 T), ``pairwise`` (2 P), for each kind of ordered pair of different keypoints the
    vector from the first to the second.

    A pair of candidates within the reach weighs 1 - e / tolerance, at least -4: e is the mean of two distances, of
    each from the place where the vector of the other one puts it; of several kinds of pairs that the types allow,
    the best counts. (DeeperCut learns this weight from such distances by logistic regression.) A candidate weighs the
    logarithm of its odds, within -4 to 4. Chosen is the partition of a part of the candidates into objects with the
    largest sum of the weights of these candidates, and of pairs in one object. No object has more keypoints of a type
    than the skeleton, and pairs out of reach are in none together.

    Groups are candidates that pairs of positive weight connect: no best partition joins what none connects.

    Attributes:
        skeleton: with a fixed number of keypoints.
        reach: units within which the keypoints of an object lie of each other.
        tolerance: units, see above.
        method: "exact", or "greedy": the two clusters whose pairs have the largest positive sum are joined, again and
            again. Greedy is another method, with another result.
        score: the lowest of a candidate.
        least: the fewest keypoints of an object.
        radius: of the window of peaks.
    """

    skeleton: Skeleton
    reach: float
    tolerance: float = 2.0
    method: Literal["exact", "greedy"] = "exact"
    score: float = 0.1
    least: int = 1
    radius: int = 1

    def __post_init__(self) -> None:
        if self.skeleton.any_number:
            raise ModelError(
                f"skeleton {self.skeleton.name!r} has any number of keypoints: multicut needs a fixed number; use "
                "the system paf, or the skeleton 'rectangle'"
            )

    @property
    def context(self) -> int:
        """The units around its core that a piece must show: the window of a peak."""
        return self.radius

    def collect(self, piece: Piece) -> Evidence:
        """Return the candidates of the core; ``values`` (m, P, 2) are their vectors."""
        found = find_candidates(piece, "heat", "offset", score=self.score, radius=self.radius)
        return replace(
            found, values=piece.read("pairwise", found.unit).reshape(len(found), len(piece.maps["pairwise"]) // 2, 2)
        )

    def group(self, evidence: Evidence) -> Poses:
        """Return the objects, one group of candidates after the other.

        Raises:
            PlanError: a group is too large to be solved exactly.
        """
        pairs, weights = self.weights(evidence)
        found = []
        for group in components(len(evidence), pairs[weights > 0]):
            if self.method == "exact" and len(group) > LARGEST_GROUP:
                x, y = evidence.place[group].mean(axis=0)
                raise PlanError(
                    f"a group of {counted(len(group), 'candidate')} around column {x:.0f}, row {y:.0f} of the maps: "
                    f"the multicut solves groups of up to {LARGEST_GROUP}; raise the lowest score ({self.score:g}), "
                    f"lower the reach ({self.reach:g} units), or choose the method 'greedy'"
                )
            found += [group[members] for members in self.solve(evidence.chosen(group))]
        kept = sorted((members for members in found if len(members) >= self.least), key=min)
        places = evidence.place
        made = [to_keypoints(self.skeleton, evidence.kind[one], places[one], evidence.score[one]) for one in kept]
        return Poses.of(
            [points for points, _ in made], [scores for _, scores in made], [one.mean() for _, one in made]
        )

    def solve(self, part: Evidence) -> list[Integers]:
        """Return the members of each object, sorted indices of candidates, for one group."""
        problem = Problem.of(part, self)
        return solve_exactly(problem) if self.method == "exact" else solve_greedily(problem)

    def weights(self, evidence: Evidence) -> tuple[Integers, Floats]:
        """Return the pairs (p, 2) of candidates that may be in one object, the lower first, and weights (p,)."""
        place, kind = evidence.place, evidence.kind
        one, other, _ = find_near(place, place, self.reach)
        one, other = one[one < other], other[one < other]
        error = np.full(len(one), np.inf)
        for there, back in np.moveaxis(pair_tables(self.skeleton)[kind[one], kind[other]], 1, 0).transpose(0, 2, 1):
            ends = place[one] + _vectors(evidence, one, there), place[other] + _vectors(evidence, other, back)
            apart = np.linalg.norm(ends[0] - place[other], axis=1) + np.linalg.norm(ends[1] - place[one], axis=1)
            apart = np.where((there >= 0) & np.isfinite(apart), apart / 2, np.inf)
            error = np.minimum(error, apart)
        alike = np.array(self.skeleton.sizes)[kind[one]] == 1
        allowed = ~(alike & (kind[one] == kind[other]))
        weight = np.maximum(1 - error / self.tolerance, _WORST)
        return np.stack([one, other], axis=1)[allowed], weight[allowed]


def _vectors(evidence: Evidence, index: Integers, kind: Integers) -> Floats:
    vectors: Floats = evidence.values[index, np.maximum(kind, 0)]
    return vectors


def pair_kinds(skeleton: Skeleton) -> dict[tuple[int, int], int]:
    """Return the kind of each ordered pair of different keypoints: the place of its vector in ``pairwise``."""
    pairs = tuple(permutations(range(len(skeleton)), 2))
    return dict(zip(pairs, skeleton.pair_kinds(pairs), strict=True))


def pair_tables(skeleton: Skeleton) -> Integers:
    """Return the kinds of pairs between two types, there and back, (T, T, R, 2); -1 where there are fewer than R."""
    kinds, count = pair_kinds(skeleton), len(skeleton.sizes)
    found: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for (one, other), kind in kinds.items():
        types = skeleton.types[one], skeleton.types[other]
        found.setdefault(types, set()).add((kind, kinds[other, one]))
    table = np.full((count, count, max(map(len, found.values()), default=1), 2), -1, np.int64)
    for types, both in found.items():
        table[types][: len(both)] = sorted(both)
    return table


@dataclass(frozen=True)
class Problem:
    """A multicut of k candidates.

    Attributes:
        own: the weight of each candidate (k,).
        pairs: (p, 2) that may be in one object.
        weights: (p,) theirs.
        kind: (k,) types.
        most: (T,) keypoints of each type in an object.
    """

    own: Floats
    pairs: Integers
    weights: Floats
    kind: Integers
    most: Integers

    @classmethod
    def of(cls, part: Evidence, system: Multicut) -> Problem:
        """Return the problem of a group of candidates."""
        share = np.clip(part.score, 1e-6, 1 - 1e-6)
        own = np.clip(np.log(share / (1 - share)), _WORST, -_WORST)
        return cls(own, *system.weights(part), part.kind, np.array(system.skeleton.sizes))

    def worth(self, objects: Sequence[NDArray[Any]]) -> float:
        """Return the sum of the weights of objects, given by their members."""
        label = np.full(len(self.own), -1)
        for number, members in enumerate(objects):
            label[members] = number
        together = (label[self.pairs[:, 0]] == label[self.pairs[:, 1]]) & (label[self.pairs[:, 0]] >= 0)
        return float(self.own[label >= 0].sum() + self.weights[together].sum())


def solve_exactly(problem: Problem) -> list[Integers]:
    """Return the members of each object of the best partition, by an integer program (HiGHS).

    A variable for each pair says whether it is in one object, and one for each candidate whether it is in any. That
    two pairs with a candidate in common bring the third is asked for where a solution breaks it, and the program is
    solved again, until none is broken.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    count, pairs = len(problem.own), problem.pairs
    number = {(one, other): index for index, (one, other) in enumerate(pairs.tolist())}
    rows = list(_limits(problem))
    while True:
        at = [(row, column, value) for row, (terms, _) in enumerate(rows) for column, value in terms]
        row, column, value = (np.array(part) for part in zip(*at, strict=True)) if at else (np.zeros(0, int),) * 3
        matrix = csr_array((value, (row, column)), shape=(len(rows), len(pairs) + count))
        limits = LinearConstraint(matrix, -np.inf, np.array([most for _, most in rows])) if rows else ()
        costs = -np.concatenate([problem.weights, problem.own])
        solved = milp(costs, integrality=np.ones(len(costs)), bounds=Bounds(0, 1), constraints=limits)
        assert solved.x is not None, solved.message
        joined, used = pairs[solved.x[: len(pairs)] > 0.5], solved.x[len(pairs) :] > 0.5
        if not (broken := list(_broken(joined, count, number, len(pairs)))):
            return [group for group in components(count, joined) if used[group].all()]
        rows += broken


_Row = tuple[list[tuple[int, float]], float]


def _limits(problem: Problem) -> Iterator[_Row]:
    """Yield rows: a pair needs both candidates, and an object holds no more of a type than it may."""
    pairs = len(problem.pairs)
    for index, ends in enumerate(problem.pairs.tolist()):
        yield from (([(index, 1.0), (pairs + end, -1.0)], 0.0) for end in ends)
    for one in range(len(problem.own)):
        own = np.flatnonzero((problem.pairs == one).any(axis=1))
        other = problem.pairs[own].sum(axis=1) - one
        for kind in np.unique(problem.kind[other]).tolist():
            same = own[problem.kind[other] == kind]
            most = int(problem.most[kind]) - int(problem.kind[one] == kind)
            if len(same) > most:
                yield [(int(index), 1.0) for index in same], float(most)


def _broken(joined: Integers, count: int, number: dict[tuple[int, int], int], pairs: int) -> Iterator[_Row]:
    """Yield rows for pairs in one object whose third pair is not."""
    after: list[list[int]] = [[] for _ in range(count)]
    for one, other in joined.tolist():
        after[one].append(other)
        after[other].append(one)
    there = {(one, other) for one, other in joined.tolist()}
    for middle in range(count):
        for one, other in combinations(sorted(after[middle]), 2):
            if (one, other) not in there:
                sides = [(min(middle, end), max(middle, end)) for end in (one, other)]
                terms = [(number[side], 1.0) for side in sides]
                if (one, other) in number:
                    terms.append((number[one, other], -1.0))
                yield terms, 1.0


def solve_greedily(problem: Problem) -> list[Integers]:
    """Return the members of each object by joining two clusters at a time, those whose pairs have the largest sum.

    It ends where no sum is positive; clusters whose own sum is negative are left out. The sum of all weights can be
    less than that of the best partition.
    """
    count = len(problem.own)
    sums = np.full((count, count), _BARRED)
    one, other = problem.pairs.T
    sums[one, other] = sums[other, one] = problem.weights
    held = np.zeros((count, len(problem.most)), np.int64)
    held[np.arange(count), problem.kind] = 1
    sums[(held[:, None] + held > problem.most).any(axis=2)] = _BARRED
    worth, members = problem.own.copy(), {index: [index] for index in range(count)}
    while True:
        into, gone = divmod(int(sums.argmax()), count)
        if not sums[into, gone] > 0:
            break
        worth[into] += worth[gone] + sums[into, gone]
        held[into] += held[gone]
        sums[into] += sums[gone]
        sums[into, (held[into] + held > problem.most).any(axis=1)] = _BARRED
        sums[:, into] = sums[into]
        sums[gone], sums[:, gone], sums[into, into] = _BARRED, _BARRED, _BARRED
        members[into] += members.pop(gone)
    return [np.sort(found) for index, found in members.items() if worth[index] > 0]


def encode(objects: Sequence[Floats], skeleton: Skeleton, shape: Shape, *, sigma: float = 1.0) -> Maps:
    """Return the maps (channels, h, w) from which `Multicut` makes the objects again.

    Vectors stand at the unit nearest to a keypoint, NaN elsewhere and to keypoints that are not there.

    Args:
        objects: places (J, 2) of keypoints, in units of the maps.
        skeleton: with J keypoints.
        shape: of the maps, (h, w).
        sigma: of the peaks, in units.
    """
    heat, offset = draw_peaks(Drawn.of(objects, skeleton), len(skeleton.sizes), shape, sigma)
    kinds = pair_kinds(skeleton)
    vectors = np.full((max(kinds.values(), default=0) + 1, 2, *shape), np.nan, np.float32)
    for points in objects:
        units = nearest_units(points)
        for (one, other), kind in kinds.items():
            column, row = units[one].tolist()
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                vectors[kind, :, row, column] = points[other] - points[one]
    return {"heat": heat, "offset": offset, "pairwise": vectors.reshape(-1, *shape)}

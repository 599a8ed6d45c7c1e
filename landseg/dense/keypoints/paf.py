"""Part affinity fields: unit vectors along edges, whose line integral says which candidates an edge joins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from landseg.dense.keypoints.skeletons import Skeleton
from landseg.dense.keypoints.system import (
    FARTHEST_UNIT,
    Evidence,
    Floats,
    Maps,
    Piece,
    Poses,
    System,
    find_candidates,
    find_near,
    nearest_units,
    to_keypoints,
)
from landseg.dense.keypoints.targets import Drawn, Shape, draw_peaks, units_of, window
from landseg.errors import ModelError

SAMPLES = 10
"""The samples of a line integral, as in the authors' code."""


@dataclass(frozen=True)
class AffinityFields(System):
    """Part affinity fields (Cao et al. 2017): line integrals of ten samples, edges taken greedily.

    Maps: ``heat`` (T), ``offset`` (2 T), ``field`` (2 E), for each kind of edge the unit vector from its first
    keypoint to its second, near the line between them.

    Two candidates of an edge's types within the reach of each other are joined by a line of ten samples, each the
    product of the field at the nearest unit with the direction. It passes if more than ``share`` of the samples are
    above ``sample``, and if their mean is above 0 after a penalty min(longest / length - 1, 0). ``longest`` is
    half the reach here; the authors' is half the image's height, which depends on the cut. Edges of a kind are taken
    from the best mean down, in reading order where they are equal, if both ends are free.

    Of a skeleton with any number of keypoints, objects are the closed chains of edges, from the first corner in
    reading order on. Of others they are the candidates that edges join; an edge that would give an object two
    keypoints of a type is left out, the worst first.

    Attributes:
        skeleton: with any number of keypoints, or one of each type.
        reach: the longest edge in units.
        score: the lowest of a candidate.
        sample: the lowest value of a good sample.
        share: of samples that are good, at least; 0 to leave this test out.
        least: the fewest keypoints of an object, 3 as in the authors' code.
        mean_score: the lowest mean score of an object's keypoints, 0.2 as there.
        radius: of the window of peaks.
    """

    skeleton: Skeleton
    reach: float
    score: float = 0.1
    sample: float = 0.05
    share: float = 0.8
    least: int = 3
    mean_score: float = 0.2
    radius: int = 1

    def __post_init__(self) -> None:
        if max(self.skeleton.sizes) > 1:
            raise ModelError(
                f"skeleton {self.skeleton.name!r} has several keypoints of one type, of which paf makes no object; "
                "corners of any number are the skeleton 'outline'"
            )

    @property
    def context(self) -> int:
        """The units around its core that a piece must show: of the longest edge, and of the peak at its end."""
        return math.ceil(self.reach) + 2 * FARTHEST_UNIT + self.radius

    def collect(self, piece: Piece) -> Evidence:
        """Return the candidates of the core, and the pairs whose line begins there and passes."""
        wide = find_candidates(piece, "heat", "offset", score=self.score, radius=self.radius, wide=True)
        key, core = np.column_stack([wide.unit, wide.kind]), piece.in_core(wide.unit)
        pairs, kinds, scores = [np.zeros((0, 2, 3), np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
        for kind, (first, second) in sorted(self._types_of_edges().items()):
            starts, ends = np.flatnonzero((wide.kind == first) & core), np.flatnonzero(wide.kind == second)
            one, other, length = find_near(wide.place[starts], wide.place[ends], self.reach)
            apart = length > 0
            one, other, length = starts[one[apart]], ends[other[apart]], length[apart]
            integral, passed = self._integrals(piece, kind, wide.place[one], wide.place[other], length)
            pairs.append(np.stack([key[one], key[other]], axis=1)[passed])
            kinds.append(np.full(int(passed.sum()), kind, np.int64))
            scores.append(integral[passed])
        return replace(
            wide.chosen(core),
            pairs=np.concatenate(pairs), pair_kind=np.concatenate(kinds), pair_score=np.concatenate(scores),
        )  # fmt: skip

    def _types_of_edges(self) -> dict[int, tuple[int, int]]:
        types, links = self.skeleton.types, self.skeleton.links
        kinds = self.skeleton.pair_kinds(links)
        return {kind: (types[one], types[other]) for kind, (one, other) in zip(kinds, links, strict=True)}

    def _integrals(
        self, piece: Piece, kind: int, start: Floats, end: Floats, length: Floats
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the line integral (p,) from each start (p, 2) to each end, and which pass (p,)."""
        way = end - start
        along = start[:, None] + np.linspace(0, 1, SAMPLES)[:, None] * way[:, None]
        units = nearest_units(along).reshape(-1, 2)
        field = piece.read("field", units, slice(2 * kind, 2 * kind + 2), fill=0.0).reshape(*along.shape)
        samples = np.nan_to_num((field * (way / length[:, None])[:, None]).sum(axis=2))
        integral = samples.mean(axis=1) + np.minimum(0.5 * self.reach / length - 1, 0)
        good = (samples > self.sample).mean(axis=1)
        return integral, (integral > 0) & ((good > self.share) | (self.share == 0))

    def group(self, evidence: Evidence) -> Poses:
        """Return the objects that the best edges make."""
        edges = self.edges(evidence)
        objects = _rings(edges) if self.skeleton.any_number else self._trees(evidence, edges)
        places, made = evidence.place, []
        for members in sorted(objects, key=min):
            own, score = np.array(members), evidence.score[members]
            if len(own) >= self.least and score.mean() >= self.mean_score:
                whole = self.skeleton.any_number
                made.append(
                    (places[own], score)
                    if whole
                    else to_keypoints(self.skeleton, evidence.kind[own], places[own], score)
                )
        return Poses.of([one for one, _ in made], [one for _, one in made], [one.mean() for _, one in made])

    def edges(self, evidence: Evidence) -> list[tuple[int, int]]:
        """Return the edges that are taken, from the best down, as indices of candidates."""
        pairs, taken = evidence.pair_index().tolist(), []
        starts, ends = set[tuple[int, int]](), set[tuple[int, int]]()
        kinds = evidence.pair_kind.tolist()
        for index in np.argsort(-evidence.pair_score, kind="stable").tolist():
            (one, other), kind = pairs[index], kinds[index]
            if (one, kind) not in starts and (other, kind) not in ends:
                starts.add((one, kind))
                ends.add((other, kind))
                taken.append((one, other))
        return taken

    def _trees(self, evidence: Evidence, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Return the candidates of each object with one keypoint of each type."""
        members = {index: [index] for index in range(len(evidence))}
        owner, kinds = list(range(len(evidence))), evidence.kind.tolist()
        for one, other in edges:
            to, gone = owner[one], owner[other]
            if to == gone or {kinds[i] for i in members[to]} & {kinds[i] for i in members[gone]}:
                continue
            for index in members[gone]:
                owner[index] = to
            members[to] += members.pop(gone)
        return [sorted(found) for found in members.values()]


def _rings(edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the closed chains of edges, each from its first candidate on."""
    after = dict(edges)
    made, seen = [], set[int]()
    for start in sorted(after):
        chain, at = list[int](), start
        while at in after and at not in seen:
            seen.add(at)
            chain.append(at)
            at = after[at]
        if chain and at == start:
            made.append(chain)
    return made


def encode(
    objects: Sequence[Floats], skeleton: Skeleton, shape: Shape, *, sigma: float = 1.0, width: float = 1.0
) -> Maps:
    """Return the maps (channels, h, w) from which `AffinityFields` makes the objects again.

    The field at a unit is the mean of the unit vectors of the edges of its kind that pass within ``width``, and 0
    where none does. So walls of two houses that touch, which run opposite ways, leave none between them.

    Args:
        objects: places (J, 2) of keypoints in units of the maps, or (k, 2), clockwise, of an outline.
        skeleton: theirs.
        shape: of the maps, (h, w).
        sigma: of the peaks, in units.
        width: units from the middle of an edge to either side.
    """
    heat, offset = draw_peaks(Drawn.of(objects, skeleton), len(skeleton.sizes), shape, sigma)
    kinds = skeleton.pair_kinds(skeleton.links)
    field, count = np.zeros((max(kinds) + 1, 2, *shape)), np.zeros((max(kinds) + 1, *shape))
    for points in objects:
        if skeleton.any_number:
            following = zip(points, np.roll(points, -1, axis=0), strict=True)
            lines = [(0, one, other) for one, other in following]
        else:
            lines = [
                (kind, points[one], points[other]) for kind, (one, other) in zip(kinds, skeleton.links, strict=True)
            ]
        for kind, one, other in lines:
            if np.isfinite(one).all() and np.isfinite(other).all():
                _draw_line(field[kind], count[kind], one, other, width)
    field /= np.maximum(count, 1)[:, None]
    return {"heat": heat, "offset": offset, "field": field.reshape(-1, *shape)}


def _draw_line(field: Floats, count: Floats, one: Floats, other: Floats, width: float) -> None:
    """Add the unit vector of a line to a field (2, h, w), in place, near it."""
    length = float(np.linalg.norm(other - one))
    if not length:
        return
    part = window(np.stack([one, other]), width, count.shape)
    way = (other - one) / length
    from_start = units_of(part) - one
    along = from_start @ way
    across = np.abs(from_start @ np.array([-way[1], way[0]]))
    near = (along >= -width) & (along <= length + width) & (across <= width)
    field[:, *part][:, near] += way[:, None]
    count[part][near] += 1

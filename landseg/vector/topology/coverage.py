"""Arcs redrawn so that their regions stay a coverage: no gaps, no overlaps, no polygon lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.linked_lists import Ints, batches, cut, spans
from landseg.vector.topology.rings import CHUNK, Nests, build_geometries, count_points, nest, outline
from landseg.vector.topology.traversal import ring_areas

Redraw = Callable[[Arcs, Ints, Ints], Arcs]
PAIRS = 50_000  # lines whose neighbours are examined at a time
PIECE = 128  # points of the longest line that is not cut
HEAVY = 10_000_000  # rings times points of a face; with more, GEOS would compare every ring with every other


def redraw_coverage(arcs: Arcs, redraw: Redraw, levels: int) -> Arcs:
    """Return the arcs redrawn as freely as a valid coverage allows, with points in float64; ends stay.

    ``redraw(arcs, which, level)`` draws arcs, whose indices are `which`, at the level of each: level 0 is the full
    change, each higher level is closer to the arcs as they were, and at `levels` an arc stays as it was. Arcs that
    spoil a face go up a level until no face is spoilt.

    It suffices to check faces: an arc runs once in each direction round the two faces beside it, so the winding
    numbers of the rings of all faces at any point add up to that of the frame round them all, which is 1. Where every
    face is a valid polygon whose rings keep their direction, each number is 1 inside a face and 0 outside: exactly
    one face holds each point. Nodata is a face too, and so is the area between the raster and the frame.

    Work grows with the number of points; more arcs take a few more rounds, also in one face of any size with any
    number of holes. Memory: about 400 bytes an arc and 60 a point; the polygons of one chunk, and of the
    largest face all lines, which are 500 bytes each.
    """
    framed = _framed(arcs)
    nests = nest(framed)
    turns = np.sign(ring_areas(framed, nests.halves, nests.rings))
    level = np.zeros(len(framed), np.int64)
    level[-1] = levels  # the frame
    drawn = _drawn(framed, _floats(framed), np.arange(len(arcs)), level, redraw, levels)
    new = np.zeros(len(framed), bool)  # changed since the last search for crossings
    new[_moved(drawn, framed)] = True
    suspects = _beside(framed, np.flatnonzero(new))
    while True:
        spoilt = _turned(drawn, nests, turns)
        if not len(spoilt):
            suspects = suspects[_invalid(drawn, framed, nests.chosen(suspects), len(suspects))]
            if not len(suspects):
                break
            spoilt = _blamed(drawn, framed, nests, suspects, (level < levels, new))
            new[:] = False
        spoilt = spoilt[level[spoilt] < levels]
        level[spoilt] += 1
        new[spoilt] = True
        drawn = _drawn(framed, drawn, spoilt, level, redraw, levels)
        suspects = np.union1d(suspects, _beside(framed, spoilt))
    last = int(drawn.offsets[-2])
    return Arcs(drawn.points[:last], drawn.offsets[:-1], arcs.left, arcs.right)


def _framed(arcs: Arcs) -> Arcs:
    """Return the arcs with a frame round them all as the last arc; nodata becomes region 0, others count from 1."""
    points = np.asarray(arcs.points)
    low, high = (points.min(axis=0) - 1, points.max(axis=0) + 1) if len(points) else (np.zeros(2), np.ones(2))
    corners = np.array([low, (low[0], high[1]), high, (high[0], low[1]), low], points.dtype)
    offsets = np.append(arcs.offsets, arcs.offsets[-1] + 5)
    left, right = np.append(arcs.left + 1, 0), np.append(arcs.right + 1, -1)
    return Arcs(np.concatenate([points, corners]), offsets, left, right)


def _floats(arcs: Arcs) -> Arcs:
    return Arcs(np.asarray(arcs.points, np.float64), arcs.offsets, arcs.left, arcs.right)


def _drawn(framed: Arcs, drawn: Arcs, changed: Ints, level: Ints, redraw: Redraw, levels: int) -> Arcs:
    """Return ``drawn`` with the arcs ``changed`` drawn again, from those in `framed`, at their level."""
    done = changed[level[changed] < levels]
    new, old = redraw(framed.chosen(done), done, level[done]), framed.chosen(changed[level[changed] == levels])
    counts, begin = np.diff(drawn.offsets), drawn.offsets[:-1].copy()
    points = np.concatenate([drawn.points, new.points, old.points])
    counts[done], begin[done] = np.diff(new.offsets), new.offsets[:-1] + len(drawn.points)
    back = changed[level[changed] == levels]
    counts[back], begin[back] = np.diff(old.offsets), old.offsets[:-1] + len(drawn.points) + len(new.points)
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    return Arcs(points[spans(begin, counts)], offsets, framed.left, framed.right)


def _moved(drawn: Arcs, framed: Arcs) -> Ints:
    """Return the indices of arcs that differ from the original ones."""
    return np.flatnonzero(np.diff(drawn.offsets) != np.diff(framed.offsets))


def _beside(framed: Arcs, arcs: Ints) -> Ints:
    """Return the faces beside the arcs, each once."""
    faces = np.unique(np.append(framed.left[arcs], framed.right[arcs]))
    return faces[faces >= 0]


def _turned(drawn: Arcs, nests: Nests, turns: NDArray[Any]) -> Ints:
    """Return the arcs of rings that have less than three corners left or changed their direction."""
    lengths = (np.diff(drawn.offsets) - 1)[nests.halves >> 1]
    corners = np.add.reduceat(lengths, nests.rings[:-1])
    wrong = (corners < 3) | (np.sign(ring_areas(drawn, nests.halves, nests.rings)) != turns)
    ring = np.flatnonzero(wrong)
    return np.unique(nests.halves[spans(nests.rings[ring], np.diff(nests.rings)[ring])] >> 1)


def _invalid(drawn: Arcs, framed: Arcs, nests: Nests, count: int) -> NDArray[np.bool_]:
    """Return (count,) True for faces that are not valid polygons, or whose rings touch elsewhere than at nodes."""
    wrong = np.zeros(count, bool)
    points, rings = count_points(drawn, nests, count), np.bincount(_faces_of_rings(nests), minlength=count)
    heavy = (rings > 1) & (rings * points > HEAVY)
    light = np.flatnonzero(~heavy)
    own = nests.chosen(light)
    for part in batches(points[light], CHUNK):
        wrong[light[part]] = ~shapely.is_valid(build_geometries(drawn, own, part))
    several = np.flatnonzero((rings > 1) & ~wrong)
    nests = nests.chosen(several)
    for part in batches(points[several], CHUNK):
        own = nests.chosen(np.arange(part.start, part.stop))
        face = np.repeat(_faces_of_rings(own), np.diff(own.rings))
        lines, index = _pieces(drawn, own.halves >> 1, None)
        order = np.argsort(face[index], kind="stable")
        made = shapely.multilinestrings(lines[order], indices=face[index][order])
        wrong[several[part]] = ~shapely.is_simple(made)
    heavy = heavy[several] & ~wrong[several]
    if heavy.any():  # lines that meet at nodes only are valid polygons if each is in as many rings as it was
        own = nests.chosen(np.flatnonzero(heavy))
        changed = _depths(drawn, own)[1] != _depths(framed, own)[1]
        face = np.repeat(_faces_of_rings(own), np.diff(own.rings))
        wrong[several[heavy]] = np.bincount(face, changed, minlength=int(heavy.sum())) > 0
    return wrong


def _blamed(
    drawn: Arcs, framed: Arcs, nests: Nests, faces: Ints, states: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> Ints:
    """Return free arcs that make ``faces`` invalid, at least one for each face.

    ``states`` are two masks ``(A,)``: arcs that are free, and arcs changed since the last search for crossings.
    """
    free, new = states
    arcs = np.unique(nests.chosen(faces).halves >> 1)
    blamed = _crossing(drawn, arcs, new)
    blamed = blamed[free[blamed]]
    for find in (_sweeping, _bordering):
        faces = np.setdiff1d(faces, np.append(framed.left[blamed], framed.right[blamed]))
        if len(faces):
            more = find(drawn, framed, nests.chosen(faces), faces)
            blamed = np.append(blamed, more[free[more]])
    return np.unique(blamed)


def _crossing(drawn: Arcs, arcs: Ints, new: NDArray[np.bool_]) -> Ints:
    """Return those of the ``arcs`` that cross or touch themselves or another elsewhere than at their ends.

    Of two such arcs at least one is ``new``.
    """
    lines, index = _pieces(drawn, arcs, PIECE)
    owner = arcs[index]
    fresh = np.flatnonzero(new[owner])
    tree = shapely.STRtree(lines)
    found = [owner[fresh[~shapely.is_simple(lines[fresh])]]]
    for begin in range(0, len(fresh), PAIRS):
        one, other = tree.query(lines[fresh[begin : begin + PAIRS]])
        one = fresh[begin + one]
        once = (one < other) | (~new[owner[other]])
        one, other = one[once], other[once]
        bad = ~shapely.relate_pattern(lines[one], lines[other], "FF*F*****")
        found += [owner[one[bad]], owner[other[bad]]]
    return np.unique(np.concatenate(found))


def _pieces(drawn: Arcs, arcs: Ints, longest: int | None) -> tuple[NDArray[Any], Ints]:
    """Return lines that are not closed, and the index in ``arcs`` of each: a closed arc becomes two lines.

    Lines of more than `longest` points are cut. Arcs share no points but nodes, so lines that touch where they are
    cut are not missed.
    """
    counts = np.diff(drawn.offsets)[arcs]
    begin = drawn.offsets[arcs]
    closed = (drawn.points[begin] == drawn.points[begin + counts - 1]).all(axis=1)
    half = np.where(closed, counts // 2, counts - 1)
    index = np.append(np.arange(len(arcs)), np.flatnonzero(closed))
    begin = np.append(begin, (begin + half)[closed])
    counts = np.append(half + 1, (counts - half)[closed])
    offsets = np.append(0, np.cumsum(counts))
    points = drawn.points[spans(begin, counts)]
    if longest is not None:
        begin, counts, line = cut(offsets, longest)
        index, offsets, points = index[line], np.append(0, np.cumsum(counts)), points[spans(begin, counts)]
    lines = shapely.from_ragged_array(shapely.GeometryType.LINESTRING, points, (offsets,))
    return lines, index


def _sweeping(drawn: Arcs, framed: Arcs, nests: Nests, faces: Ints) -> Ints:
    """Return arcs that may have moved across another line of the same one of ``faces``."""
    places, depth = _depths(drawn, nests)
    wrong = np.flatnonzero(depth != _depths(framed, nests)[1])
    arcs = np.unique(nests.halves >> 1)
    arc, place = shapely.STRtree(places[wrong]).query(shapely.box(*_boxes(framed, arcs).T), predicate="intersects")
    face = np.repeat(_faces_of_rings(nests), np.diff(nests.rings))
    arc, face = arcs[arc], faces[face[wrong[place]]]
    return np.unique(arc[(framed.left[arc] == face) | (framed.right[arc] == face)])


def _bordering(drawn: Arcs, framed: Arcs, nests: Nests, faces: Ints) -> Ints:
    """Return all arcs of the faces."""
    return np.unique(nests.halves >> 1)


def _depths(arcs: Arcs, nests: Nests) -> tuple[NDArray[Any], Ints]:
    """Return a point on each half-arc of the rings, and the number of other rings of the same face around it."""
    points, ends = outline(arcs, nests.halves, nests.rings)
    disks = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (ends, np.arange(len(ends))))
    one = arcs.offsets[nests.halves >> 1]
    # The middle of an arc's first straight piece: no other line passes there.
    places = shapely.points((np.asarray(arcs.points[one], np.float64) + arcs.points[one + 1]) / 2)
    ring = np.repeat(np.arange(len(nests.rings) - 1), np.diff(nests.rings))
    face = _faces_of_rings(nests)
    depth = np.zeros(len(places), np.int64)
    tree = shapely.STRtree(places)
    for part in batches(np.diff(ends, append=len(points)), CHUNK):
        disk, place = tree.query(disks[part], predicate="contains_properly")
        disk += part.start
        own = (ring[place] != disk) & (face[ring[place]] == face[disk])
        depth += np.bincount(place[own], minlength=len(places))
    return places, depth


def _faces_of_rings(nests: Nests) -> Ints:
    return np.repeat(nests.region, np.diff(nests.polygons))


def _boxes(arcs: Arcs, chosen: Ints) -> NDArray[np.float64]:
    """Return xmin, ymin, xmax, ymax of the chosen arcs ``(n, 4)``."""
    part = arcs.chosen(chosen)
    low = np.minimum.reduceat(part.points, part.offsets[:-1])
    high = np.maximum.reduceat(part.points, part.offsets[:-1])
    return np.concatenate([low, high], axis=1).astype(np.float64)

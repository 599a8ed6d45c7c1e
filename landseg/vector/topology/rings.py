"""Polygons from arcs, in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.linked_lists import Ints, batches, spans
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.traversal import Rings, ring_areas, traverse

CHUNK = 1 << 20  # points of polygons that are built at a time


def build_polygons(
    regions: Regions,
    arcs: Arcs,
    transform: Affine | None = None,
    *,
    only: Ints | None = None,
    chunk: int = CHUNK,
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield a slice of region numbers and their geometries (n,), in order, about `chunk` points at a time.

    If ``only`` is given, in ascending order, only these regions are built, and the numbers are indices of that list.
    A region is a Polygon; an 8-connected one whose pixels meet in a corner only is a MultiPolygon. Coordinates are
    those of the lattice, or their image by ``transform``. Each node is a vertex of every polygon that it touches, so
    that the polygons are a valid coverage. On the picture outer rings run counter-clockwise and holes clockwise; on a
    map too, where the transform has north up.

    Memory: about 150 bytes an arc, and the chunk. Points of the arcs may lie on disk.
    """
    nests, count = nest(arcs), len(regions)
    if only is not None and len(only) < count:
        nests, count = nests.chosen(only), len(only)
    for part in batches(count_points(arcs, nests, count), chunk):
        yield part, build_geometries(arcs, nests, part, transform)


@dataclass(frozen=True)
class Nests:
    """Rings in the order of their polygons: each polygon's outer ring and then its holes.

    Attributes:
        halves: half-arcs, ring by ring; see `Rings`.
        rings: index in `halves` of the start of each ring ``(rings + 1,)``.
        polygons: index in `rings` of the start of each polygon ``(polygons + 1,)``.
        region: region of each polygon ``(polygons,)``, ascending.
    """

    halves: Ints
    rings: Ints
    polygons: Ints
    region: Ints

    def chosen(self, regions: Ints) -> Nests:
        """Return the nests of the given regions (ascending), which are numbered from 0."""
        kept = np.flatnonzero(np.isin(self.region, regions))
        counts = np.diff(self.polygons)[kept]
        ring = spans(self.polygons[kept], counts)
        lengths = np.diff(self.rings)[ring]
        halves = self.halves[spans(self.rings[ring], lengths)]
        number = np.searchsorted(regions, self.region[kept])
        rings, polygons = (np.append(0, np.cumsum(many)).astype(np.int64) for many in (lengths, counts))
        return Nests(halves, rings, polygons, number)


def nest(arcs: Arcs) -> Nests:
    """Return the rings of all regions, every hole with the outer ring around it."""
    all_rings = traverse(arcs)
    area = ring_areas(arcs, all_rings.order, all_rings.offsets)
    rings = np.flatnonzero(all_rings.region >= 0)
    rings = rings[np.lexsort((area[rings] < 0, all_rings.region[rings]))]
    return nest_rings(arcs, all_rings, rings, area[rings])


def nest_rings(arcs: Arcs, all_rings: Rings, rings: Ints, area: NDArray[np.float64]) -> Nests:
    """Return nests of ``rings`` (indices), sorted by region, outer rings (with a positive ``area``) first."""
    region, outer = all_rings.region[rings], area > 0
    owner = np.cumsum(outer) - 1  # polygon of each ring: right where a region has one polygon only
    several = np.bincount(region[outer], minlength=int(region[-1]) + 1 if len(region) else 0) > 1
    unsure = several[region] & ~outer if len(region) else outer
    if unsure.any():
        owner[unsure] = _owners(arcs, all_rings, rings, area, unsure)
    order = np.argsort(owner * 2 + ~outer, kind="stable")
    rings, outer = rings[order], outer[order]
    counts = np.diff(all_rings.offsets)[rings]
    halves = all_rings.order[spans(all_rings.offsets[rings], counts)]
    starts = np.flatnonzero(outer)
    return Nests(
        halves,
        np.append(0, np.cumsum(counts)),
        np.append(starts, len(rings)).astype(np.int64),
        all_rings.region[rings[starts]],
    )


def _owners(arcs: Arcs, all_rings: Rings, rings: Ints, area: NDArray[np.float64], unsure: NDArray[np.bool_]) -> Ints:
    """Return the polygon, counted in outer rings, of each unsure hole: the smallest of its region around it."""
    region, outer = all_rings.region[rings], area > 0
    holes = np.flatnonzero(unsure)
    half = all_rings.order[all_rings.offsets[rings[holes]]]
    one = arcs.offsets[half >> 1]
    # The middle of a straight piece of a hole lies on no outer ring of the same region.
    place = (np.asarray(arcs.points[one], np.float64) + np.asarray(arcs.points[one + 1], np.float64)) / 2
    tree = shapely.STRtree(shapely.points(place))
    affected = np.zeros(int(region.max()) + 1, bool)
    affected[region[holes]] = True
    shells = np.flatnonzero(outer & affected[region])
    found: list[tuple[Ints, Ints]] = []
    counts = np.diff(all_rings.offsets)[rings[shells]]
    for part in batches(_lengths(arcs, all_rings.order, all_rings.offsets, rings[shells]), CHUNK):
        halves = all_rings.order[spans(all_rings.offsets[rings[shells[part]]], counts[part])]
        points, ends = outline(arcs, halves, np.append(0, np.cumsum(counts[part])))
        made = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (ends, np.arange(len(ends))))
        shell, hole = tree.query(made, predicate="contains")
        shell = shells[part][shell]
        own = region[shell] == region[holes[hole]]
        found.append((shell[own], hole[own]))
    shell, hole = (np.concatenate(side) for side in zip(*found, strict=True))
    order = np.lexsort((area[shell], hole))
    shell, hole = shell[order], hole[order]
    smallest = np.append(True, hole[1:] != hole[:-1])
    owner = np.full(len(holes), -1)
    owner[hole[smallest]] = (np.cumsum(outer) - 1)[shell[smallest]]
    return owner


def build_geometries(arcs: Arcs, nests: Nests, part: slice, transform: Affine | None = None) -> NDArray[Any]:
    """Return the geometries of the regions ``part``, each of which has a polygon."""
    first, last = np.searchsorted(nests.region, [part.start, part.stop])
    rings = slice(int(nests.polygons[first]), int(nests.polygons[last]))
    begins = nests.rings[rings.start : rings.stop + 1]
    points, ends = outline(arcs, nests.halves[begins[0] : begins[-1]], begins - begins[0])
    if transform is not None:
        x, y = points.T
        t = transform
        points = np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1)
    holders = nests.polygons[first : last + 1] - rings.start
    made = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (ends, holders))
    number = nests.region[first:last] - part.start
    counts = np.bincount(number, minlength=part.stop - part.start)
    found = np.empty(part.stop - part.start, object)
    single = counts[number] == 1
    found[number[single]] = made[single]
    if not single.all():
        several, index = np.unique(number[~single], return_inverse=True)
        found[several] = shapely.multipolygons(made[~single], indices=index)
    return found


def outline(arcs: Arcs, halves: Ints, begins: Ints) -> tuple[NDArray[np.float64], Ints]:
    """Return points of closed rings ``(n, 2)`` and the start of each; ``begins`` are the starts in ``halves``."""
    arc, backward = halves >> 1, (halves & 1).astype(bool)
    counts = arcs.offsets[arc + 1] - arcs.offsets[arc] - 1  # the last point is the first of the next half-arc
    starts = np.where(backward, arcs.offsets[arc + 1] - 1, arcs.offsets[arc])
    shares = np.append(0, np.cumsum(counts))
    index = np.arange(shares[-1], dtype=np.int64) - np.repeat(shares[:-1], counts)
    index *= np.repeat(np.where(backward, -1, 1), counts)
    index += np.repeat(starts, counts)
    ends = shares[begins]
    closing = np.insert(index, ends[1:], index[ends[:-1]])
    return np.asarray(arcs.points[closing], np.float64), ends + np.arange(len(ends))


def count_points(arcs: Arcs, nests: Nests, count: int) -> Ints:
    """Return the number of points of the rings of each of `count` regions ``(count,)``."""
    lengths = np.diff(arcs.offsets)[nests.halves >> 1] - 1
    rings = np.add.reduceat(lengths, nests.rings[:-1]) + 1 if len(lengths) else lengths
    found = np.add.reduceat(rings, nests.polygons[:-1]) if len(lengths) else lengths
    points = np.zeros(count, np.int64)
    np.add.at(points, nests.region, found)
    return points


def _lengths(arcs: Arcs, order: Ints, offsets: Ints, rings: Ints) -> Ints:
    lengths = np.append(0, np.cumsum(np.diff(arcs.offsets)[order >> 1]))
    found: Ints = lengths[offsets[rings + 1]] - lengths[offsets[rings]]
    return found

"""Small regions merged into their neighbours."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.arcs import POINTS, Arcs
from landseg.vector.topology.joining import PointStore, join
from landseg.vector.topology.linked_lists import Ints, batches, find_components
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.traversal import sort_fans

Floats = NDArray[np.float64]
FEW = 64  # borders for each merged region; with more, a round takes longer than merging one by one


def merge_small(
    regions: Regions,
    arcs: Arcs,
    areas_m2: Floats,
    min_area_m2: float,
    *,
    units: tuple[float, float] = (1.0, 1.0),
    connectivity: int = 4,
    work: Path | None = None,
) -> tuple[Regions, Arcs]:
    """Return regions and traced arcs in which every region below ``min_area_m2`` is merged into a neighbour.

    The smallest region is merged first, into the neighbour with the longest shared border (measured with pixels of
    size ``units``, along x and y; of equal borders, into the first region), whose area grows by it. A scramble of the
    ids decides between equal areas. A hole is merged into the region around it. No region is merged into nodata: a
    small region without a neighbour stays. At the end, touching regions of equal value are united, so that the result
    is that of `trace` (with the same `connectivity`) on the merged raster. Statistics are those of all pixels that a
    region has then.

    The work is done in rounds: all small regions that are smaller than their neighbours are merged at once, with the
    same result as one by one. Where these are too few, as along a row of ever larger regions, the rest is merged one
    by one. A merged region is at most half of the result, so the time grows with the number of borders times its
    logarithm. Memory: about 300 bytes an arc, and 500 for each border that is left for merging one by one; points lie
    in a file of the folder ``work``, if given.
    """
    host = _hosts(regions, arcs, np.asarray(areas_m2, np.float64), min_area_m2, units)
    value = regions.value[host]
    one, other = _alike(arcs, host, value, diagonal=connectivity == 8)
    index = np.arange(len(regions))
    root = find_components(len(regions), np.concatenate([index, one]), np.concatenate([host, other]))
    number = (np.cumsum(root == index) - 1)[root]
    return unite(replace(regions, value=value), arcs, number, work=work)


def unite(regions: Regions, arcs: Arcs, number: Ints, *, work: Path | None = None) -> tuple[Regions, Arcs]:
    """Return united regions and the arcs between them.

    The united regions are in the order of their numbers. Each has the value of the first of its regions.

    Args:
        regions: the regions.
        arcs: the traced arcs between them.
        number: the united region that each becomes (R,); -1 for regions that become no data.
        work: a folder for the points of the arcs.
    """
    merged = regions.chosen(number >= 0).gathered(number[number >= 0])
    number = np.append(number, -1)
    lines = _kept(arcs, number[arcs.left], number[arcs.right], merged.value, work)
    return merged, join(lines, _onward(lines), work)


@dataclass
class _Graph:
    """Pairs of neighbours, `one` and `other` ``(E,)``, and the length of the border between them."""

    one: Ints
    other: Ints
    length: Floats

    def united(self, count: int) -> _Graph:
        """Return the graph with the borders of each pair added up, and without borders of a region with itself."""
        low, high = np.minimum(self.one, self.other), np.maximum(self.one, self.other)
        apart = low != high
        key, length = low[apart] * count + high[apart], self.length[apart]
        order = np.argsort(key, kind="stable")
        key = key[order]
        starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.zeros(0, np.int64)
        sums = np.add.reduceat(length[order], starts) if len(key) else length
        return _Graph(key[starts] // count, key[starts] % count, sums)

    def among(self, chosen: NDArray[np.bool_]) -> _Graph:
        """Return the graph of the borders for which ``chosen`` ``(E,)`` is True."""
        return _Graph(self.one[chosen], self.other[chosen], self.length[chosen])


def _hosts(regions: Regions, arcs: Arcs, area: Floats, least: float, units: tuple[float, float]) -> Ints:
    """Return the region whose value each region takes ``(R,)``: itself, if it is large enough."""
    count = len(regions)
    area, order = area.copy(), _scrambled(regions.first)
    host = np.arange(count)
    inside = (arcs.left >= 0) & (arcs.right >= 0)
    graph = _Graph(arcs.left, arcs.right, arcs.lengths(*units)).among(inside).united(count)
    while True:
        graph = graph.among((area[graph.one] < least) | (area[graph.other] < least))
        if not len(graph.one):
            break
        going, taker = _round(graph, area, order)
        if len(going) * FEW < len(graph.one):
            _one_by_one(graph, area, order, least, host)
            break
        host[going] = taker
        np.add.at(area, taker, area[going])
        graph = _Graph(host[graph.one], host[graph.other], graph.length).united(count)
    while not np.array_equal(host[host], host):
        host = host[host]
    return host


def _round(graph: _Graph, area: Floats, order: NDArray[Any]) -> tuple[Ints, Ints]:
    """Return small regions that are smaller than all of their neighbours, and the neighbour to merge each into."""
    one, other = graph.one, graph.other
    first = (area[one] < area[other]) | ((area[one] == area[other]) & (order[one] < order[other]))
    later = np.zeros(len(area), bool)
    later[np.where(first, other, one)] = True
    ahead, behind = np.where(first, one, other), np.where(first, other, one)
    ready = np.flatnonzero(~later[ahead])  # all borders of regions that are smaller than their neighbours
    ahead, behind, length = ahead[ready], behind[ready], graph.length[ready]
    best = np.lexsort((behind, -length, ahead))
    ahead, behind = ahead[best], behind[best]
    new = np.append(True, ahead[1:] != ahead[:-1])
    return ahead[new], behind[new]


def _one_by_one(graph: _Graph, area: Floats, order: NDArray[Any], least: float, host: Ints) -> None:
    """Write into ``host`` the neighbour that each small region is merged into, the smallest region first."""
    near: dict[int, dict[int, float]] = {}
    for one, other, length in zip(graph.one.tolist(), graph.other.tolist(), graph.length.tolist(), strict=True):
        near.setdefault(one, {})[other] = near.setdefault(other, {})[one] = length
    size = {region: float(area[region]) for region in near}
    waiting = [(size[region], int(order[region]), region) for region in near if size[region] < least]
    heapq.heapify(waiting)
    while waiting:
        then, _, region = heapq.heappop(waiting)
        found = near.get(region)
        if not found or size[region] != then:
            continue  # it is merged, has grown since, or has no neighbour
        _, taker = min((-length, other) for other, length in found.items())
        host[region] = taker
        size[taker] += size[region]
        del near[region], near[taker][region]
        for other, length in found.items():
            if other != taker:
                del near[other][region]
                near[other][taker] = near[taker][other] = near[taker].get(other, 0.0) + length
        if size[taker] < least:
            heapq.heappush(waiting, (size[taker], int(order[taker]), taker))


def _scrambled(first: Ints) -> NDArray[np.uint64]:
    """Return distinct numbers (R,) in an order unlike that of the raster (the finaliser of SplitMix64)."""
    key = first.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        key ^= key >> np.uint64(shift)
        key *= np.uint64(factor)
    return key ^ (key >> np.uint64(31))


def _alike(arcs: Arcs, host: Ints, value: NDArray[Any], *, diagonal: bool) -> tuple[Ints, Ints]:
    """Return pairs of regions with the same value that touch along an arc or, if ``diagonal``, at a node."""
    inside = (arcs.left >= 0) & (arcs.right >= 0)
    one, other = arcs.left[inside], arcs.right[inside]
    if diagonal:
        region = np.stack([arcs.left, arcs.right], axis=1).ravel()
        fan, starts = sort_fans(arcs)
        crossings = starts[np.diff(starts, append=len(fan)) == 4]
        for side in (0, 1):
            one = np.append(one, region[fan[crossings + side]])
            other = np.append(other, region[fan[crossings + side + 2]])
    there = (one >= 0) & (other >= 0)
    one, other = host[one[there]], host[other[there]]
    alike = value[one] == value[other]
    return one[alike], other[alike]


def _kept(arcs: Arcs, left: Ints, right: Ints, value: NDArray[Any], work: Path | None) -> Arcs:
    """Return the arcs that are still borders, reversed where the larger value is now on the right."""
    kept = np.flatnonzero(left != right)
    left, right = left[kept], right[kept]
    turned = (left < 0) | ((right >= 0) & (value[left] < value[right]))
    counts = np.diff(arcs.offsets)[kept]
    store = PointStore(work)
    for part in batches(counts, POINTS):
        many = counts[part]
        ends = np.cumsum(many)
        step = np.arange(ends[-1]) - np.repeat(ends - many, many)
        step = np.where(np.repeat(turned[part], many), np.repeat(many - 1, many) - step, step)
        store.add(np.asarray(arcs.points[np.repeat(arcs.offsets[kept[part]], many) + step]))
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    return Arcs(store.finished(), offsets, np.where(turned, right, left), np.where(turned, left, right))


def _onward(lines: Arcs) -> Ints:
    """Return the line that follows each line at a node with just two ends of lines; -1 at other nodes."""
    fan, starts = sort_fans(lines)
    onward = np.full(len(lines), -1, np.int64)
    pairs = starts[np.diff(starts, append=len(fan)) == 2]
    one, other = fan[pairs], fan[pairs + 1]
    leaving, arriving = np.where(one & 1, other, one), np.where(one & 1, one, other)
    onward[arriving >> 1] = leaving >> 1
    return onward

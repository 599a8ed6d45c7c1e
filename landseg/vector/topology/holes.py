"""Holes of objects that hold nothing else, to be filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.linked_lists import Ints, find_components


def fill_holes(arcs: Arcs, owner: Ints, areas: NDArray[np.float64], largest: float) -> Ints:
    """Return the owner of each region (R,), as it is after holes are filled.

    A hole is filled if regions without an owner are all that lies in it, if it does not reach the edge of the raster,
    and if its area is at most ``largest``. So no filled hole overlaps another polygon.

    Args:
        arcs: the arcs between the regions; region -1 is all that lies outside the raster.
        owner: the object that each region belongs to (R,); -1 for none.
        areas: the area of each region (R,).
        largest: the area of the largest hole that is filled.
    """
    count = len(owner)
    free = np.append(owner < 0, False)  # what lies outside is no part of a hole
    around = np.append(owner, -1)
    within = free[arcs.left] & free[arcs.right]
    root = find_components(count, arcs.left[within], arcs.right[within])
    least, most = np.full(count, count), np.full(count, -1)
    for one, other in ((arcs.left, arcs.right), (arcs.right, arcs.left)):
        border = np.flatnonzero(free[one] & ~free[other])
        np.minimum.at(least, root[one[border]], around[other[border]])
        np.maximum.at(most, root[one[border]], around[other[border]])
    gaps = owner < 0
    sizes = np.bincount(root[gaps], areas[gaps], minlength=count)
    filled = (least == most) & (sizes <= largest * (1 + 1e-9))
    return np.where(gaps & filled[root], least[root], owner)

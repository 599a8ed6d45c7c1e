"""Rasters that show the same ground: by their footprints where they say where they lie, else by their pixels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.errors import TrainingError
from landseg.geo.crs import connected, period
from landseg.geo.globe import footprint
from landseg.geo.grid import Grid
from landseg.geo.horizontal import same_place
from landseg.text.amounts import counted

TOUCHING = 0.01  # of the smaller footprint: neighbouring tiles may share a row or two


@dataclass(frozen=True)
class Overlap:
    """Two rasters, by position, and the part of the smaller footprint that they share."""

    first: int
    second: int
    share: float


def overlaps(grids: Sequence[Grid | None]) -> list[Overlap]:
    """Return the pairs whose footprints share more than TOUCHING, in order; rasters without a CRS have none.

    Footprints are compared in the CRS of all rasters, or in longitude and latitude where CRSs differ or come round
    the globe; a raster without a place on the globe is compared within its own CRS. A footprint is that of the pixel
    grid: corners without data belong to it.
    """
    placed = [(index, grid) for index, grid in enumerate(grids) if grid is not None and grid.crs is not None]
    if len(placed) < 2:
        return []
    common = all(same_place(grid.crs, placed[0][1].crs) for _, grid in placed[1:])
    common = common and period(placed[0][1].crs) is None
    globe = [not common and connected(grid.crs, "EPSG:4326") for _, grid in placed]
    planes = [None if known else grid.crs for known, (_, grid) in zip(globe, placed, strict=True)]
    shapes = np.array([_footprint(grid, g) for g, (_, grid) in zip(globe, placed, strict=True)], dtype=object)
    pairs = shapely.STRtree(shapes).query(shapes, predicate="intersects").T
    pairs = [(int(one), int(two)) for one, two in pairs if same_place(planes[one], planes[two])]
    found = []
    for one, two in sorted((a, b) for a, b in pairs if a < b):
        smaller = min(shapely.area(shapes[one]), shapely.area(shapes[two]))
        share = float(shapely.area(shapely.intersection(shapes[one], shapes[two])) / smaller) if smaller else 0.0
        if share > TOUCHING:
            found.append(Overlap(placed[one][0], placed[two][0], min(share, 1.0)))
    return found


class PixelHash:
    """A hash of pixels, whatever file they lie in: takes a rectangle at a time, in any fixed order."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._hash = hashlib.blake2b(repr(shape).encode(), digest_size=16)
        self._low: Any = None
        self._high: Any = None

    def update(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add pixels (C, h, w) and their validity (h, w)."""
        self._hash.update(np.ascontiguousarray(pixels).data)
        self._hash.update(np.packbits(valid).data)
        if valid.any():
            low, high = pixels[:, valid].min(), pixels[:, valid].max()
            self._low = low if self._low is None else min(low, self._low)
            self._high = high if self._high is None else max(high, self._high)

    def digest(self) -> str | None:
        """Return a digest, equal for equal pixels; None where all have one value, as empty images do."""
        return None if self._low is None or self._low == self._high else self._hash.hexdigest()


def identical(digests: Sequence[str | None]) -> list[tuple[int, ...]]:
    """Return the positions of rasters with the same digest, two or more each."""
    found: dict[str, list[int]] = {}
    for index, digest in enumerate(digests):
        if digest is not None:
            found.setdefault(digest, []).append(index)
    return [tuple(many) for many in found.values() if len(many) > 1]


def joined(count: int, ties: Iterable[Sequence[int]]) -> list[int]:
    """Return for each of ``count`` items the first item that it is tied to, directly or through others.

    >>> joined(5, [(0, 3), (3, 4)])
    [0, 1, 2, 0, 0]
    """
    first = list(range(count))

    def root(index: int) -> int:
        while first[index] != index:
            first[index] = first[first[index]]
            index = first[index]
        return index

    for tie in ties:
        roots = sorted({root(index) for index in tie})
        for other in roots[1:]:
            first[other] = roots[0]
    return [root(index) for index in range(count)]


def _footprint(grid: Grid, globe: bool) -> shapely.Geometry:
    """Return the footprint of a raster in degrees or in its own CRS; empty where it has no place on the globe."""
    if globe:
        return footprint(grid, "EPSG:4326")
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([grid.transform @ corner for corner in corners])


_PART = re.compile(r"(.+?)[ _.-]*(?:part|piece|patch|chip|crop|sub|split|window)[ _.-]*\d+(?:[ _.-]\d+)*$", re.I)
_NUMBER = re.compile(r"\d+")


def grouped(names: Sequence[str], pattern: str | None) -> list[str]:
    """Return the group of each name.

    With a ``pattern`` the group is the match of its first group (the whole match where it has no group); a name
    without a match is a group by itself, and with an empty pattern every name is. Without a pattern, names of parts
    ("tile8_part1") are of the group of the whole. Numbers alone are no evidence: grouping by them would make one
    group of most folders.

    Raises:
        TrainingError: the pattern is no regular expression, or matches no name.

    >>> grouped(["tile1_part1", "tile1_part2", "lake"], None)
    ['tile1', 'tile1', 'lake']
    >>> grouped(["2018-10-06_a", "2018-10-06_b"], r"(\\d+-\\d+)")
    ['2018-10', '2018-10']
    """
    if pattern is None:
        matches = [_PART.match(name) for name in names]
        return [name if found is None else found[1] for name, found in zip(names, matches, strict=True)]
    if not pattern:
        return list(names)
    try:
        searched = [re.search(pattern, name) for name in names]
    except re.error as error:
        raise TrainingError(f"--group '{pattern}' is no regular expression ({error}); try 'tile\\d+'") from error
    if not any(searched):
        raise TrainingError(
            f"--group '{pattern}' matches nothing in any of {counted(len(names), 'name')}, "
            f"such as {names[0]}: let it match the "
            "part that frames of one place share"
        )
    pairs = zip(names, searched, strict=True)
    return [name if found is None else (found[1] if found.re.groups else found[0]) or name for name, found in pairs]


def numbered_alike(one: str, two: str) -> bool:
    """Return whether two names differ in their numbers only, as frames of one flight do.

    >>> numbered_alike("DJI_0012", "DJI_0013"), numbered_alike("lake", "town")
    (True, False)
    """
    return one != two and _NUMBER.sub("#", one) == _NUMBER.sub("#", two)

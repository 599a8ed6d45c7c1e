"""Coverage: the polygons that lie on rasters, those that burn a pixel there, and sentences about the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, rows_within
from landseg.labels.polygons import PolygonLabels
from landseg.text.amounts import counted, part_of, shorten_list

_WIDE = 0.75  # pixels: a polygon whose area is this many times its outline is wide enough to cover a centre
_PIXELS = 1 << 22  # pixels that are burnt at a time
_NAMES = 5


class Coverage:
    """The polygons on each of many rasters, which are added one by one.

    Args:
        polygons: the labels of all rasters.
        outside: the class of all that lies outside the polygons; None: it is not known.
        what: the noun for a raster in sentences.
    """

    def __init__(self, polygons: PolygonLabels, *, outside: str | None = None, what: str = "image") -> None:
        self._polygons, self._outside, self._what = polygons, outside, what
        self._lying, self._burning = np.zeros((2, len(polygons)), bool)
        self._rasters = 0
        self._bare: list[str] = []
        self._placed: dict[str, None] = {}
        self._first: Grid | None = None

    def add(self, name: str, grid: Grid) -> None:
        """Add a raster: its name and its grid."""
        self._rasters += 1
        self._first = self._first or grid
        numbers, shapes = self._polygons.near(grid)
        inside = shapely.intersects(shapes, shapely.box(1e-6, 1e-6, grid.width - 1e-6, grid.height - 1e-6))
        numbers, shapes = numbers[inside], shapes[inside]
        if not len(numbers):
            self._bare.append(name)
            return
        if (taken := self._polygons.placed_by(grid)) is not None:
            self._placed[taken] = None
        self._lying[numbers] = True
        open_ones = np.flatnonzero(~self._burning[numbers])
        burnt = [index for index in open_ones if self._polygons.all_touched or covers_a_centre(shapes[index], grid)]
        self._burning[numbers[burnt]] = True

    @property
    def lies(self) -> bool:
        """True where any polygon lies on any raster."""
        return bool(self._lying.any())

    def nowhere(self) -> str:
        """Return the sentence that refuses polygons of which none lies on any raster."""
        path = self._polygons.path
        any_of = f"any of the {counted(self._rasters, self._what)}" if self._rasters > 1 else f"the only {self._what}"
        refusal = f"no polygon of {path} lies on {any_of}"
        frame = self._polygons.frame
        bounds = ", ".join(f"{value:.8g}" for value in frame.total_bounds)
        place = f"bounds {bounds} ({'no CRS' if frame.crs is None else crs_text(frame.crs)})"
        first = "" if self._first is None else f", the first {self._what} is {self._first.describe()}"
        fix = "assign its CRS (ogr2ogr -a_srs EPSG:...)" if frame.crs is None else "check the CRS of both"
        return f"{refusal}; check that they belong together: it has {place}{first}; {fix}"

    def sentences(self, *, bare: bool = True, away: bool = True) -> list[str]:
        """Return sentences about rasters without a polygon, polygons on no raster, and polygons that burn no pixel.

        Args:
            bare: include rasters without a polygon.
            away: include polygons on no raster.
        """
        path, count = self._polygons.path, len(self._polygons)
        found = list(self._placed)
        if self._bare and bare:
            then = "nothing is known there" if self._outside is None else f"all there is {self._outside}"
            bare_ones = f"{part_of(len(self._bare), self._rasters, self._what, 'has', 'have')} no polygon"
            found.append(f"{bare_ones}: {shorten_list(self._bare, _NAMES)}; {then}")
        if away and (elsewhere := count - int(self._lying.sum())):
            found.append(
                f"{part_of(elsewhere, count, 'polygon')} "
                f"of {path} {'lies' if elsewhere == 1 else 'lie'} on no {self._what}"
            )
        if thin := int((self._lying & ~self._burning).sum()):
            found.append(
                f"{part_of(thin, count, 'polygon')} "
                f"of {path} {'covers' if thin == 1 else 'cover'} no pixel's centre, "
                f"so nothing is burnt for {'it' if thin == 1 else 'them'}: use --all-touched, or smaller pixels"
            )
        return found


def covers_a_centre(shape: Any, grid: Grid) -> bool:
    """Return whether a polygon in a grid's pixels (x = column, y = row) covers the centre of any of them."""
    left, top, right, bottom = shapely.bounds(shape)
    columns = max(0, int(np.ceil(left - 0.5))), min(grid.width, int(np.floor(right - 0.5)) + 1)
    rows = max(0, int(np.ceil(top - 0.5))), min(grid.height, int(np.floor(bottom - 0.5)) + 1)
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        return False
    within = left >= 0 and top >= 0 and right <= grid.width and bottom <= grid.height
    if within and shape.area > _WIDE * shape.length:
        return True
    under = Rect(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])
    upwards = shapely.transform(shape, lambda points: points * [1, -1])
    return any(_burns(upwards, strip) for strip in cut(under, rows_within(_PIXELS, under.width)))


def _burns(shape: Any, rect: Rect) -> bool:
    from rasterio.features import rasterize

    place = Affine(1, 0, rect.left, 0, -1, -rect.top)
    burnt: NDArray[np.uint8] = rasterize([shape], out_shape=rect.shape, transform=place, dtype="uint8")
    return bool(burnt.any())

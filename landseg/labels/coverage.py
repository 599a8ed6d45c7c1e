"""Coverage: the polygons of files that lie on rasters, those that burn a pixel, and sentences about the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from landseg.geo.crs import crs_text
from landseg.geo.grid import Grid, Rect
from landseg.geo.pieces import cut, rows_within
from landseg.labels.polygons import PolygonLabels
from landseg.text.amounts import counted, part_of, plural, shorten_list

_WIDE = 0.75  # pixels: a polygon whose area is this many times its outline is wide enough to cover a centre
_PIXELS = 1 << 22  # pixels that are burnt at a time
_NAMES = 5


class _Lying:
    """The polygons of one file that lie on rasters and those that burn a pixel, by their number.

    Attributes:
        polygons: of the file.
        raster: the grid of the first raster that they label.
    """

    def __init__(self, polygons: PolygonLabels, raster: Grid) -> None:
        self.polygons, self.raster = polygons, raster
        self.lying, self.burning = np.zeros((2, len(polygons)), bool)

    @property
    def astray(self) -> bool:
        """True where the file has polygons, and none lies on any raster that they label."""
        return len(self.polygons) > 0 and not self.lying.any()


class Coverage:
    """The polygons on each of many rasters, which are added one by one.

    Args:
        outside: the class of all that lies outside the polygons; None: it is not known.
        what: the noun for a raster in sentences.
    """

    def __init__(self, *, outside: str | None = None, what: str = "image") -> None:
        self._outside, self._what = outside, what
        self._files: dict[int, _Lying] = {}
        self._rasters = 0
        self._bare: list[str] = []
        self._placed: dict[str, None] = {}

    def add(self, polygons: PolygonLabels, name: str, grid: Grid) -> None:
        """Add a raster that polygons label: its name and its grid."""
        self._rasters += 1
        if id(polygons) not in self._files:
            self._files[id(polygons)] = _Lying(polygons, grid)
        file = self._files[id(polygons)]
        numbers, shapes = polygons.near(grid)
        inside = shapely.intersects(shapes, shapely.box(1e-6, 1e-6, grid.width - 1e-6, grid.height - 1e-6))
        numbers, shapes = numbers[inside], shapes[inside]
        if not len(numbers):
            self._bare.append(name)
            return
        if (taken := polygons.placed_by(grid)) is not None:
            self._placed[taken] = None
        file.lying[numbers] = True
        open_ones = np.flatnonzero(~file.burning[numbers])
        burnt = [index for index in open_ones if polygons.all_touched or covers_a_centre(shapes[index], grid)]
        file.burning[numbers[burnt]] = True

    def is_astray(self, polygons: PolygonLabels) -> bool:
        """Return whether there are polygons, and none of them lies on any raster that they label."""
        file = self._files.get(id(polygons))
        return file is not None and file.astray

    @property
    def lies(self) -> bool:
        """True where any polygon lies on any raster."""
        return any(file.lying.any() for file in self._files.values())

    def nowhere(self) -> str | None:
        """Return the sentence that refuses files of which no polygon lies on any raster that they label, or None."""
        astray = [file for file in self._files.values() if file.astray]
        if not astray:
            return None
        path, frame = astray[0].polygons.path, astray[0].polygons.frame
        any_of = f"any of the {counted(self._rasters, self._what)}" if self._rasters > 1 else f"the only {self._what}"
        refusal, it, of = f"no polygon of {path} lies on {any_of}", "it", f"the first {self._what}"
        if len(self._files) > 1:
            many = part_of(len(astray), len(self._files), "vector file", "has", "have")
            their = f"its {self._what}" if len(astray) == 1 else f"their {plural(self._what)}"
            refusal = f"{many} no polygon on {their}: {_names(astray)}"
            it, of = "it" if len(astray) == 1 else "the first", f"its {self._what}"
        bounds = ", ".join(f"{value:.8g}" for value in frame.total_bounds)
        place = f"bounds {bounds} ({'no CRS' if frame.crs is None else crs_text(frame.crs)})"
        fix = "assign its CRS (ogr2ogr -a_srs EPSG:...)" if frame.crs is None else "check the CRS of both"
        beside = f"{of} is {astray[0].raster.describe()}"
        return f"{refusal}; check that they belong together: {it} has {place}, {beside}; {fix}"

    def sentences(self, *, bare: bool = True, away: bool = True) -> list[str]:
        """Return sentences about rasters without a polygon, polygons on no raster, and polygons that burn no pixel.

        Args:
            bare: include rasters without a polygon.
            away: include polygons on no raster.
        """
        found = list(shorten_notes([(sentence,) for sentence in self._placed]))
        if self._bare and bare:
            then = "nothing is known there" if self._outside is None else f"all there is {self._outside}"
            bare_ones = f"{part_of(len(self._bare), self._rasters, self._what, 'has', 'have')} no polygon"
            found.append(f"{bare_ones}: {shorten_list(self._bare, _NAMES)}; {then}")
        elsewhere = {number: ~file.lying for number, file in self._files.items()}
        thin = {number: file.lying & ~file.burning for number, file in self._files.items()}
        if away and (count := sum(int(mask.sum()) for mask in elsewhere.values())):
            found.append(f"{self._polygons(elsewhere)} {'lies' if count == 1 else 'lie'} on no {self._what}")
        if count := sum(int(mask.sum()) for mask in thin.values()):
            found.append(
                f"{self._polygons(thin)} {'covers' if count == 1 else 'cover'} no pixel's centre, "
                f"so nothing is burnt for {'it' if count == 1 else 'them'}: use --all-touched, or smaller pixels"
            )
        return found

    def _polygons(self, some: Mapping[int, NDArray[np.bool_]]) -> str:
        """Return how many polygons of the files that have such are among some polygons of each file."""
        files = {number: mask for number, mask in some.items() if mask.any()}
        count, whole = (sum(int(size(mask)) for mask in files.values()) for size in (np.count_nonzero, len))
        return f"{part_of(count, whole, 'polygon')} of {_names([self._files[number] for number in files])}"


def _names(files: Sequence[_Lying]) -> str:
    return shorten_list([str(file.polygons.path) for file in files], _NAMES)


def shorten_notes(notes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the notes about each of several files: those about the first few files, and the number of the others.

    >>> shorten_notes([["a: one left out"], [], ["b: two left out"]])
    ('a: one left out', 'b: two left out')
    >>> shorten_notes([[f"{number}: one left out"] for number in range(7)])[4:]
    ('4: one left out', '2 more vector files have notes like these')
    """
    some = [own for own in notes if own]
    more = len(some) - _NAMES
    rest = [f"{counted(more, 'more vector file has', 'more vector files have')} notes like these"] if more > 0 else []
    return (*(note for own in some[:_NAMES] for note in own), *rest)


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

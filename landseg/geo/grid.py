"""Rect and Grid: pixel rectangles and georeferenced pixel grids. Arithmetic only, no files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyproj
from affine import Affine
from rasterio.crs import CRS

from landseg.errors import GridError
from landseg.geo.crs import Floats, as_pyproj, crs_text, degree, transformer, unit_m
from landseg.geo.horizontal import same_place
from landseg.text.amounts import counted

SAME_PIXEL = 0.05
"""The part of a pixel below which two positions count as one: stored transforms are rounded."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A half-open pixel rectangle: rows top..bottom-1, columns left..right-1.

    >>> Rect(2, 3, 4, 5).intersection(Rect(0, 0, 4, 4))
    Rect(top=2, left=3, height=2, width=1)
    """

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise GridError(f"a rectangle of {self.width} x {self.height} pixels: expected 0 x 0 or more")

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.left + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this rectangle in an array whose pixel (0, 0) is the raster's."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def shifted(self, dy: int, dx: int) -> "Rect":
        """Return the rectangle moved `dy` rows down and `dx` columns to the right."""
        return Rect(self.top + dy, self.left + dx, self.height, self.width)

    def relative_to(self, other: "Rect") -> "Rect":
        """Return the rectangle in coordinates whose origin is `other`'s top left pixel."""
        return self.shifted(-other.top, -other.left)

    def intersection(self, other: "Rect") -> "Rect | None":
        """Return the rectangle of the shared pixels; None where no pixel is shared."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Rect(top, left, bottom - top, right - left) if bottom > top and right > left else None

    def union(self, other: "Rect") -> "Rect":
        """Return the smallest rectangle that holds both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Rect(top, left, max(self.bottom, other.bottom) - top, max(self.right, other.right) - left)

    def contains(self, other: "Rect") -> bool:
        """Return whether every pixel of `other` lies inside."""
        rows = self.top <= other.top and other.bottom <= self.bottom
        return rows and self.left <= other.left and other.right <= self.right


class ControlPoint(NamedTuple):
    """A ground control point: the pixel position (row, col; corners are whole) that lies at (x, y, z)."""

    row: float
    col: float
    x: float
    y: float
    z: float = 0.0


@dataclass(frozen=True)
class Grid:
    """A georeferenced pixel grid.

    `transform` maps (col, row) of pixel corners to the CRS; for a raster that has only control points it is
    their affine fit, and `gcps` keeps the points.

    Raises:
        GridError: a size below one pixel, or a transform that cannot be inverted.
    """

    crs: CRS | None
    transform: Affine
    width: int
    height: int
    gcps: tuple[ControlPoint, ...] | None = None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise GridError(f"a raster of {self.width} x {self.height} pixels: expected at least 1 x 1")
        if not all(map(math.isfinite, self.transform)) or self.transform.determinant == 0:
            raise GridError(f"transform {tuple(self.transform)[:6]} has no inverse: georeference it anew")

    @classmethod
    def from_control_points(
        cls, crs: CRS | None, gcps: tuple[ControlPoint, ...], *, width: int, height: int
    ) -> "Grid":
        """Return the grid whose transform fits the control points best, in the least-squares sense.

        Raises:
            GridError: fewer than three points, or points on one line.
        """
        points = np.array([point[:4] for point in gcps], dtype=np.float64).reshape(-1, 4)
        centre = points.mean(axis=0) if gcps else np.zeros(4)
        pixels, places = points[:, [1, 0]] - centre[[1, 0]], points[:, 2:] - centre[2:]
        if np.linalg.matrix_rank(pixels) < 2 or np.linalg.matrix_rank(places) < 2:
            raise GridError(f"{counted(len(gcps), 'control point')}: expected at least 3 that are not on one line")
        (a, d), (b, e) = np.linalg.lstsq(pixels, places, rcond=None)[0].tolist()
        linear = Affine(a, b, float(centre[2]), d, e, float(centre[3]))
        transform = linear @ Affine.translation(-float(centre[1]), -float(centre[0]))
        return cls(crs, transform, width, height, gcps)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def rect(self) -> Rect:
        """Every pixel."""
        return Rect(0, 0, self.height, self.width)

    @property
    def is_placed(self) -> bool:
        """True if the grid has a place: a CRS, or a transform other than the identity."""
        return self.crs is not None or not self.transform.is_identity

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in CRS units: the box around all four corners, however the grid lies."""
        corners = [self.transform @ corner for corner in self._corners]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def map_transform(self) -> Affine:
        """Pixel corners to the coordinates of vector files: `transform`, wherever the raster has one.

        A raster without any georeference is drawn by GIS programs with x = column and y = -row, so vectors that
        are to lie on it, made or read, are in these coordinates.
        """
        if self.crs is None and self.transform == Affine.identity():
            return Affine.scale(1, -1)
        return self.transform

    @cached_property
    def resolution_m(self) -> float | None:
        """Metres on the ground of a pixel's edge at the centre, along the ellipsoid; None where the CRS cannot say.

        The square root of the product of both pixel edges, so that its square is a pixel's area.
        """
        if self.crs is None:
            return None
        edges = self._centre_edges()
        if edges is None:
            return math.sqrt(abs(self.transform.determinant)) * self._unit_m or None
        across, down = edges
        return math.sqrt(across * down) or None

    @cached_property
    def pixel_size_m(self) -> tuple[float, float] | None:
        """(height, width) of the centre pixel in metres on the ground; None where the CRS cannot say."""
        if self.crs is None:
            return None
        edges = self._centre_edges()
        if edges is None:
            a, b, _, d, e, _ = tuple(self.transform)[:6]
            edges = math.hypot(a, d) * self._unit_m, math.hypot(b, e) * self._unit_m
        across, down = edges
        return (down, across) if across and down else None

    @property
    def resolution_text(self) -> str:
        """The resolution for a sentence: "0.15 m", or "unknown resolution"."""
        return metres_text(self.resolution_m)

    def scaled(self, factor: float) -> "Grid":
        """Return the same footprint in pixels `factor` times as large; the last pixels may reach beyond it.

        >>> Grid(None, Affine.identity(), 10, 7).scaled(2.0).shape
        (4, 5)
        """
        if not (math.isfinite(factor) and factor > 0):
            raise GridError(f"scale factor {factor}: expected a number above 0")
        gcps = self.gcps and tuple(p._replace(row=p.row / factor, col=p.col / factor) for p in self.gcps)
        return Grid(
            self.crs,
            self.transform @ Affine.scale(factor),
            scaled_size(self.width, factor),
            scaled_size(self.height, factor),
            gcps,
        )

    def crop(self, rect: Rect) -> "Grid":
        """Return the part under `rect`, which may reach beyond the grid."""
        gcps = self.gcps and tuple(p._replace(row=p.row - rect.top, col=p.col - rect.left) for p in self.gcps)
        moved = self.transform @ Affine.translation(rect.left, rect.top)
        return replace(self, transform=moved, width=rect.width, height=rect.height, gcps=gcps)

    def offset_of(self, other: "Grid") -> tuple[int, int] | None:
        """Return the (row, column) of this grid where `other` starts; None where its pixels are not this grid's."""
        if not same_place(self.crs, other.crs):
            return None
        into = ~self.transform @ other.transform  # pixels of other -> pixels of this grid
        dx, dy = round(into.c), round(into.f)
        for corner in other._corners:
            x, y = into @ corner
            if max(abs(x - corner[0] - dx), abs(y - corner[1] - dy)) > SAME_PIXEL:
                return None
        return dy, dx

    def same_as(self, other: "Grid") -> bool:
        """Return whether both have the same pixels: size, CRS and, to a twentieth of a pixel, place."""
        return self.shape == other.shape and self.offset_of(other) == (0, 0)

    def describe(self) -> str:
        """Return one line for error sentences: size, CRS, bounds, resolution."""
        bounds = ", ".join(f"{value:.8g}" for value in self.bounds)
        size = f"{self.width} x {self.height} px"
        return f"{size}, {crs_text(self.crs)}, bounds {bounds}, {self.resolution_text}"

    def to_json(self) -> dict[str, Any]:
        """Return the grid as JSON values, equal for equal grids."""
        crs = None if self.crs is None else self.crs.to_wkt()
        gcps = None if self.gcps is None else [list(point) for point in self.gcps]
        transform = list(self.transform)[:6]
        return {"crs": crs, "transform": transform, "width": self.width, "height": self.height, "gcps": gcps}

    @property
    def _corners(self) -> tuple[tuple[int, int], ...]:
        return (0, 0), (self.width, 0), (0, self.height), (self.width, self.height)

    @property
    def _unit_m(self) -> float:
        """Metres in a unit of the CRS; 0 where it cannot say."""
        return unit_m(as_pyproj(self.crs)) or 0.0

    def _centre_edges(self) -> tuple[float, float] | None:
        """Return both edges of the centre pixel in metres; None where the CRS has no place on the globe."""
        edges = self.edges_m([self.width / 2], [self.height / 2])
        if edges is None or not np.isfinite(edges).all():
            return None
        across, down = edges[0].tolist()
        return across, down

    def edges_m(self, columns: Sequence[float], rows: Sequence[float]) -> Floats | None:
        """Return the metres on the ground from column to column and from row to row at N positions, (N, 2).

        nan where a position has no place on the globe; None where the CRS has no place on it at all.
        """
        crs = as_pyproj(self.crs)
        base, geod = crs.geodetic_crs, crs.get_geod()
        if base is None or geod is None:
            return None
        ends = [
            end
            for col, row in zip(columns, rows, strict=True)
            for end in ((col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5))
        ]
        xs, ys = np.array([self.transform @ end for end in ends]).T
        lon, lat = (np.asarray(side) * degree(base) for side in transformer(crs, base).transform(xs, ys))
        there = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90)
        lon, lat = np.where(there, lon, np.nan).reshape(-1, 2), np.where(there, lat, np.nan).reshape(-1, 2)
        found = np.asarray(geod.inv(lon[:, 0], lat[:, 0], lon[:, 1], lat[:, 1])[2], np.float64).reshape(-1, 2)
        found[~there.reshape(-1, 4).all(axis=1)] = np.nan
        return found


def placed(transform: Affine, points: Floats) -> Floats:
    """Return points (N, 2), x and y, through a transform.

    >>> placed(Affine.translation(10, 0), np.array([[1.0, 2.0]])).tolist()
    [[11.0, 2.0]]
    """
    x, y = points.T
    t = transform
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1)


def map_crs(grid: Grid) -> pyproj.CRS | None:
    """Return the CRS of a grid as pyproj has it, in all its details; None where the grid has no CRS."""
    return None if grid.crs is None else pyproj.CRS.from_wkt(grid.crs.to_wkt(version="WKT2_2019"))


def scaled_size(size: int, factor: float) -> int:
    """Return the number of pixels, `factor` times as large, that cover `size` pixels."""
    return max(1, math.ceil(size / factor - 1e-6))  # 3 / 0.1 is 30.000000000000004, and means 30


def metres_text(metres: float | None) -> str:
    """Return a length with three significant digits and its unit.

    >>> metres_text(0.14929), metres_text(30.0), metres_text(None)
    ('0.149 m', '30 m', 'unknown resolution')
    """
    return "unknown resolution" if metres is None else f"{metres:.3g} m"

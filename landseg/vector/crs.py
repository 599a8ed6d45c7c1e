"""The coordinate system of an output, and shapes reprojected to it, cut where its coordinates end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from landseg.errors import GridError, VectorError
from landseg.geo.crs import Floats, crs_text, degree, is_mercator, transformer
from landseg.geo.globe import degrees_of, on_globe, pole_points, projected, rebuilt, seam, through_poles
from landseg.geo.grid import Grid, map_crs, placed
from landseg.output.vector_formats import GEOJSON, Format

CRS84 = "OGC:CRS84"
_NET = 129  # positions along each side of a raster at which its longitudes are examined
_STRAIGHT = 0.1  # pixels that the image of an edge may be off the straight line between its ends
_FINER, _AROUND = 4, 64.0  # parts of a step near a pole, and the radius around it in pixels
_LEVEL = 1e-6  # pixels; smaller distances count as 0
_SAMPLES = 9  # positions along each side of a raster at which edges are examined

Shapes = NDArray[Any]


def output_crs(form: Format, grid: Grid, text: str | None, *, name: str) -> pyproj.CRS | None:
    """Return the CRS of a raster's shapes for an option such as "EPSG:32633"; without the option, that of the raster.

    For GeoJSON it is that of the raster: the writer of GeoJSON converts it to WGS 84.

    Raises:
        GridError: there is no such CRS, or it is no map, or the raster, called `name`, has no CRS.
        VectorError: the option asks for GeoJSON in another CRS than WGS 84.
    """
    own = map_crs(grid)
    if text is None:
        return own
    try:
        crs = pyproj.CRS.from_user_input(int(text) if text.isdigit() else text)
    except pyproj.exceptions.CRSError as error:
        raise GridError(f"--crs {text}: expected a coordinate system such as EPSG:32633") from error
    if own is None:
        raise GridError(f"{name} has no coordinate system to turn into {text}: assign one (gdal_edit -a_srs)")
    if not (crs.is_projected or crs.is_geographic):
        raise GridError(f"--crs {text} is no map: expected a projected or geographic system such as EPSG:32633")
    if form is not GEOJSON:
        return crs
    if crs not in (pyproj.CRS.from_epsg(4326), pyproj.CRS.from_user_input(CRS84)):
        raise VectorError("GeoJSON is in WGS 84 by its definition: leave --crs out, or write a .gpkg")
    return own


@dataclass(frozen=True)
class Reprojection:
    """The way from the map of a raster to the CRS of a file of its shapes.

    Attributes:
        crs: the CRS of the file; None: pixel coordinates.
        many: whether shapes may get several parts, so that their kind in the file is "Multi...".
    """

    crs: pyproj.CRS | None
    many: bool = False
    _steps: tuple[Callable[[Shapes], Shapes], ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, form: Format, grid: Grid, crs: pyproj.CRS | None, *, asked: bool = False) -> Reprojection:
        """Return the reprojection for a raster and a format.

        Args:
            form: the format; the writer of GeoJSON converts to WGS 84, unless shapes have to be cut here.
            grid: the grid of the raster.
            crs: the result of `output_crs`.
            asked: whether an option named that CRS: then longitudes beyond 180 are brought back, else they stay as in
                the raster.

        Raises:
            GridError: no transformation is known, or the raster reaches where the CRS has no place.
        """
        own = map_crs(grid)
        if own is None or crs is None:
            return cls(crs)
        target = pyproj.CRS.from_user_input(CRS84) if form is GEOJSON else crs
        _check_way(own, target, form)
        if own == target and not (target.is_geographic and (asked or form is GEOJSON)):
            return cls(crs)
        base = target if target.is_geographic else target.geodetic_crs
        if base is None:
            return cls(crs, False, (lambda shapes: reproject(shapes, own, crs),))
        net = _net(grid, own, base)
        dense = _densely(grid, own, target)
        centre = 0.0 if target.is_geographic else _centre(target, net)
        if centre is None or not _crossed(grid, own, base, net, centre):
            return cls(crs, False, (*dense, lambda shapes: reproject(shapes, own, crs)))
        poles = pole_points(own, base)
        if is_mercator(target) and _holds(grid, poles):
            raise GridError(f"a pole lies in the raster and has no place in {crs_text(target)}: choose another --crs")

        def cut(shapes: Shapes) -> Shapes:
            found = on_globe(through_poles(shapes, poles), own, base, centre=centre)
            if target.is_geographic:
                unit = degree(target)
                return found if unit == 1 else np.asarray(shapely.transform(found, lambda points: points / unit))
            return _checked(projected(found, base, target, centre), target)

        return cls(target, form is not GEOJSON, (*dense, cut))  # GeoJSON mixes kinds

    def kind(self, single: str) -> str:
        """Return the kind of the shapes in the file, for their kind on the map of the raster."""
        return f"Multi{single}" if self.many and single in ("Polygon", "LineString") else single

    def __call__(self, shapes: Shapes) -> Shapes:
        """Return shapes (N,) on the map of the raster in the CRS of the file.

        Raises:
            GridError: shapes have no place in that CRS.
        """
        for step in self._steps if len(shapes) else ():
            shapes = step(shapes)
        return shapes


def check_way(form: Format, grid: Grid) -> None:
    """Refuse, before any work, a format that the shapes of a raster cannot be written in.

    Raises:
        GridError: the format is GeoJSON, and no transformation is known from the CRS of the raster to WGS 84.
    """
    own = map_crs(grid)
    if own is not None and form is GEOJSON:
        _check_way(own, pyproj.CRS.from_user_input(CRS84), form)


def _check_way(own: pyproj.CRS, target: pyproj.CRS, form: Format) -> None:
    try:
        transformer(own, target)
    except GridError as error:
        if form is not GEOJSON:
            raise
        raise GridError(
            f"GeoJSON is in WGS 84 by its definition, and no transformation is known to it from {crs_text(own)}: "
            "write a .gpkg"
        ) from error


def _net(grid: Grid, own: pyproj.CRS, base: pyproj.CRS) -> Floats:
    """Return longitudes and latitudes in degrees of a net over a raster and its edges (rows, columns, 2)."""
    x, y = np.meshgrid(np.linspace(0, grid.width, _NET), np.linspace(0, grid.height, _NET))
    positions = placed(grid.map_transform, np.stack([x.ravel(), y.ravel()], axis=1))
    return np.asarray(degrees_of(own, base)(positions).reshape(*x.shape, 2))


def _centre(target: pyproj.CRS, net: Floats) -> float | None:
    """Return the longitude opposite to where a projection is torn near a raster; None where it is not torn."""
    latitudes = net[..., 1][np.isfinite(net).all(axis=-1)]
    if not len(latitudes):
        return None
    torn = seam(target, float(np.clip(np.median(latitudes), -89, 89)))
    return None if torn is None else (torn + 360) % 360 - 180


def _crossed(grid: Grid, own: pyproj.CRS, base: pyproj.CRS, net: Floats, centre: float) -> bool:
    """Return whether a raster crosses the meridian opposite to a centre, or reaches a pole."""
    lon, lat = net[..., 0] - centre, net[..., 1]
    if own.is_geographic:
        return bool((np.abs(lon) > 180).any() or (np.abs(lat) > 90).any())
    if _holds(grid, pole_points(own, base)):
        return True
    with np.errstate(invalid="ignore"):
        lon = lon - 360 * np.round(lon / 360)
        return any(bool((np.abs(np.diff(lon, axis=axis)) > 180).any()) for axis in (0, 1))


def _holds(grid: Grid, points: Floats) -> bool:
    """Return whether a raster holds any of the points on the map (N, 2)."""
    x, y = placed(~grid.map_transform, points).T
    return bool(((x >= 0) & (x <= grid.width) & (y >= 0) & (y <= grid.height)).any())


def _densely(grid: Grid, own: pyproj.CRS, target: pyproj.CRS) -> tuple[Callable[[Shapes], Shapes], ...]:
    """Return the step that gives corners to long edges which are not straight in another CRS; () where all are."""
    longest = max(grid.width, grid.height)
    poles = pole_points(own, target.geodetic_crs or target)
    step = 1 if _holds(grid, poles) else 1 << math.ceil(math.log2(longest))
    while step > 1 and _bend(grid, own, target, min(step, longest)) > _STRAIGHT:
        step //= 2
    pixels = placed(~grid.map_transform, poles)
    return () if step >= longest else (lambda shapes: _dense(shapes, grid, step, pixels),)


def _bend(grid: Grid, own: pyproj.CRS, target: pyproj.CRS, step: float) -> float:
    """Return how far, in pixels, an edge of ``step`` pixels bends from a straight line in another CRS at most."""
    base = target if target.is_geographic else None
    move = degrees_of(own, base) if base is not None else _mover(own, target)
    worst = 0.0
    for dx, dy in ((step, 0.0), (0.0, step)):
        x, y = np.meshgrid(
            np.linspace(0, max(0.0, grid.width - dx), _SAMPLES), np.linspace(0, max(0.0, grid.height - dy), _SAMPLES)
        )
        start, middle, end = (
            move(placed(grid.map_transform, np.stack([x.ravel() + part * dx, y.ravel() + part * dy], axis=1)))
            for part in (0.0, 0.5, 1.0)
        )
        middle, end = middle - start, end - start
        with np.errstate(invalid="ignore", divide="ignore"):
            if base is not None:
                for part in (middle, end):
                    part[:, 0] = (part[:, 0] - 360 * np.round(part[:, 0] / 360)) * np.cos(np.radians(start[:, 1]))
            off = np.hypot(*(middle - end / 2).T) / np.hypot(*end.T) * step
        known = off[np.isfinite(off)]
        worst = max(worst, float(known.max()) if len(known) else 0.0)
    return worst


def _mover(own: pyproj.CRS, target: pyproj.CRS) -> Callable[[Floats], Floats]:
    move = transformer(own, target)
    return lambda points: np.stack(move.transform(points[:, 0], points[:, 1]), axis=1)


def _dense(shapes: Shapes, grid: Grid, step: int, poles: Floats) -> Shapes:
    """Return shapes with corners at every ``step`` pixels of the raster, the same on both sides of a border.

    Around ``poles`` (n, 2), in pixels, there are more corners: there meridians turn most along one pixel.
    """
    back, out = ~grid.map_transform, grid.map_transform

    def with_corners(line: Floats) -> Floats:
        pixels = placed(back, line)
        indices, added = [], []
        for at in np.flatnonzero(_long(pixels, step / _FINER if len(poles) else step)).tolist():
            corners = _between(pixels[at], pixels[at + 1], step, poles)
            indices += [at + 1] * len(corners)
            added.append(placed(out, corners))
        return np.insert(line, indices, np.concatenate(added), axis=0) if indices else line

    dense = np.array(shapes, dtype=object)
    for at in np.flatnonzero(shapely.get_dimensions(dense) > 0).tolist():
        dense[at] = rebuilt(dense[at], with_corners)
    return dense


def _long(pixels: Floats, step: float) -> NDArray[np.bool_]:
    """Return (N - 1,) True for edges of a line in pixels (N, 2) that may get corners."""
    cells = np.floor(pixels / step)
    far = np.abs(np.diff(pixels, axis=0)).max(axis=1) > step
    return np.asarray(far | (np.diff(cells, axis=0) != 0).any(axis=1))


def _between(start: Floats, end: Floats, step: int, poles: Floats) -> Floats:
    """Return corners (n, 2) between the ends of an edge, from its start on; the reversed edge has the same corners.

    Along rows and columns they are at multiples of the step, so that edges that share a part of a line share them;
    elsewhere at even distances.
    """
    turned = tuple(start) > tuple(end)
    low, high = (end, start) if turned else (start, end)
    way = high - low
    axis = int(np.argmax(np.abs(way)))
    if abs(way[1 - axis]) < _LEVEL:
        least, most = sorted((low[axis], high[axis]))
        parts = np.arange(math.floor(least / step * _FINER) + 1, math.ceil(most / step * _FINER))
        found = np.repeat(low[None], len(parts), axis=0)
        found[:, axis] = (parts // _FINER + 0.5) * step
        kept = (parts % _FINER == 0) | _near(found, poles)
        at = parts * (step / _FINER)
        found[:, axis] = at
        found = found[kept & (at > least + _LEVEL) & (at < most - _LEVEL)]
        found = found if low[axis] < high[axis] else found[::-1]
    else:
        finer = _FINER if _near((low + high)[None] / 2, poles).any() else 1
        pieces = max(1, math.ceil(abs(way[axis]) / step * finer - _LEVEL))
        found = low + way * (np.arange(1, pieces) / pieces)[:, None]
    return np.asarray(found[::-1] if turned else found)


def _near(points: Floats, poles: Floats) -> NDArray[np.bool_]:
    """Return (N,) True for points (N, 2) near one of the poles (n, 2), both in pixels."""
    far = np.hypot(*(points[:, None] - poles[None]).transpose(2, 0, 1))
    return np.asarray((far < _AROUND).any(axis=1))


def reproject(shapes: Shapes, own: pyproj.CRS | None, crs: pyproj.CRS | None) -> Shapes:
    """Return shapes (N,) in another CRS, corner by corner, so that shared borders stay shared.

    Raises:
        GridError: shapes have no place there, or no transformation is known.
    """
    if own is None or crs is None or own == crs:
        return shapes
    return _checked(np.asarray(shapely.transform(shapes, _mover(own, crs))), crs)


def _checked(shapes: Shapes, crs: pyproj.CRS) -> Shapes:
    """Return the shapes.

    Raises:
        GridError: shapes have no place in the CRS.
    """
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise GridError(f"parts of the raster have no place in {crs_text(crs)}: choose another --crs")
    return shapes

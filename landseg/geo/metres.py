"""Metres on the ground: of a unit of coordinates at the place of a geometry, and of a pixel of a raster."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from landseg.geo.crs import as_pyproj, degree, transformer, unit_m
from landseg.geo.grid import Grid

_ALIKE = 1e-3  # of a length: pixels that differ by no more are taken for equally large
_RIGHT = 1e-5  # of a cosine: rounding turns pixel edges by less than that
_SAMPLES = 5  # places along either side of a raster


def pixel_steps(grid: Grid) -> Affine:
    """Return the transform of steps of a pixel, right and down, into metres on the ground at the raster's centre.

    Lengths and angles are right; the direction of north is left out. One metre a pixel where there is no CRS.

    >>> pixel_steps(Grid(None, Affine.identity(), 4, 4)) == Affine.identity()
    True
    """
    height, width = grid.pixel_size_m or (1.0, 1.0)
    return _steps(width, height, 0.0 if grid.pixel_size_m is None else _cosine(grid))


def longest_steps(grid: Grid) -> Affine:
    """Return steps as `pixel_steps` does, in which no distance is shorter than on the ground anywhere in the raster.

    They are those at the centre where pixels are equally large everywhere, to a thousandth.
    """
    centre = pixel_steps(grid)
    vectors = _vectors(grid)
    if vectors is None:
        return centre
    across, down = vectors
    if abs(centre.b) <= _RIGHT * abs(centre.e) and (np.abs(_cosines(across, down)) <= _RIGHT).all():
        sizes = (centre.a, np.abs(across).max()), (centre.e, np.abs(down).max())
        return Affine.scale(*(float(most) if most > (1 + _ALIKE) * here else here for here, most in sizes))
    back = np.linalg.inv([[centre.a, centre.b], [centre.d, centre.e]])
    each = np.stack([[across.real, down.real], [across.imag, down.imag]]).transpose(2, 0, 1) @ back
    longer = float(np.linalg.norm(each, 2, axis=(1, 2)).max())
    return Affine.scale(longer) @ centre if longer > 1 + _ALIKE else centre


def _steps(width: float, height: float, cosine: float) -> Affine:
    """Return the transform whose pixel has edges of two lengths with an angle between them, the first along x."""
    if abs(cosine) <= _RIGHT:
        return Affine.scale(width, height)
    return Affine(width, height * cosine, 0, 0, height * math.sqrt(1 - cosine**2), 0)


def _cosine(grid: Grid) -> float:
    """Return the cosine of the angle between the edges of the centre pixel, on the ground or else in the plane."""
    vectors = _vectors(grid, samples=1)
    if vectors is not None:
        return float(_cosines(*vectors)[0])
    t = grid.transform
    return (t.a * t.b + t.d * t.e) / (math.hypot(t.a, t.d) * math.hypot(t.b, t.e))


def _cosines(one: NDArray[np.complex128], other: NDArray[np.complex128]) -> NDArray[np.float64]:
    return np.asarray((one * other.conj()).real / (np.abs(one) * np.abs(other)))


def _vectors(grid: Grid, *, samples: int = _SAMPLES) -> tuple[NDArray[np.complex128], NDArray[np.complex128]] | None:
    """Return pixel edges across and down, in metres north + i east, spread over a raster; None without a place."""
    if grid.crs is None:
        return None
    crs = as_pyproj(grid.crs)
    base, geod = crs.geodetic_crs, crs.get_geod()
    if base is None or geod is None:
        return None
    shares = (np.arange(samples) / (samples - 1)) if samples > 1 else np.full(1, 0.5)
    col, row = (axis.ravel() for axis in np.meshgrid(shares * grid.width, shares * grid.height))
    ends = np.stack([(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)])
    t = grid.transform
    xs, ys = (p * ends[:, 0] + q * ends[:, 1] + r for p, q, r in ((t.a, t.b, t.c), (t.d, t.e, t.f)))
    lon, lat = transformer(crs, base).transform(xs, ys)
    known = np.isfinite(lon).all(axis=0) & (np.abs(np.where(np.isfinite(lat), lat, 99)) <= 90).all(axis=0)
    if not known.any():
        return None
    lon, lat = lon[:, known], lat[:, known]
    across, down = (
        length * np.exp(1j * np.radians(azimuth))
        for azimuth, _, length in (geod.inv(lon[i], lat[i], lon[i + 1], lat[i + 1]) for i in (0, 2))
    )
    return across, down


def metres_per_unit(geometries: NDArray[Any], crs: Any) -> NDArray[np.float64]:
    """Return the metres on the ground of one unit of x and of one unit of y at each geometry: (N, 2).

    Measured on the ellipsoid at the middle of each geometry's bounds; right angles in coordinates scaled by it are
    right angles on the ground, for geometries of up to a few kilometres in any CRS whose axes are at right angles
    there. A CRS that has no place on the globe counts by its unit, and coordinates without a CRS as metres.

    Args:
        geometries: (N,) of shapely, none empty.
        crs: any form that pyproj understands, or None.

    >>> (metres_per_unit(np.array([shapely.Point(0, 60)]), 4326) / 1000).round(1).tolist()
    [[55.8, 111.4]]
    """
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    if crs is None or not len(bounds):
        return np.ones((len(bounds), 2))
    crs = as_pyproj(crs)
    base, geod = crs.geodetic_crs, crs.get_geod()
    unit = unit_m(crs) or 1.0
    if base is None or geod is None:
        return np.full((len(bounds), 2), unit)
    x, y = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
    step = 1e-5 if crs.is_geographic else 1 / unit
    to_degrees = transformer(crs, base)
    scales = np.full((len(x), 2), math.nan)
    for axis, (dx, dy) in enumerate(((step, 0), (0, step))):
        start, end = to_degrees.transform(x - dx, y - dy), to_degrees.transform(x + dx, y + dy)
        with np.errstate(invalid="ignore"):
            lengths = geod.inv(*(np.asarray(side) * degree(base) for side in (*start, *end)))[2]
            scales[:, axis] = np.array(lengths) / (2 * step)
    unplaced = ~(np.isfinite(scales) & (scales > 0)).all(axis=1)
    scales[unplaced] = unit
    return scales

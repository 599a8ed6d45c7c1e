"""Coordinate systems: their names, their units, and the one way from one to another."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.crs import CRS

from landseg.errors import GridError
from landseg.geo.horizontal import horizontal

Floats = NDArray[np.float64]

_STRAIGHT = 1e-9  # relative: degrees of longitude that differ by less are equally wide
_LATITUDES = (-50.0, 0.0, 35.0)  # at which a cylinder's degrees of longitude are compared


def as_pyproj(crs: Any) -> pyproj.CRS:
    """Return a CRS of any library, or a text, as pyproj has it.

    Raises:
        GridError: it is no CRS.
    """
    if isinstance(crs, pyproj.CRS):
        return crs
    try:
        return _parsed(crs.to_wkt() if isinstance(crs, CRS) else crs)
    except ProjError as error:
        raise GridError(f"{crs}: expected a coordinate system such as EPSG:32633") from error


@lru_cache(maxsize=256)
def _parsed(text: Any) -> pyproj.CRS:
    return pyproj.CRS.from_user_input(text)


def crs_text(crs: Any) -> str:
    """Return the short name of a CRS: "EPSG:32633", its own name, or "no CRS"."""
    return "no CRS" if crs is None else _text(crs)


@lru_cache(maxsize=256)
def _text(crs: Any) -> str:
    authority = crs.to_authority()  # PROJ looks through its whole database for a CRS without one
    return ":".join(authority) if authority else str(as_pyproj(crs).name)


def transformer(here: Any, there: Any) -> pyproj.Transformer:
    """Return the transformer of coordinates (x, y) of one CRS into another; it gives inf where there are none.

    Every coordinate of landseg that changes its CRS goes through it. Threads must not share a transformer.

    Args:
        here: a CRS of rasterio, pyproj or geopandas, or a text.
        there: the same.

    Raises:
        GridError: PROJ knows no way: a local (engineering) CRS, the CRS of another planet.
    """
    own, other = horizontal(as_pyproj(here)), horizontal(as_pyproj(there))  # heights move nothing sideways
    try:
        return pyproj.Transformer.from_crs(own, other, always_xy=True)
    except ProjError as error:
        if _one_site(own, other):
            return pyproj.Transformer.from_pipeline("+proj=noop")
        names = [_named(one, crs) for one, crs in ((here, own), (there, other))]
        raise GridError(
            f"no transformation is known between {names[0]} and {names[1]}: use data in one coordinate system, or "
            "assign the right one where it is wrong (gdal_edit -a_srs, ogr2ogr -a_srs)"
        ) from error


def _one_site(here: pyproj.CRS, there: pyproj.CRS) -> bool:
    """Return whether two local CRSs are one that was written in two formats: of one name and unit."""
    if not (here.is_engineering and there.is_engineering) or here.name != there.name:
        return False
    return unit_m(here) is not None and unit_m(here) == unit_m(there)


def connected(here: Any, there: Any) -> bool:
    """Return whether coordinates of one CRS can be turned into those of the other."""
    try:
        transformer(here, there)
    except GridError:
        return False
    return True


def _named(given: Any, crs: pyproj.CRS) -> str:
    name = given if isinstance(given, str) else crs_text(given)
    kind = "local" if crs.is_engineering else ""
    return f"{name} (a {kind} CRS)" if kind else name


def unbound(crs: pyproj.CRS) -> pyproj.CRS:
    """Return a CRS without heights and without a datum shift: the part that defines its coordinates."""
    crs = horizontal(crs)
    while crs.is_bound and crs.source_crs is not None:
        crs = horizontal(crs.source_crs)
    return crs


def unit_m(crs: pyproj.CRS) -> float | None:
    """Return the metres in a unit of a projected or local CRS; None for a geographic CRS, and for an unknown unit."""
    plane = unbound(crs)
    if plane.is_geographic or not plane.axis_info:
        return None
    return float(plane.axis_info[0].unit_conversion_factor) or None


def degree(crs: pyproj.CRS) -> float:
    """Return the degrees in a unit of a geographic CRS: 1 for nearly all, 0.9 for grads."""
    return math.degrees(unbound(crs).axis_info[0].unit_conversion_factor)


def is_mercator(crs: pyproj.CRS) -> bool:
    """Return whether a CRS is one of Mercator's on an upright cylinder, with the poles infinitely far away."""
    operation = unbound(crs).coordinate_operation
    method = operation.method_name if operation else ""
    return "Mercator" in method and "Transverse" not in method and "Oblique" not in method


def period(crs: Any) -> float | None:
    """Return the units of x after which a CRS comes round to the same place; None where it never does.

    Longitudes come round, and the x of every projection onto an upright cylinder, whatever its name.

    >>> period("EPSG:4326"), round(period("EPSG:3857")), period("EPSG:32633")
    (360.0, 40075017, None)
    """
    return _period(as_pyproj(crs).to_wkt())


@lru_cache(maxsize=256)
def _period(text: str) -> float | None:
    crs = unbound(pyproj.CRS.from_wkt(text))
    if crs.is_geographic:
        return 360.0 / degree(crs)
    base = crs.geodetic_crs
    if not crs.is_projected or base is None:
        return None
    longitudes = np.arange(-179.5, 179.5, 30.0)
    lon, lat = np.meshgrid(np.stack([longitudes, longitudes + 1]), _LATITUDES, indexing="ij")
    x, y = transformer(base, crs).transform(lon / degree(base), lat / degree(base))
    x, y = x.reshape(2, len(longitudes), -1), y.reshape(2, len(longitudes), -1)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    wide = x[1] - x[0]
    usual = float(np.median(wide))
    if not usual:
        return None
    along = np.ptp(y, axis=(0, 1)).max() < _STRAIGHT * abs(usual)
    alike = np.abs(wide / usual - 1) < _STRAIGHT
    return abs(360 * usual) if along and (alike.sum(axis=0) >= len(longitudes) - 1).all() else None

"""Sizes of pixels: from metres on the ground into the units of a coordinate system: metres, feet, degrees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely

from landseg.errors import GridError
from landseg.geo.crs import as_pyproj, connected, crs_text, transformer, unbound, unit_m
from landseg.geo.metres import metres_per_unit

Size = tuple[float, float]

_NEARLY = 0.05  # a unit that is a metre on the ground to a twentieth counts as one, as everywhere
_SQUARE = 0.01  # lengths of x and y that agree to a hundredth make square pixels
_SMALLEST = 0.01  # metres: less was meant in degrees


def in_units(metres: Size, crs: Any, middle: tuple[float, float]) -> tuple[Size, str | None]:
    """Return a pixel's (width, height) in units of a CRS, and a sentence where these are no metres on the ground.

    In UTM and similar CRSs a metre stays a unit: 10 gives pixels of exactly 10. In feet it is converted. In degrees,
    and where a projection stretches the ground by more than a twentieth, the metres are those on the ground at
    `middle`.

    Args:
        metres: (width, height).
        crs: of rasterio or pyproj.
        middle: (x, y) of the raster, in the CRS.

    Raises:
        GridError: metres that can only be degrees, or a place at which a unit has no length.
    """
    plane = unbound(as_pyproj(crs))
    degrees = bool(plane.is_geographic)
    if degrees and min(metres) < _SMALLEST:
        raise _meant_degrees(metres, crs, middle)
    nominal = unit_m(plane)
    across, down = metres_per_unit(np.array([shapely.Point(middle)]), crs)[0].tolist()
    stretched = nominal is None or max(abs(across / nominal - 1), abs(down / nominal - 1)) > _NEARLY
    if nominal is not None and not stretched:
        across = down = nominal
    elif abs(across / down - 1) <= _SQUARE:
        across = down = math.sqrt(across * down)
    size = metres[0] / across, metres[1] / down
    if degrees and not size[0] < 90:  # at a pole a degree of longitude is nothing
        raise GridError(
            f"a pixel of {metres[0]:g} m has no width in degrees at latitude {middle[1]:.4g}: choose --crs"
        )
    if across == down == 1:
        return size, None
    return size, _sentence(metres, size, crs, middle, stretched=stretched)


def utm_zone(longitude: float, latitude: float) -> str:
    """Return the code of the UTM zone at a place, or of the polar projection beyond the zones.

    Norway's wider zones count: maps of Norway use them.

    >>> utm_zone(85.5, 27.6), utm_zone(-70.0, -33.0), utm_zone(5.3, 60.4), utm_zone(0, 88)
    ('EPSG:32645', 'EPSG:32719', 'EPSG:32632', 'EPSG:32661')
    """
    if latitude > 84 or latitude < -80:
        return "EPSG:32661" if latitude > 0 else "EPSG:32761"
    longitude = (longitude + 180) % 360 - 180
    zone = int((longitude + 180) // 6) + 1
    if 56 <= latitude < 64 and 3 <= longitude < 12:
        zone = 32
    if 72 <= latitude < 84 and 0 <= longitude < 42:
        zone = 31 + 2 * sum(longitude >= edge for edge in (9, 21, 33))
    return f"EPSG:{326 if latitude >= 0 else 327}{zone:02d}"


def _sentence(metres: Size, size: Size, crs: Any, middle: tuple[float, float], *, stretched: bool) -> str:
    plane = unbound(as_pyproj(crs))
    unit = "degrees" if plane.is_geographic else f"units ({plane.axis_info[0].unit_name})"
    wide = f"{metres[0]:g}" if metres[0] == metres[1] else f"{metres[0]:g} x {metres[1]:g}"
    text = f"{wide} m are {size[0]:.6g} x {size[1]:.6g} {unit} of {crs_text(crs)}"
    if stretched:
        text += " at the middle of the raster"
    zone = _zone(crs, middle) if plane.is_geographic else None
    return f"{text}; --crs {zone} makes them {wide} m everywhere" if zone else text


def _zone(crs: Any, middle: tuple[float, float]) -> str | None:
    """Return the code of the UTM zone of a place; None where the CRS is of no place on Earth."""
    if not connected(crs, "EPSG:4326"):
        return None
    longitude, latitude = transformer(crs, "EPSG:4326").transform(*middle)
    return utm_zone(longitude, latitude) if math.isfinite(longitude) and math.isfinite(latitude) else None


def _meant_degrees(metres: Size, crs: Any, middle: tuple[float, float]) -> GridError:
    across, down = metres_per_unit(np.array([shapely.Point(middle)]), crs)[0].tolist()
    shown = f"{metres[0]:g}" if metres[0] == metres[1] else f"{metres[0]:g},{metres[1]:g}"
    ground = float(f"{math.sqrt(metres[0] * metres[1] * across * down):.3g}")
    return GridError(
        f"resolution {shown}: expected metres on the ground; for degrees of {crs_text(crs)} add --crs-units, "
        f"or write --resolution {ground:g}"
    )

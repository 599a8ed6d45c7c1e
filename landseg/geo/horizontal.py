"""The horizontal part of a CRS, which alone decides the place of a coordinate: heights move nothing sideways."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyproj


def horizontal(crs: Any) -> pyproj.CRS:
    """Return a CRS without its heights: the first part of a compound one, the flat form of a 3D one.

    >>> horizontal("EPSG:32645+5773").to_epsg(), horizontal("EPSG:4979").to_epsg(), horizontal(4326).to_epsg()
    (32645, 4326, 4326)
    """
    return _horizontal(crs if isinstance(crs, pyproj.CRS) else pyproj.CRS.from_user_input(crs))


def same_place(one: Any, other: Any) -> bool:
    """Return whether equal coordinates in both CRSs are one place on the ground; None (no CRS) equals None alone."""
    if one is None or other is None:
        return one is other
    if type(one) is type(other) and one == other:
        return True
    return bool(horizontal(one).equals(horizontal(other), ignore_axis_order=True))


@lru_cache(maxsize=256)
def _horizontal(crs: pyproj.CRS) -> pyproj.CRS:
    if crs.is_compound and crs.sub_crs_list:
        return _horizontal(crs.sub_crs_list[0])
    if crs.is_bound or len(crs.axis_info) < 3:
        return crs
    flat = crs.to_2d()
    return pyproj.CRS.from_epsg(code) if (code := flat.to_epsg(100)) is not None else flat

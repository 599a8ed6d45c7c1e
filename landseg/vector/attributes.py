"""What a polygon is given besides its shape: names of its columns, its area and outline on the ground."""

from __future__ import annotations

from landseg.geo.grid import map_crs
from landseg.geo.pixel_shapes import to_map
from landseg.geo.ruler import STEP_M, Floats, Ruler

__all__ = ["STEP_M", "Floats", "Ruler", "field_types", "map_crs", "to_map"]


def field_types(*, located: bool, confidence: bool = False) -> dict[str, str]:
    """The columns of land cover and their types, in order; without a CRS sizes are in pixels and are called so.

    >>> list(field_types(located=True))
    ['id', 'value', 'name', 'area_m2', 'perimeter_m']
    """
    area, perimeter = ("area_m2", "perimeter_m") if located else ("area_px", "perimeter_px")
    fields = {"id": "int64", "value": "int32", "name": "string", area: "float64", perimeter: "float64"}
    return fields | ({"confidence_mean": "float64", "confidence_min": "float64"} if confidence else {})

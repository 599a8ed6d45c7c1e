"""The columns of polygons, lines and points."""

from __future__ import annotations


def field_types(kind: str = "Polygon", *, located: bool, confidence: bool = False) -> dict[str, str]:
    """Return the columns of polygons, lines or points by name, in order, and their types.

    Args:
        kind: "Polygon", "LineString" or "Point".
        located: whether the raster has a CRS; without one sizes are in pixels, and the names of columns say so.
        confidence: whether confidences of pixels are known.

    >>> list(field_types(located=True))
    ['id', 'value', 'name', 'area_m2', 'perimeter_m']
    """
    area, unit = ("area_m2", "m") if located else ("area_px", "px")
    common = {"id": "int64", "value": "int32", "name": "string"}
    if kind == "LineString":
        return common | {f"length_{unit}": "float64"}
    sizes = {area: "float64", f"{'diameter' if kind == 'Point' else 'perimeter'}_{unit}": "float64"}
    return common | sizes | ({"confidence_mean": "float64", "confidence_min": "float64"} if confidence else {})


def object_fields(*, located: bool, classes: bool = True, scores: bool = True) -> dict[str, str]:
    """Return the columns of polygons of objects by name, in order, and their types; see `field_types`.

    Args:
        located: see `field_types`.
        classes: whether the classes of objects are known.
        scores: whether their scores are known.

    >>> list(object_fields(located=True))
    ['id', 'value', 'name', 'score', 'area_m2', 'perimeter_m', 'edge']
    >>> list(object_fields(located=True, classes=False, scores=False))
    ['id', 'area_m2', 'perimeter_m', 'edge']
    """
    fields = list(field_types(located=located).items())
    known = fields[:3] if classes else fields[:1]
    return dict([*known, *([("score", "float64")] if scores else []), *fields[3:], ("edge", "bool")])

"""Values that are a raster's declared nodata, by GDAL's own rule: whole numbers exactly, floats nearly."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEP = float(np.finfo(np.float32).eps)  # of both kinds of floats, as in GDAL's ARE_REAL_EQUAL
_WIDE = 8 * _STEP  # relative distance beyond which two numbers are never nearly equal


def holds_nodata(values: NDArray[Any], nodata: float | None, dtype: str | None = None) -> NDArray[np.bool_]:
    """Return where values are the declared nodata: boolean, of the shape of `values`.

    Whole numbers have to be equal to it. Floats count as equal where they differ by less than two steps of float32
    relative to their sum (GDAL's ARE_REAL_EQUAL, which its masks, gdalinfo and QGIS go by): a nodata that was written
    as text, such as ArcGIS's -3.40282306074e+38, is not bit by bit what the pixels hold. As in GDAL that sum is taken
    in the values' own precision: of two float32 beyond half the largest it is infinite, and they count as equal.

    Args:
        values: of a band, in its own dtype or a wider one.
        nodata: of the band; None means that nothing was declared.
        dtype: of the band on disk; None means that of `values`.
    """
    kind = values.dtype if dtype is None else np.dtype(dtype)
    if nodata is None or not can_hold(kind.name, nodata):
        return np.zeros(values.shape, np.bool_)
    if kind.kind != "f":
        return np.asarray(values == int(nodata))
    values = values.astype(kind, copy=False)
    if np.isnan(nodata):
        return np.asarray(np.isnan(values))
    with np.errstate(over="ignore", invalid="ignore"):
        here = kind.type(nodata)
        if not np.isfinite(here):
            return np.asarray(values == here)
        low, high = _reach(here)
        hits: NDArray[np.bool_] = (values >= low) & (values <= high)
        if hits.any():
            near = values[hits]
            hits[hits] = (near == here) | (np.abs(near - here) < kind.type(_STEP) * np.abs(near + here) * 2)
    return hits


def can_hold(dtype: str, nodata: float) -> bool:
    """Return whether pixels of a dtype can be equal to a nodata: -9999, 0.5 and NaN do not occur in bytes."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    return float(nodata).is_integer() and bool(np.iinfo(kind).min <= nodata <= np.iinfo(kind).max)


def _reach(nodata: Any) -> tuple[Any, Any]:
    """Return the lowest and highest number that may be nearly equal to a finite float, or overflow in their sum."""
    kind = type(nodata)
    size, most = np.abs(nodata), np.finfo(kind).max
    overflows = bool(np.isinf(size + most))
    least = min(size, most - size) if overflows else size
    low, high = least * kind(1 - _WIDE), most if overflows else size * kind(1 + _WIDE)
    return (low, high) if nodata > 0 else (-high, -low)

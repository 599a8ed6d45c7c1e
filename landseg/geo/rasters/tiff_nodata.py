"""The nodata value of a GeoTIFF of 64-bit integers: GDAL cuts its text off at the point or exponent."""

from __future__ import annotations

import struct
from pathlib import Path

_TAG = 42113  # GDAL_NODATA, text
_FIRST = 64 << 10  # bytes of the first directory that are read


def integer_nodata(path: str, parsed: float | None) -> float | None:
    """Return the nodata value that a GeoTIFF of 64-bit integers declares.

    Programs write it as a float ("-9.2233720368547758e+18"), and GDAL reads that as the integer that it begins with,
    -9. Where the text cannot be found, ``parsed`` is returned: the number that GDAL read.
    """
    try:
        text = _nodata_text(Path(path))
        return parsed if text is None or not set(text) & set(".eE") else float(text)
    except (OSError, ValueError, struct.error):
        return parsed


def _nodata_text(path: Path) -> str | None:
    """Return the text of the tag in the first directory; None where there is none."""
    with path.open("rb") as file:
        head = file.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None:
            return None
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        (at,) = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])
        file.seek(at)
        wide, entry = ("Q", 20) if big else ("H", 12)
        (count,) = struct.unpack(order + wide, file.read(8 if big else 2))
        table = file.read(min(count * entry, _FIRST))
        for start in range(0, len(table) - entry + 1, entry):
            tag, _, length = struct.unpack(
                order + ("HHQ" if big else "HHI"), table[start : start + (12 if big else 8)]
            )
            if tag != _TAG or length > 100:
                continue
            place = table[start + (12 if big else 8) : start + entry]
            if length > len(place):
                file.seek(struct.unpack(order + ("Q" if big else "I"), place)[0])
                place = file.read(length)
            return place[:length].rstrip(b"\0 ").decode("ascii", "replace")
    return None

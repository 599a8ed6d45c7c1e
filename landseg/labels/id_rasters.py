"""Rasters of ids as landseg writes them: how they are recognised, and refused where classes are expected."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.errors import BandError, ClassError
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import tag_name

BAND, TASK = "instance", "instances"
NODATA = (1 << 32) - 1
"""The value of a raster of ids where there is no data; 0 is where there is no object."""
LARGEST = NODATA - 1
"""The largest id."""


def is_id_raster(file: RasterFile) -> bool:
    """Return whether a raster is one of ids as landseg writes them: one band of integers that its tags call so."""
    info = file.info
    if len(info.dtypes) != 1 or np.dtype(info.dtypes[0]).kind not in "iu":
        return False
    return info.tags.get(tag_name("task")) == TASK and info.names[0] == BAND


def refuse_ids(file: RasterFile) -> None:
    """Raise ClassError where a raster that is to hold classes holds ids of objects."""
    if is_id_raster(file):
        raise ClassError(
            f"{file.label} holds the ids of objects, not classes: name the class raster that was written beside it. "
            "Ids are read by evaluate, compare and export as they are, and by train and data as --ids"
        )


def check_id_dtype(dtype: str, name: str) -> None:
    """Raise BandError if a raster's numbers are no whole ones; the message calls it ``name``."""
    if np.dtype(dtype).kind not in "iu":
        raise BandError(
            f"{name} is of {dtype}: expected ids in whole numbers; convert it (gdal_translate -ot UInt32)"
        )


def to_ids(values: NDArray[Any], valid: NDArray[np.bool_], name: str) -> NDArray[np.int64]:
    """Return whole numbers (h, w) of any dtype as ids, 0 for none and where they are not ``valid``.

    Raises:
        ClassError: negative ids, or ids above 4,294,967,294; the message calls the raster ``name``.
    """
    ids = np.where(valid, values, values.dtype.type(0))
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) > LARGEST):
        odd = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
        raise ClassError(
            f"{name} has the id {odd}: expected 0 for none and ids up to {LARGEST:,}; number the objects "
            "anew, or declare what means no data (gdal_edit -a_nodata)"
        )
    return ids.astype(np.int64)

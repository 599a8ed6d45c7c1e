"""Rasters of ids as landseg writes them: how they are recognised, and refused where classes are expected."""

from __future__ import annotations

import numpy as np

from landseg.errors import ClassError
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.tags import tag_name

BAND, TASK = "instance", "instances"
LARGEST = (1 << 32) - 2
"""The largest id; the number above it stands for no data."""


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

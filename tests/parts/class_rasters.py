"""Small class rasters for evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from landseg.classes import ClassMap, LandClass
from landseg.labels.legend import class_tag

CLASSES = ClassMap(
    (LandClass(1, "water", (0, 0, 255)), LandClass(2, "road", (9, 9, 9)), LandClass(3, "wood", (0, 99, 0)))
)


PLAIN: dict[str, Any] = {"boundary": None, "tolerance": None, "samples": 0}


def write(
    path: Path, values: NDArray[np.uint8], *, model: str | None = None, left: float = 0, pixel: float = 10
) -> str:
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", height=height, width=width, nodata=0,
        crs="EPSG:32645", transform=Affine(pixel, 0, 300_000 + left, 0, -pixel, 3_000_000),
    ) as file:  # fmt: skip
        file.write(values, 1)
        if model:
            file.update_tags(LANDSEG_MODEL=model, LANDSEG_CLASSES=class_tag(CLASSES))
    return str(path)


def plain(path: Path, values: NDArray[np.uint8], **tags: str) -> str:
    """A raster that lies nowhere."""
    with rasterio.open(
        path, "w", driver="PNG" if path.suffix == ".png" else "GTiff", count=1, dtype="uint8", nodata=0,
        height=values.shape[0], width=values.shape[1],
    ) as file:  # fmt: skip
        file.write(values, 1)
        file.update_tags(**tags)
    return str(path)

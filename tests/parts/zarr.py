"""A Zarr store on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine


def zarr(path: Path) -> Path:
    """A Zarr store of three bands."""
    path.parent.mkdir(exist_ok=True)
    size = {"count": 3, "height": 24, "width": 32, "dtype": "uint8"}
    place = {"crs": "EPSG:32633", "transform": Affine(1, 0, 500_000, 0, -1, 5_400_000)}
    with rasterio.open(path, "w", driver="Zarr", **size, **place) as raster:
        raster.write(np.random.default_rng(1).integers(1, 250, (3, 24, 32), np.uint8))
    return path

"""Maps whose halves differ, evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

from landseg.evaluate import evaluate
from landseg.evaluation.result import Evaluation
from landseg.geo.grid import Grid

DEGREES = CRS.from_epsg(4326)


HALVES = Grid(DEGREES, Affine(0.5, 0, 0, 0, -0.5, 60), 20, 120)


def write(path: Path, values: Any, grid: Grid) -> str:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=grid.height,
        width=grid.width,
        dtype="uint8",
        nodata=0,
        crs=grid.crs,
        transform=grid.transform,
    ) as out:
        out.write(values.astype(np.uint8), 1)
    return str(path)


def evaluated(tmp_path: Path, truth: Any, predicted: Any, grid: Grid, **options: Any) -> Evaluation:
    (tmp_path / "classes.json").write_text('[{"value": 1, "name": "a"}, {"value": 2, "name": "b"}]')
    wanted = {"samples": 0, "boundary": None, "tolerance": None} | options
    files = write(tmp_path / "map.tif", predicted, grid), write(tmp_path / "truth.tif", truth, grid)
    return evaluate(*files, classes=tmp_path / "classes.json", **wanted)

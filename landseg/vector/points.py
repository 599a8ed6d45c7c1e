"""Points of a raster, such as trees, as a vector file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.classes import LandClass
from landseg.geo.grid import Grid, map_crs
from landseg.geo.pixel_shapes import to_map
from landseg.output.vector_formats import vector_format
from landseg.runtime.disk import claimed, disk_errors, work_folder
from landseg.vector.crs import Reprojection
from landseg.vector.exporter import disk_sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOGETHER = 1 << 16  # points written at a time


def point_fields(*, located: bool, sizes: bool) -> dict[str, str]:
    """Return the columns of points by name, in order, and their types.

    >>> list(point_fields(located=True, sizes=True))
    ['id', 'value', 'name', 'score', 'diameter_m']
    """
    size = {"diameter_m" if located else "diameter_px": "float64"} if sizes else {}
    return {"id": "int64", "value": "int32", "name": "string", "score": "float64", **size}


def write_point_file(
    out: Path,
    places: NDArray[np.float64],
    columns: dict[str, NDArray[Any]],
    *,
    grid: Grid,
    classes: Sequence[LandClass],
    called: Path | None = None,
) -> None:
    """Write points with their columns as a vector file, for a run that publishes it.

    Args:
        out: the file, in a folder of its own.
        places: row and column (n, 2) in pixels of the grid, from the corner of its first pixel.
        columns: those of `point_fields` by name, (n,) each.
        grid: of the raster.
        classes: of the points, for their colours.
        called: the name of the file in messages.

    Raises:
        VectorError: the format cannot hold them.
        OutputError: the disk is full.
    """
    from landseg.output.vector_writer import Writer  # loads pyogrio, and that geopandas

    fields = point_fields(located=grid.crs is not None, sizes=any(name.startswith("diameter") for name in columns))
    way = Reprojection.of(vector_format(out), grid, map_crs(grid), asked=False)
    with disk_errors(called or out):
        work_folder(out).mkdir(exist_ok=True)
    with claimed(out) as work, disk_sentences(called or out):
        folder = work / "points"
        folder.mkdir()
        writer = Writer(out, fields, crs=way.crs, work=folder, kind="Point", called=called)
        for start in range(0, len(places), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            shapes = to_map(shapely.points(places[some, ::-1]), grid)
            writer.write({name: column[some] for name, column in columns.items()}, way(shapes))
        for made, target in writer.finish(classes).moves:
            os.replace(made, target)

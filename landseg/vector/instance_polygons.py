"""Polygons of a class raster and a raster of ids on the same grid: classes by pieces, objects one by one."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg.classes import ClassMap
from landseg.geo.grid import map_crs
from landseg.runtime.disk import claimed, disk_errors, work_folder
from landseg.vector.classraster import ClassRaster
from landseg.vector.export_options import ExportOptions
from landseg.vector.exporter import disk_sentences
from landseg.vector.id_exporter import ALL, IdExporter
from landseg.vector.id_raster import IdRaster


@dataclass(frozen=True)
class InstanceShapes:
    """The steps between pixels and polygons of objects.

    Attributes:
        holes: square metres (pixels without a CRS); holes of objects up to this size are filled, unless another
            object lies in them.
        regularize: whether objects get right-angled outlines; neighbours then do not share their borders.
        simplify: metres (pixels without a CRS) that borders may move in order to have fewer corners; shared borders
            stay shared.
    """

    holes: float = 0.0
    regularize: bool = False
    simplify: float = 0.0


def polygonize_instances(
    classes: Path,
    ids: Path,
    out: Path,
    table: ClassMap,
    scores: NDArray[np.float32] | None,
    *,
    options: InstanceShapes | None = None,
    called: Path | None = None,
) -> int:
    """Write a class raster and its objects as polygons, for a run that publishes the file; return their number.

    Pieces of classes that are no things become polygons without an id and a score. Each object becomes one polygon.
    Pixels of classes of things that have no id become none.

    Args:
        classes: the class raster.
        ids: the raster of ids, on the same grid.
        out: the file, in a folder of its own, which also gets the files that belong beside it.
        table: the classes of the class raster.
        scores: the score of each object by its id less one (n,); None leaves the column empty.
        options: the steps between pixels and polygons; None leaves outlines as they are.
        called: the name of `out` in messages.

    Raises:
        LandsegError: see `export`.
    """
    shapes = options or InstanceShapes()
    steps = ExportOptions(
        holes=shapes.holes, simplify=shapes.simplify, regularize=ALL if shapes.regularize else None, quiet=True
    )
    with ExitStack() as stack:
        raster = stack.enter_context(ClassRaster(classes, table=table))
        source = stack.enter_context(IdRaster(ids, classes=raster, stuff=True))
        run = IdExporter(source, out, steps, map_crs(source.grid), scores, called=called)
        with disk_errors(called or out):
            work_folder(out).mkdir(exist_ok=True)
        with claimed(out) as work, disk_sentences(called or out):
            for made, target in (move for part in run.write(work) for move in part.moves):
                os.replace(made, target)
    return sum(run.counts.values())

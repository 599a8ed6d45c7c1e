"""One run of `rasterize`: the polygons of a vector file written to a class raster."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landseg import __version__
from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import GridError
from landseg.geo.grid import Grid
from landseg.geo.pieces import cut, rows_within
from landseg.geo.tags import CLASSES
from landseg.geo.vectors.names import file_of
from landseg.labels.burning import classes_to_burn, grid_to_burn, open_polygons
from landseg.labels.coverage import Coverage
from landseg.labels.legend import class_tag
from landseg.labels.polygons import PolygonLabels, pixel_grid
from landseg.labels.rasterize_options import Rasterization, RasterizeOptions
from landseg.output.checks import files_behind
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.targets import Targets
from landseg.runtime.progress import Progress
from landseg.text.amounts import counted

_RULES = ("a pixel is of the last polygon that covers its centre", "a pixel is of the last polygon that touches it")
STRIP_PIXELS = 1 << 22  # burnt at a time


def burn_polygons(source: Path, target: Path, options: RasterizeOptions) -> Rasterization:
    """Write the polygons of a vector file to a class raster by the options, and return the facts of the run.

    Raises:
        LandsegError: the polygons or an option cannot be used, or the raster cannot be written.
    """
    start = time.perf_counter()
    named = [Path(file) for file in (options.like, options.classes) if file is not None]
    inputs = [file_of(source), *named, *files_behind([str(source)])]
    layer = Layer("classes", target, "uint8")
    targets = Targets([layer], inputs=inputs, overwrite=options.overwrite, can_resume=False)
    targets.check()
    if not options.overwrite:
        targets.check_absent()
    labels, field = open_polygons(source, options)
    grid, legend, remarks = grid_to_burn(labels, options)
    table, values = classes_to_burn(labels, field, options, legend)
    placed = labels.in_pixels(grid)
    if not len(placed):
        raise GridError(f"no polygon of {source} lies on the grid ({grid.describe()}): check bounds and CRS")
    coverage = Coverage(what="raster")
    coverage.add(labels, str(target), grid)
    targets = replace(targets, layers=[Layer.of_classes("classes", target, table)])
    signature = {"landseg": __version__, "source": {"files": []}, "classes": table.to_json()}
    tags = {"version": __version__, CLASSES: class_tag(table), "command": f"landseg rasterize {source.name}"}
    with Outputs.begin(targets, grid, signature=signature, tags=tags) as outputs:
        counts = _burn(placed, grid, values, outputs, table=table, quiet=options.quiet)
        if counts[IGNORE_INDEX] == grid.rect.area:
            many = counted(len(placed), "polygon covers", "polygons cover")
            raise GridError(
                f"{many} no pixel's centre on the grid ({grid.describe()}), so nothing would be burnt: use smaller "
                "pixels, or --all-touched"
            )
        outputs.finish()
    return Rasterization(
        target,
        grid.width,
        grid.height,
        len(placed),
        {c.name: {"value": c.value, "pixels": int(counts[i])} for i, c in enumerate(table.classes)},
        int(counts[IGNORE_INDEX]),
        _RULES[options.all_touched],
        round(time.perf_counter() - start, 3),
        (*remarks, *labels.notes, *coverage.sentences()),
    )


def _burn(
    placed: PolygonLabels,
    grid: Grid,
    values: dict[str, int] | None,
    outputs: Outputs,
    *,
    table: ClassMap,
    quiet: bool,
) -> NDArray[np.int64]:
    """Write the output strip by strip, and return the numbers of pixels by class index (256,)."""
    counts, pixels = np.zeros(256, np.int64), pixel_grid(grid)
    with Progress(grid.rect.area, quiet=quiet) as progress:
        for rect in cut(grid.rect, rows_within(STRIP_PIXELS, grid.width)):
            if values is None:
                indices = np.where(placed.burn(pixels.crop(rect)), np.uint8(0), np.uint8(IGNORE_INDEX))
            else:
                indices = placed.burn_names(pixels.crop(rect), values, IGNORE_INDEX)
            counts += np.bincount(indices.ravel(), minlength=256)
            outputs.write("classes", rect, table.to_values(indices))
            progress.add(rect.area)
    return counts

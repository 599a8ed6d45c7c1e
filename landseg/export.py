"""`landseg export`: a class raster as polygons, lines and points."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Unpack

from landseg.errors import OutputError
from landseg.geo.rasters.address import File, file_name
from landseg.output.checks import refuse_promise
from landseg.output.vector_files import with_styles
from landseg.output.vector_formats import vector_format
from landseg.runtime.disk import claimed
from landseg.runtime.replacement import publish
from landseg.vector.classraster import ClassRaster, open_confidence
from landseg.vector.crs import output_crs
from landseg.vector.export_checks import check_files, check_table
from landseg.vector.export_options import Export, ExportKeywords, ExportOptions
from landseg.vector.exporter import Exporter, disk_sentences

__all__ = ["export"]

_log = logging.getLogger(__name__)


def export(raster: File, output: File, **options: Unpack[ExportKeywords]) -> Export:
    """Write a class raster as polygons to `output`, in the format that its suffix names.

    Each connected piece of a class becomes one polygon. Its corners are pixel corners, exactly, unless an option
    changes outlines. The files appear when they are complete, or not at all. Memory is bounded by a strip of the
    raster, by the number of pieces, and by the largest polygon.

    Args:
        raster: a class raster, in any format that GDAL reads.
        output: .gpkg, .shp, .shp.zip, .fgb, .geojson or .parquet; .csv for the attributes without shapes.
        **options: see `ExportOptions`.

    Raises:
        LandsegError: the raster or an option cannot be used, or a file cannot be written.
    """
    start, target, wanted = time.perf_counter(), Path(file_name(output)), ExportOptions.of(**options)
    if target.is_dir():
        raise OutputError(f"{target} is a folder: name a file in it, such as {target / 'landcover.gpkg'}")
    check_table(target, wanted)
    form, beside = vector_format(target), not wanted.shaping.keeps_pixels
    with ExitStack() as stack:
        source = stack.enter_context(
            ClassRaster(file_name(raster), classes=wanted.classes, aoi=wanted.area_of_interest, neighbours=beside)
        )
        check_files(target, source, wanted)
        run = Exporter(source, target, wanted, output_crs(form, source.grid, wanted.crs, name=source.file.label))
        if wanted.confidence is not None:
            run.confidence = stack.enter_context(closing(open_confidence(wanted.confidence, source)))
        try:
            with claimed(target) as work, disk_sentences(target):
                parts, stayed = with_styles(run.write(work), run.styles, work, replace=wanted.overwrite)
                publish(parts, folder=work)
        except Exception as error:
            refuse_promise(error)
            raise
        for style in stayed:
            _log.warning("%s is there and stays as it is: replace it with --overwrite", style)
        return run.result(time.perf_counter() - start)

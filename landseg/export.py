"""The use case after the map: a class raster as clean vector land cover."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, closing
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.errors import GridError, OutputError, VectorError
from landseg.geo.rasters.address import file_name
from landseg.geo.vectors.names import file_of
from landseg.output.checks import check_absent, check_targets, files_behind
from landseg.output.vector_files import class_files, with_styles
from landseg.output.vector_formats import TABLE, refuse_table, vector_format
from landseg.runtime.disk import claimed
from landseg.runtime.replacement import publish, settle
from landseg.vector.classraster import ClassRaster, open_confidence
from landseg.vector.crs import output_crs
from landseg.vector.export_options import ClassTotal, ExportOptions, ExportSummary
from landseg.vector.exporter import Exporter, disk_sentences, polygonize
from landseg.vector.lines_points import extra_file

__all__ = ["ClassTotal", "ExportOptions", "ExportSummary", "export", "polygonize"]

_log = logging.getLogger(__name__)
File = str | PathLike[str]


def export(raster: File, out: File, options: ExportOptions | None = None, **more: Any) -> ExportSummary:
    """A class raster as polygons at `out`, in the format that its suffix names.

    One polygon for each connected piece of a class; its corners are pixel corners, exactly, unless more is asked
    for. The files appear when they are complete, or not at all. Memory is bounded by a strip of the raster, by the
    number of pieces, and by the largest polygon.

    Args:
        raster: a class raster, anything GDAL opens.
        out: .gpkg, .shp, .shp.zip, .fgb, .geojson or .parquet; .csv for the attributes alone.
        options: see `ExportOptions`; its fields by name go before it.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    start, target = time.perf_counter(), Path(file_name(out))
    wanted = ExportOptions.of(**{**vars(options or ExportOptions()), **more})
    if target.is_dir():
        raise OutputError(f"{target} is a folder: name a file in it, such as {target / 'landcover.gpkg'}")
    _check_table(target, wanted)
    form = vector_format(target)
    area = wanted.area_of_interest
    with ExitStack() as stack:
        beside = not wanted.shaping.keeps_pixels
        source = stack.enter_context(
            ClassRaster(file_name(raster), classes=wanted.classes, aoi=area, neighbours=beside)
        )
        _check_files(target, source, wanted)
        run = Exporter(source, target, wanted, output_crs(form, source.grid, wanted.crs, name=source.file.label))
        if wanted.confidence is not None:
            run.confidence = stack.enter_context(closing(open_confidence(wanted.confidence, source)))
        with claimed(target) as work, disk_sentences(target):
            parts, stayed = with_styles(run.made(work), run.styles, work, replace=wanted.overwrite)
            publish(parts, folder=work)
        for style in stayed:
            _log.warning("%s is there and stays as it is: replace it with --overwrite", style)
        return run.summary(time.perf_counter() - start)


def _check_table(out: Path, options: ExportOptions) -> None:
    """Refuse a table that nobody asked for, and what does not go into one.

    Raises:
        VectorError: .csv without --attributes or --centroids, or with lines; .xlsx; --attributes for another format.
    """
    asked = options.attributes or options.centroids is not None
    if not (asked and out.suffix.lower() == TABLE.suffixes[0]):
        refuse_table(out, hint=", `landseg export MAP OUT.csv --attributes` those of each polygon")
        if options.attributes:
            raise VectorError(f"{out.name}: --attributes writes a table; let its name end in .csv, or leave it out")
    elif options.centerlines is not None:
        raise VectorError(f"{out.name}: a table holds no lines; leave --centerlines out, or choose a .gpkg")


def _check_files(out: Path, source: ClassRaster, options: ExportOptions) -> None:
    """What can be refused before any work."""
    if source.grid.crs is None and options.geodesic:
        raise GridError(f"{source.file.label} has no coordinate system: leave --geodesic out, or assign one")
    also = [file_of(str(file)) for file in (options.aoi, options.confidence) if isinstance(file, (str, PathLike))]
    inputs = [Path(source.file.path), *also, *files_behind(list(source.file.info.files))]
    targets = list(class_files(out, source.classes).values()) if options.by_class_files else [out]
    targets += [extra_file(out, e, "LineString") for e in source.chosen(options.centerlines, "--centerlines")]
    targets += [extra_file(out, e, "Point") for e in source.chosen(options.centroids, "--centroids")]
    source.chosen(options.regularize, "--regularize")
    check_targets((), targets or [out], inputs)
    settle([out, *targets], overwrite=options.overwrite)
    if not options.overwrite:
        check_absent((), targets)

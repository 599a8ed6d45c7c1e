"""One run of `export`: the checks before any work, and the files of one class raster."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from os import PathLike
from pathlib import Path

from landseg.errors import GridError, OutputError, VectorError
from landseg.geo.vectors.names import file_of
from landseg.output.checks import check_absent, check_targets, files_behind
from landseg.output.vector_files import class_files, with_styles
from landseg.output.vector_formats import TABLE, refuse_table, vector_format
from landseg.runtime.disk import claimed
from landseg.runtime.replacement import publish, settle
from landseg.vector.classraster import ClassRaster, open_confidence
from landseg.vector.crs import output_crs
from landseg.vector.export_options import Export, ExportOptions
from landseg.vector.exporter import Exporter, disk_sentences, warn_of_styles
from landseg.vector.id_export_run import export_ids, holds_ids
from landseg.vector.lines_points import extra_file


def export_raster(raster: str, target: Path, options: ExportOptions) -> Export:
    """Write a class raster, or one of ids, to a vector file by the options, and return the facts of the export.

    Raises:
        LandsegError: the raster or an option cannot be used, or a file cannot be written.
    """
    start = time.perf_counter()
    if target.is_dir():
        raise OutputError(f"{target} is a folder: name a file in it, such as {target / 'landcover.gpkg'}")
    _check_table(target, options)
    if holds_ids(raster, options):
        return export_ids(raster, target, options)
    form, beside = vector_format(target), not options.shaping.keeps_pixels
    with ExitStack() as stack:
        source = stack.enter_context(
            ClassRaster(raster, classes=options.classes, aoi=options.area_of_interest, neighbours=beside)
        )
        _check_files(target, source, options)
        run = Exporter(source, target, options, output_crs(form, source.grid, options.crs, name=source.file.label))
        if options.confidence is not None:
            run.confidence = stack.enter_context(closing(open_confidence(options.confidence, source)))
        with claimed(target) as work, disk_sentences(target):
            parts, stayed = with_styles(run.write(work), run.styles, work, replace=options.overwrite)
            publish(parts, folder=work)
        warn_of_styles(stayed)
        return run.result(time.perf_counter() - start)


def _check_table(output: Path, options: ExportOptions) -> None:
    """Refuse a table without --attributes or --centroids, and lines in a table.

    Raises:
        VectorError: the output is .csv without --attributes or --centroids, or with lines; or it is .xlsx, or
            another format with --attributes.
    """
    has_rows = options.attributes or options.centroids is not None
    if not (has_rows and output.suffix.lower() == TABLE.suffixes[0]):
        refuse_table(output, hint=", `landseg export MAP OUT.csv --attributes` those of each polygon")
        if options.attributes:
            raise VectorError(
                f"{output.name}: --attributes writes a table; let its name end in .csv, or leave it out"
            )
    elif options.centerlines is not None:
        raise VectorError(f"{output.name}: a table holds no lines; leave --centerlines out, or choose a .gpkg")


def _check_files(output: Path, source: ClassRaster, options: ExportOptions) -> None:
    """Refuse files that cannot be written, classes that the raster lacks, and --geodesic without a CRS.

    Raises:
        GridError: `geodesic` is set for a raster without a CRS.
        ClassError: an option names a class that the raster does not have.
        OutputError: a file is an input, has no folder, or exists.
    """
    if source.grid.crs is None and options.geodesic:
        raise GridError(f"{source.file.label} has no coordinate system: leave --geodesic out, or assign one")
    further = [file_of(str(file)) for file in (options.aoi, options.confidence) if isinstance(file, (str, PathLike))]
    inputs = [Path(source.file.path), *further, *files_behind(list(source.file.info.files))]
    targets = list(class_files(output, source.classes).values()) if options.by_class_files else [output]
    targets += [extra_file(output, e, "LineString") for e in source.classes_of(options.centerlines, "--centerlines")]
    targets += [extra_file(output, e, "Point") for e in source.classes_of(options.centroids, "--centroids")]
    source.classes_of(options.regularize, "--regularize")
    check_targets((), targets or [output], inputs)
    settle([output, *targets], overwrite=options.overwrite)
    if not options.overwrite:
        check_absent((), targets)

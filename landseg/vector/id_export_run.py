"""One run of `export` on a raster of ids: the checks before any work, and the file."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from os import PathLike
from pathlib import Path

from landseg.errors import GridError, VectorError
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.names import file_of
from landseg.labels.id_rasters import is_id_raster
from landseg.output.checks import check_absent, check_targets, files_behind
from landseg.output.vector_files import with_styles
from landseg.output.vector_formats import vector_format
from landseg.runtime.disk import claimed
from landseg.runtime.replacement import publish, settle
from landseg.vector.classraster import ClassRaster
from landseg.vector.crs import output_crs
from landseg.vector.export_options import Export, ExportOptions
from landseg.vector.exporter import disk_sentences, warn_of_styles
from landseg.vector.id_exporter import IdExporter
from landseg.vector.id_raster import IdRaster

_FOR_CLASSES = (
    "classes", "dissolve", "by_class_files", "connectivity", "majority", "sieve", "centerlines", "centroids",
    "confidence",
)  # fmt: skip
_FOR_IDS = ("classes_from", "holes")


def holds_ids(raster: str, options: ExportOptions) -> bool:
    """Return whether an export is one of ids, by its option or by the raster.

    Raises:
        RasterError: the raster cannot be opened.
        VectorError: an option is for the other kind of raster.
    """
    with closing(RasterFile(raster, members=False)) as file:
        found, label = options.ids or is_id_raster(file), file.label
    plain = ExportOptions()
    for name in _FOR_CLASSES if found else _FOR_IDS:
        if getattr(options, name) != getattr(plain, name):
            option = f"--{name.replace('_', '-')}"
            if found:
                raise VectorError(f"{option} is for class rasters, and {label} holds ids of objects: leave it out")
            raise VectorError(
                f"{option} is for rasters of ids: leave it out, or give --ids if the numbers of {label} are ids of "
                "objects"
            )
    return found


def export_ids(raster: str, target: Path, options: ExportOptions) -> Export:
    """Write a raster of ids to a vector file by the options, and return the facts of the export.

    Raises:
        LandsegError: the raster or an option cannot be used, or a file cannot be written.
    """
    start, form, aoi = time.perf_counter(), vector_format(target), options.area_of_interest
    with ExitStack() as stack:
        classes = None
        if options.classes_from is not None:
            classes = stack.enter_context(ClassRaster(options.classes_from, aoi=aoi))
        source = stack.enter_context(IdRaster(raster, classes=classes, aoi=aoi))
        _check_files(target, source, options)
        crs = output_crs(form, source.grid, options.crs, name=source.file.label)
        run = IdExporter(source, target, options, crs)
        _ = run.right_angled  # refuses classes that the raster lacks
        with claimed(target) as work, disk_sentences(target):
            parts, stayed = with_styles(run.write(work), run.styles, work, replace=options.overwrite)
            publish(parts, folder=work)
        warn_of_styles(stayed)
        return run.result(time.perf_counter() - start)


def _check_files(output: Path, source: IdRaster, options: ExportOptions) -> None:
    """Refuse a file that cannot be written, and --geodesic without a CRS.

    Raises:
        GridError: `geodesic` is set for a raster without a CRS.
        OutputError: the file is an input, has no folder, or exists.
    """
    if source.grid.crs is None and options.geodesic:
        raise GridError(f"{source.file.label} has no coordinate system: leave --geodesic out, or assign one")
    further = [
        file_of(str(file)) for file in (options.aoi, options.classes_from) if isinstance(file, (str, PathLike))
    ]
    inputs = [Path(source.file.path), *further, *files_behind(list(source.file.info.files))]
    check_targets((), [output], inputs)
    settle([output], overwrite=options.overwrite)
    if not options.overwrite:
        check_absent((), [output])

"""The checks of `export` before any work: of its files and of the classes in its options."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from landseg.errors import GridError, VectorError
from landseg.geo.vectors.names import file_of
from landseg.output.checks import check_absent, check_targets, files_behind
from landseg.output.vector_files import class_files
from landseg.output.vector_formats import TABLE, refuse_table
from landseg.runtime.replacement import settle
from landseg.vector.classraster import ClassRaster
from landseg.vector.export_options import ExportOptions
from landseg.vector.lines_points import extra_file


def check_table(output: Path, options: ExportOptions) -> None:
    """Refuse a table without --attributes or --centroids, and lines in a table.

    Raises:
        VectorError: the output is .csv without --attributes or --centroids, or with lines; or it is .xlsx, or
            another format with --attributes.
    """
    asked = options.attributes or options.centroids is not None
    if not (asked and output.suffix.lower() == TABLE.suffixes[0]):
        refuse_table(output, hint=", `landseg export MAP OUT.csv --attributes` those of each polygon")
        if options.attributes:
            raise VectorError(
                f"{output.name}: --attributes writes a table; let its name end in .csv, or leave it out"
            )
    elif options.centerlines is not None:
        raise VectorError(f"{output.name}: a table holds no lines; leave --centerlines out, or choose a .gpkg")


def check_files(output: Path, source: ClassRaster, options: ExportOptions) -> None:
    """Refuse files that cannot be written, classes that the raster lacks, and --geodesic without a CRS.

    Raises:
        GridError: `geodesic` is set for a raster without a CRS.
        ClassError: an option names a class that the raster does not have.
        OutputError: a file is an input, has no folder, or exists.
    """
    if source.grid.crs is None and options.geodesic:
        raise GridError(f"{source.file.label} has no coordinate system: leave --geodesic out, or assign one")
    also = [file_of(str(file)) for file in (options.aoi, options.confidence) if isinstance(file, (str, PathLike))]
    inputs = [Path(source.file.path), *also, *files_behind(list(source.file.info.files))]
    targets = list(class_files(output, source.classes).values()) if options.by_class_files else [output]
    targets += [extra_file(output, e, "LineString") for e in source.classes_of(options.centerlines, "--centerlines")]
    targets += [extra_file(output, e, "Point") for e in source.classes_of(options.centroids, "--centroids")]
    source.classes_of(options.regularize, "--regularize")
    check_targets((), targets or [output], inputs)
    settle([output, *targets], overwrite=options.overwrite)
    if not options.overwrite:
        check_absent((), targets)
